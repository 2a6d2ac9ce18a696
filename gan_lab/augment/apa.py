"""Adaptive pseudo augmentation: fakes shown to D as if they were real."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_lab.augment.adaptive import AdaptiveAugmentation
from gan_lab.augment.pixels import uniforms
from gan_lab.sampling import Draws, LabelledInputs


class APA(AdaptiveAugmentation):
    """Adaptive pseudo augmentation (Jiang et al. 2021, section 3.2): with probability p a fake takes a real's place.

    p follows lambda_r = E[sign(D(real))], counting what stands in for reals as real, as ADA's p follows r_t.

    Departure from the paper: the fakes that stand in are those that the step judges as fakes too, and are not generated
    for this purpose. Where a loss is a mean over single samples, its expectation is the same.

    Where D sees a source beside each image, the fake of a real's number was made of the same one, which stays.

    Args:
        see `AdaptiveAugmentation`.
    """

    def check(self, module: Any) -> None:
        """Fakes of other labels cannot stand in for reals, nor can a fake be compared with itself."""
        super().check(module)
        kind = type(module).__name__
        if getattr(module, "pairs", False):
            raise ValueError(
                f"APA shows fakes in the place of reals, and {kind} compares each real with the fake of its number, "
                "which would be the same picture; use another augmentation"
            )
        if isinstance(module.inputs, LabelledInputs):
            raise ValueError(
                f"APA shows fakes in the place of reals, and the fakes of {kind} have other labels; "
                "use another augmentation with conditional models"
            )

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """The same images."""
        return images

    def together(
        self, images: Tensor, beside: Mapping[str, Tensor], draws: Draws
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The same."""
        return images, beside

    def replace(self, real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
        """(B, ...) reals, of which each is with probability p the fake of its number."""
        (uniform,) = uniforms(draws, "apa", real, 1)
        chosen = uniform < self.probability(draws, real)
        return torch.where(chosen.view(-1, *[1] * (real.ndim - 1)), fake.detach(), real)
