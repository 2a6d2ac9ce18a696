"""Networks that fill holes: known pixels stay, the hole's own do not count, published sizes, refusals."""

import pytest
import torch

from gan_lab.networks.comodgan import CoModDiscriminator, CoModGenerator
from gan_lab.networks.context_encoder import ContextEncoder
from gan_lab.networks.gated import GatedInpainter, MaskedPatchDiscriminator

SHAPE = (3, 32, 32)


def common(shape):
    return {"sample_shape": shape, "condition_shape": shape, "masked": True}


def encoder(shape=SHAPE, **changes):
    settings = {"sees_mask": False, "depth": 3, "width": 4, "bottleneck": 8}
    settings |= {"normalization": "batch", "initialization": "he"}
    return ContextEncoder(**(common(shape) | settings | changes))


def gated(shape=SHAPE, **changes):
    return GatedInpainter(**(common(shape) | {"width": 8, "attention": True, "initialization": "he"} | changes))


def comodgan(shape=SHAPE, **changes):
    settings = {"latent_dim": 8, "w_dim": 8, "depth": 2, "width": 4, "max_width": 16, "dropout": 0.5}
    return CoModGenerator(**(common(shape) | settings | changes))


ALL = pytest.mark.parametrize("make", [encoder, gated, comodgan])


def built(make, **changes):
    torch.manual_seed(0)
    return make(**changes).eval()


def inputs(network, size=32):
    random = torch.Generator().manual_seed(1)
    mask = (torch.rand(2, 1, size, size, generator=random) < 0.3).float()
    given = {"condition": 2 * torch.rand(2, 3, size, size, generator=random) - 1, "mask": mask}
    if hasattr(network, "latent_dim"):
        given["latents"] = torch.randn(2, network.latent_dim, generator=random)
        given["noise"] = torch.randn(2, network.noise_size, generator=random)
    return given


@ALL
def test_known_pixels_stay_to_the_bit_and_those_in_the_hole_do_not_count(make):
    network = built(make)
    given = inputs(network)
    hole = given["mask"].bool().expand(-1, 3, -1, -1)
    filled = network(**given)
    assert torch.equal(filled[~hole], given["condition"][~hole])
    assert (filled[hole] != given["condition"][hole]).float().mean() > 0.9
    other = given["condition"].where(~hole, torch.tensor(float("nan")))
    assert torch.equal(network(**{**given, "condition": other}), filled)


@ALL
def test_what_is_known_decides_what_is_filled_in(make):
    """And the whole mask does."""
    network = built(make)
    given = inputs(network)
    hole = given["mask"].bool().expand(-1, 3, -1, -1)
    filled = network(**given)
    changed = network(**{**given, "condition": -given["condition"]})
    assert (changed[hole] - filled[hole]).abs().mean() > 1e-4
    larger = network(**{**given, "mask": given["mask"].roll(5, 3).maximum(given["mask"])})
    assert (larger[hole] - filled[hole]).abs().mean() > 1e-4


@ALL
def test_gradient_reaches_every_parameter(make):
    """But what a source without signs, or an attention without known patches, leaves out."""
    network = built(make, **({"shape": (3, 64, 64)} if make is gated else {})).train()
    given = inputs(network, 64 if make is gated else 32)
    given["mask"] = given["mask"] * (torch.arange(given["mask"].shape[-1]) < 16)
    made = network.stages(given["condition"], given["mask"]) if make is not comodgan else [network(**given)]
    sum((picture * torch.randn_like(picture)).sum() for picture in made).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_both_stages_are_seen_and_the_second_is_pasted():
    network = built(gated)
    given = inputs(network)
    coarse, refined = network.stages(**given)
    assert not torch.equal(coarse, refined)
    hole = given["mask"].bool().expand(-1, 3, -1, -1)
    assert torch.equal(network(**given)[hole], refined[hole])
    assert max(coarse.abs().max(), refined.abs().max()) <= 1


@pytest.mark.parametrize("size", [64, (32, 48)])
@pytest.mark.parametrize("make", [encoder, gated])
def test_other_sizes(make, size):
    height, width = (size, size) if isinstance(size, int) else size
    network = built(make)
    assert network(torch.zeros(1, 3, height, width), torch.ones(1, 1, height, width)).shape == (1, 3, height, width)
    with pytest.raises(ValueError, match=f"multiples of 8.* the source has {height + 4}x"):
        network(torch.zeros(1, 3, height + 4, width), torch.ones(1, 1, height + 4, width))


# Published sizes ------------------------------------------------------------------------------------------------------


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def gated_layers(pairs):
    """3x3 convolutions with biases, of (inputs, maps)."""
    return sum(9 * inputs * maps + maps for inputs, maps in pairs)


