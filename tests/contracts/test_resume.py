"""Killed and resumed equals unbroken, bit for bit, for every model by glob.

The checkpoint (16 steps) falls inside an n_critic cycle and after the first pass over the data (113 digits, 14.1
batches of 8); decay and EMA warm-up are active, and an evaluation lies on each side (steps 10 and 20).
"""

import json
from pathlib import Path

import pytest
import torch
from conftest import ROOT, SMALL
from shrunk import groups_of, partner, shrunk

from gan_lab.runs.records import CLOCK, read_rows, read_scores

MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
STEP = 8
RUN = [
    *(option for option in SMALL if not option.startswith(("model.", "data."))),
    "data.limit=113",
    f"data.batch_size={STEP}",
    f"total_kimg={21 * STEP / 1000}",
    f"callbacks.metrics.every_kimg={3 * STEP / 1000}",
    f"callbacks.evaluation.every_kimg={10 * STEP / 1000}",
    f"callbacks.pictures.every_kimg={10 * STEP / 1000}",
    "callbacks.curves=null",
    f"callbacks.checkpoint.every_kimg={16 * STEP / 1000}",
    f"model.ema_half_life_kimg={4 * STEP / 1000}",
]
FALLING = f"start_kimg: {4 * STEP / 1000}, end_kimg: {24 * STEP / 1000}, end_factor: 0.1"
DECAY = f"{{_target_: gan_lab.schedules.Linear, {FALLING}}}"
SPECIAL = {"wgan": ["model.warmup_critic=7", "model.warmup_iterations=2", "model.refresh_every=3"]}
WORKERS = ["data.resident=false", "data.workers=2"]


def differences(left, right, where="") -> list[str]:
    """Where two nested structures of plain values and tensors differ."""
    if isinstance(left, torch.Tensor):
        same = isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
        return [] if same else [where]
    if isinstance(left, dict):
        if not isinstance(right, dict) or left.keys() != right.keys():
            return [f"{where}: keys"]
        return [d for key in left for d in differences(left[key], right[key], f"{where}/{key}")]
    if isinstance(left, (list, tuple)):
        if len(left) != len(right):
            return [f"{where}: length"]
        return [d for i, pair in enumerate(zip(left, right, strict=True)) for d in differences(*pair, f"{where}/{i}")]
    return [] if left == right else [f"{where}: {left!r} and {right!r}"]


def comparable(run: Path) -> dict:
    """All that must not depend on whether the run was broken."""
    checkpoint = torch.load(max((run / "checkpoints").glob("[0-9]*.ckpt")), weights_only=True)
    for key in ("loops", "config", "versions", "run"):  # Lightning's own counters, where the run lies, and its id
        del checkpoint[key]
    metrics = next(name for name in checkpoint["callbacks"] if name.startswith("MetricsFile"))
    del checkpoint["callbacks"][metrics]["seconds"]
    return {
        "checkpoint": checkpoint,
        "metrics": [
            {k: v for k, v in row.items() if not k.startswith(CLOCK)} for row in read_rows(run / "metrics.csv")
        ],
        "scores": [
            {k: v for k, v in line.items() if not k.startswith(CLOCK)} for line in read_scores(run / "scores.jsonl")
        ],
        "pictures": {path.name: path.read_bytes() for path in (run / "pictures").glob("*.png")},
    }


def train(command, tmp_path, name, *arguments):
    chosen = [argument for argument in arguments if argument.startswith(("model=", "network=", "data=", "condition="))]
    small = [option for option in shrunk(chosen) if not option.startswith("data.batch_size")]
    return command("train", *small, *RUN, f"run_dir={tmp_path / name}", *arguments)


@pytest.mark.parametrize("model", MODELS)
def test_killed_and_resumed_equals_unbroken(model, command, tmp_path):
    decay = [f"++model.schedules.{group}={DECAY}" for group in groups_of(model)]
    chosen = [f"model={model}", *partner("model", model), *decay, *SPECIAL.get(model, [])]
    unbroken = train(command, tmp_path, "unbroken", *chosen)
    assert unbroken.code == 0, unbroken.output

    kill = f"+callbacks.kill={{_target_: killing.KillAt, images: {18 * STEP}}}"
    killed = train(command, tmp_path, "broken", *chosen, *WORKERS, kill)
    assert killed.code == -9, killed.output
    saved = torch.load(max((tmp_path / "broken" / "checkpoints").glob("[0-9]*.ckpt")), weights_only=True)
    assert saved["counters"]["images_seen"] == 16 * STEP
    resumed = train(command, tmp_path, "broken", *chosen, *WORKERS)
    assert resumed.code == 0, resumed.output
    assert "going on from" in resumed.output

    assert differences(comparable(tmp_path / "unbroken"), comparable(tmp_path / "broken")) == []
    if model in ("wgan_gp", "sngan", "wgan", "projection_gan"):
        assert saved["counters"]["critic_steps"] > 0, "the cut should fall inside an n_critic cycle"


def test_without_loader_workers(command, tmp_path):
    unbroken = train(command, tmp_path, "unbroken", "model=wgan_gp")
    assert unbroken.code == 0, unbroken.output
    streamed = ["data.resident=false", "data.workers=0"]
    kill = f"+callbacks.kill={{_target_: killing.KillAt, images: {19 * STEP}}}"
    assert train(command, tmp_path, "broken", "model=wgan_gp", *streamed, kill).code == -9
    assert train(command, tmp_path, "broken", "model=wgan_gp", *streamed).code == 0
    assert differences(comparable(tmp_path / "unbroken"), comparable(tmp_path / "broken")) == []


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(command, tmp_path):
    every = f"callbacks.checkpoint.every_kimg={8 * STEP / 1000}"
    kill = f"+callbacks.kill={{_target_: killing.KillAt, images: {18 * STEP}}}"
    assert train(command, tmp_path, "unbroken", every).code == 0
    assert train(command, tmp_path, "broken", every, kill).code == -9
    newest = max((tmp_path / "broken" / "checkpoints").glob("[0-9]*.ckpt"))
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    resumed = train(command, tmp_path, "broken", every)
    assert resumed.code == 0, resumed.output
    assert "damaged" in resumed.output
    assert differences(comparable(tmp_path / "unbroken"), comparable(tmp_path / "broken")) == []


def test_a_finished_run_says_so_and_may_grow(command, tmp_path):
    assert train(command, tmp_path, "run").code == 0
    again = train(command, tmp_path, "run")
    assert again.code == 0
    assert "is finished" in again.output
    longer = train(command, tmp_path, "run", "total_kimg=1")
    assert longer.code == 0, longer.output
    assert "going on from" in longer.output
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished_kimg"] >= 1


def test_draws_of_the_default_generators_are_resumed(command, tmp_path):
    dropping = ["model=dcgan", "+model.augment.dropping={_target_: tiny.Dropping}"]
    assert train(command, tmp_path, "unbroken", *dropping).code == 0
    kill = f"+callbacks.kill={{_target_: killing.KillAt, images: {18 * STEP}}}"
    assert train(command, tmp_path, "broken", *dropping, kill).code == -9
    assert train(command, tmp_path, "broken", *dropping).code == 0
    assert not differences(comparable(tmp_path / "unbroken"), comparable(tmp_path / "broken"))
