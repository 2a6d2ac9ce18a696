"""What a check finds, and how checks ask other programs."""

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ANSWER_S = 4.0  # for another program
MARKS = {"good": "✓", "note": "!", "broken": "✗"}


State = Literal["good", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        name: of what was looked at.
        state: "good"; "note", which stops nothing; or "broken".
        text: what was found.
        remedy: what to do about it; empty where there is nothing to do.
    """

    name: str
    state: State
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        end = "" if self.text.endswith("?") else "."
        remedy = f"{end} Remedy: {self.remedy}" if self.remedy else ""
        return f"{MARKS[self.state]} {self.name:<20} {self.text}{remedy}"


class SettingsError(ValueError):
    """The settings do not compose; the message says why."""


def one_line(text: str) -> str:
    """The text without line breaks."""
    return "; ".join(line.strip() for line in text.strip().splitlines() if line.strip())


def ask(*command: str, limit: float | None = None) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of another program, which is ended with its children when it does not answer.

    127 and 124 are the codes of a program that is not there, and of one that took longer than `limit` seconds.
    """
    limit = ANSWER_S if limit is None else limit
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return 127, "", f"{command[0]}: {error.strerror}"
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its children hold the pipes, too
        process.communicate()
        return 124, "", f"{command[0]} did not answer within {limit:g} s"
    return process.returncode, out, err


def ask_line(command: str | Sequence[str]) -> tuple[int, str, str]:
    """`ask`, as `torch.utils.collect_env` gives its commands."""
    return ask(*(shlex.split(command) if isinstance(command, str) else command))


def last_line(err: str, code: int) -> str:
    """What a program said last, or else its exit code."""
    return (err.strip().splitlines() or [f"exit code {code}"])[-1]
