"""Signals that ask a run to end: noted, never acted on in the handler; and a job's way back into SLURM's queue."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from types import FrameType
from typing import Any

REQUEUEING = (signal.SIGUSR1, signal.SIGUSR2)  # a time limit, submitit: save, and come again
# A terminal that closes; Ctrl-C; scancel, a preempting scheduler (which requeues by itself).
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
RANKING = (*REQUEUEING, *ENDING)  # what counts of several signals is the later one here


def heeded(numbers: Sequence[int]) -> list[int]:
    """Those of the signals that mean something here: under `nohup` a terminal may close."""
    return [n for n in numbers if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]


class Signals:
    """Notes the signals of this process. A handler that saved would deadlock where ranks are not at the same step.

    Attributes:
        received: the signal that counts so far, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._saying: bytes = b""
        self._earlier: dict[int, Any] = {}
        self._process = os.getpid()

    def note(self, numbers: Sequence[int], saying: str = "") -> None:
        """Note these signals from now on, and answer the first with a line, if there is one."""
        self._process, self._saying = os.getpid(), saying.encode()
        for number in heeded(numbers):
            before = signal.signal(number, self._handle)
            self._earlier.setdefault(number, before)

    def release(self, numbers: Sequence[int] = RANKING) -> None:
        """Give these signals back to whoever had them before."""
        for number in numbers:
            if number in self._earlier:
                signal.signal(number, self._earlier.pop(number))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.received == number == signal.SIGINT
        if again or os.getpid() != self._process:  # the second Ctrl-C; or a loader's worker, which inherits handlers
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if self.received is None and self._saying:
            with contextlib.suppress(OSError):  # a terminal that has closed; `print` is not for handlers
                os.write(2, b"\n" + self._saying + b"\n")
        self.received = max(number, self.received or number, key=RANKING.index)


signals = Signals()


def requeue(number: int) -> str | None:
    """Put this process's SLURM job back into the queue, where the signal that stopped it asks for that.

    Returns:
        The job's id; None outside of SLURM, and where it shall not come again.
    Raises:
        RuntimeError: `scontrol` refuses or is not there.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or not (number in REQUEUEING or _gives_way(job)):
        return None
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(
            ["scontrol", "requeue", job],
            check=True,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        raise RuntimeError(
            f"all is saved, but `scontrol requeue {job}` failed ({said}): submit the job again"
        ) from error
    return job


def _gives_way(job: str) -> bool:
    """Whether SLURM is about to take the nodes for another job.

    It then sends TERM as `scancel` does, and requeues by itself only what has not ended when the grace is over.
    """
    if shutil.which("scontrol") is None:  # in a container, say
        return False
    shown = subprocess.run(
        ["scontrol", "show", "job", "--oneliner", job],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    running, other = "JobState=RUNNING" in shown.stdout, re.search(r"\sPreemptTime=(?!None)", shown.stdout)
    return running and other is not None
