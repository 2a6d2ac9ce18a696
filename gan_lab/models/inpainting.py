"""What models share that fill holes: sources with masks, samples that keep what is known, D that may see the mask."""

from typing import Any, ClassVar

from gan_lab.models.translation import TranslationModule


class InpaintingModule(TranslationModule):
    """A generator that fills the holes in sources against one discriminator.

    Args:
        **settings: see `TranslationModule` and `Plumbing`. The generator is a `StagedInpainter`, see
            `gan_lab.networks.inpainting`, where a subclass asks for nothing else.
    Raises:
        ValueError: there are no masks, or networks of another kind.
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
