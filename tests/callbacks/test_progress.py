"""What a person sees: lines where there is no terminal, a bar where there is one."""

import io
import re
from types import SimpleNamespace

import pytest
from conftest import SMALL
from rich.console import Console
from tiny import ScriptedEvaluation, fit, fix_latents, settings

from gan_lab.callbacks import progress
from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.callbacks.metrics import MetricsFile
from gan_lab.models.hinge_gan import HingeGAN

LINE = re.compile(r"0\.0 of 0\.02 kimg, [\d.,]+ images/s, \d+:\d\d left  loss/d 4  loss/g -2  fd9 [\d.]+")


def watched(folder):
    evaluate = Evaluate(every_kimg=0.004, patience_kimg=None)
    evaluate.evaluation = ScriptedEvaluation([5.0, 4.0, 3.0, 2.0, 1.0])
    module = HingeGAN(**settings())
    fix_latents(module)
    callbacks = [MetricsFile(every_kimg=0.002), evaluate, progress.Progress()]
    fit(module, images=20, callbacks=callbacks, folder=folder)


def test_lines_without_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    watched(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "images/s" in line]) == 10
    assert LINE.fullmatch(lines[-1]), lines[-1]
    assert "fd9 1" in lines[-1]


def test_lines_are_rare(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_SECONDS", 1000.0)
    watched(tmp_path)
    assert len(capsys.readouterr().out.splitlines()) <= 1


def test_a_bar_on_a_terminal(tmp_path, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(progress, "REDRAW_SECONDS", 0.0)
    monkeypatch.setattr(progress, "Console", lambda file: Console(file=terminal, force_terminal=True, width=120))
    watched(tmp_path)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "0.0/0.02 kimg" in shown
    assert "images/s" in shown
    assert "loss/d 4" in shown
    assert "fd9 1" in shown


@pytest.mark.parametrize(("kimg", "told"), [(2, False), (200_000_000, True)])
def test_a_cpu_that_would_take_days_is_told_of_once(kimg, told, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "SPEED_KNOWN_SECONDS", 0.0)
    monkeypatch.setattr(progress, "stop_of", lambda trainer: SimpleNamespace(total_kimg=kimg))
    watched(tmp_path)
    lines = [line for line in caplog.text.splitlines() if "are left at this speed on a CPU" in line]
    assert len(lines) == told
    assert not lines or re.search(r"\d+ days \d+:\d\d:\d\d are left", lines[0])


def test_durations():
    assert [progress._duration(seconds) for seconds in (5, 65, 3605.9, -1.0)] == ["0:05", "1:05", "1:00:05", "0:00"]
    assert progress._duration(86_400 + 61) == "1 day 0:01:01"
    assert progress._duration(46 * 86_400 + 3 * 3600) == "46 days 3:00:00"


def test_slow_runs_have_a_rate_too():
    assert [progress._rate(images) for images in (0.0, 0.2666, 3.14, 10.0, 12345.6)] == [
        *("– images/s", "0.27 images/s", "3.1 images/s", "10 images/s", "12,346 images/s")
    ]


def test_a_run_into_a_file_says_how_far_it_is(command):
    small = [option for option in SMALL if not option.startswith("evaluation.")]
    done = command("train", *small, "evaluation=none", "total_kimg=0.032", "run_dir=run")
    assert re.search(r"0\.0 of 0\.032 kimg, [\d.,]+ images/s", done.output), done.output
    assert "\x1b" not in done.output, "no escape codes in a file"
