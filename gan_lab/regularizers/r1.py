"""A penalty on D's slope at real images (Mescheder et al. 2018, section 4.1)."""

import torch
from torch import Tensor


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
