"""FD-infinity (Chong and Forsyth 2020, section 3): the Fréchet distance extrapolated to infinitely many samples."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import linregress

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.frechet import frechet_distance_of_samples
from gan_lab.metrics.moments import finite_features
from gan_lab.sampling import legacy_seed

# Each subset has so many rows at least, and so many per column. Below, the distance is no line in 1/N: on Gaussians of
# 64 columns the part of the bias that was left had measured -4 % at 200 rows, -12 % at 125, -55 % at 50, +77 % at 10.
FEWEST_ROWS = 10
ROWS_PER_COLUMN = 2


class Line(NamedTuple):
    """distance = intercept + slope / N, by least squares; `error` is the standard error of the intercept."""

    intercept: float
    slope: float
    error: float


def fit_in_one_over_n(sizes: np.ndarray, distances: np.ndarray) -> Line:
    """The line through distances (points,) of subsets of `sizes` (points,), three or more different ones."""
    fit = linregress(1 / sizes, distances)
    return Line(float(fit.intercept), float(fit.slope), float(fit.intercept_stderr))


class FrechetInfinity(BlockMetric):
    """Fréchet distance without the bias of few generated samples, whose leading term is proportional to 1/N.

    "" is the intercept of a line in 1/N through distances of random subsets, "_slope" the line's slope, and "_error"
    the standard error of the intercept. The subsets share samples, so that the error is that of the fit, and less than
    how much the intercept moves with another set of samples (0.6 of it on Gaussians of 64 columns, 2,000 samples). The
    bias of the reference's own count stays.

    Args:
        points: how many subsets, 3 or more, of sizes at even steps from `smallest` N to N (published: 15).
        smallest: share of all samples in the smallest subset, in (0, 1) (published: 5,000 of 50,000). It must hold 10
            samples, and 2 per column of the features: the fewest samples in all are that number / `smallest`.
        seed: of the subsets, each drawn without replacement.
        extractor: see `BlockMetric`.
    """

    name = "fd_infinity"
    higher_is_better = False
    needs = ("features",)
    uses_reference = True

    def __init__(self, *, points: int, smallest: float, seed: int, extractor: str | None = None) -> None:
        super().__init__(extractor)
        if points < 3 or not 0 < smallest < 1:
            raise ValueError(f"points must be 3 or more and smallest in (0, 1), got {points} and {smallest}")
        self.points, self.smallest, self.seed = points, smallest, seed
        # The second bound keeps the sizes different from each other after rounding.
        self.minimum = math.ceil(max(FEWEST_ROWS / smallest, points / (1 - smallest)))

    def minimum_in(self, columns: int) -> int:
        """See `BlockMetric`."""
        return max(self.minimum, math.ceil(ROWS_PER_COLUMN * columns / self.smallest))

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "metric": self.name,
            "covariance": "divided by n - 1",
            "fit": "least squares in 1/N",
            "points": self.points,
            "smallest": self.smallest,
            "seed": self.seed,
        }

    def sizes(self, count: int) -> np.ndarray:
        """(points,) int64 sizes of the subsets of `count` samples, rising."""
        return np.linspace(self.smallest * count, count, self.points).round().astype(np.int64)

    def compute(self) -> dict[str, float]:
        """Of all samples so far against the reference."""
        features = finite_features(self.values("features"), "generated features")
        count, columns = features.shape
        reference, sizes = self.statistics(columns), self.sizes(count)
        if sizes[0] < ROWS_PER_COLUMN * columns:
            raise ValueError(
                f"{self.name}: the smallest subset has {sizes[0]} of {count} samples, but {columns} features need "
                f"{ROWS_PER_COLUMN * columns}: take {math.ceil(ROWS_PER_COLUMN * columns / self.smallest)} samples, or "
                "raise `smallest`"
            )
        # RandomState's streams are frozen, those of newer NumPy generators may change.
        generator, distances = np.random.RandomState(legacy_seed(self.seed)), []
        for size in sizes:
            subset = torch.from_numpy(generator.choice(count, size, replace=False))
            parts = frechet_distance_of_samples(
                real_mean=reference.mean, real_factor=reference.factor, fake=features[subset]
            )
            distances.append(parts.distance)
        line = fit_in_one_over_n(sizes, np.array(distances))
        return {"": line.intercept, "_slope": line.slope, "_error": line.error}
