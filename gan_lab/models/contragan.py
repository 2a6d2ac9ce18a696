"""Contrastive GAN."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.losses import hinge
from gan_lab.losses.contrastive import conditional_contrastive_loss
from gan_lab.models.conditional import ConditionalGANModule


class ContraGAN(ConditionalGANModule):
    """ContraGAN (Kang and Park 2020, algorithm 1): D knows classes by a contrastive loss on its features.

    With l(x) the unit vector of a sample, e(y) that of a class, and 2C(x, y) the loss of equation 8 among the samples
    of a batch, over all ranks (with micro-batches, of one):

    D and its embedding, every batch: mean[h(1 - D(x)) + h(1 + D(G(z, c)))] + lambda * mean[2C(x, y)], where h = relu.
    G, every n_critic-th batch: -mean[D(G(z, c))] + lambda * mean[2C(G(z, c), c)].
    Labels reach D in the contrastive loss alone.

    Args:
        embedding: from D's number of features to a network (B, features), (B,) int64 -> two (B, E) of unit length.
        contrastive_weight: lambda, 0 or more (published: 1).
        temperature: t, more than 0 (published: 1).
        **settings: see `ConditionalGANModule`, `GANModule` and `Plumbing`.

    Raises:
        ValueError: a value out of these ranges, or a D without features.
    """

    asks = True
    groups = {"discriminator": ("discriminator", "embedding"), "generator": ("generator",)}

    def __init__(
        self,
        *,
        embedding: Callable[[int], nn.Module],
        contrastive_weight: float,
        temperature: float,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if contrastive_weight < 0 or temperature <= 0:
            raise ValueError(
                "contragan needs contrastive_weight >= 0 and temperature > 0, got "
                f"{contrastive_weight} and {temperature}"
            )
        self.embedding = embedding(self.untold_feature_dim(projection=False))
        self.contrastive_weight, self.temperature = contrastive_weight, temperature

    def logits(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.discriminator(images)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real, labels = micro_batch["real"], micro_batch["labels"]
                with torch.no_grad():
                    fake_labels = self.labels(len(real))
                    fake = self.generator(self.latents(len(real)), fake_labels)
                features = self.features(self.augmented(real, instead=fake))
                logits = {"real_logits": self.judged(features), "fake_logits": self.discriminator(self.augmented(fake))}
                loss = hinge.discriminator_loss(**logits).mean()
                contrast = self.contrast(features, labels)
                tensors = {"real": real, "fake": fake, "real_labels": labels, "fake_labels": fake_labels}
                step(
                    loss
                    + self.contrastive_weight * contrast
                    + self.regularization("discriminator", **tensors, **logits)
                )
                self.record("loss/d", loss)
                self.record("loss/d_contrastive", contrast)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents, labels = self.latents(count), self.labels(count)
                fake = self.generator(latents, labels)
                features = self.features(self.augmented(fake))
                logits = {"fake_logits": self.judged(features)}
                loss = self.top_k_mean(hinge.generator_loss(**logits), **logits)
                contrast = self.contrast(features, labels)
                extras = self.regularization("generator", fake=fake, latents=latents, fake_labels=labels, **logits)
                step(loss + self.contrastive_weight * contrast + extras)
                self.record("loss/g", loss)
                self.record("loss/g_contrastive", contrast)

    def features(self, images: Tensor) -> Tensor:
        """(B, F) of D for images as it sees them."""
        return self.discriminator.features(images)  # type: ignore[operator]

    def judged(self, features: Tensor) -> Tensor:
        """(B,) logits."""
        return self.discriminator.judge(features)  # type: ignore[operator]

    def contrast(self, features: Tensor, labels: Tensor) -> Tensor:
        """The mean 2C loss of these samples of D's (B, F) features."""
        embeddings, proxies = self.embedding(features, labels)
        return conditional_contrastive_loss(embeddings, proxies, labels, temperature=self.temperature).mean()
