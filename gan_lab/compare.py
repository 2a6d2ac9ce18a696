"""`python -m gan_lab.compare`: finished and unfinished runs in one table, a row per configuration, and their curves."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gan_lab.comparison.curves import draw
from gan_lab.comparison.rows import compare
from gan_lab.comparison.tables import frame, markdown, refusal, show
from gan_lab.runs.reading import find_runs, read_run
from gan_lab.terminal import prepare_process, wide_console

EXAMPLE = """\
example:
  python -m gan_lab.train --multirun model=dcgan,lsgan seed=0,1,2
  python -m gan_lab.compare runs --csv table.csv --plot curves.png

Rows with scores of different protocols are not ranked together: they get a table each, and the exit code is 1.
"""


def main() -> None:
    """The command."""
    prepare_process()
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
        show(comparison, wide_console())
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
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write {target}: {error.strerror}") from error


if __name__ == "__main__":
    main()
