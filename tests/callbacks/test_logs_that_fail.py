"""Kind C: where only a log is lost, training goes on, says so once, and tries again with what has waited."""

import logging

import pytest
import torch
from pytorch_lightning import Callback
from tiny import ScriptedEvaluation, fit, settings

from gan_lab.callbacks import curves
from gan_lab.callbacks.checkpointing import Checkpointing
from gan_lab.callbacks.curves import Curves
from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.callbacks.metrics import MetricsFile
from gan_lab.callbacks.stop import Stop
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.runs.folder import RunLog
from gan_lab.runs.records import append_row, read_rows, read_scores


@pytest.fixture(autouse=True)
def heard(caplog):
    caplog.set_level(logging.INFO, logger="gan_lab")


class Held(Callback):
    """Folders stand where files should go, as if another program held these, until so many images are seen."""

    def __init__(self, folder, names, until):
        self.places, self.until = [folder / name for name in names], until

    def setup(self, trainer, pl_module, stage):
        for place in self.places:
            place.mkdir(exist_ok=True)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.images_seen == self.until:
            for place in self.places:
                place.rmdir()


def train(folder, *, until, images=12, resume=None, values=(5.0, 4.0, 3.0, 2.0, 1.0, 0.5)):
    evaluate = Evaluate(every_kimg=0.002, patience_kimg=None)
    evaluate.evaluation = ScriptedEvaluation(values)
    callbacks = [Held(folder, ["metrics.csv", "scores.jsonl"], until), evaluate, MetricsFile(every_kimg=0.002)]
    callbacks.append(Checkpointing(every_kimg=0.004, keep=9, keep_snapshots=None))
    fit(HingeGAN(**settings(d_lr=0.1)), images=images, callbacks=callbacks, folder=folder, resume=resume)


def test_rows_and_scores_wait_for_the_next_tick(tmp_path, caplog):
    """A metrics.csv held by another program ended the run with nothing saved."""
    train(tmp_path, until=6)
    images = [2, 4, 6, 8, 10, 12]
    assert [int(row["images_seen"]) for row in read_rows(tmp_path / "metrics.csv")] == images
    assert [(line["images_seen"], line["scores"]["fd9"]) for line in read_scores(tmp_path / "scores.jsonl")] == list(
        zip(images, (5.0, 4.0, 3.0, 2.0, 1.0, 0.5), strict=True)
    )
    for name in ("metrics.csv", "scores.jsonl"):
        said = [line for line in caplog.messages if f"{name} cannot be written" in line]
        assert len(said) == 1, "once, not at every tick"
        assert "training goes on, and tries again at every tick" in said[0]
        assert f"{tmp_path / name} is written again" in caplog.messages


def test_what_waits_is_in_the_checkpoint(tmp_path):
    """Held until the end of the first part: its rows of 2 and 4 images are written by the second."""
    train(tmp_path, until=None, images=4)
    for name in ("metrics.csv", "scores.jsonl"):
        (tmp_path / name).rmdir()
    checkpoint = tmp_path / "checkpoints" / "000000000004.ckpt"
    torch.load(checkpoint, weights_only=True)
    again = tmp_path / "again"
    again.mkdir()
    append_row(again / "metrics.csv", {"images_seen": 2, "a": 1.0})  # was written after the checkpoint, then killed
    evaluate = Evaluate(every_kimg=0.002, patience_kimg=None)
    evaluate.evaluation = ScriptedEvaluation([3.0])
    callbacks = [evaluate, MetricsFile(every_kimg=0.002)]
    fit(HingeGAN(**settings(d_lr=0.1)), images=6, callbacks=callbacks, folder=again, resume=checkpoint)
    assert [row["images_seen"] for row in read_rows(again / "metrics.csv")] == ["2", "4", "6"]
    assert [line["images_seen"] for line in read_scores(again / "scores.jsonl")] == [2, 4, 6]


def test_a_picture_of_curves_is_no_reason_to_end(tmp_path, caplog, monkeypatch):
    def odd(folder):
        raise ValueError("could not convert string to float: '#NAME?'")

    monkeypatch.setattr(curves, "draw", odd)
    fit(HingeGAN(**settings()), images=8, callbacks=[Curves(every_kimg=0.002)], folder=tmp_path)
    assert len([line for line in caplog.messages if "curves.png cannot be written" in line]) == 1


def test_a_logger_that_fails_does_not_end_the_run(tmp_path, caplog):
    """A lost connection, say."""

    class Lost:
        def __init__(self):
            self.steps = []

        def log_metrics(self, values, step):
            self.steps.append(step)
            if step < 6:
                raise ConnectionError("no route to host")

    trainer = type("Trainer", (), {"loggers": [Lost()]})()
    callback = MetricsFile(every_kimg=None)
    for step in (2, 4, 6, 8):
        callback.log_to(trainer, {"a": 1.0}, step)
    assert trainer.loggers[0].steps == [2, 4, 6, 8]
    assert [line for line in caplog.messages if "Lost" in line] == [
        "Lost cannot be written (no route to host); training goes on, and tries again at every tick",
        "Lost is written again",
    ]


def test_a_train_log_that_cannot_be_written_is_said_once(tmp_path, capsys):
    (tmp_path / "train.log").mkdir()
    terminal = logging.StreamHandler()
    logger = logging.Logger("alone")
    logger.addHandler(RunLog(tmp_path / "train.log"))
    logging.getLogger("gan_lab").addHandler(terminal)
    try:
        logger.warning("one")
        logger.warning("two")
    finally:
        logging.getLogger("gan_lab").removeHandler(terminal)
    said = capsys.readouterr().err
    assert said.count("cannot be written; messages go to the terminal alone") == 1
    assert "Traceback" not in said


def test_a_run_that_was_killed_after_its_last_checkpoint_does_not_train_on(tmp_path):
    """Its run.json did not say yet that it had ended: it took one more step than asked for."""
    checkpointing = Checkpointing(every_kimg=None, keep=1, keep_snapshots=None)
    fit(HingeGAN(**settings(d_lr=0.1)), images=4, callbacks=[checkpointing], folder=tmp_path)
    module = HingeGAN(**settings(d_lr=0.1))
    resume = tmp_path / "checkpoints" / "000000000004.ckpt"
    trainer = fit(module, images=4, callbacks=[], folder=tmp_path, resume=resume)
    assert module.images_seen == 4
    assert next(callback for callback in trainer.callbacks if isinstance(callback, Stop)).reason is not None
