"""Tiny generated data sets in each set's real format, for tests that must not download."""

import hashlib
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def write_mnist(
    root: Path, *, name: str = "MNIST", train: int = 50, test: int = 20
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write the four idx files of MNIST (or, by `name`, FashionMNIST) under `root`.

    Returns:
        per split: (N, 28, 28) uint8 images and (N,) uint8 labels that cycle through 0 .. 9.
    """
    raw = Path(root) / name / "raw"
    raw.mkdir(parents=True)
    written = {}
    for split, prefix, count in (("train", "train", train), ("test", "t10k", test)):
        images = np.random.default_rng(count).integers(256, size=(count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, count, 28, 28) + images.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())
        written[split] = images, labels
    return written


def write_cifar10(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, per_batch: int = 20
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write CIFAR-10's pickles under `root`, and let torchvision expect their checksums for the rest of the test.

    Args:
        per_batch: images in each of the five training files and in the test file.
    Returns:
        per split: (N, 3, 32, 32) uint8 images and (N,) int64 labels that cycle through 0 .. 9.
    """
    from torchvision.datasets import CIFAR10

    folder = Path(root) / CIFAR10.base_folder
    folder.mkdir(parents=True)

    def write(filename: str, content: dict) -> str:
        (folder / filename).write_bytes(pickle.dumps(content, protocol=2))
        return hashlib.md5((folder / filename).read_bytes()).hexdigest()

    def write_batch(filename: str, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
        images = np.random.default_rng(seed).integers(256, size=(per_batch, 3, 32, 32), dtype=np.uint8)
        labels = np.arange(per_batch) % 10
        md5 = write(filename, {"data": images.reshape(per_batch, -1), "labels": labels.tolist()})
        return [filename, md5], images, labels

    train = [write_batch(f"data_batch_{number}", number) for number in range(1, 6)]
    test = write_batch("test_batch", 6)
    meta = write("batches.meta", {"label_names": CIFAR10_CLASSES})
    monkeypatch.setattr(CIFAR10, "train_list", [entry for entry, _, _ in train])
    monkeypatch.setattr(CIFAR10, "test_list", [test[0]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": meta})
    return {
        "train": (np.concatenate([images for _, images, _ in train]), np.concatenate([labels for *_, labels in train])),
        "test": test[1:],
    }


def write_cifar100(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, count: int = 110
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """As `write_cifar10`, in the two files of CIFAR-100, whose fine labels cycle through 0 .. 99."""
    from torchvision.datasets import CIFAR100

    folder = Path(root) / CIFAR100.base_folder
    folder.mkdir(parents=True)
    written, lists = {}, {}
    for seed, split in enumerate(("train", "test")):
        images = np.random.default_rng(seed).integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
        labels = np.arange(count) % 100
        content = {"data": images.reshape(count, -1), "fine_labels": labels.tolist(), "coarse_labels": [0] * count}
        (folder / split).write_bytes(pickle.dumps(content, protocol=2))
        lists[split] = [[split, hashlib.md5((folder / split).read_bytes()).hexdigest()]]
        written[split] = images, labels
    names = {"fine_label_names": [f"fine {number}" for number in range(100)], "coarse_label_names": ["coarse"]}
    (folder / "meta").write_bytes(pickle.dumps(names, protocol=2))
    monkeypatch.setattr(CIFAR100, "train_list", lists["train"])
    monkeypatch.setattr(CIFAR100, "test_list", lists["test"])
    md5 = hashlib.md5((folder / "meta").read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": md5})
    return written


def write_svhn(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, count: int = 30
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write SVHN's MATLAB files, in which the digit 0 has label 10, and let torchvision expect their checksums."""
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    Path(root).mkdir(parents=True, exist_ok=True)
    written, lists = {}, dict(SVHN.split_list)
    for seed, split in enumerate(("train", "test")):
        images = np.random.default_rng(seed).integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
        labels = np.arange(count) % 10
        path = Path(root) / f"{split}_32x32.mat"
        stored = np.where(labels == 0, 10, labels).astype(np.uint8)
        savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": stored[:, None]})
        lists[split] = [lists[split][0], path.name, hashlib.md5(path.read_bytes()).hexdigest()]
        written[split] = images, labels
    monkeypatch.setattr(SVHN, "split_list", lists)
    return written


def write_stl10(root: Path, *, labelled: int = 20, unlabelled: int = 30, test: int = 10) -> dict[str, np.ndarray]:
    """Write STL-10's image files, column by column as MATLAB does.

    Returns:
        per file: (N, 3, 96, 96) uint8 images.
    """
    folder = Path(root) / "stl10_binary"
    folder.mkdir(parents=True)
    written = {}
    for name, count in (("train", labelled), ("unlabeled", unlabelled), ("test", test)):
        written[name] = np.random.default_rng(count).integers(256, size=(count, 3, 96, 96), dtype=np.uint8)
        (folder / f"{name}_X.bin").write_bytes(written[name].transpose(0, 1, 3, 2).tobytes())
    return written


def write_celeba(root: Path, *, count: int = 40) -> dict[str, list[str]]:
    """Write faces of 178x218 pixels under `root`/celeba, grey outside of a coloured square of 108, and the partition.

    Returns:
        per split: names of its files, in order; every tenth is for validation, the one after it for testing.
    """
    folder = Path(root) / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    split = {0: "valid", 1: "test"}
    names: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for number in range(count):
        name = f"{number + 1:06}.jpg"
        names[split.get(number % 10, "train")].append(name)
        picture = Image.new("RGB", (178, 218), (128, 128, 128))
        picture.paste((5 * number, 255 - 5 * number, 0), (35, 55, 143, 163))
        picture.save(folder / "img_align_celeba" / name, quality=95)
    codes = {"train": 0, "valid": 1, "test": 2}
    lines = sorted(f"{name} {codes[kind]}" for kind, listed in names.items() for name in listed)
    (folder / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    return names


def write_lsun(root: Path, *, category: str = "bedroom", count: int = 24) -> dict[str, list[bytes]]:
    """Write the databases of `<category>_train_lmdb` and `<category>_val_lmdb`: WebP by sorted keys.

    Returns:
        per split: the compressed images in the order of their keys.
    """
    import lmdb

    written: dict[str, list[bytes]] = {}
    for seed, split in enumerate(("train", "val")):
        random = np.random.default_rng(seed)
        folder = Path(root) / f"{category}_{split}_lmdb"
        folder.mkdir(parents=True)
        written[split] = []
        with lmdb.open(str(folder), map_size=2**24) as database, database.begin(write=True) as transaction:
            for number in range(count):
                buffer = io.BytesIO()
                pixels = random.integers(256, size=(40, 60, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(buffer, format="WEBP", lossless=True)
                transaction.put(f"{number:040x}".encode(), buffer.getvalue())
                written[split].append(buffer.getvalue())
    return written


def write_imagenet(root: Path, *, classes: tuple[str, ...] = ("n01440764", "n01443537"), count: int = 12) -> None:
    """Write class folders of small pictures under `root`/train and `root`/val, by the archive's extension."""
    for split in ("train", "val"):
        for path in write_image_folder(Path(root) / split, classes=classes, count=count, size=(40, 30)):
            with Image.open(path) as picture:
                picture.save(path.with_suffix(".JPEG"), format="JPEG")
            path.unlink()


def write_saved_table(root: Path, *, count: int = 24) -> np.ndarray:
    """Write what `datasets.DatasetDict.save_to_disk` leaves, with the splits `train` and `test`.

    Columns: image; kind (names a, b, c); number, from 0 to 3; text.
    Returns:
        (count, 20, 20, 3) uint8 images of `train`.
    """
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "kind": datasets.ClassLabel(names=["a", "b", "c"]),
            "number": datasets.Value("int64"),
            "text": datasets.Value("string"),
        }
    )
    pixels = np.random.default_rng(0).integers(256, size=(count, 20, 20, 3), dtype=np.uint8)
    columns = {
        "image": [Image.fromarray(image) for image in pixels],
        "kind": [number % 3 for number in range(count)],
        "number": [number % 4 for number in range(count)],
        "text": ["text"] * count,
    }
    train = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": train, "test": train.select(range(4))}).save_to_disk(str(root))
    return pixels


def write_image_folder(
    root: Path, *, classes: tuple[str, ...] = (), count: int = 6, size: tuple[int, int] = (32, 32), mode: str = "RGB"
) -> list[Path]:
    """Write `count` PNGs of (width, height) `size` under `root`, or in a subfolder for each of `classes`.

    Returns:
        their paths, in the order of their names.
    """
    random = np.random.default_rng(0)
    written = []
    for folder in [Path(root) / name for name in classes] or [Path(root)]:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = random.integers(256, size=(size[1], size[0], len(mode)), dtype=np.uint8)
            path = folder / f"{number:03}.png"
            Image.fromarray(pixels.squeeze(-1) if mode == "L" else pixels).save(path)
            written.append(path)
    return sorted(written)


def write_pairs(
    root: Path,
    *,
    splits: tuple[str, ...] = ("train", "val", "test"),
    count: int = 6,
    size: tuple[int, int] = (32, 32),
    side_by_side: bool = True,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write `count` pairs of (width, height) `size` for each split: side by side, or below `root`/A and `root`/B.

    Returns:
        per split: what is in A, the left half, and in B: (N, H, W, 3) uint8 each.
    """
    written = {}
    for seed, split in enumerate(splits):
        random = np.random.default_rng(seed)
        first, second = random.integers(256, size=(2, count, size[1], size[0], 3), dtype=np.uint8)
        for number in range(count):
            halves = {f"A/{split}": first[number], f"B/{split}": second[number]}
            if side_by_side:
                halves = {split: np.concatenate([first[number], second[number]], axis=1)}
            for place, pixels in halves.items():
                (Path(root) / place).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(Path(root) / place / f"{number:03}.png")
        written[split] = first, second
    return written


def write_masks(root: Path, *, names: Sequence[str], size: tuple[int, int] = (32, 32)) -> np.ndarray:
    """Write a mask of (width, height) `size` under each of the names, white in a rectangle of a quarter or so.

    Returns:
        (N, H, W) bool, True where they are white.
    """
    Path(root).mkdir(parents=True, exist_ok=True)
    holes = np.zeros((len(names), size[1], size[0]), dtype=bool)
    for number, name in enumerate(names):
        top = number % (size[1] // 2)
        holes[number, top : top + size[1] // 2, size[0] // 4 : 3 * size[0] // 4] = True
        Image.fromarray(holes[number]).save(Path(root) / f"{name}.png")
    return holes


def write_label_maps(
    root: Path, *, count: int = 6, ids: int = 5, size: tuple[int, int] = (32, 32)
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write label maps of ids below `ids` and photographs, named as in Cityscapes, below `root`/A and `root`/B.

    Beside each label map lies its picture in colours, of another name.

    Returns:
        per split: ids, (N, H, W), and photographs, (N, H, W, 3), uint8.
    """
    written = {}
    for seed, split in enumerate(("train", "val")):
        random = np.random.default_rng(seed)
        maps = random.integers(ids, size=(count, size[1], size[0]), dtype=np.uint8)
        photographs = random.integers(256, size=(count, size[1], size[0], 3), dtype=np.uint8)
        for side in "AB":
            (Path(root) / side / split / "town").mkdir(parents=True, exist_ok=True)
        for number, (labels, photograph) in enumerate(zip(maps, photographs, strict=True)):
            of_map, of_photograph = (Path(root) / side / split / "town" / f"{number:03}" for side in "AB")
            Image.fromarray(labels).save(f"{of_map}_gtFine_labelIds.png")
            Image.fromarray(photograph).save(f"{of_map}_gtFine_color.png")
            Image.fromarray(photograph).save(f"{of_photograph}_leftImg8bit.png")
        written[split] = maps, photographs
    return written


def write_pairs_of_two_sizes(
    root: Path, *, count: int = 6, factor: int = 2, size: tuple[int, int] = (21, 22)
) -> np.ndarray:
    """Write sources of (width, height) `size` and targets `factor` times as large, named as in DIV2K.

    Red says which column a pixel is in, green which row, blue which picture.

    Returns:
        the targets, (N, H, W, 3) uint8.
    """
    targets = np.empty((count, factor * size[1], factor * size[0], 3), dtype=np.uint8)
    targets[..., 0] = np.arange(targets.shape[2])
    targets[..., 1] = np.arange(targets.shape[1])[:, None]
    targets[..., 2] = np.arange(count)[:, None, None]
    for side in "AB":
        (Path(root) / side).mkdir(parents=True, exist_ok=True)
    for number, target in enumerate(targets):
        Image.fromarray(target).save(Path(root) / "B" / f"{number:04}.png")
        source = target[::factor, ::factor] // [[[factor, factor, 1]]]
        Image.fromarray(source.astype(np.uint8)).save(Path(root) / "A" / f"{number:04}x{factor}.png")
    return targets


def write_image_zip(path: Path, folder: Path) -> Path:
    """Pack all files below `folder` into a zip at `path`, with paths relative to `folder`."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for file in Path(folder).rglob("*") if file.is_file()):
            archive.write(file, file.relative_to(folder))
    return path


def write_png16(path: Path, levels: np.ndarray, *, kind: int, transparent: tuple[int, ...] | None = None) -> Path:
    """A PNG of 16 bits, which Pillow does not write: `kind` 0 grey, 2 RGB, 4 grey and alpha."""
    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    if transparent is not None:
        chunks.append((b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """sRGB with red and green the other way round."""
    profile = bytearray(srgb_profile())
    places = {name: profile.index(name, 128) for name in (b"rXYZ", b"gXYZ")}
    profile[places[b"rXYZ"] : places[b"rXYZ"] + 4], profile[places[b"gXYZ"] : places[b"gXYZ"] + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)
