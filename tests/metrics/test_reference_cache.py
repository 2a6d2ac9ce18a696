"""Reference statistics by content: hits with equal bits, misses for every change, damage, other writers, read-only."""

import copy
import os
import stat
import threading
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gan_lab.extractors.digitnet import SHIPPED, DigitNet
from gan_lab.metrics import reference
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.reference import Reference, ReferenceStatistics, cached_reference

KEY = {
    "extractor": {"extractor": "digitnet", "weights_sha256": "ab", "layer": "64", "resize": "none", "dtype": "float32"},
    "data": {"digest": "cd", "split": "test", "count": 30},
}


class Counted:
    """A computation that counts how often it was asked."""

    def __init__(self, seed: int = 0) -> None:
        self.features = torch.randn(30, 5, generator=torch.Generator().manual_seed(seed))
        self.calls = 0

    def __call__(self) -> torch.Tensor:
        self.calls += 1
        return self.features


def same_bits(a: ReferenceStatistics, b: ReferenceStatistics) -> bool:
    return all(torch.equal(value, b.tensors()[name]) for name, value in a.tensors().items())


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_hit_with_equal_bits_also_after_the_folder_moved(tmp_path):
    compute = Counted()
    first = cached_reference(KEY, compute, tmp_path / "a")
    reordered = {"data": dict(reversed(KEY["data"].items())), "extractor": KEY["extractor"]}
    assert same_bits(cached_reference(reordered, compute, tmp_path / "a"), first)
    (tmp_path / "a").rename(tmp_path / "b")
    assert same_bits(cached_reference(KEY, compute, str(tmp_path / "b")), first)
    assert compute.calls == 1
    assert first.n == 30
    assert same_bits(first, ReferenceStatistics.from_features(compute.features))


@pytest.mark.parametrize(("part", "field"), [(part, field) for part, fields in KEY.items() for field in fields])
def test_a_changed_field_is_a_miss(tmp_path, part, field):
    cached_reference(KEY, Counted(), tmp_path)
    other = copy.deepcopy(KEY)
    other[part][field] = "changed"
    compute = Counted(seed=1)
    assert torch.equal(cached_reference(other, compute, tmp_path).features, compute.features)
    assert compute.calls == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_changed_schema_is_a_miss(tmp_path, monkeypatch):
    cached_reference(KEY, Counted(), tmp_path)
    monkeypatch.setattr(reference, "SCHEMA", reference.SCHEMA + 1)
    compute = Counted()
    cached_reference(KEY, compute, tmp_path)
    assert compute.calls == 1


def test_no_folder_no_file():
    compute = Counted()
    assert cached_reference(KEY, compute, None).n == 30
    assert compute.calls == 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def hold_another_key(path: Path) -> None:
    cached_reference({"other": 1}, Counted(seed=1), path.parent / "other")
    only_file(path.parent / "other").replace(path)
    (path.parent / "other").rmdir()


def lack_a_part(path: Path) -> None:
    save_file({"mean": torch.zeros(5)}, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "cannot be read"),
        (empty, "cannot be read"),
        (lack_a_part, "cannot be read"),
        (flip_a_bit, "is damaged"),
        (hold_another_key, "belongs to another key"),
    ],
)
def test_a_bad_file_is_reported_and_made_anew(tmp_path, damage, message):
    first = cached_reference(KEY, Counted(), tmp_path)
    damage(only_file(tmp_path))
    compute = Counted()
    with pytest.warns(UserWarning, match=message):
        assert same_bits(cached_reference(KEY, compute, tmp_path), first)
    assert compute.calls == 1
    assert same_bits(cached_reference(KEY, compute, tmp_path), first)
    assert compute.calls == 1


def test_a_place_that_cannot_be_a_folder_costs_only_the_warning(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="not kept"):
        assert cached_reference(KEY, Counted(), tmp_path / "file" / "cache").n == 30


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write into read-only folders")
def test_a_read_only_folder_still_gives_hits(tmp_path):
    first = cached_reference(KEY, Counted(), tmp_path)
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        compute = Counted()
        assert same_bits(cached_reference(KEY, compute, tmp_path), first)
        assert compute.calls == 0
        with pytest.warns(UserWarning, match="not kept"):
            cached_reference({"other": 1}, compute, tmp_path)
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_full_disk_leaves_no_partial_file(tmp_path, monkeypatch):
    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reference.os, "fsync", no_space)
    with pytest.warns(UserWarning, match="No space left"):
        assert cached_reference(KEY, Counted(), tmp_path).n == 30
    assert list(tmp_path.iterdir()) == []


def test_writers_at_the_same_time_leave_one_whole_file(tmp_path):
    together = threading.Barrier(4)
    results = []

    def compute():
        together.wait(timeout=30)
        return Counted().features

    threads = [
        threading.Thread(target=lambda: results.append(cached_reference(KEY, compute, tmp_path))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unused = Counted()
    found = cached_reference(KEY, unused, tmp_path)
    assert unused.calls == 0
    assert len(results) == 4
    assert all(same_bits(found, result) for result in results)
    assert only_file(tmp_path).suffix == ".safetensors"


def test_other_weights_under_the_same_extractor_name_give_a_fresh_value(tmp_path):
    state = load_file(SHIPPED)
    state["body.0.weight"] = state["body.0.weight"].flip(0)
    save_file(state, tmp_path / "other.safetensors")
    images = torch.randint(256, (40, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def score(extractor, folder):
        metric = FrechetDistance()
        key = {"extractor": extractor.protocol(), "data": "noise"}
        metric.set_reference(
            Reference(cached_reference(key, lambda: extractor(images[:20])["features"], folder), images.numpy(), None)
        )
        metric.update(extractor(images[20:])["features"])
        return metric.compute()[""]

    shipped, other = DigitNet(weights=None), DigitNet(weights=tmp_path / "other.safetensors")
    assert shipped.name == other.name
    first = score(shipped, tmp_path / "cache")
    assert score(other, tmp_path / "cache") == score(other, None) != first


def test_refuses_features_that_are_not_finite():
    with pytest.raises(ValueError, match="1 of 3 rows of reference features"):
        ReferenceStatistics.from_features(torch.tensor([[0.0], [torch.nan], [1.0]]))
