"""Holes in pictures as functions of (seed, index, pass): whatever the batch, all models are given the same ones.

All lengths of a law are shares of the picture's sides, so that it means the same at any size.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from gan_lab.sampling import check_seed, numpy_generator

SIDES = ("left", "right", "top", "bottom")
FINE = 128  # pixels of the shorter side at least where strokes are drawn: Pillow rounds corners to whole ones
TRIALS, FITTING = 200, 10  # of so many holes drawn, so many must lie within the bounds: one in 20
TRIES = 5000  # if one in 100 fits, 5,000 in a row miss once in 10^21


def sample_generator(seed: int, purpose: str, index: int, pass_number: int | None) -> np.random.Generator:
    """The stream of one sample: of a pass of training, or with None of evaluation, which is none of the passes."""
    return numpy_generator(seed, purpose, index, 0 if pass_number is None else 1 + pass_number)


def interval(key: str, value: float | Sequence[float], least: float, most: float) -> tuple[float, float]:
    """A number or [low, high] as (low, high), both float and from `least` to `most`.

    Args:
        key: below `data.condition`, for messages.
    Raises:
        ValueError: it is something else.
    """
    ends = (value, value) if isinstance(value, int | float) else tuple(value)
    if len(ends) != 2 or not least <= ends[0] <= ends[1] <= most:
        raise ValueError(
            f"data.condition.{key} must be a number from {least} to {most}, or [low, high] of such, got {value!r}"
        )
    return float(ends[0]), float(ends[1])


def bounds(least_share: float, most_share: float) -> tuple[float, float]:
    """Those of a hole's share of the picture, as float.

    Raises:
        ValueError: they leave nothing between them, or are no shares.
    """
    if not 0 <= least_share <= most_share <= 1:
        raise ValueError(
            "data.condition.masks wants 0 <= least_share <= most_share <= 1, got "
            f"least_share={least_share!r} and most_share={most_share!r}"
        )
    return float(least_share), float(most_share)


def whole_interval(key: str, value: int | Sequence[int], least: int, most: int) -> tuple[int, int]:
    """`interval` of whole numbers, as int."""
    low, high = interval(key, value, least, most)
    if not (low.is_integer() and high.is_integer()):
        raise ValueError(f"data.condition.{key} must be whole numbers, got {value!r}")
    return int(low), int(high)


class Law(ABC):
    """What holes look like. Each attribute is a setting, and all of them together are the law.

    Attributes:
        name: of the law, in protocols and messages.
    """

    name: ClassVar[str]

    @abstractmethod
    def draw(self, random: np.random.Generator, height: int, width: int) -> np.ndarray:
        """One hole: (height, width) bool, True inside."""

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return {"law": self.name, **settings}

    def _interval(self, key: str, value: float | Sequence[float], most: float = 1) -> tuple[float, float]:
        return interval(f"masks.laws.{self.name}.{key}", value, 0, most)

    def _whole_interval(self, key: str, value: int | Sequence[int], least: int, most: int) -> tuple[int, int]:
        return whole_interval(f"masks.laws.{self.name}.{key}", value, least, most)

    def _sides(self, value: Sequence[str]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value) or not set(value) <= set(SIDES):
            raise ValueError(
                f"data.condition.masks.laws.{self.name}.sides must be some of {', '.join(SIDES)}, each once, "
                f"got {list(value)!r}"
            )
        return tuple(value)


class Box(Law):
    """A rectangle.

    Args:
        size: of its height and its width, as shares of the picture's: a number, or [low, high] between which each of
            the two is uniform.
        place: in the middle, or anywhere inside the picture.
    """

    name = "box"

    def __init__(self, *, size: float | Sequence[float], place: Literal["centre", "random"]) -> None:
        self.size = self._interval("size", size)
        if place not in ("centre", "random"):
            raise ValueError(f"data.condition.masks.laws.box.place must be centre or random, got {place!r}")
        self.place = place

    def draw(self, random: np.random.Generator, height: int, width: int) -> np.ndarray:
        """See `Law`."""
        shares = random.uniform(*self.size, 2).tolist()
        rows, columns = max(1, round(shares[0] * height)), max(1, round(shares[1] * width))
        spare_rows, spare_columns = height - rows, width - columns
        if self.place == "centre":
            top, left = spare_rows // 2, spare_columns // 2
        else:
            top, left = random.integers(spare_rows + 1), random.integers(spare_columns + 1)
        hole = np.zeros((height, width), dtype=np.bool_)
        hole[top : top + rows, left : left + columns] = True
        return hole


class Strokes(Law):
    """Strokes of a brush, each a chain of straight pieces with round joints: holes of free form.

    Args:
        count: of the strokes.
        pieces: of each stroke.
        length: of each piece, as a share of the picture's shorter side, as `width` is.
        width: of each stroke.
        turn: by which a piece may turn from the one before, to either side, in degrees.
    """

    name = "strokes"

    def __init__(
        self,
        *,
        count: int | Sequence[int],
        pieces: int | Sequence[int],
        length: float | Sequence[float],
        width: float | Sequence[float],
        turn: float,
    ) -> None:
        self.count = self._whole_interval("count", count, 1, 100)
        self.pieces = self._whole_interval("pieces", pieces, 1, 100)
        self.length = self._interval("length", length)
        self.width = self._interval("width", width)
        if not 0 <= turn <= 180:
            raise ValueError(f"data.condition.masks.laws.strokes.turn must be from 0 to 180 degrees, got {turn!r}")
        self.turn = float(turn)

    def draw(self, random: np.random.Generator, height: int, width: int) -> np.ndarray:
        """See `Law`."""
        fine = -(-FINE // min(height, width)) | 1  # odd: the middle of a pixel is that of a fine one
        picture = Image.new("1", (fine * width, fine * height))
        pen = ImageDraw.Draw(picture)
        side = fine * min(height, width)
        for _ in range(random.integers(self.count[0], self.count[1] + 1)):
            pieces = random.integers(self.pieces[0], self.pieces[1] + 1)
            x, y, direction, thickness, *steps = random.random(4 + 2 * pieces).tolist()
            x, y, direction = x * fine * width, y * fine * height, math.tau * direction
            thickness = max(fine, round(side * _between(self.width, thickness)))
            points = [(x, y)]
            for turn, length in zip(steps[:pieces], steps[pieces:], strict=True):
                direction += math.radians(_between((-self.turn, self.turn), turn))
                x += side * _between(self.length, length) * math.cos(direction)
                y += side * _between(self.length, length) * math.sin(direction)
                points.append((x, y))
            pen.line(points, fill=1, width=thickness)
            radius = (thickness - 1) / 2
            for x, y in points:
                pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1)
        return np.array(picture)[fine // 2 :: fine, fine // 2 :: fine]


class Blobs(Law):
    """Spots of irregular shape: where smooth noise is highest (the "random region" of Pathak et al. 2016, section 3.3).

    Args:
        cells: random values along the picture's shorter side, between which the noise is interpolated: few make large
            spots. 2 or more.
        share: of the picture that the spots cover together; one pixel at least.
    """

    name = "blobs"

    def __init__(self, *, cells: int | Sequence[int], share: float | Sequence[float]) -> None:
        self.cells = self._whole_interval("cells", cells, 2, 1000)
        self.share = self._interval("share", share)

    def draw(self, random: np.random.Generator, height: int, width: int) -> np.ndarray:
        """See `Law`."""
        cells, side = random.integers(self.cells[0], self.cells[1] + 1), min(height, width)
        values = random.standard_normal((round(cells * height / side), round(cells * width / side)), dtype=np.float32)
        noise = np.array(Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC))
        inside = max(1, round(random.uniform(*self.share) * noise.size))
        return noise >= np.partition(noise, noise.size - inside, axis=None)[noise.size - inside]


class Half(Law):
    """One half of the picture; without the row or column in the middle, where there is one.

    Args:
        sides: those of `left`, `right`, `top`, `bottom` of which one is chosen.
    """

    name = "half"

    def __init__(self, *, sides: Sequence[str]) -> None:
        self.sides = self._sides(sides)

    def draw(self, random: np.random.Generator, height: int, width: int) -> np.ndarray:
        """See `Law`."""
        side = self.sides[random.integers(len(self.sides))]
        return _strips(height, width, {side: _across(side, height, width) // 2})


class Outpaint(Law):
    """Strips along one or more sides: the picture is to go on beyond what is left of it.

    Args:
        sides: those of `left`, `right`, `top`, `bottom` of which some are chosen: one or more, any choice as likely.
        depth: of each strip, as a share of the picture's width or height.
    """

    name = "outpaint"

    def __init__(self, *, sides: Sequence[str], depth: float | Sequence[float]) -> None:
        self.sides = self._sides(sides)
        self.depth = self._interval("depth", depth)

    def draw(self, random: np.random.Generator, height: int, width: int) -> np.ndarray:
        """See `Law`."""
        choice = random.integers(1, 2 ** len(self.sides))  # a bit for each side
        shares = random.uniform(*self.depth, len(self.sides)).tolist()
        depths = {
            side: round(share * _across(side, height, width)) for side, share in zip(self.sides, shares, strict=True)
        }
        return _strips(height, width, {side: depths[side] for n, side in enumerate(self.sides) if choice >> n & 1})


class Border(Law):
    """A frame: all but a box in the middle.

    Args:
        width: of the frame, as a share of the picture's height above and below and of its width at the sides; at
            most 0.5.
    """

    name = "border"

    def __init__(self, *, width: float | Sequence[float]) -> None:
        self.width = self._interval("width", width, most=0.5)

    def draw(self, random: np.random.Generator, height: int, width: int) -> np.ndarray:
        """See `Law`."""
        share = random.uniform(*self.width)
        return _strips(height, width, {side: round(share * _across(side, height, width)) for side in SIDES})


class Holes(ABC):
    """The hole in each picture of a set."""

    @abstractmethod
    def check(self, height: int, width: int) -> None:
        """Be ready for pictures of this size, and refuse settings that contradict it; no file is read."""

    @abstractmethod
    def at(self, index: int, pass_number: int | None, height: int, width: int) -> Tensor:
        """The hole in one picture, for sizes that `check` has passed.

        Args:
            index: of the sample in its set.
            pass_number: how often training has been through the set; None for the hole of evaluation.
            height, width: of the picture, in pixels.
        Returns:
            (1, height, width) bool on the CPU, True in the hole.
        """

    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """Plain JSON values that say all that decides the holes of evaluation in pictures of one size."""

    def held_out(self) -> "Holes":
        """See `gan_lab.data.conditions.Condition`."""
        return self

    def identity(self) -> str | None:
        """See `gan_lab.data.conditions.Condition`."""
        return None

    def content(self) -> str | None:
        """See `gan_lab.data.conditions.Condition`."""
        return None


class Masks(Holes):
    """Holes that are drawn: of one of `laws`, all as likely, and drawn anew until its share fits.

    Args:
        laws: by names of your own; several make a mixture, and None leaves one out.
        least_share, most_share: bounds of the hole's share of the picture, both included.
        seed: 0 or more. Not the run's, or each run would be judged by holes of its own.
    Raises:
        ValueError: no laws, or bounds that leave nothing between them.
    """

    def __init__(self, *, laws: Mapping[str, Law | None], least_share: float, most_share: float, seed: int) -> None:
        # By name: configs that differ in their order alone mean the same.
        self.laws = {name: law for name, law in sorted(laws.items()) if law is not None}
        if not self.laws:
            raise ValueError("data.condition.masks.laws has no law, so there are no holes; give one or more")
        self.least_share, self.most_share = bounds(least_share, most_share)
        self.seed = check_seed("data.condition.masks.seed", seed)

    def check(self, height: int, width: int) -> None:
        """Refuse a law that seldom or never gives a hole within the bounds.

        Raises:
            ValueError: of the holes of a law in a picture of `height` x `width` pixels, fewer than one in 20 fit.
        """
        for name, law in self.laws.items():
            random = numpy_generator(self.seed, "trial masks")
            shares = [float(law.draw(random, height, width).mean()) for _ in range(TRIALS)]
            fitting = sum(self.least_share <= share <= self.most_share for share in shares)
            if fitting < FITTING:
                raise ValueError(
                    f"data.condition.masks.laws.{name}: holes in pictures of {height}x{width} take {min(shares):.3g} "
                    f"to {max(shares):.3g} of them, and {fitting} of {TRIALS} lie within "
                    f"data.condition.masks.least_share={self.least_share} and most_share={self.most_share}; "
                    "widen these bounds, or change the law"
                )

    def at(self, index: int, pass_number: int | None, height: int, width: int) -> Tensor:
        """See `Holes`."""
        random = sample_generator(self.seed, "masks", index, pass_number)
        law = list(self.laws.values())[random.integers(len(self.laws))]
        for _ in range(TRIES):
            hole = law.draw(random, height, width)
            if self.least_share <= hole.mean() <= self.most_share:
                return torch.from_numpy(hole)[None]
        raise ValueError(
            f"no hole of {law.name} within data.condition.masks.least_share={self.least_share} and "
            f"most_share={self.most_share} in {TRIES} tries at {height}x{width}; widen these bounds, or change the law"
        )

    def protocol(self) -> dict[str, Any]:
        """See `Holes`."""
        return {
            "laws": {name: law.protocol() for name, law in self.laws.items()},
            "least_share": self.least_share,
            "most_share": self.most_share,
            "seed": self.seed,
        }


def _between(ends: tuple[float, float], share: float) -> float:
    """The value that lies so far, from 0 to 1, on the way from the lower end to the upper one."""
    return ends[0] + (ends[1] - ends[0]) * share


def _across(side: str, height: int, width: int) -> int:
    """Pixels from this side of a picture to the other."""
    return height if side in ("top", "bottom") else width


def _strips(height: int, width: int, depths: Mapping[str, int]) -> np.ndarray:
    """(height, width) bool: True along each side that is given, so many pixels deep."""
    hole = np.zeros((height, width), dtype=np.bool_)
    for side, depth in depths.items():
        if side == "left":
            hole[:, :depth] = True
        elif side == "right":
            hole[:, width - depth :] = True
        elif side == "top":
            hole[:depth] = True
        else:
            hole[height - depth :] = True
    return hole
