"""Self-supervised GAN."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn, no_grad

from gan_lab.augment.ada import ADA
from gan_lab.losses import hinge
from gan_lab.losses.rotation import quarter_turns, rotation_loss, turned
from gan_lab.models.adversarial import GANModule


class SSGAN(GANModule):
    """Self-supervised GAN (Chen et al. 2019, section 4): D also tells how far a picture has been turned.

    With x^r for x turned by r times 90 degrees, and Q(r | x^r) by a further head on D's features:

    D, every batch: mean[h(1 - D(x)) + h(1 + D(G(z)))] - beta * mean[log Q(r | x^r)], where h = relu.
    G, every n_critic-th batch: -mean[D(G(z))] - alpha * mean[log Q(r | G(z)^r)].

    So both work together on the second task: D learns it on reals alone, and G makes pictures whose rotation shows.
    Each sample is turned by one angle, a quarter of the batch by each, and judged as real or fake upright alone.
    Departure, with Mimicry: the authors turn a quarter of the batch in all four ways.

    Args:
        rotation_head: from D's number of features to a network (B, features) -> (B, 4) logits.
        rotation_weight_d: beta, 0 or more (published: 1).
        rotation_weight_g: alpha, 0 or more (published: 0.2).
        **settings: see `GANModule` and `Plumbing`.

    Raises:
        ValueError: samples that are no square images, a D without features, or an augmentation that turns pictures.
    """

    groups = {"discriminator": ("discriminator", "rotation_head"), "generator": ("generator",)}

    def __init__(
        self,
        *,
        rotation_head: Callable[[int], nn.Module],
        rotation_weight_d: float,
        rotation_weight_g: float,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        for name, weight in (("rotation_weight_d", rotation_weight_d), ("rotation_weight_g", rotation_weight_g)):
            if weight < 0:
                raise ValueError(f"{name} must be 0 or more, got {weight}")
        shape = tuple(self.generator.sample_shape)  # type: ignore[arg-type]
        if len(shape) != 3 or shape[1] != shape[2]:
            raise ValueError(
                f"ssgan turns pictures by 90 degrees, and these of shape {shape} are not square; set data.image_size "
                "to one number, or choose model=sngan"
            )
        for name, augmentation in self.augment.items():
            if isinstance(augmentation, ADA) and augmentation.groups.keys() & {"blit", "geometry"}:
                raise ValueError(
                    f"ssgan asks D how far pictures are turned, and model.augment.{name} turns them; set its groups "
                    "blit and geometry to 0"
                )
        self.rotation_head = rotation_head(self.feature_dim())
        self.rotation_weight_d, self.rotation_weight_g = rotation_weight_d, rotation_weight_g

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with no_grad():
                    fake = self.generator(self.latents(len(real)))
                logits = {
                    "real_logits": self.discriminator(self.augmented(real, instead=fake)),
                    "fake_logits": self.discriminator(self.augmented(fake)),
                }
                loss = hinge.discriminator_loss(**logits).mean()
                rotation, accuracy = self.rotation(real)
                extras = self.regularization("discriminator", real=real, fake=fake, **logits)
                step(loss + self.rotation_weight_d * rotation + extras)
                self.record("loss/d", loss)
                self.record("loss/rotation_d", rotation)
                self.record("accuracy/rotation", accuracy)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents = self.latents(count)
                fake = self.generator(latents)
                logits = {"fake_logits": self.discriminator(self.augmented(fake))}
                loss = self.top_k_mean(hinge.generator_loss(**logits), **logits)
                rotation, _ = self.rotation(fake)
                extras = self.regularization("generator", fake=fake, latents=latents, **logits)
                step(loss + self.rotation_weight_g * rotation + extras)
                self.record("loss/g", loss)
                self.record("loss/rotation_g", rotation)

    def rotation(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss of D's rotation head on turned (B, C, H, H) images, and (B,) 1 where it was right."""
        turns = quarter_turns(len(images), images.device)
        logits = self.rotation_head(self.discriminator.features(self.augmented(turned(images, turns))))  # type: ignore[operator]
        return rotation_loss(logits, turns).mean(), (logits.argmax(1) == turns).float()
