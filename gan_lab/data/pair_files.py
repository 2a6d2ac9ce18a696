"""Files of pairs: which source goes with which target, by name or side by side in one picture, and both decoded."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gan_lab.data.image_files import (
    Decoded,
    Shape,
    Survey,
    checksums_of,
    fitted,
    opened,
    reason_of,
    with_channels,
)
from gan_lab.data.sources import FolderSource, Source, line, open_source

SPLITS = ("train", "val", "test")  # folders that are splits where `train` is one of them
RESAMPLINGS = {"lanczos": Image.Resampling.LANCZOS, "nearest": Image.Resampling.NEAREST}
LENGTH_BYTES = 8  # before the content of a pair, of its source's part
SIDES = ("sources", "targets")
MANY = 1000  # files that are read under a progress bar


class Root:
    """A folder or zip of pictures, and the splits that lie in it.

    Args:
        key: as a person gives it, `data.root`.
        path: where it lies.
    """

    def __init__(self, key: str, path: str) -> None:
        self.key, self.path = key, Path(path).expanduser().absolute()

    def __str__(self) -> str:
        return f"{self.key}={self.path}"

    @cached_property
    def folders(self) -> dict[str, str]:
        """Split -> the folder that holds it, from the root and ending with a slash: `train` alone, or all of `SPLITS`.

        One folder around everything is looked through.
        """
        names = open_source(self.path, self.key).names()
        inside = around(names)
        found = {name[len(inside) :].partition("/")[0] for name in names if "/" in name[len(inside) :]}
        if "train" not in found:
            return {"train": inside}
        return {split: f"{inside}{split}/" for split in SPLITS if split in found}

    def source(self, split: str) -> Source:
        """The pictures of a split."""
        inside = self.folders[split]
        if self.path.is_dir():
            return FolderSource(self.path / inside, self.path.stem)
        whole = open_source(self.path, self.key)
        return Below(whole, inside) if inside else whole

    def beside(self) -> list[str]:
        """A line about pictures beside the folders of splits, which are not read."""
        names = open_source(self.path, self.key).names()
        return line("beside the splits, not read", [n for n in names if not n.startswith((*self.folders.values(),))])


def around(names: list[str]) -> str:
    """The folders that all names lie in, one in another, but for one of `SPLITS`: a path, ending with a slash."""
    inside = ""
    while names:
        top, slash, _ = names[0][len(inside) :].partition("/")
        if not slash or top in SPLITS or not all(name.startswith(f"{inside}{top}/") for name in names):
            break
        inside += f"{top}/"
    return inside


class Below(Source):
    """The files of another source, a zip, that lie below a folder.

    Args:
        whole: that source.
        inside: the folder, ending with a slash.
    """

    def __init__(self, whole: Source, inside: str) -> None:
        self._whole, self._inside = whole, inside
        self.title, self.place = whole.title, f"{whole.place}/{inside.rstrip('/')}"

    def stamps(self) -> list[Any]:
        """See `Source`: those of all."""
        return [self._inside, self._whole.stamps()]

    def names(self) -> list[str]:
        """See `Source`."""
        return [name.removeprefix(self._inside) for name in self._whole.names() if name.startswith(self._inside)]

    def read(self, name: str) -> bytes:
        """See `Source`."""
        return self._whole.read(self._inside + name)

    def outline(self) -> list[Any]:
        """See `Source`."""
        names, sizes = self._whole.outline()
        return [self.names(), self._below(names, sizes)]

    def checksums(self) -> list[int] | None:
        """See `Source`."""
        checksums = self._whole.checksums()
        return None if checksums is None else self._below(self._whole.names(), checksums)

    def findings(self) -> list[str]:
        """See `Source`: those of all."""
        return self._whole.findings()

    def notes(self) -> list[str]:
        """See `Source`: those of all."""
        return self._whole.notes()

    def _below(self, names: list[str], values: list[Any]) -> list[Any]:
        return [value for name, value in zip(names, values, strict=True) if name.startswith(self._inside)]


class Pairs(Source):
    """The files of two sources that belong together, by their paths without extension; a pair's content is of both.

    Args:
        sources, targets: where the two lie.
    Attributes:
        unmatched: what has no partner, or several, a line for each kind.
    """

    def __init__(self, sources: Source, targets: Source) -> None:
        self._both = (sources, targets)
        self.title, self.place = targets.title, f"{sources.place} and {targets.place}"
        stems = [by_stem(source.names()) for source in self._both]
        common = {stem for stem in stems[0] if stem in stems[1]}
        self._files = {
            stem: (stems[0][stem][0], stems[1][stem][0])
            for stem in sorted(common)
            if all(len(side[stem]) == 1 for side in stems)
        }
        self.unmatched: list[str] = []
        for side, files in zip(SIDES, stems, strict=True):
            alone = [name for stem, names in files.items() if stem not in common for name in names]
            self.unmatched += line(f"{side} without a partner", alone)
            doubled = [name for stem, names in files.items() if stem in common and len(names) > 1 for name in names]
            self.unmatched += line(f"{side} that differ by extension alone", doubled)

    def stamps(self) -> list[Any]:
        """See `Source`."""
        return [source.stamps() for source in self._both]

    def names(self) -> list[str]:
        """See `Source`: without extensions."""
        return list(self._files)

    def read(self, name: str) -> bytes:
        """See `Source`: how long the source's file is, that, and the target's."""
        contents = [source.read(file) for source, file in zip(self._both, self._files[name], strict=True)]
        return b"".join([len(contents[0]).to_bytes(LENGTH_BYTES, "big"), *contents])

    def outline(self) -> list[Any]:
        """See `Source`."""
        return [source.outline() for source in self._both]

    def findings(self) -> list[str]:
        """See `Source`."""
        found = [f"{source.place}: {finding}" for source in self._both for finding in source.findings()]
        return [f"skipped, {unmatched}" for unmatched in self.unmatched] + found

    def notes(self) -> list[str]:
        """See `Source`."""
        return [f"{source.place}: {note}" for source in self._both for note in source.notes()]

    def sides(self) -> tuple[Source, ...]:
        """The sources and the targets."""
        return self._both


def by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    """Path without extension -> the files of that name."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(os.path.splitext(name)[0], []).append(name)
    return found


