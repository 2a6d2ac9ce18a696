"""Feature matching, by hand: features 2 x_1 and 3 x_2 of reals, in the mean (1, 1.5)."""

import pytest
import torch
from plain_gan import plain_gan, weights_after
from tiny import REAL, LinearCritic, fix_latents

from gan_lab import collectives
from gan_lab.regularizers.base import Phase
from gan_lab.regularizers.feature_matching import FeatureMatching, feature_distance


class FeatureCritic(LinearCritic):
    """w.f(x) with f(x) = (2 x_1, 3 x_2)."""

    def __init__(self):
        super().__init__()
        self.stretch = torch.nn.Parameter(torch.tensor([2.0, 3.0]))
        self.labels = []

    def features(self, samples, labels=None):
        self.labels.append(labels)
        return samples * self.stretch

    def forward(self, samples):
        return self.features(samples) @ self.weight


def gan(weight=0.5, every=1, **given):
    module = plain_gan(FeatureMatching(weight=weight, every=every), discriminator=FeatureCritic(), **given)
    module.reals = lambda count: {"real": REAL.repeat(count // 2, 1), "labels": torch.tensor([5, 6])}
    return module


def test_distance_is_between_means():
    reals, fakes = torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([[5.0, 1.0], [5.0, -3.0], [5.0, -1.0]])
    assert feature_distance(real_features=reals, fake_features=fakes).item() == pytest.approx(9 + 1)


def test_means_are_of_all_ranks(monkeypatch):
    """Another rank's means are one more than ours, of reals and of fakes."""
    monkeypatch.setattr(collectives, "mean", lambda values: values + torch.tensor([0.5, 0.0]) * values.sign())
    distance = feature_distance(real_features=torch.tensor([[1.0, 0.0]]), fake_features=torch.tensor([[-1.0, 0.0]]))
    assert distance.item() == pytest.approx(9.0)


def test_its_step():
    """Fakes (2, 1) and (0, 3): their mean features are (2, 6), their difference to reals (1, 4.5).

    The gradient is 2 * (1 * 2, 4.5 * 6) = (4, 54) by the chain through the scale, whose own mean features are (2, 6);
    D's loss asks for -mean D(G(z)), of gradient -(3 * 2, 4 * 6).
    """
    module = gan(g_lr=0.01, d_lr=0.0)
    fix_latents(module, torch.tensor([[2.0, 1.0], [0.0, 3.0]]))
    critic, scale = weights_after(module)
    assert module.take_records()["reg/feature_matching"] == pytest.approx(1 + 4.5**2)
    assert critic == [3, 4]
    assert scale == pytest.approx([1 + 0.01 * (6 - 0.5 * 4), 1 + 0.01 * (24 - 0.5 * 54)], rel=1e-5)
    assert module.discriminator.stretch.tolist() == [2, 3]


def test_labels_go_with_their_samples():
    module = gan()
    fake = torch.randn(2, 2, requires_grad=True)
    module.regularizers["extra0"](module, Phase(fake=fake, fake_labels=torch.tensor([7, 8])))
    assert [labels.tolist() for labels in module.discriminator.labels] == [[5, 6], [7, 8]]
    module.discriminator.labels.clear()
    module.regularizers["extra0"](module, Phase(fake=fake))
    assert module.discriminator.labels == [None, None], "labels of the data are nothing to an unconditional D"


def test_refusals():
    with pytest.raises(ValueError, match=r"feature_matching works on what the generator step.*every to 1, got 2"):
        weights_after(gan(every=2))
    with pytest.raises(ValueError, match=r"needs a discriminator with `features`, and that of WGAN here has none"):
        weights_after(plain_gan(FeatureMatching(weight=1.0, every=1)))
    with pytest.raises(ValueError, match="needs the fake of the generator step"):
        FeatureMatching(weight=1.0, every=1)(gan(), Phase())
