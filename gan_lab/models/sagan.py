"""Self-attention GAN."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_lab.losses import hinge
from gan_lab.models.conditional import ConditionalGANModule

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


class SAGAN(ConditionalGANModule):
    """Self-attention GAN (Zhang et al. 2019): G and D see the whole picture at once, spectrally normalized, both.

    D, every batch: mean[h(1 - D(x, y)) + h(1 + D(G(z, y), y))], where h = relu (equation 4).
    G, every n_critic-th batch: -mean[D(G(z, y), y)].

    Spectral normalization in G too (section 4.1) and a learning rate of D four times that of G (section 4.2) let one
    step of D be enough for one of G. The attention is in `networks/sagan.py`.

    Raises:
        ValueError: a convolution or linear layer of G or D is not spectrally normalized.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for network in ("generator", "discriminator"):
            for name, layer in getattr(self, network).named_modules():
                if isinstance(layer, LAYERS) and not parametrize.is_parametrized(layer, "weight"):
                    raise ValueError(
                        f"sagan needs spectral normalization in all layers of G and D, and {network}.{name} has none; "
                        "choose network=sagan, or a network that takes normalization=spectral on both sides"
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
