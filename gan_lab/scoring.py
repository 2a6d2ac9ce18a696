"""What scoring from the command line shares: the stage of a stored config, on all ranks; bar, table and files."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from gan_lab import collectives
from gan_lab.checkpoint import LoadedGenerator, build, check, load_generator
from gan_lab.data.base import Data
from gan_lab.distributed.place import Place
from gan_lab.doors import plain
from gan_lab.evaluation import Evaluation, Scores

LINE_SECONDS = 15.0


def refuse(config: DictConfig, kind: str, **usual: Any) -> None:
    """Keys that mean nothing here must have their usual values.

    Raises:
        ValueError: one has another.
    """
    for key, value in usual.items():
        if config[key] != value:
            shown = "..." if isinstance(value, dict) else config[key]
            raise ValueError(f"{key}={shown} has no meaning with {kind}=...; leave it out")


def settings_by(config: DictConfig, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The command's settings, resolved, where `data` and `evaluation` are those of a stored config but for its changes.

    A data set chosen on the command line leaves the protocol's feature space as it was.

    Raises:
        CheckpointError: the stored config names what it may not.
        ValueError: neither names an evaluation, or an extractor.
    """
    for name in ("data", "evaluation"):
        check(stored.get(name), config.trust)
    data: dict[str, Any] = OmegaConf.to_container(config.data, resolve=False)  # type: ignore[assignment]
    evaluation: dict[str, Any] = OmegaConf.to_container(config.evaluation, resolve=False)  # type: ignore[assignment]
    if "_target_" not in evaluation:
        if "_target_" not in stored["evaluation"]:
            raise ValueError(
                "this run was trained with evaluation=none and names no protocol to score by; evaluation=default does"
            )
        if "_target_" in data:
            evaluation.pop("extractor", None)
        evaluation = _merged(stored["evaluation"], evaluation)
    elif "_target_" not in evaluation.get("extractor", {}):
        evaluation["extractor"] = _merged(stored["evaluation"].get("extractor", {}), evaluation.get("extractor", {}))
        if "_target_" not in evaluation["extractor"]:
            raise ValueError("this run names no extractor; give one: +extractor@evaluation.extractor=inception, say")
    if "_target_" not in data:
        data = _merged(stored["data"], data)
    with open_dict(config):
        config.data, config.evaluation = data, evaluation
    return with_changes(plain(config))


def _merged(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(stored)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def with_changes(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the changes of single keys worked into `data` and `evaluation`."""
    data, evaluation = settings["data"], settings["evaluation"]
    if data.get("seed", 0) is None:
        data["seed"] = 0  # of the order in training, which nobody asks for here
    if settings["data_root"] is not None:
        data["root"] = settings["data_root"]
    if settings["extractor_weights"] is not None:
        evaluation["extractor"]["weights"] = settings["extractor_weights"]
    for key in ("num_samples", "seed"):
        if settings[key] is not None:
            evaluation[key] = settings[key]
    return settings


def use_threads(settings: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """As many threads on the CPU as the command asks for, or as the run of the `stored` config had.

    Sums depend on their number: whatever becomes part of a score comes after this.
    """
    threads = settings["threads"] if settings["threads"] is not None else stored.get("threads")
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def naming_data_root(data: Mapping[str, Any]) -> Iterator[None]:
    """What is wrong with the place of a stored config's data is told with the key that changes it here."""
    try:
        yield
    except (OSError, ValueError) as error:
        if "root" not in data or "data.root" not in str(error):
            raise
        raise ValueError(
            f"{error}. The run was trained on data.root={data['root']}, a relative path as seen from the folder in "
            "which it was started; where the data lies elsewhere now, say data_root=PATH"
        ) from error


class Stage:
    """A data set and its evaluation, at hand on every rank.

    What is built here may come of a stored config, and is built as such: see `gan_lab.checkpoint.build`. Where the
    command line alone names it, the caller builds it.

    Args:
        settings: of the command, with nodes `data` and `evaluation`.
        stored: the config of a run, for the layout of its weights and the number of threads.
        place: of this process.
        device: of this process.
        data: the data set; None builds what `settings` name.
        evaluation: likewise.
    Raises:
        MissingWeights: the extractor of the monitored score is not at hand.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        stored: Mapping[str, Any],
        place: Place,
        device: torch.device,
        data: Any = None,
        evaluation: Evaluation | None = None,
    ) -> None:
        self.trust, self.device, self.stored = settings["trust"], device, stored
        use_threads(settings, stored)
        if data is None:
            with naming_data_root(settings["data"]):
                data = build(settings["data"], self.trust, base=Data)
                with collectives.first_ranks_first(place.local_rank):
                    data.prepare_data()
        self.data = data
        if evaluation is None:
            evaluation = build(settings["evaluation"], self.trust, base=Evaluation)
        self.evaluation: Evaluation = evaluation
        with progress_bar() as progress:
            self.evaluation.prepare_everywhere(data, device, place.local_rank, progress)
        for name, reason in self.evaluation.left_out.items():
            say(f"without the metric {name}: {reason}")

    def score(self, path: Path | LoadedGenerator, weights: str, what: str = "scoring") -> Scores:
        """Score a generator, or the one in a file."""
        loaded = path
        if isinstance(loaded, Path):
            loaded = load_generator(loaded, weights, device=self.device, trust=self.trust)
        if self.stored.get("channels_last"):
            loaded.network.to(memory_format=torch.channels_last)
        with progress_bar(what) as progress:
            return self.evaluation.score(
                loaded.network,
                loaded.inputs,
                self.data,
                weights=loaded.weights,
                device=self.device,
                progress=progress,
                asked=loaded.asked,
            )


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
    table = Table(*columns, title=title, box=None)
    for name, value in scores.values.items():
        cells = [name, f"{value:.10g}"]
        if scores.intervals:
            ends = scores.intervals.get(name)
            cells.append("" if ends is None else f"{ends[0]:.6g} to {ends[1]:.6g}")
        table.add_row(*cells, scores.protocols[name])
    Console(soft_wrap=True).print(table)


def print_curve(lines: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> None:
    """A row per snapshot with its monitored score, the best one marked."""
    name = best["monitored"]
    table = Table("kimg", name, "", box=None)
    for line in lines:
        ends = line.get("intervals", {}).get(name)
        interval = "" if ends is None else f"  ({ends[0]:.6g} to {ends[1]:.6g})"
        mark = "best" if line["images_seen"] == best["images_seen"] else ""
        table.add_row(f"{line['images_seen'] / 1000:g}", f"{line['scores'][name]:.6g}{interval}", mark)
    Console(soft_wrap=True).print(table)


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
