"""When checkpoints are written, and which are kept."""

from typing import Any

from pytorch_lightning import Trainer

from gan_lab.callbacks.base import TickCallback, callbacks_of, is_first_rank, run_dir
from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.runs.checkpoint import describe, second_name


class Checkpointing(TickCallback):
    """Saves everything at intervals and at the end; keeps the newest few, and the best one by score.

    Args:
        every_kimg: from one checkpoint to the next, in thousands of images; None for the end alone.
        keep: how many of the newest stay, 1 or more.
        keep_snapshots: how many generator snapshots stay; None for all.
    Attributes:
        config: the resolved config, which goes into every checkpoint.
    """

    def __init__(self, every_kimg: float | None, keep: int, keep_snapshots: int | None) -> None:
        super().__init__(every_kimg)
        if keep < 1:
            raise ValueError(f"callbacks.checkpoint.keep must be 1 or more, got {keep}")
        if keep_snapshots is not None and keep_snapshots < 1:
            raise ValueError(f"callbacks.checkpoint.keep_snapshots must be 1 or more, or null, got {keep_snapshots}")
        self.keep, self.keep_snapshots = keep, keep_snapshots
        self.config: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        for callback in callbacks_of(trainer, Evaluate):
            callback.keep_snapshots = self.keep_snapshots

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint.update(describe(self.config))

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        before, self._before = self._before, pl_module.images_seen
        improved = any(callback.improved for callback in callbacks_of(trainer, Evaluate))
        if improved or trainer.should_stop or self.ticks.due(before, pl_module.images_seen):
            self.tick(trainer, pl_module)
            if improved and is_first_rank():
                folder = run_dir(trainer) / "checkpoints"
                second_name(folder / f"{pl_module.images_seen:012d}.ckpt", folder / "best.ckpt")

    def tick(self, trainer: Trainer, module: Any) -> None:
        module.check_finite()
        module.agree()
        folder = run_dir(trainer) / "checkpoints"
        trainer.save_checkpoint(folder / f"{module.images_seen:012d}.ckpt", weights_only=False)
        if is_first_rank():
            for old in sorted(folder.glob("[0-9]*.ckpt"))[: -self.keep]:
                old.unlink()
