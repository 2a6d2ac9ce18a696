"""Regularizers that any model can take by configuration: `model.regularizers=[{_target_: ..., weight: ...}]`."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from gan_lab.regularizers.r1 import r1_penalty


class Regularizer(ABC):
    """One more term of a phase's loss.

    Args:
        weight: factor on the mean penalty, 0 or more.
    Attributes:
        group: the group of networks in whose phase it is added.
        name: its curve is `reg/<name>`.
    """

    group = "discriminator"
    name: str

    def __init__(self, weight: float) -> None:
        if weight < 0:
            raise ValueError(f"the weight of regularizer {self.name} must be 0 or more, got {weight}")
        self.weight = weight

    @abstractmethod
    def __call__(self, module: Any, *, real: Tensor, fake: Tensor) -> Tensor:
        """(B,) penalties, from the reals and fakes of a piece before augmentation."""


class R1(Regularizer):
    """Zero-centred gradient penalty on reals (Mescheder et al. 2018, equation 9); `weight` is gamma / 2."""

    name = "r1"

    def __call__(self, module: Any, *, real: Tensor, fake: Tensor) -> Tensor:
        real = module.seen(real).detach().requires_grad_()
        return r1_penalty(real_images=real, real_logits=module.discriminator(real))


class R2(Regularizer):
    """Zero-centred gradient penalty on fakes (Mescheder et al. 2018, equation 10); `weight` is gamma / 2."""

    name = "r2"

    def __call__(self, module: Any, *, real: Tensor, fake: Tensor) -> Tensor:
        fake = module.seen(fake).detach().requires_grad_()
        return r1_penalty(real_images=fake, real_logits=module.discriminator(fake))
