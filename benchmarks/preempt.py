"""Preempted and requeued, a run ends with the weights of an unbroken one: python benchmarks/preempt.py

Starts a SLURM cluster (see tests/slurm/slurmlab.sh; Debian's packages, root) and submits slurm/train.sbatch on 2 nodes
with 2 tasks each, on CPUs: once left alone, then for each seed stopped by USR1 at a random moment, and requeued. Even
seeds stop it while it trains, odd ones while it starts, when most of its seconds pass. Prints seed, moment, the images
after which it went on, and the digest of all that training has come to: networks, averages, optimizers, counters. Ends
with the count of equal digests; exit code 1 if one differs.
"""

import argparse
import random
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))  # where the cluster is, which is no package

from slurm.cluster import Cluster, Job
from slurm.digests import final_digest

STEPS, BATCH, PAUSE = 60, 16, 0.1
RUN = [
    "model=wgan_gp",
    "data.image_size=16",
    f"data.batch_size={BATCH}",
    "model.generator.width=4",
    "model.discriminator.width=4",
    "evaluation=none",
    f"total_kimg={STEPS * BATCH / 1000}",
    "callbacks.pictures.every_kimg=null",
    "callbacks.curves.every_kimg=null",
    "callbacks.checkpoint.every_kimg=null",
    f"+callbacks.pace={{_target_: slurm.callbacks.Pace, seconds: {PAUSE}}}",
]


def submit(cluster: Cluster, run: Path) -> Job:
    """The job, once it runs."""
    options = ("--nodes=2", "--ntasks-per-node=2")
    job = cluster.submit("train.sbatch", *RUN, f"run_dir={run}", output=run.with_suffix(".out"), options=options)
    job.wait_for(lambda: "start 1" in job.said)
    return job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="preemptions to make")
    parser.add_argument("--first-seed", type=int, default=0, help="the others count on from it")
    chosen = parser.parse_args()
    cluster = Cluster(2, plain=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            equal = compare(cluster, Path(folder), chosen.runs, chosen.first_seed)
    finally:
        cluster.stop()
    print(f"preempt {equal} of {chosen.runs} equal the unbroken run")
    sys.exit(equal != chosen.runs)


def compare(cluster: Cluster, folder: Path, runs: int, seed: int) -> int:
    """How many of `runs` preempted runs ended as the unbroken one did; prints a line for each."""
    start = time.monotonic()
    job = submit(cluster, folder / "unbroken")
    job.wait_for((folder / "unbroken" / "config.yaml").exists)
    starting = time.monotonic() - start
    state = job.wait(600)
    if state != "COMPLETED":
        raise SystemExit(f"the unbroken run {state}:\n{job.said}")
    expected = final_digest(folder / "unbroken")
    print(f"unbroken {time.monotonic() - start:.1f} s, {starting:.1f} of them to start, {expected}", flush=True)
    preempted = equal = 0
    while preempted < runs:
        run, draw = folder / f"seed{seed}", random.Random(seed)
        job = submit(cluster, run)
        if seed % 2:
            when, moment = "of starting", draw.uniform(1.0, starting)
        else:
            when, moment = "of training", draw.uniform(0.0, 0.8 * STEPS * PAUSE)
            job.wait_for((run / "config.yaml").exists)
        time.sleep(moment)
        job.signal("USR1", check=False)
        state = job.wait(600)
        if state == "COMPLETED" and job.restarts == 0:
            print(f"seed {seed} moment {moment:.2f} s {when}: it had ended, or not begun; not counted", flush=True)
        else:
            preempted += 1
            found = final_digest(run) if state == "COMPLETED" else state
            equal += found == expected
            [images] = re.findall(r"going on from 0*(\d+)\.ckpt", job.said)[:1] or ["nothing"]
            verdict = "equal" if found == expected else "DIFFERENT"
            print(f"seed {seed} moment {moment:.2f} s {when}, resumed at {images} images {found} {verdict}", flush=True)
            if state != "COMPLETED":
                print(job.said, flush=True)
        seed += 1
    return equal


if __name__ == "__main__":
    main()
