"""The networks of SAGAN: published sizes, where the attention stands, spectral normalization, labels, refusals."""

import contextlib
from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from test_network_configs import FOLDER
from torch import nn
from torch.nn.utils import parametrize

from gan_lab.layers import attention
from gan_lab.layers.attention import SelfAttention2d
from gan_lab.networks import biggan, resnet, sagan
from gan_lab.networks.sagan import SAGANDiscriminator, SAGANGenerator

G = {"latent_dim": 5, "width": 4, "multipliers": [2, 2, 1], "attention": 1, "initialization": "xavier"}
D = {
    "width": 4,
    "multipliers": [1, 2, 2],
    "halvings": 2,
    "attention": 1,
    "normalization": "spectral",
    "initialization": "xavier",
}
IMAGENET = {"sample_shape": [3, 128, 128], "num_classes": 1000}


def generator(sample_shape=(3, 16, 16), **changes):
    torch.manual_seed(0)
    return SAGANGenerator(sample_shape=sample_shape, **G | changes)


def discriminator(sample_shape=(3, 16, 16), **changes):
    torch.manual_seed(0)
    return SAGANDiscriminator(sample_shape=sample_shape, **D | changes)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@contextlib.contextmanager
def sizes_alone() -> Iterator[None]:
    """The meta device, where drawing and normalizing weights takes seconds and changes no size: left out."""
    with contextlib.ExitStack() as stack:
        for module in (attention, resnet, sagan, biggan):
            for name in ("initialize", "spectrally_normalize"):
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name))
        stack.enter_context(torch.device("meta"))
        yield


def configured(name, sample_shape, latent_dim=128, generator=None, discriminator=None):
    """The networks of conf/network/<name>.yaml on the meta device, with a model's settings and these changes."""
    network = OmegaConf.load(FOLDER / f"{name}.yaml")
    classes = {"num_classes": 1000}
    model = {
        "latent_dim": latent_dim,
        "generator": {"conditioning": "batch_norm"} | classes | (generator or {}),
        "discriminator": {"conditioning": "projection"} | classes | (discriminator or {}),
    }
    config = OmegaConf.create({"data": {"sample_shape": sample_shape}, "model": OmegaConf.merge(network, model)})
    with sizes_alone():
        return instantiate(config.model.generator), instantiate(config.model.discriminator)


def attended(network, *arguments):
    """The sizes of the feature maps that an attention sees."""
    seen = []
    for layer in network.modules():
        if isinstance(layer, SelfAttention2d):
            layer.register_forward_hook(lambda _, given, made: seen.append(tuple(given[0].shape[1:])))
    network(*arguments)
    return seen


def test_at_128_it_has_the_size_of_biggans_baseline():
    """Table 1 of Brock et al. 2019, first row: a SAGAN of 64 channels with the attention at 64x64 has 81.5 M.

    Exactly, by a comment of ajbrock/BigGAN-PyTorch's author: 42,017,412 in G and 39,448,258 in D. Of G's biases, the
    three of each block stand before a batch norm that undoes them: left out here.
    """
    changed = {"generator": {"attention": 4}, "discriminator": {"attention": 1}}
    made, scored = configured("sagan128", [3, 128, 128], **changed)
    biases = 3 * 64 * (16 + 8 + 4 + 2 + 1)
    assert parameters(made) == 42_017_412 - biases
    assert parameters(scored) == 39_448_258
    assert round((42_017_412 + 39_448_258) / 1e6, 1) == 81.5


def test_at_32_without_attention_it_has_a_published_size():
    """BigGAN-PyTorch's launch_cifar_ema.sh is this G without attention, of about 4.3 M (its issue 78); by hand:

    128*4096 + 4096 (linear), 3 blocks of 2*9*256^2 + 256^2 + 3*256, 6 scales and offsets of 10 classes, 512 (batch
    norm), 256*3*9 + 3 (output). The blocks' biases are left out here.
    """
    made, _ = configured("sagan", [3, 32, 32], generator={"attention": 0, "num_classes": 10})
    by_hand = 128 * 4096 + 4096 + 3 * (19 * 256**2 + 3 * 256) + 6 * 2 * 10 * 256 + 512 + 6915
    assert round(by_hand / 1e6, 1) == 4.3
    assert parameters(made) == by_hand - 3 * 3 * 256


@pytest.mark.parametrize(
    ("name", "size", "generators", "discriminators"),
    [("sagan", 32, (256, 16, 16), (128, 16, 16)), ("sagan128", 128, (256, 32, 32), (128, 32, 32))],
)
def test_the_attention_stands_where_it_was_published(name, size, generators, discriminators):
    made, scored = configured(name, [3, size, size])
    labels = torch.zeros(2, dtype=torch.int64, device="meta")
    assert attended(made, torch.randn(2, 128, device="meta"), labels) == [generators]
    assert attended(scored, torch.randn(2, 3, size, size, device="meta"), labels) == [discriminators]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (16, 40), (32, 32), (256, 64)])
