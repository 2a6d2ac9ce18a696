"""What torchmetrics imports for metrics that few runs use waits until it is used.

Lightning imports torchmetrics, and that imports transformers (where it is installed) and scipy.signal: two seconds of
each start, for text, speech and CLIP metrics. While torchmetrics is imported, stand-ins take their place; what it took
from them is looked up in the real library at the first use. Whoever imports these elsewhere gets the real ones.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

LIBRARIES = ("transformers", "scipy.signal")


def deferred_attribute(module: str, name: str) -> Any:
    """A class or function of a library, looked up when it is called, asked for an attribute, or derived from.

    Its class has no name that a stored config could give, since whoever makes one can have any module imported.
    """

    class Deferred:
        def real(self) -> Any:
            return getattr(import_module(module), name)

        def __call__(self, *arguments: Any, **keywords: Any) -> Any:
            return self.real()(*arguments, **keywords)

        def __getattr__(self, attribute: str) -> Any:
            return getattr(self.real(), attribute)

        def __instancecheck__(self, instance: Any) -> bool:
            return isinstance(instance, self.real())

        def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
            return (self.real(),)

    return Deferred()


def stand_in(name: str) -> ModuleType:
    """A module of that name whose attributes, whatever they are called, are deferred ones."""

    def attribute(of: str) -> Any:
        if of.startswith("__"):
            raise AttributeError(of)
        return deferred_attribute(name, of)

    module = ModuleType(name)
    module.__getattr__ = attribute  # type: ignore[method-assign]
    return module


class _WithStandIns(Loader):
    """Loads a module while stand-ins take the place of `LIBRARIES` that nobody has imported yet."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        stand_ins = {name: stand_in(name) for name in LIBRARIES if name not in sys.modules}
        sys.modules.update(stand_ins)
        try:
            self._loader.exec_module(module)
        finally:
            for name, module_there in stand_ins.items():
                if sys.modules.get(name) is module_there:
                    del sys.modules[name]


class _Torchmetrics(MetaPathFinder):
    """Finds torchmetrics, to be loaded with stand-ins."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "torchmetrics":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _WithStandIns(spec.loader)
        return spec


def install() -> None:
    """From now on; once."""
    if not any(isinstance(finder, _Torchmetrics) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Torchmetrics())
