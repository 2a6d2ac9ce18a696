"""FastGAN: what D judges and rebuilds by hand, margins, targets, steps of few numbers, refusals."""

import pytest
import torch
from tiny import fit, settings
from torch import nn

from gan_lab.losses import hinge
from gan_lab.models.fastgan import FastGAN
from gan_lab.networks.fastgan import quarter_of, reduced

REAL = torch.tensor([[1.0, -1.0, 3.0, 0.5], [0.0, 2.0, -1.0, 1.0]]).view(2, 1, 2, 2)
LATENTS = torch.tensor([[1.0, -1.0], [0.5, 2.0]])
MARGINS = torch.tensor([[[0.8, 1.0], [0.9, 0.85]], [[1.0, 0.95], [0.8, 0.9]]])  # of a sample: reals, fakes


class Painter(nn.Module):
    """G(z) = a z_0 in all four pixels, and the small picture of one pixel b z_1."""

    sample_shape = (1, 2, 2)
    small_size = 1

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5, -2.0]))

    def forward(self, latents, both=False):
        images, small = (self.scale * latents).view(-1, 2, 1, 1, 1).unbind(1)
        images = images.expand(-1, 1, 2, 2)
        return (images, small) if both else images


class Critic(nn.Module):
    """Logits: c times the sum of the pixels, and d times the small one; it rebuilds e of the picture's first pixel."""

    small_size = 1

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.25, 0.5]))
        self.rebuilds = nn.Parameter(torch.tensor([1.0, 2.0, -1.0]))

    def forward(self, samples, small=None, *, quarter=None):
        small = reduced(samples, 1) if small is None else small
        logits = self.weight * torch.cat([samples.sum((1, 2, 3)).unsqueeze(1), small.flatten(1)], 1)
        if quarter is None:
            return logits
        return logits, tuple(factor * samples[:, :, :1, :1] for factor in self.rebuilds)

    def targets(self, samples, quarter):
        whole = reduced(samples, 1)
        return whole, quarter_of(samples, quarter), whole


def fastgan(*, d_lr=0.0, g_lr=0.0, quarter=3, **changes):
    networks = {"generator": Painter(), "discriminator": Critic()}
    given = {"least_margin": 0.8, "reconstruction_weight": 0.5, "perceptual": None}
    module = FastGAN(**(settings(d_lr=d_lr, g_lr=g_lr, **networks) | given | changes))
    module.latents = lambda count: LATENTS[:count]
    module.margins = lambda logits: MARGINS[: len(logits)]
    module.draws.decisions = lambda *given: [quarter]
    return module


def losses(weight, rebuilds, scale):
    """Those of D, its decoders and G, sample by sample."""
    of_d, misfit, of_g = [], [], []
    for real, (first, second), (of_real, of_fake) in zip(REAL.flatten(1), scale * LATENTS, MARGINS, strict=True):
        real_logits = weight * torch.stack([real.sum(), real.mean()])
        fake_logits = weight * torch.stack([4 * first, second])
        of_d.append(((of_real - real_logits).relu() + (of_fake + fake_logits).relu()).mean())
        targets = torch.stack([real.mean(), real[3], real.mean()])
        misfit.append((rebuilds * real[0] - targets).square().sum())
        of_g.append(-fake_logits.mean())
    return [torch.stack(terms).mean() for terms in (of_d, misfit, of_g)]


def test_losses_and_steps():
    """D goes down its hinge and half of the misfit, G then its own loss, of the D that there is by then."""
    module = fastgan(d_lr=0.1, g_lr=0.1)
    weights = [module.discriminator.weight, module.discriminator.rebuilds, module.generator.scale]
    weights = [weight.detach().clone().requires_grad_() for weight in weights]
    fit(module, images=2, real=REAL)
    of_d, misfit, _ = losses(*weights)
    slopes = torch.autograd.grad(of_d + 0.5 * misfit, weights[:2])
    moved = [(weight - 0.1 * slope).detach() for weight, slope in zip(weights, slopes, strict=False)]
    _, _, of_g = losses(*moved, weights[2])
    (slope,) = torch.autograd.grad(of_g, weights[2])
    torch.testing.assert_close(module.discriminator.weight.data, moved[0])
    torch.testing.assert_close(module.discriminator.rebuilds.data, moved[1])
    torch.testing.assert_close(module.generator.scale.data, (weights[2] - 0.1 * slope).detach())
    records = module.take_records()
    found = [records[name] for name in ("loss/d", "loss/reconstruction", "loss/g")]
    assert found == pytest.approx([of_d.item(), misfit.item(), of_g.item()])


class Doubles(nn.Module):
    """An extractor whose map is twice the picture."""

    def differentiable(self, images):
        return 2 * images


def test_an_extractor_in_the_place_of_pixels():
    """The sum of mean |2 I' - 2 I|."""
    module = fastgan(perceptual=Doubles)
    fit(module, images=2, real=REAL)
    apart = torch.tensor([[1 - 0.875, 2 - 0.5, -1 - 0.875], [-0.5, -1.0, -0.5]]).abs().sum(1)
    assert module.take_records()["loss/reconstruction"] == pytest.approx(2 * apart.mean().item())


def test_margins():
    """Each logit has its own, uniform from the least on, anew in each draw."""
    networks = settings(generator=Painter(), discriminator=Critic())
    module = FastGAN(**networks, least_margin=0.8, reconstruction_weight=1.0, perceptual=None)
    first, second = (module.margins(torch.zeros(200, 50)) for _ in range(2))
    assert first.shape == (200, 2, 50)
    assert 0.8 <= first.min() < 0.801
    assert 0.999 < first.max() <= 1
    assert first.mean().item() == pytest.approx(0.9, abs=2e-3)
    assert len(first.unique()) > 0.9 * first.numel()
    assert not torch.equal(first, second)


def test_soft_hinge():
    real, fake = torch.tensor([[0.5, 0.9], [2.0, -1.0]]), torch.tensor([[-0.5, 1.0], [-3.0, -0.95]])
    loss = hinge.soft_discriminator_loss(real_logits=real, fake_logits=fake, margins=MARGINS)
    expected = [(0.3 + 0.1) / 2 + (0.4 + 1.85) / 2, (0 + 1.95) / 2 + (0 + 0) / 2]
    assert loss.tolist() == pytest.approx(expected)


def test_without_a_weight_decoders_stay():
    module = fastgan(d_lr=0.1, reconstruction_weight=0.0)
    fit(module, images=2, real=REAL)
    assert module.discriminator.rebuilds.tolist() == [1.0, 2.0, -1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"least_margin": 1.1}, r"model\.least_margin must be from 0 to 1, got 1\.1"),
        ({"reconstruction_weight": -1}, r"model\.reconstruction_weight must be 0 or more, got -1"),
        ({"discriminator": nn.Linear(4, 1)}, "judges both and rebuilds them; choose network=fastgan"),
        ({"perceptual": 3}, r"model\.perceptual must be a node with _target_ and _partial_: true"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        fastgan(**changes)
