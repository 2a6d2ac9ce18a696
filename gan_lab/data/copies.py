"""Decoded copies of images in a cache folder: found by content, checked before they are trusted, and cleaned up."""

import atexit
import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

try:
    import fcntl
except ImportError:  # on Windows: what was abandoned is known by its age alone
    fcntl = None  # type: ignore[assignment]

from gan_lab import collectives
from gan_lab.data.image_files import checksums_of
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.sources import Source, as_json, spread
from gan_lab.data.unequal import SIZES, UnequalSet, open_unequal

log = logging.getLogger(__name__)

UNFINISHED = "unfinished-"
LOCK = "lock"
DAY = 24 * 3600  # seconds after which nobody goes on with what is unfinished
SAMPLE = 64  # files that are compared at every start
DIGITS = 16  # hexadecimal, of each half of a copy's name
LAUNCHES = ("MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID")  # what the processes of one run share


class Copies:
    """The decoded copies in `cache_dir`, and in a temporary folder where that cannot be written.

    A copy is a folder `<title>-<outline>-<content>` of images.npy, labels.npy, checksums.npy (of all files, read or
    not), facts.json, and `trusted-*` for each place that was found to hold the very content; of pictures of unequal
    size also sizes.npy and digests.npy (see `gan_lab.data.unequal`).

    Args:
        cache_dir: may not exist yet.
    """

    def __init__(self, cache_dir: Path) -> None:
        self._cache_dir = cache_dir
        self._folder: Path | None = None

    def alike(self, outline: str) -> list[Path]:
        """Sound copies of images of this `outline` (a digest); damaged ones are named and removed."""
        found = []
        for folder in (self._cache_dir, temporary_folder()):
            self._sweep(folder)
            found += [copy for copy in sorted(folder.glob(f"*-{outline}-*")) if self._is_sound(copy)]
        return found

    def _is_sound(self, copy: Path) -> bool:
        try:
            open_copy(copy, "", "")
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the decoded copy %s is damaged (%s): the images are decoded anew", copy, error)
            shutil.rmtree(copy, ignore_errors=True)
            return False
        return True

    @property
    def folder(self) -> Path:
        """Where new copies go: `cache_dir`, or what stands in for it until the process ends."""
        if self._folder is None:
            try:
                self._cache_dir.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=self._cache_dir).close()
                self._folder = self._cache_dir
            except OSError as error:
                self._folder = temporary_folder()
                make_temporary(self._folder)
                log.warning(
                    "the cache data.cache_dir=%s cannot be written (%s): decoded images go to %s, and are gone at the "
                    "end. Give a folder that can be written as paths.cache_dir=..., or in the variable GAN_LAB_CACHE",
                    self._cache_dir,
                    error.strerror or error,
                    self._folder,
                )
        return self._folder

    @contextmanager
    def unfinished(self) -> Iterator[Path]:
        """A new folder for a copy to be, locked while this process lives; removed unless it was renamed."""
        folder = Path(tempfile.mkdtemp(prefix=f"{UNFINISHED}{host()}-", dir=self.folder))
        try:
            with (folder / LOCK).open("wb") as lock:
                if fcntl is not None:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_EX)
                    except OSError:  # a file system without locks: known by its age alone
                        (folder / LOCK).unlink()
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def finish(self, unfinished: Path, name: str) -> Path:
        """Give a copy its name; where another process was first, its copy of the same content is taken.

        Raises:
            OSError: it has no place.
        """
        copy = self.folder / name
        (unfinished / LOCK).unlink(missing_ok=True)
        try:
            os.rename(unfinished, copy)
        except OSError as error:
            if not self._is_sound(copy):
                raise OSError(f"no decoded copy in data.cache_dir={self.folder}: {error}") from error
        return copy

    def _sweep(self, cache: Path) -> None:
        """Remove what starts that were killed have left."""
        for folder in cache.glob(f"{UNFINISHED}*"):
            if is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
                if not folder.exists():
                    log.info("removed %s, the part of a decoded copy that a killed start has left", folder)


