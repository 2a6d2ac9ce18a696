"""Penalties on D's slope at reals and at fakes (Mescheder et al. 2018, section 4.1)."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.regularizers.base import Phase, Regularizer


def r1_penalty(*, real_images: Tensor, real_logits: Tensor) -> Tensor:
    """Squared gradient norm of D at real images (Mescheder et al. 2018, section 4.1).

    Args:
        real_images: (B, C, H, W) float32 in [-1, 1], requiring grad: the very tensor that gave `real_logits`.
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator, summed per sample.
    Returns:
        (B,) penalties, unweighted; the caller multiplies by gamma / 2.
    Raises:
        RuntimeError: `real_images` does not require grad.
    """
    if not real_images.requires_grad:
        raise RuntimeError("r1_penalty needs real_images.requires_grad_() before the discriminator sees them")
    (slopes,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return slopes.square().flatten(1).sum(1)


class R1(Regularizer):
    """Zero-centred gradient penalty on reals (Mescheder et al. 2018, equation 9); `weight` is gamma / 2."""

    name = "r1"

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) penalties."""
        assert phase.real is not None
        real = module.seen(phase.real).detach().requires_grad_()
        return r1_penalty(real_images=real, real_logits=module.logits(real, phase.real_labels))


class R2(Regularizer):
    """Zero-centred gradient penalty on fakes (Mescheder et al. 2018, equation 10); `weight` is gamma / 2."""

    name = "r2"

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) penalties."""
        assert phase.fake is not None
        fake = module.seen(phase.fake).detach().requires_grad_()
        return r1_penalty(real_images=fake, real_logits=module.logits(fake, phase.fake_labels))
