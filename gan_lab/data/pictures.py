"""Pictures for people: many samples in a grid, points in a plane, and files that are never seen half written."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

LARGE_ENOUGH = 600
LEAST_TILE = 64  # pixels of the shorter side of a picture with a name, which smaller ones are enlarged to at least
TEXT, GAP = 14, 4  # pixels of names, and between pictures
LONGEST_NAME = 40  # characters


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


def sheet(images: Tensor, rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """Pictures in a grid on white with a name beside each row and above each column.

    Small pictures are enlarged by a whole number. Of a long name the first `LONGEST_NAME` characters are drawn; what
    Pillow's own font lacks is a box.

    Args:
        images: (rows x columns, C, H, W) uint8, row by row; of C=4 what is transparent is white.
        rows, columns: names, of one line each.
    Returns:
        (H', W', 3) uint8.
    Raises:
        ValueError: the images are not as many as rows times columns.
    """
    if len(images) != len(rows) * len(columns):
        raise ValueError(f"{len(images)} images are not {len(rows)} rows of {len(columns)}")
    factor = -(-LEAST_TILE // min(images.shape[2:]))
    tiles = images.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    font = ImageFont.load_default(TEXT)
    above, beside = ([_one_line(name) for name in names] for names in (columns, rows))
    lengths = [[int(np.ceil(font.getlength(name))) for name in names] for names in (above, beside)]
    width, height = max(tiles.shape[3], *lengths[0]) + GAP, tiles.shape[2] + GAP
    left, top = max(lengths[1]) + 2 * GAP, 2 * TEXT
    drawn = Image.new("RGB", (left + width * len(columns), top + height * len(rows)), "white")
    pen = ImageDraw.Draw(drawn)
    for number, name in enumerate(above):
        pen.text((left + (number + 0.5) * width, top - TEXT), name, fill="black", font=font, anchor="mm")
    for number, name in enumerate(beside):
        pen.text((left - GAP, top + (number + 0.5) * height), name, fill="black", font=font, anchor="rm")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, len(columns))
        picture = Image.fromarray(tile[0].numpy() if len(tile) == 1 else tile.permute(1, 2, 0).contiguous().numpy())
        place = (left + column * width + (width - picture.width) // 2, top + row * height)
        drawn.paste(picture, place, picture if picture.mode == "RGBA" else None)
    return np.asarray(drawn)


def _one_line(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


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
