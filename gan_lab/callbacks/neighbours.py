"""Samples beside the training images that are nearest to them: whether a generator of few pictures copies them."""

from typing import Any

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import Tensor

from gan_lab.callbacks.base import TickCallback, is_first_rank, run_dir
from gan_lab.callbacks.pictures import made_of
from gan_lab.data.images import resize
from gan_lab.data.pictures import enlarged, grid, save_png
from gan_lab.metrics.neighbors import nearest
from gan_lab.sampling import Draws

SIDE = 16  # pixels at which images are compared: where things are and what colour, without fine detail
BLOCK = 1024  # training images that are read at a time


class Neighbours(TickCallback):
    """Draws a few samples and the training images nearest to each, as pictures/neighbours_pixels_<images seen>.png.

    A row is a sample, then its neighbours, the nearest first. Near is meant in pixels at 16x16, Euclidean; mirrored
    training images count where training shows them mirrored, and are then drawn so. The samples are those of the
    first pictures in pictures/latest.png.

    Args:
        every_kimg: from one picture to the next, in thousands of images; None for the end alone.
        samples: rows, 1 or more.
        nearest: neighbours of each, 1 or more; no more than there are training images are drawn.
    """

    def __init__(self, every_kimg: float | None, samples: int, nearest: int) -> None:
        super().__init__(every_kimg)
        if samples < 1 or nearest < 1:
            raise ValueError(f"samples and nearest must be 1 or more, got {samples} and {nearest}")
        self.samples, self.nearest = samples, nearest
        self._points: Tensor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if data.condition_shape is not None or len(data.sample_shape) != 3:
            raise ValueError(
                "callbacks.neighbours is for samples that are pictures made of latents; leave it out: "
                "callbacks.neighbours=null"
            )

    def tick(self, trainer: Trainer, module: Any) -> None:
        if not is_first_rank():
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        images, flip = data.stream.samples.images, data.flip
        classes = module.inputs.num_classes
        labels = torch.arange(self.samples) % classes if classes else None
        arguments = module.inputs.draw(Draws(module.seed, across_ranks=False), self.samples, labels)
        made = data.render(made_of(arguments, module, [module.network_for_samples()])[0])
        if self._points is None:
            self._points = points_of(images, flip=flip)
        rows = beside_nearest(made, images, self._points, self.nearest)
        folder = run_dir(trainer) / "pictures"
        with self.going_on_without(str(folder)):
            folder.mkdir(exist_ok=True)
            picture = enlarged(grid(rows.flatten(0, 1), rows.shape[1]))
            save_png(picture, folder / f"neighbours_pixels_{module.images_seen:012d}.png")


def beside_nearest(samples: Tensor, images: np.ndarray, points: Tensor, count: int) -> Tensor:
    """Each sample and the images nearest to it.

    Args:
        samples: (N, C, H, W) uint8.
        images: (M, C, H, W) uint8.
        points: of the images, see `points_of`: (M, d), or (2 M, d) with the mirrored ones behind.
        count: how many neighbours, at most M of which are drawn; an image and its mirrored one count once.
    Returns:
        (N, 1 + count, C, H, W) uint8.
    """
    count, both = min(count, len(images)), min(2 * count, len(points))
    _, indices = nearest(small(samples).double(), points.double(), both)
    rows = []
    for sample, found in zip(samples, indices.tolist(), strict=True):
        once: dict[int, bool] = {}
        for index in found:
            once.setdefault(index % len(images), index >= len(images))
        near = [torch.from_numpy(np.array(images[index])) for index in list(once)[:count]]
        turned = list(once.values())
        rows.append(torch.stack([sample, *(n.flip(-1) if turn else n for n, turn in zip(near, turned, strict=False))]))
    return torch.stack(rows)


def points_of(images: np.ndarray, *, flip: bool) -> Tensor:
    """(M, C, H, W) uint8 images as (M, d) float32 points, or (2 M, d) with the mirrored ones behind."""
    parts = [small(torch.from_numpy(np.array(images[first : first + BLOCK]))) for first in range(0, len(images), BLOCK)]
    points = torch.cat(parts)
    if not flip:
        return points
    return torch.cat([points, points.unflatten(1, (images.shape[1], SIDE, SIDE)).flip(-1).flatten(1)])


def small(images: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> (N, C SIDE SIDE) float32, levels at 16x16."""
    return resize(images, (SIDE, SIDE)).flatten(1).float()
