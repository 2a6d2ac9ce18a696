"""`trainer=ddp` on one machine, as a person starts it: it trains, fails with the cause named, stops and goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from conftest import SMALL, Command, _run_command, run_command

from gan_lab.distributed.launcher import RankError, run_ranks, usable_cores
from gan_lab.runs.records import CLOCK, read_rows, read_scores

DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
RUN = [
    *(option for option in SMALL if option != "trainer=cpu"),
    *DDP,
    "model=wgan_gp",
    "total_kimg=0.8",
    "callbacks.metrics.every_kimg=0.08",
    "callbacks.checkpoint.every_kimg=0.16",
    "callbacks.pictures.every_kimg=null",
    "callbacks.curves=null",
    "run_dir=run",
]


def sabotage(how: str, rank: int = 1, images: int = 240) -> str:
    return f"+callbacks.sabotage={{_target_: witness.Sabotage, rank: {rank}, images: {images}, how: {how}}}"


def weights(run) -> dict[str, torch.Tensor]:
    return torch.load(max((run / "checkpoints").glob("[0-9]*.ckpt")), weights_only=True)["state_dict"]


def assert_same(run, other) -> None:
    """Weights, scores and metrics of two runs, bit for bit; all but what depends on the clock."""
    whole, broken = weights(run), weights(other)
    assert [name for name in whole if not torch.equal(whole[name], broken[name])] == []
    for read, name in ((read_rows, "metrics.csv"), (read_scores, "scores.jsonl")):
        one, two = (
            [{k: v for k, v in row.items() if not k.startswith(CLOCK)} for row in read(place / name)]
            for place in (run, other)
        )
        assert one == two
        assert one


@pytest.fixture(scope="module")
def unbroken(forkserver, tmp_path_factory):
    """A finished run, whose ranks are started as for a user; those of the others here are forked."""
    folder = tmp_path_factory.mktemp("unbroken")
    done = run_command(forkserver, folder, "train", *RUN, forking=False)
    assert done.code == 0, done.output
    return folder / "run"


@dataclass
class Failed:
    """A run that was sabotaged: its folder, what its command said, and how long it took.

    Attributes:
        seconds: from the start to the end.
        seconds_after: from the newest checkpoint to the end.
    """

    run: Path
    done: Command
    seconds: float
    seconds_after: float


def failed(forkserver, folder: Path, how: str) -> Failed:
    start = time.monotonic()
    done = run_command(forkserver, folder, "train", *RUN, sabotage(how))
    saved = max((folder / "run" / "checkpoints").glob("[0-9]*.ckpt")).stat().st_mtime
    return Failed(folder / "run", done, time.monotonic() - start, time.time() - saved)


@pytest.fixture(scope="module")
def killed(forkserver, tmp_path_factory):
    """A run whose rank 1 was killed between two checkpoints."""
    return failed(forkserver, tmp_path_factory.mktemp("killed"), "kill")


@pytest.fixture
def broken(killed, tmp_path):
    """A copy of the killed run, where `command` goes on with it."""
    assert killed.done.code == 1, killed.done.output
    return shutil.copytree(killed.run, tmp_path / "run")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", "rank 1: sabotaged on purpose"),
        ("kill", "rank 1 was killed by SIGKILL"),
        ("poison", "became NaN or infinite at or before 320 images, first on rank 1"),
    ],
)
def test_a_failing_rank_ends_the_run_with_its_cause(how, said, killed, forkserver, tmp_path):
    found = killed if how == "kill" else failed(forkserver, tmp_path, how)
    assert found.done.code == 1
    assert said in found.done.output
    assert found.done.output.count("Error:") == 1
    assert "Traceback" not in found.done.output
    assert found.seconds < 120  # start-up included; what follows the failure is bounded below
    assert found.seconds_after < 30
    assert torch.isfinite(torch.cat([value.flatten().float() for value in weights(found.run).values()])).all()


def test_a_stuck_rank_ends_the_run_on_all_of_them(command, tmp_path):
    start = time.monotonic()
    done = command("train", *RUN, sabotage("stall"), "trainer.hang_minutes=0.1")
    assert done.code == 1
    assert time.monotonic() - start < 120
    assert "no progress for 0.1 minutes in the step after 2" in done.output
    assert "trainer.hang_minutes=0.1" in done.output
    stacks = [(tmp_path / "run" / "hang" / f"rank{rank}.txt").read_text() for rank in (0, 1)]
    assert "witness.py" in stacks[1], "where rank 1 sleeps"
    assert "witness.py" not in stacks[0]
    assert "collectives.py" in stacks[0], "where rank 0 waits for it"
    again = command("train", *RUN)
    assert again.code == 0, again.output
    assert "going on from 000000000160.ckpt" in again.output


def test_all_ranks_roll_back_together(command):
    broken = "+model.regularizers.nan={_target_: tiny.NaNPenalty, images: 240}"
    done = command("train", *RUN, broken, "on_nonfinite=rollback")
    assert done.code == 0, done.output
    assert "Rolling back, 1 of 3 times" in done.output


def test_killed_and_resumed_equals_unbroken(unbroken, broken, command):
    resumed = command("train", *RUN)
    assert resumed.code == 0, resumed.output
    assert "going on from 000000000160.ckpt" in resumed.output
    assert_same(unbroken, broken)


def test_goes_on_with_another_number_of_ranks(unbroken, broken, command):
    alone = command("train", *RUN, "trainer=cpu", "trainer.devices=1")
    assert alone.code == 0, alone.output
    assert "going on from 000000000160.ckpt" in alone.output
    whole, other = weights(unbroken), weights(broken)
    for name, value in whole.items():
        torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: name + text)


def test_signals_with_skewed_ranks_save_and_the_same_command_goes_on(unbroken, forkserver, command, tmp_path):
    """One run, stopped by one signal after another."""
    output, saved = tmp_path / "first.txt", 0
    skewed = [*RUN, sabotage("sleep", images=0)]
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        process = forkserver.Process(target=_run_command, args=("gan_lab.train", skewed, str(tmp_path), str(output)))
        process.start()
        deadline = time.monotonic() + 100
        while newest(tmp_path / "run") <= saved and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, number)
        process.join(60)
        assert process.exitcode == 128 + number, output.read_text()
        assert f"stopped by signal {int(number)}" in output.read_text()
        saved = newest(tmp_path / "run")
    again = command("train", *RUN)
    assert again.code == 0, again.output
    assert f"going on from {saved:012d}.ckpt" in again.output
    assert_same(unbroken, tmp_path / "run")


def newest(run: Path) -> int:
    """Images seen at the newest checkpoint, 0 before the first."""
    return max((int(path.stem) for path in run.glob("checkpoints/[0-9]*.ckpt")), default=0)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.batch_size=15"], "data.batch_size=15 leaves a remainder over 2 processes"),
        (["trainer.num_nodes=2"], "trainer.num_nodes=2"),
        (["trainer=cpu", "trainer.devices=2"], "trainer=ddp"),
        (["trainer.strategy=ddp"], "trainer.strategy=ddp does not know GANs"),
    ],
)
def test_what_cannot_work_is_refused_at_once(overrides, said, command, tmp_path):
    done = command("train", *RUN, *overrides)
    assert done.code == 1
    assert said in done.output
    assert not (tmp_path / "run").exists()


def test_another_global_batch_is_another_run(unbroken, command):
    done = command("train", *RUN[:-1], f"run_dir={unbroken}", "data.batch_size=32", "total_kimg=2")
    assert done.code == 1
    assert "holds a run of other settings" in done.output


def test_torchrun_starts_it_too(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    started = subprocess.run(
        [*torchrun, "-m", "gan_lab.train", *RUN],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert started.returncode == 0, started.stdout + started.stderr
    assert (tmp_path / "run" / "run.json").is_file()


def test_ranks_started_with_different_settings_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.py").write_text(
        "import os, sys\nsys.argv += [f'seed={os.environ[\"RANK\"]}']\nfrom gan_lab import train\ntrain.main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    with pytest.raises(RankError, match=r"the ranks were started with different settings.*seed 0.*seed 1"):
        run_ranks("two", RUN, 2)


# The launcher alone, with programs that train nothing ---------------------------------------------------------------


@pytest.fixture
def program(tmp_path, monkeypatch):
    """`program(text)` makes a module `program` for `run_ranks`."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    return (tmp_path / "program.py").write_text


