"""What the ranks of one training say to each other: rank, world, mean, gather. The identity on one process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

BUCKET_BYTES = 25 * 2**20

_side_group: Any = None


def is_distributed() -> bool:
    """Whether a process group of more than one rank is up."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's place in 0 .. world() - 1."""
    return dist.get_rank() if is_distributed() else 0


def world() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if is_distributed() else 1


# Twice differentiable ---------------------------------------------------------------------------------------------


def mean(values: Tensor) -> Tensor:
    """The mean of `values` over the ranks, on every rank.

    Gradients: with a loss of its own on each rank, `backward` gives the gradient of the sum of all ranks' losses.
    """
    return _sum(values) / world() if is_distributed() else values


def gather(values: Tensor) -> Tensor:
    """(n, ...) of each rank -> (world * n, ...) of all in rank order, on every rank; gradients as in `mean`."""
    if not is_distributed():
        return values
    around = (rank(), world() - rank() - 1)
    alone = torch.nn.functional.pad(values.unsqueeze(0), (0, 0) * values.ndim + around)
    return _sum(alone).flatten(0, 1)


class _Sum(torch.autograd.Function):
    """The sum over the ranks; its derivative is the same sum of the gradients, hence it has derivatives of any order.

    (torch's own differentiable all-reduce is deprecated in favour of a private one.)
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _sum(gradients[0])


def _sum(values: Tensor) -> Tensor:
    return _Sum.apply(values)


# In place -----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def average_(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over the ranks; few large messages, each tensor sent once."""
    if not is_distributed():
        return
    sent = []
    for bucket in buckets(tensors):
        flat = _pack(bucket)
        sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
    for bucket, flat, work in sent:
        work.wait()
        flat /= world()
        _unpack(flat, bucket)


@torch.no_grad()
def broadcast_(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by rank 0's."""
    if is_distributed():
        for bucket in buckets(list(tensors)):
            flat = _pack(bucket)
            dist.broadcast(flat, 0)
            _unpack(flat, bucket)


def _pack(bucket: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in bucket])


def _unpack(flat: Tensor, bucket: list[Tensor]) -> None:
    parts = flat.split([tensor.numel() for tensor in bucket])
    torch._foreach_copy_(bucket, [part.view(tensor.shape) for part, tensor in zip(parts, bucket, strict=True)])


def buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in their order, in groups of one type and about `BUCKET_BYTES`."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        bucket, size = [], 0
        for tensor in tensors:
            if tensor.dtype == dtype:
                bucket.append(tensor)
                size += tensor.numel() * tensor.element_size()
                if size >= BUCKET_BYTES:
                    yield bucket
                    bucket, size = [], 0
        if bucket:
            yield bucket


# Plain values, between steps ----------------------------------------------------------------------------------------


@contextmanager
def side_group(timeout: timedelta) -> Iterator[None]:
    """A second group, on the CPU: words between steps then neither wait for the device nor mix with its messages."""
    global _side_group
    _side_group = dist.new_group(backend="gloo", timeout=timeout) if is_distributed() else None
    try:
        yield
    finally:
        _side_group = None


def highest(value: int) -> int:
    """The largest `value` of any rank, without waiting for the device."""
    if not is_distributed():
        return value
    box = torch.tensor(value)
    dist.all_reduce(box, dist.ReduceOp.MAX, group=_side_group)
    return int(box)


def gather_objects(value: Any) -> list[Any] | None:
    """Every rank's `value` in rank order, on rank 0; None elsewhere."""
    if not is_distributed():
        return [value]
    gathered = [None] * world() if rank() == 0 else None
    dist.gather_object(value, gathered, group=_side_group)
    return gathered


def broadcast_object(value: Any) -> Any:
    """Rank 0's `value` on every rank."""
    if not is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box, group=_side_group)
    return box[0]


def from_first_rank(work: Callable[[], Any]) -> Any:
    """The result of `work()`, done by rank 0 alone, on every rank; what it raises is raised on every rank."""
    if not is_distributed():
        return work()
    result, problem = None, None
    if rank() == 0:
        try:
            result = work()
        except Exception as error:
            problem = error
    result, problem = broadcast_object((result, problem))
    if problem is not None:
        raise problem
    return result


@contextmanager
def first_ranks_first(local_rank: int) -> Iterator[None]:
    """What stands inside is done by rank 0, then by the first rank of each other machine, then by all others.

    The later ones find what the earlier ones have left in caches, whether machines share them or not.
    """
    turn = 0 if rank() == 0 else 1 if local_rank == 0 else 2
    for number in range(3):
        if number == turn:
            yield
        if is_distributed():
            dist.barrier(group=_side_group)
