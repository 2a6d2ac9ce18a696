"""Least-squares GAN."""

import torch
from torch import Tensor

from gan_lab.losses import least_squares
from gan_lab.models.adversarial import GANModule


class LSGAN(GANModule):
    """Least-squares GAN (Mao et al. 2017, equation 9: fakes to 0, reals to 1, and for G fakes to 1).

    D, every batch: 1/2 mean[(D(x) - 1)^2] + 1/2 mean[D(G(z))^2].
    G, every n_critic-th batch: 1/2 mean[(D(G(z)) - 1)^2].
    """

    boundary = 0.5  # half way between the targets

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real)))
                logits = {
                    "real_logits": self.discriminator(self.augmented(real, instead=fake)),
                    "fake_logits": self.discriminator(self.augmented(fake)),
                }
                loss = least_squares.discriminator_loss(**logits).mean()
                step(loss + self.regularization("discriminator", real=real, fake=fake, **logits))
                self.record("loss/d", loss)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents = self.latents(count)
                fake = self.generator(latents)
                logits = {"fake_logits": self.discriminator(self.augmented(fake))}
                loss = self.top_k_mean(least_squares.generator_loss(**logits), **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)
