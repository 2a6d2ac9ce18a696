"""Pickles read as data: their instructions are followed by a machine that calls nothing and makes inert records only.

A pickle is a program whose `GLOBAL` and `REDUCE` import and call whatever they name. Here a name is text that must
stand in a fixed list, a call is a record of that name and its arguments, and the few calls that stand for plain data
(ordered dicts, sets, parameters) give that data. Source code that a pickle brings along stays text.
"""

import io
import mmap
import pickletools
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LARGEST_FILE = 2 * 2**30  # bytes; StyleGAN2's of 1024 pixels have 360 million
MOST_OPCODES = 2_000_000
MOST_MEMOS = 1_000_000
DEEPEST_MARKS = 1_000
MOST_MODULES = 10_000
DEEPEST_MODULES = 30
MOST_TENSORS = 5_000

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
STORAGE = "torch.storage._load_from_bytes"
TENSOR = "torch._utils._rebuild_tensor_v2"
PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
DICTS = ("collections.OrderedDict", "dnnlib.util.EasyDict", "dnnlib.EasyDict")
SETS = ("builtins.set", "__builtin__.set", "builtins.frozenset", "__builtin__.frozenset")
RECORDS = {
    PERSISTENT,
    STORAGE,
    TENSOR,
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    "torch.Size",
    "torch.device",
    *(f"torch.{name}" for name in ("float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8", "bool")),
    *(f"torch.{name}" for name in ("contiguous_format", "channels_last", "preserve_format")),
    "torch.nn.modules.conv.Conv2d",
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.linear.Identity",
    "torch.nn.modules.container.ModuleList",
    "torch.nn.modules.container.Sequential",
    "training.networks.Generator",
    "training.networks.Discriminator",
    *(
        f"R3GAN.Networks.{name}"
        for name in (
            "Convolution",
            "ResidualBlock",
            "UpsampleLayer",
            "DownsampleLayer",
            "GenerativeBasis",
            "DiscriminativeBasis",
            "GeneratorStage",
            "DiscriminatorStage",
            "Generator",
            "Discriminator",
        )
    ),
    *(
        f"R3GAN.{name}{kind}"
        for name in (
            "FusedOperators.BiasedActivation",
            "Resamplers.InterpolativeUpsampler",
            "Resamplers.InterpolativeDownsampler",
        )
        for kind in ("", "CUDA", "Reference")  # the first is an alias of one of the others
    ),
}
KNOWN = {*RECORDS, *DICTS, *SETS, *PARAMETERS}
USUAL = "no file of StyleGAN2-ADA (PyTorch) or R3GAN needs that, and loading it could run code"
REASONS = {  # first words of names that are refused, and what a person can do
    "dnnlib.tflib": (
        "it is a legacy pickle of StyleGAN's TensorFlow code, whose arrays are laid out otherwise; legacy.py of "
        "stylegan2-ada-pytorch turns it into one that can be read here"
    ),
    "timm": "it holds networks of timm, as Projected GAN's and StyleGAN-XL's do, which gan_lab has not",
}


class RefusedFile(ValueError):
    """A file that is not read; the message says what stands in the way."""


