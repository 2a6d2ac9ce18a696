"""digitnet: a small classifier of handwritten digits, shipped with the package, whose features need no network.

`train_digitnet.py` beside this file makes the weights.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gan_lab.data.images import resize
from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights, file_sha256, without_alpha
from gan_lab.extractors.pixels import continuous

SHIPPED = Path(__file__).with_name("digitnet.safetensors")
SIZE = 32
LAST_MAPS = 14  # layers of the network's body up to the last rectified convolution
LEVELS = ((3, 16, 32), (7, 32, 16), (LAST_MAPS, 64, 8))  # layers up to the last of each side, channels and side


class DigitNetwork(nn.Module):
    """Four convolutions and a 64-d layer: (B, 1, 32, 32) in [0, 1] -> features (B, 64), logits (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *self._convolution(1, 16),
            nn.MaxPool2d(2),
            *self._convolution(16, 32),
            nn.MaxPool2d(2),
            *self._convolution(32, 48),
            *self._convolution(48, 64),
            nn.MaxPool2d(2),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 2 * 2, 64, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The rectified 64-d layer, and the raw scores of the ten digits."""
        features = self.body(images)
        return features, self.head(features)

    @staticmethod
    def _convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
        return [
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        ]


class DigitNet(Extractor):
    """Features of handwritten digits, white on black.

    One input convention: images of 32x32 are taken as they are (MNIST padded by 2 black pixels, scikit-learn's
    digits resized: what the network was trained on); any other size is resized to 32x32 (bicubic, antialiased,
    without regard to the aspect). Colours are averaged to grey; RGBA is laid over white first.

    Args:
        weights: a safetensors file of `DigitNetwork`; None for the one shipped with the package.
    Raises:
        MissingWeights, DamagedWeights: see there.
    """

    name = "digitnet"
    feature_dim = 64

    def __init__(self, weights: str | Path | None) -> None:
        super().__init__()
        if message := self.missing_weights(weights=weights):
            raise MissingWeights(message)
        path = self._path(weights)
        self.weights_sha256 = file_sha256(path)
        with torch.device("meta"):
            self.network = DigitNetwork()
        try:
            stored = load_file(path)
            floats = {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}
            self.network.load_state_dict(floats, assign=True)
        except (SafetensorError, RuntimeError) as error:
            raise DamagedWeights(f"{path} does not hold digitnet's weights: {error}") from error
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def missing_weights(cls, *, weights: str | Path | None) -> str | None:  # type: ignore[override]
        """None, or which file is absent and how to make it."""
        path = cls._path(weights)
        if path.is_file():
            return None
        return (
            f"digitnet's weights file {path} is absent: use the one shipped with the package (weights: null), or make "
            f"it with `python -m gan_lab.extractors.train_digitnet --mnist-root PATH --out {path}`"
        )

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "layer": "64",
            "resize": "32x32 as is, else bicubic antialiased to 32x32",
            "input": "uint8, colours averaged to grey, RGBA over white, divided by 255",
            "dtype": "float32",
        }

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """See `Extractor`."""
        features, logits = self.network(to_digit_input(images))
        return {"features": features, "logits": logits}

    def maps(self, images: Tensor) -> Tensor:
        """(B, 64, 8, 8): what the last convolution gives, rectified."""
        return self.network.body[:LAST_MAPS]((continuous(images, 1, (SIZE, SIZE)) + 1) / 2)

    @classmethod
    def level_shapes(cls, height: int, width: int) -> tuple[tuple[int, int, int], ...]:
        """See `Extractor`: three, whatever the size of pictures."""
        return tuple((channels, side, side) for _, channels, side in LEVELS)

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `Extractor`."""
        values, begin, found = (continuous(images, 1, (SIZE, SIZE)) + 1) / 2, 0, []
        for end, _, _ in LEVELS:
            values, begin = self.network.body[begin:end](values), end
            found.append(values)
        return tuple(found)

    @staticmethod
    def _path(weights: str | Path | None) -> Path:
        return SHIPPED if weights is None else Path(weights)


def to_digit_input(images: Tensor) -> Tensor:
    """(B, C, H, W) uint8 -> (B, 1, 32, 32) float32 in [0, 1], by the convention that `DigitNet` states."""
    return resize(without_alpha(images), (SIZE, SIZE)).float().mean(dim=1, keepdim=True) / 255
