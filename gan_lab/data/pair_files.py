"""Files of pairs: which source goes with which target, by name or side by side in one picture, and both decoded.

A source may be smaller than its target by a whole factor. One array holds both all the same: of each pixel of the
source, the factor x factor pixels of its target, and the source's own. So what is cut out of one is of the other, too.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_lab.data import label_maps
from gan_lab.data.archives import Below, open_source
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
from gan_lab.data.label_maps import Labels, LabelSurvey
from gan_lab.data.sources import FolderSource, Source, line
from gan_lab.data.stream import mirror

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


class Pairs(Source):
    """The files of two sources that belong together, by their paths without extension; a pair's content is of both.

    Args:
        sources, targets: where the two lie.
        suffixes: what the paths of either end in beyond what they share, before the extension. Files that do not are
            none of them.
    Attributes:
        unmatched: what has no partner, or several, a line for each kind.
        others: what does not end in the suffix, likewise.
    """

    def __init__(self, sources: Source, targets: Source, suffixes: tuple[str, str] = ("", "")) -> None:
        self._both, self._suffixes = (sources, targets), suffixes
        self.title, self.place = targets.title, f"{sources.place} and {targets.place}"
        stems = [by_stem(source.names(), suffix) for source, suffix in zip(self._both, suffixes, strict=True)]
        self.others: list[str] = []
        for side, source, suffix in zip(SIDES, self._both, suffixes, strict=True):
            rest = [name for name in source.names() if not os.path.splitext(name)[0].endswith(suffix)]
            self.others += line(f"{side} not read, as they do not end in {suffix}", rest)
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
        suffixes = [list(self._suffixes)] if any(self._suffixes) else []
        return [*(source.outline() for source in self._both), *suffixes]

    def findings(self) -> list[str]:
        """See `Source`."""
        found = [f"{source.place}: {finding}" for source in self._both for finding in source.findings()]
        return [f"skipped, {unmatched}" for unmatched in self.unmatched] + found

    def notes(self) -> list[str]:
        """See `Source`."""
        return self.others + [f"{source.place}: {note}" for source in self._both for note in source.notes()]

    def sides(self) -> tuple[Source, ...]:
        """The sources and the targets."""
        return self._both


def by_stem(names: Iterable[str], suffix: str = "") -> dict[str, list[str]]:
    """Path without suffix and extension -> the files of that name."""
    found: dict[str, list[str]] = {}
    for name in names:
        stem = os.path.splitext(name)[0]
        if stem.endswith(suffix):
            found.setdefault(stem.removesuffix(suffix), []).append(name)
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
        factor: by which targets are higher and wider than their sources.
        resized: whether both are brought to their size by resizing; otherwise the middle of larger ones is cut out.
        labels: of sources that are label maps; None of others.
    """

    target: Shape
    source: Shape
    source_resize: str
    direction: str | None
    factor: int = 1
    resized: bool = True
    labels: Labels | None = None


def decode_pair(content: bytes, shape: PairShape, whites: Mapping[str, int]) -> Decoded:
    """Read one pair, each picture of it as `image_files.decode` does, or `label_maps.opened`.

    Args:
        content: as `Pairs.read` gives it, or of one file with both side by side.
        shape: as they are wanted.
        whites: see `PairSurvey.whites`.
    Returns:
        `pixels` (C f f + C', H / f, W / f), f being the factor: the target, see `folded`, then the source's channels.
    """
    try:
        if shape.direction is None:
            start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "big")
            source, about_source = _opened("source", content[LENGTH_BYTES:start], whites, shape.labels)
            target, about = _opened("target", content[start:], whites)
        else:
            picture, about = _opened("target", content, whites)
            if picture.width % 2:
                raise ValueError(f"{picture.width}x{picture.height}: a picture of odd width has no two halves")
            half = picture.width // 2
            halves = [picture.crop((left, 0, left + half, picture.height)) for left in (0, half)]
            source, target = halves if shape.direction == "AtoB" else halves[::-1]
            about_source = about
        check_sizes(source.size, target.size, shape)
        about_source = about_source._replace(width=source.width, height=source.height)
        about = about._replace(width=target.width, height=target.height)
        if not shape.resized:
            source, target = middles(source, target, shape)
        pixels = [
            folded(fitted(with_channels(target, shape.target.channels), shape.target), shape.factor),
            fitted(with_channels(source, shape.source.channels), shape.source, RESAMPLINGS[shape.source_resize]),
        ]
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them stumble over
        return Decoded(None, error=reason_of(error))
    return about._replace(pixels=np.concatenate(pixels), source=about_source._replace(pixels=pixels[1]))


