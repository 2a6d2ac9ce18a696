"""The training pictures of a run, where its data is at hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from gan_lab.data.base import ImageData
from gan_lab.metrics.picture_neighbors import Neighbor, PictureNeighbors
from gan_lab.runs.checkpoint import build
from gan_lab.translation.reading import image_of


def training_pictures(config: Mapping[str, Any], trust: Sequence[str]) -> PictureNeighbors:
    """Those of a run, by its stored config; nothing is downloaded.

    Raises:
        ValueError, OSError, ImportError: they are not at hand, or there are none.
    """
    node = config.get("data")
    if not node or "_target_" not in node:
        raise ValueError("the run's settings are not with its data")
    data = build({**node, **({"download": False} if "download" in node else {})}, trust, base=ImageData)
    return PictureNeighbors(data.trained_on().images, mirrored=data.flip)


def nearest_to(image: Image.Image, training: PictureNeighbors, count: int) -> list[tuple[Image.Image, Neighbor]]:
    """The training pictures nearest to one of as many channels; see `PictureNeighbors.nearest`."""
    pixels = np.array(image).reshape(image.height, image.width, -1)
    (found,) = training.nearest(torch.from_numpy(pixels).permute(2, 0, 1)[None], count)
    return [(image_of(training.picture(near).permute(1, 2, 0).contiguous().numpy(), None), near) for near in found]
