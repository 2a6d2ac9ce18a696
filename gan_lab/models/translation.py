"""What models share whose generator is given pictures: sources and masks beside the reals, and D that may see them."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn

from gan_lab.losses.adversarial import checked_adversarial
from gan_lab.models.base import GenerativeModule, Plumbing
from gan_lab.sampling import SourceInputs


class TranslationModule(GenerativeModule):
    """A generator from sources to targets against one discriminator, a step of each for every batch.

    A batch holds the targets as `real`, the sources as `condition`, and where holes are to be filled `mask` (1 = hole).

    Args:
        generator: condition (B, C', H', W'), and mask (B, 1, H, W) where there is one -> (B, *sample_shape) in [-1, 1],
            or about it, where the last layer is linear.
        discriminator: (B, *sample_shape) -> (B,) or (B, ...) logits; one whose attribute `condition_shape` is not None
            is given the condition, too, and one whose attribute `masked` is true the mask.
        condition_shape: (C', H', W') of sources.
        masked: whether there are masks.
        adversarial: by name what D and G minimize, see `gan_lab.losses.adversarial`.
        further: further networks of a subclass, by name; None for none.
        **plumbing: see `Plumbing`.
    Attributes:
        judgement, boundary, pairs: see `GANModule`.
    Raises:
        ValueError: networks that do not take what the data gives.
    """

    judgement = "logits"
    boundary: float | None = 0.0
    pairs = False
    groups: ClassVar[dict[str, tuple[str, ...]]] = {"discriminator": ("discriminator",), "generator": ("generator",)}
    counting_group = "discriminator"
    closing_group = "generator"
    averaged_networks: ClassVar[tuple[str, ...]] = ("generator",)
    generator: nn.Module
    discriminator: nn.Module

    def __init__(
        self,
        *,
        generator: nn.Module,
        discriminator: nn.Module,
        condition_shape: list[int],
        masked: bool,
        adversarial: str,
        further: Mapping[str, nn.Module] | None = None,
        **plumbing: Unpack[Plumbing],
    ) -> None:
        networks = {"generator": generator, "discriminator": discriminator} | dict(further or {})
        super().__init__(networks, **plumbing)
        if not hasattr(generator, "condition_shape"):
            raise ValueError(
                f"{type(self).__name__.lower()} needs a generator that is given pictures, and "
                f"{type(generator).__name__} is not; choose network=unet_translator or network=resnet_translator, or, "
                "to enlarge, network=srresnet or network=rrdb"
            )
        if getattr(discriminator, "judgement", "logits") != "logits":
            raise ValueError(
                f"{type(self).__name__.lower()} needs a discriminator that gives logits, and "
                f"{type(discriminator).__name__} gives {discriminator.judgement}; choose network=unet_translator"
            )
        there = {
            "condition": getattr(discriminator, "condition_shape", None) is not None,
            "mask": getattr(discriminator, "masked", False),
        }
        self.sees = tuple(name for name, sees in there.items() if sees)
        if not self.needs_pairs:
            self._check_unpaired(masked)
        self.inputs = SourceInputs(condition_shape, masked)
        self.adversarial = checked_adversarial(adversarial)
        self.boundary, self.pairs = self.adversarial.boundary, self.adversarial.pairs

    def _check_unpaired(self, masked: bool) -> None:
        name = type(self).__name__.lower()
        if masked:
            raise ValueError(
                f"{name} translates whole pictures, and data.masked is true; choose a condition of no holes"
            )
        if self.sees:
            raise ValueError(
                f"{name} learns without pairs, so that each discriminator sees pictures of one domain alone; set "
                "model.discriminator.condition_shape=null"
            )

    @classmethod
    def inputs_from(cls, settings: Mapping[str, Any]) -> SourceInputs:
        return SourceInputs(settings["condition_shape"], settings["masked"])

    def translated(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, *sample_shape) what G makes of the batch's sources."""
        return self.generator(**beside(batch))

    def logits(self, images: Tensor, **given: Any) -> Tensor:
        """(B,) or (B, ...) logits of D for images as they are; `given` are condition and mask."""
        return self.discriminator(images, **{name: given[name] for name in self.sees if name in given})

    def judge(self, images: Tensor, *, instead: Tensor | None = None, **given: Any) -> Tensor:
        """As `logits`, for images, and what is given beside them, as D gets to see them in training."""
        images, given = self.augmented_together(images, instead=instead, **given)
        return self.logits(images, **given)

    def update_discriminator(
        self, parts: Sequence[dict[str, Tensor]], fakes: Sequence[Tensor], *, factor: float = 1.0
    ) -> None:
        """D's step on micro-batches and what D is to see of G's outputs for them, by `factor` times the game's loss."""
        with self.updating("discriminator") as step:
            for part, fake in zip(parts, fakes, strict=True):
                real, fake, given = part["real"], fake.detach(), beside(part)
                logits = {
                    "real_logits": self.judge(real, instead=fake, **given),
                    "fake_logits": self.judge(fake, **given),
                }
                loss = factor * self.adversarial.discriminator(**logits).mean()
                step(loss + self.regularization("discriminator", real=real, fake=fake, **given, **logits))
                self.record("loss/d", loss)
                self.record_logits(**logits)

    def compared(self, real: Tensor, given: Mapping[str, Any]) -> Tensor | None:
        """D's logits of reals in G's step, where G's loss compares fakes with them; they have no gradient for G."""
        if not self.adversarial.compares:
            return None
        with torch.no_grad():
            return self.judge(real, **given)


def beside(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of a batch both G and D are given beside the targets, by keyword."""
    return {name: batch[name] for name in ("condition", "mask") if name in batch}
