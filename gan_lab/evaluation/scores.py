"""Scores with their protocols, and the lines of scores.jsonl that they become."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_lab.runs.records import CLOCK, append_line, read_json, replace_text, set_aside

SCHEMA = 1
PER_IMAGE, PER_IMAGE_BACK = "per_image.csv", "per_image_BtoA.csv"
OF_WAY_BACK = "_BtoA"  # ends the names of scores of translations back, before what a metric adds to its name


@dataclass
class Scores:
    """The outcome of one evaluation.

    Attributes:
        values: score name -> value; a name carries extractor and sample count.
        intervals: score name -> lower and upper end of its interval, where asked for.
        intervals_about: level and resamples of these intervals; empty where none were asked for.
        protocols: score name -> hash of its protocol; values of different hashes are not comparable.
        records: hash -> protocol in full.
        monitored: the score by which checkpoints are ranked.
        higher_is_better: its direction.
        seconds: wall time, without the reference's where that was cached.
        pictures: name -> (C, H, W) uint8, for people.
        per_image: score name -> (N,) float64, a value for each sample in their order, NaN where it has none; before
            these "labels" (N,) int64 and "hole_share" (N,) float64, where there are any. Empty where not asked for.
        per_image_back: likewise, of the way back where both directions were scored: of other sources.
        threads: CPU threads of one operation; another number may round differently.
    """

    values: dict[str, float]
    protocols: dict[str, str]
    records: dict[str, dict[str, Any]] = field(repr=False)
    monitored: str
    higher_is_better: bool
    seconds: float
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    intervals_about: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict, repr=False)
    per_image: dict[str, Tensor] = field(default_factory=dict, repr=False)
    per_image_back: dict[str, Tensor] = field(default_factory=dict, repr=False)
    threads: int = field(default_factory=torch.get_num_threads)

    @property
    def monitored_value(self) -> float:
        return self.values[self.monitored]

    def line(self, images_seen: int) -> dict[str, Any]:
        """What scores.jsonl says of this evaluation."""
        line: dict[str, Any] = {
            "images_seen": images_seen,
            "scores": self.values,
            "protocols": self.protocols,
            "monitored": self.monitored,
            "higher_is_better": self.higher_is_better,
        }
        if self.intervals:
            line["intervals"] = {name: list(ends) for name, ends in self.intervals.items()}
            line["intervals_about"] = self.intervals_about
        return line | {f"{CLOCK}seconds": self.seconds, f"{CLOCK}threads": self.threads}


def together(there: Scores, back: Scores) -> Scores:
    """The scores of both directions as those of one evaluation, ranked by the way there."""
    return replace(
        there,
        values=there.values | back.values,
        protocols=there.protocols | back.protocols,
        records=there.records | back.records,
        intervals=there.intervals | back.intervals,
        pictures=there.pictures | back.pictures,
        per_image_back=back.per_image,
        seconds=there.seconds + back.seconds,
    )


def digest_of(protocol: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that tell protocols apart."""
    return hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:12]


def append_scores(folder: Path, images_seen: int, scores: Scores, about: Mapping[str, Any] | None = None) -> None:
    """Add a line to scores.jsonl: images seen, values, hashes of their protocols; protocols in full go beside it.

    Args:
        folder: made if missing.
        about: what the line says of the samples besides.
    """
    append_record(folder / "scores.jsonl", (scores.line(images_seen) | dict(about or {}), scores.records))


def append_record(file: Path, record: Sequence[Mapping[str, Any]]) -> None:
    """Add a line to a scores.jsonl.

    Args:
        file: whose folder is made if missing.
        record: the line; and, by their hashes, its protocols in full, for the protocols.json beside.
    """
    line, protocols = record
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name("protocols.json")
    known = read_json(beside)
    if known is None and beside.is_file():
        set_aside(beside, "it holds no JSON object; the protocols of new scores are written anew")
    known = known or {}
    if not set(protocols) <= set(known):
        replace_text(beside, json.dumps(known | dict(protocols), indent=1, sort_keys=True))
    append_line(file, line)


def save_pictures(folder: Path, images_seen: int, scores: Scores) -> None:
    """The pictures that came with the scores, as `<name>_<images seen>.png`."""
    if not scores.pictures:
        return
    from gan_lab.data.pictures import grid, save_png

    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in scores.pictures.items():
        save_png(grid(picture[None], 1, padding=0), folder / f"{name}_{images_seen:012d}.png")


def save_per_image(folder: Path, images_seen: int, scores: Scores) -> None:
    """What scores say of each sample, where they do: per_image.csv, whose place an earlier evaluation's gives up.

    Columns: images seen, the sample's number (that of its source in the split), its label and its hole's share where
    there are any, and its value by each score; empty where it has none. Where both directions were scored, those of the
    way back stand in a table of their own, per_image_BtoA.csv.
    """
    for name, columns in ((PER_IMAGE, scores.per_image), (PER_IMAGE_BACK, scores.per_image_back)):
        if not columns:
            continue
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["images_seen", "index", *columns])
        cells = [["" if value != value else value for value in column.tolist()] for column in columns.values()]
        rows.writerows([images_seen, index, *values] for index, values in enumerate(zip(*cells, strict=True)))
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(folder / name, text.getvalue())
