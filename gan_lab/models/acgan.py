"""Auxiliary classifier GAN."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gan_lab.losses import minimax
from gan_lab.models.conditional import ConditionalGANModule


class ACGAN(ConditionalGANModule):
    """Auxiliary classifier GAN (Odena et al. 2017, section 3): D also names the class, of reals and of fakes.

    L_S = mean[log P(S = real | x)] + mean[log P(S = fake | G(z, c))] (equation 2),
    L_C = mean[log P(C = y | x)] + mean[log P(C = c | G(z, c))] (equation 3).
    D and its classifier, every batch: -(L_S + L_C).
    G, every n_critic-th batch: -(L_C - L_S), of which its own terms are -mean[log P(C = c | G(z, c))] and, as in the
    non-saturating form (Goodfellow et al. 2014, end of section 3), -mean[log P(S = real | G(z, c))].

    The classifier is a linear layer beside D's own, on the same features; D itself needs no labels.

    Args:
        classifier: from the number of D's features to a network (B, features) -> (B, num_classes) logits.
        real_target: what P(S = real | x) should be: 1, or less for one-sided label smoothing (Salimans et al. 2016,
            section 3.4).
        **settings: see `ConditionalGANModule`. The discriminator has `features` and `judge`, see
            `gan_lab.networks.base`.
    """

    asks = True
    groups = {"discriminator": ("discriminator", "classifier"), "generator": ("generator",)}

    def __init__(self, *, classifier: Callable[[int], nn.Module], real_target: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.classifier = classifier(self.untold_feature_dim(projection=True))
        self.real_target = minimax.checked_target(real_target)

    def source_and_classes(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) logits of being real and (B, num_classes) logits of the classes, from one pass through D."""
        features = self.discriminator.features(images, labels)  # type: ignore[operator]
        return self.discriminator.judge(features, labels), self.classifier(features).float()  # type: ignore[operator]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real, real_labels = micro_batch["real"], micro_batch["labels"]
                fake_labels = self.labels(len(real))
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real)), fake_labels)
                real_logits, real_classes = self.source_and_classes(self.augmented(real, instead=fake), real_labels)
                fake_logits, fake_classes = self.source_and_classes(self.augmented(fake), fake_labels)
                logits = {"real_logits": real_logits, "fake_logits": fake_logits}
                loss = minimax.discriminator_loss(**logits, real_target=self.real_target).mean()
                class_loss = cross_entropy(real_classes, real_labels) + cross_entropy(fake_classes, fake_labels)
                labels = {"real_labels": real_labels, "fake_labels": fake_labels}
                step(loss + class_loss + self.regularization("discriminator", real=real, fake=fake, **labels, **logits))
                self.record("loss/d", loss)
                self.record("loss/classes_d", class_loss)
                self.record("accuracy/real", (real_classes.argmax(1) == real_labels).float())
                self.record("accuracy/fake", (fake_classes.argmax(1) == fake_labels).float())
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents, fake_labels = self.latents(count), self.labels(count)
                fake = self.generator(latents, fake_labels)
                fake_logits, fake_classes = self.source_and_classes(self.augmented(fake), fake_labels)
                logits = {"fake_logits": fake_logits}
                loss = self.top_k_mean(minimax.generator_loss_non_saturating(**logits), **logits)
                class_loss = cross_entropy(fake_classes, fake_labels)
                extras = self.regularization("generator", fake=fake, latents=latents, fake_labels=fake_labels, **logits)
                step(loss + class_loss + extras)
                self.record("loss/g", loss)
                self.record("loss/classes_g", class_loss)
