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
    assert "Warning" not in done.output, "a resume is nothing to be warned of"
    identity = json.loads((tmp_path / "run" / "run.json").read_text())["id"]
    offline = sorted((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert offline
    assert {path.name.rpartition("-")[2] for path in offline} == {identity}
    assert any((path / f"run-{identity}.wandb").stat().st_size > 0 for path in offline)


@pytest.mark.parametrize(
    ("mode", "variable", "used"),
    [
        ("offline", None, "offline"),
        ("offline", "disabled", "disabled"),
        ("online", "offline", "offline"),
        ("offline", "online", "offline"),
        ("disabled", "online", "disabled"),
        ("online", "nonsense", "online"),
    ],
)
def test_the_environment_restricts_the_mode_and_never_widens_it(mode, variable, used, tmp_path, monkeypatch):
    """Kind F: WANDB_MODE=disabled was passed over, and nothing leaves the machine unless wandb.mode is online."""
    wandb = pytest.importorskip("wandb")
    begun, begin = {}, wandb.init
    monkeypatch.setattr(wandb, "init", lambda **given: begun.update(given) or begin(**given | {"mode": "disabled"}))
    if variable is None:
        monkeypatch.delenv("WANDB_MODE", raising=False)
    else:
        monkeypatch.setenv("WANDB_MODE", variable)
    given = {"folder": str(tmp_path), "run_id": "y", "name": "z", "project": "p", "entity": None, "group": None}
    logger = wandb_logger(mode=mode, **given)
    assert begun["mode"] == used
    logged = []
    monkeypatch.setattr(logger.experiment, "log", lambda values, step: logged.append((values, step)), raising=False)
    logger.log_metrics({"loss/d": 1.0}, step=512)
    assert logged == [({"loss/d": 1.0}, 512)], "steps are images, which parts of a resumed run do not share"


def test_a_bad_mode():
    with pytest.raises(ValueError, match="must be offline, online or disabled, got 'on'"):
        wandb_logger(folder="x", run_id="y", name="z", mode="on", project="p", entity=None, group=None)
