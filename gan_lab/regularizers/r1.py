"""Penalties on D's slope at reals and at fakes (Mescheder et al. 2018, section 4.1)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_lab.layers.precision import full_precision, without_autocast
from gan_lab.losses.reduction import per_sample
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.regularizers.checks import refuse_batch_normalization


def r1_penalty(*, real_images: Tensor, real_logits: Tensor) -> Tensor:
    """Squared gradient norm of D at real images (Mescheder et al. 2018, section 4.1).

    Args:
        real_images: (B, C, H, W) in [-1, 1], requiring grad: the very tensor that gave `real_logits`.
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator, averaged per sample as in losses.
    Returns:
        (B,) penalties, float32 at least, unweighted; the caller multiplies by gamma / 2.
    Raises:
        RuntimeError: `real_images` does not require grad.
    """
    if not real_images.requires_grad:
        raise RuntimeError("r1_penalty needs real_images.requires_grad_() before the discriminator sees them")
    (slopes,) = torch.autograd.grad(per_sample(real_logits).sum(), real_images, create_graph=True)
    return full_precision(slopes).square().flatten(1).sum(1)


def slope_penalty(module: Any, samples: Tensor, beside: Mapping[str, Tensor]) -> Tensor:
    """(B,) penalties of D's slope at these samples, through their augmentation (as in ADA's code).

    `beside` is what D is given with them. D runs without autocast, since its gradient is differentiated again.
    """
    samples = full_precision(samples.detach()).requires_grad_()
    with without_autocast(samples):
        return r1_penalty(real_images=samples, real_logits=module.judge(samples, **beside))


class R1(Regularizer):
    """Zero-centred gradient penalty on reals (Mescheder et al. 2018, equation 9); `weight` is gamma / 2."""

    name = "r1"

    def check(self, module: Any) -> None:
        refuse_batch_normalization(self.name, module)

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) penalties."""
        assert phase.real is not None
        return slope_penalty(module, phase.real, phase.beside("real"))


class R2(Regularizer):
    """Zero-centred gradient penalty on fakes (Mescheder et al. 2018, equation 10); `weight` is gamma / 2."""

    name = "r2"

    def check(self, module: Any) -> None:
        refuse_batch_normalization(self.name, module)

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) penalties."""
        assert phase.fake is not None
        return slope_penalty(module, phase.fake, phase.beside("fake"))
