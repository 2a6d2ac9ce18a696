"""Runs side by side: found, read, grouped into configurations, with statistics over their seeds."""

import csv
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import yaml

from gan_lab.config import decisive
from gan_lab.records import CLOCK, WATCH, read_rows, read_scores, scores_of
from gan_lab.reports import read_report

T = TypeVar("T")
CONFIDENCE = 0.95
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error)
MOVED_ASIDE = re.compile(r"\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d$")  # by overwrite=true
NO_SCORE = ("_std", "_part")  # suffixes of what belongs to a score without being one
# Where the extractor's weights lie; which ones they are is in the protocol.
IN_PROTOCOL = ("evaluation.extractor.weights", "evaluation.extractor.download")
# Directions of the metrics whose scores were once written without.
HIGHER_IS_BETTER = {"fd": False, "kid": False, "is": True}


class Score(NamedTuple):
    """What a column holds: values of one name that one protocol made."""

    name: str
    protocol: str


class Monitored(NamedTuple):
    """The score that rows are ranked by."""

    score: Score
    higher_is_better: bool


class Summary(NamedTuple):
    """Of one number per seed: mean, half width of its 95 % interval (None for fewer than two seeds), seeds."""

    mean: float
    half_width: float | None
    seeds: int


@dataclass(frozen=True)
class Run:
    """A run's folder, read.

    Attributes:
        settings: dotted key -> value, of all that its final scores depend on but the seed.
        devices: how many it trained on; None where its config leaves that to the machine.
        finished: whether it reached its end.
        lines: its evaluations in order, those of the last one's monitored score and protocol.
        clock: its rows of metrics.csv: `images`, `hours` since the start, `images_per_s`.
        problem: which file is damaged, and how; such a run counts as unfinished.
    """

    folder: Path
    settings: dict[str, Any]
    seed: int
    devices: int | None
    finished: bool
    lines: list[dict[str, Any]]
    monitored: Monitored | None
    protocols: dict[str, Any]
    clock: pd.DataFrame
    problem: str | None

    @property
    def images_per_s(self) -> float:
        """The median over the rows of metrics.csv."""
        return float(self.clock["images_per_s"].median())

    @property
    def device_hours(self) -> float:
        """Wall time of training and scoring times devices; one device where their number is not known."""
        return float(self.clock["hours"].max()) * (self.devices or 1)

    def best_line(self) -> dict[str, Any]:
        """The evaluation with the best monitored score."""
        assert self.monitored is not None
        pick = max if self.monitored.higher_is_better else min
        name = self.monitored.score.name
        return pick(self.lines, key=lambda line: line["scores"][name])

    def curve(self, over: str) -> tuple[np.ndarray, np.ndarray]:
        """The monitored score over `images` (thousands) or `hours` (times devices; NaN without a clock)."""
        assert self.monitored is not None
        images = np.array([line["images_seen"] for line in self.lines], float)
        scores = np.array([line["scores"][self.monitored.score.name] for line in self.lines], float)
        if over == "images":
            return images / 1000, scores
        if self.clock.empty:
            return np.full_like(scores, np.nan), scores
        hours = np.interp(images, [0, *self.clock["images"]], [0, *self.clock["hours"]])
        return hours * (self.devices or 1), scores


@dataclass
class Row:
    """A configuration: runs that differ in nothing but their seed, and whose scores have one protocol.

    Attributes:
        runs: the finished ones, of distinct seeds.
        unfinished: those without an end, or with a damaged file.
    """

    settings: dict[str, Any]
    monitored: Monitored | None
    runs: list[Run] = field(default_factory=list)
    unfinished: list[Run] = field(default_factory=list)

    @property
    def scored(self) -> list[Run]:
        return [run for run in self.runs if run.lines]

    def lines(self, at: str) -> list[dict[str, Any]]:
        """The `last` evaluation of each run, or the one with its `best` monitored score."""
        return [run.best_line() if at == "best" else run.lines[-1] for run in self.scored]

    def scores(self, at: str) -> dict[Score, Summary]:
        """Every score at these evaluations, over seeds."""
        values: dict[Score, list[float]] = {}
        for line in self.lines(at):
            for name, value in line["scores"].items():
                if not name.endswith(NO_SCORE):
                    values.setdefault(Score(name, line["protocols"][name]), []).append(value)
        return {score: summary(found) for score, found in values.items()}

    def kimg(self, at: str) -> float:
        """Thousands of images seen at these evaluations, on average."""
        return float(np.mean([line["images_seen"] / 1000 for line in self.lines(at)] or [math.nan]))

    def best(self) -> float:
        """The best monitored score of any seed at any evaluation; NaN where there is none."""
        if self.monitored is None or not self.scored:
            return math.nan
        values = [run.best_line()["scores"][self.monitored.score.name] for run in self.scored]
        return max(values) if self.monitored.higher_is_better else min(values)

    def mean_of(self, name: str) -> float:
        """Mean over finished runs of one of their properties, without those that do not know it."""
        return float(pd.Series([getattr(run, name) for run in self.runs], dtype=float).mean())


