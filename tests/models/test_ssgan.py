"""Self-supervised GAN: turned pictures by hand, losses and steps against a loop over samples."""

from functools import partial

import pytest
import torch
from tiny import fit, fix_latents, settings
from torch import nn

from gan_lab import collectives
from gan_lab.augment.ada import ADA
from gan_lab.losses.rotation import quarter_turns, rotation_loss, turned
from gan_lab.models.ssgan import SSGAN

CORNERS = [[1.0, 2.0], [3.0, 4.0]]
TURNED = [CORNERS, [[2.0, 4.0], [1.0, 3.0]], [[4.0, 3.0], [2.0, 1.0]], [[3.0, 1.0], [4.0, 2.0]]]  # counter-clockwise
HEAD = torch.tensor([[0.1, -0.2, 0.3, 0.4], [0.0, 0.5, -0.1, 0.2], [0.3, 0.0, 0.2, -0.4], [-0.2, 0.1, 0.4, 0.0]])
UNIT = torch.tensor([0.3, -0.1, 0.2, 0.05])
REAL = torch.tensor([[[CORNERS[0], CORNERS[1]]], [[[0.5, -1.0], [2.0, 0.0]]]])
LATENTS = torch.tensor([[1.0, -1.0, 0.5, 2.0], [0.0, 2.0, 1.0, -0.5]])


class Painter(nn.Module):
    """G(z) = a * z as a picture of 2x2."""

    sample_shape = (1, 2, 2)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, 0.5, -1.0, 2.0]))

    def forward(self, latents):
        return (self.scale * latents).view(-1, 1, 2, 2)


class Critic(nn.Module):
    """Features are tanh of the weighted pixels, D their weighted sum."""

    feature_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -0.5, 0.7, 0.2]))
        self.register_buffer("unit", UNIT)

    def features(self, samples):
        return (self.weight * samples.flatten(1)).tanh()

    def forward(self, samples):
        return self.features(samples) @ self.unit


def head(features: int) -> nn.Linear:
    assert features == 4
    layer = nn.Linear(4, 4, bias=False)
    layer.weight.data.copy_(HEAD)
    return layer


def built(**changes) -> SSGAN:
    given = {"rotation_head": head, "rotation_weight_d": 1.0, "rotation_weight_g": 0.2} | changes
    module = SSGAN(**settings(generator=Painter(), discriminator=Critic(), latent_dim=4) | given)
    fix_latents(module, LATENTS)
    return module


@pytest.mark.parametrize("angle", range(4))
def test_turned(angle):
    image = torch.tensor([[CORNERS]])
    assert turned(image, torch.tensor([angle])).tolist() == [[TURNED[angle]]]


def test_each_image_is_turned_by_its_own_angle_with_its_gradient():
    images = torch.arange(5 * 2 * 9.0).view(5, 2, 3, 3).requires_grad_()
    turns = torch.tensor([2, 0, 3, 1, 1])
    made = turned(images, turns)
    for image, way, result in zip(images, turns, made, strict=True):
        for _ in range(int(way)):
            image = torch.stack([channel.T.flip(0) for channel in image])
        assert torch.equal(image, result)
    weights = torch.randn(made.shape)
    (slope,) = torch.autograd.grad((weights * made).sum(), images)
    assert torch.equal(turned(slope, turns), weights)


