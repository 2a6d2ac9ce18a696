"""Every conf/model/*.yaml by glob, with the network of its name: who is stepped, what is averaged, what D is shown."""

import copy
from functools import cache

import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from shrunk import partner, shrunk
from tiny import train_on, watch

from gan_lab.augment.base import Augmentation
from gan_lab.config import register

MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
SPECIAL = {"wgan": ["model.warmup_critic=2", "model.warmup_iterations=0", "model.refresh_every=null"]}
FOLLOWING = {"running_mean", "running_var", "num_batches_tracked", "_u", "_v", "u", "v"}  # buffers of layers
FAR = 100.0


def chosen_config(model: str) -> DictConfig:
    """What the command line `model=<model>` and its network come to, small; the caller's own."""
    return copy.deepcopy(composed(model))


@cache
def composed(model: str) -> DictConfig:
    chosen = [f"model={model}", *partner("model", model), *SPECIAL.get(model, [])]
    small = shrunk(chosen)
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        return compose("train", [*chosen, *small])


def built(model: str) -> tuple:
    """The module and its data."""
    config = chosen_config(model)
    torch.manual_seed(0)
    data = instantiate(config.data, _convert_="all")
    return instantiate(config.model, _convert_="all"), data


@pytest.mark.parametrize("model", MODELS)
def test_each_step_changes_its_own_networks_alone(model):
    module, data = built(model)
    parameters = {name for name, value in module.named_parameters() if value.requires_grad}
    seen = watch(module)
    trainer = train_on(module, data, iterations=2)
    groups = [entry["group"] for entry in seen]
    assert set(groups) == set(module.groups)
    assert groups.count(module.closing_group) == trainer.global_step == 2, "Lightning counts iterations"
    assert module.images_seen == 16 * groups.count(module.counting_group)
    for entry in seen:
        own = tuple(f"{name}." for name in module.groups[entry["group"]])
        changed = entry["changed"] & parameters
        assert changed
        assert all(name.startswith(own) for name in changed), changed
        buffers = {name for name in entry["changed"] - parameters if not name.startswith(("augment.", "regularizers."))}
        networks = {name for names in module.groups.values() for name in names}
        assert all(name.partition(".")[0] not in networks or name.rpartition(".")[2] in FOLLOWING for name in buffers)
        if entry["group"] != module.closing_group:
            assert entry["averaged"] == set(), "only the end of an iteration moves the average"
    averaged = {name.split(".")[1] for entry in seen for name in entry["averaged"]}
    assert averaged == set(module.averages)
    assert all(parameter.requires_grad for name, parameter in module.named_parameters() if name in parameters)


class FarAway(Augmentation):
    """Moves all that D sees out of the pictures' range."""

    def forward(self, images, draws):
        return images + FAR

    def together(self, images, beside, draws):
        return images + FAR, beside


@pytest.mark.parametrize("model", MODELS)
def test_d_is_shown_the_augmented_alone(model):
    """Reals and fakes, in all phases, and whatever is made of them for penalties."""
    module, data = built(model)
    if not hasattr(module, "discriminator"):
        return
    module.augment["far"] = FarAway()
    lowest, discriminator = [], module.discriminator

    def noted(function):
        def wrapper(samples, *arguments, **keywords):
            lowest.append(samples.detach().min().item())
            return function(samples, *arguments, **keywords)

        return wrapper

    for name in ("forward", "features"):
        if hasattr(discriminator, name):
            setattr(discriminator, name, noted(getattr(discriminator, name)))
    train_on(module, data, iterations=2)
    assert len(lowest) >= 6
    assert min(lowest) > FAR / 2


@pytest.mark.parametrize("model", MODELS)
def test_a_misspelt_key_is_refused_with_a_suggestion(model):
    node = chosen_config(model).model
    with pytest.raises(Exception, match=r"unknown key 'clip_nrom' in model; do you mean 'clip_norm'\?"):
        instantiate(node, clip_nrom={})
    with pytest.raises(Exception, match=r"unknown key 'zzzzz' in model\W"):
        instantiate(node, zzzzz=1)
