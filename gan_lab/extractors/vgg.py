"""VGG16 (Simonyan & Zisserman 2015) with torchvision's weights: the network of improved precision and recall."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights, file_sha256
from gan_lab.extractors.files import hub_path, missing_file, read_state
from gan_lab.extractors.pixels import IMAGENET_MEAN, IMAGENET_STD, standardized, tensorflow1_bilinear, to_channels

URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
SIZE = 224


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
