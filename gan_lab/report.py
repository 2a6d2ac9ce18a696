"""`python -m gan_lab.report`: runs as one HTML file that holds all it shows: scores, curves, pictures, settings."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gan_lab.comparison.page import render
from gan_lab.runs.reading import find_runs, read_run
from gan_lab.terminal import prepare_process

EXAMPLE = """\
example:
  python -m gan_lab.report runs/dcgan_digits/1a2b3c4d/seed0
  python -m gan_lab.report runs --out all.html

The file needs no network and no other file: send it, print it, keep it.
"""


def main() -> None:
    """The command."""
    prepare_process()
    try:
        run(parse(sys.argv[1:]))
    except (ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line; argparse's own errors exit with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m gan_lab.report",
        description="One HTML file of runs: scores and their protocols, curves, pictures, settings, and a comparison.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "places", nargs="+", type=Path, metavar="RUN", help="a run's folder, a sweep's, or one with runs below"
    )
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    parser.add_argument(
        "--at",
        choices=("last", "best"),
        default="last",
        help="compare runs at their last evaluation (default), or at the one with the best monitored score",
    )
    return parser.parse_args(words)


def run(options: argparse.Namespace) -> None:
    """Read, draw and write."""
    folders, problems = find_runs(options.places)
    runs = []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except ValueError as error:
            problems.append(str(error))
    if not runs:
        raise ValueError(f"none of the runs can be read; {problems[-1]}")
    page = render(runs, problems, at=options.at)
    temporary = options.out.with_name(f".{options.out.name}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(options.out)
    except OSError as error:
        raise ValueError(f"cannot write {options.out}: {error.strerror}") from error
    print(f"{options.out}: {len(runs)} run{'s' * (len(runs) > 1)}, {len(page.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
