"""The end of training, decided by images seen and at the end of an iteration only."""

from typing import Any

from pytorch_lightning import Callback, Trainer

from gan_lab.callbacks.base import callbacks_of
from gan_lab.schedules import images_of


class Stop(Callback):
    """Stops at the first end of an iteration at or past `total_kimg`, or once another callback asks for the end.

    Args:
        total_kimg: thousands of images, more than 0.
    """

    def __init__(self, total_kimg: float) -> None:
        if total_kimg <= 0:
            raise ValueError(f"total_kimg must be more than 0, got {total_kimg}")
        self.total_kimg = total_kimg
        self.reason: str | None = None

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.reason = None
        if self.reached(pl_module) and pl_module.images_seen > 0:  # all was saved, but for the note that it has ended
            self.ask(f"total_kimg={self.total_kimg:g} is reached")
            trainer.should_stop = True

    def ask(self, reason: str) -> None:
        """End training with the iteration that is under way."""
        self.reason = self.reason or reason

    def reached(self, module: Any) -> bool:
        """Whether the run has its full length."""
        return module.iteration_ended and module.images_seen >= images_of(self.total_kimg)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.reached(pl_module):
            self.ask(f"total_kimg={self.total_kimg:g} is reached")
        if self.reason is not None and pl_module.iteration_ended:
            trainer.should_stop = True


def stop_of(trainer: Trainer) -> Stop:
    """The run's `Stop`, for callbacks that want the end."""
    return callbacks_of(trainer, Stop)[0]
