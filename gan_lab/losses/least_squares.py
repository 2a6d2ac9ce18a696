"""The losses of LSGAN (Mao et al. 2017, equation 9).

The targets are a = 0 for fakes, b = 1 for reals and c = 1 for the generator; the factor 1/2 is the paper's.
"""

from torch import Tensor

from gan_lab.losses.reduction import per_sample, sum_per_sample


def discriminator_loss(*, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """(D(x) - 1)^2 / 2 + D(G(z))^2 / 2.

    Args:
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
        fake_logits: as `real_logits`, of as many samples.
    Returns:
        (B,) float32.
    """
    return sum_per_sample(0.5 * (real_logits.float() - 1).square(), 0.5 * fake_logits.float().square())


def generator_loss(*, fake_logits: Tensor) -> Tensor:
    """(D(G(z)) - 1)^2 / 2.

    Args:
        fake_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
    Returns:
        (B,) float32.
    """
    return per_sample(0.5 * (fake_logits.float() - 1).square())
