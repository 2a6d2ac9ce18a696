"""A signal to a training process: all is saved, the exit code says which signal, the same command goes on."""

import os
import pty
import signal
import sys
import time
from contextlib import suppress

import pytest
import torch
from conftest import SMALL, _run_command

RUN = [
    *(option for option in SMALL if not option.startswith("evaluation.")),
    "model=wgan_gp",
    "evaluation=none",
    "total_kimg=0.32",
    "callbacks.checkpoint.every_kimg=null",
    "callbacks.pictures.every_kimg=null",
    "run_dir=run",
    "+callbacks.pause={_target_: tiny.Pause, images: 96}",  # in the middle of an n_critic cycle of 5 * 16 images
]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl_c", "term"])
def test_a_signal_saves_and_the_same_command_goes_on(number, code, forkserver, command, tmp_path):
    output = tmp_path / "first.txt"
    arguments = ("gan_lab.train", RUN, str(tmp_path), str(output))
    process = forkserver.Process(target=_run_command, args=arguments)
    process.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "paused").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == code, output.read_text()
    said = output.read_text()
    assert said.count("stopping after this step, and saving") == 1
    assert f"stopped by signal {int(number)} at 0.1 kimg, all saved; the same command goes on" in said
    assert "Traceback" not in said
    saved = torch.load(tmp_path / "run" / "checkpoints" / "000000000112.ckpt", weights_only=True)
    assert saved["counters"]["critic_steps"] == 2

    again = command("train", *RUN)
    assert again.code == 0, again.output
    assert "going on from 000000000112.ckpt" in again.output
    assert (tmp_path / "run" / "checkpoints" / "000000000320.ckpt").is_file()


def test_a_terminal_that_closes_ends_a_run_with_all_saved(command, tmp_path):
    """Kind C: HUP ended it with nothing saved (Lightning#1455, Fast-LLM#260). What is printed then fails, too."""
    process, terminal = pty.fork()
    if not process:
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "-m", "gan_lab.train", *RUN])
    os.set_blocking(terminal, False)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "paused").exists() and time.monotonic() < deadline:
        with suppress(BlockingIOError):
            os.read(terminal, 2**16)
        time.sleep(0.02)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    assert (tmp_path / "run" / "checkpoints" / "000000000112.ckpt").is_file()
    assert "stopped by signal 1 at 0.1 kimg, all saved" in (tmp_path / "run" / "train.log").read_text()
    again = command("train", *RUN)
    assert again.code == 0, again.output
    assert "going on from 000000000112.ckpt" in again.output
    assert "Warning" not in again.output, "a resume is nothing to be warned of"
