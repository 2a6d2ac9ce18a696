"""Boundary equilibrium GAN: the discriminator is an auto-encoder."""

from typing import Any

import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.losses.reconstruction import absolute
from gan_lab.models.adversarial import GANModule


class BEGAN(GANModule):
    """Boundary equilibrium GAN (Berthelot et al. 2017, section 3.4), where L(v) is the mean over pixels of |v - D(v)|.

    D, every batch: mean[L(x)] - k mean[L(G(z))].
    G, every n_critic-th batch: mean[L(G(z))], with new latents.
    Then k + lambda (gamma mean[L(x)] - mean[L(G(z))]), kept within [0, 1], is the next k; it begins at 0.

    The means that move k are those of D's and G's last steps, over all ranks. Departure: the paper halves the learning
    rates when its measure of convergence, mean[L(x)] + |gamma mean[L(x)] - mean[L(G(z))]|, stalls; here it is the curve
    `convergence/m`, and `schedules` say when to decay.

    Where a GAN has logits, `logits` and the curves of that name have -L: more where D takes an image for a real.

    Args:
        gamma: how large L(G(z)) shall be beside L(x), in [0, 1]: less gives better pictures, more gives diverse ones.
        balance_rate: lambda, learning rate of k, more than 0.
        **settings: see `GANModule` and `Plumbing`. The discriminator is (B, *sample_shape) -> (B, *sample_shape).
    Raises:
        ValueError: a discriminator of logits, or a value out of range.
    """

    judgement = "images"
    boundary = None
    k: Tensor

    def __init__(self, *, gamma: float, balance_rate: float, **settings: Any) -> None:
        super().__init__(**settings)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must be in [0, 1], got {gamma}")
        if balance_rate <= 0:
            raise ValueError(f"balance_rate must be more than 0, got {balance_rate}")
        self.gamma, self.balance_rate = gamma, balance_rate
        self.register_buffer("k", torch.zeros(()))

    def logits(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) -L(v) of images as they are."""
        return -absolute(images=images, reconstruction=self.discriminator(images))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            real_losses = []
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real)))
                logits = {
                    "real_logits": self.logits(self.augmented(real, instead=fake)),
                    "fake_logits": self.logits(self.augmented(fake)),
                }
                real_loss = -logits["real_logits"].mean()
                loss = real_loss + self.k * logits["fake_logits"].mean()
                step(loss + self.regularization("discriminator", real=real, fake=fake, **logits))
                real_losses.append(real_loss.detach())
                self.record("loss/d", loss)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            fake_losses = []
            for count in self.generator_micro_batches():
                latents = self.latents(count)
                fake = self.generator(latents)
                logits = {"fake_logits": self.logits(self.augmented(fake))}
                loss = self.top_k_mean(-logits["fake_logits"], **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                fake_losses.append(-logits["fake_logits"].detach().mean())
                self.record("loss/g", loss)
        self.balance(torch.stack(real_losses).mean(), torch.stack(fake_losses).mean())

    @torch.no_grad()
    def balance(self, real_loss: Tensor, fake_loss: Tensor) -> None:
        """Move k towards gamma L(x) = L(G(z)) (equation of section 3.4), from this rank's two mean losses."""
        real_loss, fake_loss = collectives.mean(torch.stack([real_loss, fake_loss])).to(self.k.dtype)
        gap = self.gamma * real_loss - fake_loss
        self.k.add_(self.balance_rate * gap).clamp_(0, 1)
        self.record("balance/k", self.k)
        self.record("convergence/m", real_loss + gap.abs())
