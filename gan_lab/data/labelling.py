"""Which classes image files are of: by the folders they lie in, by a file of labels beside them, or by a table."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from gan_lab.data.sources import LABELS, Source, listed

SPLITS = frozenset(["train", "training", "val", "valid", "validation", "dev", "eval", "test", "testing"])
SHARD_IMAGES = 1000  # in a folder of StyleGAN's data sets and of FFHQ
SHARD = re.compile(r"\d{5}")
NUMBER = re.compile(r"(\d+)\.[^.]+")


class Classes(NamedTuple):
    """What was decided about classes.

    Attributes:
        names: of the classes in order; none without labels.
        labels: the class of each image; None without labels.
        reason: why so, for people.
        doubtful: whether a person might have meant something else.
    """

    names: list[str]
    labels: list[int] | None
    reason: str = ""
    doubtful: bool = False


def classes_of(source: Source, names: list[str], wanted: int | None) -> Classes:
    """The classes of a person's own images.

    The labels of a `dataset.json` count first, then the outermost folders that all images lie in, where there are
    several. What only arranges files is looked through: one folder around all, `train` beside `val` or `test`, and
    folders of 1,000 that number the images through (`00007/img00007123.png`, or FFHQ's `07000/07123.png`).

    Args:
        source: of the images `names`.
        wanted: number of classes; 0 for none whatever the folders; None for what is found. Where what is found is
            another number, the readings above are tried in turn, and the folders at every depth as they are.
    Raises:
        ValueError: no reading gives as many as `wanted`; the file of labels leaves images out.
    """
    if wanted == 0:
        return Classes([], None, "no classes, as data.num_classes=0 says")
    found = by_labels(source, names) or by_folders(names)
    if wanted is None or len(found.names) == wanted:
        return found
    for other in every_depth(names):
        if len(other.names) == wanted:
            return other
    raise ValueError(
        f"data.num_classes={wanted}, but {source.place} has {len(found.names) or 'no'} classes ({found.reason}). Leave "
        "data.num_classes out for what is found, or give 0 for no classes"
    )


def by_labels(source: Source, names: list[str]) -> Classes | None:
    """By a `dataset.json` of StyleGAN's format, {"labels": [[name, class], ...]}; None where there is none, or null."""
    file = source.labels()
    if file is None:
        return None
    place, content = file
    try:
        stored = json.loads(content)["labels"]
        if stored is None:
            return None
        labels = {place + name.replace("\\", "/"): label for name, label in stored}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = by_folders(names)
        reason = f"{found.reason}; {place}{LABELS} holds no labels of images ({error!r}) and is not read"
        return found._replace(reason=reason, doubtful=True)
    absent = [name for name in names if name not in labels]
    if absent:
        raise ValueError(
            f"{source.place}: {place}{LABELS} has no label for {listed(absent)}. Repair or remove it, or give "
            "data.num_classes=0 for no classes"
        )
    numbers: list[Any] = [labels[name] for name in names]
    if not all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers):
        return Classes([], None, f"no classes: the labels of {place}{LABELS} are not all whole numbers from 0", True)
    count = max(numbers) + 1
    beyond = len(labels) - len(names)
    reason = f"{count} classes by {place}{LABELS}" + (f", which has {beyond} labels of other files" if beyond else "")
    return Classes([str(number) for number in range(count)], numbers, reason, beyond > 0)


def by_table(content: bytes, names: list[str], column: str | None, where: str) -> Classes:
    """By a table with a header: a column that names files, and one that says of what class each is.

    Files are named by their path below the root, by their name, or by that without its extension. Classes are all that
    the column has, in the order of their names, so that several sets of images go by one table.

    Args:
        content: of the file: UTF-8, with commas, semicolons or tabs.
        names: of the images.
        column: with the classes; None where there is no other than that of the files.
        where: the table, for messages.
    Raises:
        ValueError: it is no such table, or leaves images out.
    """
    try:
        text = content.decode("utf-8-sig")
        dialect = csv.Sniffer().sniff(text.partition("\n")[0], delimiters=",;\t")
        header, *rows = [row for row in csv.reader(io.StringIO(text), dialect) if row]
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ValueError(f"{where} is no table of files and classes: {error}; give a CSV with a header") from error
    if short := next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None):
        raise ValueError(f"{where}, line {short}: {len(rows[short - 2])} columns, where the header has {len(header)}")
    files, called = file_column(header, rows, names, where)
    others = [name for place, name in enumerate(header) if place != files]
    if column is None and len(others) == 1:
        column = others[0]
    if column not in others:
        raise ValueError(f"data.class_column={column} is none of the columns of {where}: {', '.join(others)}")
    place = header.index(column)
    classes = {row[files]: row[place] for row in rows}
    absent = [name for name, call in zip(names, called, strict=True) if call not in classes]
    if absent:
        raise ValueError(f"{where} has no row for {listed(absent)}. Add them, or give data.labels=null")
    class_names = sorted(set(classes.values()))
    numbers = {name: number for number, name in enumerate(class_names)}
    return Classes(
        class_names, [numbers[classes[call]] for call in called], f"{len(class_names)} classes by {column} of {where}"
    )


