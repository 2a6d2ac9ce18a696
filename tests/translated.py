"""Blocks of a translator's pictures, as its metrics get them; translators whose way there and back is known by hand."""

import torch
from torch import Tensor, nn

from gan_lab.data.images import from_uint8, to_uint8
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


class Negative(nn.Module):
    """Undoes itself."""

    def forward(self, condition: Tensor) -> Tensor:
        return -condition


GREY = 128 / 127.5 - 1


class Hiding(nn.Module):
    """Level 128, which holds the source within an eighth of a level."""

    def forward(self, condition: Tensor) -> Tensor:
        return GREY + condition / 1000


class Finding(nn.Module):
    """Finds what `Hiding` has hidden; of level 128 it makes level 128."""

    def forward(self, condition: Tensor) -> Tensor:
        return (1000 * (condition - GREY)).clamp(-1, 1)


def there_and_back(
    sources: Tensor, there: nn.Module, back: nn.Module, *, first: int = 0, count: int | None = None
) -> Block:
    """A block of uint8 sources from number `first` on, the first `count` of which count; all do by default."""
    samples = there(condition=from_uint8(sources))
    block = translated(to_uint8(samples), sources, sources=sources, count=count)
    block.samples, block.network_back, block.first = samples, back, first
    return block


def random_pictures(*shape: int, seed: int) -> Tensor:
    """uint8."""
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def scored(metric, *blocks: Block) -> dict[str, float]:
    """What a metric says of blocks."""
    for block in blocks:
        metric.update(metric.probe(block))
    return metric.compute()
