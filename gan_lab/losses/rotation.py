"""How far has a picture been turned: the task that D sets itself (Chen et al. 2019, section 4)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab import collectives

ANGLES = 4


def quarter_turns(count: int, device: torch.device) -> Tensor:
    """(count,) int64 in 0 .. 3, on `device`: how often each sample of this rank is turned by 90 degrees.

    By the sample's place in the batch of all ranks (with micro-batches, in the piece), in turn: a quarter of it per
    angle, where 4 divides it.
    """
    first = collectives.rank() * count
    return torch.arange(first, first + count, device=device) % ANGLES


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """Each image turned counter-clockwise by 90 degrees as often as asked.

    Args:
        images: (B, C, H, H).
        turns: (B,) int64 in 0 .. 3.
    Raises:
        ValueError: the images are not square.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise ValueError(f"only square images stay as they are in shape when turned; got {tuple(images.shape[1:])}")
    all_ways = torch.stack([images.rot90(angle, (2, 3)) for angle in range(ANGLES)])
    return all_ways[turns, torch.arange(len(images), device=images.device)]


def rotation_loss(logits: Tensor, turns: Tensor) -> Tensor:
    """-log Q(turn | turned image).

    Args:
        logits: (B, 4) of the turned images.
        turns: (B,) int64 in 0 .. 3.
    Returns:
        (B,) float32.
    """
    return F.cross_entropy(logits.float(), turns, reduction="none")
