"""VAE/GAN: a variational auto-encoder whose reconstructions are compared by what a discriminator sees in them."""

from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.losses import gaussian, minimax
from gan_lab.models.adversarial import GANModule


class VAEGAN(GANModule):
    """VAE/GAN (Larsen et al. 2016, algorithm 1). z ~ q(z | x) of the encoder, r = G(z), and p is a latent of the prior.

    D, every batch: -mean[log D(x) + log(1 - D(r)) + log(1 - D(G(p)))].
    Encoder, every n_critic-th batch: mean[KL(q(z | x) | N(0, 1)) - log p(F(x) | z)].
    G, then: gamma mean[-log p(F(x) | z)] - mean[log D(r) + log D(G(p))].

    F are the features on which D judges, its last hidden layer, and p(F(x) | z) = N(F(x); F(r), 1) (equation 7); both
    terms of the bound are sums over features or columns. The decoder is the network `generator`.

    Departures: the paper's three updates come from one pass; here each has its own, D first. The paper's G maximizes
    D's loss, and its authors' code skips the steps of whoever is too strong; here G's term is the non-saturating one,
    which needs no such rule. F(x) and F(r) are seen through the same augmentation, so that they can be compared.

    Args:
        encoder: (B, *sample_shape) -> mean and log variance of q(z | x), each (B, latent_dim).
        gamma: weight of the reconstruction in G's loss, 0 or more.
        **settings: see `GANModule` and `Plumbing`. The discriminator also has `features`: see `networks.base`.
    Raises:
        ValueError: a network without encoder, a discriminator without features, latents that are not normal, batches of
            different sizes for D and G, who share the reals, or a value out of range.
    """

    groups = {"discriminator": ("discriminator",), "encoder": ("encoder",), "generator": ("generator",)}
    encoder: nn.Module

    def __init__(self, *, encoder: nn.Module | None = None, gamma: float, **settings: Any) -> None:
        super().__init__(**settings)
        if encoder is None or not hasattr(self.discriminator, "features"):
            raise ValueError("vaegan needs an encoder, and a discriminator with features; choose network=vaegan")
        if gamma < 0:
            raise ValueError(f"gamma must be 0 or more, got {gamma}")
        if settings["latent_distribution"] != "normal":
            raise ValueError(
                f"vaegan's prior is normal: latent_distribution=normal; got {settings['latent_distribution']!r}"
            )
        if self.generator_batch_size != self.batch_size:
            raise ValueError(
                f"vaegan's G reconstructs the reals of D's batch of {self.batch_size}, so generator_batch_size has to "
                f"be {self.batch_size}, got {self.generator_batch_size}"
            )
        self.encoder, self.gamma = encoder, gamma

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with torch.no_grad():
                    decoded = self.generator(self.posterior(real)[0])
                    fake = self.generator(self.latents(len(real)))
                logits = {
                    "real_logits": self.discriminator(self.augmented(real, instead=fake)),
                    "fake_logits": self.discriminator(self.augmented(fake)),
                }
                decoded_logits = self.discriminator(self.augmented(decoded))
                of_decoded = -minimax.generator_loss_saturating(fake_logits=decoded_logits)
                loss = (minimax.discriminator_loss(**logits) + of_decoded).mean()
                step(loss + self.regularization("discriminator", real=real, fake=fake, **logits))
                self.record("loss/d", loss)
                self.record("logits/decoded", decoded_logits)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("encoder") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                latents, divergence = self.posterior(real)
                decoded = self.generator(latents)
                loss = (divergence + self.misfit(real, decoded)).mean()
                step(loss + self.regularization("encoder", real=real, fake=decoded, latents=latents))
                self.record("loss/encoder", loss)
                self.record("loss/divergence", divergence)
        with self.updating("generator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with torch.no_grad():
                    posterior, _ = self.posterior(real)
                decoded = self.generator(posterior)
                latents = self.latents(len(real))
                fake = self.generator(latents)
                logits = {"fake_logits": self.discriminator(self.augmented(fake))}
                of_fake = self.top_k_mean(minimax.generator_loss_non_saturating(**logits), **logits)
                decoded_logits = self.discriminator(self.augmented(decoded))
                of_decoded = minimax.generator_loss_non_saturating(fake_logits=decoded_logits).mean()
                misfit = self.misfit(real, decoded).mean()
                extras = self.regularization("generator", fake=fake, latents=latents, **logits)
                step(self.gamma * misfit + of_fake + of_decoded + extras)
                self.record("loss/g", of_fake + of_decoded)
                self.record("loss/reconstruction", misfit)

    def posterior(self, real: Tensor) -> tuple[Tensor, Tensor]:
        """(B, latent_dim) draws from q(z | x) for (B, *sample_shape) reals, and its (B,) divergence from the prior."""
        mean, log_variance = (code.to(real.dtype) for code in self.encoder(real))
        noise = self.draws.normal("posterior", len(mean), mean.shape[1:]).to(mean.dtype)
        divergence = gaussian.divergence_from_standard(mean=mean, log_variance=log_variance)
        return mean + (0.5 * log_variance).exp() * noise, divergence

    def misfit(self, real: Tensor, decoded: Tensor) -> Tensor:
        """(B,) -log p(F(x) | z) of reals and of what z was decoded to."""
        moment = self.draws.state_dict()
        with torch.no_grad():
            target = self.discriminator.features(self.augmented(real))  # type: ignore[operator]
        self.draws.load_state_dict(moment)  # the same draws, hence the same augmentation
        features = self.discriminator.features(self.augmented(decoded))  # type: ignore[operator]
        return gaussian.negative_log_likelihood(values=target, mean=features, deviation=1.0)
