"""How long a proposed training takes on this machine, and what memory, by a few steps of it."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from gan_lab.inspection.plan import Plan
from gan_lab.runs.records import read_rows

STEPS = 6  # of which the first ones are not counted
WARM_UP = 2
AS_IS = (
    "logger=csv",
    "callbacks.progress=null",
    "callbacks.pictures=null",
    "callbacks.curves=null",
    "callbacks.health=null",
    "evaluation=none",
)
SPEED, MEMORY = "clock/images_per_s", "clock/memory_mb"
FULL = "out of memory"


class Measured(NamedTuple):
    """What a few steps took.

    Attributes:
        speed: images per second, the median.
        memory_mb: of a GPU, the most; None on a CPU.
        at_once: pictures that its memory holds at once; the plan's batch where all of that fits.
    """

    speed: float
    memory_mb: float | None
    at_once: int


def measure(plan: Plan, further: list[str]) -> Measured:
    """A few steps of the very command, in a folder that is gone afterwards.

    Where the device's memory does not hold a batch, with half as many pictures at once, until it does.

    Args:
        plan: what is proposed.
        further: words for the command line.
    Raises:
        ValueError: it does not train here; the message is that of training.
    """
    at_once = plan.batch_size
    while True:
        try:
            return steps(plan, at_once, further)
        except ValueError as error:
            if FULL not in str(error) or at_once == 1:
                raise
            at_once //= 2


def steps(plan: Plan, at_once: int, further: list[str]) -> Measured:
    """See `measure`: with so many pictures at once."""
    kimg = plan.batch_size / 1000
    if at_once < plan.batch_size:
        further = [*further, f"data.micro_batch_size={at_once}"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = [*plan.words, f"total_kimg={STEPS * kimg}", f"callbacks.metrics.every_kimg={kimg}", f"run_dir={run}"]
        command = [sys.executable, "-m", "gan_lab.train", *words, *AS_IS, *further]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error: ")]
            raise ValueError(f"time=true: a few steps of training failed: {said[-1] if said else done.stderr.strip()}")
        rows = read_rows(run / "metrics.csv")
    speeds = [float(row[SPEED]) for row in rows if row.get(SPEED)]
    memory = [float(row[MEMORY]) for row in rows if row.get(MEMORY)]
    return Measured(statistics.median(speeds[WARM_UP:] or speeds), max(memory, default=None), at_once)


def duration(plan: Plan, measured: Measured) -> str:
    """How long the whole of it takes, and what it needs, for people."""
    hours = plan.way.total_kimg * 1000 / measured.speed / 3600
    time = (
        f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"
    )
    text = (
        f"By {STEPS} steps on this machine, {measured.speed:.3g} images per second: about {time} for "
        f"total_kimg={plan.way.total_kimg}. First pictures of samples come after 10 of these"
    )
    if measured.memory_mb is not None:
        text += f". {measured.memory_mb:,.0f} MiB of the GPU's memory are used"
    if measured.at_once < plan.batch_size:
        text += f". Its memory holds {measured.at_once} pictures at once: add data.micro_batch_size={measured.at_once}"
    return text
