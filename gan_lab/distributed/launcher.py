"""The ranks of one run on this machine: started together, watched, ended together."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from gan_lab.distributed.preemption import RANKING, signals
from gan_lab.distributed.topology import ERROR_FILE, MEETING_POINT

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
POLL_SECONDS, GRACE_SECONDS = 0.1, 3.0
TAIL_LINES = 15


class RankError(RuntimeError):
    """A rank failed and all others were ended; the message names it and its cause."""


def run_ranks(module: str, arguments: Sequence[str], count: int, devices: Sequence[int] | None = None) -> int:
    """Run `python -m module` as `count` ranks on this machine and wait for them.

    Signals that ask a run to end are passed on. The first rank that fails ends all, at once: nothing is left to save
    where one is missing. Rank 0 has this terminal; what the others print is shown if they fail without a word.

    Args:
        module, arguments: of the command.
        count: number of ranks.
        devices: numbers of the GPUs to use, one per rank; None for the first ones.
    Returns:
        0, or 128 + the number of the signal by which the run was stopped.
    Raises:
        RankError: a rank failed.
    """
    ranks: list[subprocess.Popen] = []
    asked = [] if signals.received is None else [signals.received]

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    with tempfile.TemporaryDirectory(prefix="gan_lab_ranks_") as name:
        earlier = {number: signal.signal(number, note) for number in RANKING}
        try:
            for rank in range(count):
                ranks.append(_start(module, arguments, rank, count, Path(name), devices))
            codes, failed = _watch(ranks, asked)
            if failed:
                _end(ranks)
                raise RankError(_cause(codes, failed, Path(name)))
            return max(128 - code if code < 0 else code for code in codes if code is not None)
        finally:
            for process in ranks:
                process.kill()
            for number, handler in earlier.items():
                signal.signal(number, handler)


def _start(
    module: str, arguments: Sequence[str], rank: int, count: int, folder: Path, devices: Sequence[int] | None
) -> subprocess.Popen:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    environment = os.environ | {key: str(value) for key, value in place.items()}
    environment[MEETING_POINT] = f"file://{folder / 'meeting'}"
    environment[ERROR_FILE] = str(folder / f"{rank}.error")
    environment.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // count)))
    if devices is not None:
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(visible[n] if visible else str(n) for n in devices)
    launcher = os.getpid()
    output = None if rank == 0 else (folder / f"{rank}.log").open("wb")
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # a terminal's Ctrl-C comes through this process, once
        preexec_fn=lambda: end_with(launcher),
    )


def end_with(launcher: int) -> None:
    """In a new process: where the launcher dies without a word, be asked to end, as by `kill` (on Linux alone).

    Args:
        launcher: its process id.
    """
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != launcher:
            os._exit(1)


def usable_cores() -> int:
    """Of this process, where the system can tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _watch(ranks: Sequence[subprocess.Popen], asked: Sequence[int]) -> tuple[list[int | None], list[int]]:
    """The exit codes at the moment when all ranks have ended or one has failed, and which have failed."""
    passed_on = 0
    while True:
        for number in asked[passed_on:]:
            passed_on += 1
            for process in ranks:
                if process.poll() is None:
                    process.send_signal(number)
        codes = [process.poll() for process in ranks]
        as_asked = {None, 0, *(128 + number for number in RANKING), *(-number for number in asked)}
        failed = [rank for rank, code in enumerate(codes) if code not in as_asked]
        if failed or None not in codes:
            return codes, failed
        time.sleep(POLL_SECONDS)


def _end(ranks: Sequence[subprocess.Popen]) -> None:
    """Wait a moment for those that are ending by themselves, and end the others."""
    deadline = time.monotonic() + GRACE_SECONDS
    for process in ranks:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _cause(codes: Sequence[int | None], failed: Sequence[int], folder: Path) -> str:
    """What failed first: a rank that ended without a word, as if killed, else the one that noted its error earliest."""
    noted = sorted((file.stat().st_mtime_ns, int(file.stem)) for file in folder.glob("*.error"))
    spoken = {rank for _, rank in noted}
    for rank in failed:
        code = codes[rank]
        if code is not None and rank not in spoken:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            return "\n".join([f"rank {rank} {how}; the other ranks were ended", *_log(rank, folder)[-TAIL_LINES:]])
    _, rank = noted[0]
    text = json.loads((folder / f"{rank}.error").read_text(encoding="utf-8"))["message"]["message"]
    traced = [number for number, line in enumerate(_log(rank, folder)) if line.startswith("Traceback")]
    return "\n".join([f"rank {rank}: {text}", *(_log(rank, folder)[traced[0] :] if traced else [])])


def _log(rank: int, folder: Path) -> list[str]:
    """The lines that a rank printed, none of rank 0, which has the terminal."""
    log = folder / f"{rank}.log"
    return log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
