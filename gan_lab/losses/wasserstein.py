"""The losses of WGAN (Arjovsky et al. 2017, section 3, algorithm 1); the critic's Lipschitz bound is another's work."""

from torch import Tensor

from gan_lab.losses.reduction import per_sample, sum_per_sample


def discriminator_loss(*, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """D(G(z)) - D(x) (algorithm 1, line 5, with the sign of a loss).

    Args:
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
        fake_logits: as `real_logits`, of as many samples.
    Returns:
        (B,) float32; the negated mean estimates the Wasserstein distance, up to the Lipschitz constant.
    """
    return sum_per_sample(-real_logits.float(), fake_logits.float())


def generator_loss(*, fake_logits: Tensor) -> Tensor:
    """-D(G(z)) (algorithm 1, line 10).

    Args:
        fake_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
    Returns:
        (B,) float32.
    """
    return per_sample(-fake_logits.float())
