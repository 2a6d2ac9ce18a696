"""Projected GAN: a discriminator that judges the frozen features of a network trained on other pictures."""

from typing import Any

import torch

from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.models.perceptual import loaded_on_every_rank


class ProjectedGAN(HingeGAN):
    """Projected GAN (Sauer et al. 2021, equation 4, with the hinge loss of its section 4).

    With D_l the judge of the l-th mixed map of the frozen features F, and N logits of all judges together:

    D, every batch: mean over l, places and batch of h(1 - D_l(F_l(x))) + h(1 + D_l(F_l(G(z)))), where h = relu.
    G, every n_critic-th batch: -mean of D_l(F_l(G(z))).

    No penalty of gradients. DiffAugment is a choice of `augment` and comes before F. Departure: the paper sums over l,
    its code takes the mean of all logits, as here; of four judges with as many logits each it is a quarter.

    Args:
        **settings: see `GANModule` and `Plumbing`.
    Raises:
        ValueError: a discriminator that judges no features.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if not hasattr(self.discriminator, "load_features"):
            raise ValueError(
                "projected_gan needs a discriminator on the features of an extractor, and "
                f"{type(self.discriminator).__name__} is none; choose network=projected_gan"
            )

    def on_fit_start(self) -> None:
        super().on_fit_start()
        weight = next(self.generator.parameters())
        like = torch.zeros((1, *self.generator.sample_shape), device=self.device, dtype=weight.dtype)  # type: ignore[misc]
        loaded_on_every_rank(
            lambda: self.discriminator.load_features(like).levels(like),  # type: ignore[operator]
            self.trainer.local_rank,
            "model.discriminator.features cannot be computed",
            "Another extractor: extractor@model.discriminator.features=vgg, say",
        )
