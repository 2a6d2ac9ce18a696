"""Unrolled GAN: by hand for one step, against torch's own Adam and finite differences for three, and what stays."""

import copy
from functools import partial

import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from logistic import sigmoid, softplus
from shrunk import shrunk
from tiny import LATENTS, REAL, Iterations, LinearCritic, Same, ScalingGenerator, fix_latents, settings, trainer_of
from torch import nn

from gan_lab.config import register
from gan_lab.models.unrolled_gan import UnrolledGAN, adam

FRESH = torch.tensor([[2.0, 0.0], [0.0, -1.0]])


class Fresh(Same):
    """The same batch for ever, and other reals for whoever asks for them."""

    def __init__(self, real=REAL, fresh=FRESH) -> None:
        super().__init__(real)
        self.fresh, self.taken = fresh, 0

    def take(self, count):
        assert count == len(self.fresh)
        self.taken += 1
        return {"real": self.fresh}


def built(
    steps: int,
    lr: float = 0.5,
    *,
    d_adam: dict | None = None,
    generator_loss: str = "non_saturating",
    real_target: float = 1.0,
    **changes,
) -> UnrolledGAN:
    given = settings(**changes)
    given["optimizers"]["discriminator"] = partial(torch.optim.Adam, **d_adam or {"lr": 0.0})
    own = {"generator_loss": generator_loss, "unrolled_steps": steps, "unrolled_lr": lr, "real_target": real_target}
    module = UnrolledGAN(**own, **given)
    fix_latents(module)
    return module


def trained(module: UnrolledGAN, data: Same | None = None, iterations: int = 1) -> UnrolledGAN:
    trainer_of([Iterations(iterations)]).fit(module, datamodule=data or Fresh())
    return module


# The numbers ----------------------------------------------------------------------------------------------------------


def test_one_step_by_hand():
    """Without memory and with eps = 1, Adam moves w by lr * g / (|g| + 1); G then meets that D.

    w = (3, 4); logits of the fresh reals 6 and -4, of the fakes 7 and -3.
    """
    module = trained(built(1, d_adam={"lr": 0.0, "betas": (0.0, 0.0), "eps": 1.0}))
    slope = [
        (-sigmoid(-6) * 2 + sigmoid(7) * 1 + sigmoid(-3) * -1) / 2,
        (-sigmoid(4) * -1 + sigmoid(7) * 1 + sigmoid(-3) * 0) / 2,
    ]
    w = [weight - 0.5 * g / (abs(g) + 1) for weight, g in zip((3.0, 4.0), slope, strict=True)]
    expected = (softplus(-(w[0] + w[1])) + softplus(w[0])) / 2
    records = module.take_records()
    assert records["loss/g"] == pytest.approx(expected, rel=1e-5)
    assert records["loss/d"] == pytest.approx((softplus(-3) + softplus(7) + softplus(-4) + softplus(-3)) / 2)
    assert module.discriminator.weight.tolist() == [3, 4], "the steps are simulated"


