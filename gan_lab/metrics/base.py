"""What every metric is to the evaluation stage: blocks in, in order; named numbers out."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from gan_lab.metrics.blocks import joined
from gan_lab.metrics.reference import Reference, ReferenceStatistics


@dataclass
class Block:
    """What a probe may use of a block of samples, on the rank that made it.

    Attributes:
        network: the generator, in eval mode; None where the images come from files.
        arguments: of the call that made the samples: (B, ...) tensors by keyword, on the device.
        draws: the block's own randomness, see `gan_lab.sampling.Draws`; a probe draws under purposes of its own.
        samples: (B, ...) what the network made; None where the images come from files.
        images: (B, C, H, W) uint8, as rendered.
        count: how many of the B samples count: the last block may be longer than what is asked for.
        device: where the network and the extractor are.
        labels: (B,) int64 on the CPU, where the samples have classes.
        extractor: the metric's.
        targets: (B, C, H, W) uint8, what a translator's samples should be, where that is known.
        sources: (B, C', H', W') uint8, the conditions that the samples were made of, where they are pictures.
        masks: (B, 1, H, W) bool, True where a hole was to be filled, where there are masks.
        network_back: makes sources of samples, in eval mode, where the model translates either way.
        first: number of the first of the B samples.
    """

    network: nn.Module | None
    arguments: dict[str, Tensor]
    draws: Any
    samples: Tensor | None
    images: Tensor
    count: int
    device: torch.device
    labels: Tensor | None = None
    extractor: Any = None
    targets: Tensor | None = None
    sources: Tensor | None = None
    masks: Tensor | None = None
    network_back: nn.Module | None = None
    first: int = 0

    @property
    def hole_share(self) -> Tensor | None:
        """(B,) float64 in [0, 1]: how much of each picture is hole, where there are masks."""
        return None if self.masks is None else self.masks.flatten(1).sum(dim=1).double() / self.masks[0].numel()


class BlockMetric(Metric):
    """A torchmetrics Metric that keeps its blocks on the CPU and leaves gathering over ranks to the evaluation stage.

    Args:
        extractor: which of the stage's further extractors it uses; None for the main one.
    Attributes:
        name: stem of the score's name; the stage adds extractor and number of samples.
        higher_is_better: None where it cannot rank runs.
        needs: its inputs of each block, in this order: its extractor's "features" or "logits", "images" (uint8),
            "labels" (int64), "samples" (the network's own output), "targets" and "sources" (uint8), "masks" (bool),
            "hole_share" (float64), or "probe", what its `probe` gives.
        probe_needs: which of a block's "labels", "samples", "targets", "sources", "masks" and "network_back" its
            `probe` cannot do without; unlike its `needs`, they are not kept.
        in_space: whether an extractor has a part in it.
        uses_reference: whether `set_reference` must come before `compute`.
        needs_network: whether its `probe` calls the generator, so that images of files have no such score.
        intervals: whether its main value may be bootstrapped over blocks.
        of_each: whether `per_picture` says something of each sample.
        minimum: fewest generated samples that give a value.
    """

    name: str
    needs: tuple[str, ...]
    probe_needs: tuple[str, ...] = ()
    in_space: bool = True
    uses_reference: bool
    needs_network: bool = False
    intervals: bool = False
    of_each: bool = False
    minimum: int = 2
    full_state_update = False

    def __init__(self, extractor: str | None = None) -> None:
        super().__init__(sync_on_compute=False, dist_sync_on_step=False)
        self.extractor = extractor
        for need in self.needs:
            self.add_state(f"blocks_{need}", default=[], dist_reduce_fx="cat")
        self._reference: Reference | None = None

    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """All parameters that decide the value, as plain JSON values."""

    def minimum_in(self, columns: int) -> int:
        """Fewest generated samples in a space of so many features."""
        return self.minimum

    def set_reference(self, reference: Reference) -> None:
        """What generated samples are compared with; survives `reset`."""
        self._reference = reference

    def probe(self, block: Block) -> Tensor:
        """What this metric measures of a block by itself: one row per sample or pair that counts."""
        raise NotImplementedError(f"{self.name} has no probe")

    def update(self, *values: Tensor) -> None:
        """Take a block: the next B rows of each of `needs`, on any device."""
        for need, value in zip(self.needs, values, strict=True):
            getattr(self, f"blocks_{need}").append(value.detach().cpu())

    def check(self, *values: Tensor) -> None:
        """Raise ValueError where blocks of these shapes cannot be scored; called before training, as `update` is."""

    def check_reference(self, count: int, labels: Tensor | None) -> None:
        """Raise ValueError where a reference of `count` images and these (count,) labels cannot be compared with."""

    def values(self, need: str) -> Tensor:
        """All blocks of one of `needs` so far: (N, ...) as they came, and not to be changed; see `joined`."""
        blocks: list[Tensor] = getattr(self, f"blocks_{need}")
        if sum(map(len, blocks)) < self.minimum:
            raise ValueError(f"{self.name} needs at least {self.minimum} samples, got {sum(map(len, blocks))}")
        return joined(blocks)

    @property
    def reference(self) -> Reference:
        """What was set."""
        if self._reference is None:
            raise RuntimeError(f"{self.name} needs set_reference before compute")
        return self._reference

    def statistics(self, columns: int) -> ReferenceStatistics:
        """Of the reference, which must have so many feature columns."""
        statistics = self.reference.statistics
        if statistics is None:
            raise RuntimeError(f"{self.name} needs a reference with features")
        if len(statistics.mean) != columns:
            raise ValueError(f"{self.name}: reference has {len(statistics.mean)} columns, samples have {columns}")
        return statistics

    def per_picture(self) -> Tensor:
        """(N,) float64: the value of each sample since the last reset, in their order; NaN where it has none."""
        raise NotImplementedError(f"{self.name} has no value of each picture")

    def pictures(self) -> dict[str, Tensor]:
        """Pictures for people, by file name, of what the last `compute` saw: (C, H, W) uint8."""
        return {}
