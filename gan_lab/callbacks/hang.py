"""A rank that is stuck, not dead, is noticed by missing progress: its stacks are written, and the run ends."""

import faulthandler
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer

from gan_lab import collectives
from gan_lab.callbacks.base import run_dir
from gan_lab.distributed.topology import note_failure

BETWEEN_STEPS = 8  # times as long, for evaluations, pictures and checkpoints
GRACE_SECONDS = 10.0  # at most, in which all ranks write their stacks before the first to end takes the others along
EXIT_CODE = 75  # "temporary failure": the same command, or a requeued job, goes on


class HangDetection:
    """Ends this process when training makes no progress for too long, as where a collective waits for a stuck rank.

    Each rank watches itself, and all of them stop making progress when one is stuck. Every rank writes the stacks of
    its threads to `<run>/hang/rank<k>.txt`; the process then ends without any clean-up that could wait for others.

    Args:
        minutes: longest time that one step may take, data loading included; more than 0. What callbacks do between
            steps (evaluation, pictures, checkpoints) may take 8 times as long. None for no watching.
    Raises:
        ValueError: `minutes` is 0 or less.
    """

    def __init__(self, minutes: float | None) -> None:
        if minutes is not None and not minutes > 0:
            raise ValueError(f"trainer.hang_minutes must be more than 0, or null for no watching, got {minutes}")
        self.minutes = minutes
        self._folder, self._rank = Path(), 0
        self._deadline, self._allowed, self._doing = float("inf"), 0.0, ""
        self._ended = threading.Event()

    def around(self, callbacks: list[Callback]) -> list[Callback]:
        """The callbacks, with one before and one after them that tell steps from what lies between."""
        return [_StepEnds(self), *callbacks, _StepBegins(self)] if self.minutes is not None else callbacks

    def begin(self, folder: Path) -> None:
        """Watch from now on."""
        self._folder, self._rank = folder, collectives.rank()
        self.allow(1, "a step")
        self._ended.clear()
        threading.Thread(target=self._watch, name="hang detection", daemon=True).start()

    def allow(self, times: int, doing: str) -> None:
        """Progress: so many times `minutes` from now on for what begins here."""
        assert self.minutes is not None
        self._allowed, self._doing = times * self.minutes, doing
        self._deadline = time.monotonic() + 60 * self._allowed

    def end(self) -> None:
        """Watch no more."""
        self._ended.set()

    def _watch(self) -> None:
        assert self.minutes is not None
        while not self._ended.wait(min(1.0, 6 * self.minutes)):  # a tenth of what is allowed
            if time.monotonic() > self._deadline:
                self._give_up()

    def _give_up(self) -> None:
        assert self.minutes is not None
        text = f"no progress for {self._allowed:g} minutes in {self._doing} (trainer.hang_minutes={self.minutes:g})"
        file = self._folder / "hang" / f"rank{self._rank}.txt"
        try:
            file.parent.mkdir(exist_ok=True)
            with file.open("w", encoding="utf-8") as stacks:
                stacks.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} rank {self._rank}: {text}\n\n")
                stacks.flush()
                faulthandler.dump_traceback(stacks, all_threads=True)
            where = f"the stacks of its threads are in {file}"
        except OSError as error:
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
            where = f"the stacks of its threads are above ({file} cannot be written: {error.strerror})"
        message = (
            f"rank {self._rank}: {text}; {where}. What was saved is untouched: the same command goes on from there"
        )
        if self._ended.wait(min(GRACE_SECONDS, 60 * self.minutes)) or time.monotonic() < self._deadline:
            return  # it was slow, and not stuck
        note_failure(message)
        print(f"\nError: {message}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(EXIT_CODE)


class _StepEnds(Callback):
    """First of all callbacks: what the others do comes between steps."""

    def __init__(self, detection: HangDetection) -> None:
        self._detection = detection

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._detection.begin(run_dir(trainer))
        self._detection.allow(BETWEEN_STEPS, "what comes before the first step")

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._detection.allow(BETWEEN_STEPS, f"what follows the step at {pl_module.images_seen} images")

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self._detection.end()  # nothing is torn down then, and a rollback trains on in this process

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        self._detection.end()


class _StepBegins(Callback):
    """Last of all callbacks: the next step begins with loading its data."""

    def __init__(self, detection: HangDetection) -> None:
        self._detection = detection

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._detection.allow(1, "the first step")

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._detection.allow(1, f"the step after {pl_module.images_seen} images")
