"""What a page asks of a translator: the picture that it makes of one that was dropped, and of a hole drawn into it."""

import threading
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from PIL import Image

from gan_lab.data.holes import hole_of_alpha
from gan_lab.runs.checkpoint import LoadedGenerator
from gan_lab.sampling import check_seed
from gan_lab.sharing.marks import Mark, mark_of
from gan_lab.translation.applying import Translating, explained, fill_of, labels_of
from gan_lab.translation.reading import Picture, image_of, read_label_map, read_picture

DRAWN_ON = 768  # pixels of the longer side of a picture at most, as it is drawn on


class Parts(NamedTuple):
    """How large pictures go through the network.

    Attributes:
        tile_size, max_megapixels: see `gan_lab.translation.applying.Translating`.
    """

    tile_size: int
    max_megapixels: float


class Translations:
    """A translator, as a page asks it; one request at a time, from any thread.

    Args:
        loaded: a generator that makes pictures from pictures.
        fill: level, 0 to 255, of what is in a hole; None for that of training.
        parts: how large pictures go through it.
    Attributes:
        loaded: as given.
        masked: whether it fills holes.
        drawn: whether it is given anything that depends on a seed.
    Raises:
        ValueError: a setting that is wrong or does not suit the generator.
    """

    def __init__(self, loaded: LoadedGenerator, *, fill: int | None, parts: Parts) -> None:
        self.loaded, self._parts = loaded, parts
        self._fill, self._labels = fill_of(loaded, fill), labels_of(loaded)
        first = self._translating(0)
        self.masked, self.drawn, self._channels = first.masked, bool(first.besides), first.channels
        self._known = {0: first}
        self._mark = mark_of(loaded, 0, of_picture=True)
        self._turn = threading.Lock()  # all requests have one network, and the default generators of this process

    def drawn_on(self, content: bytes) -> Image.Image:
        """A source as it is shown to be drawn on: all of it, of `DRAWN_ON` pixels at most.

        Raises:
            ValueError: the file cannot be read.
        """
        picture = self._read(content)
        image = image_of(picture.pixels, picture.alpha)
        image.thumbnail((DRAWN_ON, DRAWN_ON), Image.Resampling.LANCZOS)
        return image.convert("RGBA")

    def made(self, content: bytes, drawn: np.ndarray | None, seed: int) -> tuple[Image.Image, list[str]]:
        """What the network makes of a source.

        Args:
            content: of the file.
            drawn: (h, w) uint8 over the whole picture, not 0 where a hole was drawn; None for nothing drawn.
            seed: of what it is given besides.
        Returns:
            The picture, as large as the source or larger by the network's factor, and remarks on the file.
        Raises:
            ValueError: it cannot be made, and why.
        """
        check_seed("seed", seed)
        picture = self._read(content)
        alpha, remarks, hole = picture.alpha, picture.remarks, None
        if self.masked:
            hole, alpha, remarks = self._hole(picture, drawn)
        try:
            with self._turn:
                if seed not in self._known:
                    self._known = {seed: self._translating(seed)}
                made = self._known[seed](picture.pixels, hole)
        except (ValueError, RuntimeError, MemoryError) as error:
            raise ValueError(explained(error)) from error
        return image_of(made, alpha), remarks

    def mark(self, seed: int) -> Mark:
        """What files of its pictures say of their making."""
        return replace(self._mark, seed=seed)

    def _translating(self, seed: int) -> Translating:
        return Translating(
            self.loaded,
            seed=seed,
            tile=True,
            tile_size=self._parts.tile_size,
            max_megapixels=self._parts.max_megapixels,
            fill=self._fill,
            label_maps=self._labels is not None,
        )

    def _read(self, content: bytes) -> Picture:
        if self._labels is not None:
            return read_label_map(content, self._labels)
        return read_picture(content, self._channels[0])

    @staticmethod
    def _hole(picture: Picture, drawn: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
        """(H, W) bool of what was drawn, else of what is transparent; the alpha of what is made; and remarks."""
        if drawn is not None and drawn.any():
            height, width = picture.pixels.shape[:2]
            # Whatever the brush has touched, its soft edge, too: of a scratch nothing is to be left.
            mask = Image.fromarray(np.where(drawn > 0, np.uint8(255), np.uint8(0)))
            return (
                np.asarray(mask.resize((width, height), Image.Resampling.NEAREST)) > 0,
                picture.alpha,
                picture.remarks,
            )
        if picture.alpha is None or picture.alpha.min() == 255:
            raise ValueError(
                "there is no hole: draw over what is to be made anew, or drop a picture with a transparent one"
            )
        hole, alpha, more = hole_of_alpha(picture.alpha)
        return hole, alpha, picture.remarks + more
