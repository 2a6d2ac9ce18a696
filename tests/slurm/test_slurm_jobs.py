"""slurm/*.sbatch and hydra/launcher=slurm on a real scheduler: several nodes, signals, a crash, an array."""

import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, SMALL
from omegaconf import OmegaConf

from slurm.cluster import Cluster, Job, wait_until
from slurm.digests import final_digest

pytestmark = pytest.mark.slurm

STEPS, BATCH, PAUSE = 40, 16, 0.1
RUN = [
    *(option for option in SMALL if option not in ("trainer=cpu", "threads=1")),
    "model=wgan_gp",  # five critic steps to a generator step: most moments lie inside an iteration
    f"total_kimg={STEPS * BATCH / 1000}",
    "callbacks.evaluation.every_kimg=null",
    "callbacks.pictures.every_kimg=null",
    "callbacks.curves.every_kimg=null",
    "callbacks.checkpoint.every_kimg=null",
    "+callbacks.sign={_target_: slurm.callbacks.Sign}",
]
TWO_BY_TWO = ("--nodes=2", "--ntasks-per-node=2")


def pace(seconds: float, rank: int | None = None) -> str:
    whose = "null" if rank is None else rank
    return f"+callbacks.pace={{_target_: slurm.callbacks.Pace, seconds: {seconds}, rank: {whose}}}"


def train(cluster: Cluster, run: Path, *arguments: str, options: tuple[str, ...] = TWO_BY_TWO, **changes: str) -> Job:
    chosen = [*RUN, f"run_dir={run}", *arguments]
    return cluster.submit("train.sbatch", *chosen, output=run.with_suffix(".out"), options=options, **changes)


def checkpoints(run: Path) -> list[int]:
    return sorted(int(path.stem) for path in (run / "checkpoints").glob("[0-9]*.ckpt"))


@pytest.fixture(scope="session")
def unbroken(cluster, tmp_path_factory) -> Path:
    """A run on two nodes with two tasks each, left alone."""
    run = tmp_path_factory.mktemp("unbroken") / "run"
    job = train(cluster, run, pace(0.0))
    assert job.wait() == "COMPLETED", job.said
    return run


def test_two_nodes_with_two_tasks_each_train_one_model(cluster, unbroken):
    signed = [(unbroken / f"rank{rank}").read_text().split() for rank in range(4)]
    assert [node for node, _ in signed] == ["node1", "node1", "node2", "node2"]
    assert len({weights for _, weights in signed}) == 1
    stored = OmegaConf.load(unbroken / "config.yaml")
    assert (stored.trainer.devices, stored.trainer.num_nodes, stored.trainer.accelerator) == (2, 2, "cpu")
    assert checkpoints(unbroken)[-1] == STEPS * BATCH


