"""LPIPS: the distance of two images in VGG16's features, weighted to agree with people (Zhang et al. 2018)."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights, file_sha256
from gan_lab.extractors.files import hub_path, missing_file, read_state
from gan_lab.extractors.vgg import URL, vgg16_from

ENDS = (4, 9, 16, 23, 30)  # of the five stages in torchvision's VGG16: after the last ReLU before each pooling
MEAN = (-0.030, -0.088, -0.188)  # of images in [-1, 1]; the paper's rounding of ImageNet's values
DEVIATION = (0.458, 0.448, 0.450)
EPSILON = 1e-8


class LPIPS(Extractor):
    """LPIPS v0.1 with VGG16 as backbone (Zhang et al. 2018, section 3.2).

    It makes no features of single images: a metric's probe calls `distances` or `distance_maps`. The five heads are the
    file that torchmetrics ships.

    Args:
        weights: a file of torchvision's `vgg16` state dict; None for where torch.hub keeps the published one.
        download: fetch the published file (553 MB) to that place when it is absent.
    Raises:
        MissingWeights, DamagedWeights: see there.
    """

    name = "lpips"
    outputs = ()
    feature_dim = 0
    no_maps = "gives distances of pairs, without a gradient, and no maps"

    def __init__(self, weights: str | Path | None, download: bool) -> None:
        super().__init__()
        if message := self.missing_weights(weights=weights, download=download):
            raise MissingWeights(message)
        path = _path(weights)
        self.weights_sha256 = file_sha256(path)
        self.heads_sha256 = file_sha256(heads_path())
        layers = vgg16_from(path).features
        for layer in layers:
            if isinstance(layer, torch.nn.ReLU):
                layer.inplace = False  # the stages' ends are kept
        starts = (0, *ENDS[:-1])
        self.stages = torch.nn.ModuleList(layers[start:end] for start, end in zip(starts, ENDS, strict=True))
        heads = read_state(heads_path(), "LPIPS's heads")
        try:
            for stage in range(len(ENDS)):
                self.register_buffer(f"head{stage}", heads[f"lin{stage}.model.1.weight"].float())
        except KeyError as error:
            raise DamagedWeights(f"{heads_path()} lacks {error}: install torchmetrics anew") from error
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def missing_weights(cls, *, weights: str | Path | None, download: bool) -> str | None:  # type: ignore[override]
        """None, or which file is absent and where it comes from; with `download`, it is fetched first."""
        return missing_file(what="LPIPS's VGG16", url=URL, path=_path(weights), download=download)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "heads_sha256": self.heads_sha256,
            "layers": "relu1_2, relu2_2, relu3_3, relu4_3, relu5_3",
            "resize": "none",
            "input": "float RGB in [-1, 1], grey repeated",
            "dtype": "float32",
        }

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """Nothing: LPIPS is a distance of pairs."""
        return {}

    def distances(self, first: Tensor, second: Tensor) -> Tensor:
        """LPIPS of pairs, without rounding to 256 levels, gradients or autocast.

        Args:
            first: (B, 1 or 3, H, W) floating point in [-1, 1], 16 pixels or more a side; grey is repeated.
            second: of the same shape.
        Returns:
            (B,) float32, 0 for equal images.
        Raises:
            ValueError: another shape.
            TypeError: not floating point.
        """
        stages = self._stages(first, second)
        total = torch.zeros(len(first), device=first.device)
        for distances in stages:
            total += distances.mean(dim=(1, 2))
        return total

    def distance_maps(self, first: Tensor, second: Tensor) -> Tensor:
        """Where pairs differ: `distances` before the mean over places, each stage's brought to the size of the images.

        By bilinear interpolation (align_corners=False), then added, as by spatial=True of the authors' package. A
        place's features see some way around it.

        Args:
            first, second: as of `distances`.
        Returns:
            (B, 1, H, W) float32, 0 for equal images.
        Raises:
            ValueError, TypeError: as `distances`.
        """
        stages = self._stages(first, second)
        total = torch.zeros(len(first), 1, *first.shape[2:], device=first.device)
        for distances in stages:
            total += interpolate(distances[:, None], size=first.shape[2:], mode="bilinear", align_corners=False)
        return total

    def _stages(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """The distances at each place of each stage, (B, h, w) float32; see `distances`."""
        if first.shape != second.shape or first.dim() != 4 or first.shape[1] not in (1, 3):
            raise ValueError(f"LPIPS takes two (B, 1 or 3, H, W), got {tuple(first.shape)} and {tuple(second.shape)}")
        if not (first.is_floating_point() and second.is_floating_point()):
            raise TypeError(f"LPIPS takes floating point in [-1, 1], got {first.dtype} and {second.dtype}")
        if min(first.shape[2:]) < 16:
            raise ValueError(f"LPIPS takes images of 16 pixels or more a side, got {tuple(first.shape[2:])}")
        found = []
        with torch.no_grad(), torch.autocast(first.device.type, enabled=False):
            mean = torch.tensor(MEAN, device=first.device).view(1, 3, 1, 1)
            deviation = torch.tensor(DEVIATION, device=first.device).view(1, 3, 1, 1)
            one, other = ((images.float().expand(-1, 3, -1, -1) - mean) / deviation for images in (first, second))
            for number, stage in enumerate(self.stages):
                one, other = stage(one), stage(other)
                difference = (_unit(one) - _unit(other)).square()
                found.append((difference * getattr(self, f"head{number}")).sum(dim=1))
        return found


def _unit(values: Tensor) -> Tensor:
    """(B, C, H, W): each pixel's channels as a vector of length 1."""
    return values / (values.square().sum(dim=1, keepdim=True) + EPSILON).sqrt()


def heads_path() -> Path:
    """The file of the heads inside torchmetrics (LPIPS v0.1, by the paper's authors)."""
    package = find_spec("torchmetrics")
    if package is None or package.origin is None:
        raise ImportError("LPIPS's heads lie in torchmetrics, which is not installed")
    return Path(package.origin).parent / "functional" / "image" / "lpips_models" / "vgg.pth"


def _path(weights: str | Path | None) -> Path:
    return hub_path(URL) if weights is None else Path(weights)
