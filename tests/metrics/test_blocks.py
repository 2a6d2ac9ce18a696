"""Blocks of values: the same bits in memory and in a file, joined without a copy, and a full disk."""

import tempfile
import warnings

import every_metric
import pytest
import torch
from every_metric import CPU, Pictures, evaluation_of

from gan_lab.data.reference import ReferenceSet
from gan_lab.metrics import blocks
from gan_lab.metrics.blocks import BlockStore, joined
from gan_lab.metrics.classification_accuracy import ClassificationAccuracy
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.memorization import Memorization
from gan_lab.metrics.reference import Reference

KINDS = {
    "images": torch.arange(96, dtype=torch.uint8).view(8, 3, 2, 2),
    "features": torch.linspace(-1, 1, 40).view(8, 5).bfloat16(),
    "labels": torch.arange(8),
    "samples": torch.linspace(0, 1, 16, dtype=torch.float64).view(8, 2),
    "probe": torch.zeros(8, 0),
}


def stored(sizes=(3, 3, 2)) -> BlockStore:
    store = BlockStore(8)
    parts = {name: value.split(sizes) for name, value in KINDS.items()}
    for block in range(len(sizes)):
        store.put(block, {name: part[block] for name, part in parts.items()})
        assert torch.equal(store[0]["images"], KINDS["images"][: sizes[0]]), "read while others are still to come"
    return store


@pytest.mark.parametrize("limit", [0, 2**28], ids=["file", "memory"])
def test_what_was_put_comes_back(limit, monkeypatch):
    monkeypatch.setattr(blocks, "IN_MEMORY", limit)
    store = stored()
    assert list(store) == [0, 1, 2]
    for name, value in KINDS.items():
        found = torch.cat([store[block][name] for block in store])
        assert found.dtype == value.dtype
        assert torch.equal(found, value)


def test_only_what_is_large_in_all_goes_to_a_file(monkeypatch):
    """Of 8 samples: 96 bytes of images, 80 of features, 64 of labels, 128 of samples."""
    monkeypatch.setattr(blocks, "IN_MEMORY", 95)
    assert sorted(name for name, file in stored()._files.items() if file) == ["images", "samples"]


def test_blocks_of_a_file_are_joined_without_a_copy(monkeypatch):
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)
    store = stored()
    for name in ("images", "features", "labels", "samples"):
        parts = [store[block][name] for block in store]
        whole = joined(parts)
        assert torch.equal(whole, KINDS[name])
        assert whole.data_ptr() == parts[0].data_ptr()
        assert torch.equal(joined(parts[1:]), torch.cat(parts[1:]))
        assert torch.equal(joined([parts[1], parts[0]]), torch.cat([parts[1], parts[0]])), "out of order: a copy"
        assert torch.equal(joined([parts[0], parts[0]]), torch.cat([parts[0], parts[0]]))


def test_other_blocks_are_joined_as_torch_does():
    first, second = torch.arange(6.0).view(3, 2), torch.arange(4.0).view(2, 2)
    assert torch.equal(joined([first, second]), torch.cat([first, second]))
    columns = torch.arange(12.0).view(2, 6)
    assert torch.equal(joined([columns[:, :3], columns[:, 3:]]), torch.cat([columns[:, :3], columns[:, 3:]]))
    with pytest.raises(RuntimeError):
        joined([first, torch.zeros(2, 3)])


def test_what_is_taken_is_gone_and_refers_to_no_file(monkeypatch):
    """It is sent to another rank: a view would take the whole file along."""
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)
    store = stored()
    taken = store.take(1)
    assert torch.equal(taken["images"], KINDS["images"][3:6])
    assert taken["images"].untyped_storage().nbytes() == 36
    assert list(store) == [0, 2]
    assert store.take(1) is None


@pytest.mark.parametrize("good", [0, 1])
def test_a_full_disk_is_said_and_costs_memory_alone(good, monkeypatch):
    """Kind C: what can be done without a file is."""
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)
    real, calls = blocks._File.append, []

    def append(self, value):
        calls.append(value)
        if len(calls) > good:
            self._file.write(b"a part")
            raise OSError(28, "No space left on device")
        return real(self, value)

    monkeypatch.setattr(blocks._File, "append", append)
    store = BlockStore(8)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for block, part in enumerate(KINDS["images"].split(3)):
            store.put(block, {"images": part})
    assert torch.equal(torch.cat([store[block]["images"] for block in store]), KINDS["images"])
    [message] = [str(warning.message) for warning in told]
    assert message.startswith(f"8 images of 12 bytes cannot be kept in {tempfile.gettempdir()} ([Errno 28] No space")
    assert message.endswith("Set TMPDIR to a folder with more room")


def test_scores_are_the_same_bits_from_a_file(monkeypatch):
    in_memory = every_metric.outcomes(60, 8)
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)
    assert every_metric.outcomes(60, 8) == in_memory


@pytest.mark.parametrize("kind", ["classification_accuracy", "memorization"])
def test_images_are_never_copied_as_a_whole(kind, monkeypatch):
    """10 GB of them are looked at where they lie, in a mapped file."""
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)
    reference = Pictures().whole
    images = ReferenceSet(name="some", split="all", images=reference.images[:40].copy(), labels=reference.labels[:40])
    if kind == "memorization":
        metric = Memorization(extractor=None)
    else:
        settings = {"epochs": 1, "batch_size": 8, "lr": 0.01, "shift": 0, "flip": False, "seed": 0, "threads": 1}
        metric = ClassificationAccuracy(**settings)
    real = torch.cat

    def cat(parts, dim=0, **others):
        assert dim or sum(part.nbytes for part in parts if part.dtype == torch.uint8 and part.ndim == 4) == 0
        return real(parts, dim, **others)

    monkeypatch.setattr(torch, "cat", cat)
    evaluation = evaluation_of({}, 40, 8, metrics={"frechet": FrechetDistance(), "it": metric}, monitor="frechet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = evaluation.score_images(images, Pictures(), device=CPU)
    assert len(scores.values) > 2


def test_a_reference_is_looked_at_where_it_lies():
    settings = {"epochs": 1, "batch_size": 8, "lr": 0.01, "shift": 0, "flip": False, "seed": 0, "threads": 1}
    metric, images = ClassificationAccuracy(**settings), Pictures().whole.images
    images.flags.writeable = False
    metric.set_reference(Reference(None, images, torch.zeros(60, dtype=torch.int64)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metric._real()[0].data_ptr() == images.ctypes.data
