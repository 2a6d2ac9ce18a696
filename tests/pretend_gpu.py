"""A GPU that is not there: tensors that say `gpu:0`, live on the CPU, compute real numbers, and tell what would wait.

    with Pretended() as gpu:
        fit(..., trainer._target_=pretend_gpu.trainer_on_gpu)
    gpu.waits    # (what, file:line) -> times the host would have stood still until the device had done all its work
    gpu.copies   # file:line -> asynchronous copies of page-locked memory to the device

What mixes devices raises RuntimeError, as on a GPU. What waits, here as there: reading a value (`.item()`, `bool`,
`.tolist()`, `.cpu()`), a result whose shape depends on values (a mask as an index, `nonzero`, `unique`), and a copy of
memory that is not page-locked to the device, whether `.to` sends it or an index on the CPU does in passing.

Limits. Kernels are the CPU's, so it says nothing of types or operators that a GPU lacks, of memory, streams or speed;
autocast casts nothing; `device.type` is not "cuda", so what asks for that is passed over. A tensor whose shape is
changed in place (`resize_`, `set_`) is not followed. A random number of the device's default generator is the CPU's.

It stands on private parts of torch, hence `SUPPORTED`, and the device stays registered: a process of its own is the
place for it (see `tests/contracts/test_pretended_gpu.py`).
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

from gan_lab.callbacks.base import TickCallback, callbacks_of

RELEASES = ("2.14.",)  # of torch, whose private parts are known to be as they are used here
SUPPORTED = torch.__version__.startswith(RELEASES)
NAME = "gpu"
CPU = torch.device("cpu")
GPU = torch.device("privateuseone", 0)  # "gpu:0" once it is registered
aten = torch.ops.aten
_library: Any = None


def register() -> None:
    """Let torch know the device, once and for good.

    Raises:
        RuntimeError: a release of torch that this was not tried with.
    """
    global _library
    if not SUPPORTED:
        raise RuntimeError(f"the pretended GPU knows torch {', '.join(RELEASES)}*; this is {torch.__version__}")
    if _library is not None:
        return

    class Backend(backend_registration._DummyBackendModule):
        """What torch asks of the module of a device."""

        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16, torch.float32]

        def is_autocast_enabled(self) -> bool:
            return torch.is_autocast_enabled(NAME)

        def manual_seed(self, seed: int) -> None:
            """The default generator is the CPU's."""

    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    _library = torch.library.Library("_", "IMPL")
    _library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # `.data` takes no tensor of another device


# Results whose value or shape the host has to know.
READING = {
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.bincount.default,
    aten.repeat_interleave.Tensor,
}
INDEXING = {"index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_"}
COPYING = {"_to_copy", "copy_", "copy", "_copy_from", "_foreach_copy_"}


class OnGPU(Tensor):
    """A tensor on the pretended device; its numbers lie in a CPU tensor."""

    _inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnGPU":
        shown = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=GPU,
        )
        shown._inner = inner
        return shown

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"OnGPU({self._inner})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A checkpoint holds the numbers."""
        inner = self._inner.detach()
        return (inner.requires_grad_() if self.requires_grad else inner).__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {}, _watcher)


class Pretended:
    """The device while it is there, and what it has seen.

    Attributes:
        waits: (what, file:line) -> how often.
        copies: file:line -> asynchronous copies to the device.
        sent: bytes of these copies.
    """

    def __init__(self) -> None:
        self.waits: Counter[tuple[str, str]] = Counter()
        self.copies: Counter[str] = Counter()
        self.sent = 0
        self.watching = False
        self._stack = ExitStack()

    def __enter__(self) -> "Pretended":
        global _watcher
        register()
        _watcher = self
        self._stack.enter_context(patch.object(torch, "Generator", _Generator))
        self._stack.enter_context(_Functions())
        self._stack.enter_context(_Operators())
        return self

    def __exit__(self, *error: Any) -> None:
        global _watcher
        self._stack.close()
        _watcher = None

    @contextmanager
    def counting(self, watching: bool = True) -> Iterator[None]:
        """Whether what happens inside is counted; to begin with, nothing is."""
        before, self.watching = self.watching, watching
        try:
            yield
        finally:
            self.watching = before

    def waited(self, what: str) -> None:
        if self.watching:
            self.waits[what, place()] += 1

    def copied(self, tensor: Tensor, *, asynchronous: bool) -> None:
        """From the CPU to the device."""
        if not asynchronous:
            self.waited("a copy of memory that is not page-locked")
        elif self.watching:
            self.copies[place()] += 1
            self.sent += tensor.nbytes


_watcher: Pretended | None = None


def place() -> str:
    """The line that torch was called from: folder/file.py:line; but `gan_lab/sampling.py`, which sends for others."""
    for frame in reversed(traceback.extract_stack()):
        if "/torch/" not in frame.filename and not frame.filename.endswith(("/pretend_gpu.py", "gan_lab/sampling.py")):
            return f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}"
    return "backward"


