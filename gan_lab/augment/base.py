"""What every augmentation of D's pictures is."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from gan_lab.sampling import Draws


class Augmentation(nn.Module, ABC):
    """Changes what D sees of reals and fakes alike, differentiably, each sample by itself.

    What it draws comes from `draws` in blocks of global samples, so that any number of ranks sees the same. What it
    keeps from step to step is a buffer, so that checkpoints hold it.
    """

    def check(self, module: Any) -> None:
        """Raise ValueError, with the reason, where this makes no sense for `module` (see `GenerativeModule`)."""

    @abstractmethod
    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """(B, ...) -> the same shape; a gradient of any order passes through."""

    def replace(self, real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
        """(B, ...) reals, some of which may be replaced by fakes, before `forward`."""
        return real

    def observe(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        """Take note of D's (B,) logits of what it was shown in this step; adaptive augmentations go by them."""

    def curves(self) -> dict[str, Tensor]:
        """What of its state is worth a curve, each of no dimension."""
        return {}
