"""A translator applied to one picture of any size: to the whole, in tiles without seams, or around a hole alone."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from gan_lab.data.images import from_uint8, to_uint8
from gan_lab.data.label_maps import Labels, as_labels, planes_of
from gan_lab.evaluation.isolation import scoring_mode
from gan_lab.runs.checkpoint import LoadedGenerator
from gan_lab.sampling import Draws, reseed_default_generators
from gan_lab.translation.reach import layers_of_the_whole, reach, rounded_up, size_multiple, smallest_size

MEGAPIXEL = 10**6
READABLE_CHANNELS = (1, 3, 4)


class Box(NamedTuple):
    """Rows and columns of a picture, in pixels of the source."""

    rows: range
    columns: range

    def pixels(self) -> int:
        """How many there are."""
        return len(self.rows) * len(self.columns)


class Translating:
    """A trained translator, as it is applied to pictures.

    A picture is mirrored beyond its lower and right sides up to the next size that the network takes, and what is made
    of that is cut back. It is seen as a whole where it has at most `max_megapixels`. A larger one is cut into tiles, if
    the network sees so little of a picture around each pixel that tiles make what the whole would (see `reach`). Of one
    that cannot be cut, whose hole alone is to be filled, the hole is seen with so much around it as the network was
    trained on.

    Args:
        loaded: a generator that makes pictures from pictures.
        seed: of what it is given besides, such as latents; each picture gets the same.
        tile: whether there may be tiles.
        tile_size: least height and width of a tile without what overlaps, in pixels.
        max_megapixels: of a source, up to which it is seen as a whole.
        fill: level, 0 to 255, that holes of sources have; None for networks without masks.
        label_maps: whether sources are label maps, of one channel, which the network is given as planes.
    Attributes:
        channels: C' of what the network is given and C of what is made.
        factor: by which height and width grow.
        image_size: (height, width) of sources in training.
    Raises:
        ValueError: a value out of range, or a generator of other things.
    """

    def __init__(
        self,
        loaded: LoadedGenerator,
        *,
        seed: int,
        tile: bool,
        tile_size: int,
        max_megapixels: float,
        fill: int | None,
        label_maps: bool = False,
    ) -> None:
        if not hasattr(loaded.inputs, "condition_shape"):
            raise ValueError(
                f"{loaded.path} holds a {type(loaded.network).__name__}, which is given no pictures; "
                "python -m gan_lab.sample makes pictures with it"
            )
        if tile_size < 1:
            raise ValueError(f"tile_size must be 1 or more, got {tile_size}")
        if not max_megapixels > 0:
            raise ValueError(f"max_megapixels must be more than 0, got {max_megapixels}")
        self.network, self.masked, self.fill = loaded.network, loaded.inputs.masked, fill
        network: Any = loaded.network
        condition, sample = tuple(loaded.inputs.condition_shape), tuple(network.sample_shape)
        self.channels, self.label_maps = (condition[0], sample[0]), label_maps
        if not (label_maps or condition[0] in READABLE_CHANNELS) or sample[0] not in READABLE_CHANNELS:
            raise ValueError(
                f"{loaded.path} makes pictures of {sample[0]} channels from {condition[0]}, and files have 1, 3 or 4; "
                "call load_generator(checkpoint).network(condition=...)"
            )
        self.factor = sample[1] // condition[1]
        if sample[1:] != tuple(self.factor * side for side in condition[1:]):
            raise ValueError(
                f"{loaded.path} makes {sample[1]}x{sample[2]} from {condition[1]}x{condition[2]} pixels, which is no "
                "whole factor, the same for both; call load_generator(checkpoint).network(condition=...)"
            )
        self.image_size = condition[1:]
        self.multiple, self.smallest = size_multiple(loaded.network), smallest_size(loaded.network)
        self.tile, self.tile_size, self.max_megapixels = tile, rounded_up(tile_size, self.multiple), max_megapixels
        self.device = next(loaded.network.parameters()).device
        drawn = loaded.inputs.example(Draws(seed, across_ranks=False), 1)
        self.besides = {
            name: value.to(self.device) for name, value in drawn.items() if name not in ("condition", "mask")
        }
        self.seed = seed

    @property
    def keeps_known(self) -> bool:
        """Whether what lies beside a hole is the source's own: where the picture that is made could hold it."""
        return self.masked and self.factor == 1 and self.channels[0] == self.channels[1]

    def __call__(self, pixels: np.ndarray, hole: np.ndarray | None = None) -> np.ndarray:
        """What the network makes of a picture.

        Args:
            pixels: (H, W, C') uint8; of label maps (H, W, 1), see `gan_lab.data.label_maps.opened`.
            hole: (H, W) bool, True where pixels are to be made anew; None for a network without masks.
        Returns:
            (factor H, factor W, C) uint8; of a network that `keeps_known`, the source's own levels outside of the hole.
        Raises:
            ValueError: a value that is made is not finite; the picture has a size that the network does not take; or it
                is too large, with the reason why it cannot be cut into tiles.
        """
        height, width = pixels.shape[:2]
        if getattr(self.network, "own_size_alone", False) and (height, width) != self.image_size:
            own = f"{self.image_size[1]}x{self.image_size[0]}"
            raise ValueError(f"{width}x{height} pixels, and the network takes {own} alone; set size=train")
        if hole is not None and self.keeps_known:
            made = pixels.copy()
            for core, seen in self.plan(height, width, hole):
                inside = hole[_slices(core)][..., None]
                np.copyto(made[_slices(core)], self._made(pixels, hole, core, seen), where=inside)
            return made
        factor = self.factor
        made = np.empty((factor * height, factor * width, self.channels[1]), dtype=np.uint8)
        for core, seen in self.plan(height, width, None):
            made[_slices(core, factor)] = self._made(pixels, hole, core, seen)
        return made

    def plan(self, height: int, width: int, hole: np.ndarray | None) -> Iterator[tuple[Box, Box]]:
        """The parts of a picture that are made one by one, and for each what the network sees to make it.

        Args:
            height, width: of the picture.
            hole: (H, W) bool, where it is all that matters; None elsewhere.
        Yields:
            Disjoint parts of the picture that hold all that matters, and parts of the mirrored picture around them,
            which begin and end at multiples of the network's.
        Raises:
            ValueError: see `__call__`.
        """
        if hole is not None and not hole.any():
            return
        sides = self._taken(height), self._taken(width)
        whole = Box(range(height), range(width)), Box(range(sides[0]), range(sides[1]))
        if height * width <= self.max_megapixels * MEGAPIXEL:
            yield whole
        elif self.tile and not isinstance(self.overlap, str):
            for rows in _cut(height, self.tile_size):
                for columns in _cut(width, self.tile_size):
                    if hole is None or hole[_slices(Box(rows, columns))].any():
                        margins = self.overlap, self.overlap
                        yield Box(rows, columns), self._around(Box(rows, columns), margins, sides)
        elif hole is not None:
            core = Box(_span(np.any(hole, axis=1)), _span(np.any(hole, axis=0)))
            seen = self._around(core, self.image_size, sides)
            if seen.pixels() > self.max_megapixels * MEGAPIXEL:
                raise ValueError(self._too_large(height, width, f"its hole with what is around it has {_mega(seen)}"))
            yield core, seen
        else:
            raise ValueError(self._too_large(height, width, "it is needed as a whole"))

    @cached_property
    def overlap(self) -> int | str:
        """Pixels of the source around a tile that decide what is made of it; or why there can be no tiles."""
        if of_the_whole := layers_of_the_whole(self.network):
            return f"{of_the_whole[0]} sees the whole picture"
        if self.besides:
            return f"its {', '.join(self.besides)} decide on the whole picture"
        found = reach(self.network, self.channels[0], masked=self.masked, factor=self.factor)
        unknown = "how far a pixel reaches in what it makes is not known, or it is the whole picture"
        return unknown if found is None else found

    def _too_large(self, height: int, width: int, why: str) -> str:
        reason = f"the network cannot be given tiles: {self.overlap}" if self.tile else "tile=off"
        return (
            f"{width}x{height} pixels are more than max_megapixels={self.max_megapixels:g}, and {why}, since {reason}; "
            "raise max_megapixels as far as the memory goes, or set size=train"
        )

    def _made(self, pixels: np.ndarray, hole: np.ndarray | None, core: Box, seen: Box) -> np.ndarray:
        """(factor h, factor w, C) uint8 what the network makes of `core` where it is shown `seen`."""
        at = np.ix_(_mirrored(seen.rows, pixels.shape[0]), _mirrored(seen.columns, pixels.shape[1]))
        shown, given = pixels[at], {}
        if hole is not None:
            inside = hole[at]
            shown[inside] = self.fill
            given["mask"] = torch.from_numpy(inside)[None, None].to(self.device, torch.float32)
        condition = torch.from_numpy(shown).to(self.device).permute(2, 0, 1)[None].contiguous()
        if self.label_maps:
            condition = planes_of(condition, self.channels[0])
        with scoring_mode(self.network, self.device):
            reseed_default_generators(self.seed, across_ranks=False)
            made = self.network(condition=from_uint8(condition), **given, **self.besides)
        top, left = core.rows.start - seen.rows.start, core.columns.start - seen.columns.start
        inner = Box(range(top, top + len(core.rows)), range(left, left + len(core.columns)))
        return to_uint8(made)[0].permute(1, 2, 0)[_slices(inner, self.factor)].cpu().numpy()

    def _taken(self, side: int) -> int:
        """The least height or width that the network takes and that is not less."""
        return max(self.smallest, rounded_up(side, self.multiple))

    def _around(self, core: Box, margins: tuple[int, ...], sides: tuple[int, int]) -> Box:
        """`core` with so much around it, to multiples, within the mirrored picture of these sides."""
        rows, columns = (
            self._widened(part, margin, side) for part, margin, side in zip(core, margins, sides, strict=True)
        )
        return Box(rows, columns)

    def _widened(self, part: range, margin: int, side: int) -> range:
        last = min(side, rounded_up(part.stop + margin, self.multiple))
        first = max(0, part.start - margin) // self.multiple * self.multiple
        return range(max(0, min(first, last - self.smallest)), max(last, self.smallest))


