"""Relativistic losses: D judges how much more real a real sample is than a fake (Jolicoeur-Martineau 2019).

Paired (section 4.1; RpGAN of Sun et al. 2020): each real is compared with one fake. Average (section 4.3): each sample
is compared with the mean logit of the other side. On logits, -log sigmoid(l) = softplus(-l), finite for every finite l.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gan_lab import collectives
from gan_lab.losses.reduction import per_sample, sum_per_sample


def paired_discriminator_loss(*, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(x) - D(G(z))).

    Args:
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
        fake_logits: as `real_logits`; the fake at an index is the partner of the real there.
    Returns:
        (B,) float32, or float64 of float64.
    Raises:
        ValueError: `real_logits` and `fake_logits` differ in shape.
    """
    real, fake = _same_shape(real_logits, fake_logits)
    return per_sample(softplus(fake - real))


def paired_generator_loss(*, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - D(x)).

    Args, Returns, Raises: see `paired_discriminator_loss`.
    """
    real, fake = _same_shape(real_logits, fake_logits)
    return per_sample(softplus(real - fake))


def average_discriminator_loss(*, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(x) - mean D(G(z))) - log(1 - sigmoid(D(G(z)) - mean D(x))), means over the batch of all ranks.

    The means have a gradient. With a patch discriminator they are over all patches, too.

    Args, Returns, Raises: see `paired_discriminator_loss`; an index pairs nothing here but the terms of the sum.
    """
    real, fake = _same_shape(real_logits, fake_logits)
    real_mean, fake_mean = _means(real, fake)
    return sum_per_sample(softplus(fake_mean - real), softplus(fake - real_mean))


def average_generator_loss(*, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - mean D(x)) - log(1 - sigmoid(D(x) - mean D(G(z)))), means over the batch of all ranks.

    Args, Returns, Raises: see `average_discriminator_loss`.
    """
    real, fake = _same_shape(real_logits, fake_logits)
    real_mean, fake_mean = _means(real, fake)
    return sum_per_sample(softplus(real - fake_mean), softplus(real_mean - fake))


def _means(real: Tensor, fake: Tensor) -> Tensor:
    """(2,) means over all ranks."""
    return collectives.mean(torch.stack([real.mean(), fake.mean()]))


def _same_shape(real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32, or in float64 where they are: the means of all ranks lose nothing to rounding there."""
    if real_logits.shape != fake_logits.shape:
        raise ValueError(
            "a relativistic loss compares real and fake samples; got logits of shape "
            f"{tuple(real_logits.shape)} and {tuple(fake_logits.shape)}"
        )
    precise = torch.promote_types(real_logits.dtype, torch.float32)
    return real_logits.to(precise), fake_logits.to(precise)
