"""Regularizers that any model can take by configuration: `+regularizer@model.regularizers.r1=r1`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from gan_lab.schedules import Schedule, as_schedule


@dataclass
class Phase:
    """What a model tells its regularizers of one micro-batch of a phase; None is what this model or phase has not.

    Attributes:
        real, fake: (B, *sample_shape) before augmentation; `fake` has G's graph in G's phase alone.
        real_logits, fake_logits: (B,) of D, of what it was shown.
        real_labels, fake_labels: (B,) int64 of a conditional model.
        condition, mask: of a translation, what both D and G are given: (B, C', H', W'), and (B, 1, H, W) with 1 = hole.
        latents: (B, latent_dim) that made `fake`.
        by: name of the discriminator that judges these, where a model has several.
    """

    real: Tensor | None = None
    fake: Tensor | None = None
    real_logits: Tensor | None = None
    fake_logits: Tensor | None = None
    real_labels: Tensor | None = None
    fake_labels: Tensor | None = None
    latents: Tensor | None = None
    condition: Tensor | None = None
    mask: Tensor | None = None
    by: str | None = None

    def beside(self, side: str) -> dict[str, Any]:
        """What a model's `judge` is given beside the "real" or "fake" samples, by keyword."""
        labels = getattr(self, f"{side}_labels")
        given = {"labels": labels, "condition": self.condition, "mask": self.mask, "by": self.by}
        return {name: value for name, value in given.items() if value is not None}

    def detached(self) -> "Phase":
        """The same tensors, without a graph: for a step of its own, after the phase's."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        detached: dict[str, Any] = {n: v.detach() if isinstance(v, Tensor) else v for n, v in values.items()}
        return Phase(**detached)


class Regularizer(nn.Module, ABC):
    """One more term of a phase's loss. What it keeps from step to step is a buffer, so that checkpoints hold it.

    Args:
        weight: factor on the mean penalty, 0 or more; or a schedule of it.
        every: 1 adds it to the loss of each step. k makes it lazy: a step of its own after every k-th one, k times as
            heavy, with the learning rate and betas of the group corrected (Karras et al. 2020, appendix B).
    Attributes:
        group: the group of networks in whose phase it is added.
        name: its curve is `reg/<name>`.
    """

    group = "discriminator"
    name: str

    def __init__(self, weight: float | Schedule, every: int) -> None:
        super().__init__()
        if not callable(weight) and weight < 0:
            raise ValueError(f"the weight of regularizer {self.name} must be 0 or more, got {weight}")
        if every < 1:
            raise ValueError(f"regularizer {self.name}: every must be 1 or more, got {every}")
        self.weight, self.every = as_schedule(weight), every

    def check(self, module: Any) -> None:
        """Raise ValueError, with the reason, where this makes no sense for `module` (see `GenerativeModule`)."""

    @abstractmethod
    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) penalties, or one, unweighted, with a graph to the parameters of the group."""
