"""Adaptive discriminator augmentation."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gan_lab.augment.adaptive import AdaptiveAugmentation
from gan_lab.augment.base import check_that_some_move
from gan_lab.augment.color import recolor
from gan_lab.augment.corruption import add_noise, cut_out
from gan_lab.augment.filtering import amplify
from gan_lab.augment.geometry import blit, transform
from gan_lab.augment.pixels import check_pictures
from gan_lab.layers.moving import moved_together
from gan_lab.layers.precision import full_precision
from gan_lab.sampling import Draws

GROUPS: dict[str, Callable[[Tensor, Tensor, Draws], Tensor]] = {
    "blit": blit,
    "geometry": transform,
    "color": recolor,
    "filter": amplify,
    "noise": add_noise,
    "cutout": cut_out,
}
LEAVE = {"blit": ("mirrored", "turned"), "geometry": ("turned",), "color": ("tinted",)}
MOVING = ("blit", "geometry", "cutout")  # those that go by places, whatever a pixel shows


class ADA(AdaptiveAugmentation):
    """The augmentation pipeline of StyleGAN2-ADA (Karras et al. 2020, section 2.1 and appendix B).

    Every operation is applied with probability p times the factor of its group, to each picture by itself. A picture
    for which nothing was drawn comes out as it went in, bit for bit.

    Departure from the paper: pixel blitting is done by itself and exactly, not as part of the one geometric
    transformation, which interpolates.

    A D that sees sources and masks beside its images sees all of them moved by one draw. Then blit, geometry and cutout
    alone are on: sources may be anything, such as outlines or labels, whose values are not colours. What comes in from
    outside is each picture reflected, a hole too; what is cut out is zero in images and sources, and no hole. Between
    pixels a mask has values between 0 and 1.

    Args:
        groups: name of a group -> factor on p, 0 or more; groups left out are off. blit: flips, quarter turns and
            shifts by whole pixels; geometry: scaling, rotation, stretching and fractional shifts; color: brightness,
            contrast, luma flip, hue and saturation; filter: frequency bands; noise; cutout.
        **adapting: see `AdaptiveAugmentation`.
    """

    def __init__(self, groups: Mapping[str, float], **adapting: Any) -> None:
        super().__init__(**adapting)
        for name, factor in groups.items():
            if name not in GROUPS:
                raise ValueError(f"the groups of ADA are {', '.join(GROUPS)}, got {name!r}")
            if factor < 0:
                raise ValueError(f"the factor of ADA's group {name} must be 0 or more, got {factor}")
        if not any(groups.values()):
            raise ValueError(
                "ADA needs a group with a factor of more than 0; leave ada out of model.augment to switch it off"
            )
        self.groups = {name: groups[name] for name in GROUPS if groups.get(name)}

    def check(self, module: Any) -> None:
        """See `AdaptiveAugmentation`; and refuse groups none of which is for a D that sees other pictures, too."""
        super().check(module)
        check_that_some_move("ADA", module, self.groups, MOVING)

    def may_leave(self) -> set[str]:
        """See `Augmentation`."""
        return {way for group in self.groups for way in LEAVE.get(group, ())}

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """(B, C, H, W) -> the same shape, in float32 or float64, whatever autocast would have."""
        return self._through(self.groups, images, draws)

    def together(
        self, images: Tensor, beside: Mapping[str, Tensor], draws: Draws
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Augmentation`; types as `forward`."""
        moving = {name: factor for name, factor in self.groups.items() if name in MOVING}
        return moved_together(lambda pictures: self._through(moving, pictures, draws), images, beside)

    def _through(self, groups: Mapping[str, float], images: Tensor, draws: Draws) -> Tensor:
        check_pictures(images, "ADA")
        with torch.autocast(images.device.type, enabled=False):
            images = full_precision(images)
            p = self.probability(draws, images)
            for name, factor in groups.items():
                images = GROUPS[name](images, factor * p, draws)
        return images
