"""When a run's status file is brought up to date, and the end of a run on request."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from gan_lab import collectives
from gan_lab.callbacks.base import TickCallback, callbacks_of, is_first_rank, run_dir
from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.callbacks.stop import stop_of
from gan_lab.runs.status import best_score, monitored_scores, stop_file, update_status, wish_to_end

REFRESH_SECONDS = 2.0


class Status(TickCallback):
    """Keeps the status file up to date where there is one, and ends the run once a stop file is there.

    Such are `stop` in the run's folder, where the start removes what an earlier wish has left, and the one beside the
    status file. They are looked for at intervals and after each evaluation, by the first rank, which tells the others.

    Args:
        path: the status file (`report=FILE`), or None.
        every_kimg: from one look for a stop file to the next, in thousands of images; None for evaluations alone.
    """

    def __init__(self, path: str | None, every_kimg: float | None) -> None:
        super().__init__(every_kimg)
        self.path = None if path is None else Path(path)
        self._scored_at = -1
        self._written = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        evaluate = _evaluate(trainer)
        self._scored_at = evaluate.scored_at if evaluate else -1
        if is_first_rank():
            wish_to_end(run_dir(trainer)).unlink(missing_ok=True)
        self._write(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        evaluate = _evaluate(trainer)
        scored = evaluate is not None and evaluate.scored_at != self._scored_at
        if scored or time.monotonic() - self._written > REFRESH_SECONDS:
            self._scored_at = evaluate.scored_at if evaluate else -1
            self._write(trainer, pl_module)
        before, self._before = self._before, pl_module.images_seen
        if scored or self.ticks.due(before, pl_module.images_seen):
            self.tick(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, module: Any) -> None:
        self._written = time.monotonic()
        if self.path is None or not is_first_rank():
            return
        changes: dict[str, Any] = {"images_seen": module.images_seen, "total_kimg": stop_of(trainer).total_kimg}
        evaluate, folder = _evaluate(trainer), run_dir(trainer)
        objective = best_score(folder) if evaluate is None or evaluate.watched else evaluate.best
        with self.going_on_without(str(self.path)):
            update_status(self.path, **changes, **monitored_scores(folder), objective=objective)

    def tick(self, trainer: Trainer, module: Any) -> None:
        files = [wish_to_end(run_dir(trainer)), *([] if self.path is None else [stop_file(self.path)])]
        wish = collectives.broadcast_object(_wish(files) if is_first_rank() else None)
        if wish is not None:
            stop_of(trainer).ask(wish)


Report = Status  # its name in configs of earlier versions


def _wish(files: Sequence[Path]) -> str | None:
    """The text of the first file that is there."""
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            return file.read_text(encoding="utf-8", errors="replace").strip() or f"{file} asks for the end"
    return None


def _evaluate(trainer: Trainer) -> Evaluate | None:
    return next(iter(callbacks_of(trainer, Evaluate)), None)