@dataclass(frozen=True)
class Comparison:
    """Rows, ranked where that can be done.

    Attributes:
        tables: rows of one protocol of the monitored score each, best first; rows without a score go with the only
            table, or into a last one of their own.
        notes: what a reader has to know about the runs.
    """

    at: str
    tables: list[list[Row]]
    notes: list[str]

    @property
    def rows(self) -> list[Row]:
        return [row for table in self.tables for row in table]

    @property
    def monitored(self) -> list[Monitored]:
        """The distinct ones; more than one cannot be ranked together."""
        return list(dict.fromkeys(row.monitored for row in self.rows if row.monitored is not None))

    @property
    def protocols(self) -> dict[str, Any]:
        """Hash -> protocol in full."""
        runs = [run for row in self.rows for run in row.runs]
        return {digest: protocol for run in runs for digest, protocol in run.protocols.items()}


def find_runs(places: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The folders of all runs that `places` are, hold, or (as a sweep) have reports of; each once.

    Runs that overwrite=true has moved aside are found only when named themselves.

    Returns:
        the folders, and a line for each job that failed before it had a folder.
    Raises:
        ValueError: a place that is no folder, or no run below it.
    """
    found: dict[Path, Path] = {}
    failed = []
    for place in places:
        if not place.is_dir():
            what = "this is a file; name the folder that it is in" if place.exists() else "no such folder"
            raise ValueError(f"{what}: {place}")
        below = [place] if (place / "config.yaml").is_file() else list(_below(place))
        reported = []
        for path in below:
            if path.is_dir():
                found.setdefault(path.resolve(), path)
                continue
            folder, error = _reported(path)
            if folder is not None and (folder / "config.yaml").is_file():
                found.setdefault(folder.resolve(), folder)
                reported.append(folder)
            elif error is not None:
                failed.append(f"{path}: this job failed before it trained: {error}")
        if not reported and not any(path.is_dir() for path in below):
            reason = f"; {failed[-1]}" if failed else " (a run's folder has a config.yaml)"
            raise ValueError(f"there are no runs below {place}{reason}")
    return list(found.values()), failed


def _below(place: Path) -> Iterator[Path]:
    """Folders of runs, and JSON files that may be reports of runs."""
    for folder, subfolders, files in os.walk(place):
        if "config.yaml" in files:
            subfolders.clear()
            yield Path(folder)
            continue
        subfolders[:] = sorted(name for name in subfolders if name[0] != "." and not MOVED_ASIDE.search(name))
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".json") and name[0] != ".")


def _reported(path: Path) -> tuple[Path | None, str | None]:
    """The run's folder and its error, of a report; nothing of any other JSON file."""
    try:
        report = read_report(path)
        if "state" not in report:
            return None, None
        place = report.get("run_dir")
        return (None if place is None else Path(place)), report.get("error")
    except DAMAGE:
        return None, None


def read_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        ValueError: its config.yaml is damaged, so that nobody can say what the run was.
    """
    path = folder / "config.yaml"
    try:
        with path.open() as file:
            config = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        settings, seed, devices = settings_of(config), int(config["seed"]), device_count(config["trainer"])
        total_kimg = float(config["total_kimg"])
    except (*DAMAGE, yaml.YAMLError) as error:
        raise ValueError(f"{path} is damaged, or not of a run ({_short(error)})") from error
    problems = []

    def part(name: str, read: Callable[[Path], T], otherwise: T) -> T:
        try:
            return read(folder / name)
        except DAMAGE as error:
            problems.append(f"{folder / name} is damaged ({_short(error)})")
            return otherwise

    end = part("run.json", _end, None)
    protocols: dict[str, Any] = part("protocols.json", _protocols, {})
    of_watcher: dict[str, Any] = part(f"{WATCH}/protocols.json", _protocols, {})
    protocols |= of_watcher
    part(f"{WATCH}/scores.jsonl", _refuse_damage, None)
    lines, monitored = part("scores.jsonl", lambda path: _comparable(_lines(path), protocols), _comparable([], {}))
    clock = part("metrics.csv", _clock, _clock(folder / "none"))
    return Run(
        folder=folder,
        settings=settings,
        seed=seed,
        devices=devices,
        finished=not problems and end is not None and end >= total_kimg,
        lines=lines,
        monitored=monitored,
        protocols=protocols,
        clock=clock,
        problem="; ".join(problems) or None,
    )


def _short(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    return f"no key {text}" if isinstance(error, KeyError) else text


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, of a resolved config: what a final score depends on, without the seed."""
    kept = decisive(config)
    kept["callbacks"] = {name: {"every_kimg": value} for name, value in kept.pop("every_kimg").items()}
    kept |= {"total_kimg": config["total_kimg"], "stop": config.get("stop")}
    return {key: value for key, value in flat(kept) if key not in IN_PROTOCOL}


def flat(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every leaf; a list of plain values is one leaf, an empty dict or list none."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from flat(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list) and (not node or any(isinstance(value, (dict, list)) for value in node)):
        yield from flat(dict(enumerate(node)), place)
    else:
        yield place, node


def device_count(trainer: Mapping[str, Any]) -> int | None:
    """trainer.devices times trainer.num_nodes; None where Lightning takes what the machine has."""
    devices, nodes = trainer.get("devices", "auto"), trainer.get("num_nodes") or 1
    if isinstance(devices, str):
        parts = [int(part) for part in re.findall(r"-?\d+", devices)]
        devices = parts if "," in devices else parts[0] if parts else None
    if isinstance(devices, list):
        return len(devices) * nodes
    if devices is None or devices < 1:
        return nodes if trainer.get("accelerator") == "cpu" else None
    return int(devices) * nodes


def _end(path: Path) -> float | None:
    """Thousands of images at which the run ended; None before."""
    end = json.loads(path.read_text()).get("finished_kimg") if path.is_file() else None
    return None if end is None else float(end)


def _refuse_damage(path: Path) -> None:
    lines = read_scores(path)
    if path.is_file() and path.read_text().count("\n") > len(lines):
        raise ValueError(f"line {len(lines) + 1} is not JSON")


def _lines(path: Path) -> list[dict[str, Any]]:
    _refuse_damage(path)
    lines = scores_of(path.parent)
    for line in lines:
        if not set(line["scores"]) <= set(line["protocols"]) or line["monitored"] not in line["scores"]:
            raise ValueError(f"the scores at {line['images_seen']} images are incomplete")
        if not all(isinstance(value, (int, float)) for value in (line["images_seen"], *line["scores"].values())):
            raise ValueError(f"a score at {line['images_seen']} images is no number")
    return lines


def _protocols(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _clock(path: Path) -> pd.DataFrame:
    rows = [
        (int(row["images_seen"]), float(row[f"{CLOCK}hours"]), float(row[f"{CLOCK}images_per_s"]))
        for row in read_rows(path)
        if row.get(f"{CLOCK}hours")
    ]
    return pd.DataFrame(rows, columns=["images", "hours", "images_per_s"], dtype=float)


def _comparable(
    lines: list[dict[str, Any]], protocols: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], Monitored | None]:
    """The lines whose monitored score and protocol are those of the last one, and what these are."""
    if not lines:
        return [], None
    last = lines[-1]
    score = Score(last["monitored"], last["protocols"][last["monitored"]])
    higher = last.get("higher_is_better")
    if higher is None:
        metric = protocols.get(score.protocol, {}).get("metric")
        if metric not in HIGHER_IS_BETTER:
            raise ValueError(f"no direction is known for {score.name}")
        higher = HIGHER_IS_BETTER[metric]
    same = [line for line in lines if line["protocols"].get(score.name) == score.protocol]
    return same, Monitored(score, higher)


def compare(runs: Iterable[Run], *, at: str = "last", protocol: str | None = None) -> Comparison:
    """Group runs into rows and rank these by the mean of the monitored score.

    Args:
        at: "last" or "best", see `Row.lines`.
        protocol: keep only rows whose monitored score's protocol begins so; None for all.
    Raises:
        ValueError: no row has that protocol.
    """
    rows, notes = _group(runs)
    if protocol is not None:
        known = {row.monitored.score.protocol for row in rows if row.monitored}
        rows = [row for row in rows if row.monitored and row.monitored.score.protocol.startswith(protocol)]
        if not rows:
            raise ValueError(
                f"no run is ranked by protocol {protocol}; there are: {', '.join(sorted(known)) or 'none'}"
            )
    kinds = list(dict.fromkeys(row.monitored for row in rows if row.monitored))
    tables = [_ranked([row for row in rows if row.monitored == kind], at) for kind in kinds]
    unscored = [row for row in rows if row.monitored is None]
    if len(tables) == 1:
        tables[0] += unscored
    elif unscored:
        tables.append(unscored)
    return Comparison(at, tables, notes)


def _group(runs: Iterable[Run]) -> tuple[list[Row], list[str]]:
    rows: dict[tuple[str, Monitored | None], Row] = {}
    by_settings: dict[str, list[Run]] = {}
    notes = []
    for run in runs:
        by_settings.setdefault(json.dumps(run.settings, sort_keys=True, default=str), []).append(run)
        if run.problem is not None:
            notes.append(f"{run.problem}: this run counts as unfinished")
        elif run.finished and run.devices is None:
            notes.append(f"{run.folder}: trainer.devices leaves their number to the machine; hours count for one")
    for identity, alike in by_settings.items():
        of_seed: dict[int, Run] = {}
        for run in (run for run in alike if run.finished):
            first = of_seed.setdefault(run.seed, run)
            if first is not run:
                notes.append(f"{run.folder} is left out: {first.folder} has the same settings and seed")
        for run in of_seed.values():
            row = rows.setdefault((identity, run.monitored), Row(run.settings, run.monitored))
            row.runs.append(run)
        for run in (run for run in alike if not run.finished):
            fitting = [row for (of, _), row in rows.items() if of == identity]
            same = [row for row in fitting if row.monitored == run.monitored] or fitting
            row = same[0] if same else rows.setdefault((identity, None), Row(run.settings, None))
            row.unfinished.append(run)
    return list(rows.values()), notes


def _ranked(rows: list[Row], at: str) -> list[Row]:
    def place(row: Row) -> tuple[bool, float]:
        assert row.monitored is not None
        mean = row.scores(at)[row.monitored.score].mean
        return math.isnan(mean), -mean if row.monitored.higher_is_better else mean

    return sorted(rows, key=place)


def summary(values: Sequence[float]) -> Summary:
    """Mean and Student's t interval of one value per seed; at least one value."""
    from scipy import stats

    half_width = None
    if len(values) > 1:
        factor = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
        half_width = factor * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Summary(float(np.mean(values)), half_width, len(values))


def differing(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The settings that differ between rows, outer ones first -> others that have the same values in every row."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    keys = dict.fromkeys(key for row in rows for key in row.settings)
    for key in sorted(keys, key=lambda key: (key.count("."), not key.endswith("_target_"))):
        values = tuple(json.dumps(row.settings[key], default=str) if key in row.settings else "" for row in rows)
        if len(set(values)) > 1:
            kinds.setdefault(values, []).append(key)
    return {first: others for first, *others in kinds.values()}


def unlike(protocols: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Dotted key -> its value in each protocol, where these differ; None where one has no such key."""
    leaves = [dict(flat(protocol)) for protocol in protocols]
    values = {key: [leaf.get(key) for leaf in leaves] for key in dict.fromkeys(key for leaf in leaves for key in leaf)}
    return {key: found for key, found in values.items() if any(value != found[0] for value in found)}


def spread(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """`x`, `mean`, `low` and `high` of several curves, linear between their points, where all of them are known.

    Curves that share no stretch give one point: the means of their ends.
    """
    start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    grid = grid[(grid >= start) & (grid <= end)]
    values = np.stack([np.interp(grid, x, y) for x, y in curves])
    if not len(grid):
        grid = np.array([np.mean([x[-1] for x, _ in curves])])
        values = np.array([[y[-1]] for _, y in curves])
    return pd.DataFrame({"x": grid, "mean": values.mean(0), "low": values.min(0), "high": values.max(0)})
