"""Images of files of any size, decoded once into a memory-mapped array that later starts find again."""

import json
import logging
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from gan_lab import collectives
from gan_lab.data import image_files
from gan_lab.data.base import ImageData, truth, whole
from gan_lab.data.copies import (
    DIGITS,
    SAMPLE,
    Copies,
    content_of,
    digest_of,
    is_trusted,
    open_copy,
    sample_of,
    trust,
)
from gan_lab.data.image_files import ArrayWriter, Decoded, Shape, Survey, checksums_of, decode_all
from gan_lab.data.labelling import Classes
from gan_lab.data.reference import ReferenceSet, finish_digest
from gan_lab.data.sourced import OtherSources
from gan_lab.data.sources import Source, listed, names_in, spread

log = logging.getLogger(__name__)

CACHE_FORMAT = 2  # counts up when the same files would give another array
SHOWN_KINDS = 3  # sizes and modes named at the start
NEVER_TRAINED_ON: dict[str, Any] = {  # settings of `ImageData` for images that are decoded and looked up alone
    "num_classes": None,
    "batch_size": 1,
    "micro_batch_size": None,
    "flip": False,
    "resident": False,
    "resident_limit_mb": 0,
    "workers": 0,
    "limit": None,
    "seed": 0,
}


class Found(NamedTuple):
    """A decoded copy, and what is to be said of its source (which is large, and not kept)."""

    copy: Path
    place: str
    notes: list[str]
    findings: list[str]


