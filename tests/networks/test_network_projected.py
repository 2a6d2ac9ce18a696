"""Judges of frozen features: mixing by hand, what gets a gradient, what a checkpoint holds, refusals."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from gan_lab.extractors.classifier import Classifier
from gan_lab.extractors.digitnet import DigitNet
from gan_lab.networks.fastgan import FastGANLiteGenerator
from gan_lab.networks.projected import ProjectedDiscriminator, RandomMixing

SETTINGS = {"least_size": 32, "width": 2, "normalization": "batch", "initialization": "normal"}


def built(**changes):
    torch.manual_seed(0)
    given = {"sample_shape": [3, 16, 16], "features": partial(DigitNet, None)} | SETTINGS | changes
    return ProjectedDiscriminator(**given)


def test_mixing_by_hand():
    """Of two maps: c0 and c1 over channels; r1 = s1(twice c1), r0 = s0(twice (c0 + r1))."""
    torch.manual_seed(0)
    shapes = [(3, 6, 4), (5, 3, 2)]
    mixing = RandomMixing(shapes, 2)
    fine, coarse = (torch.randn(2, *shape) for shape in shapes)

    def mixed(features, layer):
        return torch.einsum("bchw,oc->bohw", features, layer.weight[:, :, 0, 0]) + layer.bias.view(1, -1, 1, 1)

    def doubled(features):
        sides = [2 * side for side in features.shape[2:]]
        return F.interpolate(features, size=sides, mode="bilinear", align_corners=True)

    of_coarse = mixed(doubled(mixed(coarse, mixing.channels[1])), mixing.scales[1])
    of_fine = mixed(doubled(mixed(fine, mixing.channels[0]) + of_coarse), mixing.scales[0])
    found = mixing([fine, coarse])
    assert [tuple(each.shape[1:]) for each in found] == mixing.shapes == [(2, 12, 8), (2, 6, 4)]
    torch.testing.assert_close(found[0], of_fine)
    torch.testing.assert_close(found[1], of_coarse)


def test_logits_are_of_all_judges_on_enlarged_pictures():
    discriminator = built().eval()
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    logits = discriminator(images)
    assert logits.shape == (4, 75), "three maps of digitnet, 5x5 each"
    enlarged = F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(logits, built(sample_shape=[3, 32, 32]).eval()(enlarged))


def test_the_gradient_reaches_pictures_and_judges_but_neither_features_nor_mixing():
    discriminator = built()
    images = (torch.rand(4, 3, 16, 16) * 2 - 1).requires_grad_()
    before = {name: value.clone() for name, value in discriminator.load_features(images).state_dict().items()}
    discriminator.train()(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in discriminator.parameters())
    assert {name.partition(".")[0] for name, _ in discriminator.named_parameters()} == {"judges"}
    features = discriminator.load_features(images)
    assert not features.training
    assert all(torch.equal(value, before[name]) for name, value in features.state_dict().items())


def test_a_checkpoint_holds_the_mixing_and_not_the_features():
    state = built().state_dict()
    assert {name.partition(".")[0] for name in state} == {"judges", "mixing"}
    torch.manual_seed(1)
    other = ProjectedDiscriminator(sample_shape=[3, 16, 16], features=partial(DigitNet, None), **SETTINGS)
    assert not torch.equal(other.mixing.channels[0].weight, state["mixing.channels.0.weight"])
    other.load_state_dict(state)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(other.eval()(images), built().eval()(images))


def test_the_light_generator_has_no_noise():
    generator = FastGANLiteGenerator(sample_shape=[3, 64, 64], latent_dim=8, width=2, initialization="normal").eval()
    latents = torch.randn(2, 8)
    assert generator.noise_size == 0
    assert torch.equal(generator(latents), generator(latents))
    assert not any("noise" in name or ".second." in name for name, _ in generator.named_parameters())


class Coarse(nn.Module):
    """Says that it has maps too small to judge."""

    @classmethod
    def level_shapes(cls, height, width):
        return ((3, height // 16, width // 16), (3, height // 32, width // 32))


class Maps(nn.Module):
    """Maps of a half and a quarter of each side."""

    @classmethod
    def level_shapes(cls, height, width):
        return ((3, height // 2, width // 2), (5, height // 4, width // 4))


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_a_judge_halves_to_about_8x8_with_more_channels_the_smaller(normalization):
    """Of maps of 64x64 and 32x32, mixed from those of 32x32 and 16x16; by widths of 2, the paper's of 64."""
    judges = built(features=Maps, least_size=64, normalization=normalization, initialization="orthogonal").judges
    layers = [[layer for layer in judge if isinstance(layer, nn.Conv2d)] for judge in judges]
    channels = [[(layer.in_channels, layer.out_channels) for layer in judge] for judge in layers]
    assert channels == [[(2, 4), (4, 8), (8, 16), (16, 1)], [(2, 8), (8, 16), (16, 1)]]
    assert [[layer.stride[0] for layer in judge] for judge in layers] == [[2, 2, 2, 1], [2, 2, 1]]
    biases = [[layer.bias is not None for layer in judge] for judge in layers]
    assert biases == [[normalization == "none"] * 3 + [False], [normalization == "none"] * 2 + [False]]
    assert all(is_parametrized(layer, "weight") for judge in layers for layer in judge)
    rows = layers[0][0].parametrizations.weight.original.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(4), atol=1e-5, rtol=0)
    assert {layer.negative_slope for judge in judges for layer in judge if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_sides_between_powers_of_two_and_pictures_that_are_large_enough():
    judge = built(features=Maps, sample_shape=[3, 24, 24], least_size=8).judges[0]
    assert judge(torch.zeros(1, 2, 24, 24)).shape == (1, 1, 3, 3), "24 comes to 6 by two halvings"
    discriminator = built(sample_shape=[3, 40, 48])
    assert (
        discriminator(torch.zeros(1, 3, 40, 48)).shape
        == built(sample_shape=[3, 40, 48], least_size=1)(torch.zeros(1, 3, 40, 48)).shape
    ), "least_size makes no picture smaller"


def test_features_are_made_once_and_in_float32_at_least():
    made = []

    class Noted(DigitNet):
        def __init__(self, weights):
            super().__init__(weights)
            made.append(self)

    discriminator = built(features=partial(Noted, None))
    features = discriminator.load_features(torch.zeros(1, dtype=torch.bfloat16))
    assert {value.dtype for value in features.state_dict().values() if value.is_floating_point()} == {torch.float32}
    assert discriminator.load_features(torch.zeros(1)) is features
    assert len(made) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": 3}, r"model\.discriminator\.features must be a node with _target_ and _partial_: true"),
        ({"features": partial(Classifier, "f", None)}, "Classifier gives no maps of several resolutions; choose"),
        ({"features": Coarse}, r"come to 2x2; enlarge model\.discriminator\.least_size=32"),
        ({"least_size": 0}, "least_size must be 1 or more; got 0"),
        ({"normalization": "spectral"}, r"spectrally normalized anyway; discriminator\.normalization is what"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        built(**changes)
