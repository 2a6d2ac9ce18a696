"""SSIM: likeness of two pictures in brightness, contrast and structure, window by window (Wang et al. 2004)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from gan_lab.metrics.paired import PairedMetric

SIDE, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03


def window() -> Tensor:
    """(11,) float64: the Gaussian along one axis, of sum 1."""
    places = torch.arange(SIDE, dtype=torch.float64) - SIDE // 2
    weights = (-(places**2) / (2 * SIGMA**2)).exp()
    return weights / weights.sum()


def structural_similarity(*, output: Tensor, target: Tensor) -> Tensor:
    """The mean of SSIM over all windows and channels (section III-B), with K1 = 0.01, K2 = 0.03 and L = 1.

    Windows lie wholly within the picture, as in the authors' code and scikit-image; torchmetrics (1.9) counts those
    over a mirrored edge, too. Variances are divided by the sum of weights, 1, as in the paper, section III-B; so does
    scikit-image with use_sample_covariance=False.

    Args:
        output, target: (B, C, H, W) float64 in [0, 1], 11 pixels or more a side; the order makes no difference.
    Returns:
        (B,) float64 in [-1, 1], 1 for equal pictures.
    Raises:
        ValueError: smaller pictures.
    """
    if min(output.shape[2:]) < SIDE:
        height, width = output.shape[2:]
        raise ValueError(f"ssim takes pictures of {SIDE} pixels or more a side, got {height}x{width}")
    along = window()

    def averaged(values: Tensor) -> Tensor:
        maps = values.flatten(0, 1)[:, None]
        return conv2d(conv2d(maps, along.view(1, 1, SIDE, 1)), along.view(1, 1, 1, SIDE))

    mean, other = averaged(output), averaged(target)
    variance = averaged(output.square()) - mean.square()
    of_other = averaged(target.square()) - other.square()
    covariance = averaged(output * target) - mean * other
    c1, c2 = K1**2, K2**2
    likeness = (2 * mean * other + c1) * (2 * covariance + c2)
    likeness /= (mean.square() + other.square() + c1) * (variance + of_other + c2)
    return likeness.unflatten(0, output.shape[:2]).mean(dim=(1, 2, 3, 4))


class StructuralSimilarity(PairedMetric):
    """SSIM of each picture: "" the mean over pictures, "_worst" the lowest; see `PairedMetric`.

    Args:
        of, channel, border, shares: see `PairedMetric`.
    """

    name = "ssim"
    higher_is_better = True

    def __init__(self, *, of: str, channel: str, border: int, shares: Sequence[float] | None = None) -> None:
        super().__init__(of=of, region="whole", channel=channel, border=border, shares=shares)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        window = f"Gaussian, {SIDE} x {SIDE}, sigma {SIGMA}, wholly within the picture"
        return super().protocol() | {"window": window, "k": [K1, K2], "channels": "each, then their mean"}

    def measure(self, *, output: Tensor, target: Tensor, region: Tensor | None) -> Tensor:
        """See `PairedMetric`; `region` is None."""
        return structural_similarity(output=output, target=target)
