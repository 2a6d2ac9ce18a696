"""What a run writes down as it goes: metrics.csv and scores.jsonl, equal for a broken and an unbroken run.

Columns and keys under `clock/` depend on the machine and are exempt. A run that another process watches has its scores
in `watch/`, each line with the sha256 of the snapshot that was scored; whoever wants a run's scores asks `scores_of`.
"""

import csv
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

CLOCK = "clock/"
WATCH = "watch"


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics file as they stand; none where there is no file. A row cut short by a crash is left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if line.endswith("\n")))


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row; a column that is new rewrites the file with that column empty in the rows before."""
    header = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            header = next(csv.reader(file), [])
    columns = (header or ["images_seen"]) + sorted(set(row) - set(header) - {"images_seen"})
    if columns != header:
        _write_rows(path, columns, read_rows(path))
    with path.open("a", newline="", encoding="utf-8") as file:
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
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line of JSON; one that a crash has cut short gives way to it."""
    with path.open("ab+") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        file.write(json.dumps(line).encode() + b"\n")


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, finds the old one or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read_scores(path: Path) -> list[dict[str, Any]]:
    """The lines of a scores.jsonl, parsed; a last line cut short by a crash is left out."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def cut_scores(path: Path, images_seen: int) -> None:
    """Drop the lines past `images_seen`, as `cut_rows` does."""
    if path.is_file():
        kept = [line for line in read_scores(path) if line["images_seen"] <= images_seen]
        replace_text(path, "".join(json.dumps(line) + "\n" for line in kept))


# A run's scores, whoever made them ------------------------------------------------------------------------------------


def scores_of(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's folder by images seen: its own, and where it has none those of its watcher that count."""
    lines = watched_scores(run) | {line["images_seen"]: line for line in read_scores(run / "scores.jsonl")}
    return [lines[images] for images in sorted(lines)]


def watched_scores(run: Path) -> dict[int, dict[str, Any]]:
    """Images seen -> the watcher's line, where it counts.

    It does where the snapshot lies there as it was scored, or is older than others: then it was deleted. A resumed run
    deletes what is ahead of it, so a snapshot past the newest one belongs to a course that the run has left.
    """
    snapshots, lines = snapshots_of(run), {}
    newest = max(snapshots, default=-1) if (run / "snapshots").is_dir() else float("inf")
    for line in read_scores(run / WATCH / "scores.jsonl"):
        images = line["images_seen"]
        if images < newest if images not in snapshots else is_content(snapshots[images], line["snapshot"]):
            lines[images] = line
    return lines


def snapshots_of(run: Path) -> dict[int, Path]:
    """Images seen -> file of a generator, in order."""
    return {int(path.stem): path for path in sorted((run / "snapshots").glob("[0-9]*.safetensors"))}


def is_content(path: Path, sha256: str) -> bool:
    """Whether the file has this digest; so it is said of one that was deleted a moment ago."""
    try:
        return content_sha256(path) == sha256
    except FileNotFoundError:
        return True


def content_sha256(path: Path) -> str:
    """Hexadecimal digest of a file, read once as long as it is not written again."""
    stat = path.stat()
    return _content_sha256(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _content_sha256(path: Path, *stamp: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def comparable(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines that have the last one's monitored score, by the same protocol."""
    if not lines:
        return []
    name = lines[-1]["monitored"]
    return [line for line in lines if line["protocols"].get(name) == lines[-1]["protocols"][name]]


def best_of(lines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first of the `comparable` lines with the best monitored score; None of none."""
    alike = comparable(lines)
    if not alike:
        return None
    pick, name = max if alike[-1].get("higher_is_better") else min, alike[-1]["monitored"]
    return pick(alike, key=lambda line: line["scores"][name])
