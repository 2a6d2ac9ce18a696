"""What a command does about the terminal and the environment that it was started in."""

import codecs
import io
import os
import sys

from rich.console import Console

SIGNS = {"✓": "+", "✗": "x", "–": "-", "…": "...", "±": "+-", "×": "x"}
WIDE = 10_000  # columns, where nothing but a file or a pipe limits a line


def prepare_process() -> None:
    """Once, when a command begins, and before matplotlib is imported anywhere.

    Figures are only written to files, here and in processes started from here: a backend that a notebook or a desktop
    names in MPLBACKEND need not be installed where gan_lab is. What the terminal's encoding lacks is written otherwise
    instead of ending the command.
    """
    os.environ["MPLBACKEND"] = "Agg"
    codecs.register_error("gan_lab.terminal", shown_otherwise)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="gan_lab.terminal")


def shown_otherwise(error: UnicodeError) -> tuple[str | bytes, int]:
    """For `codecs.register_error`: signs of like meaning; of a file's name the very bytes; else an escape (\\xe9)."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    if all("\udc80" <= character <= "\udcff" for character in text):
        return text.encode("utf-8", "surrogateescape"), error.end
    first = text[0]
    if "\udc80" <= first <= "\udcff":
        return first.encode("utf-8", "surrogateescape"), error.start + 1
    return SIGNS.get(first, first.encode("ascii", "backslashreplace").decode("ascii")), error.start + 1


def wide_console() -> Console:
    """Standard output for tables: as wide as the terminal; elsewhere as wide as they are, so that nothing is cut."""
    limited = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if limited else WIDE, markup=False, highlight=False, emoji=False)