def file_column(header: list[str], rows: list[list[str]], names: list[str], where: str) -> tuple[int, list[str]]:
    """The column of a table that names most of the files, and what each of `names` is called there."""
    ways = [names, [name.rpartition("/")[2] for name in names], [PurePosixPath(name).stem for name in names]]
    hits = [
        (sum(call in values for call in called), -way, -place)
        for place, values in enumerate([{row[place] for row in rows} for place in range(len(header))])
        for way, called in enumerate(ways)
    ]
    most, way, place = max(hits, default=(0, 0, 0))
    if not most:
        raise ValueError(f"no column of {where} ({', '.join(header)}) names the files, such as {names[0]}")
    called = ways[-way]
    if len(set(called)) < len(called):
        twice = next(name for name, count in Counter(called).items() if count > 1)
        raise ValueError(f"{where} names files without their folders, and there are several called {twice}")
    return -place, called


def by_folders(names: list[str]) -> Classes:
    """By the outermost folders that all lie in, where these are several and do not only arrange files."""
    passed = ""
    for depth, (folders, outside) in enumerate(levels(names)):
        if not folders:
            return Classes([], None, f"no classes: {passed or 'no subfolders'}", bool(passed))
        if outside:
            reason = f"no classes: {listed(outside)} beside the folders {shortened(folders)}{also(passed)}"
            return Classes([], None, reason, True)
        if len(folders) == 1:
            continue
        if SPLITS.issuperset(name.lower() for name in folders):
            passed = f"{shortened(folders)} are parts of a set and all are read; give the path of one for it alone"
        elif numbered_through(names, depth):
            return Classes([], None, f"no classes: the folders {shortened(folders)} number the images through")
        else:
            classes = of_folders(names, depth)
            return classes._replace(reason=classes.reason + also(passed), doubtful=bool(passed))
    raise AssertionError("the last level has no folders")


def every_depth(names: list[str]) -> Iterator[Classes]:
    """By the folders of each depth in which all images lie in one, whatever they are called."""
    for depth, (folders, outside) in enumerate(levels(names)):
        if outside or not folders:
            return
        yield of_folders(names, depth)


def of_folders(names: list[str], depth: int) -> Classes:
    """By the folders at this depth, 0 for the outermost; all images lie in one."""
    folders = [name.split("/")[depth] for name in names]
    class_names = sorted(set(folders))
    numbers = {name: number for number, name in enumerate(class_names)}
    reason = f"{len(class_names)} classes by the folders {shortened(class_names)}"
    return Classes(class_names, [numbers[folder] for folder in folders], reason)


def levels(names: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """For each depth the sorted folders there, and the images that lie in none of them; the last has no folders."""
    paths = [name.split("/") for name in names]
    for depth in range(max(map(len, paths))):
        inside = [len(path) > depth + 1 for path in paths]
        folders = sorted({path[depth] for path, deep in zip(paths, inside, strict=True) if deep})
        yield folders, [name for name, deep in zip(names, inside, strict=True) if not deep]


def numbered_through(names: list[str], depth: int) -> bool:
    """Whether each folder at this depth says which thousand the numbers of its images are of.

    Classes may have such names too, 00000 to 00042 for traffic signs: there, the images' numbers say nothing of them.
    """
    for name in names:
        folder, number = name.split("/")[depth], NUMBER.search(name.rpartition("/")[2])
        if not SHARD.fullmatch(folder) or number is None:
            return False
        thousand = int(number[1]) // SHARD_IMAGES
        if int(folder) not in (thousand, thousand * SHARD_IMAGES):
            return False
    return True


def shortened(names: list[str]) -> str:
    """The first few names."""
    return ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])


def also(reason: str) -> str:
    """A further reason, if there is one."""
    return f"; {reason}" if reason else ""
