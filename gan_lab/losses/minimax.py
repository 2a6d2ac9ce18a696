"""The losses of the first GAN (Goodfellow et al. 2014).

On logits l with D = sigmoid(l): log D = -softplus(-l) and log(1 - D) = -softplus(l), finite for every finite l.
"""

from torch import Tensor
from torch.nn.functional import softplus

from gan_lab.losses.reduction import per_sample, sum_per_sample


def discriminator_loss(*, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) (section 3, equation 1, which D maximizes).

    Args:
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
        fake_logits: as `real_logits`, of as many samples.
    Returns:
        (B,) float32.
    """
    return sum_per_sample(softplus(-real_logits.float()), softplus(fake_logits.float()))


def generator_loss_saturating(*, fake_logits: Tensor) -> Tensor:
    """log(1 - D(G(z))) (section 3, equation 1, which G minimizes); flat where D is sure that samples are fake.

    Args:
        fake_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
    Returns:
        (B,) float32.
    """
    return per_sample(-softplus(fake_logits.float()))


def generator_loss_non_saturating(*, fake_logits: Tensor) -> Tensor:
    """-log D(G(z)) (section 3, last paragraph): the same fixed point, and a slope where D is sure.

    Args:
        fake_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
    Returns:
        (B,) float32.
    """
    return per_sample(softplus(-fake_logits.float()))
