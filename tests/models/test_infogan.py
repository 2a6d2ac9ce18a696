"""InfoGAN: the inputs of its generator, and losses and steps against a loop over samples."""

from functools import partial
from math import log, pi

import pytest
import torch
from tiny import fit, fix_latents, settings
from torch import nn

from gan_lab import collectives
from gan_lab.models.infogan import InfoGAN
from gan_lab.sampling import CodedInputs, Draws, LatentInputs

REAL = torch.tensor([[1.0, 0.5], [0.2, -1.0]])
LATENTS = torch.tensor([[0.3, 0.0, 1.0, 0.0, 0.6], [-0.8, 0.0, 0.0, 1.0, -0.2]])  # noise, one of three, continuous
CODES, CONTINUOUS = [1, 2], [0.6, -0.2]
MAKING = torch.tensor([[0.5, -0.3, 0.2, 0.8, -0.4], [0.1, 0.6, -0.7, 0.3, 0.9]])
READING = torch.tensor([[0.4, -0.1], [0.2, 0.3], [-0.5, 0.6], [0.7, 0.2]])  # three logits and a mean

# The inputs of the generator ------------------------------------------------------------------------------------------


def inputs(latent_dim=12, categorical=(3, 4), continuous=2, distribution="normal") -> CodedInputs:
    return CodedInputs(latent_dim, distribution, categorical, continuous)


def test_a_latent_is_noise_and_codes():
    latents = inputs().latents(Draws(0), 3000)
    assert latents.shape == (3000, 12)
    assert latents.dtype == torch.float32
    noise, first, second, continuous = latents.split([3, 3, 4, 2], dim=1)
    assert torch.equal(noise, LatentInputs(3, "normal").latents(Draws(0), 3000))
    for hot, categories in ((first, 3), (second, 4)):
        assert set(hot.unique().tolist()) == {0.0, 1.0}
        assert (hot.sum(1) == 1).all()
        assert hot.mean(0).tolist() == pytest.approx([1 / categories] * categories, abs=0.04)
    assert not torch.equal(first.argmax(1), second.argmax(1) % 3), "each code is drawn by itself"
    assert continuous.min() >= -1
    assert continuous.max() < 1
    assert continuous.mean(0).tolist() == pytest.approx([0, 0], abs=0.05)
    assert continuous.std(0).tolist() == pytest.approx([1 / 3**0.5] * 2, abs=0.03)
    assert inputs(distribution="uniform").latents(Draws(0), 500)[:, :3].abs().max() <= 1


def test_codes_are_read_back():
    categorical, continuous = inputs().codes(inputs().latents(Draws(0), 50))
    draws = Draws(0)
    assert torch.equal(categorical[0], draws.integers("categorical codes", 50, 3))
    assert torch.equal(categorical[1], draws.integers("categorical codes", 50, 4))
    assert torch.equal(continuous, 2 * Draws(0).uniform("continuous codes", 50, (2,)) - 1)


def test_classes_are_categories_of_the_first_code():
    wanted = torch.tensor([2, 0, 1, 1])
    asked = inputs().draw(Draws(0), 4, wanted)["latents"]
    free = inputs().draw(Draws(0), 4)["latents"]
    assert inputs().num_classes == 3
    assert torch.equal(inputs().codes(asked)[0][0], wanted)
    assert torch.equal(asked[:, [0, 1, 2, *range(6, 12)]], free[:, [0, 1, 2, *range(6, 12)]]), "all else is as drawn"
    alone = inputs(categorical=())
    assert alone.num_classes == 0
    assert alone.draw(Draws(0), 4)["latents"].shape == (4, 12)
    with pytest.raises(ValueError, match="no categorical code"):
        alone.draw(Draws(0), 4, wanted)


def test_ranks_together_draw_what_one_process_draws(monkeypatch):
    whole, parts = inputs().latents(Draws(0), 12), []
    monkeypatch.setattr(collectives, "world", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        parts.append(inputs().latents(Draws(0), 4))
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categorical": [1]}, r"at least one in all; got \[1\] and 2"),
        ({"categorical": [], "continuous": 0}, r"got \[\] and 0"),
        ({"continuous": -1}, "and -1"),
        ({"latent_dim": 9}, "latent_dim=9 has no column for noise beside 9 of the codes; set it to 10 or more"),
    ],
)
def test_codes_that_make_no_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        inputs(**changes)


# The model ------------------------------------------------------------------------------------------------------------


