"""What a run writes down as it goes: metrics.csv and scores.jsonl, equal for a broken and an unbroken run.

Columns and keys under `clock/` depend on the machine and are exempt. A run that another process watches has its scores
in `watch/`, each line with the sha256 of the snapshot that was scored; whoever wants a run's scores asks `scores_of`.
"""

import csv
import hashlib
import io
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

CLOCK = "clock/"
WATCH = "watch"
DELIMITERS = ",;\t"  # ours, and those of spreadsheets
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")

log = logging.getLogger("gan_lab")


# Files that a crash, a full disk or a person leave in any state -------------------------------------------------------


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, finds the old one or the new one.

    Raises:
        OSError: it cannot be written; the old one is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is no file, or it holds no object (empty after a crash, say)."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def set_aside(path: Path, why: str) -> Path:
    """Give a damaged file another name, aloud; what it holds is not lost."""
    aside = _free_name(path)
    os.replace(path, aside)
    log.warning("%s is damaged (%s); it is kept as %s", path, why, aside.name)
    return aside


def keep_copy(path: Path, why: str) -> Path:
    """A copy of a file that is about to be repaired, aloud."""
    aside = _free_name(path)
    shutil.copyfile(path, aside)
    log.warning("%s is damaged (%s) and was repaired; what it held is kept in %s", path, why, aside.name)
    return aside


def _free_name(path: Path) -> Path:
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    return aside


def _end_whole(file: IO[bytes], is_whole: Callable[[bytes], bool] = lambda rest: False) -> None:
    """Let a file, open for reading and appending, end with a whole line: one that was cut short is dropped.

    Args:
        is_whole: whether what follows the last end of a line is a line all the same.
    """
    file.seek(0)
    content = file.read()
    rest = content[content.rfind(b"\n") + 1 :]
    if rest and is_whole(rest):
        file.write(b"\n")
    elif rest:
        file.truncate(len(content) - len(rest))


# metrics.csv ----------------------------------------------------------------------------------------------------------


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics file; none where there is no file. A row cut short by a crash is left out.

    A file that a spreadsheet has saved is read, too: a byte order mark, semicolons or tabs, decimal commas, `512.0` for
    512, rows without anything. Cells stay text; one of `images_seen` that is no number stays as it is.

    Raises:
        ValueError: not UTF-8, or without a column images_seen.
    """
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in file if line.endswith("\n")]
    delimiter = _delimiter(lines[0]) if lines else ","
    reader = csv.DictReader(lines, delimiter=delimiter)
    if reader.fieldnames and "images_seen" not in reader.fieldnames:
        raise ValueError(f"{path} has no column images_seen in its first line")
    rows = []
    for cells in reader:
        row = {name: (text or "").strip() for name, text in cells.items() if name is not None}
        if not any(row.values()):
            continue
        if delimiter != ",":
            row = {name: _with_point(text) for name, text in row.items()}
        rows.append(row | {"images_seen": _whole(row["images_seen"])})
    return rows


def _delimiter(header: str) -> str:
    return next((mark for mark in DELIMITERS if mark in header), ",")


def _with_point(text: str) -> str:
    return text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text) else text


def _whole(text: str) -> str:
    """A count as `int` takes it, where it is one."""
    try:
        return str(int(float(text))) if float(text).is_integer() else text
    except ValueError:
        return text


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row; a column that is new rewrites the file with that column empty in the rows before."""
    header, as_written = _header(path)
    columns = (header or ["images_seen"]) + sorted(set(row) - set(header) - {"images_seen"})
    if columns != header or not as_written:
        _write_rows(path, columns, read_rows(path))
    with path.open("ab+") as file:
        _end_whole(file)
        text = io.StringIO(newline="")
        csv.DictWriter(text, columns, restval="").writerow(row)
        file.write(text.getvalue().encode())


def _header(path: Path) -> tuple[list[str], bool]:
    """The columns of a metrics file, none where there is no file; and whether its first line is as we write it."""
    if not path.is_file():
        return [], False
    with path.open("rb") as file:
        first = file.readline()
    text = first.decode("utf-8-sig")
    columns = next(csv.reader([text], delimiter=_delimiter(text)), [])
    return columns, first == _csv(columns, [])


