"""A comparison as text: columns, terminal, CSV and Markdown."""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan_lab.comparison.rows import Comparison, Row, Summary, differing, unlike
from gan_lab.runs.reading import Monitored, Score

NONE = "–"
HEAD_WIDTH = 14


class Column(NamedTuple):
    """A column as text."""

    head: str
    cells: list[str]
    right: bool = True


def score_labels(comparison: Comparison) -> dict[Score, str]:
    """Every score, those that rank first -> its name, with the protocol's hash where several have that name."""
    rows = comparison.rows
    scores = dict.fromkeys(row.monitored.score for row in rows if row.monitored)
    scores |= dict.fromkeys(score for row in rows for score in row.scores(comparison.at))
    names = Counter(score.name for score in scores)
    return {score: f"{score.name}@{score.protocol}" if names[score.name] > 1 else score.name for score in scores}


def frame(comparison: Comparison) -> pd.DataFrame:
    """The CSV: all rows with every number as it is, a column per score and protocol; what is not ranked has no rank.

    A new column goes here and into `columns`, which rounds, for the terminal, Markdown and the HTML page.
    """
    ranked = len(comparison.monitored) <= 1
    keys, labels = differing(comparison.rows), score_labels(comparison)
    records = []
    for number, row in enumerate(comparison.rows, 1):
        record: dict[str, Any] = {"rank": number if ranked and row.scored else None}
        record |= {key: exact(row.settings[key]) if key in row.settings else None for key in keys}
        record |= {"seeds": len(row.runs), "unfinished": len(row.unfinished)}
        record |= {"at": comparison.at, "kimg": row.kimg(comparison.at)}
        found = row.scores(comparison.at)
        for score, label in labels.items():
            values = found.get(score, Summary(math.nan, None, 0))
            record |= {label: values.mean, f"{label}/ci95": values.half_width, f"{label}/seeds": values.seeds}
            record[f"{label}/protocol"] = score.protocol if values.seeds else None
            if score in [kind.score for kind in comparison.monitored]:
                ranks_by = row.monitored is not None and row.monitored.score == score
                record[f"{label}/best"] = row.best() if ranks_by else math.nan
        record |= {"images_per_s": row.mean_of("images_per_s"), "device_hours": row.mean_of("device_hours")}
        record["runs"] = " ".join(str(run.folder) for run in [*row.runs, *row.unfinished])
        records.append(record)
    return pd.DataFrame(records).astype({"rank": "Int64"})


def columns(rows: Sequence[Row], comparison: Comparison, first: int) -> list[Column]:
    """A table as text for all but CSV (see `frame`); rows are numbered from `first`, by rank if all can be ranked."""
    ranked = len(comparison.monitored) <= 1
    found = [row.scores(comparison.at) for row in rows]
    main = rows[0].monitored.score if rows[0].monitored else None
    labels = {score: label for score, label in score_labels(comparison).items() if any(score in of for of in found)}

    def scored(score: Score) -> Column:
        cells = [
            interval_text(of[score], len(row.runs)) if score in of else NONE
            for row, of in zip(rows, found, strict=True)
        ]
        return Column(labels[score], cells)

    made = [Column("rank", [str(first + i) if row.scored else NONE for i, row in enumerate(rows)])]
    if not ranked:
        made = [Column("row", [str(first + i) for i in range(len(rows))])]
    if main is not None:
        made += [scored(main), Column("best", [number_text(row.best()) for row in rows])]
    for key in differing(comparison.rows):
        cells = [plain_text(row.settings[key]) if key in row.settings else NONE for row in rows]
        made.append(Column(key, cells, right=False))
    made.append(Column("seeds", [str(len(row.runs)) for row in rows]))
    made.append(Column("unfinished", [str(len(row.unfinished)) for row in rows]))
    if main is not None:
        made.append(Column("kimg", [number_text(row.kimg(comparison.at)) for row in rows]))
    made += [scored(score) for score in labels if score != main]
    made.append(Column("images/s", [number_text(row.mean_of("images_per_s"), 3) for row in rows]))
    hours = [number_text(row.mean_of("device_hours"), 3) for row in rows]
    least = [">=" if any(run.devices is None for run in row.runs) else "" for row in rows]
    made.append(Column("device-hours", [sign + text for sign, text in zip(least, hours, strict=True)]))
    return made


def exact(value: Any) -> Any:
    """A setting in a CSV file: a number as it is, anything else as JSON would have it, without quotes."""
    return value if isinstance(value, (str, int, float)) and not isinstance(value, bool) else json.dumps(value)


def plain_text(value: Any) -> str:
    """A setting for a reader: a class by its last name."""
    if isinstance(value, float):
        return f"{value:g}"
    text = str(exact(value))
    return text.rpartition(".")[2] if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", text) else text