class DecodedImages(ImageData):
    """Images that a subclass finds, in its order, by `source`.

    The first start decodes everything into `cache_dir`; later ones map that array. What is not resident is read from
    it, at random, as training goes. Every start says what there is, and names odd files.

    A copy is known by what it was made of: the options, the classes, and of each file the name, the size and the CRC-32
    of the content. So the same images at another place, or in a zip, find it, and others never do. Reading all files
    at every start would be slow: where a place was found to hold a copy's content, it is trusted while path, names,
    sizes, both times and inodes are the same, and the content of 64 files. All files are read once more where a copy
    of images with equal names and sizes is there, and this place is not known yet.

    Args:
        crop: cut a square of so many pixels out of the middle first; None for none.
        center_crop: then fit the shorter side and cut off what sticks out; otherwise squeeze.
        on_bad: `stop` at unreadable files, listing them, or `skip` them.
        cache_dir: where decoded arrays are kept; it may be deleted at any time between runs. Where it cannot be
            written, they are kept in a temporary folder until the process ends.
        common: as `ImageData`.
    Attributes:
        large: whether decoded images are too large for many of them to be held at once.
    """

    on_bad_key: ClassVar[str] = "data.on_bad"  # as a person gives it
    large: ClassVar[bool] = False

    def __init__(
        self,
        *,
        center_crop: bool,
        on_bad: Literal["stop", "skip"],
        cache_dir: str,
        crop: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if on_bad not in ("stop", "skip"):
            raise ValueError(f"{self.on_bad_key} must be stop or skip, got {on_bad!r}")
        self.on_bad = on_bad
        self.cache_dir = Path(cache_dir).expanduser().absolute()
        self._copies = Copies(self.cache_dir)
        self._decoded: dict[str, Found] = {}
        self._larger: DecodedImages | None = None  # a subclass's: what its training images are cut out of
        crop = None if crop is None else whole("crop", crop, 1)
        self._shape: Any = Shape(self.image_size, self.channels, truth("center_crop", center_crop), crop)

    @abstractmethod
    def source(self, split: str) -> Source:
        """Where the images of one of `splits` lie.

        Raises:
            OSError, ValueError: they do not; the message says where they are looked for, and the remedy.
        """

    def classes(self, source: Source, names: list[str]) -> tuple[list[str], list[int] | None] | Classes:
        """Class names in order, and the class of each of the `names` of `source`; none and None without labels."""
        return Classes([], None)

    def labelling(self) -> Any:
        """What `classes` depends on besides the source, as plain JSON values."""
        return None

    def stored_shape(self) -> Sequence[int]:
        """Of each sample in the decoded copy."""
        return self.sample_shape

    def writer(self, folder: Path) -> ArrayWriter:
        """What writes the decoded images of a copy in `folder`."""
        return ArrayWriter(folder / "images.npy", tuple(self.stored_shape()))

    def decode(self, content: bytes, whites: Mapping[str, int]) -> Decoded:
        """What is stored of one of a source's contents; `whites` are those of `survey`."""
        return image_files.decode(content, self._shape, whites)

    def survey(self, whites: Mapping[str, int]) -> Survey:
        """A new one, for the files of a source."""
        return Survey(self.channels, whites)

    def identity(self) -> str:
        """See `Data`: of names, sizes, classes, and the content of some files, evenly spread; nothing is decoded."""
        return digest_of(self.outline("train"))

    def outline(self, split: str) -> list[Any]:
        """Of a split, what `identity` is a digest of."""
        source = self.source(split)
        names = names_in(source)
        class_names, labels = self.classes(source, names)[:2]
        files = [source.outline(), class_names, labels, checksums_of(source, spread(names, SAMPLE), quietly=True)]
        of_condition = ImageData.identity(self)
        return files if of_condition is None else [*files, of_condition]

    def prepare_data(self) -> None:
        """Decode what is trained on and not in the cache yet."""
        (self._larger or self)._decode_once("train")

    def training_set(self) -> ReferenceSet:
        """See `ImageData`."""
        if self._larger is None:
            return super().training_set()
        samples = self._larger.reference("train")
        self.class_names = samples.class_names
        return samples.shown_at(self.image_size)

    def as_sources(self, split: str) -> OtherSources:
        """See `ImageData`."""
        return OtherSources(self.reference(split), {"shown": shown(self._shape)})

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`."""
        found = self._decode_once(split)
        images, facts = open_copy(found.copy, self.name, split)
        self.class_names = images.class_names
        if collectives.rank() == 0:
            report(found, facts)
            if hint := self.hint(facts["sizes"]):
                log.warning("%s: %s", found.place, hint)
        return images

    def hint(self, sizes: Mapping[str, int]) -> str:
        """What a person should know of these sizes, "WIDTHxHEIGHT" -> how many, besides how they are read; else ""."""
        return ""

    def _decode_once(self, split: str) -> Found:
        if split not in self._decoded:
            source = self.source(split)
            copy = self._find_or_decode(source)
            self._decoded[split] = Found(copy, source.place, source.notes(), source.findings())
        return self._decoded[split]

    def _find_or_decode(self, source: Source) -> Path:
        outline = digest_of([CACHE_FORMAT, source.outline(), self._shape, self.on_bad])[:DIGITS]
        place = digest_of([os.path.abspath(source.place), self.labelling()])[:DIGITS]
        copies = self._copies.alike(outline)
        for copy in copies:
            if is_trusted(copy, source, place):
                return copy
        names = names_in(source)
        classes = Classes(*self.classes(source, names))
        if copies:
            checksums = source.checksums() or checksums_of(source, names)
            content = content_of(checksums, classes.names, classes.labels)
            for copy in copies:
                if copy.name.endswith(f"-{content}"):
                    trust(copy, source, place)
                    return copy
        with self._copies.unfinished() as unfinished:
            try:
                content = self._decode_into(unfinished, source, names, classes)
            except OSError as error:
                raise OSError(f"no decoded copy in data.cache_dir={self._copies.folder}: {error}") from error
            copy = self._copies.finish(unfinished, f"{source.title}-{outline}-{content}")
        trust(copy, source, place)
        return copy

    def _decode_into(self, folder: Path, source: Source, names: list[str], classes: Classes) -> str:
        """Write a copy; the digest of its content."""
        survey, kept, pixels = self._decode(folder, source, names, {})
        if whites := survey.whites():  # known when all files have been seen
            survey, kept, pixels = self._decode(folder, source, names, whites)
        findings = survey.findings()
        if survey.unreadable:
            unreadable = f"cannot be read: {listed(survey.unreadable)}"
            if self.on_bad == "stop" or not kept:
                raise ValueError(
                    f"{source.place}: {unreadable}. Repair or remove them, or leave them out: {self.on_bad_key}=skip"
                )
            findings.insert(0, f"skipped, {unreadable}")
        if not kept:
            raise ValueError(f"{source.place}: nothing is left of {listed(names)}; {'; '.join(findings)}")
        labels = None if classes.labels is None else np.array(classes.labels, dtype=np.int64)[kept]
        if labels is not None:
            np.save(folder / "labels.npy", labels)
        np.save(folder / "checksums.npy", np.array(survey.checksums, dtype=np.int64))
        shape = (len(kept), *self.stored_shape())
        facts = {
            "place": source.place,
            "class_names": classes.names,
            "reason": classes.reason,
            "doubtful": classes.doubtful,
            "digest": finish_digest(pixels, shape, labels),
            "shape": shape,
            "files": len(names),
            "sizes": survey.sizes,
            "modes": survey.modes,
            "findings": findings,
            "notes": survey.notes(),
            "sample": sample_of(names, survey.checksums),
            **survey.facts(),
            "skipped": sorted(set(names).difference(names[place] for place in kept)),
        }
        (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        return content_of(survey.checksums, classes.names, classes.labels)

    def _decode(
        self, folder: Path, source: Source, names: list[str], whites: Mapping[str, int]
    ) -> tuple[Survey, list[int], Any]:
        """Write the images; what the files are like, the places of those that could be read, a sha256 of all pixels."""
        survey = self.survey(whites)
        kept = []
        decoder = partial(self.decode, whites=whites)
        with self.writer(folder) as images:
            for place, (name, decoded) in enumerate(decode_all(source, names, decoder, large=self.large)):
                survey.add(name, decoded)
                if decoded.pixels is not None:
                    images.add(decoded.pixels)
                    kept.append(place)
        return survey, kept, images.sha256


def shown(shape: Shape) -> str:
    """How pictures are brought to their size in an evaluation, for protocols."""
    height, width = shape.image_size
    middle = "" if shape.crop is None else f"the middle {shape.crop}x{shape.crop}, "
    how = "cut to the shape and resized" if shape.center_crop else "squeezed"
    return f"{middle}{how} to {height}x{width}, not cropped further"


def report(found: Found, facts: Mapping[str, Any], nouns: str = "images") -> None:
    """Say what there is, and what is odd about it."""
    counts = f"{most_of(facts['sizes'])} pixels (width x height), {most_of(facts['modes'])}"
    log.info("%s: %s %s of %s", found.place, facts["shape"][0], nouns, counts)
    expected, odd = [*found.notes, *facts.get("notes", [])], [*found.findings, *facts["findings"]]
    if facts["reason"]:
        (odd if facts["doubtful"] else expected).insert(0, facts["reason"])
    for note in expected:
        log.info("%s: %s", found.place, note)
    for finding in odd:
        log.warning("%s: %s", found.place, finding)


def most_of(counts: Mapping[str, int]) -> str:
    """The most frequent kinds with their counts, and how many others there are; of a single one its name alone."""
    if len(counts) == 1:
        return next(iter(counts))
    usual = Counter(counts).most_common(SHOWN_KINDS)
    others = len(counts) - len(usual)
    return ", ".join([f"{kind} ({count})" for kind, count in usual] + ([f"{others} others"] if others else []))