@dataclass(eq=False, repr=False, slots=True)
class Record:
    """What a pickle would have made by a call, which was never made.

    Attributes:
        name: dotted name of what would have been called.
        arguments: that it would have been called with.
        state: what it would have been given afterwards.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


@dataclass(eq=False, repr=False, slots=True)
class Name:
    """A name of the list, not what it stands for."""

    name: str


def size_of(path: Path) -> int:
    """Bytes of a file that is not too large.

    Raises:
        RefusedFile: no such file, or too large.
    """
    size = path.stat().st_size if path.is_file() else None
    if size is None:
        raise RefusedFile(f"there is no file {path}")
    if size > LARGEST_FILE:
        raise RefusedFile(f"{path} has {size} bytes; files of up to {LARGEST_FILE} are read")
    return size


def read_pickle(path: Path) -> Any:
    """What a pickle holds, made of dicts, lists, tuples, plain values and `Record`.

    Raises:
        RefusedFile: no such file, too large, no pickle, cut short, a name that is not known, or more than is sound.
    """
    try:
        size = size_of(path)
        with open(path, "rb") as file:
            start = file.read(2)
            if size < 2 or start[:1] != b"\x80":
                raise RefusedFile(f"{path} is no pickle of protocol 2 or later")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                reader: Any = content  # read, readline and tell are all that is asked of a file
                return Machine(path).run(pickletools.genops(reader))
    except RefusedFile:
        raise
    except OSError as error:
        raise RefusedFile(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        told = str(error)[:200] or type(error).__name__
        raise RefusedFile(f"{path} is damaged (cut short, perhaps): {told}") from error


class Machine:
    """Follows the instructions of one pickle.

    Args:
        path: the file, for messages.
        names: those that a pickle may name.
        usual: why others are refused.
        storages: whether it refers to numbers that lie outside of it, as what torch.save writes does.
    """

    def __init__(
        self, path: Path, names: Collection[str] = KNOWN, usual: str = USUAL, *, storages: bool = False
    ) -> None:
        self.path, self.names, self.usual = path, names, usual
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.actions: dict[str, Callable[[Any], None]] = {
            "PROTO": self.skip,
            "FRAME": self.skip,
            "MARK": self.mark,
            "POP": lambda _: self.forget(),
            "POP_MARK": lambda _: self.forget_marked(),
            "NONE": lambda _: self.stack.append(None),
            "NEWTRUE": lambda _: self.stack.append(True),
            "NEWFALSE": lambda _: self.stack.append(False),
            "EMPTY_TUPLE": lambda _: self.stack.append(()),
            "EMPTY_LIST": lambda _: self.stack.append([]),
            "EMPTY_DICT": lambda _: self.stack.append({}),
            "EMPTY_SET": lambda _: self.stack.append([]),
            "TUPLE": lambda _: self.stack.append(tuple(self.marked())),
            "FROZENSET": lambda _: self.stack.append(self.marked()),
            "TUPLE1": lambda _: self.stack.append(self.taken(1)),
            "TUPLE2": lambda _: self.stack.append(self.taken(2)),
            "TUPLE3": lambda _: self.stack.append(self.taken(3)),
            "APPEND": lambda _: self.extend([self.stack.pop()]),
            "APPENDS": lambda _: self.extend(self.marked()),
            "ADDITEMS": lambda _: self.extend(self.marked()),
            "SETITEM": lambda _: self.set_items(list(self.taken(2))),
            "SETITEMS": lambda _: self.set_items(self.marked()),
            "MEMOIZE": lambda _: self.put(len(self.memo)),
            "BINPUT": self.put,
            "LONG_BINPUT": self.put,
            "BINGET": self.get,
            "LONG_BINGET": self.get,
            "GLOBAL": lambda text: self.name(*text.split(" ", 1)),
            "STACK_GLOBAL": lambda _: self.name(*self.taken(2)),
            "REDUCE": lambda _: self.call(*self.taken(2)),
            "NEWOBJ": lambda _: self.call(*self.taken(2)),
            "BUILD": lambda _: self.build(self.stack.pop()),
        }
        texts = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
        others = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
        self.actions |= dict.fromkeys((*texts, *others), self.stack.append)
        if storages:
            self.actions["BINPERSID"] = self.storage

    def run(self, instructions: Iterator[tuple[Any, Any, Any]]) -> Any:
        for count, (opcode, argument, _) in enumerate(instructions):
            if count >= MOST_OPCODES:
                raise self.refusal(f"it has more than {MOST_OPCODES} instructions")
            if opcode.name == "STOP":
                return self.stack.pop()
            action = self.actions.get(opcode.name)
            if action is None:
                raise self.refusal(f"it uses {opcode.name}, which such files do not")
            action(argument)
        raise ValueError("no end")

    def refusal(self, reason: str) -> RefusedFile:
        return RefusedFile(f"{self.path} was refused: {reason}. Nothing in it was run")

    # One instruction each ---------------------------------------------------------------------------------------

    def skip(self, _: Any) -> None: ...

    def mark(self, _: Any) -> None:
        if len(self.marks) >= DEEPEST_MARKS:
            raise self.refusal(f"it is nested more than {DEEPEST_MARKS} deep")
        self.marks.append(len(self.stack))

    def marked(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def taken(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise ValueError("an instruction lacks what it works on")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def storage(self, _: Any) -> None:
        (said,) = self.taken(1)
        count = said[4] if isinstance(said, tuple) and len(said) > 4 else None
        if type(count) is not int or not 0 <= count <= size_of(self.path):  # torch makes room before it reads
            raise self.refusal(f"it has a storage of {shown(count)} numbers, which the file has no room for")
        self.stack.append(Record("storage", (said,)))

    def forget(self) -> None:
        self.stack.pop()

    def forget_marked(self) -> None:
        self.marked()

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise self.refusal("it appends to what is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise self.refusal("it sets items of what is no dict")
        self.fill(self.stack[-1], list(zip(items[::2], items[1::2], strict=True)))

    def fill(self, target: dict[Any, Any], pairs: Any) -> None:
        for pair in pairs if isinstance(pairs, (list, tuple)) else [None]:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], (str, int)):
                raise self.refusal("a dict in it has a key that is neither text nor a number")
            target[pair[0]] = pair[1]

    def put(self, index: int) -> None:
        if index >= MOST_MEMOS or len(self.memo) >= MOST_MEMOS:
            raise self.refusal(f"it remembers more than {MOST_MEMOS} things")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError(f"nothing is remembered as {index}")
        self.stack.append(self.memo[index])

    def name(self, module: Any, name: Any = None) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise self.refusal("it names something by what is no text")
        full = f"{module}.{name}"
        if full not in self.names:
            reason = next((text for start, text in REASONS.items() if f"{full}.".startswith(f"{start}.")), self.usual)
            raise self.refusal(f"it names {full[:100]!r}: {reason}")
        self.stack.append(Name(full))

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise self.refusal("it calls what is no name")
        made: Any
        if function.name in DICTS:
            made = {}
            if arguments:
                self.fill(made, list(arguments[0].items()) if isinstance(arguments[0], dict) else arguments[0])
        elif function.name in SETS:
            made = list(arguments[0]) if arguments and isinstance(arguments[0], (list, tuple)) else []
        elif function.name in PARAMETERS:
            if not arguments:
                raise self.refusal("a parameter in it has no values")
            made = arguments[0]
        elif function.name == PERSISTENT:
            if not arguments or not isinstance(arguments[0], dict):
                raise self.refusal("an object in it has no description")
            made = Record(PERSISTENT, arguments, arguments[0].get("state"))
        else:
            made = Record(function.name, arguments)
        self.stack.append(made)

    def build(self, state: Any) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):  # attributes of a dict say nothing of its items
            raise self.refusal("it gives a state to what has none")


# What records stand for -----------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A value from a file, short enough for a message."""
    if isinstance(value, str):
        return repr(value[:60])
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 2**63):
        return repr(value)
    if isinstance(value, (list, tuple)) and len(value) <= 8 and all(isinstance(each, (int, float)) for each in value):
        return f"[{', '.join(map(shown, value))}]"
    return f"a {value.name[:60] if isinstance(value, Record) else type(value).__name__}"


