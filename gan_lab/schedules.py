"""Factors on a learning rate (or a weight) as a function of images seen. Lengths are in thousands of images (kimg)."""

import math
from collections.abc import Callable, Sequence

Schedule = Callable[[int], float]


def images_of(kimg: float) -> float:
    """Thousands of images in images, free of rounding: 1000 * 2.007 is a little over 2007 in floating point."""
    return round(1000 * kimg, 6)


class Constant:
    """1 at all times."""

    def __call__(self, images_seen: int) -> float:
        return 1.0


class Linear:
    """1 until `start_kimg`, then a straight line to `end_factor` at `end_kimg`, and that from there on.

    Args:
        start_kimg: thousands of images before the decay begins, 0 or more.
        end_kimg: thousands of images at its end, more than `start_kimg`.
        end_factor: the factor from `end_kimg` on, 0 or more.
    """

    def __init__(self, start_kimg: float, end_kimg: float, end_factor: float) -> None:
        _check_span(start_kimg, end_kimg, end_factor)
        self.start, self.end, self.end_factor = 1000 * start_kimg, 1000 * end_kimg, end_factor

    def __call__(self, images_seen: int) -> float:
        done = min(max((images_seen - self.start) / (self.end - self.start), 0.0), 1.0)
        return 1.0 + done * (self.end_factor - 1.0)


class Cosine:
    """1 until `start_kimg`, then half a cosine to `end_factor` at `end_kimg`, and that from there on."""

    def __init__(self, start_kimg: float, end_kimg: float, end_factor: float) -> None:
        _check_span(start_kimg, end_kimg, end_factor)
        self.start, self.end, self.end_factor = 1000 * start_kimg, 1000 * end_kimg, end_factor

    def __call__(self, images_seen: int) -> float:
        done = min(max((images_seen - self.start) / (self.end - self.start), 0.0), 1.0)
        return self.end_factor + (1.0 - self.end_factor) * 0.5 * (1.0 + math.cos(math.pi * done))


class Steps:
    """1, multiplied by `factor` at each of some moments, and constant between them.

    Args:
        at_kimg: thousands of images at each moment, 0 or more, rising.
        factor: 0 or more.
    """

    def __init__(self, at_kimg: Sequence[float], factor: float) -> None:
        if not at_kimg or min(at_kimg) < 0 or sorted(set(at_kimg)) != list(at_kimg):
            raise ValueError(f"at_kimg must be rising numbers of 0 or more, got {list(at_kimg)}")
        if factor < 0:
            raise ValueError(f"factor must be 0 or more, got {factor}")
        self.moments, self.factor = [images_of(kimg) for kimg in at_kimg], factor

    def __call__(self, images_seen: int) -> float:
        return self.factor ** sum(images_seen >= moment for moment in self.moments)


def _check_span(start_kimg: float, end_kimg: float, end_factor: float) -> None:
    if not 0 <= start_kimg < end_kimg:
        raise ValueError(f"a schedule needs 0 <= start_kimg < end_kimg, got {start_kimg=}, {end_kimg=}")
    if end_factor < 0:
        raise ValueError(f"end_factor must be 0 or more, got {end_factor}")


class Ramp:
    """A value, not a factor: from `first` at `start_kimg` to `last` at `end_kimg`, held before and after.

    Args:
        first, last: the values at both ends.
        start_kimg: thousands of images, 0 or more.
        end_kimg: thousands of images, more than `start_kimg`.
        shape: "linear", or "cosine" for half a cosine.
    """

    def __init__(self, first: float, last: float, start_kimg: float, end_kimg: float, shape: str) -> None:
        _check_span(start_kimg, end_kimg, 0)
        if shape not in ("linear", "cosine"):
            raise ValueError(f"the shape of a ramp must be 'linear' or 'cosine', got {shape!r}")
        self.first, self.last, self.shape = first, last, shape
        self.start, self.end = 1000 * start_kimg, 1000 * end_kimg

    def __call__(self, images_seen: int) -> float:
        done = min(max((images_seen - self.start) / (self.end - self.start), 0.0), 1.0)
        if self.shape == "cosine":
            done = 0.5 * (1.0 - math.cos(math.pi * done))
        return self.first + done * (self.last - self.first)


def as_schedule(value: float | Schedule) -> Schedule:
    """A number is the schedule that never changes."""
    return value if callable(value) else lambda images_seen: value


class Ticks:
    """Moments every `every_kimg` thousand images: due whenever a step carries `images_seen` across one.

    Args:
        every_kimg: more than 0, or None for never.
    """

    def __init__(self, every_kimg: float | None) -> None:
        if every_kimg is not None and every_kimg <= 0:
            raise ValueError(f"every_kimg must be more than 0 (or null for never), got {every_kimg}")
        self.every = None if every_kimg is None else images_of(every_kimg)

    def due(self, before: int, after: int) -> bool:
        """Whether a tick lies in (before, after]."""
        return self.every is not None and math.floor(after / self.every) > math.floor(before / self.every)
