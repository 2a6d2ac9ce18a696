"""Intra-class Fréchet distance of conditional models (Miyato & Koyama 2018, section 4), class by class."""

from typing import Any

from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.frechet import frechet_distance_of_samples
from gan_lab.metrics.moments import finite_features, mean_and_factor
from gan_lab.metrics.reference import Reference

# With more classes, a score for each would drown the others, and their factors would fill the memory.
FEW_CLASSES = 20


class IntraclassFrechet(BlockMetric):
    """Fréchet distance within classes: samples of a label against the reference's rows with that label.

    "" is the mean over the classes of the reference, each of the same weight; "_worst" the largest, and with 20 classes
    or fewer "_class0" and so on each one. A class has the samples that the law of the labels gave it, some N / classes,
    "_fewest" in the smallest; the distance falls with their number. It is exact for classes of fewer samples than
    columns, whose covariances are singular.

    Args:
        extractor: see `BlockMetric`.
    """

    name = "intra_fd"
    higher_is_better = False
    needs = ("features", "labels")
    uses_reference = True

    def __init__(self, extractor: str | None) -> None:
        super().__init__(extractor)
        self._moments: dict[int, tuple[Tensor, Tensor]] = {}

    def set_reference(self, reference: Reference) -> None:
        """Its moments by class are computed at the first use; those of few classes are kept while it is the same."""
        if self._reference is None or self._reference.statistics is not reference.statistics:
            self._moments = {}
        super().set_reference(reference)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "metric": self.name,
            "covariance": "divided by n - 1",
            "samples of a class": "as the labels fell",
            "mean": "over the classes of the reference, unweighted",
        }

    def check_reference(self, count: int, labels: Tensor | None) -> None:
        """See `BlockMetric`."""
        if labels is None:
            raise ValueError("the reference has no labels")
        self._check_counts(labels, labels.unique().tolist(), "the reference")

    def compute(self) -> dict[str, float]:
        """Of all samples so far against the reference."""
        fake, fake_labels = finite_features(self.values("features"), "generated features"), self.values("labels")
        real, real_labels = self.statistics(columns=fake.shape[1]).features, self.reference.labels
        self.check_reference(len(real), real_labels)
        assert real_labels is not None  # says check_reference
        classes = real_labels.unique().tolist()
        self._check_counts(fake_labels, classes, "the samples")
        if strange := sorted(set(fake_labels.unique().tolist()) - set(classes)):
            raise ValueError(f"{self.name}: samples of class {strange[0]}, of which the reference has none")
        distances = []
        for label in classes:
            moments = self._moments.get(label) or mean_and_factor(real[real_labels == label])
            if len(classes) <= FEW_CLASSES:
                self._moments[label] = moments
            mean, factor = moments
            samples = fake[fake_labels == label]
            distances.append(frechet_distance_of_samples(real_mean=mean, real_factor=factor, fake=samples).distance)
        scores = {
            "": sum(distances) / len(distances),
            "_worst": max(distances),
            "_fewest": float(fake_labels.bincount()[classes].min()),
        }
        if len(classes) <= FEW_CLASSES:
            scores |= {f"_class{label}": distance for label, distance in zip(classes, distances, strict=True)}
        return scores

    def _check_counts(self, labels: Tensor, classes: list[int], whose: str) -> None:
        """Refuse classes of which there are fewer than 2 samples: they have no covariance."""
        counts = labels.bincount(minlength=max(classes) + 1)
        for label in classes:
            if counts[label] < 2:
                raise ValueError(
                    f"class {label} has {int(counts[label])} of {whose}, at least 2 are needed: take more "
                    "samples, or leave the class out of both"
                )
