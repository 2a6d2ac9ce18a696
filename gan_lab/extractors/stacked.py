"""digitnet on each channel: the judge of stacked digits, images of three digits in red, green and blue."""

from pathlib import Path
from typing import Any

from torch import Tensor

from gan_lab.extractors.base import Extractor
from gan_lab.extractors.digitnet import DigitNet

CHANNELS = 3


class StackedDigitNet(Extractor):
    """digitnet's outputs for red, green and blue, one after another.

    Args:
        weights: see `DigitNet`.
    """

    name = "stacked_digitnet"
    feature_dim = CHANNELS * DigitNet.feature_dim

    def __init__(self, weights: str | Path | None) -> None:
        super().__init__()
        self.digitnet = DigitNet(weights)

    @classmethod
    def missing_weights(cls, *, weights: str | Path | None) -> str | None:  # type: ignore[override]
        """As `DigitNet.missing_weights`."""
        return DigitNet.missing_weights(weights=weights)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.digitnet.protocol() | {"extractor": self.name, "input": "uint8, each channel alone, divided by 255"}

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """Features (B, 3 * 64) and logits (B, 3 * 10) of (B, 3, H, W)."""
        if images.shape[1] != CHANNELS:
            raise ValueError(f"{self.name} takes images of {CHANNELS} channels, a digit each, got {images.shape[1]}")
        outputs = self.digitnet.extract(images.flatten(0, 1).unsqueeze(1))
        return {name: values.unflatten(0, (-1, CHANNELS)).flatten(1) for name, values in outputs.items()}

    def maps(self, images: Tensor) -> Tensor:
        """(B, 3 * 64, 8, 8) of (B, 3, H, W): digitnet's of each channel."""
        if images.shape[1] != CHANNELS:
            raise ValueError(f"{self.name} takes images of {CHANNELS} channels, a digit each, got {images.shape[1]}")
        return self.digitnet.maps(images.flatten(0, 1).unsqueeze(1)).unflatten(0, (-1, CHANNELS)).flatten(1, 2)
