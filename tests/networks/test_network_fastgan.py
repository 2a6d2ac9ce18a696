"""FastGAN's networks: shapes, sizes by hand, what excites and what is rebuilt from what, gradients, refusals."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from gan_lab.networks.fastgan import Excitation, FastGANDiscriminator, FastGANGenerator, quarter_of, reduced

PAPER = {"latent_dim": 256, "width": 64}


def generator(size, **changes):
    given = {"sample_shape": (3, size, size), "latent_dim": 5, "width": 4, "initialization": "normal"}
    return FastGANGenerator(**(given | changes))


def discriminator(size, **changes):
    given = {"sample_shape": (3, size, size), "width": 4, "normalization": "batch", "initialization": "normal"}
    return FastGANDiscriminator(**(given | changes))


@pytest.mark.parametrize(("size", "small"), [(64, 32), (128, 64), (256, 128), (512, 128), (1024, 128)])
def test_shapes(size, small):
    """The picture and a small one; 25 logits of each; whole, quarter and whole again as small ones."""
    with torch.device("meta"):
        images, smaller = generator(size)(torch.randn(2, 5), both=True)
        judge = discriminator(size)
        logits, rebuilt = judge(images, smaller, quarter=1)
    assert images.shape == (2, 3, size, size)
    assert smaller.shape == (2, 3, small, small)
    assert logits.shape == (2, 50)
    assert {part.shape for part in (*rebuilt, *judge.targets(images, 2))} == {smaller.shape}


def test_parameter_counts_by_hand():
    """256x256 at the published widths: convolutions without biases, 2 numbers to each channel of a normalization."""
    with torch.device("meta"):
        made, judge = generator(256, **PAPER), discriminator(256, width=64)
    channels = {4: 1024, 8: 512, 16: 256, 32: 128, 64: 128, 128: 64, 256: 32}
    total = 16 * 256 * 2048 + 2 * 2048
    for side in (8, 16, 32, 64, 128, 256):
        inputs, outputs = channels[side // 2], channels[side]
        total += 9 * inputs * 2 * outputs + 2 * 2 * outputs
        if side in (8, 32, 128):  # a second convolution, and two strengths of noise
            total += 9 * outputs * 2 * outputs + 2 * 2 * outputs + 2
    for low, high in ((4, 64), (8, 128), (16, 256)):
        total += 16 * channels[low] * channels[high] + channels[high] ** 2
    total += 64 * 3 + 9 * 32 * 3
    assert parameters(made) == total

    def halving(inputs, outputs):
        return 16 * inputs * outputs + 2 * outputs

    def decoder(inputs):
        sides = [inputs, 128, 64, 64, 32]
        return sum(18 * a * b + 4 * b for a, b in pairwise(sides)) + 9 * 32 * 3

    sides = [16, 32, 64, 128, 256, 512]  # channels at 256, 128, ... 8
    total = 27 * 16
    for inputs, outputs in pairwise(sides):
        total += halving(inputs, outputs) + 9 * outputs**2 + 2 * outputs + inputs * outputs + 2 * outputs
    total += sum(16 * a * b + b * b for a, b in zip(sides, sides[3:], strict=False))
    total += 512 * 1024 + 2 * 1024 + 16 * 1024
    total += 48 * 32 + halving(32, 64) + halving(64, 128) + halving(128, 256) + 16 * 256
    total += decoder(512) + decoder(256) + decoder(256)
    assert parameters(judge) == total


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("size", "pairs"), [(64, [(4, 64)]), (512, [(4, 64), (8, 128), (16, 256), (32, 512)])])
def test_which_maps_excite_which(size, pairs):
    """In G as published; in D those of 256, 128 and 64 excite those of 32, 16 and 8."""
    with torch.device("meta"):
        made, judge = generator(size), discriminator(size)
        seen = []
        for network in (made, judge):
            for part in network.modules():
                if isinstance(part, Excitation):
                    part.register_forward_pre_hook(lambda _, maps: seen.append((maps[0].shape[-1], maps[1].shape[-1])))
        judge(made(torch.randn(2, 5)))
    in_d = [(256, 32), (128, 16), (64, 8)]
    assert seen == pairs + [pair for pair in in_d if pair[0] <= size]


def test_excitation():
    """One channel each: the sigmoid of u * silu(sum of weights times means over 2x2 of 8x8)."""
    gate = Excitation(1, 1)
    nn.init.constant_(gate.gate[0].weight, 0.25)
    nn.init.constant_(gate.gate[2].weight, 2.0)
    exciting = torch.arange(64.0).view(1, 1, 8, 8) / 64
    inner = 0.25 * 16 * exciting.mean()
    factor = torch.sigmoid(2 * inner * torch.sigmoid(inner))
    torch.testing.assert_close(gate(exciting, torch.ones(1, 1, 3, 3)), factor.expand(1, 1, 3, 3))


def test_noise_begins_without_effect_and_is_heard_where_it_has_a_strength():
    torch.manual_seed(0)
    made, latents = generator(64).eval(), torch.randn(3, 5)
    noises = [torch.randn(3, made.noise_size) for _ in range(2)]
    assert made.noise_size == 2 * (8 * 8 + 32 * 32)
    assert torch.equal(made(latents, noise=noises[0]), made(latents, noise=noises[1]))
    strengths = [value for name, value in made.named_parameters() if name.endswith("noise_strength")]
    assert len(strengths) == 4
    nn.init.constant_(strengths[-1], 1.0)
    assert not torch.equal(made(latents, noise=noises[0]), made(latents, noise=noises[1]))


def test_what_is_small_and_what_a_quarter():
    images = torch.arange(16.0).view(1, 1, 4, 4)
    assert reduced(images, 2).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    corners = [quarter_of(images, quarter).flatten().tolist() for quarter in range(4)]
    assert corners == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_a_quarter_is_rebuilt_from_the_quarter_of_its_map():
    """No more of the picture than the map's convolutions see reaches it, the small picture reaches the third alone."""
    torch.manual_seed(0)
    judge = discriminator(128, normalization="none", width=8, initialization="orthogonal")
    samples, small = torch.randn(1, 3, 128, 128, requires_grad=True), torch.randn(1, 3, 64, 64, requires_grad=True)
    _, (whole, part, again) = judge(samples, small, quarter=3)
    (reached,) = torch.autograd.grad(part.abs().sum(), samples, retain_graph=True)
    local = torch.autograd.grad(part[..., 40:, 40:].abs().sum(), samples, retain_graph=True)[0].abs().sum((0, 1))
    assert reached.abs().sum((0, 1))[64:, 64:].min() > 0
    assert local[96:, 96:].mean() > 20 * local[:32, :32].mean(), "but for the excitation, which sees all"
    assert torch.autograd.grad(whole.sum(), small, retain_graph=True, allow_unused=True) == (None,)
    assert torch.autograd.grad(again.sum(), samples, retain_graph=True, allow_unused=True) == (None,)


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    made, judge = generator(64, initialization="orthogonal"), discriminator(64, initialization="orthogonal")
    images, small = made(torch.randn(4, 5), both=True)
    logits, rebuilt = judge(images, small, quarter=0)
    sum((value * torch.randn_like(value)).sum() for value in (logits, *rebuilt)).backward()
    for network in (made, judge):
        for name, parameter in network.named_parameters():
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("build", "size", "changes", "message"),
    [
        (generator, 32, {}, r"64, 128, 256, 512, 1024 pixels; data.sample_shape has 32x32; set data.image_size"),
        (discriminator, 96, {}, "data.sample_shape has 96x96"),
        (generator, 64, {"sample_shape": (3, 64, 128)}, "data.sample_shape has 64x128"),
        (generator, 64, {"width": 0}, "width must be 1 or more; got 0"),
        (discriminator, 64, {"normalization": "spectral"}, r"discriminator\.normalization is what comes beside it"),
    ],
)
def test_refusals(build, size, changes, message):
    with pytest.raises(ValueError, match=message):
        build(size, **changes)
