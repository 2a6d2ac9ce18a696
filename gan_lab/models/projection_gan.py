"""Projection GAN."""

import torch
from torch import Tensor

from gan_lab.losses import hinge
from gan_lab.models.conditional import ConditionalGANModule


class ProjectionGAN(ConditionalGANModule):
    """Conditional GAN with a projection discriminator (Miyato and Koyama 2018): D(x, y) = y^T V phi(x) + psi(phi(x)).

    D, every batch: mean[h(1 - D(x, y)) + h(1 + D(G(z, y), y))], where h = relu (the hinge loss, section 5).
    G, every n_critic-th batch: -mean[D(G(z, y), y)].

    The projection (equation 3) is D's `conditioning`; the paper's conditional batch normalization in G, spectral
    normalization in D, 5 steps of D and Adam with betas 0 and 0.9 are in the configuration.
    """

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real, real_labels = micro_batch["real"], micro_batch["labels"]
                fake_labels = self.labels(len(real))
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real)), fake_labels)
                logits = {
                    "real_logits": self.discriminator(self.augmented(real, instead=fake), real_labels),
                    "fake_logits": self.discriminator(self.augmented(fake), fake_labels),
                }
                loss = hinge.discriminator_loss(**logits).mean()
                labels = {"real_labels": real_labels, "fake_labels": fake_labels}
                step(loss + self.regularization("discriminator", real=real, fake=fake, **labels, **logits))
                self.record("loss/d", loss)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents, fake_labels = self.latents(count), self.labels(count)
                fake = self.generator(latents, fake_labels)
                logits = {"fake_logits": self.discriminator(self.augmented(fake), fake_labels)}
                loss = self.top_k_mean(hinge.generator_loss(**logits), **logits)
                step(
                    loss
                    + self.regularization("generator", fake=fake, latents=latents, fake_labels=fake_labels, **logits)
                )
                self.record("loss/g", loss)
