"""Spectrally normalized GAN."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_lab.losses import hinge
from gan_lab.models.adversarial import GANModule


class SNGAN(GANModule):
    """Spectrally normalized GAN (Miyato et al. 2018): the hinge loss, D 1-Lipschitz by the norm of every layer.

    D, every batch: mean[h(1 - D(x)) + h(1 + D(G(z)))], where h = relu (equation 16) and each weight of D is divided by
    its largest singular value, one power iteration per forward pass (algorithm 1).
    G, every n_critic-th batch: -mean[D(G(z))] (equation 17).

    Raises:
        ValueError: a convolution or linear layer of D is not spectrally normalized.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, layer in self.discriminator.named_modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)) and not parametrize.is_parametrized(layer, "weight"):
                raise ValueError(
                    f"sngan needs spectral normalization in every layer of D, and discriminator.{name} has none; "
                    "set model.discriminator.normalization=spectral"
                )

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