def test_shapes(channels, size):
    shape = (channels, *size)
    with sizes_alone():
        made, scored = generator(OmegaConf.create(list(shape))), discriminator(shape)
        samples = made(torch.randn(2, 5))
        assert samples.shape == (2, *shape)
        assert scored(samples).shape == (2,)
    assert scored.feature_dim == 8


def test_every_layer_is_spectrally_normalized():
    networks = (
        generator(conditioning="batch_norm", num_classes=3),
        discriminator(conditioning="projection", num_classes=3),
    )
    for network in networks:
        layers = {n: one for n, one in network.named_modules() if isinstance(one, (nn.Linear, nn.Conv2d))}
        assert all(parametrize.is_parametrized(layer, "weight") for layer in layers.values())
        assert any(name.endswith("query") for name in layers)
    assert parametrize.is_parametrized(networks[1].embedding, "weight")
    plain = discriminator(normalization="none")
    assert not any(parametrize.is_parametrized(layer) for layer in plain.modules())


def test_gradient_reaches_every_parameter():
    made = generator(conditioning="batch_norm", num_classes=3)
    scored = discriminator(conditioning="projection", num_classes=3)
    labels = torch.tensor([0, 1, 2, 1, 0, 2, 1, 0])
    for network in (made, scored):
        next(layer for layer in network.modules() if isinstance(layer, SelfAttention2d)).gamma.data.fill_(1.0)
    samples = made(torch.randn(8, 5), labels)
    (samples * torch.randn_like(samples)).sum().backward()
    (scored(torch.randn_like(samples), labels) * torch.randn(8)).sum().backward()
    for network in (made, scored):
        for name, parameter in network.named_parameters():
            assert parameter.grad.abs().max() > 1e-4, name


@pytest.mark.parametrize("conditioning", ["concatenation", "batch_norm"])
def test_a_generator_that_knows_labels(conditioning):
    made = generator(conditioning=conditioning, num_classes=3)
    for name, parameter in made.named_parameters():
        if "scale" in name or "offset" in name:  # as after some steps; they begin alike for all classes
            nn.init.normal_(parameter)
    made.eval()
    latents = torch.randn(3, 5)
    first, second = made(latents, torch.tensor([0, 1, 2])), made(latents, torch.tensor([0, 2, 2]))
    assert [torch.equal(*pair) for pair in zip(first, second, strict=True)] == [True, False, True]
    with pytest.raises(ValueError, match="needs labels"):
        made(latents)


def test_a_discriminator_sums_rectified_features_and_projects():
    scored = discriminator(conditioning="projection", num_classes=3, normalization="none")
    images, labels = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 1])
    features = scored.blocks(images).clamp(min=0).sum((2, 3))
    torch.testing.assert_close(scored.features(images, labels), features)
    expected = (
        features @ scored.output.weight[0] + scored.output.bias + (scored.embedding.weight[labels] * features).sum(1)
    )
    torch.testing.assert_close(scored(images, labels), expected)
    assert discriminator(conditioning="concatenation", num_classes=3)(images, labels).shape == (4,)
    assert discriminator(minibatch_std=2).feature_dim == 9
    assert discriminator(minibatch_std=2)(images).shape == (4,)


def test_without_attention():
    for network in (generator(attention=0), discriminator(attention=0)):
        assert not any(isinstance(layer, SelfAttention2d) for layer in network.modules())


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (generator, {"sample_shape": (3, 30, 32)}, "divisible by 4, from 8 on; data.sample_shape has 30x32"),
        (discriminator, {"sample_shape": (3, 30, 32)}, "divisible by 4, from 8 on; data.sample_shape has 30x32"),
        (
            discriminator,
            {"sample_shape": (3, 4, 32)},
            "has 4x32; set data.image_size .* or change discriminator.halvings",
        ),
        (
            generator,
            {"attention": 3},
            "generator.attention must be one of the blocks, from 1 to 2, or 0 for none; got 3",
        ),
        (discriminator, {"attention": 4}, "discriminator.attention must be .* from 1 to 3, or 0 for none; got 4"),
        (discriminator, {"attention": -1}, "got -1"),
        (discriminator, {"halvings": 0}, "halvings must be from 1 to 3, the number of blocks; got 0"),
        (discriminator, {"halvings": 4}, "got 4"),
        (discriminator, {"multipliers": []}, r"one or more numbers from 1 on; got \[\]"),
        (discriminator, {"multipliers": [1, 0]}, r"got \[1, 0\]"),
        (discriminator, {"width": 0}, "width must be 1 or more; got 0"),
        (generator, {"conditioning": "batch_norm"}, "needs 2 or more classes, got None; choose labelled data"),
        (discriminator, {"conditioning": "projection"}, "needs 2 or more classes, got None; choose labelled data"),
    ],
)
def test_refusals_name_the_value(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
