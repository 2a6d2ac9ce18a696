"""Orthogonal regularization against pairs of filters worked by hand, and against loops over filters."""

import pytest
import torch
from plain_gan import plain_gan
from tiny import fit
from torch import nn

from gan_lab.layers.normalization import spectrally_normalize
from gan_lab.networks.r3gan import R3GANGenerator
from gan_lab.regularizers.base import Phase
from gan_lab.regularizers.orthogonal import Orthogonal, filters_of, off_diagonal_penalty


def term(*, weight=1.0, every=1, network="generator"):
    return Orthogonal(weight=weight, every=every, network=network)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([[3.0, 4.0], [1.0, 0.0]], 2 * 9.0),
        ([[3.0, 4.0], [1.0, 0.0], [0.0, 1.0]], 2 * (9.0 + 16.0)),  # more filters than values
        ([[3.0, 4.0, 0.0], [4.0, -3.0, 0.0], [0.0, 0.0, 9.0]], 0.0),  # orthogonal, of any length
        ([[3.0, 4.0]], 0.0),
    ],
)
def test_pairs(filters, expected):
    assert off_diagonal_penalty(torch.tensor(filters)).item() == pytest.approx(expected, abs=1e-3)


def pairs(filters):
    """The sum over ordered pairs of different filters, one after the other."""
    return sum(
        torch.dot(first.flatten(), second.flatten()).item() ** 2
        for i, first in enumerate(filters)
        for j, second in enumerate(filters)
        if i != j
    )


def test_filters_of_layers():
    """A filter is all weights of one output, of its group."""
    torch.manual_seed(0)
    linear, plain = nn.Linear(5, 3), nn.Conv2d(4, 6, 3)
    grouped, transposed = nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3)
    both = nn.ConvTranspose2d(4, 6, 3, groups=2)
    sound, film = nn.Conv1d(4, 6, 3), nn.Conv3d(4, 6, 3)
    back, forth = nn.ConvTranspose1d(4, 6, 3), nn.ConvTranspose3d(4, 6, 3)
    halves = {
        linear: [linear.weight],
        plain: [plain.weight],
        grouped: [grouped.weight[:3], grouped.weight[3:]],
        transposed: [transposed.weight.transpose(0, 1)],
        **{layer: [layer.weight] for layer in (sound, film)},
        **{layer: [layer.weight.transpose(0, 1)] for layer in (back, forth)},
        both: [both.weight[:2].transpose(0, 1), both.weight[2:].transpose(0, 1)],
    }
    for layer, groups in halves.items():
        found = off_diagonal_penalty(filters_of(layer)).item()
        assert found == pytest.approx(sum(pairs(group) for group in groups), rel=1e-4), layer


def test_spectral_normalization_makes_no_further_pass():
    layers = nn.Sequential(nn.Linear(4, 3))
    spectrally_normalize(layers)
    before = {name: buffer.clone() for name, buffer in layers.named_buffers()}
    assert before
    assert filters_of(layers[0]).data_ptr() == layers[0].parametrizations.weight.original.data_ptr()
    assert all(torch.equal(before[name], buffer) for name, buffer in layers.named_buffers())


def layer():
    """The filters (3, 4) and (1, 0): the penalty is 18, its gradient 4 * 3 * ((1, 0), (3, 4))."""
    made = nn.Linear(2, 2, bias=False)
    made.weight.data = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    return made


class SumCritic(nn.Module):
    """The sum of a layer's outputs; its embedding has nothing to do."""

    def __init__(self):
        super().__init__()
        self.layer, self.embedding = layer(), nn.Embedding(3, 2)

    def forward(self, samples):
        return self.layer(samples).sum(1)


def after_a_step(*extras, **given):
    module = plain_gan(*extras, **given)
    fit(module, images=2)
    return module


