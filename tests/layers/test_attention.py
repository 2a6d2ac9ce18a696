"""Self-attention against sums over places, written out."""

from itertools import product
from math import exp

import pytest
import torch
from torch.autograd import gradgradcheck

from gan_lab.layers.attention import SelfAttention2d


def attention(channels: int, gamma: float = 1.0) -> SelfAttention2d:
    torch.manual_seed(0)
    layer = SelfAttention2d(channels, initialization="xavier").double()
    layer.gamma.data.fill_(gamma)
    return layer


def written_out(layer: SelfAttention2d, features: torch.Tensor) -> torch.Tensor:
    """Place by place: keys and values are maxima over windows of 2x2, cut off at the border."""
    wq, wk, wv, wo = (part.weight[:, :, 0, 0] for part in (layer.query, layer.key, layer.value, layer.output))
    _, height, width = features.shape
    windows = [
        [features[:, i, j] for i, j in product(range(top, min(top + 2, height)), range(left, min(left + 2, width)))]
        for top, left in product(range(0, height, 2), range(0, width, 2))
    ]
    keys = [torch.stack([wk @ place for place in window]).amax(0) for window in windows]
    values = [torch.stack([wv @ place for place in window]).amax(0) for window in windows]
    result = features.clone()
    for i, j in product(range(height), range(width)):
        scores = torch.stack([(wq @ features[:, i, j]) @ key for key in keys]).exp()
        found = sum(score / scores.sum() * value for score, value in zip(scores, values, strict=True))
        result[:, i, j] += layer.gamma * (wo @ found)
    return result


@pytest.mark.parametrize("size", [(4, 6), (3, 5), (1, 4), (1, 1)])
def test_the_sum_over_places(size):
    layer, features = attention(8, gamma=0.7), torch.randn(2, 8, *size, dtype=torch.float64)
    torch.testing.assert_close(layer(features), torch.stack([written_out(layer, one) for one in features]))


def test_by_hand():
    """Two windows, 1 and 2 in one channel, all weights 1: the place of 1 looks with e^1 and e^2, that of 2 with e^4."""
    layer = attention(1, gamma=0.5)
    for part in (layer.query, layer.key, layer.value, layer.output):
        part.weight.data.fill_(1.0)
    features = torch.tensor([1.0, 1.0, 2.0, 2.0], dtype=torch.float64).view(1, 1, 1, 4)
    of_one = (exp(1) * 1 + exp(2) * 2) / (exp(1) + exp(2))
    of_two = (exp(2) * 1 + exp(4) * 2) / (exp(2) + exp(4))
    expected = [1 + 0.5 * of_one] * 2 + [2 + 0.5 * of_two] * 2
    assert layer(features).flatten().tolist() == pytest.approx(expected)


def test_it_begins_as_the_identity_and_learns_how_much_to_add():
    layer, features = SelfAttention2d(16, initialization="xavier"), torch.randn(2, 16, 4, 4)
    assert torch.equal(layer(features), features)
    (layer(features) * torch.randn_like(features)).sum().backward()
    assert layer.gamma.grad != 0


def test_channels_are_the_papers():
    shapes = {
        name: tuple(value.shape) for name, value in SelfAttention2d(64, initialization="xavier").named_parameters()
    }
    assert shapes == {
        "gamma": (),
        "query.weight": (8, 64, 1, 1),
        "key.weight": (8, 64, 1, 1),
        "value.weight": (32, 64, 1, 1),
        "output.weight": (64, 32, 1, 1),
    }
    assert SelfAttention2d(4, initialization="xavier").query.weight.shape[0] == 1, "narrow ones keep a channel"


def test_gradient_reaches_every_parameter_and_has_a_gradient():
    layer, features = attention(8), torch.randn(1, 8, 2, 4, dtype=torch.float64, requires_grad=True)
    layer(features).square().sum().backward()
    assert all(parameter.grad.abs().max() > 1e-6 for parameter in layer.parameters())
    assert gradgradcheck(layer, (features,))
