"""What counts as progress, and what is said of a process that makes none; ranks that hang: test_launcher.py."""

import re
import threading

import pytest
from pytorch_lightning import Callback
from tiny import fit, settings

from gan_lab.callbacks import hang
from gan_lab.callbacks.hang import BETWEEN_STEPS, EXIT_CODE, HangDetection
from gan_lab.models.hinge_gan import HingeGAN


class Allowed(Callback):
    """Notes how long the detection would wait, in minutes, in a step and in callbacks after it."""

    def __init__(self, detection: HangDetection) -> None:
        self.detection, self.in_steps, self.between = detection, [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.in_steps.append((self.detection._allowed, self.detection._doing))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.between.append((self.detection._allowed, self.detection._doing))


def test_what_lies_between_steps_may_take_longer(tmp_path):
    detection = HangDetection(30.0)
    allowed = Allowed(detection)
    fit(HingeGAN(**settings()), images=4, callbacks=detection.around([allowed]), folder=tmp_path)
    assert allowed.in_steps == [(30.0, "the first step"), (30.0, "the step after 2 images")]
    assert allowed.between == [(30.0 * BETWEEN_STEPS, f"what follows the step at {n} images") for n in (2, 4)]
    assert "hang detection" not in {thread.name for thread in threading.enumerate() if not detection._ended.is_set()}


class Failing(Callback):
    """Raises in the first step."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        raise RuntimeError("on purpose")


def test_a_failure_ends_the_watch(tmp_path):
    """A run that is rolled back trains on in the same process, watched anew."""
    detection = HangDetection(30.0)
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(HingeGAN(**settings()), images=4, callbacks=detection.around([Failing()]), folder=tmp_path)
    assert detection._ended.is_set()


def test_null_watches_nothing():
    callbacks = [Callback()]
    assert HangDetection(None).around(callbacks) == callbacks


@pytest.mark.parametrize("minutes", [0, -1.0])
def test_a_range(minutes):
    with pytest.raises(
        ValueError, match=re.escape(f"trainer.hang_minutes must be more than 0, or null for no watching, got {minutes}")
    ):
        HangDetection(minutes)


def ended(detection: HangDetection, monkeypatch) -> list[int]:
    """The exit codes with which the process would have ended."""
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        detection.end()

    monkeypatch.setattr(hang.os, "_exit", end)
    detection._give_up()
    return codes


def test_a_stuck_process_says_where_it_was(tmp_path, monkeypatch, capsys):
    detection = HangDetection(0.001)
    detection._folder = tmp_path
    detection.allow(1, "the step after 64 images")
    assert ended(detection, monkeypatch) == [EXIT_CODE]
    stacks = (tmp_path / "hang" / "rank0.txt").read_text()
    assert "no progress for 0.001 minutes in the step after 64 images" in stacks
    assert "test_hang.py" in stacks
    assert "hang/rank0.txt" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, capfd):
    (tmp_path / "hang").write_text("a file in the way")
    detection = HangDetection(0.001)
    detection._folder = tmp_path
    detection.allow(1, "a step")
    assert ended(detection, monkeypatch) == [EXIT_CODE]
    err = capfd.readouterr().err
    assert "test_hang.py" in err
    assert "cannot be written" in err


def test_progress_within_the_grace_saves_the_run(tmp_path, monkeypatch):
    detection = HangDetection(0.001)
    detection._folder = tmp_path
    detection.allow(1000, "a step that came late")
    assert ended(detection, monkeypatch) == []
