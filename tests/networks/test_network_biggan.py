"""BigGAN's networks: published sizes, which part of the latent and of the class goes where, refusals."""

import pytest
import torch
from omegaconf import OmegaConf
from test_network_sagan import attended, configured, parameters, sizes_alone
from torch import nn
from torch.nn.utils import parametrize

from gan_lab.layers.conditioning import VectorBatchNorm2d
from gan_lab.networks.biggan import BigGANGenerator, VectorBlock

SMALL = {
    "latent_dim": 8,
    "embedding_dim": 3,
    "width": 4,
    "multipliers": [2, 2, 1],
    "attention": 1,
    "initialization": "orthogonal",
    "conditioning": "batch_norm",
    "num_classes": 5,
}


def generator(sample_shape=(3, 16, 16), **changes):
    torch.manual_seed(0)
    return BigGANGenerator(sample_shape=sample_shape, **SMALL | changes)


def biases(width, stages):
    """Those of the three convolutions of each block, before a batch norm that undoes them: left out here."""
    return 3 * width * sum(stages)


def test_at_128_it_has_the_published_size():
    """google/compare_gan, architectures/resnet_biggan_test.py: 70,433,988 in G and 87,982,370 in D.

    Brock et al. 2019, table 1, all tricks at 96 channels: 158.3 M, which is these without the 1000x128 of the shared
    embedding. At 64 channels, by a comment of ajbrock/BigGAN-PyTorch's author: 31,978,628 and 39,448,258.
    """
    made, scored = configured("biggan128", [3, 128, 128], latent_dim=120)
    assert parameters(made) == 70_433_988 - biases(96, [16, 8, 4, 2, 1])
    assert parameters(scored) == 87_982_370
    assert round((70_433_988 - 1000 * 128 + 87_982_370) / 1e6, 1) == 158.3
    made, scored = configured("biggan128", [3, 128, 128], 120, generator={"width": 64}, discriminator={"width": 64})
    assert parameters(made) == 31_978_628 - biases(64, [16, 8, 4, 2, 1])
    assert parameters(scored) == 39_448_258


def test_at_32_it_has_studiogans_sizes():
    """96 channels times 4, latents of 80, attention after G's second block; 9.4 M by hand, with biases:

    20*6144 + 6144 (linear), 3 blocks of 2*9*384^2 + 384^2 + 3*384 and 4 * 384 * (128 + 20) for scales and offsets,
    5/4 * 384^2 + 1 (attention), 10 * 128 (embedding), 768 (batch norm), 384*3*9 + 3 (output).
    """
    made, _ = configured("biggan", [3, 32, 32], latent_dim=80, generator={"num_classes": 10})
    blocks = 3 * (19 * 384**2 + 3 * 384 + 4 * 384 * 148)
    by_hand = 20 * 6144 + 6144 + blocks + 5 * 384**2 // 4 + 1 + 10 * 128 + 2 * 384 + 384 * 27 + 3
    assert by_hand == 9_416_196
    assert parameters(made) == by_hand - biases(96, [4, 4, 4])


@pytest.mark.parametrize(
    ("name", "size", "generators", "discriminators"),
    [
        ("biggan", 32, (384, 16, 16), (192, 16, 16)),
        ("biggan64", 64, (320, 32, 32), (80, 32, 32)),
        ("biggan128", 128, (192, 64, 64), (96, 64, 64)),
    ],
)
def test_the_attention_stands_where_it_was_published(name, size, generators, discriminators):
    made, scored = configured(name, [3, size, size], latent_dim=120)
    labels = torch.zeros(2, dtype=torch.int64, device="meta")
    assert attended(made, torch.randn(2, 120, device="meta"), labels) == [generators]
    assert attended(scored, torch.randn(2, 3, size, size, device="meta"), labels) == [discriminators]


def conditions(network, latents, labels=None):
    """What the linear layer and each block are given: a list of tensors."""
    seen = []
    hooks = [network.stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))]
    for layer in network.modules():
        if isinstance(layer, VectorBlock):
            hooks.append(layer.register_forward_pre_hook(lambda _, given: seen.append(given[1])))
    network(latents, labels)
    for hook in hooks:
        hook.remove()
    return seen


