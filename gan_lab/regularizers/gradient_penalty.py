"""A penalty that holds the norm of D's gradient at a target (Gulrajani et al. 2017, section 4)."""

from collections.abc import Callable

import torch
from torch import Tensor


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


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], points: Tensor, *, target: float) -> Tensor:
    """(|grad D(x)|_2 - target)^2 at `points`, two-sided (equation 3).

    D runs without autocast, since its gradient is differentiated again. It must treat samples apart from one another
    (no batch normalization: section 4), or the gradients at the points are not its samples' own.

    Args:
        discriminator: (B, ...) -> (B,) logits, or (B, ...) of a patch discriminator, summed per sample.
        points: (B, ...) where the slope is taken; their own history gets no gradient. Half precision becomes float32.
        target: the norm asked for (paper: 1).
    Returns:
        (B,) penalties, unweighted, that reach D's parameters; their gradient is finite where the norm is zero.
    """
    points = points.detach().to(torch.promote_types(points.dtype, torch.float32)).requires_grad_()
    with torch.autocast(points.device.type, enabled=False):
        (slopes,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
        return (torch.linalg.vector_norm(slopes.flatten(1), dim=1) - target).square()
