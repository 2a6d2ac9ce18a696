"""What every augmentation of D's pictures is."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from gan_lab.sampling import Draws

log = logging.getLogger(__name__)


class Augmentation(nn.Module, ABC):
    """Changes what D sees of reals and fakes alike, differentiably, each sample by itself.

    What it draws comes from `draws` in blocks of global samples, so that any number of ranks sees the same. What it
    keeps from step to step is a buffer, so that checkpoints hold it.
    """

    def check(self, module: Any) -> None:
        """Raise ValueError, with the reason, where this makes no sense for `module` (see `GenerativeModule`).

        Here: D sees pictures beside its images, and this has no `together`.
        """
        if getattr(module, "sees", ()) and type(self).together is Augmentation.together:
            raise ValueError(
                f"{type(self).__name__} changes images alone, and {seen_beside(module)}; leave it out of "
                "model.augment, or give it a method `together`, see gan_lab.augment.base"
            )

    @abstractmethod
    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """(B, ...) -> the same shape; a gradient of any order passes through."""

    def together(
        self, images: Tensor, beside: Mapping[str, Tensor], draws: Draws
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """As `forward`, for a D that sees other pictures beside its images, which move as these do.

        Args:
            images: (B, C, H, W).
            beside: by name, one or both: `condition`, (B, C', H, W); `mask`, (B, 1, H, W) in [0, 1], 1 = hole.
            draws: of this moment.
        Returns:
            `images` and `beside` in the same shapes.
        """
        raise NotImplementedError

    def replace(self, real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
        """(B, ...) reals, some of which may be replaced by fakes, before `forward`."""
        return real

    def observe(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        """Take note of D's (B,) logits of what it was shown in this step; adaptive augmentations go by them."""

    def may_leave(self) -> set[str]:
        """Ways in which samples may come to look that are those of augmented reals: mirrored, turned, tinted."""
        return set()

    def curves(self) -> dict[str, Tensor]:
        """What of its state is worth a curve, each of no dimension."""
        return {}


def check_that_some_move(augmentation: str, module: Any, parts: Collection[str], moving: Collection[str]) -> None:
    """Say which `parts` of an augmentation a D that sees pictures beside its images is not shown: all but `moving`.

    Raises:
        ValueError: none would be left.
    """
    lost = [part for part in parts if part not in moving]
    if not getattr(module, "sees", ()) or not lost:
        return
    if len(lost) == len(parts):
        raise ValueError(
            f"{augmentation} would change nothing: {seen_beside(module)}, and of its parts only {', '.join(moving)} "
            f"change all of them alike, not {', '.join(lost)}; add one of those, or leave it out"
        )
    log.warning(
        "%s goes without %s: %s, and what changes values cannot change all of them alike",
        *(augmentation, ", ".join(lost), seen_beside(module)),
    )


def seen_beside(module: Any) -> str:
    """That D of `module` sees other pictures, in words."""
    return f"D of {type(module).__name__.lower()} sees the {' and the '.join(module.sees)} beside its images"
