"""R3GAN: the relativistic paired GAN with zero-centred gradient penalties on reals and fakes."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.losses import relativistic
from gan_lab.models.adversarial import GANModule
from gan_lab.regularizers.checks import refuse_batch_normalization
from gan_lab.regularizers.r1 import r1_penalty
from gan_lab.schedules import Schedule, as_schedule


class R3GAN(GANModule):
    """R3GAN (Huang et al. 2024): RpGAN + R1 + R2 (section 2).

    D, every batch: -mean[log sigmoid(D(x) - D(G(z)))] + gamma/2 * (mean[|grad D(x)|^2] + mean[|grad D(G(z))|^2]).
    G, every n_critic-th batch: -mean[log sigmoid(D(G(z)) - D(x))], with fresh reals.

    Over the burn-in (appendix), gamma and the learning rates fall and Adam's beta2 and the half-life of the average
    rise, each by half a cosine: `gamma`, `schedules`, `beta2` and `ema_half_life_kimg` in the configuration.

    The slopes are those at the samples, through their augmentation (as in the authors' code).

    Args:
        gamma: weight of both penalties, 0 or more; or a schedule of it.
        **settings: see `GANModule` and `Plumbing`.

    Raises:
        ValueError: `gamma` is negative, or D has batch normalization.
    """

    pairs = True

    boundary = None  # only differences of logits are trained

    def __init__(self, *, gamma: float | Schedule, **settings: Any) -> None:
        super().__init__(**settings)
        if not callable(gamma) and gamma < 0:
            raise ValueError(f"gamma must be 0 or more, got {gamma}")
        refuse_batch_normalization("r3gan", self)
        self.gamma = as_schedule(gamma)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"].detach().requires_grad_()
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real))).to(real.dtype)
                fake.requires_grad_()
                logits = {
                    "real_logits": self.discriminator(self.augmented(real, instead=fake)),
                    "fake_logits": self.discriminator(self.augmented(fake)),
                }
                loss = relativistic.paired_discriminator_loss(**logits).mean()
                r1 = r1_penalty(real_images=real, real_logits=logits["real_logits"]).mean()
                r2 = r1_penalty(real_images=fake, real_logits=logits["fake_logits"]).mean()
                extras = self.regularization("discriminator", real=real.detach(), fake=fake.detach(), **logits)
                step(loss + 0.5 * self.gamma(self.images_seen) * (r1 + r2) + extras)
                self.record("loss/d", loss)
                self.record("reg/r1", r1)
                self.record("reg/r2", r2)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                real, latents = self.reals(count)["real"], self.latents(count)
                fake = self.generator(latents)
                with torch.no_grad():
                    real_logits = self.discriminator(self.augmented(real, instead=fake))
                logits = {"real_logits": real_logits, "fake_logits": self.discriminator(self.augmented(fake))}
                loss = self.top_k_mean(relativistic.paired_generator_loss(**logits), fake_logits=logits["fake_logits"])
                step(loss + self.regularization("generator", real=real, fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)
