"""What a person sees while training runs."""

import contextlib
import logging
import sys
import time
from typing import Any

from pytorch_lightning import Callback, Trainer
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from gan_lab.callbacks.base import is_first_rank
from gan_lab.callbacks.stop import stop_of

REDRAW_SECONDS = 0.25
LINE_SECONDS = 15.0
SPEED_KNOWN_SECONDS = 30.0
DAY = 86_400.0  # seconds

log = logging.getLogger(__name__)


class Progress(Callback):
    """A bar with images seen, images/s, time left, losses and the latest score; lines where there is no terminal."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._last = 0.0
        self._start = (0.0, 0)
        self._warned = False

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._start = (time.perf_counter(), pl_module.images_seen)
        if not is_first_rank():
            return
        total = 1000 * stop_of(trainer).total_kimg
        console = Console(file=sys.stdout)
        if console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                ImagesColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[notes]}"),
                console=console,
                expand=True,
            )
            self._task = self._bar.add_task("training", total=total, completed=pl_module.images_seen, notes="")
            self._bar.start()
        pl_module.report = self._report

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = time.perf_counter()
        if not is_first_rank() or now - self._last < (REDRAW_SECONDS if self._bar else LINE_SECONDS):
            return
        self._last = now
        self._warn_of_days(trainer, pl_module, now)
        with contextlib.suppress(OSError):  # the terminal is gone; whether training ends is for signals to say
            self._show(pl_module, trainer, now)

    def _show(self, pl_module: Any, trainer: Trainer, now: float) -> None:
        seen, total = pl_module.images_seen, 1000 * stop_of(trainer).total_kimg
        if self._bar is not None:
            self._bar.update(self._task, completed=seen, notes=_notes(pl_module.latest))
            return
        elapsed, done = now - self._start[0], seen - self._start[1]
        rate = done / elapsed if elapsed > 0 and done else 0.0
        left = _duration((total - seen) / rate) if rate else "?"
        print(
            f"{seen / 1000:.1f} of {total / 1000:g} kimg, {_rate(rate)}, {left} left  {_notes(pl_module.latest)}",
            flush=True,
        )

    def _warn_of_days(self, trainer: Trainer, module: Any, now: float) -> None:
        """Once, when the speed is known, where a CPU would take more than a day."""
        elapsed, done = now - self._start[0], module.images_seen - self._start[1]
        if self._warned or elapsed < SPEED_KNOWN_SECONDS or not done:
            return
        self._warned = True
        left = (1000 * stop_of(trainer).total_kimg - module.images_seen) * elapsed / done
        if module.device.type == "cpu" and left > DAY:
            log.warning(
                "%s are left at this speed on a CPU: give fewer pixels (data.image_size), a smaller network or a "
                "shorter run (total_kimg), or take a GPU; python -m gan_lab.look data.root=PATH time=true measures "
                "what it proposes for your own pictures",
                _duration(left),
            )

    def _report(self, activity: str, done: int, total: int) -> None:
        """Show another activity than training, such as scoring, in the bar's first column."""
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.update(self._task, description=f"{activity} {done}/{total}" if activity else "training")

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.update(self._task, completed=pl_module.images_seen, notes=_notes(pl_module.latest))
                self._bar.stop()
            self._bar = None


class ImagesColumn(ProgressColumn):
    """Thousands of images seen, and images per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{task.completed / 1000:.1f}/{(task.total or 0) / 1000:g} kimg  {_rate(speed or 0.0)}")


def _notes(latest: dict[str, float]) -> str:
    shown = {name: value for name, value in latest.items() if name.startswith(("loss/", "eval/"))}
    return "  ".join(f"{name.removeprefix('eval/')} {value:.3g}" for name, value in shown.items())


def _rate(images: float) -> str:
    """Of a second: whole ones, or two digits of few."""
    if not images:
        return "– images/s"
    return f"{images:,.0f} images/s" if images >= 10 else f"{images:.2g} images/s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)  # the last batch may go beyond the end
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours}:{minutes:02d}:{rest:02d}" if hours or days else f"{minutes}:{rest:02d}"
    return f"{days} days {clock}" if days > 1 else f"1 day {clock}" if days else clock
