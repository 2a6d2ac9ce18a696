"""Several ranks compute what one process computes on the same global batch, for every model by glob, in float64."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from conftest import ROOT, SMALL
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from ranks import Ranks, started
from shrunk import partner, shrunk

from gan_lab import train
from gan_lab.runs.settings import plain

MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
# Without an offset in the normalization, networks have biases that it takes out again: Adam makes steps of their
# gradients' rounding errors.
OFFSET = [f"model.{network}.normalization=instance" for network in ("generator", "discriminator")]
SPECIAL = {
    "wgan": ["model.warmup_critic=2", "model.warmup_iterations=1"],
    "cyclegan": [*OFFSET, "model.pool_size=30"],  # full in the second iteration
    "cut": OFFSET,
    "fastcut": OFFSET,
}
ITERATIONS, BATCH = 3, 24
TOLERANCE = 1e-10
RUN = [
    *(option for option in SMALL if not option.startswith(("evaluation.", "model.", "data."))),
    f"data.batch_size={BATCH}",
    "evaluation=none",
    "trainer.precision=64-true",
    "callbacks.health=null",  # it shows the networks further samples
    "callbacks.pictures=null",
    "callbacks.curves=null",
    "callbacks.checkpoint.every_kimg=null",
    "model.ema_half_life_kimg=0.05",
    "logger={}",
]
AUGMENTED = [
    "+augment@model.augment.apa=apa",
    "model.augment.apa.p=0.5",
    "+augment@model.augment.ada=ada",
    "model.augment.ada.p=0.5",
    "model.augment.ada.groups={blit: 1, geometry: 1, color: 1, filter: 1, noise: 1, cutout: 1}",
]
PAIRS = [  # D sees image, source and mask
    *("model=pix2pix", "network=unet_translator", "condition=masked_strokes"),
    *AUGMENTED,
    "+augment@model.augment.diff=diffaugment",
    "+augment@model.augment.noise=instance_noise",
    "+regularizer@model.regularizers.bcr=bcr",
]
LAZY = ["model._target_=witness.LazyPenalty", "model.discriminator.normalization=none"]


@cache
def composed(*overrides: str) -> DictConfig:
    """The config of the trainings with these overrides, but for their folders."""
    small = shrunk(list(overrides))
    witness = "+callbacks.witness={_target_: witness.Witness, folder: '${run_dir}'}"
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        return compose("train", [*small, *RUN, *overrides, witness])


def settings_of(overrides: list[str], folder: Path, iterations: int = ITERATIONS) -> dict:
    config = composed(*overrides).copy()
    config.run_dir = str(folder)
    settings = plain(config)
    steps = iterations * settings["model"].get("n_critic", 1)
    settings["total_kimg"] = settings["callbacks"]["stop"]["total_kimg"] = steps * BATCH / 1000
    train.check(settings)
    return settings


def fit(settings: dict, folder: str) -> None:
    """On each rank, and in this process alone."""
    train.fit(settings, Path(folder), {"id": "test"})


def one_and_many(ranks: Ranks, overrides: list[str], tmp_path: Path) -> tuple[dict, list[dict]]:
    """What one process saw and ended with, and what each of the ranks did."""
    found = []
    for name, world in (("one", 1), ("many", ranks.world)):
        folder = tmp_path / name
        folder.mkdir()
        settings = settings_of(overrides, folder)
        if world == 1:
            fit(settings, str(folder))
        else:
            settings["trainer"] |= {"strategy": "gan_ddp", "devices": world}
            ranks(fit, settings, str(folder))
        found.append([torch.load(folder / f"witness{rank}.pt") for rank in range(world)])
    (one,), many = found
    return one, many


def assert_equal(one: dict, many: list[dict]) -> None:
    for name, value in one["state"].items():
        for other in many:
            assert torch.equal(other["state"][name], many[0]["state"][name]), f"{name} differs between ranks"
        assert torch.allclose(many[0]["state"][name], value, rtol=0, atol=TOLERANCE), f"{name} differs from one process"
    for network, seen in one["seen"].items():
        shares = [other["seen"][network] for other in many]
        assert all(len(share) == len(seen) // len(many) for share in shares), network
        together = torch.cat(shares).sort().values
        assert torch.allclose(together, seen.sort().values, rtol=0, atol=TOLERANCE), network
        assert not torch.isclose(shares[0], shares[1], rtol=0, atol=TOLERANCE).any(), f"{network}: ranks drew the same"


@pytest.mark.parametrize("model", MODELS)
def test_two_ranks(model, pair, tmp_path):
    """And the one process ends with the weights of earlier commits, see `contracts/golden.py`."""
    from contracts.golden import GOLDEN, sums_of, trainings

    chosen = [f"model={model}", *partner("model", model), *SPECIAL.get(model, [])]
    one, many = one_and_many(pair, chosen, tmp_path)
    assert_equal(one, many)
    assert trainings()[model] == chosen
    found, golden = sums_of(one["state"]), json.loads((GOLDEN / "weights.json").read_text())[model]
    assert found.keys() == golden.keys()
    for network, sums in golden.items():
        assert found[network] == pytest.approx(sums, rel=1e-8, abs=1e-8), network


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=dcgan", "data.micro_batch_size=8"],  # batch norm over pieces of 8, on two ranks too
        ["model=wgan_gp", "data.micro_batch_size=12", "model.generator_batch_size=48"],
        ["model=dcgan", *LAZY],
        ["model=dcgan", *LAZY, "data.micro_batch_size=8"],
        ["model=dcgan", "+model.clip_norm={generator: 0.01, discriminator: 0.01}"],
        ["model=dcgan", *AUGMENTED],
        PAIRS,
        ["model=wgan_gp", "+regularizer@model.regularizers.r1=r1", "model.regularizers.r1.every=2"],
    ],
    ids=[
        *("micro_batches", "micro_batches_of_g", "penalty_alone", "penalty_in_two_backwards", "clipped"),
        *("augmented", "augmented_pairs", "lazy"),
    ],
)
def test_ways_to_step(overrides, pair, tmp_path):
    assert_equal(*one_and_many(pair, overrides, tmp_path))


@pytest.mark.parametrize("world", [3, 4])
def test_more_ranks(world, forkserver, tmp_path):
    with started(world, tmp_path, forkserver) as ranks:
        assert_equal(*one_and_many(ranks, ["model=wgan_gp"], tmp_path))


def broadcasts(settings: dict, folder: str) -> int:
    """How often a rank's run calls `broadcast`."""
    calls, original = [], torch.distributed.broadcast

    def counted(*arguments, **keywords):
        calls.append(1)
        return original(*arguments, **keywords)

    torch.distributed.broadcast = counted
    try:
        train.fit(settings, Path(folder), {"id": "test"})
    finally:
        torch.distributed.broadcast = original
    return len(calls)


def test_no_step_broadcasts(pair, tmp_path):
    """Lightning's loop asks rank 0 for signals before every step, and waits for the device."""
    counts = []
    for iterations in (2, 10):
        folder = tmp_path / str(iterations)
        folder.mkdir()
        settings = settings_of(["model=dcgan"], folder, iterations)
        settings["trainer"] |= {"strategy": "gan_ddp", "devices": 2}
        counts.append(pair(broadcasts, settings, str(folder)))
    assert counts[0] == counts[1]


def test_ranks_that_disagree_about_what_a_loss_reaches(pair, tmp_path):
    branching = ["model=dcgan", "model._target_=witness.BranchingLoss", "model.discriminator.normalization=none"]
    settings = settings_of(branching, tmp_path)
    settings["trainer"] |= {"strategy": "gan_ddp", "devices": 2}
    with pytest.raises(AssertionError, match=r"the ranks disagree in the discriminator step .*discriminator\.output"):
        pair(fit, settings, str(tmp_path))
