"""Pictures for people: many samples in a grid, points in a plane, and files that are never seen half written."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

LARGE_ENOUGH = 600


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


def enlarged(picture: np.ndarray) -> np.ndarray:
    """A picture of few pixels, each as a square of several, so that it is large enough to look at.

    Args:
        picture: (H, W) or (H, W, C) uint8.
    Returns:
        the same, both sides times the largest whole number with which neither exceeds `LARGE_ENOUGH` pixels.
    """
    factor = max(1, LARGE_ENOUGH // max(picture.shape[:2]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def scatter(*, real: Tensor, fake: Tensor, reach: float) -> np.ndarray:
    """Generated points over real ones, by their first two coordinates; the title counts those beyond the axes.

    Args:
        real, fake: (N, D) float32 on the CPU.
        reach: both axes go from -reach to reach, so that pictures of one data set can be laid side by side.
    Returns:
        (H, W, 3) uint8.
    Raises:
        ValueError: a generated point is NaN or infinite.
    """
    broken = int((~torch.isfinite(fake).all(dim=1)).sum())
    if broken:
        raise ValueError(f"{broken} of {len(fake)} points are NaN or infinite: the generator has diverged")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(5, 5.2), dpi=100, layout="constrained"))
    axes = canvas.figure.add_subplot(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    for points, name, color, size in ((real, "real", "tab:gray", 12), (fake, "generated", "tab:red", 3)):
        axes.scatter(points[:, 0], points[:, 1], s=size, color=color, linewidths=0, label=name)
    axes.legend(loc="upper right")
    outside = int((fake[:, :2].abs() > reach).any(dim=1).sum())
    axes.set_title(f"{len(fake)} points" + (f", {outside} of them outside" if outside else ""))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_png(picture: np.ndarray, path: Path, info: PngInfo | None = None) -> None:
    """Write a picture, with metadata if there are any, so that a viewer never sees half of it."""
    temporary = path.with_name(f".{path.name}")
    Image.fromarray(picture).save(temporary, format="PNG", pnginfo=info)
    os.replace(temporary, path)
