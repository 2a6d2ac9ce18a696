"""Wasserstein GAN with clipped weights."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.losses import wasserstein
from gan_lab.models.adversarial import GANModule


class WGAN(GANModule):
    """Wasserstein GAN (Arjovsky et al. 2017, algorithm 1).

    D, every batch: mean[D(G(z))] - mean[D(x)], then every weight of D clipped to [-c, c].
    G, after n_critic batches: -mean[D(G(z))]; after `warmup_critic` batches for the first `warmup_iterations` of G and
    for every `refresh_every`-th after them (the authors' published code; the paper has n_critic throughout).

    Args:
        clip_value: c, more than 0.
        warmup_critic: D steps to a G step while D has to catch up, 1 or more.
        warmup_iterations: how many G steps that takes, 0 or more.
        refresh_every: G steps from one such catching up to the next; None for no more.
        **settings: see `GANModule` and `Plumbing`.
    """

    boundary = None

    def __init__(
        self,
        *,
        clip_value: float,
        warmup_critic: int,
        warmup_iterations: int,
        refresh_every: int | None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if clip_value <= 0:
            raise ValueError(f"clip_value must be more than 0, got {clip_value}")
        if warmup_critic < 1 or warmup_iterations < 0 or (refresh_every is not None and refresh_every < 1):
            raise ValueError(
                "wgan needs warmup_critic >= 1, warmup_iterations >= 0 and refresh_every >= 1 or null, "
                f"got {warmup_critic}, {warmup_iterations} and {refresh_every}"
            )
        self.clip_value = clip_value
        self.warmup_critic, self.warmup_iterations = warmup_critic, warmup_iterations
        self.refresh_every = refresh_every

    def n_critic_now(self) -> int:
        done = self.steps["generator"]
        refresh = self.refresh_every is not None and done % self.refresh_every == 0
        return self.warmup_critic if done < self.warmup_iterations or refresh else self.n_critic

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real)))
                logits = {
                    "real_logits": self.discriminator(self.augmented(real, instead=fake)),
                    "fake_logits": self.discriminator(self.augmented(fake)),
                }
                loss = wasserstein.discriminator_loss(**logits).mean()
                step(loss + self.regularization("discriminator", real=real, fake=fake, **logits))
                self.record("loss/d", loss)
                self.record_logits(**logits)
        self.clip_weights()
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents = self.latents(count)
                fake = self.generator(latents)
                logits = {"fake_logits": self.discriminator(self.augmented(fake))}
                loss = self.top_k_mean(wasserstein.generator_loss(**logits), **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)

    @torch.no_grad()
    def clip_weights(self) -> None:
        """Clip every weight of D that is trained to [-c, c] (algorithm 1, line 7)."""
        weights: list[Tensor] = [weight for weight in self.discriminator.parameters() if weight.requires_grad]
        if weights:
            torch._foreach_clamp_min_(weights, -self.clip_value)
            torch._foreach_clamp_max_(weights, self.clip_value)
