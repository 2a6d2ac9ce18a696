"""Files of torch.save: looked through as data, then read by torch with `weights_only=True`.

The look before (`gan_lab.importing.pickles.Machine`) holds what torch's own reader leaves open: sizes, depth, keys of
dicts, archives that unpack to more than they are.
"""

import io
import itertools
import mmap
import pickletools
import struct
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from gan_lab.importing.pickles import (
    MOST_TENSORS,
    PARAMETERS,
    SETS,
    TENSOR,
    Machine,
    RefusedFile,
    shown,
    size_of,
)

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that torch before 1.6 begins its files with
LEGACY_PICKLES = 5  # that number, a version, the machine, what was saved, and the names of its storages
END, LOCATOR_64, END_64 = 22, 20, 56  # bytes of the three last records of a zip file
LARGEST_STRUCTURE = 64 * 2**20  # bytes of what is no number of a tensor
MOST_ENTRIES = 50_000
FURTHER = (  # of the training program, beside the weights: its arguments, its best scores
    "argparse.Namespace",
    "_codecs.encode",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
)
NAMES = {
    TENSOR,
    *PARAMETERS,
    "collections.OrderedDict",
    *SETS,
    *FURTHER,
    "torch.Size",
    "torch.device",
    *(
        f"torch.{kind}Storage"
        for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Byte", "Bool")
    ),
}
USUAL = "no file of rosinality's StyleGAN2, StudioGAN or Mimicry needs that, and loading it could run code"


class _Left:
    """Stands where a file has an object of its training program: takes anything, and does nothing."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


def is_saved(path: Path) -> bool:
    """Whether a file begins as torch.save's do, of either format."""
    size_of(path)
    with open(path, "rb") as file:
        start = file.read(len(LEGACY))
    return start[:2] == b"PK" or start == LEGACY


