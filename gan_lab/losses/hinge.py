"""The hinge losses (Lim & Ye 2017, section 3; Miyato et al. 2018, equations 16 and 17)."""

from torch import Tensor
from torch.nn.functional import relu

from gan_lab.losses.reduction import per_sample, sum_per_sample


def discriminator_loss(*, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (Miyato et al., equation 16, with the sign of a loss).

    Args:
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
        fake_logits: as `real_logits`, of as many samples.
    Returns:
        (B,) float32.
    """
    return sum_per_sample(relu(1 - real_logits.float()), relu(1 + fake_logits.float()))


def generator_loss(*, fake_logits: Tensor) -> Tensor:
    """-D(G(z)) (Miyato et al., equation 17).

    Args:
        fake_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
    Returns:
        (B,) float32.
    """
    return per_sample(-fake_logits.float())
