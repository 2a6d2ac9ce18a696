"""The data set of a person's own pictures, as tests build it."""

from pathlib import Path
from typing import Any

import numpy as np

from gan_lab.data.folder import Folder


def folder(root: Path, tmp_path: Path, **overrides: Any) -> Folder:
    """8x8 colours from `root`, with the cache in `tmp_path`."""
    arguments = {
        "name": "folder",
        "image_size": 8,
        "channels": 3,
        "num_classes": None,
        "root": str(root),
        "center_crop": True,
        "on_bad": "stop",
        "cache_dir": str(tmp_path / "cache"),
        "batch_size": 4,
        "micro_batch_size": None,
        "flip": False,
        "resident": "auto",
        "resident_limit_mb": 64,
        "workers": 0,
        "limit": None,
        "seed": 0,
    } | overrides
    size = arguments["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return Folder(sample_shape=[arguments["channels"], height, width], **arguments)


def images_of(data: Folder) -> np.ndarray:
    """(N, C, H, W) uint8."""
    return data.reference("train").images
