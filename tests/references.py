"""Reference sets for tests of metrics."""

import numpy as np
from torch import Tensor

from gan_lab.metrics.reference import Reference, ReferenceStatistics


def reference_of(features: Tensor | None, labels: Tensor | None = None, images: np.ndarray | None = None) -> Reference:
    """What a metric is given: these (n, d) features, labels and images."""
    statistics = None if features is None else ReferenceStatistics.from_features(features)
    return Reference(statistics, np.zeros((0, 1, 1, 1), np.uint8) if images is None else images, labels)
