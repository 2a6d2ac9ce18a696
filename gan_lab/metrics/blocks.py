"""Values of many blocks of samples: in memory while they are few, in a temporary file where they are many."""

import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

IN_MEMORY = 2**28  # bytes of one kind of values, of all samples together; 50,000 pictures of 256x256 are 10 GB


class BlockStore(Mapping[int, dict[str, Tensor]]):
    """What metrics take of each block, by the block's number and the values' name.

    Values of more than `IN_MEMORY` bytes lie in a file without a name in the folder for temporary files (the variable
    TMPDIR), and come back as views of the mapped file: what reads them row by row takes memory for a few rows. Where
    that file cannot be written, a warning says so, and values stay in memory.

    Args:
        count: samples in all, 1 or more.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._blocks: dict[int, dict[str, Tensor | tuple[_File, int]]] = {}
        self._files: dict[str, _File | None] = {}

    def put(self, block: int, values: Mapping[str, Tensor]) -> None:
        """Keep the values of a block: (rows, ...) each, on the CPU, of one type and shape per name."""
        self._blocks[block] = {name: self._kept(name, value) for name, value in values.items()}

    def take(self, block: int) -> dict[str, Tensor] | None:
        """The values of a block, which is forgotten, in memory of their own; None where there is no such block."""
        if block not in self._blocks:
            return None
        taken = {name: value.clone() for name, value in self[block].items()}
        del self._blocks[block]
        return taken

    def __getitem__(self, block: int) -> dict[str, Tensor]:
        return {
            name: kept if isinstance(kept, Tensor) else kept[0].read(kept[1])
            for name, kept in self._blocks[block].items()
        }

    def __iter__(self) -> Iterator[int]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)

    def _kept(self, name: str, value: Tensor) -> "Tensor | tuple[_File, int]":
        if not value.numel() or self._count * value.nbytes / len(value) <= IN_MEMORY:
            return value
        try:
            if name not in self._files:
                self._files[name] = _File()
            file = self._files[name]
            return value if file is None else (file, file.append(value))
        except OSError as error:
            self._files[name] = None
            warnings.warn(
                f"{self._count} {name} of {value.nbytes // len(value)} bytes cannot be kept in {tempfile.gettempdir()} "
                f"({error}): they stay in memory. Set TMPDIR to a folder with more room",
                stacklevel=2,
            )
            return value


class _File:
    """Tensors one behind the other in a temporary file, which is gone when nothing refers to it."""

    def __init__(self) -> None:
        self._file: Any = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (lives as long as this)
        weakref.finalize(self, self._file.close)
        self._places: list[tuple[int, torch.dtype, torch.Size]] = []
        self._end = 0
        self._mapped: Tensor | None = None

    def append(self, value: Tensor) -> int:
        """Write a tensor; returns its number."""
        content = value.contiguous().flatten().view(torch.uint8).numpy().data
        self._file.seek(self._end)
        done = 0
        while done < len(content):  # a full disk takes a part before it refuses
            done += self._file.write(content[done:])
        self._places.append((self._end, value.dtype, value.shape))
        self._end += len(content)
        self._mapped = None
        return len(self._places) - 1

    def read(self, number: int) -> Tensor:
        """A tensor that was written, as a view of the mapped file; whoever changes it changes no file."""
        if self._mapped is None:
            self._mapped = torch.from_numpy(np.memmap(self._file, dtype=np.uint8, mode="c", shape=(self._end,)))
        start, dtype, shape = self._places[number]
        return self._mapped[start : start + shape.numel() * dtype.itemsize].view(dtype).view(shape)


def joined(blocks: Sequence[Tensor]) -> Tensor:
    """`torch.cat`, without a copy where the blocks lie one behind the other in the same memory, or mapped file."""
    first, place = blocks[0], blocks[0].storage_offset()
    for block in blocks:
        behind = block.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        alike = block.dtype == first.dtype and block.shape[1:] == first.shape[1:] and block.is_contiguous()
        if not (behind and alike and block.storage_offset() == place):
            return torch.cat(list(blocks))
        place += block.numel()
    shape = (sum(map(len, blocks)), *first.shape[1:])
    return first.as_strided(shape, torch.empty(shape, device="meta").stride())
