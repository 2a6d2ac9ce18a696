"""What leaving snapshots for a watcher costs, and that scoring leaves no trace in training: python benchmarks/watch.py

Runs of `python -m gan_lab.train` take turns, each in a process of its own: without evaluation and snapshots
(`evaluation=none`), leaving snapshots (`evaluation=watch`), and scored on the way (`evaluation=default`). Prints

    `share snapshots`, the part of the training's time that is spent in leaving them, at the interval measured and at
        the default one (bar: 0.02);
    `ratio watch/none`, images/s and CPU seconds per image of whole runs, with the spread (bar: 0.98, beyond it);
    `ratio watched/none`, images/s while `python -m gan_lab.evaluate watch=RUN` scores on the same cores;
    whether the final weights of all runs are the same bits.

A try of a minute: --kimg 0.6 --every-kimg 0.1 --rounds 1
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback

from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.runs.records import scores_of

ROOT = Path(__file__).resolve().parent.parent
WARM = 128  # images
DEFAULT_EVERY_KIMG = 25  # conf/callbacks/default.yaml
KINDS = {"none": "none", "watch": "watch", "watched": "watch", "default": "default"}


class Clock(Callback):
    """Writes how long a training took after its first images, and how much of that went into scores and snapshots."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.start: tuple[int, float, float] | None = None
        self.ticks: list[float] = []

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        for callback in trainer.callbacks:
            if isinstance(callback, Evaluate):
                callback.tick = self._timed(callback.tick)  # type: ignore[method-assign]

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        if self.start is None and pl_module.images_seen >= WARM:
            self.start = pl_module.images_seen, time.perf_counter(), time.process_time()
            self.ticks.clear()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        assert self.start is not None, "too short a training"
        images, wall, cpu = self.start
        found = {
            "images": pl_module.images_seen - images,
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "ticks": self.ticks,
        }
        self.path.write_text(json.dumps(found))

    def _timed(self, tick: Any) -> Any:
        def timed(*arguments: Any) -> None:
            start = time.perf_counter()
            tick(*arguments)
            self.ticks.append(time.perf_counter() - start)

        return timed


def train(kind: str, run: Path, kimg: float, every_kimg: float, threads: int) -> dict[str, Any]:
    """One run: what its clock says, and the digest of its final weights."""
    intervals = [f"callbacks.{name}.every_kimg=null" for name in ("pictures", "curves", "checkpoint")]
    intervals.append("callbacks.health=null")  # it counts modes where an evaluation brings an extractor
    command = [
        *("train", f"evaluation={KINDS[kind]}", *intervals, f"run_dir={run}", f"threads={threads}", "trainer=cpu"),
        *("data=digits", "model=dcgan", "network=dcgan_small", f"total_kimg={kimg}"),
        "callbacks.evaluation=null" if kind == "none" else f"callbacks.evaluation.every_kimg={every_kimg}",
        f"+callbacks.clock={{_target_: benchmarks.watch.Clock, path: '{run}.json'}}",
    ]
    if kind != "none":
        command += ["evaluation.num_samples=500"]
    training = start(command)
    watcher = start(["evaluate", f"watch={run}", "poll_seconds=0.2"]) if kind == "watched" else None
    finish(training)
    if watcher is not None:
        finish(watcher)
        print(f"  the watcher scored {len(scores_of(run))} snapshots")
    found = json.loads(Path(f"{run}.json").read_text())
    checkpoint = torch.load(max((run / "checkpoints").glob("[0-9]*.ckpt")), weights_only=True)
    digest = hashlib.sha256()
    for name, value in sorted(checkpoint["state_dict"].items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return found | {"digest": digest.hexdigest()[:16], "images_per_s": found["images"] / found["wall"]}


def start(command: list[str]) -> subprocess.Popen:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    module, *arguments = command
    return subprocess.Popen(
        [sys.executable, "-m", f"gan_lab.{module}", *arguments],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{' '.join(process.args)}\nended with {process.returncode}:\n{output}")  # type: ignore[arg-type]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.4f}  (range {min(values):.4f} to {max(values):.4f}, {len(values)} rounds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kimg", type=float, default=12, help="length of each run")
    parser.add_argument("--every-kimg", type=float, default=2, help="from one snapshot to the next")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each training")
    chosen = parser.parse_args()
    print(f"torch {torch.__version__}, {chosen.threads} threads, load {os.getloadavg()[0]:.1f}", flush=True)
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(chosen.rounds):
            order = ["none", "watch"] if turn % 2 == 0 else ["watch", "none"]
            for kind in [*order, "watched", *(["default"] if turn == 0 else [])]:
                run = Path(folder) / f"{kind}{turn}"
                found[kind].append(train(kind, run, chosen.kimg, chosen.every_kimg, chosen.threads))
                seen = found[kind][-1]
                print(f"  {kind:<8} {seen['images_per_s']:8.1f} images/s, weights {seen['digest']}", flush=True)
    shares = [sum(run["ticks"]) / (run["wall"] - sum(run["ticks"])) for run in found["watch"]]
    print(f"share snapshots {spread(shares)}; every {chosen.every_kimg:g} kimg; bar: 0.02 or less)")
    by_default = [share * chosen.every_kimg / DEFAULT_EVERY_KIMG for share in shares]
    print(f"share snapshots_by_default {spread(by_default)}; every {DEFAULT_EVERY_KIMG} kimg; reckoned)")
    pairs = list(zip(found["watch"], found["none"], strict=True))
    print(f"ratio watch/none {spread([a['images_per_s'] / b['images_per_s'] for a, b in pairs])}; bar: 0.98 or more)")
    cpu = [b["cpu"] / b["images"] / (a["cpu"] / a["images"]) for a, b in pairs]
    print(f"ratio watch/none_cpu {spread(cpu)})")
    pairs = list(zip(found["watched"], found["none"], strict=True))
    print(f"ratio watched/none {spread([a['images_per_s'] / b['images_per_s'] for a, b in pairs])}; the same cores)")
    digests = {run["digest"] for runs in found.values() for run in runs}
    print(f"weights: {'the same bits in all runs' if len(digests) == 1 else 'NOT THE SAME'}")
    print(f"load of the machine {os.getloadavg()[0]:.1f}")
    sys.exit(0 if len(digests) == 1 else 1)


if __name__ == "__main__":
    main()
