"""Pairs of files: which go together, what is refused by name, and that both of a pair are seen alike."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generated_data import write_image_zip, write_pairs
from PIL import Image

from gan_lab import collectives
from gan_lab.data.images import to_uint8
from gan_lab.data.paired import Paired
from gan_lab.data.stream import Crops

BACKENDS = {
    "resident": {"resident": True},
    "streamed": {"resident": False},
    "workers": {"resident": False, "workers": 2},
}


def paired(root: Path, cache: Path, **changes: Any) -> Paired:
    """8x8 pairs below `root`, side by side unless `source_root` is among the changes."""
    settings: dict[str, Any] = {
        "name": "paired",
        "image_size": 8,
        "load_size": None,
        "channels": 3,
        "source_channels": 3,
        "num_classes": None,
        "root": str(root),
        "source_root": None,
        "test_root": None,
        "source_test_root": None,
        "direction": "AtoB",
        "source_resize": "lanczos",
        "center_crop": False,
        "on_bad": "stop",
        "cache_dir": str(cache),
        "batch_size": 4,
        "micro_batch_size": None,
        "flip": False,
        "resident": True,
        "resident_limit_mb": 64,
        "workers": 0,
        "limit": None,
        "seed": 0,
        "masked": False,
    } | changes
    size = [settings["image_size"]] * 2
    planes = settings.get("source_labels") or settings["source_channels"]
    settings["condition_shape"] = [planes, *(side // (settings.get("factor") or 1) for side in size)]
    return Paired(sample_shape=[settings["channels"], *size], **settings)


def started(*arguments: Any, **changes: Any) -> Paired:
    data = paired(*arguments, **changes)
    data.prepare_data()
    data.setup()
    return data


def folders(root: Path, tmp_path: Path, **changes: Any) -> Paired:
    """Sources in `root`/A, targets in `root`/B."""
    return paired(root / "B", tmp_path / "cache", source_root=str(root / "A"), **changes)


def first_of(written: np.ndarray) -> np.ndarray:
    """(N, H, W, C) -> (N, C, H, W)."""
    return written.transpose(0, 3, 1, 2)


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for key in left:
        assert torch.equal(left[key], right[key]), key


# Which go together -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_halves_are_source_and_target_by_the_direction(direction, packed, tmp_path):
    written = write_pairs(tmp_path / "around" / "facades", size=(8, 8))
    root = write_image_zip(tmp_path / "facades.zip", tmp_path / "around") if packed else tmp_path / "around"
    data = started(root, tmp_path / "cache", direction=direction)
    assert data.splits == ("train", "val", "test")
    for split, halves in written.items():
        source, target = halves if direction == "AtoB" else halves[::-1]
        block = data.sources(split).block(0, 6)
        assert np.array_equal(block["targets"], first_of(target))
        assert np.array_equal(block["condition"], first_of(source))
        assert np.array_equal(data.reference(split).images, first_of(target))
    batch = data.take(6)
    assert batch.keys() == {"real", "condition", "index"}
    source, target = written["train"] if direction == "AtoB" else written["train"][::-1]
    assert np.array_equal(to_uint8(batch["condition"]), first_of(source)[batch["index"]])
    assert np.array_equal(to_uint8(batch["real"]), first_of(target)[batch["index"]])


def test_two_folders_go_by_path_without_extension_and_equal_their_zips(tmp_path):
    written = write_pairs(tmp_path / "all", size=(8, 8), side_by_side=False)
    for path in (tmp_path / "all" / "A").rglob("*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    data = folders(tmp_path / "all", tmp_path)
    for split, (source, target) in written.items():
        block = data.sources(split).block(4, 2)
        assert np.array_equal(block["condition"], first_of(source)[4:])
        assert np.array_equal(block["targets"], first_of(target)[4:])
    zips = {side: str(write_image_zip(tmp_path / f"{side}.zip", tmp_path / "all" / side)) for side in "AB"}
    zipped = paired(zips["B"], tmp_path / "another", source_root=zips["A"])
    assert zipped.identity() == data.identity()
    assert zipped.reference("val").digest == data.reference("val").digest != data.reference("test").digest
    assert zipped.sources("val").protocol() == data.sources("val").protocol()
    whole = write_image_zip(tmp_path / "whole.zip", tmp_path / "all")
    within = paired(str(whole / "B"), tmp_path / "a third", source_root=str(whole / "A"))
    assert within.identity() == data.identity()
    with pytest.raises(
        FileNotFoundError, match=r"root=.*whole.zip/C leads into whole.zip, which has no images there; .*A"
    ):
        paired(str(whole / "C"), tmp_path / "a third", source_root=str(whole / "A")).identity()


def test_test_roots_are_a_split(tmp_path):
    write_pairs(tmp_path / "all", splits=("one", "other"), size=(8, 8), side_by_side=False)
    roots = {"source_root": "A/one", "test_root": "B/other", "source_test_root": "A/other"}
    places = {key: str(tmp_path / "all" / place) for key, place in roots.items()}
    data = paired(tmp_path / "all" / "B" / "one", tmp_path / "cache", **places)
    assert data.splits == ("train", "test")
    assert data.reference("test").digest != data.reference("train").digest
    written = write_pairs(tmp_path / "divided", splits=("train", "test"), size=(8, 8))["test"]
    other = paired(tmp_path / "divided" / "train", tmp_path / "cache", test_root=str(tmp_path / "divided"))
    assert np.array_equal(other.reference("test").images, first_of(written[1]))
    alone = paired(tmp_path / "all" / "B" / "one", tmp_path / "cache", source_root=places["source_root"])
    assert data.identity() != alone.identity()


def test_files_without_a_partner_are_named_and_refused_or_left_out_aloud(tmp_path, caplog):
    write_pairs(tmp_path, splits=("train",), size=(8, 8), side_by_side=False)
    (tmp_path / "A" / "train" / "001.png").unlink()
    (tmp_path / "B" / "train" / "004.png").unlink()
    shutil.copy(tmp_path / "A" / "train" / "005.png", tmp_path / "A" / "train" / "005.bmp")
    with pytest.raises(ValueError) as raised:
        folders(tmp_path, tmp_path).prepare_data()
    said = ("sources without a partner: 1 file: 004.png", "targets without a partner: 1 file: 001.png")
    doubled = "sources that differ by extension alone: 2 files: 005.bmp, 005.png"
    for part in (*said, doubled, f"data.source_root={tmp_path / 'A'}", "data.on_bad=skip"):
        assert part in str(raised.value)
    images = folders(tmp_path, tmp_path, on_bad="skip").reference("train").images
    assert len(images) == 3
    for part in (*said, doubled):
        assert f"skipped, {part}" in caplog.text
    shutil.rmtree(tmp_path / "A" / "train")
    Image.new("RGB", (8, 8)).save(tmp_path / "A" / "000_mask.png")
    with pytest.raises(ValueError, match=r"sources are called 000_mask\.png; targets are called 000\.png, 001"):
        folders(tmp_path, tmp_path, on_bad="skip").reference("train")


@pytest.mark.parametrize(
    ("name", "sizes", "said"),
    [
        ("odd width", {"train/bad.png": (17, 8)}, r"bad\.png \(17x8: a picture of odd width has no"),
        ("shape", {"A/bad.png": (8, 16), "B/bad.png": (16, 8)}, r"bad \(source 8x16 and target 16x8 are of another"),
    ],
)
def test_pictures_that_make_no_pair_are_refused_by_name(name, sizes, said, tmp_path):
    for file, size in sizes.items():
        for path, of in ((tmp_path / file, size), ((tmp_path / file).with_name("good.png"), (16, 8))):
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", of).save(path)
    build = folders if "A/bad.png" in sizes else lambda root, tmp, **given: paired(root, tmp / "cache", **given)
    with pytest.raises(ValueError, match=said):
        build(tmp_path, tmp_path).prepare_data()
    assert len(build(tmp_path, tmp_path, on_bad="skip").reference("train")) == 1


def test_pictures_are_compared_upright(tmp_path):
    """A camera's photograph that is stored on its side and turned by its EXIF is a pair with an upright drawing."""
    pixels = np.random.default_rng(0).integers(256, size=(8, 16, 3), dtype=np.uint8)
    for side in "AB":
        (tmp_path / side).mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "B" / "0.png", exif=turned)
    Image.fromarray(pixels).resize((32, 16), Image.Resampling.NEAREST).save(tmp_path / "A" / "0.png")
    data = folders(tmp_path, tmp_path, source_resize="nearest")
    block = data.sources("train").block(0, 1)
    wanted = np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.LANCZOS))
    assert np.array_equal(block["targets"][0], wanted.transpose(2, 0, 1))


