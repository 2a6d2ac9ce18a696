"""Health over ranks: all of them look, at what one process looks at, and training goes on as without a look."""

import math
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from shrunk import partner
from test_ranks_equal_one_process import BATCH, fit, settings_of

from gan_lab.runs.records import read_rows

LOOKS = {"every_kimg": BATCH / 1000, "images": 40}  # 40 of 24 at a time: the second batch is filled up


def train(run, folder: Path, overrides: list[str], world: int, *, looks: bool = True) -> None:
    """Three iterations in `folder`, with a look after each, or with none; `run` is for one process or for `world`."""
    folder.mkdir()
    settings = settings_of([*overrides, f"callbacks.metrics.every_kimg={BATCH / 1000}"], folder)
    settings["callbacks"]["witness"]["_target_"] = "witness.FinalState"
    if looks:
        health = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "callbacks" / "default.yaml").health)
        settings["callbacks"] = {"health": health | LOOKS} | {
            name: callback for name, callback in settings["callbacks"].items() if name != "health"
        }
    if world > 1:
        settings["trainer"] |= {"strategy": "gan_ddp", "devices": world}
    run(fit, settings, str(folder))


def alone(work, *arguments):
    work(*arguments)


def columns(folder: Path) -> list[dict[str, float]]:
    rows = read_rows(folder / "metrics.csv")
    return [{name: float(value) for name, value in row.items() if name.startswith("health/")} for row in rows]


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=dcgan"],
        ["model=dcgan", "data.micro_batch_size=8"],
        ["model=sngan"],
        ["model=stylegan2", *partner("model", "stylegan2")],
    ],
    ids=["batch_norm", "micro_batches", "spectral_norm", "noise_and_groups"],
)
def test_two_ranks_find_what_one_process_finds(overrides, pair, tmp_path):
    """Synchronized batch norm speaks in training mode: were one rank to look alone, it would wait for ever."""
    train(alone, tmp_path / "one", overrides, 1)
    train(pair, tmp_path / "two", overrides, 2)
    one, two = columns(tmp_path / "one"), columns(tmp_path / "two")
    assert len(one) == len(two) >= 3
    assert {"health/spread", "health/logit_gap", "health/d_accuracy_fake"} <= one[0].keys()
    for ours, theirs in zip(one, two, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-9)
        assert not any(map(math.isnan, ours.values()))


def test_two_ranks_train_the_same_with_and_without(pair, tmp_path):
    for name, looks in (("with", True), ("without", False)):
        train(pair, tmp_path / name, ["model=dcgan"], 2, looks=looks)
    for rank in range(2):
        ours, theirs = (torch.load(tmp_path / name / f"witness{rank}.pt")["state"] for name in ("with", "without"))
        assert any("running_mean" in name for name in theirs)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], value) for name, value in theirs.items())
