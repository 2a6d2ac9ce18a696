"""Networks that take labels, so small that a step can be worked by hand, and what it takes to train them.

Reals (1, 0) of class 0 and (0, 1) of class 1; fakes (1, 0) of class 1 and (-1, 0) of class 0. With w = (3, 4) and the
classes' factors 0.1 and 2, D says 0.3 and 8 of the reals, 6 and -0.3 of the fakes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tiny import LATENTS, REAL, LinearCritic, Same, ScalingGenerator, fix_latents, settings, trainer_of
from torch import Tensor, nn

from gan_lab.callbacks.stop import Stop

REAL_LABELS, FAKE_LABELS = torch.tensor([0, 1]), torch.tensor([1, 0])
FAKE = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])


class ClassCritic(LinearCritic):
    """D(x, y) = s_y w.x, with s = (0.1, 2); its features are the sample."""

    feature_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.tensor([0.1, 2.0]))

    def features(self, samples: Tensor, labels: Tensor) -> Tensor:
        return samples

    def judge(self, features: Tensor, labels: Tensor) -> Tensor:
        return self.factors[labels] * (features @ self.weight)

    def forward(self, samples: Tensor, labels: Tensor) -> Tensor:
        return self.judge(self.features(samples, labels), labels)


class ClassGenerator(ScalingGenerator):
    """G(z, y) = a * z + b_y, with a = (1, 1), b_0 = (0, 0) and b_1 = (0, -1)."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor([[0.0, 0.0], [0.0, -1.0]]))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.scale * latents + self.shift[labels]


class SameLabelled(Same):
    """The two reals and their labels, for ever."""

    name, training_labels = "same", np.array([0, 1])

    def __init__(self) -> None:
        super().__init__(REAL)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while True:
            yield self.take(2)

    def take(self, count: int) -> dict[str, Tensor]:
        return {"real": REAL[:count], "labels": REAL_LABELS[:count]}


def module_of(
    model: type, *, d_lr: float = 0.0, g_lr: float = 0.0, augment: dict[str, Any] | None = None, **changes: Any
) -> Any:
    """The model with these networks, with `LATENTS` and `FAKE_LABELS` at every draw."""
    networks = {"generator": ClassGenerator(), "discriminator": ClassCritic()}
    classes = {"num_classes": 2, "label_distribution": "uniform"}
    module = model(**settings(d_lr=d_lr, g_lr=g_lr, augment=augment or {}, **networks), **classes, **changes)
    fix_latents(module, LATENTS)
    module.labels = lambda count: FAKE_LABELS[:count]
    return module


def step_once(module: Any) -> dict[str, dict[str, Tensor]]:
    """Train for one batch; what the regularizers of each phase were told."""
    told, original = {}, module.regularization

    def noted(group: str, **tensors: Tensor) -> Any:
        told[group] = {name: value.detach().clone() for name, value in tensors.items()}
        return original(group, **tensors)

    module.regularization = noted
    trainer_of([Stop(2 / 1000)]).fit(module, datamodule=SameLabelled())
    return told


def assert_regularizers_are_told(told: dict[str, dict[str, Tensor]]) -> None:
    """Samples, their labels, logits and latents of both phases."""
    discriminator, generator = told["discriminator"], told["generator"]
    assert discriminator.keys() == {"real", "fake", "real_labels", "fake_labels", "real_logits", "fake_logits"}
    assert generator.keys() == {"fake", "latents", "fake_labels", "fake_logits"}
    assert torch.equal(discriminator["real_labels"], REAL_LABELS)
    assert torch.equal(discriminator["real"], REAL)
    torch.testing.assert_close(discriminator["real_logits"], torch.tensor([0.3, 8.0]))
    for phase in (discriminator, generator):
        assert torch.equal(phase["fake_labels"], FAKE_LABELS)
        assert torch.equal(phase["fake"], FAKE)
        torch.testing.assert_close(phase["fake_logits"], torch.tensor([6.0, -0.3]))
    assert torch.equal(generator["latents"], LATENTS)