def fill_of(loaded: LoadedGenerator, asked: int | None) -> int | None:
    """The level that holes of sources have, as in training unless another is asked for; None where there are none.

    Raises:
        ValueError: a level out of range, none that is known, or one for a network that is given no holes.
    """
    if not getattr(loaded.inputs, "masked", False):
        if asked is not None:
            raise ValueError(f"fill={asked} is of holes, and this network is given none; leave it out")
        return None
    fill = (loaded.config["data"].get("condition") or {}).get("fill") if asked is None else asked
    if fill is None:
        raise ValueError("the run's data does not say what level its holes had; give it: fill=LEVEL, 0 to 255")
    if not 0 <= fill <= 255:
        raise ValueError(f"fill must be from 0 to 255, got {fill}")
    return fill


def labels_of(loaded: LoadedGenerator) -> Labels | None:
    """What ids of sources mean, as in training; None where they are no label maps."""
    data = loaded.config["data"]
    labels = as_labels(data.get("source_labels"), data.get("unlabelled_ids") or [])
    # The other way, of a model that goes either, pictures are the sources.
    return None if labels and loaded.inputs.condition_shape[0] != labels.planes else labels


def explained(error: BaseException) -> str:
    """Why a picture could not be made, with a remedy where memory was short."""
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return f"out of memory; lower max_megapixels or tile_size, or set size=train ({text.splitlines()[0]})"
    return text


def _mega(box: Box) -> str:
    return f"{box.pixels() / MEGAPIXEL:.1f} megapixels"


def _slices(box: Box, factor: int = 1) -> tuple[slice, slice]:
    """Of an array of the picture, or of one that is `factor` times as large."""
    rows, columns = (slice(factor * part.start, factor * part.stop) for part in box)
    return rows, columns


def _cut(side: int, size: int) -> list[range]:
    """A side in pieces of `size`, the last one as long as what is left."""
    return [range(first, min(side, first + size)) for first in range(0, side, size)]


def _span(true: np.ndarray) -> range:
    """From the first to the last that is true, of (n,) bool."""
    places = np.flatnonzero(true)
    return range(int(places[0]), int(places[-1]) + 1)


def _mirrored(part: range, side: int) -> np.ndarray:
    """The places within `side` that a picture mirrored at its border, which is not repeated, has at those of `part`."""
    places = np.arange(part.start, part.stop) % max(1, 2 * (side - 1))
    return np.minimum(places, 2 * (side - 1) - places)
