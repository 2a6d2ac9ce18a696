"""How long a proposed training takes on this machine, by a few steps of it."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

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
SPEED = "clock/images_per_s"


def images_per_second(plan: Plan, further: list[str]) -> float:
    """The median speed of a few steps of the very command, in a folder that is gone afterwards.

    Args:
        plan: what is proposed.
        further: words for the command line.
    Raises:
        ValueError: it does not train here; the message is that of training.
    """
    kimg = plan.batch_size / 1000
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = [*plan.words, f"total_kimg={STEPS * kimg}", f"callbacks.metrics.every_kimg={kimg}", f"run_dir={run}"]
        command = [sys.executable, "-m", "gan_lab.train", *words, *AS_IS, *further]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error: ")]
            raise ValueError(f"time=true: a few steps of training failed: {said[-1] if said else done.stderr.strip()}")
        speeds = [float(row[SPEED]) for row in read_rows(run / "metrics.csv") if row.get(SPEED)]
    return statistics.median(speeds[WARM_UP:] or speeds)


def duration(plan: Plan, speed: float) -> str:
    """How long the whole of it takes, for people."""
    hours = plan.way.total_kimg * 1000 / speed / 3600
    time = (
        f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"
    )
    return (
        f"By {STEPS} steps on this machine, {speed:.3g} images per second: about {time} for "
        f"total_kimg={plan.way.total_kimg}. First pictures of samples come after 10 of these"
    )
