"""A job that takes the place of a training run: notes what it was given and when, and ends as `wandb.project` says."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

given = dict(line.split("=", 1) for line in sys.argv[1:])
how, report = given.get("wandb.project", "fine"), Path(given["report"].strip("'"))
notes = report.with_suffix(".notes")
taken: list[int] = []


def note(**more):
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "WANDB_RUN_GROUP")
    about = {"given": given, "begun": begun, "ended": time.monotonic(), "signals": taken, "pid": os.getpid()}
    temporary = notes.with_suffix(".tmp")
    temporary.write_text(json.dumps(about | {name: os.environ.get(name) for name in names} | more))
    temporary.replace(notes)


def say(**changes):
    report.write_text(json.dumps({"images_seen": 1000, "total_kimg": 2, "scores": [], "monitored": "fd9"} | changes))


def stop(number, frame):
    taken.append(number)
    if how != "stubborn":
        time.sleep(0.3)  # as if it saved; long enough for a signal that came twice
        say(state="stopped")
        note()
        sys.exit(128 + number)


begun = time.monotonic()
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGHUP, stop)
if how == "fails":
    say(state="failed", error="no such luck")
    sys.exit("Error: no such luck")
if how == "silent":
    print("reading\n\nError: nothing to read\n")
    sys.exit(1)
say(state="running")
if how == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) if how == "stubborn" else None
note(child=child and child.pid)
time.sleep({"slow": 2, "waits": 30, "stubborn": 30}.get(how, 0.3))
say(state="finished", objective=float(given["seed"]) / 2)
note()
