"""Blocks of a translator's pictures, as its metrics get them."""

import torch
from torch import Tensor

from gan_lab.metrics.base import Block
from gan_lab.sampling import Draws


def translated(
    images: Tensor,
    targets: Tensor,
    *,
    sources: Tensor | None = None,
    masks: Tensor | None = None,
    count: int | None = None,
    extractor: object = None,
) -> Block:
    """A block of these pictures, the first `count` of which count; all do by default."""
    return Block(
        None,
        {},
        Draws(0, across_ranks=False),
        None,
        images,
        len(images) if count is None else count,
        torch.device("cpu"),
        extractor=extractor,
        targets=targets,
        sources=sources,
        masks=masks,
    )


def random_pictures(*shape: int, seed: int) -> Tensor:
    """uint8."""
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def scored(metric, *blocks: Block) -> dict[str, float]:
    """What a metric says of blocks."""
    for block in blocks:
        metric.update(metric.probe(block))
    return metric.compute()
