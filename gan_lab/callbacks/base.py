"""Callbacks that act at intervals of images seen, and at the end."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, TypeVar

from pytorch_lightning import Callback, Trainer

from gan_lab import collectives
from gan_lab.schedules import Ticks

Kind = TypeVar("Kind")


class TickCallback(Callback, ABC):
    """Calls `tick` whenever a step carries `images_seen` across a multiple of the interval, and once at the end.

    Args:
        every_kimg: the interval in thousands of images; None for the end alone.
    """

    def __init__(self, every_kimg: float | None) -> None:
        self.ticks = Ticks(every_kimg)
        self._before = 0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._before = pl_module.images_seen

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        before, self._before = self._before, pl_module.images_seen
        if trainer.should_stop or self.ticks.due(before, pl_module.images_seen):
            self.tick(trainer, pl_module)

    @abstractmethod
    def tick(self, trainer: Trainer, module: Any) -> None:
        """The work itself; `trainer.should_stop` tells the last time."""


def callbacks_of(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """The run's callbacks of this kind."""
    return [callback for callback in trainer.callbacks if isinstance(callback, kind)]  # type: ignore[attr-defined]


def run_dir(trainer: Trainer) -> Path:
    """The folder of this run."""
    return Path(trainer.default_root_dir)


def is_first_rank() -> bool:
    """Whether this process writes files and talks to loggers."""
    return collectives.rank() == 0
