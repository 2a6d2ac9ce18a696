"""Projected GAN: its hinge by hand, features that are missing, refusals; FastGAN with the same network's maps."""

from functools import partial

import pytest
import torch
from lite0_weights import write_lite0
from tiny import LATENTS, REAL, LinearCritic, fit, settings

from gan_lab.extractors.efficientnet_lite0 import EfficientNetLite0
from gan_lab.models.perceptual import FeatureDistance
from gan_lab.models.projected_gan import ProjectedGAN


class Judges(LinearCritic):
    """Two logits of a sample, D and D / 2."""

    def __init__(self, problem: Exception | None = None) -> None:
        super().__init__()
        self.problem = problem

    def load_features(self, like):
        if self.problem is not None:
            raise self.problem
        return self

    def levels(self, images):
        return (images,)

    def forward(self, samples):
        logits = super().forward(samples)
        return torch.stack([logits, logits / 2], dim=1)


def projected(discriminator, **changes):
    module = ProjectedGAN(**settings(discriminator=discriminator, **changes))
    module.generator.sample_shape = (2,)
    module.latents = lambda count: LATENTS[:count]
    return module


def test_losses():
    """D(x) = 3 and 4, D(G(z)) = 7 and -3, and halves: D's hinge is the mean of all, and so is G's loss."""
    module = projected(Judges())
    fit(module, images=2, real=REAL)
    real = torch.tensor([3, 1.5, 4, 2]).sub(1).neg().relu().mean()
    fake = torch.tensor([7, 3.5, -3, -1.5]).add(1).relu().mean()
    records = module.take_records()
    assert records["loss/d"] == pytest.approx((real + fake).item())
    assert records["loss/g"] == pytest.approx(-(7 + 3.5 - 3 - 1.5) / 4)


def test_missing_features_stop_it_before_the_first_step():
    module = projected(Judges(FileNotFoundError("no such weights")))
    message = r"model\.discriminator\.features cannot be computed: no such weights\. Another extractor: extractor@model"
    with pytest.raises(ValueError, match=message):
        fit(module, images=2, real=REAL)
    assert module.images_seen == 0


def test_another_discriminator_is_refused():
    with pytest.raises(ValueError, match="LinearCritic is none; choose network=projected_gan"):
        projected(LinearCritic())


def test_lite0_s_maps_as_a_perceptual_term(tmp_path):
    """What model.perceptual of fastgan and srgan computes: the mean difference of maps, with a gradient to fakes."""
    maker = partial(EfficientNetLite0, write_lite0(tmp_path / "lite0.pth"))
    distance = FeatureDistance(maker)
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.rand(2, 2, 3, 32, 32, generator=generator) * 2 - 1
    fake.requires_grad_()
    distance.prepare(real, 0)
    found = distance(real=real, fake=fake)
    maps = [maker().differentiable(images).detach() for images in (real, fake)]
    torch.testing.assert_close(found, (maps[0] - maps[1]).abs().mean((1, 2, 3)))
    found.sum().backward()
    assert isinstance(fake.grad, torch.Tensor)
    assert fake.grad.abs().sum() > 0
