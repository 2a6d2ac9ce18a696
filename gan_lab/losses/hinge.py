"""The hinge losses (Lim & Ye 2017, section 3; Miyato et al. 2018, equations 16 and 17)."""

from torch import Tensor
from torch.nn.functional import relu

from gan_lab.layers.precision import full_precision
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


def soft_discriminator_loss(*, real_logits: Tensor, fake_logits: Tensor, margins: Tensor) -> Tensor:
    """max(0, m_r - D(x)) + max(0, m_f + D(G(z))), each logit with a margin of its own (the code of Liu et al. 2021).

    Args:
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
        fake_logits: as `real_logits`, of as many samples.
        margins: (B, 2, ...): m_r and m_f, each as the logits.
    Returns:
        (B,), in float32 at least.
    """
    real_logits, fake_logits = full_precision(real_logits), full_precision(fake_logits)
    of_reals, of_fakes = margins.to(real_logits.dtype).unbind(1)
    return sum_per_sample(relu(of_reals - real_logits), relu(of_fakes + fake_logits))


def generator_loss(*, fake_logits: Tensor) -> Tensor:
    """-D(G(z)) (Miyato et al., equation 17).

    Args:
        fake_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
    Returns:
        (B,) float32.
    """
    return per_sample(-fake_logits.float())
