"""What the GANs of latents share: two networks, the count of D's steps to one of G's, latents."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn

from gan_lab import collectives
from gan_lab.losses.reduction import per_sample
from gan_lab.models.base import GenerativeModule, Plumbing
from gan_lab.sampling import LatentInputs
from gan_lab.schedules import Schedule, as_schedule


class GANModule(GenerativeModule):
    """A generator of latents against one discriminator: n_critic steps of D to each step of G.

    Args:
        generator: (B, latent_dim) float32 -> (B, *sample_shape) in [-1, 1]. One with an attribute `noise_size` is given
            (B, noise_size) standard normal as `noise`, too.
        discriminator: (B, *sample_shape) -> (B,) logits.
        latent_dim: length of a latent.
        latent_distribution: "normal" or "uniform" on [-1, 1).
        n_critic: D steps per G step, 1 or more.
        generator_batch_size: global number of fakes in a G step.
        top_k: share of a G step's fakes that count, those with the highest logits, or a schedule of it (Sinha et al.
            2020, section 3); None for all. With micro-batches it is a share of each.
        **plumbing: see `Plumbing`.
    Attributes:
        judgement: what D gives for samples, "logits" or "images"; its attribute of this name says it, where it has one.
        boundary: the logit at which D takes neither side; None for a critic, whose zero means nothing.
        pairs: whether the loss compares each real with the fake of its number.
    """

    judgement: ClassVar[str] = "logits"
    boundary: float | None = 0.0
    pairs = False
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
        top_k: float | Schedule | None,
        **plumbing: Unpack[Plumbing],
    ) -> None:
        super().__init__({"generator": generator, "discriminator": discriminator}, **plumbing)
        given = getattr(discriminator, "judgement", self.judgement)
        if given != self.judgement:
            other = "network=began" if self.judgement == "images" else "another network, such as network=dcgan_small"
            raise ValueError(
                f"{type(self).__name__.lower()} needs a discriminator that gives {self.judgement}, and "
                f"{type(discriminator).__name__} gives {given}; choose {other}"
            )
        if n_critic < 1:
            raise ValueError(f"n_critic must be 1 or more, got {n_critic}")
        if generator_batch_size < 1:
            raise ValueError(f"generator_batch_size must be 1 or more, got {generator_batch_size}")
        if hasattr(generator, "noise_size"):
            generator.register_forward_pre_hook(self._with_noise, with_kwargs=True)
        self.inputs = LatentInputs(latent_dim, latent_distribution)
        if isinstance(top_k, int | float) and not 0 < top_k <= 1:
            raise ValueError(f"top_k is a share, more than 0 and at most 1; got {top_k}")
        self.n_critic, self.generator_batch_size = n_critic, generator_batch_size
        self.top_k = None if top_k is None else as_schedule(top_k)
        self.critic_steps = 0

    @classmethod
    def inputs_from(cls, settings: Mapping[str, Any]) -> LatentInputs:
        return LatentInputs(settings["latent_dim"], settings["latent_distribution"])

    def latents(self, count: int) -> Tensor:
        """(count, latent_dim) fresh latents on the module's device: this rank's slice of the global draw."""
        return self.inputs.latents(self.draws, count)

    def noise(self, count: int) -> Tensor:
        """(count, noise_size) standard normal of a generator that takes noise: this rank's slice of the global draw."""
        return self.draws.normal_by_blocks("noise", count, (self.generator.noise_size,))  # type: ignore[arg-type]

    def _with_noise(self, generator: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        """What the generator is called with, and noise of this module's draws; by itself it draws other on each rank.

        In training alone: samples for people and scores move no draws.
        """
        drawn = generator.training and "noise" not in named
        latents = given[0] if given else named["latents"]
        return given, {**named, "noise": self.noise(len(latents))} if drawn else named

    def feature_dim(self) -> int:
        """Columns of D's features, for a head that reads them.

        Raises:
            ValueError: D has no features.
        """
        if not hasattr(self.discriminator, "features"):
            raise ValueError(
                f"{type(self).__name__.lower()} needs a discriminator with features, and "
                f"{type(self.discriminator).__name__} has none; choose network=dcgan"
            )
        return self.discriminator.feature_dim  # type: ignore[return-value]

    def logits(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) or (B, ...) logits of D for images as they are; a conditional D also takes `labels`."""
        return self.discriminator(images)

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) or (B, ...) logits for images as D gets to see them in training."""
        return self.logits(self.augmented(images), labels)

    def reals(self, count: int) -> dict[str, Tensor]:
        """A fresh batch of `count` reals on this rank, of which no other step sees any, on the module's device."""
        batch = self.trainer.datamodule.take(count * collectives.world())  # type: ignore[attr-defined]
        return self.trainer.precision_plugin.convert_input(batch)  # as Lightning does with its own batches

    def top_k_mean(self, losses: Tensor, *, fake_logits: Tensor) -> Tensor:
        """The mean of G's losses, (B,), over those fakes of the micro-batch, on all ranks, that `top_k` lets count."""
        if self.top_k is None:
            return losses.mean()
        with torch.no_grad():
            scores = per_sample(fake_logits)
            everywhere = collectives.gather(scores)
            count = min(max(1, round(self.top_k(self.images_seen) * len(everywhere))), len(everywhere))
            chosen = torch.zeros_like(everywhere).index_fill_(0, everywhere.topk(count).indices, 1.0)
            weights = chosen[collectives.rank() * len(scores) :][: len(scores)] * (len(everywhere) / count)
        return (losses * weights).mean()

    def generator_turn(self) -> bool:
        """Whether D has had the steps that G's next one asks for."""
        return self.critic_steps >= self.n_critic_now()

    def n_critic_now(self) -> int:
        """D steps before the coming G step; a paper with a warm-up overrides it."""
        return self.n_critic

    def generator_micro_batches(self) -> list[int]:
        """How many fakes this rank makes in each micro-batch of a G step."""
        whole = self.generator_batch_size
        micro_batches = 1 if self.micro_batch_size is None else math.ceil(whole / self.micro_batch_size)
        if whole % (micro_batches * collectives.world()):
            raise ValueError(
                f"generator_batch_size={whole} cannot be cut into {micro_batches} equal micro-batches on "
                f"{collectives.world()} ranks"
            )
        return [whole // micro_batches // collectives.world()] * micro_batches

    def on_fit_start(self) -> None:
        self.generator_micro_batches()  # refuses what it cannot cut before anything is trained
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