class SmoothCritic(nn.Module):
    """tanh, so that finite differences see a smooth loss; one unit is dead: its weights have no slope at all."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.hidden, self.output = nn.Linear(2, 4), nn.Linear(4, 1)
        self.output.weight.data[0, 0] = 0.0
        self.register_buffer("alive", torch.tensor([0.0, 1.0, 1.0, 1.0]))

    def forward(self, samples):
        return self.output(self.alive * self.hidden(samples).tanh()).squeeze(1)


@pytest.mark.parametrize("generator_loss", ["non_saturating", "saturating"])
@pytest.mark.parametrize(
    ("steps", "real_target", "betas"), [(1, 1.0, (0.5, 0.9)), (3, 1.0, (0.5, 0.9)), (3, 0.8, (0.0, 0.99))]
)
def test_gradient_against_finite_differences_through_the_optimizer_of_torch(steps, real_target, betas, generator_loss):
    """The moments are those of D's own steps before; G's gradient is its loss's change when D really takes them."""
    data = Fresh(REAL.double(), FRESH.double())
    adam_of_d = {"lr": 0.03, "betas": betas, "eps": 1e-4}
    own = {"generator_loss": generator_loss, "real_target": real_target, "d_adam": adam_of_d}
    module = built(steps, lr=0.1, **own, discriminator=SmoothCritic(), ema_half_life_kimg=None).double()
    fix_latents(module, LATENTS.double())
    met, unrolled = [], module.unrolled

    def noted(real, fake):
        optimizer = module._optimizers["discriminator"].optimizer
        met.append(copy.deepcopy((module.discriminator, optimizer.state_dict())))
        return unrolled(real, fake)

    module.unrolled = noted
    gradients = []
    module.generator.scale.register_hook(lambda gradient: gradients.append(gradient.clone()))
    trained(module, data, iterations=3)  # of G's optimizer the rate is 0
    assert data.taken == 3

    def loss_of(scale, met):
        discriminator, state = copy.deepcopy(met)
        for parameter in discriminator.parameters():
            parameter.requires_grad_(True)
        optimizer = torch.optim.Adam(discriminator.parameters(), **adam_of_d)
        optimizer.load_state_dict(state)
        optimizer.param_groups[0]["lr"] = 0.1
        fake = scale * LATENTS.double()
        for _ in range(steps):
            optimizer.zero_grad()
            logits = {"real_logits": discriminator(FRESH.double()), "fake_logits": discriminator(fake)}
            loss_of_d(**logits).backward()
            optimizer.step()
        with torch.no_grad():
            if generator_loss == "saturating":  # its mean over the reals moves with D, hence with G
                return -loss_of_d(real_logits=discriminator(FRESH.double()), fake_logits=discriminator(fake))
            return nn.functional.softplus(-discriminator(fake)).mean()

    def loss_of_d(*, real_logits, fake_logits):
        cross_entropy = nn.functional.binary_cross_entropy_with_logits
        real = cross_entropy(real_logits, torch.full_like(real_logits, real_target))
        return real + cross_entropy(fake_logits, torch.zeros_like(fake_logits))

    for moment, gradient in zip(met, gradients, strict=True):
        for axis in range(2):
            step = torch.zeros(2, dtype=torch.float64)
            step[axis] = 1e-5
            slope = (loss_of(1 + step, moment) - loss_of(1 - step, moment)) / 2e-5
            assert gradient[axis].item() == pytest.approx(slope.item(), rel=1e-4), "losses are taken in float32"


def test_adam_is_that_of_torch_and_has_a_slope_where_nothing_moves():
    torch.manual_seed(0)
    gradients = torch.randn(4, 3, dtype=torch.float64)
    gradients[:, 2] = 0.0
    parameter = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = torch.optim.Adam([parameter], lr=0.3, betas=(0.6, 0.8), eps=0.01)
    ours, mean, square = torch.zeros(3).double(), torch.zeros(3).double(), torch.zeros(3).double()
    for number, gradient in enumerate(gradients, start=1):
        parameter.grad = gradient.clone()
        optimizer.step()
        steps = torch.full((3,), float(number), dtype=torch.float64)
        mean, square, move = adam(gradient, mean, square, steps, betas=(0.6, 0.8), eps=0.01)
        ours = ours - 0.3 * move
        torch.testing.assert_close(ours, parameter.detach(), rtol=1e-12, atol=0)
    still = torch.zeros(2, requires_grad=True)
    _, _, move = adam(still, torch.zeros(2), torch.zeros(2), torch.ones(2), betas=(0.5, 0.9), eps=1e-8)
    (slope,) = torch.autograd.grad(move.sum(), still)
    assert torch.isfinite(slope).all()


# What stays -----------------------------------------------------------------------------------------------------------


