"""What a run writes down as it goes: metrics.csv and scores.jsonl, equal for a broken and an unbroken run.

Columns and keys under `clock/` depend on the machine and are exempt.
"""

import csv
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # whoever reads records need not load torch
    from gan_lab.evaluation import Scores

CLOCK = "clock/"


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics file as they stand; none where there is no file. A row cut short by a crash is left out."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(line for line in file if line.endswith("\n")))


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row; a column that is new rewrites the file with that column empty in the rows before."""
    header = []
    if path.is_file():
        with path.open(newline="") as file:
            header = next(csv.reader(file), [])
    columns = (header or ["images_seen"]) + sorted(set(row) - set(header) - {"images_seen"})
    if columns != header:
        _write_rows(path, columns, read_rows(path))
    with path.open("a", newline="") as file:
        csv.DictWriter(file, columns, restval="").writerow(row)


def cut_rows(path: Path, images_seen: int) -> None:
    """Drop the rows past `images_seen`, written by a run that went on after the checkpoint it now resumes from."""
    if not path.is_file():
        return
    rows = read_rows(path)
    kept = [row for row in rows if int(row["images_seen"]) <= images_seen]
    if len(kept) == len(rows) and path.read_bytes().endswith(b"\n"):
        return
    if kept:
        columns = [name for name in kept[0] if any(row[name] for row in kept)]
        _write_rows(path, columns, kept)
    else:
        path.unlink()


def _write_rows(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def append_scores(folder: Path, images_seen: int, scores: "Scores") -> None:
    """Add a line to scores.jsonl: images seen, values, hashes of their protocols; protocols in full go beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    protocols = folder / "protocols.json"
    known = json.loads(protocols.read_text()) if protocols.is_file() else {}
    if not set(scores.records) <= set(known):
        protocols.write_text(json.dumps(known | scores.records, indent=1, sort_keys=True))
    line = {
        "images_seen": images_seen,
        "scores": scores.values,
        "protocols": scores.protocols,
        "monitored": scores.monitored,
        "higher_is_better": scores.higher_is_better,
        f"{CLOCK}seconds": scores.seconds,
        f"{CLOCK}threads": scores.threads,
    }
    with (folder / "scores.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def read_scores(path: Path) -> list[dict[str, Any]]:
    """The lines of a scores.jsonl, parsed; a last line cut short by a crash is left out."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def cut_scores(path: Path, images_seen: int) -> None:
    """Drop the lines past `images_seen`, as `cut_rows` does."""
    if path.is_file():
        kept = [line for line in read_scores(path) if line["images_seen"] <= images_seen]
        path.write_text("".join(json.dumps(line) + "\n" for line in kept))
