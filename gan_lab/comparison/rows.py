"""Runs grouped into configurations, with statistics over their seeds, and ranked by their scores."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gan_lab.runs.reading import Monitored, Run, Score
from gan_lab.runs.settings import flat
from gan_lab.runs.spaces import familiar_protocol

CONFIDENCE = 0.95
NO_SCORE = ("_std", "_part")  # suffixes of what belongs to a score without being one


class Summary(NamedTuple):
    """Of one number per seed: mean, half width of its 95 % interval (None for fewer than two seeds), seeds."""

    mean: float
    half_width: float | None
    seeds: int


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
        if run.monitored is not None and (
            reason := familiar_protocol(run.settings, run.protocols.get(run.monitored.score.protocol, {}))
        ):
            notes.append(f"{run.folder} counts as not scored: {reason}")
            run = replace(run, lines=[], monitored=None)
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
