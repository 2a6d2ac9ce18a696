"""When a run's report is brought up to date, and the end of a run on request."""

import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from gan_lab import collectives
from gan_lab.callbacks.base import TickCallback, callbacks_of, is_first_rank, run_dir
from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.callbacks.stop import stop_of
from gan_lab.reports import monitored_scores, stop_file, update_report

REFRESH_SECONDS = 2.0


class Report(TickCallback):
    """Keeps the report up to date, and ends the run once its stop file is there; does nothing without a path.

    The stop file is looked for at intervals and after each evaluation, by the first rank, which tells the others.

    Args:
        path: the report's file, or None.
        every_kimg: from one look for the stop file to the next, in thousands of images; None for evaluations alone.
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
        if self.path is not None:
            self._write(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.path is None:
            return
        evaluate = _evaluate(trainer)
        scored = evaluate is not None and evaluate.scored_at != self._scored_at
        if scored or time.monotonic() - self._written > REFRESH_SECONDS:
            self._scored_at = evaluate.scored_at if evaluate else -1
            self._write(trainer, pl_module)
        before, self._before = self._before, pl_module.images_seen
        if scored or self.ticks.due(before, pl_module.images_seen):
            self.tick(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self.path is not None:
            self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, module: Any) -> None:
        self._written = time.monotonic()
        if self.path is None or not is_first_rank():
            return
        changes: dict[str, Any] = {"images_seen": module.images_seen, "total_kimg": stop_of(trainer).total_kimg}
        evaluate = _evaluate(trainer)
        objective = None if evaluate is None else evaluate.best
        update_report(self.path, **changes, **monitored_scores(run_dir(trainer)), objective=objective)

    def tick(self, trainer: Trainer, module: Any) -> None:
        assert self.path is not None
        file = stop_file(self.path)
        wish = collectives.broadcast_object(file.read_text().strip() if is_first_rank() and file.is_file() else None)
        if wish is not None:
            stop_of(trainer).ask(wish or f"{file} asks for the end")


def _evaluate(trainer: Trainer) -> Evaluate | None:
    return next(iter(callbacks_of(trainer, Evaluate)), None)
