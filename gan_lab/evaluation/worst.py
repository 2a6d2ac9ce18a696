"""A picture of the samples that a metric finds worst, each beside what belongs to it."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from gan_lab.evaluation.sources import Source
from gan_lab.metrics.base import Block


def picture_of_worst(
    source: Source,
    values: Tensor,
    *,
    higher_is_better: bool,
    count: int,
    block_size: int,
    render: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """The samples with the worst values, the worst one first; they are made once more for it.

    Args:
        values: (N,) of the samples in their order; NaN for one that has none.
        count: how many are shown at most.
        block_size: of the blocks that `source` makes.
        render: what makes pictures of sources; None for sources that are pictures.
    Returns:
        (3, H, W) uint8, a row of `side_by_side` for each.
    """
    badness = (-values if higher_is_better else values).nan_to_num(nan=-torch.inf)
    rows = []
    for index in badness.argsort(descending=True, stable=True)[:count].tolist():
        if not values[index].isnan():  # that has no value
            made = source.make(index // block_size, block_size)
            if made.sources is not None and render is not None:
                made.sources = render(made.sources)
            rows.append(side_by_side(made, index % block_size))
    return torch.cat(rows, dim=1)


def side_by_side(made: Block, place: int) -> Tensor:
    """One sample of a block beside what belongs to it: source, mask, output and target, as far as there are any.

    Returns:
        (3, height + 2, width) uint8, in colours, on white; sources of other sizes are enlarged without smoothing, and
        alpha is left out.
    """
    height, width = made.images.shape[2:]
    masks = None if made.masks is None else 255 * made.masks.to(torch.uint8)
    shown = []
    for pictures in (made.sources, masks, made.images, made.targets):
        if pictures is not None:
            picture = interpolate(pictures[place : place + 1].cpu().float(), (height, width)).to(torch.uint8)[0]
            colours = picture[:3] if len(picture) >= 3 else picture[:1].expand(3, -1, -1)
            shown.append(pad(colours, (0, 2, 0, 2), value=255))
    return torch.cat(shown, dim=2)
