"""The training pictures of a run, where its data is at hand."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from gan_lab.data.base import ImageData
from gan_lab.evaluation.scoring import move, naming_places
from gan_lab.metrics.picture_neighbors import Neighbor, PictureNeighbors
from gan_lab.runs.checkpoint import build
from gan_lab.translation.reading import image_of


class Training(NamedTuple):
    """What a run was trained on.

    Attributes:
        pictures: all of them.
        class_names: by label, where the data names them.
    """

    pictures: PictureNeighbors
    class_names: tuple[str, ...] | None


def training_pictures(config: Mapping[str, Any], trust: Sequence[str], data_root: str | None = None) -> Training:
    """Those of a run, by its stored config; nothing is downloaded.

    Args:
        config: of the run.
        trust: see `gan_lab.runs.checkpoint.build`.
        data_root: where they lie now; None for where they lay.
    Raises:
        ValueError, OSError, ImportError: they are not at hand, or there are none.
    """
    node = config.get("data")
    if not node or "_target_" not in node:
        raise ValueError("the run's settings are not with its data")
    settings = copy.deepcopy(dict(node)) | ({"download": False} if "download" in node else {})
    if data_root is not None:
        move(settings, data_root)
    with naming_places(node, settings):
        data = build(settings, trust, base=ImageData)
        pictures = data.trained_on().images
    return Training(PictureNeighbors(pictures, mirrored=data.flip), data.class_names)


def nearest_to(image: Image.Image, training: PictureNeighbors, count: int) -> list[tuple[Image.Image, Neighbor]]:
    """The training pictures nearest to one of as many channels; see `PictureNeighbors.nearest`."""
    pixels = np.array(image).reshape(image.height, image.width, -1)
    (found,) = training.nearest(torch.from_numpy(pixels).permute(2, 0, 1)[None], count)
    return [(image_of(training.picture(near).permute(1, 2, 0).contiguous().numpy(), None), near) for near in found]
