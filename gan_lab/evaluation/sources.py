"""Where the samples of an evaluation come from: a generator, or files."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gan_lab.metrics.base import Block
from gan_lab.sampling import Draws, reseed_default_generators


class Source(Protocol):
    """Makes any block of samples, alone."""

    def make(self, block: int, size: int) -> Block:
        """Samples block * size .. (block + 1) * size - 1; the last ones need not all be there."""

    def protocol(self) -> dict[str, Any]:
        """What decides the samples, beside their number and the block's size, as plain JSON values."""


class WayBack(NamedTuple):
    """The generator of the other direction, of a model that translates either way.

    Attributes:
        network: makes sources of samples.
        inputs: draws what it is given, see `gan_lab.sampling.SourceInputs`.
    """

    network: nn.Module
    inputs: Any


class Generated:
    """Samples of a generator.

    Args:
        network: makes samples from what `inputs` draws.
        inputs: see `gan_lab.sampling.LatentInputs`.
        render: makes uint8 images of samples.
        weights: "ema" or "live": which ones these are.
        seed: of the samples.
        device: where the network is.
        asked: further settings of network and inputs, see `gan_lab.evaluation.generation`.
        sources: what `inputs` are bound to, where they are pictures: a `gan_lab.data.sourced.Sources`.
        network_back: see `gan_lab.metrics.base.Block`.
    """

    def __init__(
        self,
        network: nn.Module,
        inputs: Any,
        render: Callable[[Tensor], Tensor],
        *,
        weights: str,
        seed: int,
        device: torch.device,
        asked: Mapping[str, Any] | None = None,
        sources: Any = None,
        network_back: nn.Module | None = None,
    ) -> None:
        self.sources, self.network_back = sources, network_back
        self.network, self.inputs, self.render = network, inputs, render
        self.weights, self.seed, self.device, self.asked = weights, seed, device, dict(asked or {})

    def protocol(self) -> dict[str, Any]:
        return about_generated(self.seed, self.weights, self.sources) | self.asked

    def make(self, block: int, size: int) -> Block:
        draws = Draws(self.seed, across_ranks=False)
        draws.move_to(block)
        reseed_default_generators(self.seed, block, across_ranks=False)
        drawn = self.inputs.draw(draws, size, first=block * size)
        arguments = {name: value.to(self.device) for name, value in drawn.items()}
        samples = self.network(**arguments)
        images = self.render(samples)
        made = Block(self.network, arguments, draws, samples, images, size, self.device, labels=drawn.get("labels"))
        made.first, made.network_back = block * size, self.network_back
        if self.sources is not None:
            of = self.sources.block(block * size, size)
            made.targets, made.sources = of.get("targets"), of["condition"]
            made.masks, made.labels = of.get("mask"), of.get("labels")
        return made


def about_generated(seed: int, weights: str, sources: Any = None) -> dict[str, Any]:
    """What a protocol says of the samples of a generator."""
    about = {"seed": seed, "weights": weights, "truncation": None}
    return about if sources is None else about | {"sources": sources.protocol()}


class Stored:
    """Images of files, in their order.

    Which files they are is no part of the protocol, as little as a generator's weights are: that is what is scored.

    Args:
        images: a `gan_lab.data.reference.ReferenceSet`, whose `split` says how they were brought to their size.
        seed: of the draws of probes.
        device: where the extractors are.
    """

    def __init__(self, images: Any, *, seed: int, device: torch.device) -> None:
        self.images, self.seed, self.device = images, seed, device

    def protocol(self) -> dict[str, Any]:
        return {"seed": self.seed, "weights": None, "images": self.images.split}

    def make(self, block: int, size: int) -> Block:
        draws = Draws(self.seed, across_ranks=False)
        draws.move_to(block)
        chosen = slice(block * size, (block + 1) * size)
        images = torch.from_numpy(np.array(self.images.images[chosen]))
        labels = None if self.images.labels is None else torch.from_numpy(self.images.labels[chosen])
        return Block(None, {}, draws, None, images.to(self.device), len(images), self.device, labels=labels)
