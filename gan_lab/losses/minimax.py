"""The losses of the first GAN (Goodfellow et al. 2014).

On logits l with D = sigmoid(l): log D = -softplus(-l) and log(1 - D) = -softplus(l), finite for every finite l.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import softplus

from gan_lab.losses.reduction import per_sample, sum_per_sample


def discriminator_loss(*, real_logits: Tensor, fake_logits: Tensor, real_target: float = 1.0) -> Tensor:
    """-t log D(x) - (1 - t) log(1 - D(x)) - log(1 - D(G(z))), with t = `real_target`.

    With t = 1 it is section 3, equation 1, which D maximizes; less is one-sided label smoothing (Salimans et al. 2016,
    section 3.4).

    Args:
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator, whose losses are averaged per sample.
        fake_logits: as `real_logits`, of as many samples.
        real_target: what D(x) should be, in (0, 1].
    Returns:
        (B,) float32.
    """
    real = softplus(-real_logits.float())
    if real_target < 1:
        real = real + (1 - real_target) * real_logits.float()
    return sum_per_sample(real, softplus(fake_logits.float()))


def checked_target(real_target: float) -> float:
    """`real_target`, if it is one.

    Raises:
        ValueError: it is not in (0, 1].
    """
    if not 0 < real_target <= 1:
        raise ValueError(f"real_target must be in (0, 1], got {real_target}")
    return real_target


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


GENERATOR_LOSSES = {"non_saturating": generator_loss_non_saturating, "saturating": generator_loss_saturating}


def checked_generator_loss(name: str) -> Callable[..., Tensor]:
    """G's loss of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in GENERATOR_LOSSES:
        raise ValueError(f"generator_loss must be one of {', '.join(GENERATOR_LOSSES)}, got {name!r}")
    return GENERATOR_LOSSES[name]
