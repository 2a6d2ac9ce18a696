"""Every conf/regularizer/*.yaml by glob: whom it moves, and that the number of ranks does not matter, in float64."""

from pathlib import Path

import pytest
import torch
from combinations import REGULARIZERS, built, config_of, data_of
from conftest import ROOT, SMALL
from hydra import compose, initialize_config_dir
from shrunk import shrunk
from tiny import train_on

from gan_lab import train
from gan_lab.config import register
from gan_lab.runs.settings import plain

BATCH, ITERATIONS, TOLERANCE = 24, 3, 1e-10


@pytest.mark.parametrize("name", REGULARIZERS)
def test_its_gradient_reaches_its_group_alone(name):
    config = config_of("hinge_gan")
    module = built(config, name)
    (regularizer,) = module.regularizers.values()
    penalized, weighted = [], module._weighted

    def noted(extra, phase):
        penalty = weighted(extra, phase)
        if penalty.requires_grad:  # those that begin later have none before
            named = [(key, value) for key, value in module.named_parameters() if value.requires_grad]
            slopes = torch.autograd.grad(penalty, [value for _, value in named], retain_graph=True, allow_unused=True)
            penalized.append({key for (key, _), slope in zip(named, slopes, strict=True) if slope is not None})
        return penalty

    module._weighted = noted
    train_on(module, data_of(config), iterations=4)
    assert penalized
    for names in penalized:
        assert names
        assert all(key.startswith(f"{regularizer.group}.") for key in names)


def settings_of(name: str, folder: Path) -> dict:
    overrides = ["model=hinge_gan", "network=mlp", f"+regularizer@model.regularizers.tried={name}"]
    small = [option for option in shrunk(overrides) if not option.startswith("data.batch_size")]
    run = [option for option in SMALL if not option.startswith(("evaluation.", "model.", "data."))]
    run += ["evaluation=none", "trainer.precision=64-true", "callbacks.pictures=null", "callbacks.curves=null"]
    run.append("callbacks.health=null")  # it shows the networks further samples
    run += ["callbacks.checkpoint.every_kimg=null", "logger={}", f"data.batch_size={BATCH}"]
    if name == "lecam":
        run.append("model.regularizers.tried.start_kimg=0")
    witness = f"+callbacks.witness={{_target_: witness.Witness, folder: '{folder}'}}"
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        settings = plain(compose("train", [*overrides, *small, *run, witness, f"run_dir={folder}"]))
    settings["total_kimg"] = settings["callbacks"]["stop"]["total_kimg"] = ITERATIONS * BATCH / 1000
    train.check(settings)
    return settings


def fit(settings: dict, folder: str) -> None:
    """On each rank, and in this process alone."""
    train.fit(settings, Path(folder), {"id": "test"})


@pytest.mark.parametrize("name", REGULARIZERS)
def test_two_ranks_compute_what_one_process_does(name, pair, tmp_path):
    for folder, ranks in (("one", None), ("two", pair)):
        (tmp_path / folder).mkdir()
        settings = settings_of(name, tmp_path / folder)
        if ranks is None:
            fit(settings, str(tmp_path / folder))
        else:
            settings["trainer"] |= {"strategy": "gan_ddp", "devices": 2}
            ranks(fit, settings, str(tmp_path / folder))
    one, *two = (
        torch.load(tmp_path / folder / f"witness{rank}.pt")["state"]
        for folder, rank in (("one", 0), ("two", 0), ("two", 1))
    )
    for key, value in one.items():
        assert torch.equal(two[0][key], two[1][key]), f"{key} differs between ranks"
        assert torch.allclose(two[0][key], value, rtol=0, atol=TOLERANCE), f"{key} differs from one process"
