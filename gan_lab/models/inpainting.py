"""What models share that fill holes: sources with masks, samples that keep what is known, D that may see the mask."""

from typing import Any

from torch import Tensor

from gan_lab.models.translation import TranslationModule


class InpaintingModule(TranslationModule):
    """A generator that fills the holes in sources against one discriminator.

    Args:
        **settings: see `TranslationModule` and `Plumbing`. The generator has `stages` and `pasted`, see
            `gan_lab.networks.inpainting`; a discriminator whose attribute `masked` is true is given the mask.
    Attributes:
        seen: what of condition and mask D is given.
    Raises:
        ValueError: there are no masks, networks of another kind, or augmentation of a D that sees the mask.
    """

    generator: Any

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        name = type(self).__name__.lower()
        if not hasattr(self.generator, "pasted"):
            raise ValueError(
                f"{name} needs a generator that fills holes, and {type(self.generator).__name__} is none; choose "
                "network=gated or network=context_encoder"
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
