"""Statistics of a reference set, computed once and kept by content: key and contents are checked at every reading."""

import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gan_lab.metrics.moments import finite_features, mean_and_factor

# Part of every key: raised when what is stored, or how it is computed, changes.
SCHEMA = 3
PARTS = ("factor", "features", "mean")


@dataclass(frozen=True)
class ReferenceStatistics:
    """What metrics need of the reference set.

    Attributes:
        mean: (d,) float64.
        factor: (min(n, d), d) float64; factor^T factor is the covariance, divided by n - 1.
        features: (n, d) float32, in the set's order.
    """

    mean: Tensor
    factor: Tensor
    features: Tensor

    @property
    def n(self) -> int:
        """Number of reference samples."""
        return len(self.features)

    @classmethod
    def from_features(cls, features: Tensor) -> "ReferenceStatistics":
        """Of (n, d) features of any float type, which are rounded to float32 first, so that all parts agree."""
        features = features.detach().cpu().float().contiguous()
        mean, factor = mean_and_factor(finite_features(features, "reference features"))
        return cls(mean=mean, factor=factor.contiguous(), features=features)

    def tensors(self) -> dict[str, Tensor]:
        """Its parts by name."""
        return {name: getattr(self, name) for name in PARTS}


@dataclass(frozen=True)
class Reference:
    """The reference set as one metric sees it.

    Attributes:
        statistics: of its features in the metric's space; None for a metric that does not look at features.
        images: (n, C, H, W) uint8, possibly memory-mapped.
        labels: (n,) int64, or None.
    """

    statistics: ReferenceStatistics | None
    images: np.ndarray
    labels: Tensor | None


def cached_reference(
    key: dict[str, Any], compute: Callable[[], Tensor], folder: str | Path | None
) -> ReferenceStatistics:
    """The statistics of `compute()`, from `folder` if they lie there under exactly this key.

    A damaged file, or one of another key, is reported and computed anew; a folder that cannot be written costs only
    the time of the next computation. Writers at the same time do not disturb each other: each leaves a whole file.

    Args:
        key: JSON values that decide the features: extractor's protocol, data's digest, split, count.
        compute: gives the (n, d) features of the reference set; called on a miss only.
        folder: where statistics are kept; None for nowhere.
    """
    canonical = json.dumps({"schema": SCHEMA, **key}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    path = None if folder is None else Path(folder) / f"{hashlib.sha256(canonical.encode()).hexdigest()}.safetensors"
    if path is not None and (found := _load(path, canonical)):
        return found
    statistics = ReferenceStatistics.from_features(compute())
    if path is not None:
        try:
            _save(path, canonical, statistics)
        except OSError as error:
            warnings.warn(f"reference statistics are not kept, they will be computed again next time: {error}")
    return statistics


def _content_sha256(statistics: ReferenceStatistics) -> str:
    digest = hashlib.sha256()
    for name, tensor in statistics.tensors().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()


def _save(path: Path, canonical: str, statistics: ReferenceStatistics) -> None:
    content = save(statistics.tensors(), {"key": canonical, "content_sha256": _content_sha256(statistics)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _load(path: Path, canonical: str) -> ReferenceStatistics | None:
    """What `path` holds; None where it is absent or, with a warning, is not what `_save` wrote for this key."""
    try:
        if not path.is_file():
            return None
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            statistics = ReferenceStatistics(**{name: file.get_tensor(name) for name in PARTS})
    except (SafetensorError, OSError, TypeError) as error:
        warnings.warn(f"{path} cannot be read ({error}): reference statistics are computed anew")
        return None
    if metadata.get("key") != canonical:
        warnings.warn(f"{path} belongs to another key: reference statistics are computed anew")
        return None
    if metadata.get("content_sha256") != _content_sha256(statistics):
        warnings.warn(f"{path} is damaged: reference statistics are computed anew")
        return None
    return statistics