def _run(function: Any, args: Any, kwargs: dict[str, Any], gpu: Pretended | None) -> Any:
    """Compute on the CPU what was asked of the device, and put the results where they would lie."""
    tensors = list(_tensors((args, kwargs)))
    ours = [tensor for tensor in tensors if isinstance(tensor, OnGPU)]
    device = kwargs.get("device")
    asked = None if device is None else torch.device(device).type
    if not ours and asked != GPU.type:
        return function(*args, **kwargs)
    name = function.overloadpacket.__name__
    theirs = [tensor for tensor in tensors if not isinstance(tensor, OnGPU)]
    if name not in COPYING and name not in INDEXING and ours and any(tensor.ndim for tensor in theirs):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {GPU} and cpu, in "
            f"{function} at {place()}"
        )
    if gpu is not None:
        _notice(gpu, function, name, args, kwargs, asked, ours, theirs)
    if asked == GPU.type:
        kwargs = {**kwargs, "device": CPU}
    found = function(*_unwrapped(args), **_unwrapped(kwargs))
    on_gpu = asked == GPU.type if asked is not None else not (name == "copy_" and not isinstance(args[0], OnGPU))
    if not on_gpu:
        return args[0] if name == "copy_" else found
    return _wrapped(found, {id(tensor._inner): tensor for tensor in ours})


def _notice(
    gpu: Pretended, function: Any, name: str, args: Any, kwargs: Any, asked: str | None, ours: Any, theirs: Any
) -> None:
    if function in READING and ours:
        gpu.waited(str(function).removeprefix("aten.").removesuffix(".default"))
    elif name in INDEXING:
        for index in (tensor for tensor in args[1] if tensor is not None):
            if not isinstance(index, OnGPU):
                gpu.copied(index, asynchronous=False)
            if index.dtype in (torch.bool, torch.uint8) and not _fills(name, args):
                gpu.waited("a mask as an index")
    elif name == "_to_copy":
        if asked == CPU.type and ours:
            gpu.waited("a copy to the CPU")
        elif asked == GPU.type:
            for tensor in theirs:
                asynchronous = kwargs.get("non_blocking", False) and getattr(tensor, "page_locked", False)
                gpu.copied(tensor, asynchronous=asynchronous)
    elif name in COPYING and ours and theirs:
        if isinstance(args[0], OnGPU) or name == "_foreach_copy_":
            for tensor in theirs:
                if tensor.ndim or name == "_foreach_copy_":
                    gpu.copied(tensor, asynchronous=False)
        else:
            gpu.waited("a copy to the CPU")


def _fills(name: str, args: Any) -> bool:
    """Whether one number is written where a mask says so, which torch does without counting the places."""
    return name == "index_put_" and len(args[1]) == 1 and args[2].numel() == 1


def _tensors(tree: Any) -> Iterator[Tensor]:
    for value in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple, dict)):
            yield from _tensors(value)


def _unwrapped(tree: Any) -> Any:
    if isinstance(tree, OnGPU):
        return tree._inner
    if isinstance(tree, dict):
        return {key: _unwrapped(value) for key, value in tree.items()}
    return type(tree)(map(_unwrapped, tree)) if type(tree) in (list, tuple) else tree


def _wrapped(tree: Any, known: dict[int, OnGPU]) -> Any:
    """Results as tensors of the device; what was changed in place is the tensor that it was."""
    if isinstance(tree, Tensor):
        if tree._is_zerotensor():  # autograd's zeros without memory, which no kernel may be given
            tree = torch.zeros(tree.shape, dtype=tree.dtype)
        return known[id(tree)] if id(tree) in known else OnGPU(tree)
    return type(tree)(_wrapped(value, known) for value in tree) if isinstance(tree, (list, tuple)) else tree


class _Operators(TorchDispatchMode):
    """Operators that make tensors of nothing, to which none of the device's own leads."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {}, _watcher)


class _Functions(TorchFunctionMode):
    """Functions that torch answers above its operators."""

    MAKING = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is Tensor.pin_memory:
            locked = args[0].clone()
            locked.page_locked = True
            return locked
        if function is Tensor.tolist and isinstance(args[0], OnGPU):
            return args[0].cpu().tolist()
        if function is Tensor.numpy and isinstance(args[0], OnGPU):
            raise TypeError(f"can't convert {GPU} device type tensor to numpy, at {place()}")
        if function in self.MAKING:
            device = kwargs.get("device") or (args[0].device if function is Tensor.new_tensor else None)
            if device is not None and torch.device(device).type == GPU.type:
                return function(*_unwrapped(args), **{**kwargs, "device": CPU}).to(device)
        return function(*args, **kwargs)


class _Generator(torch.Generator):
    """The device's generators are the CPU's: so its numbers can be compared."""

    def __new__(cls, device: Any = CPU) -> "_Generator":
        return super().__new__(cls, CPU if torch.device(device).type == GPU.type else device)


# Training on it -----------------------------------------------------------------------------------------------------


class PretendedAccelerator(CPUAccelerator):
    """Lightning's, of this device."""

    def setup_device(self, device: torch.device) -> None:
        """It is there already."""


class _Loop(Callback):
    """Counts from the first step to the last, but for what callbacks do at intervals, which may wait."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        assert _watcher is not None
        _watcher.watching = True
        for callback in callbacks_of(trainer, TickCallback):
            callback.tick = _uncounted(_watcher, callback.tick)  # type: ignore[method-assign]

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        assert _watcher is not None
        _watcher.watching = False


def _uncounted(gpu: Pretended, function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any) -> Any:
        with gpu.counting(False):
            return function(*arguments)

    return called


def trainer_on_gpu(*, callbacks: Any, **settings: Any) -> Trainer:
    """A Trainer whose module lives on the pretended device, whatever device `settings` name."""
    for name in ("accelerator", "devices", "num_nodes", "strategy"):
        settings.pop(name, None)
    strategy = SingleDeviceStrategy(device=GPU, accelerator=PretendedAccelerator())
    return Trainer(strategy=strategy, callbacks=[*callbacks, _Loop()], **settings)