def busy_controller(folder: Path) -> dict[str, str]:
    """What to change in the environment so that `scontrol` takes its time, as on a large cluster."""
    slow = folder / "bin" / "scontrol"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nsleep 4\nexec {shutil.which("scontrol")} "$@"\n')
    slow.chmod(0o755)
    return {"PATH": f"{slow.parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize(("seed", "slow"), [(0, False), (1, True)], ids=["in_step", "rank_1_and_scontrol_lag"])
def test_preempted_at_any_moment_it_ends_as_the_unbroken_run(seed, slow, cluster, unbroken, tmp_path):
    run = tmp_path / "run"
    job = train(cluster, run, pace(PAUSE, 1 if slow else None), **(busy_controller(tmp_path) if slow else {}))
    job.wait_for((run / "config.yaml").exists)
    time.sleep(random.Random(seed).uniform(0, 0.75 * STEPS * PAUSE))
    job.signal("USR1")
    assert job.wait() == "COMPLETED", job.said
    assert job.restarts == 1, job.said
    stopped = int(re.search(r"going on from 0*(\d+)\.ckpt", job.said)[1])
    assert 0 < stopped < STEPS * BATCH
    assert final_digest(run) == final_digest(unbroken)


def test_a_lost_node_costs_what_came_after_the_last_checkpoint(cluster, unbroken, tmp_path):
    if cluster.plain:
        pytest.skip("without namespaces a node's processes cannot be ended with it")
    run = tmp_path / "run"
    job = train(cluster, run, pace(PAUSE), f"callbacks.checkpoint.every_kimg={4 * BATCH / 1000}")
    job.wait_for(lambda: checkpoints(run))
    lost = job.nodes[0]  # that of the batch script and of rank 0
    cluster.crash(lost)
    try:
        assert job.wait(180) == "COMPLETED", job.said
        assert lost not in job.nodes
    finally:
        cluster.revive(lost)
    assert job.restarts == 1
    assert "going on from" in job.said
    assert final_digest(run) == final_digest(unbroken)


@pytest.mark.parametrize(
    ("error", "said"),
    [("null", "task 3: Killed"), ("on_purpose", "Error: rank 3: on_purpose")],
    ids=["killed", "raises"],
)
def test_a_rank_that_fails_ends_the_job(error, said, cluster, tmp_path):
    run = tmp_path / "run"
    fall = f"+callbacks.fall={{_target_: slurm.callbacks.Fall, rank: 3, images: {BATCH}, error: {error}}}"
    job = train(cluster, run, pace(PAUSE), fall)
    job.wait_for((run / "fallen").exists)
    assert job.wait(30) == "FAILED", job.said
    assert said in job.said
    assert job.restarts == 0
    wait_until(lambda: not cluster.processes_with(str(run)), 20)


def test_scancel_saves_and_leaves_nothing_behind(cluster, tmp_path):
    run = tmp_path / "run"
    job = train(cluster, run, pace(PAUSE))
    job.wait_for((run / "config.yaml").exists)
    time.sleep(0.5)
    assert cluster.processes_with(str(run))
    job.cancel()
    assert job.wait() == "CANCELLED"
    wait_until(lambda: not cluster.processes_with(str(run)), 20)
    assert "stopped by signal 15" in job.said
    assert checkpoints(run)
    time.sleep(7)  # a requeued job would be back by now
    assert job.state == "CANCELLED"
    assert job.restarts == 0


def test_an_array_trains_a_run_for_each_line(cluster, tmp_path):
    lines = tmp_path / "runs.txt"
    lines.write_text(
        f"# two runs\n\nrun_dir={tmp_path}/first seed=3\n"
        f"run_dir={tmp_path}/second 'model.optimizers.generator.betas=[0.25, 0.9]'\n"
    )
    whole = cluster.submit(
        "sweep.sbatch",
        str(lines),
        *RUN,
        pace(PAUSE),
        output=tmp_path / "%a.out",
        options=("--array=1-2", "--ntasks-per-node=2"),
    )
    first, second = (Job(cluster, f"{whole.number}_{k}", tmp_path / f"{k}.out") for k in (1, 2))
    second.wait_for((tmp_path / "second" / "config.yaml").exists)
    second.signal("USR1")
    assert (first.wait(), second.wait()) == ("COMPLETED", "COMPLETED"), first.said + second.said
    assert (first.restarts, second.restarts) == (0, 1)
    assert "going on from" in second.said
    configs = [OmegaConf.load(tmp_path / name / "config.yaml") for name in ("first", "second")]
    assert [config.seed for config in configs] == [3, 0]
    assert configs[1].model.optimizers.generator.betas == [0.25, 0.9]
    assert all(checkpoints(tmp_path / name)[-1] == STEPS * BATCH for name in ("first", "second"))


def test_workers_on_several_nodes_share_a_study(cluster, tmp_path):
    optuna = pytest.importorskip("optuna", reason="pip install '.[sweep]'")
    study = tmp_path / "study.log"
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1", f"sweep.storage={study}"]
    whole = cluster.submit(
        "sweep.sbatch",
        *search,
        "model.n_critic=choice(1,2,3)",
        *RUN,
        "trainer=cpu",
        "threads=1",
        f"paths.runs_dir={tmp_path}/runs",
        output=tmp_path / "%a.out",
        options=("--array=1-2", "--cpus-per-task=32"),  # a node for each
    )
    workers = [Job(cluster, f"{whole.number}_{k}", tmp_path / f"{k}.out") for k in (1, 2)]
    assert [worker.wait(300) for worker in workers] == ["COMPLETED"] * 2, "".join(worker.said for worker in workers)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(study)))
    [name] = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 2
    assert all(trial.value is not None for trial in trials)


def test_evaluate_prints_the_scores_of_training(cluster, unbroken, tmp_path):
    job = cluster.submit(
        "evaluate.sbatch", f"checkpoint={unbroken}", f"out={tmp_path}", output=tmp_path / "evaluate.out"
    )
    assert job.wait() == "COMPLETED", job.said
    ours, theirs = ((folder / "scores.jsonl").read_text() for folder in (tmp_path, unbroken))
    scores = r'"scores": (\{.*?\})'
    assert re.search(scores, ours)[1] == re.search(scores, theirs)[1]


def test_every_sbatch_command_of_the_readme_is_accepted(cluster, tmp_path):
    text = (ROOT / "slurm" / "README.md").read_text().replace("\\\n", " ")
    commands = [shlex.split(line, comments=True) for line in re.findall(r"^sbatch .*$", text, re.MULTILINE)]
    assert len(commands) >= 6
    for command in commands:
        cluster.run("sbatch", "--test-only", *command[1:])


