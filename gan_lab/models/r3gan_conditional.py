"""R3GAN with classes."""

import torch
from torch import Tensor

from gan_lab.losses import relativistic
from gan_lab.models.conditional import ConditionalGANModule
from gan_lab.models.r3gan import R3GAN
from gan_lab.regularizers.r1 import r1_penalty


class ConditionalR3GAN(ConditionalGANModule, R3GAN):
    """R3GAN (Huang et al. 2024) as trained on labelled data: each fake is of the class of the real it is paired with.

    D, every batch: -mean[log sigmoid(D(x, y) - D(G(z, y), y))] +
    gamma/2 * (mean[|grad D(x, y)|^2] + mean[|grad D(G(z, y), y)|^2]), slopes in the sample alone.
    G, every n_critic-th batch: -mean[log sigmoid(D(G(z, y), y) - D(x, y))], with fresh reals and their labels.

    Fakes are thus of classes as frequent as in the data, whatever `label_distribution` says, which is the law of the
    samples that are asked for later. Slopes, schedules and refusals are those of `R3GAN`.

    Args:
        **settings: see `ConditionalGANModule`, `R3GAN`, `GANModule` and `Plumbing`.
    """

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real, labels = micro_batch["real"].detach().requires_grad_(), micro_batch["labels"]
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real)), labels).to(real.dtype)
                fake.requires_grad_()
                logits = {
                    "real_logits": self.discriminator(self.augmented(real, instead=fake), labels),
                    "fake_logits": self.discriminator(self.augmented(fake), labels),
                }
                loss = relativistic.paired_discriminator_loss(**logits).mean()
                r1 = r1_penalty(real_images=real, real_logits=logits["real_logits"]).mean()
                r2 = r1_penalty(real_images=fake, real_logits=logits["fake_logits"]).mean()
                both = {"real_labels": labels, "fake_labels": labels}
                extras = self.regularization("discriminator", real=real.detach(), fake=fake.detach(), **both, **logits)
                step(loss + 0.5 * self.gamma(self.images_seen) * (r1 + r2) + extras)
                self.record("loss/d", loss)
                self.record("reg/r1", r1)
                self.record("reg/r2", r2)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                fresh, latents = self.reals(count), self.latents(count)
                real, labels = fresh["real"], fresh["labels"]
                fake = self.generator(latents, labels)
                with torch.no_grad():
                    real_logits = self.discriminator(self.augmented(real, instead=fake), labels)
                logits = {"real_logits": real_logits, "fake_logits": self.discriminator(self.augmented(fake), labels)}
                loss = self.top_k_mean(relativistic.paired_generator_loss(**logits), fake_logits=logits["fake_logits"])
                both = {"real_labels": labels, "fake_labels": labels}
                step(loss + self.regularization("generator", real=real, fake=fake, latents=latents, **both, **logits))
                self.record("loss/g", loss)
