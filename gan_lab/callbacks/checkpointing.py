"""When checkpoints are written, and which are kept."""

import json
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from gan_lab.callbacks.base import TickCallback, callbacks_of, is_first_rank, run_dir
from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.runs.checkpoint import describe, is_sound, periodic, second_name
from gan_lab.runs.records import replace_text

KEPT = ("id", "content", "origin", "rollbacks", "licence")  # of run.json


class Checkpointing(TickCallback):
    """Saves everything at intervals and at the end; keeps the newest few, and the best one by score.

    Args:
        every_kimg: from one checkpoint to the next, in thousands of images; None for the end alone.
        keep: how many of the newest stay, 1 or more; damaged ones do not count.
        keep_snapshots: how many generator snapshots stay; None for all.
    Attributes:
        config: the resolved config, which goes into every checkpoint.
        about: what run.json says; every checkpoint holds it as well, and it notes the first one in its key `saved`.
    """

    def __init__(self, every_kimg: float | None, keep: int, keep_snapshots: int | None) -> None:
        super().__init__(every_kimg)
        if keep < 1:
            raise ValueError(f"callbacks.checkpoint.keep must be 1 or more, got {keep}")
        if keep_snapshots is not None and keep_snapshots < 1:
            raise ValueError(f"callbacks.checkpoint.keep_snapshots must be 1 or more, or null, got {keep_snapshots}")
        self.keep, self.keep_snapshots = keep, keep_snapshots
        self.config: dict[str, Any] = {}
        self.about: dict[str, Any] = {}
        self._sound: dict[str, bool] = {}  # by name, those that were looked at once

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        for callback in callbacks_of(trainer, Evaluate):
            callback.keep_snapshots = self.keep_snapshots

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint.update(describe(self.config))
        checkpoint["run"] = {key: self.about[key] for key in KEPT if key in self.about}

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
        newest = folder / f"{module.images_seen:012d}.ckpt"
        trainer.save_checkpoint(newest, weights_only=False)
        if is_first_rank():
            self._sound[newest.name] = True
            self._note_first(run_dir(trainer), module.images_seen)
            self._delete_old(newest)

    def _note_first(self, run: Path, images_seen: int) -> None:
        """Say in run.json that there is something to go on from, so that its loss is noticed."""
        if self.about and self.about.get("saved") is None:
            self.about["saved"] = images_seen
            replace_text(run / "run.json", json.dumps(self.about, indent=1))

    def _delete_old(self, newest: Path) -> None:
        """Keep `newest` and the sound ones before it; what lies past it is damaged, and not this run's to judge."""
        kept = 0
        for path in periodic(newest.parent)[::-1]:
            if path.name > newest.name:
                continue
            if kept >= self.keep:
                path.unlink()
                continue
            if path.name not in self._sound:
                self._sound[path.name] = is_sound(path)
            kept += self._sound[path.name]