def part(value: Any, name: str, path: Path) -> dict[str, Any]:
    """An entry of a record's state that must be a dict.

    Raises:
        RefusedFile: there is none.
    """
    state = value.state if isinstance(value, Record) else None
    found = state.get(name) if isinstance(state, dict) else None
    if not isinstance(found, dict):
        raise RefusedFile(f"{path} was refused: a network in it has no {name}")
    return found


def tensor_records(network: Any, path: Path) -> dict[str, Record]:
    """Dotted key -> record of each parameter and buffer of a pickled `torch.nn.Module`.

    Raises:
        RefusedFile: it is none, or has more modules than is sound, or deeper ones.
    """
    found: dict[str, Record] = {}
    waiting, modules = [("", network, 0)], 0
    while waiting:
        prefix, module, depth = waiting.pop()
        modules += 1
        if modules > MOST_MODULES or depth > DEEPEST_MODULES or len(found) > MOST_TENSORS:
            raise RefusedFile(
                f"{path} was refused: a network in it has more than {MOST_MODULES} modules, {MOST_TENSORS} tensors or "
                f"{DEEPEST_MODULES} levels"
            )
        for kind in ("_parameters", "_buffers"):
            for name, value in part(module, kind, path).items():
                if isinstance(value, Record) and value.name == TENSOR:
                    found[f"{prefix}{name}"] = value
                elif value is not None:
                    raise RefusedFile(f"{path} was refused: {prefix}{name} is {shown(value)}, which is no tensor")
        for name, value in part(module, "_modules", path).items():
            if value is not None:
                waiting.append((f"{prefix}{name}.", value, depth + 1))
    return found


def tensor(record: Record, key: str, path: Path) -> Tensor:
    """The float32 tensor of a record, whose storage torch reads with `weights_only=True`.

    Raises:
        RefusedFile: a storage that cannot be read or is too small, a size out of range, or values that are not finite.
    """
    try:
        storage, offset, size, stride = record.arguments[:4]
        (content,) = storage.arguments
        whole = storage.name == STORAGE and isinstance(content, bytes)
        numbers = [offset, *size, *stride]
        whole = whole and all(type(number) is int and 0 <= number < 2**40 for number in numbers)
        if not whole or len(size) != len(stride) or len(size) > 8:
            raise ValueError("its size, stride or storage is none")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of typed storages, which these files are made of
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            values = torch.empty(0, dtype=loaded.dtype).set_(loaded.untyped())
        count, last = 1, offset
        for length, step in zip(size, stride, strict=True):
            count, last = count * length, last + (length - 1) * step
        if not values.is_floating_point():
            raise ValueError(f"it is of {values.dtype}")
        if values.nbytes > len(content) or count > len(values) or (count and last >= len(values)):
            raise ValueError(f"its size {shown(size)} does not fit a storage of {len(values)} numbers")
        found = values.as_strided(size, stride, offset).to(torch.float32, copy=True).contiguous()
    except Exception as error:  # damaged bytes make torch raise anything at all
        told = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RefusedFile(f"{path} was refused: the tensor {key} cannot be read: {told}") from error
    if not found.isfinite().all():
        raise RefusedFile(f"{path} was refused: the tensor {key} has values that are not finite")
    return found
