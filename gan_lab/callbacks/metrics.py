"""The curves as a file: metrics.csv, equal for a broken and an unbroken run but for the columns of the clock."""

import time
from typing import Any

import torch
from pytorch_lightning import Trainer

from gan_lab.callbacks.base import Backlog, TickCallback, is_first_rank, run_dir
from gan_lab.runs.records import CLOCK, append_row, cut_rows, read_rows


class MetricsFile(TickCallback):
    """Writes the means of what the model recorded since the last row, and hands them to the loggers.

    Columns under `clock/` (images per second, hours, device memory) depend on the machine; all others do not. Where the
    file cannot be written, training goes on; rows wait for the next tick, in checkpoints, too.

    Args:
        every_kimg: from one row to the next, in thousands of images.
    """

    def __init__(self, every_kimg: float | None) -> None:
        super().__init__(every_kimg)
        self.seconds = 0.0
        self._since = 0.0
        self._images = 0
        self._backlog = Backlog(self, append_row, lambda row: row["images_seen"])

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "waiting": list(self._backlog.entries)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]
        self._backlog.entries = list(state_dict.get("waiting", []))

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        self._since, self._images = time.perf_counter(), pl_module.images_seen
        if is_first_rank():
            file = run_dir(trainer) / "metrics.csv"
            with self.going_on_without(str(file)):
                cut_rows(file, pl_module.images_seen)
                self._backlog.leave_out({int(row["images_seen"]) for row in read_rows(file)})

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
            self._backlog.add(run_dir(trainer) / "metrics.csv", {"images_seen": module.images_seen} | row)
            self.log_to(trainer, row, module.images_seen)