def test_ranks_know_their_place_devices_and_share_of_the_cores(program, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    program(
        "import json, os, sys\n"
        "names = ['RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS']\n"
        "open(f'{sys.argv[1]}/{os.environ[\"RANK\"]}', 'w').write(json.dumps([os.environ[name] for name in names]))\n"
    )
    assert run_ranks("program", [str(tmp_path)], 2, devices=[0, 2]) == 0
    threads = str(max(1, usable_cores() // 2))
    for rank in ("0", "1"):
        assert json.loads((tmp_path / rank).read_text()) == [rank, rank, "2", "4,6", threads]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=lambda n: n.name)
def test_a_signal_before_the_ranks_listen_is_a_stop_and_no_failure(number, program):
    program("import time\ntime.sleep(60)\n")
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
    start = time.monotonic()
    assert run_ranks("program", [], 2) == 128 + number
    assert time.monotonic() - start < 20


def test_the_last_words_of_a_rank_that_dies_without_a_message(program):
    program(
        "import os, time\nif os.environ['RANK'] == '1':\n    print('about to end')\n    os._exit(7)\ntime.sleep(60)\n"
    )
    with pytest.raises(RankError, match=r"rank 1 ended with exit code 7; the other ranks were ended\nabout to end"):
        run_ranks("program", [], 2)


def test_ranks_end_with_a_launcher_that_is_killed(program, tmp_path):
    program("import os, time\nopen(f'pid{os.environ[\"RANK\"]}', 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    code = "from gan_lab.distributed.launcher import run_ranks; run_ranks('program', [], 2)"
    launcher = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    deadline = time.monotonic() + 60
    pids = [tmp_path / "pid0", tmp_path / "pid1"]
    while not all(file.is_file() and file.read_text() for file in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    launcher.kill()
    launcher.wait()
    while any(alive(int(file.read_text())) for file in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(int(file.read_text())) for file in pids)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
