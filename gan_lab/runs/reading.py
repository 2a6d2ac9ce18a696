"""Runs read back from their folders: settings, scores, curves, and what is damaged."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import yaml

from gan_lab.runs.records import CLOCK, WATCH, read_rows, read_scores, scores_of
from gan_lab.runs.settings import settings_of
from gan_lab.runs.status import read_status

T = TypeVar("T")


DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error)


MOVED_ASIDE = re.compile(r"\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d$")  # by overwrite=true


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
        report = read_status(path)
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
        with path.open(encoding="utf-8") as file:
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
    end = json.loads(path.read_text(encoding="utf-8")).get("finished_kimg") if path.is_file() else None
    return None if end is None else float(end)


def _refuse_damage(path: Path) -> None:
    lines = read_scores(path)
    if path.is_file() and path.read_text(encoding="utf-8").count("\n") > len(lines):
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
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


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
