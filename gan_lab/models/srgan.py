"""SRGAN and ESRGAN: pictures enlarged by pixels, by features, and by a game."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.losses.reduction import per_sample
from gan_lab.models.perceptual import FeatureDistance
from gan_lab.models.translation import TranslationModule, beside


class SRGAN(TranslationModule):
    """Photo-realistic super-resolution (Ledig et al. 2017, section 2.2), and ESRGAN (Wang et al. 2018, section 3).

    With x the source, y the target, G(x) one output for both players, F the maps of an extractor, and a game by name
    (SRGAN: non_saturating; ESRGAN: relativistic_average), whose D sees no sources in the papers:
    D, every batch: the game's loss of D.
    G, every batch: a mean|y - G(x)| / 2 + b mean|F(y) - F(G(x))| + c (the game's loss of G).

    The weights mean what they do in BasicSR, whose pixels lie in [0, 1]: ours lie in [-1, 1], hence the half. BasicSR
    takes half of the relativistic losses, which are sums of two terms: its .005 is c = .0025 here, and for D, with
    Adam, a factor makes no difference. In its later versions D's terms see each other's mean without a gradient; here,
    as in the paper, means have one. It steps G before D, on the same outputs; here D is first.

    With c = 0 there is no game, and D is left as it is. So the papers train G first, for PSNR; `init_from` then starts
    the game from it.

    Args:
        pixel_weight: a, 0 or more (.01; 1 for PSNR).
        perceptual: makes the extractor, such as VGG19; null leaves the term out.
        perceptual_weight: b, 0 or more (1).
        adversarial_weight: c, 0 or more (.005; ESRGAN .0025, see above).
        **settings: see `TranslationModule` and `Plumbing`.
    Raises:
        ValueError: a negative weight, nothing for G to minimize, or terms of D's loss without a game.
    """

    counting_group = "generator"  # D may have no steps

    def __init__(
        self,
        *,
        pixel_weight: float,
        perceptual: Callable[[], nn.Module] | None,
        perceptual_weight: float,
        adversarial_weight: float,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        weights = {
            "pixel_weight": pixel_weight,
            "perceptual_weight": perceptual_weight,
            "adversarial_weight": adversarial_weight,
        }
        for name, weight in weights.items():
            if not weight >= 0:
                raise ValueError(f"model.{name} must be 0 or more, got {weight}")
        if not (pixel_weight or adversarial_weight or (perceptual is not None and perceptual_weight)):
            raise ValueError("G minimizes nothing: set model.pixel_weight, say, to more than 0")
        unused = [*self.augment, *(name for name, term in self.regularizers.items() if term.group == "discriminator")]
        if unused and not adversarial_weight:
            raise ValueError(
                f"model.adversarial_weight=0 leaves D without a loss; leave {', '.join(unused)} out, or set it to more"
            )
        self.pixel_weight, self.perceptual_weight = pixel_weight, perceptual_weight
        self.adversarial_weight = adversarial_weight
        self.perceptual = None if perceptual is None else FeatureDistance(perceptual)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self.perceptual is not None:
            weight = next(self.generator.parameters())
            shape = self.generator.sample_shape
            like = torch.zeros(1, *shape, device=self.device, dtype=weight.dtype)  # type: ignore[misc]
            self.perceptual.prepare(like, self.trainer.local_rank)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        parts = self.micro_batches(batch)
        fakes = [self.translated(part) for part in parts]
        if self.adversarial_weight:
            self.update_discriminator(parts, fakes)
        with self.updating("generator") as step:
            for part, fake in zip(parts, fakes, strict=True):
                real, given = part["real"], beside(part)
                judged: dict[str, Tensor | None] = {}
                pixels = 0.5 * per_sample((fake - real).abs()).mean()
                self.record("loss/pixels", pixels)
                loss = self.pixel_weight * pixels
                if self.perceptual is not None:
                    features = self.perceptual(real=real, fake=fake).mean()
                    self.record("loss/perceptual", features)
                    loss = loss + self.perceptual_weight * features
                if self.adversarial_weight:
                    judged = {"fake_logits": self.judge(fake, **given), "real_logits": self.compared(real, given)}
                    adversarial = self.adversarial.generator(**judged).mean()
                    self.record("loss/g", adversarial)
                    loss = loss + self.adversarial_weight * adversarial
                step(loss + self.regularization("generator", real=real, fake=fake, **given, **judged))
