"""The losses of two players by name, for models whose paper leaves the choice: what D's step and G's step minimize."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from gan_lab.losses import hinge, least_squares, minimax, relativistic, wasserstein


class Adversarial(NamedTuple):
    """A game of two players.

    Attributes:
        discriminator: of `real_logits` and `fake_logits`, (B,) or (B, ...) each -> (B,) losses.
        generator: of `fake_logits`, and of `real_logits` where it `compares` them -> (B,) losses.
        compares: whether G's loss depends on D's logits of reals; `real_logits` may be None where not.
        boundary: the logit at which D takes neither side; None for a critic, whose zero means nothing.
        pairs: whether a loss compares each real with the fake of its number.
    """

    discriminator: Callable[..., Tensor]
    generator: Callable[..., Tensor]
    compares: bool
    boundary: float | None
    pairs: bool = False


def _of_fakes(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A generator's loss of fakes alone, as one that is given the reals' logits as well."""

    def generator_loss(*, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        return loss(fake_logits=fake_logits)

    return generator_loss


def _twice(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The least squares of a paper without the factor 1/2."""

    def unhalved(**logits: Tensor | None) -> Tensor:
        return 2 * loss(**logits)

    return unhalved


LOSSES = {
    "non_saturating": Adversarial(
        minimax.discriminator_loss, _of_fakes(minimax.generator_loss_non_saturating), False, 0.0
    ),
    "least_squares": Adversarial(least_squares.discriminator_loss, _of_fakes(least_squares.generator_loss), False, 0.5),
    "least_squares_unhalved": Adversarial(  # of CycleGAN and CUT
        _twice(least_squares.discriminator_loss), _twice(_of_fakes(least_squares.generator_loss)), False, 0.5
    ),
    "hinge": Adversarial(hinge.discriminator_loss, _of_fakes(hinge.generator_loss), False, 0.0),
    "wasserstein": Adversarial(wasserstein.discriminator_loss, _of_fakes(wasserstein.generator_loss), False, None),
    "relativistic": Adversarial(
        relativistic.paired_discriminator_loss, relativistic.paired_generator_loss, True, None, pairs=True
    ),
    "relativistic_average": Adversarial(
        relativistic.average_discriminator_loss, relativistic.average_generator_loss, True, None
    ),
}


def checked_adversarial(name: str) -> Adversarial:
    """The losses of that name.

    Raises:
        ValueError: there are none.
    """
    if name not in LOSSES:
        raise ValueError(f"model.adversarial must be one of {', '.join(LOSSES)}; got {name!r}")
    return LOSSES[name]
