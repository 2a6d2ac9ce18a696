"""`python -m gan_lab.compare`: finished and unfinished runs in one table, a row per configuration, and their curves."""

import argparse
import json
import math
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan_lab.comparison import (
    Comparison,
    Monitored,
    Row,
    Score,
    Summary,
    compare,
    differing,
    find_runs,
    read_run,
    spread,
    unlike,
)

EXAMPLE = """\
example:
  python -m gan_lab.train --multirun model=dcgan,lsgan seed=0,1,2
  python -m gan_lab.compare runs --csv table.csv --plot curves.png

Rows with scores of different protocols are not ranked together: they get a table each, and the exit code is 1.
"""
NONE = "–"
HEAD_WIDTH = 14
COLOURED = 7  # rows of a plot, the best ones; the others are grey
LABEL_WIDTH = 45
LOG_FROM = 20  # the ratio of the highest score to the lowest from which the axis of scores is logarithmic


class Column(NamedTuple):
    """A column as text."""

    head: str
    cells: list[str]
    right: bool = True


def main() -> None:
    """The command."""
    try:
        code = run(parse(sys.argv[1:]))
    except (ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line; argparse's own errors exit with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m gan_lab.compare",
        description="Runs in one table: a row per configuration, with means and 95 % intervals over its seeds.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "places", nargs="+", type=Path, metavar="RUN_OR_SWEEP", help="a run's folder, a sweep's, or one with runs below"
    )
    parser.add_argument(
        "--at",
        choices=("last", "best"),
        default="last",
        help="take each run's scores at its last evaluation (default), or at the one with its best monitored score",
    )
    parser.add_argument(
        "--protocol", metavar="HASH", help="only the rows ranked by a score of this protocol (its first digits)"
    )
    parser.add_argument("--csv", metavar="FILE", help="write the table in full precision; - for standard output")
    parser.add_argument("--markdown", metavar="FILE", help="write the table as Markdown; - for standard output")
    parser.add_argument(
        "--plot",
        metavar="FILE.png",
        help="draw the monitored score against images and against device-hours, with its spread over seeds",
    )
    options = parser.parse_args(words)
    if options.csv == options.markdown == "-":
        parser.error("--csv and --markdown cannot both go to standard output")
    return options


def run(options: argparse.Namespace) -> int:
    """Read, compare, print and write; returns the exit code, 1 if the rows could not be ranked."""
    folders, notes = find_runs(options.places)
    runs = []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except ValueError as error:
            notes.append(f"{error}: this run is failed and in no row")
    if not runs:
        raise ValueError(f"none of the runs can be read; {notes[-1]}")
    comparison = compare(runs, at=options.at, protocol=options.protocol)
    for note in [*notes, *comparison.notes]:
        print(f"Warning: {note}", file=sys.stderr)
    if options.csv is not None:
        write(options.csv, frame(comparison).to_csv(index=False))
    if options.markdown is not None:
        write(options.markdown, markdown(comparison))
    if options.plot is not None:
        try:
            draw(comparison, Path(options.plot))
        except (OSError, ValueError) as error:
            raise ValueError(f"cannot plot to {options.plot}: {getattr(error, 'strerror', None) or error}") from error
    if "-" not in (options.csv, options.markdown):
        show(comparison, Console(markup=False, highlight=False, emoji=False))
    if len(comparison.monitored) > 1:
        print(f"Error: {refusal(comparison)}", file=sys.stderr)
        return 1
    return 0


def write(target: str, text: str) -> None:
    """To a file, or to standard output for "-".

    Raises:
        ValueError: the file cannot be written.
    """
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text)
    except OSError as error:
        raise ValueError(f"cannot write {target}: {error.strerror}") from error


def score_labels(comparison: Comparison) -> dict[Score, str]:
    """Every score, those that rank first -> its name, with the protocol's hash where several have that name."""
    rows = comparison.rows
    scores = dict.fromkeys(row.monitored.score for row in rows if row.monitored)
    scores |= dict.fromkeys(score for row in rows for score in row.scores(comparison.at))
    names = Counter(score.name for score in scores)
    return {score: f"{score.name}@{score.protocol}" if names[score.name] > 1 else score.name for score in scores}


def frame(comparison: Comparison) -> pd.DataFrame:
    """All rows with every number as it is, a column per score and protocol; what is not ranked has no rank."""
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
    """A table as text; its rows are numbered from `first`, and the numbers are ranks if all rows can be ranked."""
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


def draw(comparison: Comparison, path: Path) -> None:
    """The monitored score over images and over device-hours, a line per row with the range of its seeds.

    Raises:
        ValueError: no finished run has scores, or matplotlib cannot write such a file.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    tables = [[row for row in rows if row.scored] for rows in comparison.tables]
    tables = [rows for rows in tables if rows]
    if not tables:
        raise ValueError("no finished run has scores")
    names = labels(comparison)
    figure, grid = plt.subplots(
        len(tables), 2, figsize=(15, 4.5 * len(tables)), layout="constrained", squeeze=False, sharey="row"
    )
    for axes, rows in zip(grid, tables, strict=True):
        assert rows[0].monitored is not None
        score = rows[0].monitored.score
        for axis, over, what in zip(axes, ("images", "hours"), ("kimg", "device-hours"), strict=True):
            for place, row in reversed(list(enumerate(rows))):  # the best ones on top
                line = spread([run.curve(over) for run in row.scored])
                if place >= COLOURED:
                    axis.plot(line["x"], line["mean"], color="0.8", linewidth=0.8)
                    continue
                marker = "o" if over == "images" or len(line) == 1 else ""
                axis.plot(line["x"], line["mean"], f"C{place}", marker=marker, markersize=3, label=names[id(row)])
                axis.fill_between(line["x"], line["low"], line["high"], color=f"C{place}", alpha=0.2, linewidth=0)
            axis.set_xlabel(what)
            axis.grid(alpha=0.3)
        values = [value for row in rows for run in row.scored for value in run.curve("images")[1]]
        if min(values) > 0 and max(values) > LOG_FROM * min(values):
            axes[0].set_yscale("log")
        axes[0].set_ylabel(f"{score.name} (protocol {score.protocol})")
        if len(comparison.rows) > 1:
            more = f"grey: {len(rows) - COLOURED} of lower rank" if len(rows) > COLOURED else None
            beside = {"loc": "upper left", "bbox_to_anchor": (1, 1), "fontsize": "small", "frameon": False}
            axes[1].legend(handles=axes[0].get_legend_handles_labels()[0][::-1], title=more, **beside)
    figure.suptitle(
        "mean over the seeds of finished runs; band: from the lowest to the highest seed", fontsize="medium"
    )
    try:
        figure.savefig(path, dpi=120)
    finally:
        plt.close(figure)


def labels(comparison: Comparison) -> dict[int, str]:
    """id of a row -> its number in the table, its settings that differ (their keys in short), and its seeds."""
    keys = list(differing(comparison.rows))
    short = {}
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        short[key] = next(end for end in ends if sum(f".{other}".endswith(f".{end}") for other in keys) == 1)
    made = {}
    for number, row in enumerate(comparison.rows, 1):
        settings = {short[key]: plain_text(row.settings[key]) for key in keys if key in row.settings}
        text = ", ".join(value if key == "_target_" else f"{key}={value}" for key, value in settings.items())
        seeds = f"{len(row.scored)} seed{'s' * (len(row.scored) > 1)}"
        made[id(row)] = textwrap.fill(f"{number} ({seeds}): {text}", LABEL_WIDTH, max_lines=3, placeholder=" …")
    return made


if __name__ == "__main__":
    main()