def check_sizes(source: tuple[int, int], target: tuple[int, int], shape: PairShape) -> None:
    """Refuse a pair that is none, by its (width, height).

    Raises:
        ValueError: another shape, another size than the factor says, or less than what is to be cut out.
    """
    sizes = f"source {source[0]}x{source[1]} and target {target[0]}x{target[1]}"
    if shape.factor == 1 and shape.resized:
        if not alike(source, target):
            raise ValueError(f"{sizes} are of another shape")
        return
    factor = shape.factor
    if target != (factor * source[0], factor * source[1]):
        raise ValueError(
            f"{sizes}: data.factor={factor} wants a target of {factor * source[0]}x{factor * source[1]}; cut the "
            "target to that, make the source anew, or give the factor that they have"
        )
    height, width = shape.source.image_size
    if not shape.resized and (source[0] < width or source[1] < height):
        raise ValueError(
            f"{sizes}: less than {factor * width}x{factor * height}, which is cut out of targets; give a smaller "
            "data.image_size or data.load_size"
        )


def middles(source: Image.Image, target: Image.Image, shape: PairShape) -> tuple[Image.Image, Image.Image]:
    """What is wanted of both, cut out of their middle; the target's corner is that of the source times the factor."""
    height, width = shape.source.image_size
    left, top = (source.width - width) // 2, (source.height - height) // 2
    box, factor = (left, top, left + width, top + height), shape.factor
    return source.crop(box), target.crop((factor * left, factor * top, factor * box[2], factor * box[3]))


