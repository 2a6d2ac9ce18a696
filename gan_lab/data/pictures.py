"""Pictures for people: many samples in a grid, and files that are never seen half written."""

import os
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor


def grid(images: Tensor, columns: int, padding: int = 2) -> np.ndarray:
    """One picture of many.

    Args:
        images: (N, C, H, W) uint8.
        columns: images in a row.
        padding: pixels of black between them.
    Returns:
        (H', W', 3 or 4) uint8, or (H', W') for grey.
    """
    from torchvision.utils import make_grid

    picture = make_grid(images, nrow=columns, padding=padding)
    if images.shape[1] == 1:
        return picture[0].numpy()
    return picture.permute(1, 2, 0).contiguous().numpy()


def save_png(picture: np.ndarray, path: Path) -> None:
    """Write a picture so that a viewer never sees half of it."""
    temporary = path.with_name(f".{path.name}")
    Image.fromarray(picture).save(temporary, format="PNG")
    os.replace(temporary, path)
