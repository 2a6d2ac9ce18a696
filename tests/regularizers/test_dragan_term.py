"""DRAGAN's penalty: where it looks, and its step on a linear critic with w = (3, 4), whose slope is 5 everywhere."""

import pytest
import torch
from plain_gan import Asked, labelled_phase, plain_gan, weights_after
from tiny import REAL, LinearCritic
from torch import nn

from gan_lab import collectives
from gan_lab.regularizers.dragan import Dragan, dragan_points
from gan_lab.sampling import Draws


def term(*, weight=0.1, every=1, target=1.0, scale=0.5):
    return Dragan(weight=weight, every=every, target=target, scale=scale)


def test_points():
    """0, 2, 4 and 6 have the mean 3 and the variance (9 + 1 + 1 + 9) / 4 = 5."""
    real = torch.tensor([[0.0, 2.0], [4.0, 6.0]])
    noise = torch.tensor([[1.0, 0.0], [-2.0, 3.0]])
    points = dragan_points(real=real, noise=noise, scale=0.5)
    spread = 0.5 * 5**0.5
    torch.testing.assert_close(points, torch.tensor([[spread, 2.0], [4 - 2 * spread, 6 + 3 * spread]]))


def test_points_have_no_history():
    real = torch.randn(3, 2, requires_grad=True)
    assert not dragan_points(real=real, noise=torch.randn(3, 2), scale=0.5).requires_grad


def test_the_deviation_is_that_of_all_ranks(monkeypatch):
    """This rank has 0 and 2, another 4 and 6: the answers of `mean` are those of both."""
    answers = iter([torch.tensor(3.0), torch.tensor(5.0)])
    asked = []
    monkeypatch.setattr(collectives, "mean", lambda values: asked.append(values.item()) or next(answers))
    points = dragan_points(real=torch.tensor([[0.0], [2.0]]), noise=torch.ones(2, 1), scale=1.0)
    assert points.flatten().tolist() == pytest.approx([5**0.5, 2 + 5**0.5])
    assert asked == pytest.approx([1.0, 5.0]), "the mean of 0 and 2, then that of 9 and 1"


def test_it_pulls_the_slope_to_its_target():
    module = plain_gan(term(), d_lr=1.0, g_lr=1.0)
    critic, scale = weights_after(module)
    assert critic == pytest.approx([3 + 0.5 - 0.48, 4 - 0.64])
    assert scale == pytest.approx([1, 1 + (4 - 0.64) / 2])
    assert module.take_records()["reg/dragan"] == pytest.approx(16.0)


class Square(LinearCritic):
    """w.(x^2): its slope 2 w x tells where it was taken."""

    def forward(self, samples):
        return samples.square() @ self.weight


def test_it_looks_around_reals():
    """Ones and zeros in equal number have the deviation 1 / 2."""
    module = plain_gan(term(scale=2.0, target=3.0), discriminator=Square())
    weights_after(module)
    noise = Draws(0).normal_by_blocks("dragan", 2, (2,))
    slopes = 2 * torch.tensor([3.0, 4.0]) * (REAL + 2 * 0.5 * noise)
    expected = (slopes.norm(dim=1) - 3).square().mean().item()
    assert module.take_records()["reg/dragan"] == pytest.approx(expected, rel=1e-5)


def test_points_are_judged_as_of_the_reals_class():
    module = Asked(Draws(0))
    term()(module, labelled_phase(3))
    assert module.labels == [[5, 6]]


def test_refusals():
    critic = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match=r"dragan penalizes .* discriminator\.1 is batch normalization"):
        weights_after(plain_gan(term(), discriminator=critic))
    with pytest.raises(ValueError, match="target must be 0 or more, got -1"):
        term(target=-1.0)
    with pytest.raises(ValueError, match="scale must be more than 0, got 0"):
        term(scale=0.0)