def read_saved(path: Path) -> dict[str, Any]:
    """What torch.save wrote: a dict of tensors, plain values and dicts of them.

    Raises:
        RefusedFile: too large, not of torch.save, damaged, a name that is not known, or more than is sound.
    """
    size = size_of(path)
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"PK"
        structure = _look_through_zip(path, size) if zipped else _look_through_legacy(path)
        if not isinstance(structure, dict):
            raise RefusedFile(f"{path} was refused: it holds {shown(structure)}, and not a dict of networks")
        with torch.serialization.safe_globals([(_Left, name) for name in FURTHER]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except RefusedFile:
        raise
    except Exception as error:  # damaged bytes make torch raise anything at all
        told = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RefusedFile(f"{path} is damaged (cut short, perhaps): {told}") from error
    return content


def _look_through_zip(path: Path, size: int) -> Any:
    """The structure of an archive that torch.save wrote, as inert records."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        distinct = {entry.filename.casefold() for entry in entries}  # as torch's reader takes names
        if _contents_at(path, size) != archive.start_dir or len(distinct) < len(entries):
            raise RefusedFile(
                f"{path} was refused: it is no zip file as torch.save writes them, and readers of such would disagree "
                "on what is in it"
            )
        names = {PurePosixPath(entry.filename).name for entry in entries if "/" in entry.filename}
        if "constants.pkl" in names or any("/code/" in entry.filename for entry in entries):
            raise RefusedFile(
                f"{path} was refused: it is of TorchScript, which is code; take the checkpoint of the training, which "
                "torch.save wrote"
            )
        pickles = [
            entry
            for entry in entries
            if entry.filename.count("/") == 1 and entry.filename.casefold().endswith("/data.pkl")
        ]
        if len(pickles) != 1:
            count = len(pickles) or "no"
            raise RefusedFile(f"{path} is a zip file, but none that torch.save writes: it has {count} data.pkl")
        sums = sum(entry.file_size for entry in entries)
        if len(entries) > MOST_ENTRIES or sums > size or any(entry.compress_type for entry in entries):
            raise RefusedFile(
                f"{path} was refused: its {len(entries)} entries unpack to {sums} bytes and it has {size}; torch.save "
                "compresses nothing"
            )
        if pickles[0].file_size > LARGEST_STRUCTURE:
            raise RefusedFile(f"{path} was refused: its data.pkl has {pickles[0].file_size} bytes")
        content = archive.read(pickles[0])
    return Machine(path, NAMES, USUAL, storages=True).run(pickletools.genops(io.BytesIO(content)))


def _contents_at(path: Path, size: int) -> int | None:
    """The place of a zip file's table of contents by its last record, which torch goes by; None of an unsound one.

    Python's `zipfile` goes by where the table ends. So a file with two tables could show one, and have torch read the
    other. In a file of torch.save there is one, and the last record ends the file.
    """
    with open(path, "rb") as file:
        file.seek(max(0, size - END_64 - LOCATOR_64 - END))
        tail = file.read()
    end, locator, end_64 = tail[-END:], tail[-END - LOCATOR_64 : -END], tail[: -END - LOCATOR_64]
    if len(end) < END or end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        return None
    length, start = struct.unpack("<II", end[12:20])
    ends_at = size - END
    if locator[:4] == b"PK\6\7":
        ends_at -= LOCATOR_64 + END_64
        if len(end_64) < END_64 or end_64[:4] != b"PK\6\6" or struct.unpack("<Q", locator[8:16])[0] != ends_at:
            return None
        length, start = struct.unpack("<QQ", end_64[40:56])
    return start if start + length == ends_at else None


def _look_through_legacy(path: Path) -> Any:
    """The same of a file of torch before 1.6: pickles one after another, then the numbers."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        reader: Any = content
        found = [
            Machine(path, NAMES, USUAL, storages=True).run(pickletools.genops(reader)) for _ in range(LEGACY_PICKLES)
        ]
    return found[3]


class Tensors:
    """The tensors of one network in a file, each of which must be taken once.

    Args:
        state: of a network, as the file has it.
        what: the network's name in messages.
        path: the file.
    Raises:
        RefusedFile: it is no dict of tensors, or has more than is sound.
    """

    def __init__(self, state: Any, what: str, path: Path) -> None:
        if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
            raise RefusedFile(f"{path} was refused: {what} in it is no dict of tensors")
        if len(state) > MOST_TENSORS:
            raise RefusedFile(f"{path} was refused: {what} in it has more than {MOST_TENSORS} tensors")
        self._left: dict[str, Tensor] = {str(key): value for key, value in state.items()}
        self.what, self.path = what, path
        self._bytes = size_of(path)  # that may still be taken: tensors that share one storage are more than they are

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def keys(self) -> list[str]:
        """Of what was not taken yet."""
        return list(self._left)

    def has(self, beginning: str) -> bool:
        """Whether a tensor's key begins so."""
        return any(key.startswith(beginning) for key in self._left)

    def take(self, key: str, dimensions: int | None = None) -> Tensor:
        """The float32 tensor of a key.

        Args:
            dimensions: how many it must have, with at least one number; None for any.
        Raises:
            RefusedFile: there is none, it is of another shape, more than the file with those before, or has values that
                are not finite.
        """
        if key not in self._left:
            raise RefusedFile(f"{self.path} was refused: {self.what} has no {key}")
        found = self._left.pop(key)
        shape = shown(list(found.shape))
        if found.layout != torch.strided or found.is_complex() or found.is_quantized:
            raise RefusedFile(f"{self.path} was refused: {self.what}'s {key} is a tensor of another kind than numbers")
        self._bytes -= found.numel() * found.element_size()
        if self._bytes < 0:
            raise RefusedFile(
                f"{self.path} was refused: {self.what}'s {key} has the shape {shape}, more than is in the file"
            )
        if dimensions is not None and (found.ndim != dimensions or not found.numel()):
            raise RefusedFile(f"{self.path} was refused: {self.what}'s {key} has the shape {shape}")
        found = found.to(torch.float32, copy=True).contiguous()
        if not found.isfinite().all():
            raise RefusedFile(f"{self.path} was refused: {self.what}'s {key} has values that are not finite")
        return found

    def take_weight(self, key: str) -> Tensor:
        """That of a linear layer, an embedding or a convolution, which has two dimensions or four; see `take`."""
        found = self.take(key)
        if found.ndim not in (2, 4) or not found.numel():
            shape = shown(list(found.shape))
            raise RefusedFile(f"{self.path} was refused: {self.what}'s {key} has the shape {shape}")
        return found

    def drop(self, *beginnings: str) -> list[str]:
        """Leave behind what begins so; the keys."""
        dropped = [key for key in self._left if key.startswith(beginnings)]
        for key in dropped:
            del self._left[key]
        return dropped

    def finish(self) -> None:
        """Hold that nothing is left.

        Raises:
            RefusedFile: a tensor that gan_lab's network has no place for.
        """
        if self._left:
            key = next(iter(self._left))
            raise RefusedFile(f"{self.path} was refused: {self.what} has {shown(key)}, which gan_lab's has not")


def indices(keys: list[str], prefix: str) -> int:
    """How many numbered parts there are behind a prefix, as in `convs.0.weight`: the first number that is not used."""
    used = {key[len(prefix) :].split(".")[0] for key in keys if key.startswith(prefix)}
    return next(number for number in itertools.count() if str(number) not in used)
