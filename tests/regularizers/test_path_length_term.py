"""Path lengths of generators whose Jacobians are known."""

import copy
from types import SimpleNamespace

import pytest
import torch
from tiny import fit, settings
from torch import nn
from torch.autograd import gradcheck

from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.regularizers.base import Phase
from gan_lab.regularizers.path_length import PathLength, path_lengths
from gan_lab.sampling import Draws


def penalty_of(**changes):
    return PathLength(**{"weight": 2.0, "every": 4, "decay": 0.75, "batch_shrink": 2} | changes)


def test_by_hand():
    """G(z) = (3 z_1, 4 z_2, 0, 0) as 2x2 pixels: J^T y = (3 y_1, 4 y_2), with y the noise over sqrt(2 * 2) = 2."""
    points = torch.randn(2, 2, requires_grad=True)
    images = torch.cat([points * torch.tensor([3.0, 4.0]), torch.zeros(2, 2)], dim=1).view(2, 1, 2, 2)
    noise = torch.tensor([[2.0, 2.0, 9.0, 9.0], [0.0, 1.0, 9.0, 9.0]]).view(2, 1, 2, 2)
    lengths = path_lengths(images=images, points=points, noise=noise)
    assert lengths.tolist() == pytest.approx([5.0, 2.0])


def test_the_squares_of_layers_are_averaged():
    """Two layers, each of slope (3, 4): sqrt((25 + 25) / 2), not the length of their sum."""
    points = torch.randn(1, 2, 2, requires_grad=True)
    images = (points * torch.tensor([3.0, 4.0])).sum((1, 2)).view(1, 1, 1, 1)
    assert path_lengths(images=images, points=points, noise=torch.ones(1, 1, 1, 1)).item() == pytest.approx(5.0)


def test_against_the_whole_jacobian_and_its_derivative():
    weights = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    fixed, noise = torch.randn(1, 3, dtype=torch.float64), torch.randn(1, 1, 2, 2, dtype=torch.float64)

    def length(weights):
        points = fixed.clone().requires_grad_()
        return path_lengths(images=(points @ weights.T).tanh().view(1, 1, 2, 2), points=points, noise=noise)

    jacobian = torch.func.jacrev(lambda point: (weights.detach() @ point).tanh())(fixed[0])
    assert length(weights).item() == pytest.approx((jacobian.T @ noise.flatten() / 2).norm().item())
    assert gradcheck(length, weights)


def test_lengths_of_nothing_have_a_finite_gradient():
    scale = torch.zeros((), requires_grad=True)
    points = torch.randn(2, 4, requires_grad=True)
    lengths = path_lengths(images=(scale * points).view(2, 1, 2, 2), points=points, noise=torch.randn(2, 1, 2, 2))
    lengths.sum().backward()
    assert lengths.tolist() == [0.0, 0.0]
    assert scale.grad.isfinite()


