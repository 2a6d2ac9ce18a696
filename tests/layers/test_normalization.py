"""Normalizations by name: what each does to numbers, and what is refused."""

import pytest
import torch
from torch import nn

from gan_lab.layers.normalization import (
    FEATURE_NORMALIZATIONS,
    NORMALIZATIONS,
    brings_offset,
    feature_normalization_layer,
    normalization_layer,
    removes_channel_mean,
    spectrally_normalize,
)


def test_layer_normalizes_each_sample_over_channels_and_a_non_square_map():
    features = torch.randn(2, 3, 4, 8) * torch.tensor([1.0, 9.0])[:, None, None, None] + 5
    normalized = normalization_layer("layer", 3)(features)
    assert normalized.mean((1, 2, 3)).abs().max() < 1e-5
    assert (normalized.std((1, 2, 3), correction=0) - 1).abs().max() < 1e-3
    assert normalized.mean((2, 3)).abs().max() > 1e-3  # channels keep their own means


@pytest.mark.parametrize(("name", "axes"), [("batch", (0, 2, 3)), ("instance", (2, 3)), ("instance_plain", (2, 3))])
def test_axes_of_batch_and_instance(name, axes):
    normalized = normalization_layer(name, 3)(torch.randn(4, 3, 4, 8) * 3 + torch.arange(3.0)[:, None, None])
    assert normalized.mean(axes).abs().max() < 1e-5


def test_a_plain_instance_normalization_has_nothing_to_learn():
    features = torch.randn(2, 3, 4, 4)
    plain, affine = normalization_layer("instance_plain", 3), normalization_layer("instance", 3)
    assert list(plain.state_dict()) == []
    torch.testing.assert_close(plain(features), affine(features))
    affine.weight.data.fill_(2.0)
    affine.bias.data.fill_(-1.0)
    torch.testing.assert_close(2 * plain(features) - 1, affine(features))


@pytest.mark.parametrize("name", ["none", "spectral"])
def test_no_layer(name):
    assert isinstance(normalization_layer(name, 3), nn.Identity)
    assert isinstance(feature_normalization_layer(name, 3), nn.Identity)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_offsets_and_removed_means_are_those_of_the_layer(name):
    layer = normalization_layer(name, 3)
    assert brings_offset(name) == (getattr(layer, "bias", None) is not None)
    features, shift = torch.randn(2, 3, 4, 4), torch.tensor([5.0, 0.0, -5.0])[:, None, None]
    assert removes_channel_mean(name) == torch.allclose(layer(features), layer(features + shift), atol=1e-4)


@pytest.mark.parametrize("name", FEATURE_NORMALIZATIONS)
def test_features_keep_their_shape(name):
    assert feature_normalization_layer(name, 5)(torch.randn(4, 5)).shape == (4, 5)


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"none, batch, layer, instance, instance_plain, spectral; got 'bacth'"):
        normalization_layer("bacth", 3)
    with pytest.raises(ValueError, match=r"none, batch, layer, spectral; got 'instance'"):
        feature_normalization_layer("instance", 3)


def test_spectral_weights_have_a_largest_singular_value_of_one():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 2, 4), nn.Flatten(), nn.Linear(8, 2))
    before = network[3].weight.detach().clone()
    spectrally_normalize(network)
    with torch.no_grad():
        for _ in range(50):
            weights = [network[0].weight.flatten(1), network[1].weight.transpose(0, 1).flatten(1), network[3].weight]
    for weight in weights:
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=1e-3)
    assert torch.allclose(network[3].weight * torch.linalg.matrix_norm(before, 2), before, atol=1e-3)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_every_convolution_of_torch_is_spectrally_normalized(kind, dimensions):
    torch.manual_seed(0)
    layer = getattr(nn, f"{kind}{dimensions}d")(3, 4, 3)
    spectrally_normalize(nn.Sequential(layer))
    with torch.no_grad():
        for _ in range(50):
            weight = layer.weight
    outputs_first = weight.transpose(0, 1) if kind == "ConvTranspose" else weight
    assert torch.linalg.matrix_norm(outputs_first.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


def test_weights_of_another_kind_are_not_left_as_they_are():
    with pytest.raises(ValueError, match=r"normalization=spectral is for linear.*weight_ih_l0 \(GRU\)"):
        spectrally_normalize(nn.Sequential(nn.Linear(2, 2), nn.GRU(2, 2)))
    network = nn.Sequential(nn.Linear(2, 2), nn.Embedding(2, 2))
    spectrally_normalize(network)
    assert not hasattr(network[1], "parametrizations"), "tables are left as they are, as its documentation says"


def test_class_scales_linear_in_the_class():
    """Values 1, 3 of the one channel are normalized to -1, 1; scales 1 + W y and offsets U y."""
    layer = normalization_layer("batch", 1, 3, linear=True)
    vector = layer.normalization
    vector.normalization.eps = 1e-12
    vector.scale.weight.data = torch.tensor([[0.5, 0.0, 2.0]])
    vector.offset.weight.data = torch.tensor([[10.0, 20.0, 30.0]])
    features = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    assert layer(features, torch.tensor([0, 2])).flatten().tolist() == pytest.approx([10 - 1.5, 30 + 3.0])
    assert layer(features, torch.tensor([1, 0])).flatten().tolist() == pytest.approx([20 - 1.0, 10 + 1.5])
