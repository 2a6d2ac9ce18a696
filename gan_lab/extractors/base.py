"""What every extractor is: uint8 images in, named float32 outputs out, whatever the surroundings."""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class MissingWeights(FileNotFoundError):
    """The weights file is absent; the message names it and the remedy. A run goes on unscored."""


class DamagedWeights(ValueError):
    """The weights file is there and cannot be used: cut, of another network, or not a plain table of tensors."""


class Extractor(nn.Module, ABC):
    """A frozen network that turns images into features.

    It stays in eval mode, without gradients and outside autocast, whatever the caller does.

    Some are also differentiable, for losses that compare pictures in their feature maps: those have `maps`. Of these,
    some give maps of several resolutions, for discriminators that judge there: those have `level_shapes` and `pyramid`.

    Attributes:
        name: as it stands in the names of scores ("inception", "digitnet"); ends in a letter, since a count follows.
        outputs: what it gives: "features", and "logits" where it is a classifier.
        feature_dim: columns of "features".
        no_maps: why there are no `maps`, where there are none.
    """

    name: str
    outputs: tuple[str, ...] = ("features", "logits")
    feature_dim: int
    no_maps = "is made for scores: it takes whole pictures of 256 levels, and gives no gradient to them"

    @classmethod
    @abstractmethod
    def missing_weights(cls, **arguments: Any) -> str | None:
        """What is absent and the remedy, for the constructor's arguments; None where the weights are at hand."""

    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """All that decides the features of given images, as plain JSON values."""

    def label(self, stem: str) -> str:
        """The name of a score in this space, before its count: "fd" -> "fd_digitnet", or what the field calls it."""
        return f"{stem}_{self.name}"

    @abstractmethod
    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """The `outputs` of checked images."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The outputs of a batch.

        Args:
            images: (B, C, H, W) uint8, C in {1, 3, 4}, any height and width.
        Returns:
            "features" (B, feature_dim) float32; of classifiers "logits" (B, K) float32; on the device of `images`.
        Raises:
            TypeError: not uint8.
            ValueError: another shape.
        """
        if images.dtype != torch.uint8:
            raise TypeError(f"{self.name} takes uint8 images, got {images.dtype}")
        if images.dim() != 4 or images.shape[1] not in (1, 3, 4):
            raise ValueError(f"{self.name} takes (B, 1 or 3 or 4, H, W), got {tuple(images.shape)}")
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return {name: values.float() for name, values in self.extract(images).items()}

    def differentiable(self, images: Tensor) -> Tensor:
        """Feature maps for a loss, through which a gradient flows to the images, and none to the weights.

        On the way to its network a picture is neither rounded to 256 levels nor clamped, as `forward` does.

        Args:
            images: (B, C, H, W) floating point, about [-1, 1], C in {1, 3, 4}, any height and width.
        Returns:
            (B, ...) maps, or a row of features per image; float32, or float64 of float64 with an extractor of it.
        Raises:
            TypeError: no floating point.
            ValueError: another shape; or this extractor has no maps, and why.
        """
        images = self._checked(images)
        with torch.autocast(images.device.type, enabled=False):
            return self.maps(images)

    def _checked(self, images: Tensor) -> Tensor:
        if not images.is_floating_point():
            raise TypeError(f"{self.name}'s maps are of floating point in [-1, 1], got {images.dtype}")
        if images.dim() != 4 or images.shape[1] not in (1, 3, 4):
            raise ValueError(f"{self.name} takes (B, 1 or 3 or 4, H, W), got {tuple(images.shape)}")
        return images.to(torch.promote_types(images.dtype, torch.float32))

    def maps(self, images: Tensor) -> Tensor:
        """The maps of checked images."""
        raise ValueError(f"the extractor {self.name} {self.no_maps}")

    def levels(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps of several resolutions, the finest first, as `differentiable` gives one.

        Args:
            images: see `differentiable`.
        Returns:
            (B, C, h, w) each, of the shapes that `level_shapes` says.
        Raises:
            TypeError, ValueError: see `differentiable`.
        """
        images = self._checked(images)
        with torch.autocast(images.device.type, enabled=False):
            return self.pyramid(images)

    @classmethod
    def level_shapes(cls, height: int, width: int) -> tuple[tuple[int, int, int], ...]:
        """(C, h, w) of the `levels` of pictures of this size, whatever the weights; none where there are no levels."""
        return ()

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """The levels of checked images."""
        raise ValueError(f"the extractor {self.name} gives no maps of several resolutions")

    def train(self, mode: bool = True) -> "Extractor":
        """Stays in eval mode, also when a parent module is put into training."""
        return super().train(False)


def without_alpha(images: Tensor) -> Tensor:
    """(B, 1 or 3, H, W) uint8: RGBA is laid over white and rounded; other images pass unchanged."""
    if images.shape[1] != 4:
        return images
    alpha = images[:, 3:].float() / 255
    return (images[:, :3].float() * alpha + 255 * (1 - alpha)).round().to(torch.uint8)


def file_sha256(path: Path) -> str:
    """Hexadecimal digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
