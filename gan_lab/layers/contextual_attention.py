"""Contextual attention: what is missing is put together of patches of what is known (Yu et al. 2018, section 4.1)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.layers.precision import full_precision, without_autocast

PATCH = 3  # side of the patches that are compared, on the coarse grid
RATE = 2  # how much coarser that grid is than the features
PASTED = 2 * RATE  # side of the patches that are pasted, on the grid of the features
SHARPNESS = 10.0  # factor on the scores before the softmax
SMALLEST_NORM = 1e-4


def contextual_attention(features: Tensor, mask: Tensor) -> Tensor:
    """Features of which every patch is a mean of known patches, weighted by how alike they are.

    Patches of 3x3 on a grid of each second place are compared: the inner product with each known patch, of norm 1. Each
    score is joined by those of the neighbours to the left and right, then above and below, on both sides alike, so that
    neighbours prefer to take neighbours (there, "attention propagation"). A softmax of ten times the scores weighs the
    4x4 patches of the features themselves, which are laid over one another and averaged.

    Departures from the authors' code: scores are not joined across the ends of rows; the mean is over the patches that
    lie on a place, four but at the border; patches that touch the hole get no weight at all, where there the softmax
    had them with a score of 0; and a place is in the hole where any pixel of it is, not its first one. Where every
    patch touches the hole, all weigh alike.

    Args:
        features: (B, C, H, W), H and W even.
        mask: (B, 1, s H, s W) with a whole s, 1 in the hole.
    Returns:
        (B, C, H, W), of the type of `features`; computed in float32 at least.
    """
    size = features.shape[2:]
    height, width = size[0] // RATE, size[1] // RATE
    with without_autocast(features):
        values = full_precision(features)
        patches = F.unfold(values[:, :, ::RATE, ::RATE], PATCH, padding=PATCH // 2)  # (B, 9 C, places)
        scores = patches.mT @ F.normalize(patches, dim=1, eps=SMALLEST_NORM)  # (B, places, places that are looked at)
        scores = _joined(scores, height, width)
        unknown = _touching_the_hole(mask, height, width)
        lowest = torch.finfo(scores.dtype).min  # finite: a row of nothing else is uniform, not NaN
        weights = (SHARPNESS * scores).masked_fill(unknown, lowest).softmax(dim=2)
        laid = F.unfold(values, PASTED, stride=RATE, padding=RATE // 2) @ weights.mT  # (B, 16 C, places)
        layers = torch.ones_like(laid[:1, : PASTED**2])
        total, count = (F.fold(each, size, PASTED, stride=RATE, padding=RATE // 2) for each in (laid, layers))
        return (total / count).to(features.dtype)


def _joined(scores: Tensor, height: int, width: int) -> Tensor:
    """(B, places, places): sums over diagonals of three, along the rows of both grids and then along their columns."""
    by_rows = scores.unflatten(2, (height, width)).unflatten(1, (height, width)).transpose(2, 3)  # y, y', x, x'
    by_columns = _with_diagonal_neighbours(by_rows).permute(0, 3, 4, 1, 2)  # x, x', y, y'
    return _with_diagonal_neighbours(by_columns).permute(0, 3, 1, 4, 2).flatten(3).flatten(1, 2)


def _with_diagonal_neighbours(scores: Tensor) -> Tensor:
    """(..., n, n) -> (..., n, n): each with those one further and one back on both axes, where there are such."""
    further, back = F.pad(scores[..., 1:, 1:], (0, 1, 0, 1)), F.pad(scores[..., :-1, :-1], (1, 0, 1, 0))
    return scores + further + back


def _touching_the_hole(mask: Tensor, height: int, width: int) -> Tensor:
    """(B, 1, places) bool: which of the patches on the coarse grid hold a pixel of the hole."""
    holes = F.max_pool2d(mask, (mask.shape[2] // height, mask.shape[3] // width))
    return F.max_pool2d(holes, PATCH, stride=1, padding=PATCH // 2).flatten(2) > 0.5
