"""BigGAN."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_lab.losses import hinge
from gan_lab.models.conditional import ConditionalGANModule

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


class BigGAN(ConditionalGANModule):
    """BigGAN (Brock et al. 2019): a self-attention GAN of more channels, larger batches, and an averaged G.

    D, every batch: mean[h(1 - D(x, y)) + h(1 + D(G(z, y), y))], where h = relu.
    G, every n_critic-th batch (paper: every second): -mean[D(G(z, y), y)].

    Section 3 on the networks (a class embedding shared by all layers, latents that enter at every block) is in
    `networks/biggan.py`. Batch size and the half-life of the averaged G belong to a recipe (paper: 2,048, and a decay
    of 0.9999 a step of G, whose half-life is some 28 million images at 2 steps of D); its orthogonal regularization is
    a regularizer.

    Raises:
        ValueError: a convolution or linear layer of G or D is not spectrally normalized (section 3).
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for network in ("generator", "discriminator"):
            for name, layer in getattr(self, network).named_modules():
                if isinstance(layer, LAYERS) and not parametrize.is_parametrized(layer, "weight"):
                    raise ValueError(
                        f"biggan needs spectral normalization in all layers of G and D, and {network}.{name} has none; "
                        "choose network=biggan, or a network that takes normalization=spectral on both sides"
                    )

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
