"""Conditional GAN."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.losses import minimax
from gan_lab.models.conditional import ConditionalGANModule


class CGAN(ConditionalGANModule):
    """Conditional GAN (Mirza and Osindero 2014): G and D are conditioned on the class y, each by a further input.

    D, every batch: -mean[log D(x|y) + log(1 - D(G(z|y)|y))] (equation 2, which D maximizes).
    G, every n_critic-th batch: -mean[log D(G(z|y)|y)].

    Departure: in equation 2, G minimizes log(1 - D(G(z|y)|y)); here it is the non-saturating form of the first GAN's
    paper (Goodfellow et al. 2014, end of section 3), with the same fixed point. The paper trains layers of maxout by
    plain gradient descent; here the networks are free, and Adam steps them.

    Args:
        real_target: what D(x|y) should be: 1, or less for one-sided label smoothing (Salimans et al. 2016, section
            3.4).
        **settings: see `ConditionalGANModule`.
    """

    def __init__(self, *, real_target: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.real_target = minimax.checked_target(real_target)

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
                loss = minimax.discriminator_loss(**logits, real_target=self.real_target).mean()
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
                loss = self.top_k_mean(minimax.generator_loss_non_saturating(**logits), **logits)
                step(
                    loss
                    + self.regularization("generator", fake=fake, latents=latents, fake_labels=fake_labels, **logits)
                )
                self.record("loss/g", loss)
