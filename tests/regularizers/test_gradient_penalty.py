"""The gradient penalty against a linear critic: w = (3, 4) has norm 5, so a target of 1 costs 16."""

import pytest
import torch
from plain_gan import Asked, labelled_phase, plain_gan, weights_after
from tiny import LATENTS, REAL, LinearCritic
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from gan_lab.regularizers.gradient_penalty import GradientPenalty, gradient_penalty, interpolate
from gan_lab.sampling import Draws

WEIGHTS = torch.tensor([3.0, 4.0])


@pytest.mark.parametrize(("target", "expected"), [(1.0, 16.0), (0.0, 25.0), (7.0, 4.0)])
def test_linear_critic(target, expected):
    penalties = gradient_penalty(lambda points: points @ WEIGHTS, torch.randn(3, 2), target=target)
    assert penalties.tolist() == pytest.approx([expected] * 3, rel=1e-5)


def test_norms_belong_to_samples_and_span_all_their_axes():
    """D(x) = |x|^2 / 2 has the slope x: norms 3 and 5, over channels, height and width."""
    points = torch.tensor([[[[1.0, 2.0]], [[2.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 5.0]]]])
    penalties = gradient_penalty(lambda x: x.square().flatten(1).sum(1) / 2, points, target=1.0)
    assert penalties.tolist() == pytest.approx([4.0, 16.0])


def test_gradient_is_finite_where_the_slope_is_zero():
    weights = torch.zeros(2, requires_grad=True)
    penalties = gradient_penalty(lambda points: points @ weights, torch.randn(3, 2), target=1.0)
    penalties.sum().backward()
    assert penalties.tolist() == [1.0] * 3
    assert weights.grad.isfinite().all()


def test_gradients_of_first_and_second_order():
    torch.manual_seed(0)
    points = torch.randn(2, 3, dtype=torch.float64)
    first = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    second = torch.randn(4, dtype=torch.float64, requires_grad=True)

    def penalty(first, second):
        return gradient_penalty(lambda x: (x @ first).tanh() @ second, points, target=1.0)

    assert gradcheck(penalty, (first, second))
    assert gradgradcheck(penalty, (first, second))


def test_the_points_own_history_is_cut():
    source = torch.randn(3, 2, requires_grad=True)
    weights = WEIGHTS.clone().requires_grad_()
    gradient_penalty(lambda points: points.square() @ weights, source * 2, target=1.0).sum().backward()
    assert source.grad is None
    assert weights.grad is not None


def test_runs_in_float32_inside_autocast():
    seen = []

    def critic(points):
        logits = points @ WEIGHTS[:, None]
        seen.append((points.dtype, logits.dtype))
        return logits

    with torch.autocast("cpu", torch.bfloat16):
        penalties = gradient_penalty(critic, torch.randn(3, 2, dtype=torch.bfloat16), target=1.0)
    assert seen == [(torch.float32, torch.float32)]
    assert penalties.dtype == torch.float32


@pytest.mark.parametrize("shape", [(2,), (2, 1, 1, 1)])
def test_interpolates_mix_each_pair_by_its_own_number(shape):
    real, fake = torch.full((2, 3, 2, 2), 8.0), torch.full((2, 3, 2, 2), 4.0)
    points = interpolate(real=real, fake=fake, mix=torch.tensor([0.25, 1.0]).view(shape))
    assert torch.equal(points, torch.tensor([5.0, 8.0])[:, None, None, None].expand(2, 3, 2, 2))


def test_interpolation_refuses_what_would_broadcast_in_silence():
    real = torch.ones(4, 3, 2, 2)
    with pytest.raises(ValueError, match="one number for each of 4 samples"):
        interpolate(real=real, fake=real, mix=torch.rand(1))
    with pytest.raises(ValueError, match="one number for each of 4 samples"):
        interpolate(real=real, fake=real, mix=torch.rand(4, 3, 2, 2))
    with pytest.raises(ValueError, match="one shape"):
        interpolate(real=real, fake=real[:1], mix=torch.rand(4))


