"""A penalty that holds the norm of D's gradient at a target (Gulrajani et al. 2017, section 4)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gan_lab.layers.precision import full_precision, without_autocast
from gan_lab.losses.reduction import per_sample
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.regularizers.checks import needed, refuse_batch_normalization
from gan_lab.schedules import Schedule


def interpolate(*, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Points on the lines between pairs: mix * real + (1 - mix) * fake (algorithm 1, line 6).

    Args:
        real: (B, ...) samples.
        fake: as `real`.
        mix: (B,) or (B, 1, ..., 1) in [0, 1]: one number per sample.
    Raises:
        ValueError: `real` and `fake` differ in shape, or `mix` is not one number per sample.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real and fake must have one shape; got {tuple(real.shape)} and {tuple(fake.shape)}")
    if mix.numel() != len(real) or len(mix) != len(real):
        raise ValueError(f"mix must hold one number for each of {len(real)} samples; its shape is {tuple(mix.shape)}")
    mix = mix.view(-1, *[1] * (real.ndim - 1))
    return mix * real + (1 - mix) * fake


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor], points: Tensor, *, target: float, one_sided: bool = False
) -> Tensor:
    """(|grad D(x)|_2 - target)^2 at `points` (equation 3).

    D runs without autocast, since its gradient is differentiated again. It must treat samples apart from one another
    (no batch normalization: section 4), or the gradients at the points are not its samples' own.

    Args:
        discriminator: (B, ...) -> (B,) logits, or (B, ...) of a patch discriminator, averaged per sample as in losses.
        points: (B, ...) where the slope is taken; their own history gets no gradient. Half precision becomes float32.
        target: the norm asked for (paper: 1).
        one_sided: only norms above the target are penalized (section 4; the paper prefers both sides).
    Returns:
        (B,) penalties, unweighted, that reach D's parameters; their gradient is finite where the norm is zero.
    """
    points = full_precision(points.detach()).requires_grad_()
    with without_autocast(points):
        (slopes,) = torch.autograd.grad(per_sample(discriminator(points)).sum(), points, create_graph=True)
        excess = torch.linalg.vector_norm(slopes.flatten(1), dim=1) - target
        return (excess.relu() if one_sided else excess).square()


class GradientPenalty(Regularizer):
    """lambda * (|grad D| - target)^2 between reals and fakes (Gulrajani et al. 2017, section 4).

    A conditional D judges the points as of the real's class (the paper is on unconditional ones). Where it sees sources
    beside images, real and fake are augmented by one draw, so that the source between them is theirs.

    Args:
        weight: lambda, 0 or more, or a schedule of it (paper: 10).
        every: see `Regularizer`.
        target: the norm asked for, 0 or more (paper: 1).
        one_sided: see `gradient_penalty`.
    """

    name = "gradient_penalty"

    def __init__(self, weight: float | Schedule, every: int, target: float, one_sided: bool) -> None:
        super().__init__(weight, every)
        if target < 0:
            raise ValueError(f"regularizer gradient_penalty: target must be 0 or more, got {target}")
        self.target, self.one_sided = target, one_sided

    def check(self, module: Any) -> None:
        refuse_batch_normalization(self.name, module)

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) penalties."""
        moment = module.draws.state_dict()
        real, beside = module.augmented_together(needed(self, module, phase, "real"), **phase.beside("real"))
        if module.sees:
            module.draws.load_state_dict(moment)
        fake, _ = module.augmented_together(needed(self, module, phase, "fake"), **phase.beside("fake"))
        mix = module.draws.uniform("gradient penalty", len(real), (1,))
        return gradient_penalty(
            lambda images: module.logits(images, **beside),
            interpolate(real=real, fake=fake, mix=mix),
            target=self.target,
            one_sided=self.one_sided,
        )