def test_each_block_is_given_its_chunk_and_the_shared_embedding():
    """8 numbers for 3 chunks: 4 for the linear layer, 2 for each block."""
    made, latents, labels = generator(), torch.randn(2, 8), torch.tensor([4, 1])
    embedded = made.classes.weight[labels]
    expected = [latents[:, :4], *(torch.cat([embedded, latents[:, k : k + 2]], 1) for k in (4, 6))]
    for given, wanted in zip(conditions(made, latents, labels), expected, strict=True):
        assert torch.equal(given, wanted)
    assert generator(latent_dim=9).chunks == [3, 3, 3]


def test_without_classes_each_block_is_given_its_chunk():
    made, latents = generator(conditioning="none", num_classes=None), torch.randn(2, 8)
    assert [tuple(given.shape) for given in conditions(made, latents)] == [(2, 4), (2, 2), (2, 2)]
    assert made.classes is None


def test_chunk_and_class_change_the_sample():
    made = generator().eval()
    latents, labels = torch.randn(1, 8), torch.tensor([0])
    sample = made(latents, labels)
    for place in range(8):
        assert not torch.allclose(made(latents + torch.eye(8)[place], labels), sample), place
    assert not torch.allclose(made(latents, torch.tensor([1])), sample)
    with pytest.raises(ValueError, match="needs labels"):
        made(latents)


def test_a_block_is_the_papers():
    """Up, then convolved, beside a shortcut that is doubled first there; scales and offsets by `VectorBatchNorm2d`."""
    torch.manual_seed(0)
    block = VectorBlock(4, 6, condition_dim=2, initialization="orthogonal").eval()
    features, condition = torch.randn(3, 4, 2, 5), torch.randn(3, 2)
    first, second = (layer for layer in block.residual if isinstance(layer, VectorBatchNorm2d))
    in_, out = (layer for layer in block.residual if isinstance(layer, nn.Conv2d))

    def doubled(values):
        return values.repeat_interleave(2, 2).repeat_interleave(2, 3)

    inner = second(in_(doubled(first(features, condition).clamp(min=0))), condition).clamp(min=0)
    torch.testing.assert_close(block(features, condition), block.shortcut[0](doubled(features)) + out(inner))


def test_every_layer_is_spectrally_normalized_but_the_embedding():
    made = generator()
    layers = {name: one for name, one in made.named_modules() if isinstance(one, (nn.Linear, nn.Conv2d))}
    assert all(parametrize.is_parametrized(layer, "weight") for layer in layers.values())
    assert any(".scale" in name for name in layers)
    assert not parametrize.is_parametrized(made.classes)


def test_weights_begin_orthogonal():
    made = generator()
    weights = [value for name, value in made.named_parameters() if value.ndim > 1]
    assert len(weights) == 1 + 1 + 2 * (3 + 4) + 4 + 1
    for weight in weights:
        values = torch.linalg.svdvals(weight.flatten(1))
        torch.testing.assert_close(values, values[:1].expand_as(values))


def test_gradient_reaches_every_parameter():
    made, labels = generator(), torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])
    made.stages[0][1].gamma.data.fill_(1.0)
    samples = made(torch.randn(8, 8), labels)
    (samples * torch.randn_like(samples)).sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad.abs().max() > 1e-4, name


@pytest.mark.parametrize("size", [(8, 8), (16, 40), (256, 64)])
def test_shapes(size):
    with sizes_alone():
        made = generator(OmegaConf.create([1, *size]), multipliers=OmegaConf.create([2, 2, 1]))
        assert made(torch.randn(2, 8), torch.zeros(2, dtype=torch.int64)).shape == (2, 1, *size)
    assert made.sample_shape == (1, *size)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_shape": (3, 30, 32)}, "divisible by 4, from 8 on; data.sample_shape has 30x32"),
        ({"latent_dim": 2}, "latent_dim must be 3 or more; got 2"),
        ({"embedding_dim": 0}, "embedding_dim must be 1 or more; got 0"),
        ({"attention": 3}, "generator.attention must be .* from 1 to 2, or 0 for none; got 3"),
        ({"multipliers": [1]}, r"two or more numbers from 1 on; got \[1\]"),
        ({"width": 0}, "width must be 1 or more; got 0"),
        ({"conditioning": "concatenation"}, "must be one of none, batch_norm; got 'concatenation'"),
        ({"num_classes": None}, "needs 2 or more classes, got None; choose labelled data"),
    ],
)
def test_refusals_name_the_value(changes, message):
    with pytest.raises(ValueError, match=message):
        generator(**changes)
