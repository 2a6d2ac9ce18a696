"""ADA's colours: affine maps of colour space."""

import math

import torch
from torch import Tensor

from gan_lab.augment.pixels import split_alpha, uniforms_and_normals
from gan_lab.sampling import Draws


def recolor(images: Tensor, p: Tensor, draws: Draws) -> Tensor:
    """Colour transformations (Karras et al. 2020, appendix B), in this order, each with probability p.

    Brightness + 0.2 n; contrast * 2^(0.5 n) about mid grey; luma flip: greys negated, hues kept, in one case of two;
    hue rotated by an angle uniform on the circle; saturation * 2^n; with n standard normal.

    A grey picture has three equal channels in thought, so hue and saturation do nothing to it, and the luma flip
    negates it. The fourth channel of four, alpha, stays as it is.

    Args:
        images: (B, C, H, W) in about [-1, 1], of 1, 3 or 4 channels.
        p: of no dimension.
        draws: of this moment.
    """
    shown, alpha = split_alpha(images)
    (*chances, side, angle), (brightness, contrast, saturation) = uniforms_and_normals(
        draws, images, uniform=("ada color", 7), normal=("ada shades", 3)
    )
    brighter, contrasted, flipped, rotated, saturated = (chance < p for chance in chances)
    changed = adjust(
        shown,
        brightness=0.2 * brightness * brighter,
        contrast=torch.exp2(0.5 * contrast * contrasted),
        luma=1 - 2 * (flipped & (side < 0.5)).to(images.dtype),
        angle=math.tau * angle * rotated,
        saturation=torch.exp2(saturation * saturated),
    )
    shown = torch.where(brighter | contrasted | flipped | rotated | saturated, changed, shown)
    return torch.cat([shown, alpha], dim=1)


def adjust(
    images: Tensor, *, brightness: Tensor, contrast: Tensor, luma: Tensor, angle: Tensor, saturation: Tensor
) -> Tensor:
    """One map for all: along the axis of greys v = (1, 1, 1) / sqrt(3), and across it.

    Along v, what is there is multiplied by `luma`; across, it is rotated about v by `angle` and multiplied by
    `saturation`.

    Args:
        images: (B, 1 or 3, H, W).
        brightness, contrast, luma, angle, saturation: (B, 1, 1, 1).
    """
    images = contrast * (images + brightness)
    grey = images.mean(1, keepdim=True)
    hue = images - grey
    across = (hue.roll(1, 1) - hue.roll(-1, 1)) / math.sqrt(3)  # the vector product of v and hue
    return luma * grey + saturation * (angle.cos() * hue + angle.sin() * across)
