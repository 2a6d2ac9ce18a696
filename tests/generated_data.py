"""Tiny generated data sets in each set's real format, for tests that must not download."""

import hashlib
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def write_image_zip(path: Path, folder: Path) -> Path:
    """Pack all files below `folder` into a zip at `path`, with paths relative to `folder`."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for file in Path(folder).rglob("*") if file.is_file()):
            archive.write(file, file.relative_to(folder))
    return path
