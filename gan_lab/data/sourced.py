"""The sources of a split, by number: what a translator is given in an evaluation, and the targets that belong to it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.data.conditions import Condition
from gan_lab.data.images import as_inputs
from gan_lab.data.reference import ReferenceSet

BLOCK = 1024  # sources made at once where all of a split are wanted


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
        return inputs_of(self.block(first, count))

    def render(self, condition: Tensor) -> Tensor:
        """Of `block`, as pictures for people: uint8, (N, 1, 3 or 4; H', W')."""
        return self.condition.render(condition)


class SourcesBackwards:
    """The other way, with the interface of `Sources`: targets are given, and their sources should come out.

    Args:
        there: the sources of a split.
    """

    def __init__(self, there: Any) -> None:
        self.there = there

    def __len__(self) -> int:
        return len(self.there)

    def protocol(self) -> dict[str, Any]:
        """See `Sources`."""
        return self.there.protocol() | {"direction": "BtoA"}

    def block(self, first: int, count: int) -> dict[str, Tensor]:
        """See `Sources`."""
        block = self.there.block(first, count)
        return block | {"targets": block["condition"], "condition": block["targets"]}

    def inputs(self, first: int, count: int) -> dict[str, Tensor]:
        """See `Sources`."""
        return inputs_of(self.block(first, count))

    def render(self, condition: Tensor) -> Tensor:
        """See `Sources`: they are pictures."""
        return condition


class OtherSources:
    """Images of a set, in its order, as sources that belong to no targets: the interface of `Sources`.

    Args:
        images: the set.
        about: how they were brought to their size, for protocols.
    """

    def __init__(self, images: ReferenceSet, about: Mapping[str, Any] | None = None) -> None:
        self.images, self._about = images, dict(about or {})

    def __len__(self) -> int:
        return len(self.images)

    def protocol(self) -> dict[str, Any]:
        """See `Sources`."""
        return {"data": self.images.name, "split": self.images.split, "content": self.images.digest, **self._about}

    def block(self, first: int, count: int) -> dict[str, Tensor]:
        """See `Sources`: `condition` alone, and `labels` of them where there are some."""
        index = np.arange(first, first + count) % len(self)
        made = {"condition": torch.from_numpy(np.ascontiguousarray(self.images.images[index]))}
        return made if self.images.labels is None else made | {"labels": torch.from_numpy(self.images.labels[index])}

    def inputs(self, first: int, count: int) -> dict[str, Tensor]:
        """See `Sources`."""
        return inputs_of(self.block(first, count))

    def render(self, condition: Tensor) -> Tensor:
        """See `Sources`: they are pictures."""
        return condition


def inputs_of(block: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of a block goes into a generator: `condition` in [-1, 1], and `mask`, float32."""
    return as_inputs({name: block[name] for name in ("condition", "mask") if name in block})


class Turned:
    """A data set the other way, as evaluations and pictures see it: its sources are the targets.

    Args:
        data: an `ImageData` with sources, and without masks.
    """

    def __init__(self, data: Any) -> None:
        self.data, self.splits = data, data.splits
        self.name = f"sources of {data.name}" if data.source_data is None else data.source_data.name
        self.sample_shape, self.condition_shape = data.condition_shape, data.sample_shape
        self.num_classes, self.picture_samples = data.num_classes, data.picture_samples
        self.render, self.picture = data.render, data.picture
        self._made: dict[str, ReferenceSet] = {}

    def sources(self, split: str) -> SourcesBackwards | OtherSources:
        """See `gan_lab.data.base.Data`."""
        if self.data.source_data is not None:
            return self.data.as_sources(split)
        return SourcesBackwards(self.data.sources(split))

    def reference(self, split: str) -> ReferenceSet:
        """See `gan_lab.data.base.ImageData`: sources of a split, all of them."""
        if self.data.source_data is not None:
            return self.data.source_data.reference(self.data.source_data.split_like(split))
        if split not in self._made:
            targets = self.data.reference(split)
            sources = self.data.sources(split)
            parts = [sources.block(first, min(BLOCK, len(targets) - first)) for first in range(0, len(targets), BLOCK)]
            self._made[split] = ReferenceSet(
                name=self.name,
                split=split,
                images=torch.cat([part["condition"] for part in parts]).numpy(),
                labels=targets.labels,
            )
        return self._made[split]
