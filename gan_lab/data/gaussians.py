"""Mixtures of equal, round Gaussians: points whose modes can be counted."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gan_lab.data.base import Data
from gan_lab.data.images import to_uint8
from gan_lab.data.pictures import scatter
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.stream import Stream
from gan_lab.sampling import numpy_generator, send

BLOCK = 4096  # places of the sequence that are drawn together
MARGIN = 0.5  # of the picture beyond the outermost centres, as a share of how far out these are


class GaussianStream(Stream):
    """Points that never come twice: block b of the sequence is drawn from (seed, "gaussians", b).

    Args:
        centres: (M, D) float64.
        std: of each Gaussian along each axis.
        seed: non-negative.
        device: where batches are wanted.
    """

    def __init__(self, centres: np.ndarray, std: float, *, seed: int, device: torch.device) -> None:
        self.centres, self.std = centres, std
        self._number = -1
        self._points: np.ndarray = np.empty(0)
        self._labels: np.ndarray = np.empty(0)
        super().__init__(seed=seed, device=device)

    def _at(self, first: int, last: int) -> dict[str, Tensor]:
        points, labels = self.places(first, last)
        batch = {"real": points, "labels": labels, "index": torch.arange(first, last)}
        return {key: send(value, self.device) for key, value in batch.items()}

    def places(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """(n, D) float32 points and (n,) int64 numbers of their Gaussians, of the places `first` .. `last` - 1."""
        points, labels = [], []
        while first < last:
            number, start = divmod(first, BLOCK)
            stop = min(BLOCK, start + last - first)
            self._turn_to(number)
            points.append(self._points[start:stop])
            labels.append(self._labels[start:stop])
            first += stop - start
        return torch.from_numpy(np.concatenate(points)), torch.from_numpy(np.concatenate(labels))

    def _turn_to(self, number: int) -> None:
        if number == self._number:
            return
        random = numpy_generator(self.seed, "gaussians", number)
        self._labels = random.integers(len(self.centres), size=BLOCK)
        noise = random.standard_normal((BLOCK, self.centres.shape[1]))
        self._points = (self.centres[self._labels] + self.std * noise).astype(np.float32)
        self._number = number

    def state_dict(self) -> dict[str, Any]:
        """See `Stream`."""
        return {"position": self._position, "seed": self.seed, "mixture": self._digest()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Stream`."""
        if state["mixture"] != self._digest():
            raise ValueError(
                "the checkpoint was trained on another mixture: restore data.centres and data.std, or start a new run"
            )
        self._go_on(state)

    def _digest(self) -> str:
        return hashlib.sha256(json.dumps([self.centres.tolist(), self.std]).encode()).hexdigest()


class Gaussians(Data):
    """Points of a mixture of Gaussians with equal shares; labels are the numbers of the Gaussians.

    Args:
        centres: of the Gaussians, two or more points of one dimension.
        std: standard deviation of each along each axis, above 0.
        common: as `Data`.
    Raises:
        ValueError: `centres` or `std` is not so.
    """

    picture_samples: ClassVar[int | None] = 1000

    def __init__(self, *, centres: Sequence[Sequence[float]], std: float, **common: Any) -> None:
        super().__init__(**common)
        if len(centres) < 2 or {len(centre) for centre in centres} != {self.sample_shape[0]}:
            raise ValueError(
                f"data.centres of {self.name} must be two or more points of as many numbers as "
                f"data.sample_shape={list(self.sample_shape)} says, got {centres}"
            )
        if not std > 0:
            raise ValueError(f"data.std must be above 0, got {std!r}")
        self.centres, self.std = np.array(centres, dtype=np.float64), float(std)
        if self.num_classes != len(centres):
            raise ValueError(f"data.num_classes={self.num_classes}, but {self.name} has {len(centres)} centres")

    def open_stream(self) -> GaussianStream:
        """See `Data`."""
        return GaussianStream(self.centres, self.std, seed=self.seed, device=self._device)

    @property
    def training_labels(self) -> np.ndarray:
        """See `Data`: each once."""
        return np.arange(len(self.centres))

    @property
    def reach(self) -> float:
        """How far the picture's axes go from the origin."""
        return (1 + MARGIN) * float(np.abs(self.centres).max())

    def render(self, samples: Tensor) -> Tensor:
        """(N, D) points as (N, 1, 1, D) grey levels: black and white are the ends of the picture's axes."""
        return to_uint8(samples / self.reach)[:, None, None]

    def picture(self, samples: Tensor, columns: int) -> np.ndarray:
        """See `Data`: the first two coordinates over as many reals, always the same, on fixed axes."""
        real, _ = GaussianStream(self.centres, self.std, seed=0, device=torch.device("cpu")).places(0, len(samples))
        return scatter(real=real, fake=samples.float(), reach=self.reach)

    def check_metrics(self, metrics: Mapping[str, Any]) -> None:
        """See `Data`: there are no images to extract features from, or to compare with."""
        wrong = [n for n, m in metrics.items() if m.in_space or m.uses_reference or "images" in m.needs]
        if wrong:
            raise ValueError(self._without_images(f"{', '.join(wrong)} cannot score it"))

    def reference(self, split: str) -> ReferenceSet:
        """None: raises ValueError with the remedy."""
        raise ValueError(self._without_images(f"there is no {split} to compare images with"))

    def _without_images(self, problem: str) -> str:
        return f"{self.name} holds points, not images: {problem}; choose evaluation=points (or none) with network=mlp"
