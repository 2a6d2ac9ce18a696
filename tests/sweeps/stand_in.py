"""`python stand_in.py ...`: the train command with runs that only write the report of one.

A run's seed is its score at the end. The trials numbered in STAND_IN_HOPELESS are long and score a million throughout.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from gan_lab.cli import run_command
from gan_lab.config import register_for_sweeps
from gan_lab.runs.status import read_status, stop_file, update_status

STEPS = 5
SECONDS = float(os.environ.get("STAND_IN_SECONDS", "0"))
HOPELESS = os.environ.get("STAND_IN_HOPELESS", "").split()


class StandIn(Launcher):
    """Runs each job by calling `play`, or what a test puts in its place."""

    play: Callable[[dict[str, str], Path, int], Any]

    def setup(self, *, hydra_context, task_function, config) -> None:
        type(self).seen_config = config

    def launch(self, job_overrides, initial_job_idx):
        returns = []
        for overrides in job_overrides:
            settings = dict(override.split("=", 1) for override in overrides)
            done = JobReturn(overrides=overrides)
            try:
                done.return_value = type(self).play(settings, Path(settings["report"].strip("'")), initial_job_idx)
                done.status = JobStatus.COMPLETED
            except Exception as error:
                done.return_value, done.status = error, JobStatus.FAILED
            returns.append(done)
        return returns


def play(settings: dict[str, str], report: Path, number: int) -> float:
    """A run that has a score at every whole kimg."""
    with Path("began.txt").open("a") as file:
        file.write(json.dumps({"number": number, "seed": settings["seed"], "pid": os.getpid()}) + "\n")
    hopeless = str(number) in HOPELESS
    scores: list[list[float]] = []
    reason = "total_kimg reached"
    for kimg in range(1, 1 + (100 if hopeless else 1) * STEPS):
        scores.append([kimg, 1e6 if hopeless else int(settings["seed"]) + STEPS - kimg])
        update_status(report, state="running", scores=scores, higher_is_better=False)
        time.sleep(SECONDS)
        if stop_file(report).exists():
            reason = stop_file(report).read_text()
            break
    update_status(report, state="finished", objective=min(value for _, value in scores), reason=reason)
    return read_status(report)["objective"]


StandIn.play = staticmethod(play)
FIXED = [
    f"hydra.launcher._target_=hydra_plugins.{StandIn.__module__}.StandIn",
    "hydra/launcher=basic",
    "hydra/sweeper=optuna",
    "evaluation=none",
    "hydra.sweeper.direction=minimize",
]


def main(*arguments: str) -> None:
    """The sweep of a command line, in this process."""
    register_for_sweeps(StandIn)
    earlier, sys.argv = sys.argv, ["train", "--multirun", *FIXED, *arguments]
    try:
        run_command("train", lambda config: None)
    finally:
        sys.argv = earlier


if __name__ == "__main__":
    main(*sys.argv[1:])
