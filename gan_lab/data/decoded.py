"""Images of files of any size, decoded once into a memory-mapped array that later starts find again."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gan_lab import collectives
from gan_lab.data.base import ImageData, truth, whole
from gan_lab.data.image_files import EXTENSIONS, ArrayWriter, Shape, Source, Survey, decode_all, listed
from gan_lab.data.reference import ReferenceSet, finish_digest

log = logging.getLogger(__name__)

CACHE_FORMAT = 1  # counts up when the same files would give another array


class DecodedImages(ImageData):
    """Images that a subclass finds, in its order, by `source`.

    The first start decodes everything into `cache_dir`, reporting odd files by name; later ones map that array until a
    file, or an option, changes. What is not resident is read from it, at random, as training goes.

    Args:
        crop: cut a square of so many pixels out of the middle first; None for none.
        center_crop: then fit the shorter side and cut off what sticks out; otherwise squeeze.
        on_bad: `stop` at unreadable files, listing them, or `skip` them.
        cache_dir: where decoded arrays are kept; it may be deleted at any time between runs.
        common: as `ImageData`.
    """

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
            raise ValueError(f"data.on_bad must be stop or skip, got {on_bad!r}")
        self.on_bad = on_bad
        self.cache_dir = Path(cache_dir).expanduser().absolute()
        self._decoded: dict[str, Path] = {}
        crop = None if crop is None else whole("crop", crop, 1)
        self._shape = Shape(self.image_size, self.channels, truth("center_crop", center_crop), crop)

    @abstractmethod
    def source(self, split: str) -> Source:
        """Where the images of one of `splits` lie.

        Raises:
            OSError, ValueError: they do not; the message says where they are looked for, and the remedy.
        """

    def classes(self, source: Source, names: list[str]) -> tuple[list[str], list[int] | None]:
        """Class names in order, and the class of each of the `names` of `source`; none and None without labels."""
        return [], None

    def prepare_data(self) -> None:
        """Decode what is not in the cache yet."""
        self._decode_once("train")

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`."""
        folder = self._decode_once(split)
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        for finding in facts["findings"] if collectives.rank() == 0 else []:
            log.warning("%s: %s", facts["place"], finding)
        self.class_names = tuple(facts["class_names"]) or None
        return ReferenceSet(
            name=self.name,
            split=split,
            images=np.load(folder / "images.npy", mmap_mode="c"),
            labels=np.load(folder / "labels.npy") if self.class_names else None,
            digest=facts["digest"],
            class_names=self.class_names,
        )

    def _decode_once(self, split: str) -> Path:
        if split not in self._decoded:
            self._decoded[split] = self._find_or_decode(split)
        return self._decoded[split]

    def _find_or_decode(self, split: str) -> Path:
        source = self.source(split)
        key = json.dumps([CACHE_FORMAT, source.stamps(), self._shape, self.on_bad])
        folder = self.cache_dir / f"{source.title}-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
        if folder.is_dir():
            return folder
        names = source.names()
        if not names:
            raise ValueError(f"no images in {source.place}; accepted are files in {', '.join(EXTENSIONS)}")
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=self.cache_dir))
        try:
            self._decode_into(unfinished, source, names)
            os.rename(unfinished, folder)
        except OSError as error:
            if not folder.is_dir():  # else another process was first, with the same content
                raise OSError(f"no decoded copy in data.cache_dir={self.cache_dir}: {error}") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return folder

    def _decode_into(self, folder: Path, source: Source, names: list[str]) -> None:
        class_names, classes = self.classes(source, names)
        survey = Survey(self.channels)
        kept = []
        with ArrayWriter(folder / "images.npy", self.sample_shape) as images:
            for place, (name, decoded) in enumerate(decode_all(source, names, self._shape)):
                survey.add(name, decoded)
                if decoded.pixels is not None:
                    images.add(decoded.pixels)
                    kept.append(place)
        findings = survey.findings()
        if survey.unreadable:
            unreadable = f"cannot be read: {listed(survey.unreadable)}"
            if self.on_bad == "stop" or not kept:
                raise ValueError(
                    f"{source.place}: {unreadable}. Repair or remove them, or leave them out: data.on_bad=skip"
                )
            findings.insert(0, f"skipped, {unreadable}")
        labels = None if classes is None else np.array(classes, dtype=np.int64)[kept]
        if labels is not None:
            np.save(folder / "labels.npy", labels)
        digest = finish_digest(images.sha256, (len(kept), *self.sample_shape), labels)
        facts = {"place": source.place, "class_names": class_names, "digest": digest, "findings": findings}
        (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
