"""gan_lab: train, compare and trust GANs, from a laptop to a SLURM cluster."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from gan_lab.deferred import install

__version__ = "0.1.0"

# Modules that have moved: where they were -> where they are. Old imports go on working, with a DeprecationWarning.
MOVED = {
    "gan_lab.callbacks.loggers": "gan_lab.runs.loggers",
    "gan_lab.callbacks.report": "gan_lab.callbacks.status",
    "gan_lab.distributed.place": "gan_lab.distributed.topology",
    "gan_lab.doors": "gan_lab.cli",
    "gan_lab.generation": "gan_lab.evaluation.generation",
    "gan_lab.origin": "gan_lab.runs.provenance",
    "gan_lab.records": "gan_lab.runs.records",
    "gan_lab.reports": "gan_lab.runs.status",
    "gan_lab.scoring": "gan_lab.evaluation.scoring",
    "gan_lab.watch": "gan_lab.evaluation.watcher",
}


class _Moved(MetaPathFinder, Loader):
    """Imports a module that has moved under its old name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        warnings.warn(f"{old} is {MOVED[old]} now", DeprecationWarning, stacklevel=2)
        sys.modules[old] = import_module(MOVED[old])


def lazy_attributes(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`: name -> the module of the package that it lies in, loaded when it is asked for."""

    def attribute(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package} has no attribute {name}")

    return attribute


sys.meta_path.append(_Moved())
install()
