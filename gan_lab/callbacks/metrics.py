"""The curves as a file: metrics.csv, equal for a broken and an unbroken run but for the columns of the clock."""

import time
from typing import Any

import torch
from pytorch_lightning import Trainer

from gan_lab.callbacks.base import TickCallback, is_first_rank, run_dir
from gan_lab.runs.records import CLOCK, append_row, cut_rows


class MetricsFile(TickCallback):
    """Writes the means of what the model recorded since the last row, and hands them to the loggers.

    Columns under `clock/` (images per second, hours, device memory) depend on the machine; all others do not.

    Args:
        every_kimg: from one row to the next, in thousands of images.
    """

    def __init__(self, every_kimg: float | None) -> None:
        super().__init__(every_kimg)
        self.seconds = 0.0
        self._since = 0.0
        self._images = 0

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        self._since, self._images = time.perf_counter(), pl_module.images_seen
        if is_first_rank():
            cut_rows(run_dir(trainer) / "metrics.csv", pl_module.images_seen)

    def tick(self, trainer: Trainer, module: Any) -> None:
        if module.images_seen == self._images:
            return
        module.check_finite()
        row = {f"lr/{group}": rate for group, rate in module.learning_rates().items()}
        row |= module.take_records()
        now = time.perf_counter()
        self.seconds += now - self._since
        row[f"{CLOCK}images_per_s"] = (module.images_seen - self._images) / (now - self._since)
        row[f"{CLOCK}hours"] = self.seconds / 3600
        if module.device.type == "cuda":
            row[f"{CLOCK}memory_mb"] = torch.cuda.max_memory_allocated(module.device) / 2**20
        self._since, self._images = now, module.images_seen
        module.latest.update(row)
        if is_first_rank():
            append_row(run_dir(trainer) / "metrics.csv", {"images_seen": module.images_seen} | row)
            for logger in trainer.loggers:
                logger.log_metrics(row, step=module.images_seen)
