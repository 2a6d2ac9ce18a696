"""DRAGAN's penalty: D's slope has a given norm around the reals (Kodali et al. 2017)."""

from typing import Any

import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.regularizers.checks import needed, refuse_batch_normalization
from gan_lab.regularizers.gradient_penalty import gradient_penalty
from gan_lab.schedules import Schedule


@torch.no_grad()
def dragan_points(*, real: Tensor, noise: Tensor, scale: float) -> Tensor:
    """Reals moved by noise: x + scale * std(x) * noise, where DRAGAN looks at D's slope.

    The paper draws x + N(0, c I). Here sqrt(c) is `scale` times the standard deviation of all values of the reals of
    all ranks (with micro-batches, of one of them), as in the authors' code. Departure from that code: its noise is
    uniform on [0, 1), which moves all values up (the authors' own notes call that an oversight), and is shortened by a
    random factor per sample.

    Args:
        real: (B, ...) samples as D sees them.
        noise: standard normal, as `real`.
        scale: in standard deviations, more than 0 (authors' code: 0.5).
    Returns:
        (B, ...) points, without a graph.
    """
    center = collectives.mean(real.mean())
    deviation = collectives.mean((real - center).square().mean()).sqrt()
    return real + scale * deviation * noise


class Dragan(Regularizer):
    """lambda * (|grad D(x + noise)| - k)^2 on reals moved by noise alone (Kodali et al. 2017).

    Args:
        weight: lambda, 0 or more, or a schedule of it (paper and authors' code: 10).
        every: see `Regularizer`.
        target: k, 0 or more (1).
        scale: see `dragan_points`.
    """

    name = "dragan"

    def __init__(self, weight: float | Schedule, every: int, target: float, scale: float) -> None:
        super().__init__(weight, every)
        if target < 0:
            raise ValueError(f"regularizer dragan: target must be 0 or more, got {target}")
        if scale <= 0:
            raise ValueError(f"regularizer dragan: scale must be more than 0, got {scale}")
        self.target, self.scale = target, scale

    def check(self, module: Any) -> None:
        refuse_batch_normalization(self.name, module)

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) penalties."""
        real, beside = module.augmented_together(needed(self, module, phase, "real"), **phase.beside("real"))
        noise = module.draws.normal_by_blocks("dragan", len(real), real.shape[1:])
        points = dragan_points(real=real, noise=noise, scale=self.scale)
        return gradient_penalty(lambda images: module.logits(images, **beside), points, target=self.target)
