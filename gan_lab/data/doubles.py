"""Pictures that are there more than once: by a difference hash of 64 bits, and by their colours where that is equal."""

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

ROWS, COLUMNS = 16, 18  # of the grid that a picture is known by; twice those of its hash
BITS = 64
MARGIN = 2  # levels by which a part must be lighter than its left neighbour: less is noise of compression
FURTHEST = 8  # bits in which the hashes of two that are alike may differ
MEAN, MOST = 4.0, 32.0  # levels by which their grids may differ: on average, and anywhere
BLOCK = 256  # pictures that are compared with all others at once


def grid_of(image: Image.Image) -> np.ndarray:
    """(ROWS, COLUMNS, 3) uint8: the mean colour of each part of a picture, whatever its size and shape."""
    return np.asarray(image.convert("RGB").resize((COLUMNS, ROWS), Image.Resampling.BOX))


def hashes(grids: np.ndarray) -> np.ndarray:
    """The difference hash of each picture: which parts of 8 rows of 9 are lighter than their left neighbour.

    Args:
        grids: (N, ROWS, COLUMNS, 3) uint8.
    Returns:
        (N, BITS) bool. A mirrored picture has another one.
    """
    grey = grids.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    parts = grey.reshape(-1, ROWS // 2, 2, COLUMNS // 2, 2).mean(axis=(2, 4))
    return (np.diff(parts, axis=2) > MARGIN).reshape(-1, BITS)


def groups_of_alike(grids: np.ndarray) -> list[list[int]]:
    """Pictures that are one, at other sizes or qualities.

    Each picture is held against the first of every group so far, in the order given. Two are alike where their hashes
    differ in `FURTHEST` bits at most, and their grids by `MEAN` levels on average and by `MOST` anywhere: the hash
    alone knows no colours, and finds all flat pictures alike.

    Args:
        grids: (N, ROWS, COLUMNS, 3) uint8.
    Returns:
        places in `grids`, a list for each group of two and more.
    """
    signs = np.where(hashes(grids), np.float32(1), np.float32(-1))
    firsts = np.empty_like(signs)
    groups: list[list[int]] = []
    for start in range(0, len(signs), BLOCK):
        block, known = signs[start : start + BLOCK], len(groups)
        # Of signs, the scalar product is the bits that agree less those that do not.
        close = block @ firsts[:known].T >= BITS - 2 * FURTHEST
        for place, (sign, of_known) in enumerate(zip(block, close, strict=True), start):
            of_new = firsts[known : len(groups)] @ sign >= BITS - 2 * FURTHEST
            candidates = np.flatnonzero(np.concatenate([of_known, of_new]))
            chosen = nearest(grids[place], grids[[groups[candidate][0] for candidate in candidates]])
            if chosen is None:
                firsts[len(groups)] = sign
                groups.append([place])
            else:
                groups[candidates[chosen]].append(place)
    return [group for group in groups if len(group) > 1]


def apart(images: np.ndarray, count: int) -> list[int]:
    """Places of at least `count` images, chosen by the SHA-256 of their pixels; of images that are alike all or none.

    So the order and the names of images make no difference, and a few more images move few to the other side.

    Args:
        images: (N, C, H, W) uint8, of 1, 3 or 4 channels.
        count: 1 to N.
    """
    grids = np.stack([grid_of(picture_of(image)) for image in images])
    groups = groups_of_alike(grids)
    alone = set(range(len(images))).difference(*groups)
    keys = [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images]
    ordered = sorted([*groups, *([place] for place in alone)], key=lambda group: min(keys[place] for place in group))
    chosen: list[int] = []
    for group in ordered:
        if len(chosen) >= count:
            break
        chosen += group
    return sorted(chosen)


def picture_of(image: np.ndarray) -> Image.Image:
    """(C, H, W) uint8 of 1, 3 or 4 channels as a picture."""
    return Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def nearest(grid: np.ndarray, others: np.ndarray) -> int | None:
    """Which of the others has the colours of `grid`, the nearest of several; None where none has."""
    if not len(others):
        return None
    apart = np.abs(others.astype(np.int16) - grid).astype(np.float32).reshape(len(others), -1)
    alike = (apart.mean(axis=1) <= MEAN) & (apart.max(axis=1) <= MOST)
    return int(np.where(alike, apart.mean(axis=1), np.inf).argmin()) if alike.any() else None


def largest_first(sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Places in `sizes`, by falling number of pixels, and otherwise in order."""
    return sorted(range(len(sizes)), key=lambda place: -sizes[place][0] * sizes[place][1])