@pytest.mark.parametrize("shape", [(2, 1, 4, 6), (2, 8)])
def test_only_squares_can_be_turned(shape):
    with pytest.raises(ValueError, match="only square images"):
        turned(torch.zeros(shape), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_angles_of_all_ranks(world, monkeypatch):
    monkeypatch.setattr(collectives, "world", lambda: world)
    angles = []
    for rank in range(world):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        angles += quarter_turns(12 // world, torch.device("cpu")).tolist()
    assert angles == [0, 1, 2, 3] * 3


def test_rotation_loss():
    logits = torch.tensor([[0.0, 3.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]).log1p()  # shares 1:4:1:1 and 2:2:2:2
    expected = torch.tensor([4 / 7, 1 / 4]).log().neg()
    torch.testing.assert_close(rotation_loss(logits, torch.tensor([1, 3])), expected)


def expected_losses(weight, rotation_head, scale):
    """The four losses, a sample at a time: hinge upright, then the second sample lies by a quarter."""

    def score(pixels):
        return ((weight * pixels).tanh() * UNIT).sum()

    def rotation(pictures):
        total = 0.0
        for turn, pixels in enumerate(pictures):
            if turn == 1:
                a, b, c, d = pixels
                pixels = torch.stack([b, d, a, c])
            logits = rotation_head @ (weight * pixels).tanh()
            total = total - (logits[turn] - logits.exp().sum().log())
        return total / len(pictures)

    reals, fakes = REAL.flatten(1), scale * LATENTS
    upright = sum((1 - score(r)).relu() + (1 + score(f)).relu() for r, f in zip(reals, fakes, strict=True)) / 2
    fooled = -sum(score(f) for f in fakes) / 2
    return upright, rotation(reals), fooled, rotation(fakes)


def test_losses():
    module = built()
    fit(module, images=2, real=REAL)
    records = module.take_records()
    weights = module.discriminator.weight.detach(), HEAD, module.generator.scale.detach()
    names = ["loss/d", "loss/rotation_d", "loss/g", "loss/rotation_g"]
    for name, value in zip(names, expected_losses(*weights), strict=True):
        assert records[name] == pytest.approx(value.item(), rel=1e-5), name
    upright = HEAD @ (weights[0] * torch.tensor([1.0, 2.0, 3.0, 4.0])).tanh()
    lying = HEAD @ (weights[0] * torch.tensor([-1.0, 0.0, 0.5, 2.0])).tanh()
    right = (upright.argmax() == 0).float() + (lying.argmax() == 1).float()
    assert records["accuracy/rotation"] == right.item() / 2


@pytest.mark.parametrize(("beta", "alpha"), [(1.0, 0.2), (0.5, 3.0), (0.0, 0.0)])
def test_steps(beta, alpha):
    """D and its head go down upright + beta * rotation of reals, G then fooled + alpha * rotation of fakes."""
    module = built(rotation_weight_d=beta, rotation_weight_g=alpha, optimizers=rates(0.1))
    weights = [Critic().weight, HEAD.clone().requires_grad_(), Painter().scale]
    fit(module, images=2, real=REAL)
    upright, on_reals, _, _ = expected_losses(*weights)
    slopes = torch.autograd.grad(upright + beta * on_reals, weights[:2], allow_unused=True)
    for index, slope in enumerate(slopes):
        weights[index] = (weights[index] - 0.1 * (0 if slope is None else slope)).detach()
    torch.testing.assert_close(module.discriminator.weight.data, weights[0])
    torch.testing.assert_close(module.rotation_head.weight.data, weights[1])
    _, _, fooled, on_fakes = expected_losses(*weights)
    (slope,) = torch.autograd.grad(fooled + alpha * on_fakes, weights[2])
    torch.testing.assert_close(module.generator.scale.data, (weights[2] - 0.1 * slope).detach())


def rates(rate: float) -> dict:
    return {group: partial(torch.optim.SGD, lr=rate) for group in ("discriminator", "generator")}


@pytest.mark.parametrize("group", ["blit", "geometry", "color"])
def test_an_augmentation_that_turns_pictures_is_refused(group):
    ada = ADA({group: 1.0, "noise": 1.0}, p=0.0, target=0.6, interval=4, kimg=500, batch_size=2)
    if group == "color":
        assert built(augment={"ada": ada}).augment["ada"] is ada
        return
    with pytest.raises(ValueError, match=r"model\.augment\.ada turns them; set its groups blit and geometry to 0"):
        built(augment={"ada": ada})


def test_refusals():
    with pytest.raises(ValueError, match="rotation_weight_d must be 0 or more, got -1"):
        built(rotation_weight_d=-1)
    with pytest.raises(ValueError, match=r"rotation_weight_g must be 0 or more, got -0\.5"):
        built(rotation_weight_g=-0.5)
    for shape in ((1, 2, 4), (2,)):
        wide = Painter()
        wide.sample_shape = shape
        with pytest.raises(ValueError, match=r"are not square; set data\.image_size"):
            built(generator=wide)
    with pytest.raises(ValueError, match="ssgan needs a discriminator with features, and Linear has none"):
        built(discriminator=nn.Linear(4, 1))