def repeated(first: Source, second: Source) -> list[str]:
    """The files of `second` that `first` holds too: those of equal sizes are compared by CRC-32."""
    (names, sizes), (others, other_sizes) = first.outline(), second.outline()
    candidates = set(sizes).intersection(other_sizes)
    known = set(_contents(first, names, sizes, candidates).values())
    return [name for name, content in _contents(second, others, other_sizes, candidates).items() if content in known]


def _contents(source: Source, names: list[str], sizes: list[Any], wanted: set[Any]) -> dict[str, tuple[Any, int]]:
    """Size and CRC-32 of each file that has one of the `wanted` sizes."""
    chosen = {name: size for name, size in zip(names, sizes, strict=True) if size in wanted}
    known = source.checksums()
    if known is None:
        checksums = checksums_of(source, list(chosen), quietly=len(chosen) < MANY, title="Comparing the splits")
    else:
        checksums = [number for name, number in zip(names, known, strict=True) if name in chosen]
    return {name: (size, number) for (name, size), number in zip(chosen.items(), checksums, strict=True)}


class PairShape(NamedTuple):
    """How pairs are wanted.

    Attributes:
        target, source: each of the two.
        source_resize: one of `RESAMPLINGS`, of the sources.
        direction: of pictures side by side: AtoB where the left half is the source, BtoA where the right one is; None
            for two files.
    """

    target: Shape
    source: Shape
    source_resize: str
    direction: str | None


