"""Which signal counts, and how a job comes back into the queue."""

import os
import signal
import subprocess
import sys

import pytest

from gan_lab.distributed.preemption import RANKING, Signals, requeue


@pytest.fixture
def signals():
    noted = Signals()
    noted.note(RANKING)
    yield noted
    noted.release()


def test_a_signal_is_only_noted_and_an_end_outranks_a_requeue(signals):
    for number, counts in (
        (signal.SIGUSR1, signal.SIGUSR1),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGUSR2, signal.SIGTERM),
    ):
        os.kill(os.getpid(), number)
        assert signals.received == counts


def test_release_gives_the_signals_back(signals):
    signals.release()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_under_nohup_a_terminal_may_close():
    """Kind C: HUP ends a run as TERM does, with all saved (Lightning#1455), but where it was ignored at the start."""
    assert RANKING.index(signal.SIGHUP) >= RANKING.index(signal.SIGUSR2), "an end outranks a requeue"
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        noted = Signals()
        noted.note(RANKING)
        os.kill(os.getpid(), signal.SIGHUP)
        assert noted.received is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        noted.release()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        noted.note(RANKING)
        os.kill(os.getpid(), signal.SIGHUP)
        assert noted.received == signal.SIGHUP
        noted.release()
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_the_second_ctrl_c_ends_at_once():
    code = (
        "import os, signal\n"
        "from gan_lab.distributed.preemption import RANKING, signals\n"
        "signals.note(RANKING)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('noted', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "noted\n")


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A stand-in that writes down how it was called."""
    calls = tmp_path / "calls"
    program = tmp_path / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\necho "$SAID"\nexit ${{CODE:-0}}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    return calls


def test_requeue_asks_for_the_job_or_its_array_task(scontrol, monkeypatch):
    assert requeue(signal.SIGUSR1) == "41"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "40")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert requeue(signal.SIGUSR2) == "40_3"
    assert scontrol.read_text().splitlines() == ["requeue 41", "requeue 40_3"]


def test_a_term_requeues_nothing_unless_slurm_takes_the_nodes(scontrol, monkeypatch):
    assert requeue(signal.SIGINT) is None
    monkeypatch.setenv("SAID", "JobId=41 JobState=RUNNING PreemptTime=None")
    assert requeue(signal.SIGTERM) is None
    monkeypatch.setenv("SAID", "JobId=41 JobState=RUNNING PreemptTime=2026-01-01T00:00:00")
    assert requeue(signal.SIGTERM) == "41"


def test_a_refused_requeue_says_what_to_do(scontrol, monkeypatch):
    monkeypatch.setenv("CODE", "1")
    with pytest.raises(RuntimeError, match=r"all is saved, but `scontrol requeue 41` failed.*submit the job again"):
        requeue(signal.SIGUSR1)


def test_outside_of_slurm_nothing_is_asked(scontrol, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID")
    assert requeue(signal.SIGUSR1) is None
    assert not scontrol.exists()