def open_copy(copy: Path, name: str, split: str) -> tuple[ReferenceSet, dict[str, Any]]:
    """A copy's images, mapped, and its facts.

    Raises:
        OSError, ValueError, KeyError, TypeError: it is damaged.
    """
    facts = json.loads((copy / "facts.json").read_text(encoding="utf-8"))
    class_names = tuple(facts["class_names"]) or None
    unequal = (copy / SIZES).exists()
    images: Any = open_unequal(copy, facts["shape"][1]) if unequal else np.load(copy / "images.npy", mmap_mode="c")
    if list(images.shape) != facts["shape"]:
        raise ValueError(f"images.npy holds {images.shape}, not {facts['shape']}")
    labels = np.load(copy / "labels.npy") if class_names else None
    checksums = np.load(copy / "checksums.npy", mmap_mode="r")
    if len(checksums) != facts["files"]:
        raise ValueError(f"checksums.npy holds {len(checksums)}, not {facts['files']}")
    kind = UnequalSet if unequal else ReferenceSet
    found = kind(name=name, split=split, images=images, labels=labels, digest=facts["digest"], class_names=class_names)
    return found, facts


def is_trusted(copy: Path, source: Source, place: str) -> bool:
    """Whether this source was found to be what the copy was made of and has not changed since.

    A sample of the files is compared all the same, for file systems whose times and numbers are all alike.

    Args:
        copy: its folder.
        source: whose `stamps` are compared.
        place: a digest of where the source lies, and of how it is read.
    """
    try:
        stamps = (copy / f"trusted-{place}").read_text(encoding="utf-8")
    except OSError:
        return False
    sample = json.loads((copy / "facts.json").read_text(encoding="utf-8"))["sample"]
    return stamps == digest_of(source.stamps()) and checksums_of(source, list(sample), quietly=True) == [
        *sample.values()
    ]


def trust(copy: Path, source: Source, place: str) -> None:
    """Let `is_trusted` know; a cache that cannot be written learns nothing."""
    try:
        (copy / f"trusted-{place}").write_text(digest_of(source.stamps()), encoding="utf-8")
    except OSError as error:
        log.debug("%s", error)


def sample_of(names: list[str], checksums: list[int]) -> dict[str, int]:
    """The checksums of a few of the files."""
    chosen = set(spread(names, SAMPLE))
    return {name: found for name, found in zip(names, checksums, strict=True) if name in chosen}


def content_of(checksums: list[int], class_names: list[str], labels: list[int] | None) -> str:
    """A digest of what a copy is made of, for its name."""
    return digest_of([checksums, class_names, labels])[:DIGITS]


def digest_of(values: Any) -> str:
    """sha256 of plain JSON values, in hex."""
    return hashlib.sha256(as_json(values)).hexdigest()


def is_abandoned(folder: Path) -> bool:
    """Whether nobody is at work in an unfinished folder: its lock is free, or nothing has changed in it for a day.

    Locks do not always reach from one machine to another, so that of another machine counts for nothing.
    """
    try:
        newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:  # being removed
        return False
    if time.time() - newest > DAY:
        return True
    if fcntl is None or not folder.name.startswith(f"{UNFINISHED}{host()}-") or not (folder / "images.npy").exists():
        return False
    try:
        with (folder / LOCK).open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def host() -> str:
    """A few characters that tell machines apart."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def temporary_folder() -> Path:
    """What stands in for a cache that cannot be written: the same for all processes of a run on this machine."""
    mine = os.getuid() if hasattr(os, "getuid") else 0
    run: Any = os.getpid()
    if collectives.is_distributed():
        run = digest_of([os.environ.get(name) for name in LAUNCHES])[:8]
    return Path(tempfile.gettempdir()) / f"gan_lab-{mine}-{run}"


def make_temporary(folder: Path) -> None:
    """Make it, for this user alone, until the process that does so ends.

    Raises:
        PermissionError: it is another user's.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
            raise PermissionError(f"{folder} is not yours") from None
    else:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
