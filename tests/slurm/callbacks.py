"""Callbacks for the jobs: a pace, so that signals and crashes find them at work, and a word from every rank."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from slurm.digests import digest


class Pace(Callback):
    """A pause before every step: of all ranks, or of one, for which the others then wait within theirs."""

    def __init__(self, seconds: float, rank: int | None = None) -> None:
        self.seconds, self.rank = seconds, rank

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.rank in (None, trainer.global_rank):
            time.sleep(self.seconds)


class Fall(Callback):
    """One rank ends with the step that reaches `images`, killed or by an error; a file `fallen` by the run tells."""

    def __init__(self, rank: int, images: int, error: str | None = None) -> None:
        self.rank, self.images, self.error = rank, images, error

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_rank == self.rank and pl_module.images_seen >= self.images:
            Path(trainer.default_root_dir, "fallen").touch()
            if self.error is not None:
                raise ValueError(self.error)
            os.kill(os.getpid(), signal.SIGKILL)


class Sign(Callback):
    """At the end every rank leaves a file `rank<r>` in the run's folder: its host and the digest of its weights."""

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        text = f"{os.environ.get('SLURMD_NODENAME', socket.gethostname())} {digest(pl_module.state_dict())}"
        Path(trainer.default_root_dir, f"rank{trainer.global_rank}").write_text(text)
