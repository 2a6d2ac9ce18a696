"""Signals end a run with all of it saved; a second Ctrl-C ends it at once."""

from typing import Any

from pytorch_lightning import Callback, Trainer

from gan_lab import collectives
from gan_lab.callbacks.base import callbacks_of, is_first_rank
from gan_lab.callbacks.checkpointing import Checkpointing
from gan_lab.distributed.preemption import ENDING, RANKING, signals

AGREE_EVERY = 8  # steps; between ranks, agreeing costs a message


class Interruption(Callback):
    """On a signal to any rank: all finish the same step, save and stop. Handlers only set a flag.

    Attributes:
        received: the signal that ended training, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        signals.note(
            RANKING, "stopping after this step, and saving; a second Ctrl-C ends at once" if is_first_rank() else ""
        )

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if collectives.is_distributed() and batch_idx % AGREE_EVERY:
            return
        number = signals.received
        place = collectives.highest(-1 if number is None else RANKING.index(number))
        if place >= 0 and not trainer.should_stop:
            self.received = RANKING[place]
            for callback in callbacks_of(trainer, Checkpointing):
                callback.tick(trainer, pl_module)
            trainer.should_stop = True

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        signals.release(ENDING)  # those of a time limit stay noted: by default they kill
