"""Relativistic paired GAN."""

import torch
from torch import Tensor

from gan_lab.losses import relativistic
from gan_lab.models.adversarial import GANModule


class RpGAN(GANModule):
    """Relativistic paired GAN (Sun et al. 2020; Jolicoeur-Martineau 2019, section 4.1: there RSGAN).

    D, every batch: -mean[log sigmoid(D(x) - D(G(z)))], each real with one fake.
    G, every n_critic-th batch: -mean[log sigmoid(D(G(z)) - D(x))], with fresh reals.
    """

    pairs = True

    boundary = None  # only differences of logits are trained

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
                loss = relativistic.paired_discriminator_loss(**logits).mean()
                step(loss + self.regularization("discriminator", real=real, fake=fake, **logits))
                self.record("loss/d", loss)
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
