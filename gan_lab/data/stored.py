"""Images that lie somewhere, of whatever origin, as a set to score or to compare with: a folder, a zip or an npz."""

import io
import re
import tarfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan_lab.data.archives import open_source
from gan_lab.data.base import height_and_width
from gan_lab.data.decoded import NEVER_TRAINED_ON
from gan_lab.data.folder import Folder
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.sources import extensions, listed

AS_STORED = "as stored"
AS_NPZ = "Write one by numpy.savez(file, images=array), or with labels=classes as well"
CHANNELS = (1, 3, 4)
GREY = ("1", "L", "I", "I;16", "I;16B")
QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


def stored_images(path: str | Path, image_size: int | Sequence[int] | None, cache_dir: str | Path) -> ReferenceSet:
    """All images of a folder, of a zip or of a folder in one, in the order of their names, or of an npz.

    Folders and zips are decoded once into `cache_dir`; where all images lie in subfolders, these are their labels. An
    npz holds `images` (or one array alone): (N, H, W), (N, H, W, C) or (N, C, H, W) uint8, and perhaps `labels` (N,).

    Args:
        image_size: [height, width] or one number to which images of a folder or zip are brought, cropped to the shape
            and resized by Lanczos; None where they are of one size.
        cache_dir: for decoded arrays.
    Returns:
        Images whose `split` says how they were brought to their size.
    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: no images; of several sizes; damaged; an npz of something else.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() == ".npz" and path.is_file():
        if image_size is not None:
            raise ValueError(f"image_size={image_size} is for folders and zips; the images in {path} have a size")
        return _of_archive(path)
    if not path.exists() and not any(whole.is_file() for whole in path.parents):
        raise FileNotFoundError(f"there is nothing at {path}: give a folder or zip of images, or an npz")
    if path.is_file() and not zipfile.is_zipfile(path) and not tarfile.is_tarfile(path):
        raise ValueError(f"{path} is neither a folder, nor a zip of images, nor an npz (by its name)")
    return _of_files(path, image_size, cache_dir)


class Against:
    """A reference set of files, as the evaluation stage asks a data set for it.

    Args:
        images: all of them.
    """

    def __init__(self, images: ReferenceSet) -> None:
        self.name, self.class_names, self._images = images.name, images.class_names, images

    def reference(self, split: str) -> ReferenceSet:
        """All images: files have no splits."""
        return self._images


def check_classes(images: ReferenceSet, class_names: Sequence[str] | None, other: str) -> None:
    """Refuse images whose labels mean other classes than those they are compared with, as labels are by position.

    Args:
        class_names: of the other set, in order; None where its labels are numbers, which nobody can compare.
        other: its name.
    Raises:
        ValueError: the names differ; the first difference is named.
    """
    if images.class_names is None or class_names is None or images.class_names == tuple(class_names):
        return
    pairs = zip_longest(images.class_names, class_names)
    number, (ours, theirs) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
    ours, theirs = ("absent" if name is None else repr(name) for name in (ours, theirs))
    raise ValueError(
        f"class {number} is {ours} in {images.name} and {theirs} in {other}, and a metric goes by classes: give the "
        f"subfolders of {images.name} the names of all classes of {other} ({_shortened(class_names)}), or store the "
        "images as an npz with its numbers as labels"
    )


def check_first(images: ReferenceSet, count: int) -> None:
    """Refuse the first `count` of labelled images where classes are missing among them; else say how many of each.

    By path the images come class by class: the first ones would be scored as if the last classes were never generated.

    Raises:
        ValueError: so it is.
    """
    if images.labels is None or count >= len(images):
        return
    labels, places = np.unique(images.labels, return_inverse=True)
    names = [str(label) if images.class_names is None else images.class_names[label] for label in labels]
    taken = np.bincount(places[:count], minlength=len(names))
    what = f"num_samples={count} takes the first {count} of {len(images)} images of {images.name} in their order"
    if not taken.all():
        lost = [name for name, number in zip(names, taken, strict=True) if not number]
        raise ValueError(
            f"{what}, which leaves out all of class {_shortened(lost)}: the score would be that of other images. Leave "
            "num_samples out, or make a set with some of every class among the first"
        )
    shares = [f"{number} of {name}" for name, number in zip(names, taken, strict=True)]
    warnings.warn(f"{what}: {_shortened(shares)}", stacklevel=2)


def _shortened(names: Sequence[str]) -> str:
    return ", ".join([*names[:10], *(["..."] if len(names) > 10 else [])])


def _of_archive(path: Path) -> ReferenceSet:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no npz, whatever its name: damaged, or of another kind. {AS_NPZ}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        ragged = "Object arrays" in str(error)
        remedy = (
            "it holds arrays of objects, such as pictures of several sizes: store the pictures as files in a folder, "
            "and give image_size=[height,width]"
            if ragged
            else f"{error}. {AS_NPZ}"
        )
        raise ValueError(f"{path} cannot be read as an npz of plain arrays: {remedy}") from error
    labels = arrays.pop("labels", None)
    if "images" not in arrays and len(arrays) != 1:
        raise ValueError(
            f"{path} holds {', '.join(arrays) or 'no arrays'}; wanted: images, and perhaps labels. {AS_NPZ}"
        )
    images = arrays["images"] if "images" in arrays else next(iter(arrays.values()))
    if others := [name for name in arrays if arrays[name] is not images]:
        warnings.warn(
            f"{path} holds {', '.join(others)} too, which is not read: only images and labels are", stacklevel=3
        )
    if images.dtype != np.uint8:
        raise ValueError(
            f"{path}: images must be uint8 (0 to 255), these are {images.dtype}; bring them to that range, round them, "
            "and store them as numpy.uint8"
        )
    images = _channels_first(images, path)
    if not images.size:
        raise ValueError(f"{path} holds no images: their array is {images.shape}")
    if labels is not None:
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{path}: labels must be {len(images)} whole numbers, these are {labels.dtype} {labels.shape}; leave "
                "them out where no metric goes by classes"
            )
        if not 0 <= int(labels.min()) <= int(labels.max()) < 2**31:
            raise ValueError(
                f"{path}: labels are classes, counted from 0; these are {labels.min()} to {labels.max()}. Leave them "
                "out where no metric goes by classes"
            )
        labels = labels.astype(np.int64)
    return ReferenceSet(name=path.stem, split=AS_STORED, images=images, labels=labels)


def _channels_first(images: np.ndarray, path: Path) -> np.ndarray:
    if images.ndim == 3:
        return images[:, None]
    shape = images.shape
    if images.ndim == 4 and (shape[1] in CHANNELS) != (shape[3] in CHANNELS):
        return images if shape[1] in CHANNELS else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    raise ValueError(
        f"{path}: images must be (N, H, W), (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels, in one way only; "
        f"these are {shape}"
    )


def _of_files(path: Path, image_size: int | Sequence[int] | None, cache_dir: str | Path) -> ReferenceSet:
    try:
        size, channels = _survey(path, anyway=image_size is not None)
        wanted = size if image_size is None else height_and_width(image_size)
        folder = Folder(
            root=str(path),
            center_crop=True,
            on_bad="stop",
            cache_dir=str(cache_dir),
            name=path.stem,
            image_size=wanted,
            channels=channels,
            sample_shape=(channels, *wanted),
            **NEVER_TRAINED_ON,
        )
        found = folder.reference("train")
    except (FileNotFoundError, ValueError) as error:  # its remedies are keys of a training's data
        said = re.split(r", or (?:leave them out:|give) data\.", str(error))[0]
        raise type(error)(said.replace("data.root=", "").replace("data.image_size", "image_size")) from error
    how = AS_STORED if image_size is None else f"cropped, Lanczos to {wanted[0]}x{wanted[1]}"
    return ReferenceSet(
        name=path.stem,
        split=how,
        images=found.images,
        labels=found.labels,
        digest=found.digest,
        class_names=found.class_names,
    )


def _survey(path: Path, *, anyway: bool) -> tuple[tuple[int, int], int]:
    """Height and width of the images, by their headers, and the fewest channels that hold all of them.

    Args:
        anyway: whether they may be of several sizes; the first one's is returned then.
    """
    source = open_source(path)
    names = source.names()
    if not names:
        raise ValueError(f"no images in {path}; accepted are files in {', '.join(extensions())}")
    sizes: list[tuple[int, int]] = []
    unreadable: list[str] = []
    grey, alpha = True, False
    for name in names:
        try:
            with Image.open(io.BytesIO(source.read(name))) as image:
                turned = image.getexif().get(0x0112) in QUARTER_TURNS
                sizes.append(image.size if turned else image.size[::-1])
                grey, alpha = grey and image.mode in GREY, alpha or image.has_transparency_data
        except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them stumble over
            unreadable.append(f"{name} ({error})")
    if unreadable:
        raise ValueError(f"{path}: cannot be read: {listed(unreadable)}. Repair or remove them")
    usual, _ = Counter(sizes).most_common(1)[0]
    odd = [f"{name} ({size[0]}x{size[1]})" for name, size in zip(names, sizes, strict=True) if size != usual]
    if odd and not anyway:
        raise ValueError(
            f"{path}: most images are {usual[0]}x{usual[1]} (height x width), but not {listed(odd)}. Scores depend on "
            "how images get to one size: do it yourself, or by image_size=[height,width], which the protocol notes"
        )
    return usual, 4 if alpha else 1 if grey else 3