def test_deepfill_v2_has_the_published_size():
    """4.05 M and 5.95 M, layer by layer of the authors' inpaint_model.py (v2.0.0), half of the maps being gates."""
    dilated, end = [(96, 192)] * 4, [(96, 96), (48, 96), (48, 48), (24, 24), (12, 3)]
    coarse = 5 * 48 * 25 + 48
    coarse += gated_layers([(24, 96), (48, 96), (48, 192), (96, 192), (96, 192), *dilated, *[(96, 192)] * 2, *end])
    branch = 3 * 48 * 25 + 48 + gated_layers([(24, 48), (24, 96), (48, 96), (48, 192), (96, 192), *dilated])
    looking = 3 * 48 * 25 + 48 + gated_layers([(24, 48), (24, 96), (48, 192), *[(96, 192)] * 4])
    output = gated_layers([(192, 192), (96, 192), *end])
    with torch.device("meta"):
        generator = gated((3, 256, 256), width=48)
        without = gated((3, 256, 256), width=48, attention=False)
        judge = MaskedPatchDiscriminator(
            sample_shape=(3, 256, 256), masked=True, layers=6, width=64, initialization="he"
        )
        assert judge(torch.zeros(2, 3, 256, 256), torch.zeros(2, 1, 256, 256)).shape == (2, 256, 4, 4)
    assert parameters(generator) == coarse + branch + looking + output == 4_052_478
    assert parameters(without) == coarse + branch + output - 9 * 96 * 192
    steps = [(4, 64), (64, 128), (128, 256), *[(256, 256)] * 3]
    assert parameters(judge) == sum(25 * inputs * outputs + outputs for inputs, outputs in steps) == 5_946_816


def test_a_context_encoder_has_the_published_size():
    """71.1 M of the authors' for the centre (train.lua), with biases everywhere and a halving less on the way back."""
    with torch.device("meta"):
        made = encoder((3, 128, 128), depth=5, width=64, bottleneck=4000, initialization="normal")
    weights = 16 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 2 * 512 * 4000)
    weights += 16 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 64 + 64 * 3)
    normalized = [64, 128, 256, 512, 4000, 512, 256, 128, 64, 64]
    assert parameters(made) == weights + 2 * sum(normalized) + 64 + 3
    biases, last_halving = sum(normalized), 16 * 64 * 64 + 3 * 64
    assert round((parameters(made) + biases - last_halving) / 1e6, 1) == 71.1


@pytest.mark.parametrize(("size", "width", "millions"), [(256, 128, 79.2), (512, 64, 79.8), (1024, 32, 80.0)])
def test_comodgan_has_the_published_size(size, width, millions):
    with torch.device("meta"):
        made = comodgan((3, size, size), latent_dim=512, w_dim=512, depth=8, width=width, max_width=512)
    assert round(parameters(made) / 1e6, 1) == millions


# CoModGAN -------------------------------------------------------------------------------------------------------------


def test_latent_and_source_both_modulate():
    network = built(comodgan)
    given = inputs(network)
    filled = network(**given)
    other = network(**{**given, "latents": -given["latents"]})
    assert not torch.allclose(filled, other, atol=1e-3)
    all_from_the_second = {"second": -given["latents"], "crossover": torch.zeros(2, dtype=torch.int64)}
    assert torch.equal(network(**given, **all_from_the_second), other)


def test_dropout_is_for_training_and_may_be_given():
    network = built(comodgan)
    given = inputs(network)
    none = torch.zeros(2, network.vector_dim, dtype=torch.bool)
    assert torch.equal(network(**given, kept=none), network(**given)), "in eval mode all goes on"
    network.train()
    assert torch.equal(network(**given, kept=none), network(**given, kept=none))
    vectors = []
    network.grid.register_forward_pre_hook(lambda module, arguments: vectors.append(arguments[0]))
    network(**given, kept=none)
    network(**given, kept=~none)
    network.eval()(**given)
    assert vectors[0].abs().max() == 0
    torch.testing.assert_close(vectors[1], 2 * vectors[2])


def test_the_discriminator_sees_the_mask():
    torch.manual_seed(0)
    judge = CoModDiscriminator(
        sample_shape=SHAPE, masked=True, width=4, max_width=16, architecture="residual", minibatch_std=2
    )
    pictures = torch.randn(2, 3, 32, 32)
    logits = [judge(pictures, torch.full((2, 1, 32, 32), value)) for value in (0.0, 1.0)]
    assert logits[0].shape == (2,)
    assert not torch.allclose(*logits)


# Refusals -------------------------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masked": False}, "fills holes, and data.masked is false; choose .* condition=masked_centre"),
        ({"condition_shape": (1, 32, 32)}, r"condition_shape=\[1, 32, 32\] must be data.sample_shape=\[3, 32, 32\]"),
    ],
)
def test_refusals(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


@ALL
def test_a_call_without_a_mask(make):
    with pytest.raises(ValueError, match="fills holes and was given no mask"):
        built(make)(torch.zeros(2, 3, 32, 32))


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (gated, {"width": 6}, "width must be a multiple of 4, .* got 6"),
        (encoder, {"normalization": "instance"}, "generator.normalization must be one of none, batch, layer"),
        (encoder, {"depth": 4}, "from 64 on; data.condition_shape has 32x32"),
        (comodgan, {"dropout": 1.0}, "generator.dropout is a share"),
        (comodgan, {"shape": (3, 7, 7)}, "comodgan doubles a grid of sides from 4 .* data.sample_shape has 7x7"),
    ],
)
def test_refusals_of_each(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_comodgan_wants_latents_and_its_own_size():
    network = built(comodgan)
    with pytest.raises(ValueError, match="was given no latents"):
        network(torch.zeros(2, 3, 32, 32), torch.ones(2, 1, 32, 32))
    with pytest.raises(ValueError, match=r"takes sources of \[3, 32, 32\] alone, got \[3, 64, 64\]"):
        network(torch.zeros(2, 3, 64, 64), torch.ones(2, 1, 64, 64), torch.zeros(2, 8))
