"""DeepFill v2: holes of any shape, filled in two stages."""

from typing import Any

from torch import Tensor

from gan_lab.losses.reduction import per_sample
from gan_lab.models.inpainting import InpaintingModule
from gan_lab.models.translation import beside


class GatedInpainting(InpaintingModule):
    """Free-form image inpainting with gated convolution (Yu et al. 2019, sections 3.2 and 3.3).

    With x the picture, m its mask, F1 and F2 what G's stages make, and y = F2 where m is 1, x elsewhere:
    D, every batch: mean[h(1 - D(x, m)) + h(1 + D(y, m))] over all values of D, where h = relu.
    G, every batch: -lambda_adv mean D(y, m) + lambda_l1 (mean|x - F1| + mean|x - F2|) over all pixels.

    Both players get the same outputs, so those of all micro-batches keep their graphs until G's step: micro-batches
    save memory of D alone.

    Args:
        adversarial_weight: lambda_adv, 0 or more (authors: 1; MMagic: 0.1).
        distance_weight: lambda_l1, 0 or more (authors: 1).
        **settings: see `InpaintingModule` and `Plumbing`.
    Raises:
        ValueError: a weight below 0.
    """

    def __init__(self, *, adversarial_weight: float, distance_weight: float, **settings: Any) -> None:
        super().__init__(**settings)
        for key, value in {"adversarial_weight": adversarial_weight, "distance_weight": distance_weight}.items():
            if not value >= 0:
                raise ValueError(f"model.{key} must be 0 or more, got {value}")
        self.adversarial_weight, self.distance_weight = adversarial_weight, distance_weight

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        parts = self.micro_batches(batch)
        made = [self.generator.stages(**beside(part)) for part in parts]
        fakes = [self.generator.pasted(stages[-1], **beside(part)) for part, stages in zip(parts, made, strict=True)]
        self.update_discriminator(parts, fakes)
        with self.updating("generator") as step:
            for part, stages, fake in zip(parts, made, fakes, strict=True):
                real, given = part["real"], beside(part)
                judged = {"fake_logits": self.judge(fake, **given), "real_logits": self.compared(real, given)}
                adversarial = self.adversarial.generator(**judged).mean()
                distances = [per_sample((filled - real).abs()).mean() for filled in stages]
                loss = self.adversarial_weight * adversarial + self.distance_weight * sum(distances)
                step(loss + self.regularization("generator", real=real, fake=fake, **given, **judged))
                self.record("loss/g", adversarial)
                for number, distance in enumerate(distances, start=1):
                    self.record(f"loss/distance_{number}", distance)
