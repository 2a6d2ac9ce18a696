"""Loggers beside the files: offline by default, and one run's id through any number of resumes."""

import json

import pytest
from conftest import SMALL

from gan_lab.runs.loggers import wandb_logger

RUN = [
    *(option for option in SMALL if not option.startswith("evaluation.")),
    "evaluation=none",
    "callbacks.metrics.every_kimg=0.032",
    "run_dir=run",
]


def test_tensorboard(command, tmp_path):
    pytest.importorskip("tensorboard")
    done = command("train", *RUN, "logger=tensorboard", "total_kimg=0.064")
    assert done.code == 0, done.output
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss/d")] == [32, 64], "the x axis counts images"
    assert events.Images("samples")


def test_wandb_offline_and_its_id_survives_a_resume(command, tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for total in ("0.064", "0.128"):
        done = command("train", *RUN, "logger=wandb", f"total_kimg={total}")
        assert done.code == 0, done.output
    assert "going on from" in done.output
    identity = json.loads((tmp_path / "run" / "run.json").read_text())["id"]
    offline = sorted((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert offline
    assert {path.name.rpartition("-")[2] for path in offline} == {identity}
    assert any((path / f"run-{identity}.wandb").stat().st_size > 0 for path in offline)


def test_a_bad_mode():
    with pytest.raises(ValueError, match="must be offline, online or disabled, got 'on'"):
        wandb_logger(folder="x", run_id="y", name="z", mode="on", project="p", entity=None, group=None)