@pytest.mark.parametrize(
    ("script", "options", "arguments", "message"),
    [
        ("train.sbatch", ("--gpus-per-node=2",), [], "1 tasks and 2 GPUs on a node; one task per GPU"),
        (
            "train.sbatch",
            ("--nodes=2", "--ntasks=3", "--ntasks-per-node=2"),
            [],
            "3 tasks on 2 nodes; give each node as many",
        ),
        ("sweep.sbatch", ("--array=3-3",), ["README.md"], "README.md has no line 3"),
        ("sweep.sbatch", (), ["none.txt"], "there is no file none.txt"),
        ("sweep.sbatch", (), ["LICENSE"], "not an array; submit with sbatch --array=1-"),
    ],
)
def test_a_script_refuses_what_cannot_work(script, options, arguments, message, cluster, tmp_path):
    if message.endswith("line 3"):
        arguments = [str(tmp_path / "README.md")]
        Path(arguments[0]).write_text("seed=1\nseed=2\n")
    job = cluster.submit(script, *arguments, output=tmp_path / "out", options=options)
    number = job.number + ("_3" if "--array=3-3" in options else "")
    job = Job(cluster, number, tmp_path / "out")
    assert job.wait() == "FAILED"
    assert message in job.said


def test_python_without_srun_in_an_allocation_of_several_tasks_is_refused(cluster, tmp_path):
    output = tmp_path / "out"
    command = f"$GAN_LAB_PYTHON -m gan_lab.train trainer=ddp trainer.devices=2 run_dir={tmp_path}/run"
    number = cluster.run("sbatch", "--parsable", "--ntasks=2", f"--output={output}", f"--wrap={command}")
    job = Job(cluster, number.strip(), output)
    assert job.wait() == "FAILED"
    assert "this allocation has 2 tasks (SLURM_NTASKS), but this process was not started by srun" in job.said
    assert "Traceback" not in job.said
    assert not (tmp_path / "run").exists()


def test_submitit_sweeps_over_jobs_of_two_tasks_and_requeues_them(cluster, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install '.[slurm]'")
    command = [sys.executable, "-m", "gan_lab.train", "--multirun", "hydra/launcher=slurm", *RUN, pace(PAUSE)]
    command += ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "threads=1", "seed=0,1"]
    command += ["hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1", f"paths.runs_dir={tmp_path}"]
    log = tmp_path / "launcher.txt"
    with log.open("w") as file:
        parent = subprocess.Popen(command, env=cluster.environment, cwd=tmp_path, stdout=file, stderr=file)
    try:
        wait_until(lambda: len(list(tmp_path.glob("wgan_gp_digits/*/seed*/config.yaml"))) == 2, 300)
        queue = cluster.run("squeue", "-h", "-r", "-n", "gan_lab", "-t", "R", "-o", "%F_%K").split()
        first, second = (Job(cluster, number, log) for number in sorted(queue))
        second.signal("USR2")
        assert (first.wait(), second.wait()) == ("COMPLETED", "COMPLETED"), log.read_text()
        assert (first.restarts, second.restarts) == (0, 1)
        assert parent.wait(60) == 0, log.read_text()
    finally:
        parent.kill()
        parent.wait()
    for seed in (0, 1):
        [run] = tmp_path.glob(f"wgan_gp_digits/*/seed{seed}")
        assert OmegaConf.load(run / "config.yaml").seed == seed
        assert checkpoints(run)[-1] == STEPS * BATCH
        assert (run / "rank0").read_text() == (run / "rank1").read_text()
        assert ("going on from" in (run / "train.log").read_text()) == (seed == 1)


@pytest.mark.slow
@pytest.mark.parametrize("grace", [0, 20])
def test_a_job_of_higher_priority_goes_first_and_the_run_goes_on_afterwards(grace, cluster, unbroken, tmp_path):
    run = tmp_path / "run"
    cluster.run("scontrol", "update", "partition=main", f"gracetime={grace}")
    job = train(cluster, run, pace(PAUSE))
    job.wait_for((run / "config.yaml").exists)
    time.sleep(0.5)
    everything = f"--nodes={cluster.nodes}"
    cluster.run("sbatch", "--partition=urgent", "--exclusive", everything, "--output=/dev/null", "--wrap=sleep 1")
    assert job.wait(240) == "COMPLETED", job.said
    assert job.restarts == 1
    assert "going on from" in job.said
    assert final_digest(run) == final_digest(unbroken)


@pytest.mark.slow
def test_a_time_limit_requeues(cluster, unbroken, tmp_path):
    run = tmp_path / "run"
    # SLURM looks at limits twice a minute and minds whole minutes: the signal may come up to a minute early.
    job = train(cluster, run, pace(2.0), options=(*TWO_BY_TWO, "--time=2", "--signal=USR1@30"))
    assert job.wait(600) == "COMPLETED", job.said
    assert job.restarts >= 1
    assert final_digest(run) == final_digest(unbroken)
