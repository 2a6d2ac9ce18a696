"""What models share that fill holes: sources with masks, samples that keep what is known, D that may see the mask."""

from typing import Any, ClassVar

from torch import Tensor

from gan_lab.models.translation import TranslationModule


class InpaintingModule(TranslationModule):
    """A generator that fills the holes in sources against one discriminator.

    Args:
        **settings: see `TranslationModule` and `Plumbing`. The generator is a `StagedInpainter`, see
            `gan_lab.networks.inpainting`, where a subclass asks for nothing else; a discriminator whose attribute
            `masked` is true is given the mask.
    Attributes:
        seen: what of condition and mask D is given.
    Raises:
        ValueError: there are no masks, networks of another kind, or augmentation of a D that sees the mask.
    """

    generator: Any
    asked: ClassVar[str] = "stages"  # what the generator has
    remedy: ClassVar[str] = "network=gated or network=context_encoder"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        name = type(self).__name__.lower()
        if not (hasattr(self.generator, "pasted") and hasattr(self.generator, self.asked)):
            raise ValueError(
                f"{name} needs another generator that fills holes than {type(self.generator).__name__}; choose "
                f"{self.remedy}"
            )
        masked = getattr(self.discriminator, "masked", False)
        if masked and self.augment:
            raise ValueError(
                "model.augment would change pictures and not the masks beside them, which D sees together; leave out "
                f"{', '.join(self.augment)}, or set model.discriminator.masked=false"
            )
        there = {"condition": self.sees_sources, "mask": masked}
        self.seen = tuple(part for part, is_seen in there.items() if is_seen)
        self.sees_sources = bool(self.seen)  # whatever it is: it would not move with the picture

    def logits(self, images: Tensor, **given: Tensor) -> Tensor:
        """See `TranslationModule.logits`."""
        return self.discriminator(images, **{name: given[name] for name in self.seen})