@pytest.mark.parametrize(("target", "expected"), [(1.0, 16.0), (0.0, 25.0), (5.0, 0.0), (7.0, 0.0)])
def test_one_sided(target, expected):
    penalties = gradient_penalty(lambda points: points @ WEIGHTS, torch.randn(3, 2), target=target, one_sided=True)
    assert penalties.tolist() == pytest.approx([expected] * 3, rel=1e-5)


# As a term of any model -----------------------------------------------------------------------------------------


def term(*, weight=0.1, every=1, target=1.0, one_sided=False):
    return GradientPenalty(weight=weight, every=every, target=target, one_sided=one_sided)


def test_it_pulls_the_slope_to_its_target():
    """Its gradient is 2 * (5 - 1) * w / 5 = (4.8, 6.4); that of the loss (-0.5, 0), of which G's step knows nothing."""
    module = plain_gan(term(), d_lr=1.0, g_lr=1.0)
    critic, scale = weights_after(module)
    assert critic == pytest.approx([3 + 0.5 - 0.48, 4 - 0.64])
    assert scale == pytest.approx([1, 1 + (4 - 0.64) / 2])
    assert module.take_records()["reg/gradient_penalty"] == pytest.approx(16.0)


@pytest.mark.parametrize(("target", "penalty"), [(1.0, 16.0), (7.0, 0.0)])
def test_one_sided_by_configuration(target, penalty):
    module = plain_gan(term(target=target, one_sided=True))
    weights_after(module)
    assert module.take_records()["reg/gradient_penalty"] == pytest.approx(penalty)


class Square(LinearCritic):
    """w.(x^2): its slope 2 w x tells where it was taken."""

    def forward(self, samples):
        return samples.square() @ self.weight


def test_it_looks_between_pairs():
    """e x + (1 - e) G(z) with the e of the draws: one for each pair."""
    module = plain_gan(term(), discriminator=Square())
    weights_after(module)
    mix = Draws(0).uniform("gradient penalty", 2, (1,))
    slopes = 2 * torch.tensor([3.0, 4.0]) * (mix * REAL + (1 - mix) * LATENTS)
    expected = (slopes.norm(dim=1) - 1).square().mean().item()
    assert module.take_records()["reg/gradient_penalty"] == pytest.approx(expected, rel=1e-5)


def test_lazily():
    """A step of its own, twice as heavy, the learning rate 2 / 3 of itself for both."""
    critic, _ = weights_after(plain_gan(term(every=2), d_lr=0.3))
    after = torch.tensor([3.0 + 0.2 * 0.5, 4.0])
    norm = after.norm()
    expected = after - 0.2 * 2 * 0.1 * 2 * (norm - 1) * after / norm
    assert critic == pytest.approx(expected.tolist(), rel=1e-5)


def test_points_are_judged_as_of_the_reals_class():
    module = Asked(Draws(0))
    term()(module, labelled_phase(3))
    assert module.labels == [[5, 6]]


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(2), nn.SyncBatchNorm(2)])
def test_batch_norm_in_d_is_refused(norm):
    critic = nn.Sequential(nn.Linear(2, 2), norm, nn.Linear(2, 1), nn.Flatten(0))
    message = r"gradient_penalty penalizes .* discriminator\.1 is batch normalization.*normalization=layer"
    with pytest.raises(ValueError, match=message):
        weights_after(plain_gan(term(), discriminator=critic))


def test_a_negative_target_is_refused():
    with pytest.raises(ValueError, match="target must be 0 or more, got -1"):
        term(target=-1.0)


def test_patches_are_averaged_as_in_losses():
    """Of logits w.x and 3 w.x, with |w| = 5, the mean has the slope 2 w."""
    weights = torch.tensor([3.0, 4.0])
    penalties = gradient_penalty(
        lambda x: torch.stack([x @ weights, x @ (3 * weights)], dim=1), torch.randn(3, 2), target=1
    )
    assert penalties.tolist() == pytest.approx([81.0] * 3)
