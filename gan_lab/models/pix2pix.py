"""pix2pix: a conditional GAN and a distance to the target."""

from typing import Any

from torch import Tensor

from gan_lab.losses.reduction import per_sample
from gan_lab.models.translation import TranslationModule, beside


class Pix2Pix(TranslationModule):
    """Image-to-image translation with conditional adversarial networks (Isola et al. 2017, section 3.1, equation 4).

    With x the source, y the target and G(x) one output for both players:
    D, every batch: mean[-log D(x, y) - log(1 - D(x, G(x)))] / 2, halved to slow D down (section 3.3).
    G, every batch: mean[-log D(x, G(x))] + lambda mean|y - G(x)|.

    As in the paper there is no latent: what varies is dropout in G, and in eval mode nothing does. Both players get the
    same outputs, so those of all micro-batches keep their graphs until G's step: micro-batches save memory of D alone.

    Args:
        distance_weight: lambda, 0 or more (paper: 100).
        **settings: see `TranslationModule` and `Plumbing`.
    """

    def __init__(self, *, distance_weight: float, **settings: Any) -> None:
        super().__init__(**settings)
        if not distance_weight >= 0:
            raise ValueError(f"model.distance_weight must be 0 or more, got {distance_weight}")
        self.distance_weight = distance_weight

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        parts = self.micro_batches(batch)
        fakes = [self.translated(part) for part in parts]
        self.update_discriminator(parts, fakes, factor=0.5)
        with self.updating("generator") as step:
            for part, fake in zip(parts, fakes, strict=True):
                real, given = part["real"], beside(part)
                judged = {"fake_logits": self.judge(fake, **given), "real_logits": self.compared(real, given)}
                adversarial = self.adversarial.generator(**judged).mean()
                distance = per_sample((fake - real).abs()).mean()
                loss = adversarial + self.distance_weight * distance
                step(loss + self.regularization("generator", real=real, fake=fake, **given, **judged))
                self.record("loss/g", adversarial)
                self.record("loss/distance", distance)
