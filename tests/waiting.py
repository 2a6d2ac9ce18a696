"""A callback that lets a run wait for another process."""

import time
from pathlib import Path

from pytorch_lightning import Callback


class WaitFor(Callback):
    """Once `images` are seen: waits until `file`, in the run's folder, has so many lines; then `pause` s per step."""

    def __init__(self, images: int, file: str, lines: int = 1, pause: float = 0.0) -> None:
        self.images, self.file, self.lines, self.pause = images, file, lines, pause

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        file, deadline = Path(trainer.default_root_dir) / self.file, time.monotonic() + 240
        time.sleep(self.pause)
        if pl_module.images_seen >= self.images:
            while (not file.is_file() or file.read_text().count("\n") < self.lines) and time.monotonic() < deadline:
                time.sleep(0.02)
