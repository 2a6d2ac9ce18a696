"""One pass over a person's pictures: what each is like, and what all of them are."""

import hashlib
from collections import Counter
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gan_lab.data.doubles import grid_of, groups_of_alike, largest_first
from gan_lab.data.image_files import Decoded, Survey, grey_kind, in_threads, opened, reason_of, with_channels
from gan_lab.data.sources import Source, checksum

UPRIGHT = "turned upright by their EXIF orientation"
WHITE = "transparent in part, and white there"


class Seen(NamedTuple):
    """One file.

    Attributes:
        name: of the file, relative to the root.
        decoded: what it is like; `pixels` are its grid, see `gan_lab.data.doubles`.
        digest: sha256 of its content; nothing where that cannot be read.
    """

    name: str
    decoded: Decoded
    digest: bytes

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, upright."""
        return self.decoded.width, self.decoded.height

    @property
    def shorter(self) -> int:
        """Its shorter side in pixels."""
        return min(self.size)

    def as_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        about = self.decoded
        if about.pixels is None:
            return {"name": self.name, "error": about.error}
        known = {key: getattr(about, key) for key in ("width", "height", "format", "mode", "bits")}
        return {"name": self.name, **known, "remarks": list(about.remarks)}


class Looked(NamedTuple):
    """What there is.

    Attributes:
        source: where it lies.
        readable, unreadable: its files in the order of their names.
        survey: of all of them.
        whites: see `gan_lab.data.image_files.opened`, as training has them.
        groups: of pictures that are one, each with the largest first.
    """

    source: Source
    readable: list[Seen]
    unreadable: list[Seen]
    survey: Survey
    whites: dict[str, int]
    groups: list[list[Seen]]

    @property
    def once(self) -> int:
        """How many pictures there are, of which some lie there twice."""
        return len(self.readable) - sum(len(group) - 1 for group in self.groups)

    def counts(self, what: str) -> dict[str, int]:
        """How many readable files have which `format`, `mode` or `bits`, the most frequent first."""
        found = Counter(str(getattr(seen.decoded, what)) for seen in self.readable)
        return dict(found.most_common())


def look_at(source: Source, names: list[str], channels: int) -> Looked:
    """Read each file once, and once more where it is grey of 12 bits in 16, which all files together show.

    Args:
        source: of the files `names`.
        channels: as training wants pictures, 1, 3 or 4.
    """
    seen = list(in_threads(partial(see, source, channels=channels, whites={}), names, "Looking at pictures"))
    survey = surveyed(seen, channels, {})
    if whites := survey.whites():
        dark = [place for place, one in enumerate(seen) if grey_kind(one.decoded.mode) in whites]
        again = partial(see, source, channels=channels, whites=whites)
        renewed = in_threads(again, [seen[place].name for place in dark], "Looking at 12 bits in files of 16")
        for place, one in zip(dark, renewed, strict=True):
            seen[place] = one
        survey = surveyed(seen, channels, whites)
    readable = [one for one in seen if one.decoded.pixels is not None]
    unreadable = [one for one in seen if one.decoded.pixels is None]
    ordered = [readable[place] for place in largest_first([one.size for one in readable])]
    groups = groups_of_alike(np.stack([one.decoded.pixels for one in ordered])) if ordered else []
    return Looked(source, readable, unreadable, survey, whites, [[ordered[i] for i in group] for group in groups])


def see(source: Source, name: str, *, channels: int, whites: dict[str, int]) -> Seen:
    """One file, decoded as training does it up to its size."""
    try:
        content = source.read(name)
    except Exception as error:  # a zip entry with a wrong checksum, an encrypted one, a file without permission
        return Seen(name, Decoded(None, error=reason_of(error)), b"")
    digest = hashlib.sha256(content).digest()
    try:
        image, about = opened(content, whites)
        if image.has_transparency_data and channels != 4:
            about = about._replace(remarks=(*about.remarks, WHITE))
        about = about._replace(pixels=grid_of(with_channels(image, channels)))
    except Exception as error:  # whatever a damaged file makes Pillow's plugins stumble over
        return Seen(name, Decoded(None, error=reason_of(error), checksum=checksum(content)), digest)
    if about.turned:
        about = about._replace(remarks=(*about.remarks, UPRIGHT))
    return Seen(name, about._replace(checksum=checksum(content)), digest)


def surveyed(seen: list[Seen], channels: int, whites: dict[str, int]) -> Survey:
    """The survey that training makes of the same files."""
    survey = Survey(channels, whites)
    for one in seen:
        survey.add(one.name, one.decoded)
    return survey
