"""DiffAugment: mild changes of all that D sees, always on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gan_lab.augment.base import Augmentation, check_that_some_move
from gan_lab.augment.pixels import check_pictures, split_alpha, take, uniforms
from gan_lab.layers.moving import moved_together
from gan_lab.layers.precision import full_precision
from gan_lab.sampling import Draws


def color(images: Tensor, draws: Draws) -> Tensor:
    """Brightness + U[-0.5, 0.5), saturation * U[0, 2), contrast * U[0.5, 1.5), in this order.

    A grey picture has no saturation; the fourth channel of four, alpha, stays as it is.
    """
    shown, alpha = split_alpha(images)
    brightness, saturation, contrast = uniforms(draws, "diffaugment color", images, 3)
    shown = shown + (brightness - 0.5)
    shown = _about(shown, shown.mean(1, keepdim=True), 2 * saturation)
    shown = _about(shown, shown.mean((1, 2, 3), keepdim=True), contrast + 0.5)
    return torch.cat([shown, alpha], dim=1)


def _about(images: Tensor, center: Tensor, factor: Tensor) -> Tensor:
    return center + factor * (images - center)


def translation(images: Tensor, draws: Draws) -> Tensor:
    """Moved by whole pixels, up to an eighth of height and width either way; zeros come in."""
    height, width = images.shape[2:]
    down, right = uniforms(draws, "diffaugment translation", images, 2)
    rows, columns = _indices(images)
    rows, columns = rows - _shift(down, height), columns - _shift(right, width)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return take(images, rows.clamp(0, height - 1), columns.clamp(0, width - 1)) * inside


def _shift(uniform: Tensor, size: int) -> Tensor:
    most = int(size / 8 + 0.5)  # halves go up, as in the authors' code
    return (uniform * (2 * most + 1)).floor().long() - most


def cutout(images: Tensor, draws: Draws) -> Tensor:
    """A rectangle of half the height and width set to zero, with its centre anywhere in the picture."""
    high, left = uniforms(draws, "diffaugment cutout", images, 2)
    rows, columns = _indices(images)
    return images * ~(_within(rows, high, images.shape[2]) & _within(columns, left, images.shape[3]))


def _within(places: Tensor, uniform: Tensor, size: int) -> Tensor:
    """Centres are pixels where half the size is odd, and else the corners between them, the outermost too."""
    half = int(size / 2 + 0.5)
    first = (uniform * (size + 1 - half % 2)).floor() - half // 2
    return (places >= first) & (places < first + half)


def _indices(images: Tensor) -> tuple[Tensor, Tensor]:
    """(1, 1, H, 1) and (1, 1, 1, W) int64."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device).view(1, 1, -1, 1)
    return rows, torch.arange(width, device=images.device).view(1, 1, 1, -1)


POLICIES: dict[str, Callable[[Tensor, Draws], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}
MOVING = ("translation", "cutout")  # those that go by places, whatever a pixel shows


class DiffAugment(Augmentation):
    """Differentiable augmentation of reals and fakes, in both phases (Zhao et al. 2020, section 3.3).

    A D that sees sources and masks beside its images sees all of them moved by one draw. Then translation and cutout
    alone are on: sources may be anything, such as outlines or labels, whose values are not colours. What comes in and
    what is cut out is zero in images and sources, and no hole.

    Args:
        policies: one or more of color, translation and cutout, applied in the order given.
    """

    def __init__(self, policies: Sequence[str]) -> None:
        super().__init__()
        unknown = [name for name in policies if name not in POLICIES]
        if unknown or not policies:
            raise ValueError(f"policies of DiffAugment are {', '.join(POLICIES)}, got {list(policies)}")
        self.policies = tuple(policies)

    def check(self, module: Any) -> None:
        """Refuse policies none of which is for a D that sees other pictures beside its images."""
        check_that_some_move("DiffAugment", module, self.policies, MOVING)

    def may_leave(self) -> set[str]:
        """See `Augmentation`."""
        return {"tinted"} if "color" in self.policies else set()

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """(B, C, H, W) -> the same shape, in float32 or float64, whatever autocast would have."""
        return self._through(self.policies, images, draws)

    def together(
        self, images: Tensor, beside: Mapping[str, Tensor], draws: Draws
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Augmentation`; types as `forward`."""
        moving = [name for name in self.policies if name in MOVING]
        return moved_together(lambda pictures: self._through(moving, pictures, draws), images, beside)

    def _through(self, policies: Sequence[str], images: Tensor, draws: Draws) -> Tensor:
        check_pictures(images, "DiffAugment")
        with torch.autocast(images.device.type, enabled=False):
            images = full_precision(images)
            for name in policies:
                images = POLICIES[name](images, draws)
        return images
