"""Samples beside the training images that are nearest to them: whether a generator of few pictures copies them."""

from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from gan_lab.callbacks.base import TickCallback, is_first_rank, run_dir
from gan_lab.callbacks.pictures import made_of
from gan_lab.data.pictures import enlarged, grid, save_png
from gan_lab.metrics.picture_neighbors import PictureNeighbors
from gan_lab.sampling import Draws


class Neighbours(TickCallback):
    """Draws a few samples and the training images nearest to each, as pictures/neighbours_pixels_<images seen>.png.

    A row is a sample, then its neighbours, the nearest first, by `gan_lab.metrics.picture_neighbors`. Those that are
    near when they are mirrored, as training shows them, are drawn so. The samples are those of the first pictures in
    pictures/latest.png.

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
        self._training: PictureNeighbors | None = None

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
        classes = module.inputs.num_classes
        labels = torch.arange(self.samples) % classes if classes else None
        arguments = module.inputs.draw(Draws(module.seed, across_ranks=False), self.samples, labels)
        made = data.render(made_of(arguments, module, [module.network_for_samples()])[0])
        if self._training is None:
            self._training = PictureNeighbors(data.stream.samples.images, mirrored=data.flip)
        rows = beside_nearest(made, self._training, self.nearest)
        folder = run_dir(trainer) / "pictures"
        with self.going_on_without(str(folder)):
            folder.mkdir(exist_ok=True)
            picture = enlarged(grid(rows.flatten(0, 1), rows.shape[1]))
            save_png(picture, folder / f"neighbours_pixels_{module.images_seen:012d}.png")


def beside_nearest(samples: Tensor, training: PictureNeighbors, count: int) -> Tensor:
    """Each sample and the training pictures nearest to it.

    Args:
        samples: (N, C, H, W) uint8.
        training: of M pictures of the same shape.
        count: how many neighbours, at most M of which are drawn.
    Returns:
        (N, 1 + count, C, H, W) uint8.
    """
    found = training.nearest(samples, count)
    rows = [[sample, *map(training.picture, near)] for sample, near in zip(samples, found, strict=True)]
    return torch.stack([torch.stack(row) for row in rows])
