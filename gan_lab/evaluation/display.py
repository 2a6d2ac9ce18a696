"""Scores and their progress for a person at a terminal."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from gan_lab import collectives
from gan_lab.evaluation.scores import Scores
from gan_lab.terminal import wide_console

LINE_SECONDS = 15.0


def say(text: str) -> None:
    """A line for people, once."""
    if collectives.rank() == 0:
        print(text, flush=True)


@contextmanager
def progress_bar(what: str = "scoring") -> Any:
    """A function for `Evaluation`'s progress: a bar with images/s and time left; lines where there is no terminal."""
    if collectives.rank() > 0:
        yield None
        return
    console = Console()
    if not console.is_terminal:
        yield _lines(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), Images(), TimeRemainingColumn())
    with RichProgress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(activity: str, done: int, total: int) -> None:
            name = what if activity == "scoring" else activity
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done)

        yield show


class Images(ProgressColumn):
    """Images done and in all, and images per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        rate = f"{speed:,.0f} images/s" if speed else "– images/s"
        return Text(f"{task.completed:,.0f}/{task.total or 0:,.0f}  {rate}")


def _lines(what: str) -> Callable[[str, int, int], None]:
    start = last = time.monotonic()

    def show(activity: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            last = now
            rate, name = done / (now - start), what if activity == "scoring" else activity
            print(f"{name}: {done}/{total}, {rate:.0f} images/s, {(total - done) / rate:.0f} s left", flush=True)

    return show


def print_scores(title: str, scores: Scores) -> None:
    """The table."""
    columns = ["score", "value", *(["interval"] if scores.intervals else []), "protocol"]
    table = Table(*columns, box=None)
    for name, value in scores.values.items():
        cells = [name, f"{value:.10g}"]
        if scores.intervals:
            ends = scores.intervals.get(name)
            cells.append("" if ends is None else f"{ends[0]:.6g} to {ends[1]:.6g}")
        table.add_row(*cells, scores.protocols[name])
    print(title)  # not the table's, which would break it where the table ends
    wide_console().print(table)


def print_curve(lines: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> None:
    """A row per snapshot with its monitored score, the best one marked."""
    name = best["monitored"]
    table = Table("kimg", name, "", box=None)
    for line in lines:
        ends = line.get("intervals", {}).get(name)
        interval = "" if ends is None else f"  ({ends[0]:.6g} to {ends[1]:.6g})"
        mark = "best" if line["images_seen"] == best["images_seen"] else ""
        table.add_row(f"{line['images_seen'] / 1000:g}", f"{line['scores'][name]:.6g}{interval}", mark)
    wide_console().print(table)


def draw_curve(lines: Sequence[Mapping[str, Any]], best: Mapping[str, Any], path: Path) -> None:
    """The monitored score over images seen, with its interval where there is one, the best one marked."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    name = best["monitored"]
    kimg, values = [line["images_seen"] / 1000 for line in lines], [line["scores"][name] for line in lines]
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    axis.plot(kimg, values, marker="o", markersize=3)
    intervals = [(at, line.get("intervals", {}).get(name)) for at, line in zip(kimg, lines, strict=True)]
    if ends := [(at, *interval) for at, interval in intervals if interval is not None]:
        x, low, high = zip(*ends, strict=True)
        axis.fill_between(x, low, high, alpha=0.2)
    at, value = best["images_seen"] / 1000, best["scores"][name]
    axis.plot([at], [value], marker="*", markersize=14, linestyle="none", label=f"best: {value:.4g} at {at:g} kimg")
    axis.set_xlabel("kimg")
    axis.set_title(name)
    axis.grid(alpha=0.3)
    axis.legend()
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=100, format="png")
    plt.close(figure)
    temporary.replace(path)
