"""Every conf/network/*.yaml builds; those of published networks have the published sizes."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from shrunk import PROJECTED

FOLDER = Path(__file__).parents[2] / "conf" / "network"


def build(name, sample_shape, condition_shape=None, masked=True, **changes):
    network = OmegaConf.load(FOLDER / f"{name}.yaml")
    latents = OmegaConf.create({"latent_dim": 128})
    if condition_shape is None:
        condition_shape = [sample_shape[0] if name in INPAINTERS else 1, *sample_shape[1:]]
    data = {"sample_shape": sample_shape, "condition_shape": condition_shape, "masked": masked}
    config = OmegaConf.create({"data": data, "model": OmegaConf.merge(network, latents, changes)})
    if name in PROJECTED:  # features whose weights are at hand
        digitnet = OmegaConf.load(FOLDER.parent / "extractor" / "digitnet.yaml")
        config.model.discriminator.features = digitnet
    with torch.device("meta"):
        return instantiate(config.model.generator), instantiate(config.model.get("discriminator"))


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["mlp", "dcgan", "resnet", "sagan", "biggan", "r3gan", "stylegan2"])
def test_generators_say_of_how_many_classes_they_are_told(name):
    network = OmegaConf.load(FOLDER / f"{name}.yaml").generator
    config = OmegaConf.create({"data": {"sample_shape": [3, 32, 32]}, "model": {"latent_dim": 128}, "network": network})
    how = "batch_norm" if name in ("sagan", "biggan") else "concatenation"
    with torch.device("meta"):
        assert instantiate(config.network).num_classes == 0
        assert instantiate(config.network, conditioning=how, num_classes=7).num_classes == 7


JUDGED = {"began": (4, 3, 64, 64), "unet_discriminator": (4, 2, 64, 64)}  # images; and logits of image and pixels
JUDGED |= dict.fromkeys(("fastgan", "fastgan256", "fastgan512"), (4, 50))  # of two sizes, 5x5 each


NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
TRANSLATORS = [name for name in NAMES if "condition_shape" in OmegaConf.load(FOLDER / f"{name}.yaml").generator]

INPAINTERS = [
    name
    for name in TRANSLATORS
    if hasattr(get_class(OmegaConf.load(FOLDER / f"{name}.yaml").generator["_target_"]), "pasted")
]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRANSLATORS])
def test_builds_a_pair_for_64x64(name):
    generator, discriminator = build(name, [3, 64, 64])
    samples = generator(torch.randn(4, 128, device="meta"))
    assert samples.shape == (4, 3, 64, 64)
    if name in PROJECTED:  # features are not computed without values: see test_network_projected.py
        return
    if discriminator is not None:  # a variational auto-encoder has none
        assert discriminator(samples).shape == JUDGED.get(name, (4,))


ENLARGERS = ["srresnet", "rrdb"]


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("name", ENLARGERS)
def test_builds_a_pair_that_enlarges(name, factor):
    generator, discriminator = build(name, [3, 64, 64], condition_shape=[3, 64 // factor, 64 // factor], masked=False)
    samples = generator(torch.randn(4, 3, 64 // factor, 64 // factor, device="meta"))
    assert samples.shape == (4, 3, 64, 64)
    assert discriminator(samples).shape == (4,)


@pytest.mark.parametrize("name", [name for name in TRANSLATORS if name not in ENLARGERS])
def test_builds_a_pair_that_sees_a_masked_source(name):
    size = 256 if name.endswith("256") else 64
    generator, discriminator = build(name, [3, size, size])
    channels = generator.condition_shape[0]
    with torch.device("meta"):
        seen = {"condition": torch.randn(4, channels, size, size), "mask": torch.ones(4, 1, size, size)}
        latents = {"latents": torch.randn(4, generator.latent_dim)} if hasattr(generator, "latent_dim") else {}
    samples = generator(**seen, **latents)
    assert samples.shape == (4, 3, size, size)
    judged = [("condition", "condition_shape"), ("mask", "masked")]
    logits = discriminator(samples, **{name: seen[name] for name, says in judged if getattr(discriminator, says, None)})
    assert len(logits) == 4
    assert logits.ndim in (1, 4)


@pytest.mark.parametrize("name", NAMES)
def test_says_first_where_it_belongs_and_what_it_is(name):
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package model"
    assert lines[1].startswith("# ")


def generator_block(inputs, outputs):
    """3x3 convolutions, 1x1 shortcut, two batch normalizations: what a published block holds but for its biases."""
    return 9 * inputs * outputs + 9 * outputs * outputs + inputs * outputs + 2 * inputs + 2 * outputs


def critic_block(inputs, outputs):
    """3x3 convolutions and 1x1 shortcut with their biases, as published."""
    return 9 * inputs * inputs + inputs + 9 * inputs * outputs + outputs + inputs * outputs + outputs


def first_block(outputs):
    return 9 * 3 * outputs + outputs + 9 * outputs * outputs + outputs + 3 * outputs + outputs


def test_sngan_32_has_the_published_size():
    """Mimicry's SNGAN-32 has 4,276,739 and 1,053,825 parameters (4.27 M and 1.05 M), by hand:

    G: 128*4096 + 4096 (linear), 3 blocks of 1,246,976, 512 (batch norm), 256*3*9 + 3 (output).
    D: first block 151,680; halving block 311,680; two blocks without shortcut convolution 295,168 each; linear 129.
    Of G's 256-channel biases, the three of each block stand before a batch norm that undoes them: left out here.
    """
    generator, discriminator = build("resnet", [3, 32, 32])
    assert 128 * 4096 + 4096 + 3 * (generator_block(256, 256) + 3 * 256) + 512 + 6_915 == 4_276_739
    assert parameters(generator) == 4_276_739 - 3 * 3 * 256
    assert parameters(discriminator) == 151_680 + 311_680 + 2 * 295_168 + 129 == 1_053_825


def test_sngan_64_has_the_published_stages():
    """G 1024-512-256-128-64 from 4x4, D 64-128-256-512-1024, every block halving, summed; counts by hand, as above."""
    generator, discriminator = build("resnet64", [3, 64, 64])
    stages = [1024, 512, 256, 128, 64]
    blocks = sum(generator_block(inputs, outputs) for inputs, outputs in pairwise(stages))
    assert parameters(generator) == 128 * 16 * 1024 + 16 * 1024 + blocks + 2 * 64 + 64 * 3 * 9 + 3
    stages = stages[::-1]
    blocks = sum(critic_block(inputs, outputs) for inputs, outputs in pairwise(stages))
    assert parameters(discriminator) == first_block(64) + blocks + 1024 + 1


def test_wgan_gp_32_has_the_published_stages():
    """Gulrajani et al. 2017, CIFAR-10: as SNGAN-32 with 128 channels in G, too; the critic has the same layers."""
    generator, discriminator = build("resnet_wgan_gp", [3, 32, 32])
    assert parameters(generator) == 128 * 2048 + 2048 + 3 * generator_block(128, 128) + 256 + 128 * 3 * 9 + 3
    assert parameters(discriminator) == 1_053_825


def test_wgan_gp_64_has_the_published_stages():
    """The authors' gan_64x64.py: G 512-512-256-128-64, D 64-128-256-512-512, layer norm in D, all features to the unit.

    The first convolution of a block has no bias there either, since a normalization follows.
    """
    generator, discriminator = build("resnet64_wgan_gp", [3, 64, 64])
    stages = [512, 512, 256, 128, 64]
    blocks = sum(generator_block(inputs, outputs) for inputs, outputs in pairwise(stages))
    assert parameters(generator) == 128 * 8192 + 8192 + blocks + 2 * 64 + 64 * 3 * 9 + 3
    stages = [64, 128, 256, 512, 512]
    blocks = sum(
        9 * inputs * inputs + 9 * inputs * outputs + inputs * outputs + 2 * outputs + 2 * inputs + 2 * inputs
        for inputs, outputs in pairwise(stages)
    )
    assert parameters(discriminator) == 3 * 64 * 9 + 64 + blocks + 8192 + 1
