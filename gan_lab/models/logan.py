"""Latent-optimized GAN."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.losses import hinge
from gan_lab.losses.reduction import per_sample
from gan_lab.models.adversarial import GANModule


class LOGAN(GANModule):
    """LOGAN with natural gradients (Wu et al. 2019, section 3 and algorithm 1).

    Before either step a share of the latents is moved towards what D takes for real, and both losses are
    differentiated through that move. With f(z) = D(G(z)) and g = grad f(z):

    z' = clip(z + dz, -1, 1), dz = alpha * g / (beta + |g|^2).
    D, every batch: mean[h(1 - D(x)) + h(1 + D(G(z')))] + w * mean|dz|^2, where h = relu.
    G, every n_critic-th batch: -mean[D(G(z'))] + w * mean|dz|^2.

    |dz|^2 is 0 for latents that do not move. Departure of StudioGAN, not followed here: it counts the step that these
    would have taken, so that with 80 % of them moved its cost of the step is 1.25 times ours.

    Samples and scores are of latents as they are drawn: D is not there any more.

    Args:
        step_size: alpha, 0 or more.
        damping: beta, more than 0.
        optimized_share: of the latents, in [0, 1]; each is chosen by itself.
        step_weight: w, 0 or more.
        **settings: see `GANModule` and `Plumbing`.

    Raises:
        ValueError: a value out of these ranges, or latents that are not uniform on [-1, 1), to which z' is clipped.
    """

    def __init__(
        self, *, step_size: float, damping: float, optimized_share: float, step_weight: float, **settings: Any
    ) -> None:
        super().__init__(**settings)
        if step_size < 0 or damping <= 0 or step_weight < 0 or not 0 <= optimized_share <= 1:
            raise ValueError(
                "logan needs step_size >= 0, damping > 0, optimized_share in [0, 1] and step_weight >= 0, got "
                f"{step_size}, {damping}, {optimized_share} and {step_weight}"
            )
        if self.inputs.distribution != "uniform":
            raise ValueError(
                f"logan clips latents to [-1, 1], so they must be uniform; got latent_distribution="
                f"{self.inputs.distribution!r}"
            )
        self.step_size, self.damping = step_size, damping
        self.optimized_share, self.step_weight = optimized_share, step_weight

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                latents, move = self.moved(self.latents(len(real)))
                fake = self.generator(latents)
                logits = {
                    "real_logits": self.discriminator(self.augmented(real, instead=fake)),
                    "fake_logits": self.discriminator(self.augmented(fake)),
                }
                loss = hinge.discriminator_loss(**logits).mean()
                extras = self.regularization("discriminator", real=real, fake=fake.detach(), **logits)
                step(loss + self.step_weight * move + extras)
                self.record("loss/d", loss)
                self.record("latents/move", move)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents, move = self.moved(self.latents(count))
                fake = self.generator(latents)
                logits = {"fake_logits": self.discriminator(self.augmented(fake))}
                loss = self.top_k_mean(hinge.generator_loss(**logits), **logits)
                extras = self.regularization("generator", fake=fake, latents=latents, **logits)
                step(loss + self.step_weight * move + extras)
                self.record("loss/g", loss)

    def moved(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """(B, latent_dim) latents, of which a share has taken its step, and the mean squared length of the steps.

        Both carry the graph of the gradient, which is taken without autocast.
        """
        chosen = self.draws.uniform("moved", len(latents), (1,)) < self.optimized_share
        latents = latents.detach().requires_grad_()
        with torch.autocast(latents.device.type, enabled=False):
            score = self.discriminator(self.augmented(self.generator(latents)))
            (gradient,) = torch.autograd.grad(per_sample(score).sum(), latents, create_graph=True)
        step = self.step_size * gradient / (self.damping + gradient.square().sum(1, keepdim=True))
        step = torch.where(chosen, step, 0.0)
        return (latents + step).clamp(-1, 1), step.square().sum(1).mean()