class NormalizedCritic(nn.Module):
    """With both kinds of layers whose buffers follow what passes through."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Linear(2, 4)), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)
        )

    def forward(self, samples):
        return self.layers(samples).squeeze(1)


def test_the_steps_leave_d_its_buffers_and_its_optimizer_alone():
    module = built(3, d_adam={"lr": 0.01}, g_lr=0.1, discriminator=NormalizedCritic())
    unrolled, kept = module.unrolled, []

    def everything():
        state = module._optimizers["discriminator"].optimizer.state_dict()["state"]
        moments = [value.clone() for one in state.values() for value in one.values()]
        return [*(value.clone() for value in module.discriminator.state_dict().values()), *moments]

    def noted(real, fake):
        before = everything()
        judge = unrolled(real, fake)

        def judged(samples):
            logits = judge(samples)
            kept.append(all(map(torch.equal, before, everything())))
            return logits

        return judged

    module.unrolled = noted
    trained(module, iterations=2)
    assert kept == [True, True]
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in module.parameters())
    assert (module.generator.scale != 1).all(), "the gradient passes through both"


def test_an_idle_discriminator_optimizer_is_still_told_from_the_simulated_one():
    """The simulated rate is its own: 0 for D's real steps does not stop it."""
    module = trained(built(2, lr=0.5, d_adam={"lr": 0.0}, g_lr=1.0))
    plain = trained(built(0, d_adam={"lr": 0.0}, g_lr=1.0))
    assert module.discriminator.weight.tolist() == plain.discriminator.weight.tolist() == [3, 4]
    assert (module.generator.scale - plain.generator.scale).abs().min() > 1e-3


@pytest.mark.parametrize("generator_loss", ["non_saturating", "saturating"])
def test_without_steps_it_is_the_plain_gan_bit_for_bit(generator_loss):
    register()
    states = []
    for model in (["model=gan"], ["model=unrolled_gan", "model.unrolled_steps=0"]):
        chosen = [*model, "network=dcgan_small", f"model.generator_loss={generator_loss}"]
        small = shrunk(chosen)
        with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
            config = compose("train", [*chosen, *small])
        torch.manual_seed(0)
        module, data = (instantiate(node, _convert_="all") for node in (config.model, config.data))
        trainer_of([Iterations(3)]).fit(module, datamodule=data)
        states.append(module.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_no_reals_are_asked_for_without_steps():
    data = Fresh()
    trained(built(0), data)
    assert data.taken == 0


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (partial(torch.optim.SGD, lr=0.1), "D's optimizer is SGD; set model.optimizers"),
        (partial(torch.optim.AdamW, lr=0.1), "D's optimizer is AdamW with weight_decay or amsgrad"),
        (partial(torch.optim.Adam, lr=0.1, amsgrad=True), "D's optimizer is Adam with weight_decay or amsgrad"),
    ],
)
def test_other_optimizers_of_d_are_refused(optimizer, message):
    given = settings()
    given["optimizers"]["discriminator"] = optimizer
    own = {"generator_loss": "non_saturating", "unrolled_lr": 0.1, "real_target": 1.0}
    module = UnrolledGAN(unrolled_steps=1, **own, **given)
    with pytest.raises(ValueError, match=message):
        trained(module)
    given = settings(generator=ScalingGenerator(), discriminator=LinearCritic())
    given["optimizers"]["discriminator"] = optimizer
    plain = UnrolledGAN(unrolled_steps=0, **own, **given)
    fix_latents(plain)
    trained(plain)


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="unrolled_steps must be 0 or more, got -1"):
        built(-1)
    with pytest.raises(ValueError, match="unrolled_lr must be more than 0, got 0"):
        built(1, lr=0)
    with pytest.raises(ValueError, match="generator_loss must be one of non_saturating, saturating, got 'hinge'"):
        built(1, generator_loss="hinge")
    with pytest.raises(ValueError, match=r"real_target must be in \(0, 1\], got 2"):
        built(1, real_target=2)


def test_steps_without_a_rate_of_their_own_have_that_of_d_at_the_time():
    """A schedule's, too: here it is 0 from the start, so that G meets D as it is."""
    schedules = {"discriminator": lambda images_seen: 0.0}
    still = trained(built(3, lr=None, d_adam={"lr": 0.5}, g_lr=1.0, schedules=schedules))
    plain = trained(built(0, d_adam={"lr": 0.5}, g_lr=1.0, schedules=schedules))
    assert torch.equal(still.generator.scale, plain.generator.scale)
    moving = trained(built(3, lr=None, d_adam={"lr": 0.5}, g_lr=1.0))
    assert (moving.generator.scale - plain.generator.scale).abs().min() > 1e-3
