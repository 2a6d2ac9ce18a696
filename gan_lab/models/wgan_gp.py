"""Wasserstein GAN with gradient penalty."""

from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.losses import wasserstein
from gan_lab.models.adversarial import GANModule
from gan_lab.regularizers.gradient_penalty import gradient_penalty, interpolate


class WGANGP(GANModule):
    """Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, algorithm 1).

    D, every batch: mean[D(G(z))] - mean[D(x)] + lambda * mean[(|grad D(e x + (1 - e) G(z))|_2 - 1)^2], e ~ U[0, 1].
    G, every n_critic-th batch: -mean[D(G(z))], with a batch size of its own.

    Args:
        gradient_penalty_weight: lambda, 0 or more.
        **settings: see `GANModule` and `Plumbing`.

    Raises:
        ValueError: D has batch normalization; the penalty is defined for each sample alone (section 4).
    """

    boundary = None

    def __init__(self, *, gradient_penalty_weight: float, **settings: Any) -> None:
        super().__init__(**settings)
        if gradient_penalty_weight < 0:
            raise ValueError(f"gradient_penalty_weight must be 0 or more, got {gradient_penalty_weight}")
        for name, layer in self.discriminator.named_modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                raise ValueError(
                    f"wgan_gp penalizes D at each sample alone, and discriminator.{name} is batch normalization, which "
                    "couples samples; set model.discriminator.normalization=layer (or none)"
                )
        self.gradient_penalty_weight = gradient_penalty_weight

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real)))
                shown = {"real": self.augmented(real, instead=fake), "fake": self.augmented(fake)}
                logits = {f"{kind}_logits": self.discriminator(images) for kind, images in shown.items()}
                loss = wasserstein.discriminator_loss(**logits).mean()
                mix = self.draws.uniform("mix", len(real), (1,))
                penalty = gradient_penalty(self.discriminator, interpolate(**shown, mix=mix), target=1.0).mean()
                extras = self.regularization("discriminator", real=real, fake=fake, **logits)
                step(loss + self.gradient_penalty_weight * penalty + extras)
                self.record("loss/d", loss)
                self.record("reg/gradient_penalty", penalty)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents = self.latents(count)
                fake = self.generator(latents)
                logits = {"fake_logits": self.discriminator(self.augmented(fake))}
                loss = self.top_k_mean(wasserstein.generator_loss(**logits), **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)
