"""What every metric is to the evaluation stage: blocks in, in order; named numbers out."""

from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from gan_lab.metrics.reference import ReferenceStatistics


class BlockMetric(Metric):
    """A torchmetrics Metric that keeps its blocks on the CPU and leaves gathering over ranks to the evaluation stage.

    Attributes:
        name: stem of the score's name; the stage adds extractor and number of samples.
        needs: which of an extractor's outputs it eats.
        uses_reference: whether `set_reference` must come before `compute`.
        minimum: fewest generated samples that give a value.
    """

    name: str
    needs: Literal["features", "logits"]
    uses_reference: bool
    minimum: int = 2
    full_state_update = False

    blocks: list[Tensor]

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False, dist_sync_on_step=False)
        self.add_state("blocks", default=[], dist_reduce_fx="cat")
        self._reference: ReferenceStatistics | None = None

    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """All parameters that decide the value, as plain JSON values."""

    def set_reference(self, statistics: ReferenceStatistics) -> None:
        """What generated samples are compared with; survives `reset`."""
        self._reference = statistics

    def update(self, values: Tensor) -> None:
        """Take a block: (B, d) features or (B, K) logits of the next B samples, on any device."""
        self.blocks.append(values.detach().cpu())

    def values(self) -> Tensor:
        """All blocks so far: (N, d) as they came."""
        if sum(len(block) for block in self.blocks) < self.minimum:
            raise ValueError(f"{self.name} needs at least {self.minimum} samples, got {sum(map(len, self.blocks))}")
        return torch.cat(self.blocks)

    def reference(self, columns: int) -> ReferenceStatistics:
        """The reference, which must have been set and have so many columns."""
        if self._reference is None:
            raise RuntimeError(f"{self.name} needs set_reference before compute")
        if len(self._reference.mean) != columns:
            raise ValueError(f"{self.name}: reference has {len(self._reference.mean)} columns, samples have {columns}")
        return self._reference
