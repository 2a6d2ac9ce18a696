"""How far what was filled in lies from what was there."""

from torch import Tensor
from torch.nn.functional import max_pool2d


def squared_in_hole(*, real: Tensor, filled: Tensor, mask: Tensor, band: int, band_weight: float) -> Tensor:
    """Mean squared error within the hole and, weighted, within a band around it (Pathak et al. 2016, section 3.2).

    The band is where the hole's filling and the picture overlap, so that they fit together (there: 4 pixels, ten times
    as heavy; section 3.3). Its weight is none of the mean's: all pixels of hole and band count as one.

    Args:
        real, filled: (B, C, H, W).
        mask: (B, 1, H, W), 1 in the hole.
        band: its width in pixels, 0 or more.
        band_weight: of the pixels in it, beside 1 of those in the hole.
    Returns:
        (B,) float32; 0 of a picture without a hole.
    """
    hole = mask.float()
    wide = max_pool2d(hole, 2 * band + 1, stride=1, padding=band) if band else hole
    weights = hole + band_weight * (wide - hole)
    errors = (weights * (filled.float() - real.float()).square()).flatten(1).sum(1)
    return errors / (wide.flatten(1).sum(1) * real.shape[1]).clamp_min(1)
