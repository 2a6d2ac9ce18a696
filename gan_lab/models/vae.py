"""Variational auto-encoder: the baseline without a discriminator."""

from collections.abc import Mapping
from typing import Any, Unpack

from torch import Tensor, nn

from gan_lab.losses import gaussian, reconstruction
from gan_lab.models.base import GenerativeModule, Plumbing
from gan_lab.sampling import LatentInputs

LIKELIHOODS = ("bernoulli", "gaussian")


class VAE(GenerativeModule):
    """Variational auto-encoder (Kingma and Welling 2014, algorithm 1 and equation 10, with one latent per sample).

    Encoder and decoder together, every batch: mean[-log p(x | z) + beta KL(q(z | x) | N(0, 1))], with z = m + s e,
    where (m, log s^2) is what the encoder gives for x, and e ~ N(0, 1). Both terms are sums over pixels or columns.

    The decoder is the network `generator`, from latents to samples, so that it is sampled, scored and exported as any
    other; it alone is averaged, since no encoder is needed for that.

    Args:
        generator: (B, latent_dim) float32 -> (B, *sample_shape), the mean of p(x | z), in [-1, 1].
        encoder: (B, *sample_shape) -> mean and log variance of q(z | x), each (B, latent_dim).
        latent_dim: length of a latent.
        likelihood: p(x | z): "bernoulli" (appendix C.1) reads [-1, 1] as shares of white; "gaussian" (C.2) has one
            fixed deviation. Departure: in the paper the decoder gives a deviation for each pixel; here it is any
            generator, which gives pixels alone.
        deviation: of "gaussian", in the unit of the pixels, more than 0; None for "bernoulli".
        beta: weight of the divergence, 0 or more; 1 is the paper's bound, more is Higgins et al. 2017.
        **plumbing: see `Plumbing`.
    Raises:
        ValueError: a network without encoder, augmentation without a discriminator to see it, or a value out of range.
    """

    groups = {"autoencoder": ("encoder", "generator")}
    counting_group = "autoencoder"
    closing_group = "autoencoder"
    averaged_networks = ("generator",)
    generator: nn.Module
    encoder: nn.Module

    def __init__(
        self,
        *,
        generator: nn.Module,
        encoder: nn.Module | None = None,
        latent_dim: int,
        likelihood: str,
        deviation: float | None,
        beta: float,
        **plumbing: Unpack[Plumbing],
    ) -> None:
        if encoder is None:
            raise ValueError("vae needs an encoder, which this network has not; choose network=vae")
        super().__init__({"generator": generator, "encoder": encoder}, **plumbing)
        if self.augment:
            raise ValueError(
                "model.augment changes what a discriminator sees, and vae has none; leave out "
                + ", ".join(self.augment)
            )
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}; got {likelihood!r}")
        if (likelihood == "gaussian") != (deviation is not None and deviation > 0):
            raise ValueError(
                f"likelihood=gaussian needs a deviation of more than 0, bernoulli has none (null); got {likelihood} "
                f"with {deviation}"
            )
        if beta < 0:
            raise ValueError(f"beta must be 0 or more, got {beta}")
        self.inputs = self.inputs_from({"latent_dim": latent_dim})
        self.deviation, self.beta = deviation, beta

    @classmethod
    def inputs_from(cls, settings: Mapping[str, Any]) -> LatentInputs:
        return LatentInputs(settings["latent_dim"], "normal")

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("autoencoder") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                mean, log_variance = (code.to(real.dtype) for code in self.encoder(real))
                noise = self.draws.normal("posterior", len(mean), mean.shape[1:]).to(mean.dtype)
                latents = mean + (0.5 * log_variance).exp() * noise
                fake = self.generator(latents)
                misfit = self.misfit(real, fake).mean()
                divergence = gaussian.divergence_from_standard(mean=mean, log_variance=log_variance).mean()
                loss = misfit + self.beta * divergence
                step(loss + self.regularization("autoencoder", real=real, fake=fake, latents=latents))
                self.record("loss/autoencoder", loss)
                self.record("loss/reconstruction", misfit)
                self.record("loss/divergence", divergence)

    def misfit(self, real: Tensor, fake: Tensor) -> Tensor:
        """(B,) -log p(x | z), with `fake` decoded from z."""
        if self.deviation is None:
            return reconstruction.bernoulli(real=real, reconstruction=fake)
        return gaussian.negative_log_likelihood(values=real, mean=fake, deviation=self.deviation)
