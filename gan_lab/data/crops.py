"""Random crops of a person's own pictures at their own size."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gan_lab import collectives
from gan_lab.data.base import whole
from gan_lab.data.folder import Folder
from gan_lab.data.image_files import Decoded, SurveyOfAnySizes, WholeShape, decode_whole
from gan_lab.data.sourced import OtherSources
from gan_lab.data.sources import listed
from gan_lab.data.unequal import UnequalSet, UnequalWriter
from gan_lab.data.windows import WindowStream

log = logging.getLogger(__name__)

ON_SMALL = ("stop", "skip", "enlarge")


class CropsOfFolder(Folder):
    """Windows of `image_size` that are cut out of the pictures of a folder or zip, without a change of their size.

    Training sees a window anywhere in each picture, elsewhere at each pass; evaluation the one in its middle, and its
    protocol says so. The decoded copy holds the pictures whole (DIV2K's 800 take 7 GB), and serves any `image_size`
    unless smaller ones are enlarged; windows are read from it as they are needed.

    Args:
        on_small: what is done about pictures that are smaller than `image_size`: `stop`, listing them, `skip` them, or
            `enlarge` them by Lanczos until it fits.
        shorter_side: in pixels, to which each picture is resized by Lanczos before; None leaves it as it is.
        settings: as `Folder`, but for what brings pictures to one size.
    Raises:
        ValueError: a value is out of range, or `shorter_side` leaves less than `image_size`.
    """

    stream_type = WindowStream
    large = True

    def __init__(
        self, *, on_small: Literal["stop", "skip", "enlarge"], shorter_side: int | None, **settings: Any
    ) -> None:
        super().__init__(center_crop=False, **settings)
        if on_small not in ON_SMALL:
            raise ValueError(f"data.on_small must be one of {', '.join(ON_SMALL)}, got {on_small!r}")
        if shorter_side is not None and whole("shorter_side", shorter_side, 1) < min(self.image_size):
            raise ValueError(
                f"data.shorter_side={shorter_side} is less than data.image_size={list(self.image_size)}, which is cut "
                "out of it; give more, or null"
            )
        self.on_small = on_small
        self._shape = WholeShape(self.channels, shorter_side, self.image_size if on_small == "enlarge" else None)

    def stored_shape(self) -> Sequence[int]:
        """See `DecodedImages`: height and width are each picture's own."""
        return (self.channels,)

    def hint(self, sizes: Mapping[str, int]) -> str:
        """See `DecodedImages`: windows have their pixels, however large the pictures are."""
        return ""

    def writer(self, folder: Path) -> UnequalWriter:
        """See `DecodedImages`."""
        return UnequalWriter(folder)

    def decode(self, content: bytes, whites: Mapping[str, int]) -> Decoded:
        """See `DecodedImages`."""
        return decode_whole(content, self._shape, whites)

    def survey(self, whites: Mapping[str, int]) -> SurveyOfAnySizes:
        """See `DecodedImages`."""
        return SurveyOfAnySizes(self.channels, whites)

    def as_sources(self, split: str) -> OtherSources:
        """See `ImageData`: the split says what is shown."""
        return OtherSources(self.reference(split))

    def read(self, split: str) -> UnequalSet:
        """See `ImageData.read`.

        Raises:
            ValueError: pictures are smaller than `image_size`, and `on_small` is `stop`, or none is left.
        """
        found: Any = super().read(split)
        height, width = self.image_size
        samples = UnequalSet(
            name=found.name,
            split=f"middle {height}x{width} of {split}",
            images=found.stored,
            labels=found.labels,
            class_names=found.class_names,
            image_size=self.image_size,
        )
        small = (found.stored.sizes < self.image_size).any(axis=1)
        if not small.any():
            return samples
        named = self._named(split, np.flatnonzero(small), found.stored.sizes)
        too_small = f"smaller than data.image_size={list(self.image_size)}: {listed(named)}"
        place = self._decode_once(split).place
        if self.on_small == "stop" or small.all():
            raise ValueError(
                f"{place}: {too_small} (width x height). Give a smaller data.image_size, leave them out by "
                "data.on_small=skip, or enlarge them by data.on_small=enlarge"
            )
        if collectives.rank() == 0:
            log.warning("%s: skipped, %s", place, too_small)
        return samples.chosen(~small, samples.split)

    def _named(self, split: str, chosen: np.ndarray, sizes: np.ndarray) -> list[str]:
        """Files of some of the pictures of a copy, with their sizes."""
        facts = json.loads((self._decode_once(split).copy / "facts.json").read_text(encoding="utf-8"))
        unread = set(facts["skipped"])
        names = [name for name in self.source(split).names() if name not in unread]
        return [f"{names[number]} ({sizes[number, 1]}x{sizes[number, 0]})" for number in chosen]