def test_of_the_generator():
    """Beside a run without it, G's step differs by the gradient, D's by nothing."""
    plain = after_a_step(generator=layer(), d_lr=0.01, g_lr=0.01)
    held = after_a_step(term(weight=0.5), generator=layer(), d_lr=0.01, g_lr=0.01)
    difference = (held.generator.weight - plain.generator.weight).detach()
    torch.testing.assert_close(difference, -0.01 * 0.5 * 12 * torch.tensor([[1.0, 0.0], [3.0, 4.0]]))
    assert held.take_records()["reg/orthogonal_generator"] == pytest.approx(18.0)
    assert torch.equal(held.discriminator.weight, plain.discriminator.weight)


def test_of_the_discriminator_lazily():
    """A step of its own after D's, twice as heavy, with 2 / 3 of the learning rate for both; embeddings are free."""
    plain = after_a_step(discriminator=SumCritic(), d_lr=0.02 * 2 / 3)
    held = after_a_step(term(weight=0.5, every=2, network="discriminator"), discriminator=SumCritic(), d_lr=0.02)
    first, second = weight = plain.discriminator.layer.weight.detach()
    slope = 4 * torch.dot(first, second) * torch.stack([second, first])
    torch.testing.assert_close(held.discriminator.layer.weight.detach(), weight - 0.02 * 2 / 3 * 2 * 0.5 * slope)
    penalty = 2 * torch.dot(first, second).square().item()
    assert held.take_records()["reg/orthogonal_discriminator"] == pytest.approx(penalty, rel=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match="network must be generator or discriminator, got 'encoder'"):
        term(network="encoder")
    with pytest.raises(ValueError, match="orthogonal_generator finds no linear layer or convolution in the generator"):
        after_a_step(term())
    frozen = plain_gan(term(network="discriminator"), discriminator=SumCritic(), freeze=["discriminator.layer"])
    frozen._freeze()
    with pytest.raises(ValueError, match=r"less of the network frozen \(model.freeze\)"):
        frozen.regularizers["extra0"].check(frozen)


def test_not_in_half_precision():
    """Of an orthogonal matrix it is 0: in bfloat16 the rounding of 64 inner products would be all that is left."""
    linear = nn.Linear(256, 64, bias=False)
    nn.init.orthogonal_(linear.weight)
    module = plain_gan(discriminator=linear)
    with torch.autocast("cpu", torch.bfloat16):
        assert abs(term(network="discriminator")(module, Phase()).item()) < 1e-3


@pytest.mark.parametrize("dimensions", [1, 3])
def test_convolutions_of_sounds_and_films_count(dimensions):
    """A network of one such layer was refused as one without layers, and in a larger one passed over."""
    convolution = getattr(nn, f"Conv{dimensions}d")(1, 2, 1, bias=False)
    convolution.weight.data = torch.tensor([3.0, 2.0]).view_as(convolution.weight)
    module = plain_gan(discriminator=convolution)
    held = term(network="discriminator")
    held.check(module)
    assert held(module, Phase()).item() == pytest.approx(2 * 6.0**2)


def test_weights_of_another_kind_are_refused():
    critic = nn.Sequential(nn.Linear(2, 2), nn.MultiheadAttention(2, 1))
    with pytest.raises(ValueError, match=r"regularizer orthogonal_discriminator is for linear.*1\.in_proj_weight"):
        term(network="discriminator").check(plain_gan(discriminator=critic))


def test_a_learnt_input_is_no_filter():
    settings = {"latent_dim": 2, "width": 4, "multipliers": [1], "blocks": 1, "expansion": 2, "group_width": 4}
    term().check(plain_gan(generator=R3GANGenerator(sample_shape=(1, 4, 4), **settings)))


def test_the_gradient_is_that_of_the_equation():
    """4 (W W^T o (1 - I)) W; BigGAN-PyTorch adds half of it."""
    weight = torch.tensor([[3.0, 4.0], [1.0, 0.0]], requires_grad=True)
    off_diagonal_penalty(weight).backward()
    assert weight.grad.tolist() == [[4 * 3 * 1.0, 0.0], [4 * 3 * 3.0, 4 * 3 * 4.0]]
