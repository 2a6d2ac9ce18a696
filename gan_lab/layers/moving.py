"""Pictures that are seen together, moved together."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def moved_together(
    move: Callable[[Tensor], Tensor], images: Tensor, beside: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """`images` and the pictures beside them, as channels of one tensor under one `move`.

    Whatever `move` draws for a sample so holds for all of its pictures, and is what it would draw for `images` alone.

    Args:
        move: (B, C, H, W) of any number of channels -> the same shape: puts pixels elsewhere, or takes them out, by
            their places alone.
        images: (B, C, H, W).
        beside: by name: `condition`, (B, C', H, W), and `mask`, (B, 1, H, W) in [0, 1].
    Returns:
        both, in the widest of their types. A mask is brought back to [0, 1], which filters with negative weights leave.
    Raises:
        ValueError: pictures of another size than the images, to which one move cannot be given.
    """
    for name, pictures in beside.items():
        if pictures.shape[2:] != images.shape[2:]:
            raise ValueError(
                f"what moves images of {_size(images)} cannot move a {name} of {_size(pictures)} alike; leave out "
                "model.augment, and cr and bcr of model.regularizers, or let D see images alone "
                "(model.discriminator.condition_shape=null)"
            )
    together = [images, *beside.values()]
    moved, *others = move(torch.cat(together, dim=1)).split([part.shape[1] for part in together], dim=1)
    found = dict(zip(beside, others, strict=True))
    if "mask" in found:
        found["mask"] = found["mask"].clamp(0, 1)
    return moved, found


def _size(pictures: Tensor) -> str:
    return "x".join(map(str, pictures.shape[2:]))
