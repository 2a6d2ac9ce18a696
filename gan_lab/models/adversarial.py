"""What the GANs of latents share: two networks, the count of D's steps to one of G's, latents."""

import math
from collections.abc import Mapping
from typing import Any, Unpack

from torch import Tensor, nn

from gan_lab import collectives
from gan_lab.models.base import GenerativeModule, Plumbing
from gan_lab.sampling import LatentInputs


class GANModule(GenerativeModule):
    """A generator of latents against one discriminator: n_critic steps of D to each step of G.

    Args:
        generator: (B, latent_dim) float32 -> (B, *sample_shape) in [-1, 1].
        discriminator: (B, *sample_shape) -> (B,) logits.
        latent_dim: length of a latent.
        latent_distribution: "normal" or "uniform" on [-1, 1).
        n_critic: D steps per G step, 1 or more.
        generator_batch_size: global number of fakes in a G step.
        **plumbing: see `Plumbing`.
    Attributes:
        boundary: the logit at which D takes neither side; None for a critic, whose zero means nothing.
    """

    boundary: float | None = 0.0
    groups = {"discriminator": ("discriminator",), "generator": ("generator",)}
    counting_group = "discriminator"
    closing_group = "generator"
    averaged_networks = ("generator",)
    generator: nn.Module
    discriminator: nn.Module

    def __init__(
        self,
        *,
        generator: nn.Module,
        discriminator: nn.Module,
        latent_dim: int,
        latent_distribution: str,
        n_critic: int,
        generator_batch_size: int,
        **plumbing: Unpack[Plumbing],
    ) -> None:
        super().__init__({"generator": generator, "discriminator": discriminator}, **plumbing)
        if n_critic < 1:
            raise ValueError(f"n_critic must be 1 or more, got {n_critic}")
        if generator_batch_size < 1:
            raise ValueError(f"generator_batch_size must be 1 or more, got {generator_batch_size}")
        self.inputs = LatentInputs(latent_dim, latent_distribution)
        self.n_critic, self.generator_batch_size = n_critic, generator_batch_size
        self.critic_steps = 0

    @classmethod
    def inputs_from(cls, settings: Mapping[str, Any]) -> LatentInputs:
        return LatentInputs(settings["latent_dim"], settings["latent_distribution"])

    def latents(self, count: int) -> Tensor:
        """(count, latent_dim) fresh latents on the module's device: this rank's slice of the global draw."""
        return self.inputs.latents(self.draws, count).to(self.device, non_blocking=True)

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) or (B, ...) logits for images as D gets to see them in training; a conditional D also eats `labels`."""
        return self.discriminator(self.seen(images))

    def generator_turn(self) -> bool:
        """Whether D has had the steps that G's next one asks for."""
        return self.critic_steps >= self.n_critic_now()

    def n_critic_now(self) -> int:
        """D steps before the coming G step; a paper with a warm-up overrides it."""
        return self.n_critic

    def generator_pieces(self) -> list[int]:
        """How many fakes this rank makes in each piece of a G step."""
        whole = self.generator_batch_size
        pieces = 1 if self.micro_batch_size is None else math.ceil(whole / self.micro_batch_size)
        if whole % (pieces * collectives.world()):
            raise ValueError(
                f"generator_batch_size={whole} cannot be cut into {pieces} equal pieces on {collectives.world()} ranks"
            )
        return [whole // pieces // collectives.world()] * pieces

    def on_fit_start(self) -> None:
        self.generator_pieces()  # refuses what it cannot cut before anything is trained
        super().on_fit_start()

    def _count(self, group: str) -> None:
        self.critic_steps = 0 if group == self.closing_group else self.critic_steps + 1
        super()._count(group)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["counters"]["critic_steps"] = self.critic_steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.critic_steps = checkpoint["counters"]["critic_steps"]
