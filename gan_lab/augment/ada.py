"""Adaptive discriminator augmentation."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gan_lab.augment.adaptive import AdaptiveAugmentation
from gan_lab.augment.color import recolor
from gan_lab.augment.corruption import add_noise, cut_out
from gan_lab.augment.filtering import amplify
from gan_lab.augment.geometry import blit, transform
from gan_lab.augment.pixels import check_pictures
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


class ADA(AdaptiveAugmentation):
    """The augmentation pipeline of StyleGAN2-ADA (Karras et al. 2020, section 2.1 and appendix B).

    Every operation is applied with probability p times the factor of its group, to each picture by itself. A picture
    for which nothing was drawn comes out as it went in, bit for bit.

    Departure from the paper: pixel blitting is done by itself and exactly, not as part of the one geometric
    transformation, which interpolates.

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

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """(B, C, H, W) -> the same shape, in float32 or float64, whatever autocast would have."""
        check_pictures(images, "ADA")
        with torch.autocast(images.device.type, enabled=False):
            images = full_precision(images)
            p = self.probability(draws, images)
            for name, factor in self.groups.items():
                images = GROUPS[name](images, factor * p, draws)
        return images
