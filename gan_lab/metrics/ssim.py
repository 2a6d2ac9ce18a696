"""SSIM: likeness of two pictures in brightness, contrast and structure, window by window (Wang et al. 2004)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from gan_lab.metrics.paired import PairedMetric, mean_of_picture

SIDE, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03


def window() -> Tensor:
    """(11,) float64: the Gaussian along one axis, of sum 1."""
    places = torch.arange(SIDE, dtype=torch.float64) - SIDE // 2
    weights = (-(places**2) / (2 * SIGMA**2)).exp()
    return weights / weights.sum()


def structural_similarity(*, output: Tensor, target: Tensor, region: Tensor | None = None) -> Tensor:
    """The mean of SSIM over windows and channels (section III-B), with K1 = 0.01, K2 = 0.03 and L = 1.

    Of whole pictures, windows lie wholly within the picture, as in the authors' code and scikit-image. Of a region they
    are those around each of its pixels, as in torchmetrics' (1.9) map of a picture: one at the picture's edge sees it
    mirrored there, so that every pixel of a hole counts. A window at the region's edge sees what lies beside it, too:
    of a hole whose surroundings are the target's own, the outermost 5 pixels are judged together with these.

    Variances are divided by the sum of weights, 1, as in the paper, section III-B; so does scikit-image with
    use_sample_covariance=False.

    Args:
        output, target: (B, C, H, W) float64 in [0, 1], 11 pixels or more a side; the order makes no difference.
        region: (B, 1, H, W) bool, the pixels whose windows count; None for whole pictures.
    Returns:
        (B,) float64 in [-1, 1], 1 for equal pictures; NaN where the region has no pixel.
    Raises:
        ValueError: smaller pictures.
    """
    if min(output.shape[2:]) < SIDE:
        height, width = output.shape[2:]
        raise ValueError(f"ssim takes pictures of {SIDE} pixels or more a side, got {height}x{width}")
    if region is None:
        return _similarity_map(output, target).mean(dim=(1, 2, 3))
    reach = 4 * (SIDE // 2,)
    mirrored = (pad(pictures, reach, mode="reflect") for pictures in (output, target))
    return mean_of_picture(_similarity_map(*mirrored), region)


def _similarity_map(output: Tensor, target: Tensor) -> Tensor:
    """SSIM of each window that lies wholly within pictures: (B, C, H, W) float64 -> (B, C, H - 10, W - 10)."""
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
    return likeness.squeeze(1).unflatten(0, output.shape[:2])


class StructuralSimilarity(PairedMetric):
    """SSIM of each picture: "" the mean over pictures, "_worst" the lowest; see `PairedMetric`.

    Args:
        of, channel, border, shares: see `PairedMetric`.
        region: see `PairedMetric`, and `structural_similarity` for the windows of a hole; "whole" also for configs that
            were stored before there were others.
    """

    name = "ssim"
    higher_is_better = True

    def __init__(
        self, *, of: str, channel: str, border: int, region: str = "whole", shares: Sequence[float] | None = None
    ) -> None:
        super().__init__(of=of, region=region, channel=channel, border=border, shares=shares)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        place = "wholly within the picture" if self.region == "whole" else "around each pixel, mirrored at the edge"
        window = f"Gaussian, {SIDE} x {SIDE}, sigma {SIGMA}, {place}"
        return super().protocol() | {"window": window, "k": [K1, K2], "channels": "each, then their mean"}

    def measure(self, *, output: Tensor, target: Tensor, region: Tensor | None) -> Tensor:
        """See `PairedMetric`."""
        return structural_similarity(output=output, target=target, region=region)
