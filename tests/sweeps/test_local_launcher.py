"""Many jobs on one machine: their devices, their failures, and the way to stop them; then real runs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT, SMALL, _run_command
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobStatus
from hydra.types import HydraContext
from omegaconf import OmegaConf

from gan_lab.config import register
from gan_lab.distributed.preemption import RANKING
from gan_lab.runs.status import read_status
from gan_lab.sweeps.local_launcher import JobError, LocalLauncher

JOB = Path(__file__).with_name("job.py")


@pytest.fixture
def launcher(tmp_path, monkeypatch):
    """`launcher(*overrides, jobs=, devices=)`: a launcher whose jobs are `job.py`, in a sweep of these settings."""
    monkeypatch.setattr(LocalLauncher, "command", [sys.executable, str(JOB)])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    earlier = {number: signal.getsignal(number) for number in RANKING}

    def make(*overrides, jobs=None, devices=None):
        register()
        with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
            loader = GlobalHydra.instance().config_loader()
            chosen = [*overrides, f"hydra.sweep.dir={tmp_path / 'sweep'}"]
            config = compose("train", chosen, return_hydra_config=True)
            OmegaConf.set_readonly(config.hydra, False)
            config.hydra.job.config_name = "train"
        made = LocalLauncher(jobs=jobs, devices=devices)
        made.setup(hydra_context=HydraContext(loader, Callbacks()), task_function=None, config=config)
        return made

    yield make
    for number, handler in earlier.items():
        signal.signal(number, handler)


def notes(folder):
    """What the jobs wrote down, by their number."""
    return {int(path.stem): json.loads(path.read_text()) for path in sorted((folder / "sweep").glob("*.notes"))}


def together(notes):
    """The largest number of jobs at work at one moment."""
    return max(sum(a["begun"] <= b["begun"] < a["ended"] for a in notes) for b in notes)


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def alive(pid):
    return Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


# Which jobs at once, on which devices ------------------------------------------------------------------------------


def test_jobs_on_gpus_have_devices_of_their_own(launcher, tmp_path):
    base = ["trainer=gpu", "trainer.devices=2", "threads=1"]
    made = launcher(*base, devices=[0, 1, 5, 7])
    assert made.slots == 2
    made.launch([[*base, f"seed={seed}"] for seed in range(5)], 0)
    seen = list(notes(tmp_path).values())
    assert [note["given"]["seed"] for note in seen] == list("01234")
    assert {note["CUDA_VISIBLE_DEVICES"] for note in seen} == {"0,1", "5,7"}
    assert together(seen) == 2
    for devices in ("0,1", "5,7"):
        assert together([note for note in seen if note["CUDA_VISIBLE_DEVICES"] == devices]) == 1


def test_a_smaller_job_sees_only_as_many_devices_as_it_asks_for(launcher, tmp_path):
    made = launcher("trainer=gpu", devices=["GPU-a", "GPU-b"])
    made.launch([["trainer=gpu", f"trainer.devices={count}", "seed=0"] for count in (2, 1)], 0)
    assert [note["CUDA_VISIBLE_DEVICES"] for note in notes(tmp_path).values()] == ["GPU-a,GPU-b", "GPU-a"]
    assert together(list(notes(tmp_path).values())) == 1


@pytest.mark.parametrize(("trainer", "slots"), [("ddp", 1), ("gpu", 3)])
def test_all_devices_are_those_of_a_job_that_trains_on_several(trainer, slots, launcher):
    made = launcher(f"trainer={trainer}", "trainer.devices=auto", devices=[0, 1, 2])
    assert made.slots == slots


def test_more_jobs_than_gpus_share_them(launcher, tmp_path):
    made = launcher("trainer=gpu", jobs=3, devices=[4, 6])
    made.launch([["trainer=gpu", f"seed={seed}"] for seed in range(3)], 0)
    assert sorted(note["CUDA_VISIBLE_DEVICES"] for note in notes(tmp_path).values()) == ["4", "4", "6"]


@pytest.mark.parametrize(
    ("named", "count", "found"),
    [("3,5", 2, ["3", "5"]), ("GPU-x", 1, ["GPU-x"]), (None, 2, ["0", "1"]), ("", 0, []), ("0,-1,2", 1, ["0"])],
)
def test_visible_gpus(named, count, found, launcher, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, f"{count}\n"))
    if named is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    made = launcher("trainer=gpu", "threads=1")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(1), raising=False)
    assert made.slots == max(1, len(found))
    assert made._gpus() == found


@pytest.mark.parametrize(
    ("settings", "cores", "jobs", "slots", "threads"),
    [
        (["threads=1"], 4, None, 4, None),
        (["threads=3"], 4, None, 1, None),
        (["threads=1", "trainer.devices=2"], 4, None, 2, None),
        (["threads=8"], 4, None, 1, None),
        (["threads=8"], 4, 3, 3, None),
        (["threads=null"], 4, None, 4, "1"),
        (["threads=null"], 4, 2, 2, "2"),
        (["threads=null", "trainer.devices=2"], 8, 2, 2, "2"),
    ],
)
def test_jobs_on_the_cpu_share_its_cores(settings, cores, jobs, slots, threads, launcher, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(cores), raising=False)
    made = launcher("trainer=cpu", *settings, jobs=jobs)
    assert made.slots == slots
    made.launch([["trainer=cpu", *settings, "seed=0"]], 0)
    (note,) = notes(tmp_path).values()
    assert note["OMP_NUM_THREADS"] == threads
    assert note["CUDA_VISIBLE_DEVICES"] == os.environ.get("CUDA_VISIBLE_DEVICES")


def test_threads_that_launch_share_the_slots(launcher, tmp_path):
    made = launcher("trainer=cpu", jobs=2)
    jobs = [["trainer=cpu", f"seed={seed}", "wandb.project=slow"] for seed in range(4)]
    launches = [threading.Thread(target=made.launch, args=([job], number)) for number, job in enumerate(jobs)]
    for thread in launches:
        thread.start()
    for thread in launches:
        thread.join()
    assert len(notes(tmp_path)) == 4
    assert together(list(notes(tmp_path).values())) == 2


# What a job is given, and what it gives back -----------------------------------------------------------------------


def test_each_job_has_a_report_and_a_log_and_returns_its_objective(launcher, tmp_path, capfd):
    made = launcher("trainer=cpu", jobs=2)
    own = f"report={tmp_path / 'own.json'}"
    returned = made.launch([["trainer=cpu", "seed=3"], ["trainer=cpu", "seed=5", own]], 7)
    assert [job.return_value for job in returned] == [1.5, 2.5]
    assert [job.status for job in returned] == [JobStatus.COMPLETED] * 2
    assert (tmp_path / "sweep" / "7.json").is_file()
    assert (tmp_path / "own.json").is_file()
    assert not (tmp_path / "sweep" / "8.json").exists()
    assert notes(tmp_path)[7]["WANDB_RUN_GROUP"] == "sweep"
    said = capfd.readouterr().out
    assert f"job 7 (seed=3) begins, log: {tmp_path / 'sweep' / '7.log'}" in said
    assert "job 8 (seed=5) finished after" in said
    assert "fd9 2.5" in said


def test_a_failing_job_is_named_and_does_not_stop_the_others(launcher, tmp_path):
    made = launcher("trainer=cpu", jobs=1)
    ways = ["fails", "fine", "killed", "silent", "fine"]
    returned = made.launch([["trainer=cpu", "seed=2", f"wandb.project={way}"] for way in ways], 0)
    assert [job.status.name for job in returned] == ["FAILED", "COMPLETED", "FAILED", "FAILED", "COMPLETED"]
    assert [job.return_value for job in returned if job.status == JobStatus.COMPLETED] == [1.0, 1.0]
    with pytest.raises(JobError) as raised:
        _ = returned[0].return_value
    first, *each = str(raised.value).split("\n  ")
    assert first == "3 of 5 jobs failed:"
    sweep = tmp_path / "sweep"
    assert each == [
        f"job 0 (seed=2 wandb.project=fails): no such luck (log: {sweep / '0.log'})",
        f"job 2 (seed=2 wandb.project=killed): killed by SIGKILL (log: {sweep / '2.log'})",
        f"job 3 (seed=2 wandb.project=silent): nothing to read (log: {sweep / '3.log'})",
    ]
    killed = read_status(sweep / "2.json")
    assert (killed["state"], killed["error"]) == ("failed", "killed by SIGKILL")


def test_an_old_report_and_an_old_wish_to_stop_are_not_taken_for_new_ones(launcher, tmp_path):
    made = launcher("trainer=cpu")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "0.json").write_text('{"state": "failed", "error": "old"}')
    (tmp_path / "sweep" / "0.json.stop").write_text("pruned")
    (returned,) = made.launch([["trainer=cpu", "seed=2", "wandb.project=silent"]], 0)
    with pytest.raises(JobError, match="nothing to read"):
        _ = returned.return_value
    assert not (tmp_path / "sweep" / "0.json.stop").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer=gpu", "trainer.num_nodes=2"], "trainer.num_nodes=2 .* hydra/launcher=slurm"),
        (["trainer=gpu", "trainer.devices=3"], "trainer.devices=3, but this sweep has 2: 0, 1"),
        (["trainer=gpu", "trainer.devices=[0,1]"], r"hydra.launcher.devices=\[...\]"),
        (["trainer=gpu", "trainer.devices=0"], "trainer.devices=0 is no number"),
        (["trainer=cpu", "report=one.json"], "is the same file for several jobs"),
    ],
)
def test_jobs_that_cannot_run_are_refused_before_any_begins(overrides, message, launcher, tmp_path):
    made = launcher("trainer=gpu", devices=[0, 1])
    with pytest.raises(ValueError, match=message):
        made.launch([[*overrides, "seed=0"], [*overrides, "seed=1"]], 0)
    assert not notes(tmp_path)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"hydra.launcher.jobs must be 1 or more \(or null\), got 0"):
        LocalLauncher(jobs=0, devices=None)
    with pytest.raises(ValueError, match=r"hydra.launcher.devices names no device"):
        LocalLauncher(jobs=None, devices=[])


# Signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_each_job_once_and_no_other_job_begins(number, launcher, tmp_path, capfd):
    made = launcher("trainer=cpu", jobs=2)

    def interrupt():
        wait_for(lambda: len(notes(tmp_path)) == 2)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(SystemExit) as ended:
        made.launch([["trainer=cpu", f"seed={seed}", "wandb.project=waits"] for seed in range(4)], 0)
    thread.join()
    assert ended.value.code == 128 + number
    assert {job: note["signals"] for job, note in notes(tmp_path).items()} == {0: [number], 1: [number]}
    assert [read_status(tmp_path / "sweep" / f"{job}.json")["state"] for job in range(4)] == ["stopped"] * 4
    said = capfd.readouterr().out
    assert "4 stopped" in said
    assert f"stopped by signal {int(number)}; the same command goes on" in said

    with pytest.raises(SystemExit):
        made.launch([["trainer=cpu", "seed=4"]], 4)
    assert read_status(tmp_path / "sweep" / "4.json") == {"state": "stopped"}
    assert 4 not in notes(tmp_path)


def test_a_second_ctrl_c_ends_all_processes_at_once(launcher, tmp_path):
    made = launcher("trainer=cpu", jobs=2)

    def interrupt():
        wait_for(lambda: len(notes(tmp_path)) == 2)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    begun = time.monotonic()
    with pytest.raises(SystemExit):
        made.launch([["trainer=cpu", f"seed={seed}", "wandb.project=stubborn"] for seed in range(2)], 0)
    thread.join()
    assert time.monotonic() - begun < 20
    wait_for(lambda: not any(alive(note[kind]) for note in notes(tmp_path).values() for kind in ("pid", "child")), 5)


def test_without_jobs_a_signal_does_what_it_did_before(launcher):
    launcher("trainer=cpu")
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


# Real runs ---------------------------------------------------------------------------------------------------------

RUN = [*SMALL, "callbacks.pictures.every_kimg=null", "callbacks.curves=null", "hydra.sweep.dir=sweep"]


def test_two_models_with_a_seed_each_and_one_that_fails(command, tmp_path):
    swept = command("train", "--multirun", *RUN, "total_kimg=0.032", "model=gan,lsgan", "seed=1,-1")
    assert swept.code == 1
    written = [OmegaConf.load(path) for path in (tmp_path / "runs").rglob("config.yaml")]
    found = sorted((config.model._target_.rpartition(".")[2], config.seed, config.total_kimg) for config in written)
    assert found == [("GAN", 1, 0.032), ("LSGAN", 1, 0.032)]
    reports = [read_status(tmp_path / "sweep" / f"{job}.json") for job in range(4)]
    assert [report["state"] for report in reports] == ["finished", "failed"] * 2
    for report in reports:
        assert (report["objective"] is not None) == (report["state"] == "finished")
    assert "2 of 4 jobs failed:" in swept.output
    for job, model in ((1, "gan"), (3, "lsgan")):
        said = f"job {job} (model={model} seed=-1): seed must be 0 or more, got -1 (log: {tmp_path}/sweep/{job}.log)"
        assert said in swept.output
        assert "seed must be 0 or more" in (tmp_path / "sweep" / f"{job}.log").read_text()
    assert "Traceback" not in swept.output


PAUSED = [
    *("--multirun", *(argument for argument in RUN if not argument.startswith("evaluation."))),
    *("hydra.launcher.jobs=1", "evaluation=none", "total_kimg=0.096", "seed=0,1", "model=gan"),
    "+callbacks.pause={_target_: tiny.Pause, images: 48}",
]


@pytest.fixture
def paused_sweep(forkserver, tmp_path):
    """The process of a sweep of two jobs, the first of which waits in the middle of its training."""
    output = tmp_path / "first.txt"
    process = forkserver.Process(target=_run_command, args=("gan_lab.train", PAUSED, str(tmp_path), str(output)))
    process.start()
    wait_for(lambda: list((tmp_path / "runs").rglob("paused")), 100)
    yield process
    process.kill()


def test_ctrl_c_saves_and_the_same_command_goes_on(paused_sweep, command, tmp_path):
    os.kill(paused_sweep.pid, signal.SIGINT)
    paused_sweep.join(100)
    said = (tmp_path / "first.txt").read_text()
    assert paused_sweep.exitcode == 130, said
    assert "stopped by signal 2; the same command goes on" in said
    assert "Traceback" not in said
    (saved,) = (tmp_path / "runs").rglob("0*.ckpt")
    assert not (tmp_path / "sweep" / "1.log").exists()

    for other in ("seed0", "seed1"):  # it paused once; the second job is not to pause at all
        folder = next((tmp_path / "runs").rglob("seed0")).with_name(other)
        folder.mkdir(exist_ok=True)
        (folder / "paused").touch()
    again = command("train", *PAUSED)
    assert again.code == 0, again.output
    assert f"going on from {saved.name}" in (tmp_path / "sweep" / "0.log").read_text()
    assert [read_status(tmp_path / "sweep" / f"{job}.json")["images_seen"] for job in (0, 1)] == [96, 96]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_jobs_of_a_launcher_that_was_killed_save_and_end(paused_sweep, tmp_path):
    paused_sweep.kill()
    wait_for(lambda: read_status(tmp_path / "sweep" / "0.json")["state"] == "stopped", 100)
    assert list((tmp_path / "runs").rglob("0*.ckpt"))


def test_the_launcher_is_light():
    """Every command imports it."""
    found = "import sys, gan_lab.sweeps.local_launcher; print({'torch', 'optuna', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
