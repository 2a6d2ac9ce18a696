"""GAN with a gradient penalty around the data."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.losses import minimax
from gan_lab.models.adversarial import GANModule
from gan_lab.regularizers.checks import refuse_batch_normalization
from gan_lab.regularizers.dragan import dragan_points
from gan_lab.regularizers.gradient_penalty import gradient_penalty


class DRAGAN(GANModule):
    """DRAGAN (Kodali et al. 2017, section 3): the original GAN, with D's slope held at k around the reals.

    D, every batch: -mean[log D(x) + log(1 - D(G(z)))] + lambda * mean[(|grad D(x + noise)|_2 - k)^2]; the slope is that
    of the logits.
    G, every n_critic-th batch: -mean[log D(G(z))].

    Args:
        gradient_penalty_weight: lambda, 0 or more (paper: 10).
        gradient_penalty_target: k, 0 or more (paper: 1).
        noise_scale: of the noise, in standard deviations of the reals, more than 0: see `dragan_points`.
        **settings: see `GANModule` and `Plumbing`.

    Raises:
        ValueError: a value out of these ranges, or D has batch normalization.
    """

    def __init__(
        self,
        *,
        gradient_penalty_weight: float,
        gradient_penalty_target: float,
        noise_scale: float,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if gradient_penalty_weight < 0:
            raise ValueError(f"gradient_penalty_weight must be 0 or more, got {gradient_penalty_weight}")
        if gradient_penalty_target < 0:
            raise ValueError(f"gradient_penalty_target must be 0 or more, got {gradient_penalty_target}")
        if noise_scale <= 0:
            raise ValueError(f"noise_scale must be more than 0, got {noise_scale}")
        refuse_batch_normalization("dragan", self)
        self.gradient_penalty_weight, self.gradient_penalty_target = gradient_penalty_weight, gradient_penalty_target
        self.noise_scale = noise_scale

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real)))
                shown = {"real": self.augmented(real, instead=fake), "fake": self.augmented(fake)}
                logits = {f"{kind}_logits": self.discriminator(images) for kind, images in shown.items()}
                loss = minimax.discriminator_loss(**logits).mean()
                noise = self.draws.normal_by_blocks("dragan", len(real), real.shape[1:])
                points = dragan_points(real=shown["real"], noise=noise, scale=self.noise_scale)
                penalty = gradient_penalty(self.discriminator, points, target=self.gradient_penalty_target).mean()
                extras = self.regularization("discriminator", real=real, fake=fake, **logits)
                step(loss + self.gradient_penalty_weight * penalty + extras)
                self.record("loss/d", loss)
                self.record("reg/dragan", penalty)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents = self.latents(count)
                fake = self.generator(latents)
                logits = {"fake_logits": self.discriminator(self.augmented(fake))}
                loss = self.top_k_mean(minimax.generator_loss_non_saturating(**logits), **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)