class Scaling(nn.Module):
    """G(z) = a z, as 2x2 pixels; it keeps what it was given."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.given = nn.Parameter(torch.tensor(scale)), []

    def forward(self, latents, *labels):
        self.given.append((latents.detach().clone(), *labels))
        return (self.scale * latents).view(-1, 1, 2, 2)


class AllOnes(Draws):
    """Noise of ones: y = 1 / 2 in each of 4 pixels, so that |J^T y| = a."""

    def normal_by_blocks(self, purpose, count, shape, block=16):
        assert purpose == "path length"
        return torch.ones(count, *shape)


def module_of(scale=3.0):
    inputs = SimpleNamespace(latent_dim=4)
    return SimpleNamespace(
        generator=Scaling(scale), inputs=inputs, draws=AllOnes(0), generator_micro_batches=lambda: [4]
    )


def test_the_running_mean_by_hand():
    """a = 0 -> 3/4 * 0 + 1/4 * 3 = 0.75, then 0.75 * 0.75 + 0.25 * 3; it is no function of G."""
    penalty, module, phase = penalty_of(), module_of(), Phase(latents=torch.randn(4, 4))
    values = penalty(module, phase)
    assert values.tolist() == pytest.approx(2 * [(3 - 0.75) ** 2])
    values.mean().backward()
    assert module.generator.scale.grad.item() == pytest.approx(2 * (3 - 0.75)), "the mean is held fixed"
    values = penalty(module, phase)
    assert penalty.mean_length.item() == pytest.approx(1.3125)
    assert values.tolist() == pytest.approx(2 * [(3 - 1.3125) ** 2])
    other = penalty_of()
    other.load_state_dict(copy.deepcopy(penalty.state_dict()))
    assert other(module, phase).tolist() == penalty(module, phase).tolist(), "a checkpoint holds it"


def test_other_generators_go_by_latents_and_labels_of_every_second_sample():
    module, latents, labels = module_of(), torch.randn(4, 4), torch.tensor([0, 1, 2, 3])
    penalty_of()(module, Phase(latents=latents, fake_labels=labels))
    ((seen, classes),) = module.generator.given
    assert torch.equal(seen, latents[::2])
    assert classes.tolist() == [0, 2]


def test_a_model_says_where_its_paths_run():
    module = module_of()
    points = torch.randn(2, 5, 4, requires_grad=True)  # 5 layers of slope 1 / 2 each in 4 directions
    module.paths = lambda latents: (points.sum(1).view(2, 1, 2, 2), points)
    penalty = penalty_of(decay=0.0, batch_shrink=1)
    assert penalty(module, Phase(latents=torch.randn(2, 4))).tolist() == pytest.approx([0, 0], abs=1e-9)
    assert penalty.mean_length.item() == pytest.approx(1.0)


def test_autocast_is_left_aside():
    module = module_of()
    matrix = torch.randn(4, 4)
    module.generator = lambda latents: (latents @ matrix).view(-1, 1, 2, 2)
    penalty, latents = penalty_of(decay=0.0, batch_shrink=1), torch.randn(2, 4)
    penalty(module, Phase(latents=latents))
    expected = penalty.mean_length.clone()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        penalty(module, Phase(latents=latents))
    assert torch.equal(penalty.mean_length, expected)


class Row(nn.Module):
    """G(z) = (z_1, z_2) / 2 in each of two rows of pixels: |J^T y| = |(y_1 + y_3, y_2 + y_4)| / 2."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, latents):
        return self.scale * latents.view(-1, 1, 1, 2).expand(-1, 1, 2, 2)


def test_in_a_model_of_another_paper(monkeypatch):
    """With y = 1 / 2 everywhere the lengths are |(1, 1)| / 2 = 0.5 ** 0.5; a is a quarter of that; G alone moves."""
    monkeypatch.setattr(Draws, "normal_by_blocks", AllOnes.normal_by_blocks)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 1), nn.Flatten(0))
    before = critic[1].weight.detach().clone()
    module = HingeGAN(
        **settings(generator=Row(), discriminator=critic, g_lr=0.1, regularizers={"path_length": penalty_of(every=1)})
    )
    fit(module, images=2, real=torch.zeros(2, 1, 2, 2))
    assert module.take_records()["reg/path_length"] == pytest.approx(0.5 * 0.75**2)
    assert module.regularizers["path_length"].mean_length.item() == pytest.approx(0.5**0.5 / 4)
    assert torch.equal(module.discriminator[1].weight, before)
    assert module.generator.scale.item() != 0.5


def test_refusals():
    inputs = SimpleNamespace(latent_dim=4)
    with pytest.raises(ValueError, match="batch_shrink=2 does not divide the 3 samples"):
        penalty_of().check(SimpleNamespace(generator=None, inputs=inputs, generator_micro_batches=lambda: [4, 3]))
    with pytest.raises(ValueError, match="path_length needs a generator of latents"):
        penalty_of().check(SimpleNamespace(generator=None, inputs=SimpleNamespace()))
    penalty_of().check(module_of())
    with pytest.raises(ValueError, match=r"got 1\.0"):
        penalty_of(decay=1.0)
    with pytest.raises(ValueError, match="got 0"):
        penalty_of(batch_shrink=0)
    with pytest.raises(ValueError, match="got -1"):
        penalty_of(weight=-1)
