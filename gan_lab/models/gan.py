"""The original GAN."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.losses import minimax
from gan_lab.models.adversarial import GANModule


class GAN(GANModule):
    """Generative adversarial network (Goodfellow et al. 2014, algorithm 1).

    D, every batch: -mean[log D(x) + log(1 - D(G(z)))].
    G, every n_critic-th batch: mean[log(1 - D(G(z)))] (minimax, equation 1), or -mean[log D(G(z))] (non-saturating,
    end of section 3); D here is the sigmoid of the logits, and the logarithms are softplus of them.

    Args:
        generator_loss: "non_saturating" or "saturating" (minimax).
        real_target: what D(x) should be: 1, or less for one-sided label smoothing (Salimans et al. 2016, section 3.4).
        **settings: see `GANModule` and `Plumbing`.
    """

    def __init__(self, *, generator_loss: str, real_target: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.real_target = minimax.checked_target(real_target)
        self.generator_loss = minimax.checked_generator_loss(generator_loss)

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
                loss = self.top_k_mean(self.generator_loss(**logits), **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)
