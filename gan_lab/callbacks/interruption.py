"""Ctrl-C and TERM end a run with all of it saved; a second Ctrl-C ends it at once."""

import os
import signal
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, Trainer

from gan_lab.callbacks.checkpointing import Checkpointing


class Interruption(Callback):
    """On the first SIGINT or SIGTERM: finish the step, save, stop. Handlers only set a flag.

    Attributes:
        received: the signal that ended training, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._earlier: dict[int, Any] = {}
        self._process = 0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._process = os.getpid()  # set here, after Lightning has set its own handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            self._earlier[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a loader's worker has inherited the handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if self.received is not None and number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.received is not None and not trainer.should_stop:
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, Checkpointing):
                    callback.tick(trainer, pl_module)
            trainer.should_stop = True

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier = {}
