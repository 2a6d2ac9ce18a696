"""Feature matching: fakes should have D's mean features of reals (Salimans et al. 2016)."""

from typing import Any

import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.layers.precision import full_precision
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.regularizers.checks import needed, refuse_lazy


def feature_distance(*, real_features: Tensor, fake_features: Tensor) -> Tensor:
    """|E f(x) - E f(G(z))|_2^2 over the samples of all ranks (Salimans et al. 2016, section 3.1).

    Args:
        real_features, fake_features: (B, F) of a layer of D.
    Returns:
        a scalar, unweighted, in float32 at least.
    """
    real, fake = (collectives.mean(full_precision(features).mean(0)) for features in (real_features, fake_features))
    return (real - fake).square().sum()


class FeatureMatching(Regularizer):
    """The distance between D's mean features of fresh reals and of fakes, in G's step (Salimans et al. 2016, 3.1).

    f is what D's last layer sees. Departure: in the paper this is the whole of G's loss; here it joins the model's.
    With micro-batches the means are those of one.

    Args:
        weight: 0 or more, or a schedule of it.
        every: 1.
    """

    name = "feature_matching"
    group = "generator"

    def check(self, module: Any) -> None:
        refuse_lazy(self)
        if not hasattr(getattr(module, "discriminator", None), "features"):
            raise ValueError(
                f"regularizer feature_matching needs a discriminator with `features`, and that of "
                f"{type(module).__name__} here has none; leave the regularizer out, or choose another discriminator"
            )

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """The distance, one number."""
        fake = needed(self, module, phase, "fake")
        with torch.no_grad():
            # A translation has its targets at hand, which belong to its sources; a GAN draws others.
            batch = {"real": phase.real} if phase.condition is not None else module.reals(len(fake))
            real_labels = None if phase.fake_labels is None else batch["labels"]
            real_features = module.discriminator.features(module.augmented(batch["real"]), real_labels)
        fake_features = module.discriminator.features(module.augmented(fake), phase.fake_labels)
        return feature_distance(real_features=real_features, fake_features=fake_features)
