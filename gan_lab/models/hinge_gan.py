"""Hinge GAN."""

import torch
from torch import Tensor

from gan_lab.losses import hinge
from gan_lab.models.adversarial import GANModule


class HingeGAN(GANModule):
    """Hinge GAN (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17).

    D, every batch: mean[h(1 - D(x)) + h(1 + D(G(z)))], where h = relu.
    G, every n_critic-th batch: -mean[D(G(z))].
    """

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
                loss = hinge.discriminator_loss(**logits).mean()
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
                loss = self.top_k_mean(hinge.generator_loss(**logits), **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)