def folded(pixels: np.ndarray, factor: int) -> np.ndarray:
    """(C, f H, f W) -> (C f f, H, W): the channels of a pixel are the f x f pixels in its place, row by row."""
    channels, height, width = pixels.shape
    blocks = pixels.reshape(channels, height // factor, factor, width // factor, factor)
    return blocks.transpose(0, 2, 4, 1, 3).reshape(-1, height // factor, width // factor)


def unfolded(pixels: Tensor, factor: int, mirrored: Tensor | None = None) -> Tensor:
    """(..., C f f, H, W) -> (..., C, f H, f W): what `folded` made.

    Args:
        mirrored: (N,) bool of (N, ...) `pixels`: whether their columns were reversed since. So are then those within
            each block.
    """
    *others, channels, height, width = pixels.shape
    blocks = pixels.reshape(*others, channels // factor**2, factor, factor, height, width)
    blocks = blocks.movedim((-2, -4, -1, -3), (-4, -3, -2, -1))  # each row of blocks, row in them, block, column in it
    if mirrored is not None:
        blocks = mirror(blocks, mirrored)
    return blocks.reshape(*others, channels // factor**2, factor * height, factor * width)


class Unfolded:
    """What `unfolded` makes of an array, of that part alone which is asked for: it may be a file's.

    Args:
        pixels: (N, C f f, H, W) uint8.
        factor: f.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, pixels: np.ndarray, factor: int) -> None:
        self._pixels, self._factor = pixels, factor
        count, channels, height, width = pixels.shape
        self.shape = (count, channels // factor**2, factor * height, factor * width)

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, which: Any) -> np.ndarray:
        return unfolded(torch.from_numpy(np.array(self._pixels[which])), self._factor).numpy()


def _opened(
    side: str, content: bytes, whites: Mapping[str, int], labels: Labels | None = None
) -> tuple[Image.Image, Decoded]:
    own = {kind.removeprefix(f"{side} "): white for kind, white in whites.items() if kind.startswith(f"{side} ")}
    try:
        return opened(content, own) if labels is None else label_maps.opened(content, labels)
    except label_maps.NotIds as error:
        raise ValueError(f"{side}: {error}{error.remedy}") from error
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
        own = {
            side: {kind.removeprefix(f"{side} "): white for kind, white in whites.items() if kind.startswith(side)}
            for side in ("target", "source")
        }
        source = Survey(shape.source.channels, own["source"]) if shape.labels is None else LabelSurvey(shape.labels)
        self._sides = {"target": Survey(shape.target.channels, own["target"]), "source": source}
        self._shape = shape
        if not shape.resized:
            for survey in self._sides.values():
                survey.brought = "the middle is cut out of all"
        self.unreadable: list[str] = []
        self.checksums: list[int] = []
        self.modes: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self._enlarged: list[str] = []
        self._cut: list[str] = []
        self._smoothed: list[str] = []

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
        if source.mode == "P" and self._shape.resized and self._shape.source_resize != "nearest":
            self._smoothed.append(name)
        if not self._shape.resized:
            if (decoded.height, decoded.width) != self._shape.target.image_size:
                self._cut.append(f"{name} ({decoded.width}x{decoded.height})")
        elif self._shape.factor == 1 and (source.width, source.height) != (decoded.width, decoded.height):
            sizes = f"{source.width}x{source.height}, target {decoded.width}x{decoded.height}"
            self._enlarged.append(f"{name} ({sizes})")

    def whites(self) -> dict[str, int]:
        """See `Survey`; kinds of grey are called `target 16`, `source float`."""
        return {f"{side} {kind}": white for side, of in self._sides.items() for kind, white in of.whites().items()}

    def findings(self) -> list[str]:
        """See `Survey`."""
        found = [f"{side}s: {finding}" for side, of in self._sides.items() for finding in of.findings()]
        height, width = self._shape.target.image_size
        of_cut = f"targets of which the middle {width}x{height} alone is seen (see data.load_size)"
        return [
            *found,
            *line("sources of another size than their targets, both are brought to one", self._enlarged),
            *line(of_cut, self._cut),
            *line(
                "sources with a palette, smoothed where they are resized; give data.source_labels=N where its numbers "
                "are labels, or data.source_resize=nearest where its colours are",
                self._smoothed,
            ),
        ]

    def notes(self) -> list[str]:
        """See `Survey`."""
        return [f"{side}s: {note}" for side, of in self._sides.items() for note in of.notes()]


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
    names = [source.names() for source in pairs.sides()]
    examples = [f"{side} are called {', '.join(of[:2])}" for side, of in zip(SIDES, names, strict=True)]
    hint = "" if pairs.names() else f" ({'; '.join(examples)})"
    remedies = [
        f"data.{key}={suffix}, in which all of these end, or r"
        for key, suffix in (("source_suffix", suffix_of(*names)), ("target_suffix", suffix_of(*names[::-1])))
        if suffix
    ]
    return (
        f"{sources} and {targets} belong together file by file, by their paths without extension{hint}; "
        f"{'; '.join(pairs.unmatched)}. {'Give ' + remedies[0] if remedies else 'R'}ename or add what is missing, or "
        "go on without them: data.on_bad=skip"
    )


def suffix_of(names: list[str], others: list[str]) -> str | None:
    """What all of `names` end in, without extension, beyond the path of one of `others`; None if they differ in it."""
    known, stems = {os.path.splitext(name)[0] for name in others}, [os.path.splitext(name)[0] for name in names]
    first = stems[0] if stems else ""
    for length in range(len(first) - 1, 0, -1):
        suffix = first[length:]
        if all(stem.endswith(suffix) and stem.removesuffix(suffix) in known for stem in stems):
            return suffix
    return None
