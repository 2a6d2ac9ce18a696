"""StyleGAN2."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.losses import minimax
from gan_lab.models.adversarial import GANModule


class StyleGAN2(GANModule):
    """StyleGAN2 (Karras et al. 2020, configuration F; Karras et al. 2019, section 3.1, for style mixing).

    D, every batch: -mean[log D(x)] - mean[log(1 - D(G(z)))].
    G, every batch: -mean[log D(G(z))].
    G(z) takes the w of z for all layers or, with probability `style_mixing`, from a layer on that of a second z; and
    noise for each of its convolutions.

    The penalties, R1 for D (Mescheder et al. 2018) and path length for G (section 3.2, equation 4), are regularizers
    that conf/model/stylegan2.yaml configures, each lazy: a step of its own every so many (section 3.1).

    Departure: whether and where styles cross is drawn for each image, as "a given percentage of images" has it; the
    authors' code draws it once for a batch.

    Args:
        style_mixing: probability that an image has two latents, in [0, 1].
        **settings: see `GANModule` and `Plumbing`. The generator has `styles` and `synthesis`, see
            `gan_lab.networks.stylegan2`.
    Raises:
        ValueError: `style_mixing` out of range, or a generator without styles.
    """

    generator: Any

    def __init__(self, *, style_mixing: float, **settings: Any) -> None:
        super().__init__(**settings)
        if not 0 <= style_mixing <= 1:
            raise ValueError(f"style_mixing must be in [0, 1], got {style_mixing}")
        if not (hasattr(self.generator, "styles") and hasattr(self.generator, "synthesis")):
            raise ValueError(
                f"stylegan2 mixes styles, which {type(self.generator).__name__} has not; choose network=stylegan2, "
                "stylegan2_64 or stylegan2_256"
            )
        self.style_mixing = style_mixing

    def mixing(self, count: int) -> dict[str, Tensor]:
        """Second latents, and the layer from which on each rules: none of them where the image has one latent."""
        if not self.style_mixing:
            return {}
        layers = self.generator.num_layers
        mixed, where = self.draws.uniform("mixing", count, (2,)).unbind(1)
        crossover = 1 + (where * (layers - 1)).long()  # 1 .. layers - 1: both latents rule somewhere
        return {"second": self.latents(count), "crossover": crossover.where(mixed < self.style_mixing, layers)}

    def fakes(self, latents: Tensor) -> Tensor:
        """(B, *sample_shape): what G makes of these latents in training."""
        return self.generator(latents, **self.mixing(len(latents)))

    def paths(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """As `fakes`, with the (B, layers, w_dim) styles that they were made of: for the path length."""
        styles = self.generator.styles(latents, **self.mixing(len(latents)))
        return self.generator.synthesis(styles, noise=self.noise(len(latents))), styles

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with torch.no_grad():
                    fake = self.fakes(self.latents(len(real)))
                logits = {
                    "real_logits": self.discriminator(self.augmented(real, instead=fake)),
                    "fake_logits": self.discriminator(self.augmented(fake)),
                }
                loss = minimax.discriminator_loss(**logits).mean()
                step(loss + self.regularization("discriminator", real=real, fake=fake, **logits))
                self.record("loss/d", loss)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents = self.latents(count)
                fake = self.fakes(latents)
                logits = {"fake_logits": self.discriminator(self.augmented(fake))}
                loss = self.top_k_mean(minimax.generator_loss_non_saturating(**logits), **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)
