"""A GAN whose steps without any penalty are known: D's gradient at the start is (-0.5, 0), G's -(0, 2)."""

from typing import Any

import torch
from tiny import LinearCritic, ScalingGenerator, fit, fix_latents, settings
from torch import Tensor

from gan_lab.models.wgan import WGAN
from gan_lab.regularizers.base import Phase, Regularizer


def plain_gan(*regularizers: Regularizer, **given: Any) -> WGAN:
    """mean D(G(z)) - mean D(x) for D, -mean D(G(z)) for G, and these regularizers; latents as in `tiny`."""
    unclipped = {"clip_value": 1e9, "warmup_critic": 1, "warmup_iterations": 0, "refresh_every": None}
    named = {f"extra{index}": regularizer for index, regularizer in enumerate(regularizers)}
    module = WGAN(**settings(**given, regularizers=named), **unclipped)
    fix_latents(module)
    return module


def weights_after(module: WGAN, *, images: int = 2, **given: Any) -> tuple[list[float], list[float]]:
    """D's w, which was (3, 4), and G's scale, which was (1, 1), after some training."""
    fit(module, images=images, **given)
    return module.discriminator.weight.tolist(), module.generator.scale.tolist()


class ImageCritic(LinearCritic):
    """w.x of pictures of two pixels side by side."""

    def forward(self, samples: Tensor) -> Tensor:
        return super().forward(samples.flatten(1))


class ImageGenerator(ScalingGenerator):
    """Its pictures have two pixels side by side."""

    def forward(self, latents: Tensor) -> Tensor:
        return super().forward(latents).view(-1, 1, 1, 2)


class Asked:
    """A conditional model's stand-in that notes which labels come with which samples; D(x, y) = y * sum of x."""

    device = torch.device("cpu")
    sees = ()

    def __init__(self, draws: Any, inputs: Any = None) -> None:
        self.draws, self.inputs, self.labels = draws, inputs, []
        self.batch_size, self.images_seen = 2, 0

    def augmented(self, images: Tensor) -> Tensor:
        return images

    def augmented_together(self, images: Tensor, **beside: Any) -> tuple[Tensor, dict[str, Any]]:
        return images, beside

    def logits(self, images: Tensor, labels: Tensor) -> Tensor:
        self.labels.append(labels.tolist())
        return images.flatten(1).sum(1) * labels

    def generator(self, latents: Tensor, labels: Tensor) -> Tensor:
        return latents * labels[:, None]


def labelled_phase(*shape: int) -> Phase:
    """Two reals of classes 5 and 6, two fakes of 7 and 8."""
    real_labels, fake_labels = torch.tensor([5, 6]), torch.tensor([7, 8])
    return Phase(
        real=torch.randn(2, *shape), fake=torch.randn(2, *shape), real_labels=real_labels, fake_labels=fake_labels
    )