def decode_pair(content: bytes, shape: PairShape, whites: Mapping[str, int]) -> Decoded:
    """Read one pair, each picture of it as `image_files.decode` does.

    Args:
        content: as `Pairs.read` gives it, or of one file with both side by side.
        shape: as they are wanted.
        whites: see `PairSurvey.whites`.
    Returns:
        `pixels` (C + C', H, W): the target's channels, then the source's.
    """
    try:
        if shape.direction is None:
            start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "big")
            source, about_source = _opened("source", content[LENGTH_BYTES:start], whites)
            target, about = _opened("target", content[start:], whites)
        else:
            picture, about = _opened("target", content, whites)
            if picture.width % 2:
                raise ValueError(f"{picture.width}x{picture.height}: a picture of odd width has no two halves")
            half = picture.width // 2
            halves = [picture.crop((left, 0, left + half, picture.height)) for left in (0, half)]
            source, target = halves if shape.direction == "AtoB" else halves[::-1]
            about_source = about
        if not alike(source.size, target.size):
            raise ValueError(
                f"source {source.width}x{source.height} and target {target.width}x{target.height} are of another shape"
            )
        pixels = [
            fitted(with_channels(target, shape.target.channels), shape.target),
            fitted(with_channels(source, shape.source.channels), shape.source, RESAMPLINGS[shape.source_resize]),
        ]
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them stumble over
        return Decoded(None, error=reason_of(error))
    about_source = about_source._replace(pixels=pixels[1], width=source.width, height=source.height)
    return about._replace(pixels=np.concatenate(pixels), width=target.width, height=target.height, source=about_source)


def _opened(side: str, content: bytes, whites: Mapping[str, int]) -> tuple[Image.Image, Decoded]:
    own = {kind.removeprefix(f"{side} "): white for kind, white in whites.items() if kind.startswith(f"{side} ")}
    try:
        return opened(content, own)
    except Exception as error:
        raise ValueError(f"{side}: {reason_of(error)}") from error


def alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes are of one shape, one a rounded multiple of the other."""
    (width, height), (other_width, other_height) = size, other
    return abs(width * other_height - height * other_width) <= max(*size, *other)


class PairSurvey(Survey):
    """What is odd about the pairs read so far: `Survey` of the targets, and beside it of the sources.

    Args:
        shape: as pairs are wanted.
        whites: see `whites`.
    """

    def __init__(self, shape: PairShape, whites: Mapping[str, int]) -> None:
        self._sides = {
            side: Survey(
                wanted.channels, {k.removeprefix(f"{side} "): v for k, v in whites.items() if k.startswith(f"{side} ")}
            )
            for side, wanted in (("target", shape.target), ("source", shape.source))
        }
        self.unreadable: list[str] = []
        self.checksums: list[int] = []
        self.modes: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self._enlarged: list[str] = []

    def add(self, name: str, decoded: Decoded) -> None:
        """See `Survey`."""
        self.checksums.append(decoded.checksum)
        source = decoded.source
        if decoded.pixels is None or source is None:
            self.unreadable.append(f"{name} ({decoded.error})")
            return
        self._sides["target"].add(name, decoded)
        self._sides["source"].add(name, source)
        self.sizes[f"{decoded.width}x{decoded.height}"] += 1
        self.modes[f"{source.mode} to {decoded.mode}"] += 1
        if (source.width, source.height) != (decoded.width, decoded.height):
            sizes = f"{source.width}x{source.height}, target {decoded.width}x{decoded.height}"
            self._enlarged.append(f"{name} ({sizes})")

    def whites(self) -> dict[str, int]:
        """See `Survey`; kinds of grey are called `target 16`, `source float`."""
        return {f"{side} {kind}": white for side, of in self._sides.items() for kind, white in of.whites().items()}

    def findings(self) -> list[str]:
        """See `Survey`."""
        found = [f"{side}s: {finding}" for side, of in self._sides.items() for finding in of.findings()]
        return found + line("sources of another size than their targets, both are brought to one", self._enlarged)


def agreed(sources: Root, targets: Root) -> list[str]:
    """The splits of two roots.

    Raises:
        ValueError: one has a split that the other has not.
    """
    ours, theirs = list(targets.folders), list(sources.folders)
    if ours != theirs:
        raise ValueError(
            f"{targets} has the splits {', '.join(ours)}, and {sources} has {', '.join(theirs)}; give both the same "
            "folders train, val and test, or neither any"
        )
    return ours


def refusal(pairs: Pairs, sources: Root, targets: Root) -> str:
    """What is said where files have no partner."""
    examples = [
        f"{side} are called {', '.join(source.names()[:2])}" for side, source in zip(SIDES, pairs.sides(), strict=True)
    ]
    hint = "" if pairs.names() else f" ({'; '.join(examples)})"
    return (
        f"{sources} and {targets} belong together file by file, by their paths without extension{hint}; "
        f"{'; '.join(pairs.unmatched)}. Rename or add what is missing, or go on without them: data.on_bad=skip"
    )
