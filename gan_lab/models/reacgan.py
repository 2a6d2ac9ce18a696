"""Rebooted auxiliary classifier GAN."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.losses import hinge
from gan_lab.losses.contrastive import data_to_data_cross_entropy
from gan_lab.models.conditional import ConditionalGANModule


class ReACGAN(ConditionalGANModule):
    """ReACGAN (Kang et al. 2021, section 3): an auxiliary classifier of unit vectors, with easy pairs left alone.

    With D2D(x, y) the loss of equation 7 among the samples of a batch, over all ranks (with micro-batches, of one):

    D and its embedding, every batch: mean[h(1 - D(x)) + h(1 + D(G(z, c)))] + lambda * mean[D2D(x, y)], where h = relu.
    G, every n_critic-th batch: -mean[D(G(z, c))] + lambda * mean[D2D(G(z, c), c)].
    Labels reach D in the classification alone.

    Args:
        embedding: from D's number of features to a network (B, features), (B,) int64 -> two (B, E) of unit length.
        class_weight: lambda, 0 or more (CIFAR-10: 0.5).
        temperature: tau, more than 0 (CIFAR-10: 0.5).
        margin: m_p, in [0, 1] (CIFAR-10: 0.98); see `data_to_data_cross_entropy`.
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
        class_weight: float,
        temperature: float,
        margin: float,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if class_weight < 0 or temperature <= 0 or not 0 <= margin <= 1:
            raise ValueError(
                "reacgan needs class_weight >= 0, temperature > 0 and margin in [0, 1], got "
                f"{class_weight}, {temperature} and {margin}"
            )
        self.embedding = embedding(self.untold_feature_dim(projection=False))
        self.class_weight, self.temperature, self.margin = class_weight, temperature, margin

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
                classes = self.class_loss(features, labels)
                tensors = {"real": real, "fake": fake, "real_labels": labels, "fake_labels": fake_labels}
                step(loss + self.class_weight * classes + self.regularization("discriminator", **tensors, **logits))
                self.record("loss/d", loss)
                self.record("loss/d_class", classes)
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
                classes = self.class_loss(features, labels)
                extras = self.regularization("generator", fake=fake, latents=latents, fake_labels=labels, **logits)
                step(loss + self.class_weight * classes + extras)
                self.record("loss/g", loss)
                self.record("loss/g_class", classes)

    def features(self, images: Tensor) -> Tensor:
        """(B, F) of D for images as it sees them."""
        return self.discriminator.features(images)  # type: ignore[operator]

    def judged(self, features: Tensor) -> Tensor:
        """(B,) logits."""
        return self.discriminator.judge(features)  # type: ignore[operator]

    def class_loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """The mean D2D-CE loss of these samples of D's (B, F) features."""
        embeddings, proxies = self.embedding(features, labels)
        return data_to_data_cross_entropy(
            embeddings, proxies, labels, temperature=self.temperature, margin=self.margin
        ).mean()
