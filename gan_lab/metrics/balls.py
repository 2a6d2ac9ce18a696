"""What precision, recall, density and coverage share: balls around features, as wide as to the k-th neighbour."""

from typing import Any

from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.metrics.neighbors import radii
from gan_lab.metrics.reference import Reference


class BallMetric(BlockMetric):
    """Compares features with balls around those of the reference, whose radii are kept while it is the same.

    Args:
        k: which neighbour makes the radius, 1 or more.
        extractor: see `BlockMetric`.
    Attributes:
        stem: of the name, which ends in k.
    """

    stem: str
    higher_is_better = None
    needs = ("features",)
    uses_reference = True

    def __init__(self, k: int, extractor: str | None) -> None:
        super().__init__(extractor)
        if k < 1:
            raise ValueError(f"k must be 1 or more, got {k}")
        self.k = k
        self.name = f"{self.stem}_k{k}"
        self._real_radii: Tensor | None = None

    def set_reference(self, reference: Reference) -> None:
        """Its radii are computed at the first use."""
        if self._reference is None or self._reference.statistics is not reference.statistics:
            self._real_radii = None
        super().set_reference(reference)

    def check_reference(self, count: int, labels: Tensor | None) -> None:
        """See `BlockMetric`."""
        if count <= self.k:
            raise ValueError(
                f"{self.k} nearest neighbours need a reference of {self.k + 1} images or more, got {count}"
            )

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"metric": self.name, "k": self.k, "rim": "inside"}

    def both_sets(self) -> tuple[Tensor, Tensor, Tensor]:
        """(n, d) real and (N, d) fake features, (n,) radii of the real ones; float64."""
        fake = finite_matrix(self.values("features"), "generated features")
        real = self.statistics(columns=fake.shape[1]).features.double()
        if self._real_radii is None:
            self._real_radii = radii(real, self.k)
        return real, fake, self._real_radii