def test_label_maps_keep_their_colours_and_channels_are_each_sides_own(tmp_path):
    for side in "AB":
        (tmp_path / side).mkdir()
        labels = np.random.default_rng(0).choice([0, 100, 200], size=(32, 32)).astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / side / "0.png")
    block = folders(tmp_path, tmp_path, source_channels=1, source_resize="nearest").sources("train").block(0, 1)
    assert block["condition"].shape == (1, 1, 8, 8)
    assert block["targets"].shape == (1, 3, 8, 8)
    assert set(np.unique(block["condition"])) == {0, 100, 200}
    assert len(np.unique(block["targets"])) > 3


def test_the_same_picture_in_train_and_test_is_warned_of(tmp_path, caplog):
    write_pairs(tmp_path, size=(8, 8), side_by_side=False)
    folders(tmp_path, tmp_path).prepare_data()
    assert "trained on, too" not in caplog.text
    shutil.copy(tmp_path / "A" / "train" / "002.png", tmp_path / "A" / "test" / "005.png")
    with caplog.at_level(logging.INFO):
        folders(tmp_path, tmp_path).prepare_data()
    assert (
        "pictures of test that are trained on, too, so that scores of them say little: 1 file: 005.png" in caplog.text
    )
    assert "paired: pairs, two files each: 6 in train, 6 in val, 6 in test" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"load_size": 4}, r"data.load_size=4 is less than data.image_size=\[8, 8\]"),
        ({"direction": "both"}, "data.direction must be AtoB or BtoA"),
        ({"source_root": "there", "direction": "BtoA"}, "exchange data.source_root and data.root"),
        ({"source_test_root": "there"}, "without data.source_root"),
        ({"source_root": "there", "test_root": "there"}, "give both, or neither"),
        ({"masked": True}, "leave condition out"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(changes, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        paired(tmp_path, tmp_path, **changes)


def test_roots_of_other_splits_are_refused(tmp_path):
    write_pairs(tmp_path, size=(8, 8), side_by_side=False)
    shutil.rmtree(tmp_path / "A" / "val")
    with pytest.raises(
        ValueError, match=r"data.root=.* has the splits train, val, test, and data.source_root=.* test;"
    ):
        folders(tmp_path, tmp_path).prepare_data()


# What training and evaluation see ----------------------------------------------------------------------------------


@pytest.fixture
def coordinates(tmp_path):
    """Five pairs whose pixels say where they stand: red the row, green the column, blue the number."""
    for number in range(5):
        rows, columns = np.mgrid[0:12, 0:12].astype(np.uint8)
        half = np.stack([rows, columns, np.full_like(rows, number)], axis=2)
        (tmp_path / "grid").mkdir(exist_ok=True)
        Image.fromarray(np.concatenate([half, half + 100], axis=1)).save(tmp_path / "grid" / f"{number}.png")
    return tmp_path / "grid"


def test_both_of_a_pair_are_cut_and_mirrored_alike_and_anew_at_each_pass(coordinates, tmp_path):
    data = started(coordinates, tmp_path / "cache", load_size=12, flip=True)
    batch = data.take(40)
    real, condition = (to_uint8(batch[name]) for name in ("real", "condition"))
    assert torch.equal(real, condition + 100)
    assert torch.equal(condition[:, 2, 0, 0].long(), batch["index"])
    left, right = condition[:, 1, 0, 0].long(), condition[:, 1, 0, -1].long()
    assert ((right - left).abs() == 7).all(), "all 8 columns, forward or mirrored"
    assert (condition[:, 0, -1, 0] - condition[:, 0, 0, 0] == 7).all()
    assert 0.2 < (right < left).float().mean() < 0.8
    corners = set(zip(condition[:, 0, 0, 0].tolist(), torch.minimum(left, right).tolist(), strict=True))
    assert len(corners) > 12, "of 25 in 40 draws"
    assert {0, 4} <= {top for top, _ in corners} <= set(range(5))


def test_evaluation_sees_all_of_each_picture(coordinates, tmp_path):
    plain = started(coordinates, tmp_path / "cache")
    larger = started(coordinates, tmp_path / "cache", load_size=12)
    assert np.array_equal(larger.reference("train").images, plain.reference("train").images)
    assert larger.sources("train").protocol() == plain.sources("train").protocol()
    assert larger.sources("train").protocol()["condition"]["shown"] == "squeezed to 8x8, not cropped further"
    assert larger.stream.samples.images.shape == (5, 3, 8, 8), "the middle, for a look at training"
    made = larger.condition_of(larger.stream.samples).make(torch.empty(0), torch.tensor([3]))["condition"]
    assert made[0, :, 0, 0].tolist() == [2, 2, 3]


def test_places_of_crops_are_a_function_of_seed_and_pass():
    crops = Crops(size=3, seed=1, spare=(5, 9))
    whole = crops.at(0, 30)
    assert np.array_equal(whole[7:20], Crops(size=3, seed=1, spare=(5, 9)).at(7, 20))
    assert not np.array_equal(whole, Crops(size=3, seed=2, spare=(5, 9)).at(0, 30))
    assert (whole.max(axis=0) <= [5, 9]).all()
    assert whole.min() >= 0
    assert len(np.unique(whole[:, 1])) > 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_resumed_stream_goes_on_within_a_pass_wherever_the_pictures_are(backend, coordinates, tmp_path):
    given = {"load_size": 12, "flip": True}
    unbroken = started(coordinates, tmp_path / "cache", **given)
    unbroken.take(8)  # of passes of 5
    saved = unbroken.state_dict()
    resumed = started(coordinates, tmp_path / "cache", **given, **BACKENDS[backend])
    resumed.load_state_dict(saved)
    for _ in range(3):
        assert_equal(resumed.take(4), unbroken.take(4))
    resumed.teardown()
    with pytest.raises(ValueError, match="trained on other data"):
        started(coordinates, tmp_path / "cache").load_state_dict(saved)


def test_ranks_take_slices_of_the_global_batch(coordinates, tmp_path, monkeypatch):
    given = {"load_size": 12, "flip": True, "subset": 4}
    whole = started(coordinates, tmp_path / "cache", **given).take(8)
    for rank in range(2):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(collectives, "world", lambda: 2)
        part = started(coordinates, tmp_path / "cache", **given).take(8)
        assert_equal(part, {key: value[4 * rank : 4 * rank + 4] for key, value in whole.items()})


def test_another_source_is_other_data(coordinates, tmp_path):
    """To a checkpoint, and in the name of a run."""
    before = started(coordinates, tmp_path / "cache", limit=4)
    saved, identity = before.state_dict(), before.identity()
    pixels = np.asarray(Image.open(coordinates / "2.png")).copy()
    pixels[0, 0] = 255  # of the left half
    Image.fromarray(pixels).save(coordinates / "2.png")
    after = started(coordinates, tmp_path / "cache", limit=4)
    assert np.array_equal(after.reference("train").images, before.reference("train").images)
    assert after.identity() != identity
    with pytest.raises(ValueError, match="trained on other data"):
        after.load_state_dict(saved)
