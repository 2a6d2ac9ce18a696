"""The sources of a split, by number: what a translator is given in an evaluation, and the targets that belong to it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.data.conditions import Condition
from gan_lab.data.images import as_inputs
from gan_lab.data.reference import ReferenceSet


class Sources:
    """Of each image of a set, in its order, what a translator is given and what it should give.

    Args:
        targets: the set.
        condition: makes the sources; nothing varies in it here.
    """

    def __init__(self, targets: ReferenceSet, condition: Condition) -> None:
        self.targets, self.condition = targets, condition
        self._latest: tuple[tuple[int, int], dict[str, Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def protocol(self) -> dict[str, Any]:
        """What decides them, as plain JSON values."""
        return {"split": self.targets.split, "content": self.targets.digest, "condition": self.condition.protocol()}

    def block(self, first: int, count: int) -> dict[str, Tensor]:
        """Those of `first` .. `first` + `count` - 1 on the CPU, beyond the last one from the beginning again.

        Returns:
            `targets` and `condition` uint8, (count, C, H, W) and (count, C', H', W'); where there are some, `mask`
            (count, 1, H, W) bool and `labels` (count,) int64. Not to be changed: the latest block is kept, since the
            network's inputs and what they are held against are asked for one after the other.
        """
        if self._latest is None or self._latest[0] != (first, count):
            self._latest = (first, count), self._made(first, count)
        return self._latest[1]

    def _made(self, first: int, count: int) -> dict[str, Tensor]:
        index = np.arange(first, first + count) % len(self)
        targets = torch.from_numpy(np.ascontiguousarray(self.targets.images[index]))
        made = self.condition.make(targets, torch.from_numpy(index), None)
        labels = {} if self.targets.labels is None else {"labels": torch.from_numpy(self.targets.labels[index])}
        return {"targets": targets, **made, **labels}

    def inputs(self, first: int, count: int) -> dict[str, Tensor]:
        """As a generator is given them: `condition` in [-1, 1], and `mask`, float32."""
        block = self.block(first, count)
        return as_inputs({name: block[name] for name in ("condition", "mask") if name in block})
