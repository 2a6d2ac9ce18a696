"""PSNR: how small the squared error of a picture is beside the brightest pixel, in dB."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_lab.metrics.paired import PairedMetric, mean_of_picture

CAP = 100.0


def peak_signal_to_noise(squared_errors: Tensor) -> Tensor:
    """-10 log10 of the error, in dB, at most 100.

    Two equal pictures have infinitely many dB, which no mean survives; 100 for them is what much published code for
    enlargement and repair writes. Values between that and infinity, of one grey level in a large picture, are 100, too,
    so that nothing is above equality.

    A few such pictures weigh much: 14 of the first 1,000 test pictures of CIFAR-10 (100 of each class) are grey, and
    lift the mean of grey copies of all of them from 24.80 to 25.86 dB.

    Args:
        squared_errors: (N,) float64, mean squared errors of pictures in [0, 1].
    Returns:
        (N,) float64; NaN stays.
    """
    return (-10 * torch.log10(squared_errors)).clamp(max=CAP)


class PeakSignalToNoise(PairedMetric):
    """PSNR of each picture (not of the mean error): "" the mean in dB, "_worst" the lowest; see `PairedMetric`.

    "_identical" is the percentage of pictures that equal their target in every pixel that counts; each enters the mean
    with 100 dB.

    Args:
        of, region, channel, border, shares: see `PairedMetric`.
    """

    name = "psnr"
    higher_is_better = True

    def __init__(
        self, *, of: str, region: str, channel: str, border: int, shares: Sequence[float] | None = None
    ) -> None:
        super().__init__(of=of, region=region, channel=channel, border=border, shares=shares)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return super().protocol() | {"identical": f"{CAP:g} dB, the most", "peak": 1}

    def measure(self, *, output: Tensor, target: Tensor, region: Tensor | None) -> Tensor:
        """(B,) mean squared errors; see `PairedMetric`."""
        return mean_of_picture((output - target).square(), region)

    def per_picture(self) -> Tensor:
        """(N,) float64 in dB; see `PairedMetric`."""
        return peak_signal_to_noise(super().per_picture())

    def compute(self) -> dict[str, float]:
        """Of all pictures so far."""
        scores, errors = super().compute(), super().per_picture()
        return scores | {"_identical": 100 * (errors[~errors.isnan()] == 0).double().mean().item()}
