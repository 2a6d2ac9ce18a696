"""The curves as a file: metrics.csv, equal for a broken and an unbroken run but for the columns of the clock."""

import csv
import os
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer

from gan_lab.callbacks.base import TickCallback, is_first_rank, run_dir

CLOCK = "clock/"


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


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics file as they stand; none where there is no file. A row cut short by a crash is left out."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(line for line in file if line.endswith("\n")))


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row; a column that is new rewrites the file with that column empty in the rows before."""
    header = []
    if path.is_file():
        with path.open(newline="") as file:
            header = next(csv.reader(file), [])
    columns = header + sorted(set(row) - set(header) - {"images_seen"}) if header else ["images_seen"]
    if not header:
        columns += sorted(set(row) - {"images_seen"})
    if columns != header:
        _write(path, columns, read_rows(path))
    with path.open("a", newline="") as file:
        csv.DictWriter(file, columns, restval="").writerow(row)


def cut_rows(path: Path, images_seen: int) -> None:
    """Drop the rows past `images_seen`, written by a run that went on after the checkpoint it now resumes from."""
    if not path.is_file():
        return
    rows = read_rows(path)
    kept = [row for row in rows if int(row["images_seen"]) <= images_seen]
    if len(kept) == len(rows) and path.read_bytes().endswith(b"\n"):
        return
    if kept:
        columns = [name for name in kept[0] if any(row[name] for row in kept)]
        _write(path, columns, kept)
    else:
        path.unlink()


def _write(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)