def number_text(value: float, digits: int = 4) -> str:
    """With so many significant digits, and no digit before the point lost."""
    if not math.isfinite(value):
        return NONE if math.isnan(value) else str(value)
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def interval_text(values: Summary, seeds: int) -> str:
    """Mean ± half width, this one with two significant digits; how many values there are, if not one per seed."""
    mean, half_width, count = values
    if half_width is None or half_width == 0 or not math.isfinite(half_width):
        text = f"{number_text(mean)} ± {NONE if half_width is None else number_text(half_width)}"
    else:
        places = max(0, 1 - math.floor(math.log10(half_width)))
        text = f"{mean:.{places}f} ± {half_width:.{places}f}"
    return text if count == seeds else f"{text} (n={count})"


def captions(comparison: Comparison) -> list[str]:
    """What the numbers are."""
    when = "last evaluation" if comparison.at == "last" else "evaluation with the best monitored score"
    lines = [
        f"Scores at the {when} of each finished run: mean ± half width of the 95 % interval over seeds "
        f"(Student t; {NONE}: a single seed has no interval)."
    ]
    for score, higher in comparison.monitored:
        better = "higher" if higher else "lower"
        lines.append(
            f"{score.name}: {better} is better, protocol {score.protocol}; best: of any seed at any evaluation."
        )
    lines.append(
        "unfinished: failed, stopped, pruned or still under way; counted, not averaged. images/s (median of a run) and "
        "device-hours (of training and scoring) are means over finished runs."
    )
    for key, same in differing(comparison.rows).items():
        if same:
            lines.append(f"{key} stands for {', '.join(same)} too, with the same values.")
    return lines


def show(comparison: Comparison, console: Console) -> None:
    """Print the tables; one that is too wide goes on below, with its first column again."""
    number = 1
    for rows in comparison.tables:
        if len(comparison.monitored) > 1:
            console.print(Text(title(rows[0].monitored), style="bold"))
        first, *rest = columns(rows, comparison, number)
        number += len(rows)
        best = rows[0].scored and len(comparison.monitored) == 1
        for part in parts(first, rest, console.width):
            table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
            for column in part:
                table.add_column(broken(column.head), justify="right" if column.right else "left", overflow="fold")
            for i, cells in enumerate(zip(*(column.cells for column in part), strict=True)):
                table.add_row(*cells, style="green" if best and i == 0 else None)
            console.print(table)
            console.print()
    for line in captions(comparison):
        console.print(Text(line, style="dim"))


def title(monitored: Monitored | None) -> str:
    return f"{monitored.score.name}, protocol {monitored.score.protocol}" if monitored else "not scored"


def parts(first: Column, rest: Sequence[Column], width: int) -> list[list[Column]]:
    """Columns in their order, as many side by side as fit, with `first` before each part."""

    def needed(columns: Sequence[Column]) -> int:
        widest = [max(map(len, [*broken(column.head).split("\n"), *column.cells])) for column in columns]
        return sum(each + 2 for each in widest)

    made = [[first]]
    for column in rest:
        if len(made[-1]) > 1 and needed([*made[-1], column]) > width:
            made.append([first])
        made[-1].append(column)
    return made


def broken(head: str) -> str:
    """A column's head on lines of few characters, broken after dots, @ and underscores."""
    lines = [""]
    for piece in re.findall(r"[^._@]*[._@]|[^._@]+", head):
        if lines[-1] and len(lines[-1]) + len(piece) > HEAD_WIDTH:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def markdown(comparison: Comparison) -> str:
    """The tables and what their numbers are."""
    blocks, number = [], 1
    for rows in comparison.tables:
        made = columns(rows, comparison, number)
        number += len(rows)
        lines = [[column.head for column in made], ["---:" if column.right else "---" for column in made]]
        lines += [list(cells) for cells in zip(*(column.cells for column in made), strict=True)]
        text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        blocks.append(f"**{title(rows[0].monitored)}**\n\n{text}" if len(comparison.monitored) > 1 else text)
    return "\n\n".join([*blocks, *captions(comparison)]) + "\n"


def refusal(comparison: Comparison) -> str:
    """Which rows have which protocol, what differs between these, and what can be done."""
    kinds = comparison.monitored
    protocols = comparison.protocols
    lines = [f"the monitored scores have {len(kinds)} protocols and are not ranked against each other:"]
    for kind in kinds:
        rows = [str(i) for i, row in enumerate(comparison.rows, 1) if row.monitored == kind]
        lines.append(f"  {title(kind)}: row{'s' * (len(rows) > 1)} {', '.join(rows)}")
    unknown = [kind.score.protocol for kind in kinds if kind.score.protocol not in protocols]
    if unknown:
        lines.append(f"  protocols.json does not hold {', '.join(unknown)}")
    known = [protocols[kind.score.protocol] for kind in kinds if kind.score.protocol in protocols]
    for key, values in unlike(known).items():
        lines.append(f"  {key}: {' | '.join(plain_text(value) for value in values)}")
    lines.append(f"Compare fewer runs, or choose one: --protocol {kinds[0].score.protocol}")
    return "\n".join(lines)
