"""What the tests of augmentations share: pictures, and the same pictures over several ranks."""

from collections.abc import Callable

import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.sampling import Draws


def pictures(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform on [-1, 1), the same at each call."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype) * 2 - 1


def of_each_sample(*values: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, 1, 1, 1)."""
    return torch.tensor(values, dtype=dtype).view(-1, 1, 1, 1)


def over_ranks(change: Callable[[Tensor, Draws], Tensor], images: Tensor, world: int, monkeypatch) -> Tensor:
    """What `world` ranks make of their parts of `images`, put together."""
    parts = []
    with monkeypatch.context() as patched:
        patched.setattr(collectives, "world", lambda: world)
        for rank, part in enumerate(images.chunk(world)):
            patched.setattr(collectives, "rank", lambda rank=rank: rank)
            parts.append(change(part, Draws(3)))
    return torch.cat(parts)