def cut_rows(path: Path, images_seen: int) -> None:
    """Drop the rows past `images_seen`, written by a run that went on after the checkpoint it now resumes from.

    What a spreadsheet has saved is written anew as a run writes it; of a damaged file a copy is kept, aloud.
    """
    if not path.is_file():
        return
    try:
        rows = read_rows(path)
    except ValueError as error:
        set_aside(path, str(error))
        return
    counted = [row for row in rows if row["images_seen"].isdecimal()]
    if len(counted) < len(rows):
        keep_copy(path, f"{len(rows) - len(counted)} of its rows have no number of images_seen")
    kept = [row for row in counted if int(row["images_seen"]) <= images_seen]
    if not kept:
        path.unlink()
        return
    columns = [name for name in kept[0] if any(row[name] for row in kept)]
    if path.read_bytes() != _csv(columns, kept):
        _write_rows(path, columns, kept)


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _write_rows(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    replace_text(path, _csv(columns, rows).decode())


# scores.jsonl ---------------------------------------------------------------------------------------------------------


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line of JSON; one that a crash has cut short gives way to it."""
    with path.open("ab+") as file:
        _end_whole(file, is_whole=lambda rest: _line_of(rest.decode(errors="replace")) is not None)
        file.write(json.dumps(line).encode() + b"\n")


def try_writing(folder: Path, key: str, given: str) -> None:
    """Whether files can be written into a folder, before hours of work go into them; nothing is left behind.

    Args:
        folder: may be missing, as may those around it.
        key, given: as on the command line, for the message.
    Raises:
        ValueError: they cannot.
    """
    made: list[Path] = []
    try:
        missing = [part for part in (folder, *folder.parents) if not part.exists()]
        for part in reversed(missing):
            part.mkdir()
            made.append(part)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
        if (scores := folder / "scores.jsonl").exists():
            scores.open("ab").close()
    except OSError as error:
        raise ValueError(f"{key}={given} cannot be written: {error}; choose another {key}=...") from error
    finally:
        for part in reversed(made):
            part.rmdir()


def read_scores(path: Path) -> list[dict[str, Any]]:
    """The lines of a scores.jsonl, parsed; blank and damaged ones are left out, see `damaged_lines`."""
    return [line for _, _, line in _lines_of(path) if line is not None]


def damaged_lines(path: Path) -> list[int]:
    """The numbers, from 1 on, of the lines that say nothing of a score; the last one is none where it is cut short."""
    return [number for number, ended, line in _lines_of(path) if line is None and ended]


def _lines_of(path: Path) -> list[tuple[int, bool, dict[str, Any] | None]]:
    """Of each line that is not blank: its number, whether it has an end, and what it says if it says something."""
    if not path.is_file():
        return []
    texts = path.read_bytes().decode("utf-8-sig", errors="replace").split("\n")
    return [(n, n < len(texts), _line_of(text)) for n, text in enumerate(texts, 1) if text.strip()]


def _line_of(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("images_seen"), (int, float)) else None


def cut_scores(path: Path, images_seen: int) -> None:
    """Drop the lines past `images_seen`, as `cut_rows` does; of a file with damaged lines a copy is kept, aloud."""
    if not path.is_file():
        return
    lines = [
        (number, line if line is not None and _is_complete(line) else None, ended)
        for number, ended, line in _lines_of(path)
    ]
    damaged = [str(number) for number, line, ended in lines if line is None and ended]
    if damaged:
        keep_copy(path, f"line {', '.join(damaged)}")
    kept = [line for _, line, _ in lines if line is not None and line["images_seen"] <= images_seen]
    text = "".join(json.dumps(line) + "\n" for line in kept)
    if path.read_bytes() != text.encode():
        replace_text(path, text)


def _is_complete(line: Mapping[str, Any]) -> bool:
    """Whether a line has what a run looks for."""
    scores, protocols = line.get("scores"), line.get("protocols")
    return (
        isinstance(scores, dict)
        and isinstance(protocols, dict)
        and line.get("monitored") in scores.keys() & protocols.keys()
    )


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
