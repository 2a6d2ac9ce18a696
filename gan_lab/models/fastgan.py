"""FastGAN: few pictures, large ones, and a discriminator that learns to rebuild what it sees."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.losses import hinge
from gan_lab.losses.reconstruction import squared
from gan_lab.models.adversarial import GANModule
from gan_lab.models.perceptual import FeatureDistance

QUARTERS = 4


class FastGAN(GANModule):
    """FastGAN (Liu et al. 2021, sections 3.2 and 3.3): hinge loss, and a D from whose maps three decoders rebuild.

    With G(z) a picture and a small one, which D judges by 5x5 logits each; margins m ~ U[least_margin, 1], one for each
    logit; x reals as D is shown them, I their whole or one quarter, all of a batch the same, made small; and I' what
    D's decoders make of its maps:

    D, every batch: mean[h(m - D(x)) + h(m + D(G(z)))] + w sum of mean[d(I, I')] over whole, quarter and whole,
    where h = relu.
    G, every n_critic-th batch: -mean[D(G(z))].

    d is the mean squared difference of pixels, or with `perceptual` a distance in an extractor's maps. Departures: the
    paper's d is LPIPS, which needs VGG16's weights; its code makes one batch of fakes for both steps, here each step
    has its own. DiffAugment is a choice of `augment`, which the two sizes of a fake go through apart, as in that code.

    Args:
        least_margin: of the hinge, from 0 to 1 (the authors' code: .8); 1 for the usual one.
        reconstruction_weight: w, 0 or more (paper: 1); 0 leaves D's decoders as they are.
        perceptual: makes the extractor; null for pixels.
        **settings: see `GANModule` and `Plumbing`.
    Raises:
        ValueError: networks without a small picture, or a value out of range.
    """

    def __init__(
        self,
        *,
        least_margin: float,
        reconstruction_weight: float,
        perceptual: Callable[[], nn.Module] | None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if not 0 <= least_margin <= 1:
            raise ValueError(f"model.least_margin must be from 0 to 1, got {least_margin}")
        if not reconstruction_weight >= 0:
            raise ValueError(f"model.reconstruction_weight must be 0 or more, got {reconstruction_weight}")
        sizes = [getattr(network, "small_size", None) for network in (self.generator, self.discriminator)]
        if sizes[0] is None or sizes[0] != sizes[1]:
            raise ValueError(
                "fastgan needs a generator that makes a small picture beside each, and a discriminator that judges "
                "both and rebuilds them; choose network=fastgan"
            )
        self.least_margin, self.reconstruction_weight = least_margin, reconstruction_weight
        self.perceptual = None if perceptual is None else FeatureDistance(perceptual)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self.perceptual is not None:
            weight, size = next(self.generator.parameters()), self.generator.small_size
            shape = (1, self.generator.sample_shape[0], size, size)  # type: ignore[index]
            self.perceptual.prepare(torch.zeros(shape, device=self.device, dtype=weight.dtype), self.trainer.local_rank)  # type: ignore[arg-type]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with torch.no_grad():
                    fake, small = self.generator(self.latents(len(real)), both=True)
                shown = self.augmented(real, instead=fake)
                (quarter,) = self.draws.decisions("quarter", 1, QUARTERS)
                real_logits, rebuilt = self.discriminator(shown, quarter=quarter)
                fake_logits = self.discriminator(self.augmented(fake), self.augmented(small))
                logits = {"real_logits": real_logits, "fake_logits": fake_logits}
                loss = hinge.soft_discriminator_loss(**logits, margins=self.margins(real_logits)).mean()
                misfit = self.misfit(self.discriminator.targets(shown, quarter), rebuilt)  # type: ignore[operator]
                extras = self.regularization("discriminator", real=real, fake=fake, **logits)
                step(loss + self.reconstruction_weight * misfit + extras)
                self.record("loss/d", loss)
                self.record("loss/reconstruction", misfit)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents = self.latents(count)
                fake, small = self.generator(latents, both=True)
                logits = {"fake_logits": self.discriminator(self.augmented(fake), self.augmented(small))}
                loss = self.top_k_mean(hinge.generator_loss(**logits), **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)

    def margins(self, logits: Tensor) -> Tensor:
        """(B, 2, ...) in [least_margin, 1) for reals and fakes, each with (B, ...) logits."""
        drawn = self.draws.uniform("margins", len(logits), (2, *logits.shape[1:]))
        return self.least_margin + (1 - self.least_margin) * drawn

    def misfit(self, targets: tuple[Tensor, ...], rebuilt: tuple[Tensor, ...]) -> Tensor:
        """The sum over pairs of their mean distances, one number.

        Args:
            targets: (B, C, H, W) each.
            rebuilt: as `targets`.
        """
        terms = []
        for target, made in zip(targets, rebuilt, strict=True):
            if self.perceptual is None:
                terms.append(squared(images=target, reconstruction=made).mean())
            else:
                terms.append(self.perceptual(real=target, fake=made).mean())
        return torch.stack(terms).sum()