class Maker(nn.Module):
    """G(z) = tanh(M z)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(MAKING.clone())

    def forward(self, latents):
        return (latents @ self.weight.T).tanh()


class Critic(nn.Module):
    """Features are w * x, D is their sum."""

    feature_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, 4.0]))

    def features(self, samples):
        return self.weight * samples

    def judge(self, features):
        return features.sum(1)

    def forward(self, samples):
        return self.judge(self.features(samples))


def head(features: int, *, outputs: int) -> nn.Linear:
    assert (features, outputs) == (2, 4)
    layer = nn.Linear(2, 4, bias=False)
    layer.weight.data.copy_(READING)
    return layer


def built(rate=0.0, **changes) -> InfoGAN:
    given = {
        "latent_dim": 5,
        "code_head": head,
        "categorical_codes": [3],
        "continuous_codes": 1,
        "categorical_weight": 1.0,
        "continuous_weight": 1.0,
        "real_target": 1.0,
        "optimizers": {group: partial(torch.optim.SGD, lr=rate) for group in ("discriminator", "generator")},
    }
    module = InfoGAN(**settings(generator=Maker(), discriminator=Critic()) | given | changes)
    fix_latents(module, LATENTS)
    return module


def expected(critic, reading, making):
    """Of D, of G, and of Q for either kind of code: a sample at a time."""
    d = g = categorical = continuous = 0.0
    for real, latent, code, number in zip(REAL, LATENTS, CODES, CONTINUOUS, strict=True):
        fake = (making @ latent).tanh()
        d = d - (critic @ real).sigmoid().log() - (1 - (critic @ fake).sigmoid()).log()
        g = g - (critic @ fake).sigmoid().log()
        guess = reading @ (critic * fake)
        categorical = categorical - (guess[code].exp() / guess[:3].exp().sum()).log()
        continuous = continuous - ((-((number - guess[3]) ** 2) / 2).exp() / (2 * pi) ** 0.5).log()
    return d / 2, g / 2, categorical / 2, continuous / 2


def test_losses():
    module = built()
    fit(module, images=2, real=REAL)
    records = module.take_records()
    critic = torch.tensor([3.0, 4.0])
    d, g, categorical, continuous = expected(critic, READING, MAKING)
    assert records["loss/d"] == pytest.approx(d.item(), rel=1e-5)
    assert records["loss/g"] == pytest.approx(g.item(), rel=1e-5)
    assert records["information/categorical"] == pytest.approx(log(3) - categorical.item(), rel=1e-4)
    assert records["information/continuous"] == pytest.approx(log(2) - continuous.item(), rel=1e-4)
    read = [(READING[:3] @ (critic * (MAKING @ z).tanh())).argmax().item() for z in LATENTS]
    assert records["accuracy/code"] == sum(map(int.__eq__, read, CODES)) / 2


@pytest.mark.parametrize(("of_categorical", "of_continuous"), [(1.0, 1.0), (0.5, 0.1), (0.0, 2.0), (0.0, 0.0)])
def test_steps(of_categorical, of_continuous):
    """D and Q go down D's loss and what Q misses, in one step; then G its own loss and what that Q misses."""
    module = built(0.1, categorical_weight=of_categorical, continuous_weight=of_continuous)
    fit(module, images=2, real=REAL)
    weights = [w.clone().requires_grad_() for w in (torch.tensor([3.0, 4.0]), READING, MAKING)]
    d, _, categorical, continuous = expected(*weights)
    slopes = torch.autograd.grad(d + of_categorical * categorical + of_continuous * continuous, weights[:2])
    for index, slope in enumerate(slopes):
        weights[index] = (weights[index] - 0.1 * slope).detach()
    torch.testing.assert_close(module.discriminator.weight.data, weights[0])
    torch.testing.assert_close(module.code_head.weight.data, weights[1])
    _, g, categorical, continuous = expected(*weights)
    (slope,) = torch.autograd.grad(g + of_categorical * categorical + of_continuous * continuous, weights[2])
    torch.testing.assert_close(module.generator.weight.data, (weights[2] - 0.1 * slope).detach())


def test_one_kind_of_codes_alone():
    """The head reads three logits and no mean, or no logits and a mean."""

    def one(features, *, outputs):
        return nn.Linear(features, outputs)

    only = built(code_head=one, categorical_codes=[2, 2], continuous_codes=0)
    fit(only, images=2, real=REAL)
    records = only.take_records()
    assert records["information/continuous"] == 0
    assert records["information/categorical"] < 2 * log(2), "of both codes"
    only = built(code_head=one, categorical_codes=[], continuous_codes=4)
    fit(only, images=2, real=REAL)
    records = only.take_records()
    assert records["information/categorical"] == 0
    assert "accuracy/code" not in records


def test_its_inputs_are_known_from_the_settings_alone():
    given = {"latent_dim": 9, "latent_distribution": "uniform", "categorical_codes": [4], "continuous_codes": 2}
    made = InfoGAN.inputs_from(given)
    assert isinstance(made, CodedInputs)
    assert (made.latent_dim, made.noise.latent_dim, made.num_classes, made.continuous) == (9, 3, 4, 2)
    assert made.noise.distribution == "uniform"


def test_refusals():
    with pytest.raises(ValueError, match="categorical_weight must be 0 or more, got -1"):
        built(categorical_weight=-1)
    with pytest.raises(ValueError, match=r"continuous_weight must be 0 or more, got -0\.1"):
        built(continuous_weight=-0.1)
    with pytest.raises(ValueError, match="infogan needs a discriminator with features, and Linear has none"):
        built(discriminator=nn.Linear(2, 1))
