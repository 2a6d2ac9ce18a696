"""What the ranks of one training say to each other: rank, world, mean, gather. The identity on one process."""

from typing import Any

import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    """Whether a process group of more than one rank is up."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's place in 0 .. world() - 1."""
    return dist.get_rank() if is_distributed() else 0


def world() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if is_distributed() else 1


def gather_objects(value: Any) -> list[Any] | None:
    """Every rank's `value` in rank order, on rank 0; None elsewhere."""
    if not is_distributed():
        return [value]
    gathered = [None] * world() if rank() == 0 else None
    dist.gather_object(value, gathered)
    return gathered


def broadcast_object(value: Any) -> Any:
    """Rank 0's `value` on every rank."""
    if not is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def mean(values: Tensor) -> Tensor:
    """The mean of `values` over the ranks, on every rank."""
    if not is_distributed():
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / world()
