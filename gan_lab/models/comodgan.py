"""CoModGAN: holes of any size, filled in many ways."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_lab.models.inpainting import InpaintingModule
from gan_lab.models.translation import beside
from gan_lab.sampling import SourceLatentInputs


class CoModGAN(InpaintingModule):
    """Large-scale image completion via co-modulated GANs (Zhao et al. 2021, section 3.2).

    With x the picture, m its mask and y what G makes of x outside of m and a latent z, x itself elsewhere:
    D, every batch: mean[-log D(x, m) - log(1 - D(y, m))].
    G, every batch: mean[-log D(y', m)], with y' of another latent.
    As in StyleGAN2, G takes noise for each of its convolutions, and with probability `style_mixing` the w of a second
    latent from a layer on (per image; the authors' code draws it once for a batch). There is no distance to x.

    R1 for D is a regularizer that conf/model/comodgan.yaml configures, lazy: a step of its own every so many.

    Args:
        latent_dim: length of a latent, 1 or more.
        style_mixing: probability that an image has two latents, in [0, 1].
        **settings: see `InpaintingModule` and `Plumbing`. The generator takes latents, see
            `gan_lab.networks.comodgan`.
    Raises:
        ValueError: `style_mixing` out of range, or a generator that takes no latents.
    """

    asked = "vector_dim"
    remedy = "network=comodgan"

    def __init__(self, *, latent_dim: int, style_mixing: float, **settings: Any) -> None:
        super().__init__(**settings)
        if not 0 <= style_mixing <= 1:
            raise ValueError(f"style_mixing must be in [0, 1], got {style_mixing}")
        self.style_mixing = style_mixing
        self.inputs = self.inputs_from({**settings, "latent_dim": latent_dim})

    @classmethod
    def inputs_from(cls, settings: Mapping[str, Any]) -> SourceLatentInputs:
        return SourceLatentInputs(settings["condition_shape"], settings["masked"], settings["latent_dim"], "normal")

    def drawn(self, count: int) -> dict[str, Tensor]:
        """What G takes beside the sources in training: latents, who is mixed and where, noise, what dropout leaves."""
        draws, generator = self.draws, self.generator
        given = {
            "latents": self.inputs.latents(draws, count),
            "noise": draws.normal_by_blocks("noise", count, (generator.noise_size,)),
        }
        if generator.encoder.dropout:
            given["kept"] = draws.uniform("dropout", count, (generator.vector_dim,)) >= generator.encoder.dropout
        if self.style_mixing:
            layers = generator.num_layers
            mixed, where = draws.uniform("mixing", count, (2,)).unbind(1)
            crossover = 1 + (where * (layers - 1)).long()  # 1 .. layers - 1: both latents rule somewhere
            given["second"] = self.inputs.latents(draws, count)
            given["crossover"] = crossover.where(mixed < self.style_mixing, layers)
        return given

    def translated(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, *sample_shape): the batch's holes filled anew."""
        return self.generator(**beside(batch), **self.drawn(len(batch["condition"])))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        parts = self.micro_batches(batch)
        with self.updating("discriminator") as step:
            for part in parts:
                real, given = part["real"], beside(part)
                with torch.no_grad():
                    fake = self.translated(part)
                logits = {
                    "real_logits": self.judge(real, instead=fake, **given),
                    "fake_logits": self.judge(fake, **given),
                }
                loss = self.adversarial.discriminator(**logits).mean()
                step(loss + self.regularization("discriminator", real=real, fake=fake, **given, **logits))
                self.record("loss/d", loss)
                self.record_logits(**logits)
        with self.updating("generator") as step:
            for part in parts:
                real, given = part["real"], beside(part)
                fake = self.translated(part)
                judged = {"fake_logits": self.judge(fake, **given), "real_logits": self.compared(real, given)}
                loss = self.adversarial.generator(**judged).mean()
                step(loss + self.regularization("generator", real=real, fake=fake, **given, **judged))
                self.record("loss/g", loss)
