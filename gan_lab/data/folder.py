"""A person's own pictures: a folder, or a zip, of images, decoded once into a memory-mapped array."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gan_lab import collectives
from gan_lab.data.base import ImageData, truth
from gan_lab.data.image_files import (
    EXTENSIONS,
    ArrayWriter,
    Shape,
    Source,
    Survey,
    classes_of,
    decode_all,
    listed,
    open_source,
)
from gan_lab.data.reference import ReferenceSet, finish_digest

log = logging.getLogger(__name__)

CACHE_FORMAT = 1  # counts up when the same files would give another array


class Folder(ImageData):
    """Images of a folder or zip in the order of their names; `train` is all of them.

    Where all images lie in subfolders, these are the classes. The first start decodes everything into `cache_dir`,
    reporting odd files by name; later ones map that array until a file, or an option, changes.

    Args:
        root: the folder or zip.
        center_crop: fit the shorter side and cut off what sticks out; otherwise squeeze.
        on_bad: `stop` at unreadable files, listing them, or `skip` them.
        cache_dir: where decoded arrays are kept; it may be deleted at any time between runs.
        common: as `ImageData`.
    """

    def __init__(
        self, *, root: str, center_crop: bool, on_bad: Literal["stop", "skip"], cache_dir: str, **common: Any
    ) -> None:
        super().__init__(**common)
        if on_bad not in ("stop", "skip"):
            raise ValueError(f"data.on_bad must be stop or skip, got {on_bad!r}")
        self.root = Path(root).expanduser().absolute()
        self.on_bad = on_bad
        self.cache_dir = Path(cache_dir).expanduser().absolute()
        self._decoded: Path | None = None
        self._shape = Shape(self.image_size, self.channels, truth("center_crop", center_crop))

    def prepare_data(self) -> None:
        """Decode what is not in the cache yet."""
        self._decode_once()

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`."""
        folder = self._decode_once()
        facts = json.loads((folder / "facts.json").read_text())
        for finding in facts["findings"] if collectives.rank() == 0 else []:
            log.warning("%s: %s", self.root, finding)
        self.class_names = tuple(facts["class_names"]) or None
        return ReferenceSet(
            name=self.name,
            split=split,
            images=np.load(folder / "images.npy", mmap_mode="c"),
            labels=np.load(folder / "labels.npy") if self.class_names else None,
            digest=facts["digest"],
            class_names=self.class_names,
        )

    def _decode_once(self) -> Path:
        if self._decoded is None:
            self._decoded = self._find_or_decode()
        return self._decoded

    def _find_or_decode(self) -> Path:
        source = open_source(self.root)
        key = json.dumps([CACHE_FORMAT, source.stamps(), self._shape, self.on_bad])
        folder = self.cache_dir / f"{self.root.stem}-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
        if folder.is_dir():
            return folder
        names = source.names()
        if not names:
            raise ValueError(f"no images in data.root={self.root}; accepted are files in {', '.join(EXTENSIONS)}")
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
        class_names, classes = classes_of(names)
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
                    f"{self.root}: {unreadable}. Repair or remove them, or leave them out: data.on_bad=skip"
                )
            findings.insert(0, f"skipped, {unreadable}")
        labels = None if classes is None else np.array(classes, dtype=np.int64)[kept]
        if labels is not None:
            np.save(folder / "labels.npy", labels)
        digest = finish_digest(images.sha256, (len(kept), *self.sample_shape), labels)
        facts = {"class_names": class_names, "digest": digest, "findings": findings}
        (folder / "facts.json").write_text(json.dumps(facts, indent=1))
