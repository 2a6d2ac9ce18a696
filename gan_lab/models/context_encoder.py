"""Context encoders: what is missing, from what surrounds it."""

from typing import Any

from torch import Tensor

from gan_lab.losses.holes import squared_in_hole
from gan_lab.models.inpainting import InpaintingModule
from gan_lab.models.translation import beside

JUDGED = ("pasted", "whole")


class ContextEncoderGAN(InpaintingModule):
    """Context encoders (Pathak et al. 2016, section 3.2, equations 1 to 3).

    With x the picture, m its mask, F what G makes of x outside of m, and y what D is shown of it:
    D, every batch: mean[-log D(x) - log(1 - D(y))].
    G, every batch: lambda_adv mean[-log D(y)] + lambda_rec mean of (x - F)^2 in the hole, see `squared_in_hole`.

    D sees pictures alone. For holes in the centre the paper shows it that part of the picture; here it sees the whole,
    as the paper's does for holes of any shape.

    Args:
        adversarial_weight: lambda_adv, 0 or more (paper: 0.001).
        distance_weight: lambda_rec, 0 or more (paper: 0.999).
        overlap: width in pixels of a band of known pixels around the hole that G is to make, too, 0 or more (paper: 4
            of 128, for holes in the centre). What is made there is not part of the sample.
        overlap_weight: of the errors there, 0 or more (paper: 10).
        judged: what D sees of a fake: "pasted", the sample; or "whole", all that G makes, known places included (the
            authors' code for holes of any shape), of which the distance holds the hole and the band alone.
        **settings: see `InpaintingModule` and `Plumbing`.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        adversarial_weight: float,
        distance_weight: float,
        overlap: int,
        overlap_weight: float,
        judged: str,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        numbers = {"adversarial_weight": adversarial_weight, "distance_weight": distance_weight}
        for key, value in {**numbers, "overlap": overlap, "overlap_weight": overlap_weight}.items():
            if not value >= 0:
                raise ValueError(f"model.{key} must be 0 or more, got {value}")
        if judged not in JUDGED:
            raise ValueError(f"model.judged must be one of {', '.join(JUDGED)}; got {judged!r}")
        self.adversarial_weight, self.distance_weight = adversarial_weight, distance_weight
        self.overlap, self.overlap_weight, self.judged = overlap, overlap_weight, judged

    def shown(self, filled: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        """(B, C, H, W): of what G made, what D sees."""
        return filled if self.judged == "whole" else self.generator.pasted(filled, condition, mask)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        parts = self.micro_batches(batch)
        made = [self.generator.stages(**beside(part))[-1] for part in parts]
        fakes = [self.shown(filled, **beside(part)) for part, filled in zip(parts, made, strict=True)]
        self.update_discriminator(parts, fakes)
        with self.updating("generator") as step:
            for part, filled, fake in zip(parts, made, fakes, strict=True):
                real, given = part["real"], beside(part)
                judged = {"fake_logits": self.judge(fake, **given), "real_logits": self.compared(real, given)}
                adversarial = self.adversarial.generator(**judged).mean()
                distance = squared_in_hole(
                    real=real, filled=filled, mask=part["mask"], band=self.overlap, band_weight=self.overlap_weight
                ).mean()
                loss = self.adversarial_weight * adversarial + self.distance_weight * distance
                step(loss + self.regularization("generator", real=real, fake=fake, **given, **judged))
                self.record("loss/g", adversarial)
                self.record("loss/distance", distance)
