"""Callbacks that act at intervals of images seen, and at the end."""

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pytorch_lightning import Callback, Trainer

from gan_lab import collectives
from gan_lab.schedules import Ticks

Kind = TypeVar("Kind")
log = logging.getLogger("gan_lab")


class TickCallback(Callback, ABC):
    """Calls `tick` whenever a step carries `images_seen` across a multiple of the interval, and once at the end.

    Args:
        every_kimg: the interval in thousands of images; None for the end alone.
    """

    def __init__(self, every_kimg: float | None) -> None:
        self.ticks = Ticks(every_kimg)
        self._before = 0
        self._failing: set[str] = set()

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._before = pl_module.images_seen

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        before, self._before = self._before, pl_module.images_seen
        if trainer.should_stop or self.ticks.due(before, pl_module.images_seen):
            self.tick(trainer, pl_module)

    @abstractmethod
    def tick(self, trainer: Trainer, module: Any) -> None:
        """The work itself; `trainer.should_stop` tells the last time."""

    @contextlib.contextmanager
    def going_on_without(self, what: str, errors: type[Exception] = OSError) -> Iterator[None]:
        """Around the writing of what training can do without: a failure is said, once, and the next tick tries again.

        Args:
            what: is written, for the message.
        """
        try:
            yield
        except errors as error:
            if what not in self._failing:
                log.warning("%s cannot be written (%s); training goes on, and tries again at every tick", what, error)
            self._failing.add(what)
            return
        if what in self._failing:
            self._failing.remove(what)
            log.info("%s is written again", what)

    def log_to(self, trainer: Trainer, values: dict[str, float], images_seen: int) -> None:
        """Hand values to the loggers; one that fails, at a full disk or a lost connection, does not end the run."""
        for logger in trainer.loggers:
            with self.going_on_without(type(logger).__name__, Exception):
                logger.log_metrics(values, step=images_seen)


class Backlog:
    """Entries for a file of records, in order; what cannot be written now waits for the next try.

    Args:
        callback: that writes them.
        write: adds an entry to the file.
        images_of: the images seen that an entry is of.
    Attributes:
        entries: those that wait; plain values, for checkpoints.
    """

    def __init__(
        self, callback: TickCallback, write: Callable[[Path, Any], None], images_of: Callable[[Any], int]
    ) -> None:
        self._callback, self._write, self._images_of = callback, write, images_of
        self.entries: list[Any] = []

    def leave_out(self, written: set[int]) -> None:
        """Forget entries that were written after the checkpoint that brought them back."""
        self.entries = [entry for entry in self.entries if self._images_of(entry) not in written]

    def add(self, file: Path, entry: Any) -> None:
        """Write what waits, and then this."""
        self.entries.append(entry)
        with self._callback.going_on_without(str(file)):
            while self.entries:
                self._write(file, self.entries[0])
                del self.entries[0]


def callbacks_of(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """The run's callbacks of this kind."""
    return [callback for callback in trainer.callbacks if isinstance(callback, kind)]  # type: ignore[attr-defined]


def run_dir(trainer: Trainer) -> Path:
    """The folder of this run."""
    return Path(trainer.default_root_dir)


def is_first_rank() -> bool:
    """Whether this process writes files and talks to loggers."""
    return collectives.rank() == 0
