"""ADA's filters: frequency bands made stronger or weaker."""

from functools import lru_cache

import numpy as np
import pywt
import torch
from torch import Tensor

from gan_lab.augment.pixels import reflect, uniforms_and_normals
from gan_lab.sampling import Draws, send

BANDS = 4
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of natural pictures in each band, whose spectrum falls as 1 / f


def amplify(images: Tensor, p: Tensor, draws: Draws) -> Tensor:
    """Image-space filtering (Karras et al. 2020, appendix B).

    The bands are [0, pi/8], [pi/8, pi/4], [pi/4, pi/2] and [pi/2, pi] in height and in width. Each in turn is amplified
    with probability p by 2^n, n normal, and all of them then scaled so that a natural picture keeps its power.

    Args:
        images: (B, C, H, W).
        p: of no dimension.
        draws: of this moment.
    """
    chances, gains = uniforms_and_normals(draws, images, uniform=("ada bands", BANDS), normal=("ada gains", BANDS))
    chosen = torch.cat(chances, dim=1) < p
    strength = torch.exp2(torch.cat(gains, dim=1) * chosen)
    power = torch.cat([strength.new_full((1, 1, 1, 1), share) for share in POWER], dim=1)
    balanced = strength / (1 + power * (strength.square() - 1)).sqrt().prod(1, keepdim=True)
    return torch.where(chosen.any(1, keepdim=True), equalize(images, balanced), images)


def equalize(images: Tensor, gains: Tensor) -> Tensor:
    """Each band of each picture times its gain, down the columns and along the rows; reflected at the outermost pixels.

    Args:
        images: (B, C, H, W).
        gains: (B, 4, 1, 1), of the lowest band first.
    """
    down, along = (
        torch.einsum("bk,kij->bij", gains.flatten(1), _bands(size, images.device, images.dtype)).unsqueeze(1)
        for size in images.shape[2:]
    )
    return down @ images @ along.mT


def band_filters() -> list[np.ndarray]:
    """The four bands as filters of 43 places that are symmetric about the middle one and sum to the identity.

    From sym2's low-pass filter h, P(z) = h(z) h(1/z) / 2 passes the lower half of the spectrum, and 1 - P(z) the
    upper half. The lower half is divided again with P(z^2), and the lower quarter with P(z^4).
    """
    low_pass = np.array(pywt.Wavelet("sym2").dec_lo)
    half = np.convolve(low_pass, low_pass[::-1]) / 2
    below, bands = np.ones(1), []
    for stretch in (1, 2, 4):
        low = np.zeros(stretch * (len(half) - 1) + 1)
        low[::stretch] = half
        high = -low
        high[len(high) // 2] += 1
        bands.append(np.convolve(below, high))
        below = np.convolve(below, low)
    longest = len(below)
    return [np.pad(band, (longest - len(band)) // 2) for band in (below, *reversed(bands))]


@lru_cache(maxsize=16)
def _bands(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(4, size, size): each band's filter as a matrix on `size` pixels, reflected at the outermost."""
    filters = torch.tensor(np.stack(band_filters()))
    reach = filters.shape[1] // 2
    with torch.inference_mode(False):
        matrices = torch.zeros(BANDS, size, size, dtype=torch.float64)
        for pixel in range(size):
            read = reflect(torch.arange(pixel - reach, pixel + reach + 1), size)
            matrices[:, pixel].index_add_(1, read, filters)
        return send(matrices.to(dtype), device)
