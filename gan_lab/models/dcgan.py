"""Deep convolutional GAN."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.losses import minimax
from gan_lab.models.adversarial import GANModule


class DCGAN(GANModule):
    """Deep convolutional GAN (Radford et al. 2016): the non-saturating GAN, one step of D to one of G.

    D, every batch: -mean[log D(x) + log(1 - D(G(z)))], reals and fakes in batches of their own (batch norm, section 3).
    G, every n_critic-th batch: -mean[log D(G(z))].
    The paper's recipe (section 4: Adam 2e-4 with beta_1 0.5, batch 128, uniform latents) is in the configuration, its
    architecture in `networks/dcgan.py`.

    Args:
        real_target: what D(x) should be: 1, or less for one-sided label smoothing (Salimans et al. 2016, section 3.4).
        **settings: see `GANModule` and `Plumbing`.
    """

    def __init__(self, *, real_target: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.real_target = minimax.checked_target(real_target)

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
                loss = minimax.discriminator_loss(**logits, real_target=self.real_target).mean()
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
                loss = self.top_k_mean(minimax.generator_loss_non_saturating(**logits), **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)
