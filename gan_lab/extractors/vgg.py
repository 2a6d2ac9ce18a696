"""VGG (Simonyan & Zisserman 2015) with torchvision's weights.

VGG16 is the network of improved precision and recall, VGG19 that of perceptual losses.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights, file_sha256
from gan_lab.extractors.files import hub_path, missing_file, read_state
from gan_lab.extractors.pixels import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    continuous,
    standardized,
    tensorflow1_bilinear,
    to_channels,
)

URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
URL_19 = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
SIZE = 224
UP_TO_CONV5_3, UP_TO_CONV5_4 = 29, 35  # layers of VGG16's and of VGG19's convolutions, without the last ReLU
LEVEL_ENDS, LEVEL_ENDS_19 = (9, 16, 23, 29), (9, 18, 27, 35)  # of their last four sides, before the poolings
LEVEL_CHANNELS = (128, 256, 512, 512)


class VGG16(Extractor):
    """The second fully connected layer, rectified: 4096 features (Kynkäänniemi et al. 2019, section 3.1).

    Input as torch-fidelity's VGG16 takes it: resized as TensorFlow 1 does, ImageNet's mean and deviation. The paper's
    own weights were converted from another framework; these are torchvision's, as in torch-fidelity.

    Args:
        weights: a file of torchvision's `vgg16` state dict; None for where torch.hub keeps the published one.
        download: fetch the published file (553 MB) to that place when it is absent.
    Raises:
        MissingWeights, DamagedWeights: see there.
    """

    name = "vgg"
    outputs = ("features",)
    feature_dim = 4096

    def __init__(self, weights: str | Path | None, download: bool) -> None:
        super().__init__()
        if message := self.missing_weights(weights=weights, download=download):
            raise MissingWeights(message)
        path = _path(weights)
        self.weights_sha256 = file_sha256(path)
        self.network = vgg16_from(path)
        self.network.classifier = self.network.classifier[:5]  # up to the second layer's ReLU
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def missing_weights(cls, *, weights: str | Path | None, download: bool) -> str | None:  # type: ignore[override]
        """None, or which file is absent and where it comes from; with `download`, it is fetched first."""
        return missing_file(what="VGG16", url=URL, path=_path(weights), download=download)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "layer": "second fully connected, rectified",
            "resize": "224x224 bilinear of TensorFlow 1 (corners aligned, no antialias)",
            "input": "uint8 RGB, grey repeated, RGBA over white, ImageNet's mean and deviation",
            "dtype": "float32",
        }

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """See `Extractor`."""
        resized = tensorflow1_bilinear(to_channels(images, 3).float(), SIZE)
        return {"features": self.network(standardized(resized / 255, IMAGENET_MEAN, IMAGENET_STD))}

    def maps(self, images: Tensor) -> Tensor:
        """(B, 512, H // 16, W // 16) of conv5_3 before its ReLU, of images of their own size."""
        pixels = (continuous(images, 3, None) + 1) / 2
        return self.network.features[:UP_TO_CONV5_3](standardized(pixels, IMAGENET_MEAN, IMAGENET_STD))

    @classmethod
    def level_shapes(cls, height: int, width: int) -> tuple[tuple[int, int, int], ...]:
        """See `Extractor`: relu2_2, relu3_3, relu4_3 and conv5_3."""
        return _level_shapes(height, width)

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `Extractor`."""
        return _levels(self.network.features, LEVEL_ENDS, images)


class VGG19(Extractor):
    """conv5_4 before its ReLU, of images of their own size, from 16 pixels on: where ESRGAN compares them.

    Ledig et al. 2017 (section 2.2.1) take it after the ReLU, Wang et al. 2018 (section 3.3) before. As a space for
    scores its features are the means over pixels.

    Args:
        weights: a file of torchvision's `vgg19` state dict; None for where torch.hub keeps the published one.
        download: fetch the published file (575 MB) to that place when it is absent.
    Raises:
        MissingWeights, DamagedWeights: see there.
    """

    name = "vgg_conv"
    outputs = ("features",)
    feature_dim = 512

    def __init__(self, weights: str | Path | None, download: bool) -> None:
        super().__init__()
        if message := self.missing_weights(weights=weights, download=download):
            raise MissingWeights(message)
        path = hub_path(URL_19) if weights is None else Path(weights)
        self.weights_sha256 = file_sha256(path)
        self.convolutions = _vgg19_convolutions(path)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def missing_weights(cls, *, weights: str | Path | None, download: bool) -> str | None:  # type: ignore[override]
        """None, or which file is absent and where it comes from; with `download`, it is fetched first."""
        path = hub_path(URL_19) if weights is None else Path(weights)
        return missing_file(what="VGG19", url=URL_19, path=path, download=download)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "layer": "VGG19's conv5_4 before ReLU, mean over pixels",
            "resize": "none",
            "input": "uint8 RGB, grey repeated, RGBA over white, ImageNet's mean and deviation",
            "dtype": "float32",
        }

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """See `Extractor`."""
        pixels = to_channels(images, 3).float() / 255
        return {"features": self._of_pixels(pixels).mean(dim=(2, 3))}

    def maps(self, images: Tensor) -> Tensor:
        """(B, 512, H // 16, W // 16)."""
        return self._of_pixels((continuous(images, 3, None) + 1) / 2)

    @classmethod
    def level_shapes(cls, height: int, width: int) -> tuple[tuple[int, int, int], ...]:
        """See `Extractor`: relu2_2, relu3_4, relu4_4 and conv5_4."""
        return _level_shapes(height, width)

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `Extractor`."""
        return _levels(self.convolutions, LEVEL_ENDS_19, images)

    def _of_pixels(self, pixels: Tensor) -> Tensor:
        return self.convolutions(standardized(pixels, IMAGENET_MEAN, IMAGENET_STD))


def _level_shapes(height: int, width: int) -> tuple[tuple[int, int, int], ...]:
    halvings = range(1, 1 + len(LEVEL_CHANNELS))
    return tuple((c, height // 2**n, width // 2**n) for c, n in zip(LEVEL_CHANNELS, halvings, strict=True))


def _levels(layers: nn.Sequential, ends: tuple[int, ...], images: Tensor) -> tuple[Tensor, ...]:
    """What the layers up to each of `ends` give for (B, C, H, W) in [-1, 1], of its own size."""
    values, found = standardized((continuous(images, 3, None) + 1) / 2, IMAGENET_MEAN, IMAGENET_STD), []
    for begin, end in pairwise((0, *ends)):
        values = layers[begin:end](values)
        found.append(values)
    return tuple(found)


def _vgg19_convolutions(path: Path) -> nn.Sequential:
    """Those of torchvision's VGG19 up to conv5_4 with the weights of a file, without drawing any first.

    Raises:
        DamagedWeights: the file does not fit.
    """
    from torchvision.models import vgg19

    with torch.device("meta"):
        convolutions: nn.Sequential = vgg19().features[:UP_TO_CONV5_4]
    state = read_state(path, "VGG19's weights in torchvision's format")
    names = {f"features.{name}": name for name in convolutions.state_dict()}
    try:
        convolutions.load_state_dict({name: state[stored] for stored, name in names.items()}, assign=True)
    except (RuntimeError, KeyError) as error:
        raise DamagedWeights(f"{path} does not hold VGG19's weights in torchvision's format: {error}") from error
    return convolutions.float()


def vgg16_from(path: Path) -> Any:
    """torchvision's VGG16 with the weights of a file, without drawing any first.

    Raises:
        DamagedWeights: the file does not fit.
    """
    from torchvision.models import vgg16

    with torch.device("meta"):
        network: nn.Module = vgg16()
    state = read_state(path, "VGG16's weights in torchvision's format")
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise DamagedWeights(f"{path} does not hold VGG16's weights in torchvision's format: {error}") from error
    return network.float()


def _path(weights: str | Path | None) -> Path:
    return hub_path(URL) if weights is None else Path(weights)
