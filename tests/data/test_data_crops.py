"""Windows of pictures at their own size: where they lie, what an evaluation sees, what is said of small pictures."""

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gan_lab import collectives
from gan_lab.data import crops as crops_module
from gan_lab.data.conditions import Downsampled, Grey, Masked
from gan_lab.data.crops import CropsOfFolder
from gan_lab.data.images import resize, to_uint8
from gan_lab.data.masks import Box, Masks
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.stream import RealStream
from gan_lab.sampling import numpy_generator

SIZES = [(12, 20), (20, 12), (9, 9), (16, 31), (8, 10)]  # height and width
BACKENDS = {"resident": {"resident": True}, "streamed": {"resident": False}, "workers": {"workers": 2}}


def crops(root: Path, tmp_path: Path, **changes: Any) -> CropsOfFolder:
    """8x8 windows of what lies in `root`, with the cache in `tmp_path`."""
    settings: dict[str, Any] = {
        "name": "crops",
        "image_size": 8,
        "channels": 3,
        "num_classes": 0,
        "root": str(root),
        "shorter_side": None,
        "on_small": "stop",
        "on_bad": "stop",
        "cache_dir": str(tmp_path / "cache"),
        "batch_size": 4,
        "micro_batch_size": None,
        "flip": False,
        "resident": False,
        "resident_limit_mb": 64,
        "workers": 0,
        "limit": None,
        "seed": 0,
    } | changes
    size = settings["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return CropsOfFolder(sample_shape=[settings["channels"], height, width], **settings)


def started(*arguments: Any, **changes: Any) -> CropsOfFolder:
    data = crops(*arguments, **changes)
    data.prepare_data()
    data.setup()
    return data


def write(path: Path, size: tuple[int, int], number: int) -> None:
    """A picture whose pixels say where they stand: red the row, green the column, blue which picture it is."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.uint8)
    Image.fromarray(np.stack([rows, columns, np.full_like(rows, number)], axis=2)).save(path)


@pytest.fixture
def pictures(tmp_path):
    root = tmp_path / "pictures"
    root.mkdir()
    for number, size in enumerate(SIZES):
        write(root / f"{number}.png", size, number)
    return root


def assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for key in left:
        assert torch.equal(left[key], right[key]), key


@pytest.mark.parametrize(("height", "width", "flip"), [(8, 8, False), (6, 8, True)])
def test_a_window_is_contiguous_and_lies_where_it_was_drawn(height, width, flip, pictures, tmp_path):
    """Every pixel says where it stands; each place that a picture leaves room for is as likely as any other."""
    batch = started(pictures, tmp_path, image_size=(height, width), flip=flip).take(200 * 5)
    windows, index = to_uint8(batch["real"]).numpy(), batch["index"].numpy()
    drawn = np.concatenate([numpy_generator(0, "crops", number).random((5, 2)) for number in range(200)])
    room = np.array(SIZES)[index] - (height, width)
    tops, lefts = np.floor(drawn * (room + 1)).astype(int).T
    flips = [numpy_generator(0, "flips", number).integers(2, size=5, dtype=bool) for number in range(200)]
    for window, number, top, left, mirrored in zip(windows, index, tops, lefts, np.concatenate(flips), strict=True):
        window = window[:, :, ::-1] if flip and mirrored else window
        assert (window[0] == top + np.arange(height)[:, None]).all()
        assert (window[1] == left + np.arange(width)).all()
        assert (window[2] == number).all()
    for number, (rows, columns) in enumerate(SIZES):
        assert {*tops[index == number]} == {*range(rows - height + 1)}
        assert lefts[index == number].min() == 0
        assert lefts[index == number].max() == columns - width


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_resumed_stream_goes_on_within_a_pass_wherever_the_pictures_are(backend, pictures, tmp_path):
    given = {"flip": True, "quarter_turns": True, "subset": 4}
    unbroken = started(pictures, tmp_path, **given)
    unbroken.take(7)  # of passes of 4
    saved = unbroken.state_dict()
    resumed = started(pictures, tmp_path, **given, **BACKENDS[backend])
    resumed.load_state_dict(saved)
    for _ in range(3):
        assert_equal(resumed.take(4), unbroken.take(4))
    resumed.teardown()
    with pytest.raises(ValueError, match="trained on other data"):
        started(pictures, tmp_path, **given, image_size=6).load_state_dict(saved)


def test_another_pixel_is_other_data(pictures, tmp_path):
    saved = started(pictures, tmp_path, limit=2).state_dict()
    write(pictures / "1.png", SIZES[1], 9)
    with pytest.raises(ValueError, match="trained on other data"):
        started(pictures, tmp_path, limit=2).load_state_dict(saved)


def test_ranks_take_slices_of_the_global_batch(pictures, tmp_path, monkeypatch):
    given = {"flip": True, "quarter_turns": True}
    whole = started(pictures, tmp_path, **given).take(12)
    for rank in range(2):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(collectives, "world", lambda: 2)
        part = started(pictures, tmp_path, **given).take(12)
        assert_equal(part, {key: value[6 * rank : 6 * rank + 6] for key, value in whole.items()})


def test_quarter_turns_are_drawn_for_each_place():
    """Counterclockwise, of a picture of four pixels; over the flips they make all eight positions of a square."""
    images = np.array([[[[0, 1], [2, 3]]]] * 3, dtype=np.uint8)
    settings = {"seed": 5, "resident": True, "workers": 0, "usual_take": 4, "device": torch.device("cpu")}
    squares = ReferenceSet(name="squares", split="train", images=images, labels=None)
    turned = to_uint8(RealStream(squares, flip=False, quarter_turns=True, **settings).take(30)["real"])
    positions = {0: [[0, 1], [2, 3]], 1: [[1, 3], [0, 2]], 2: [[3, 2], [1, 0]], 3: [[2, 0], [3, 1]]}
    drawn = [n for number in range(10) for n in numpy_generator(5, "quarter turns", number).integers(0, 4, size=3)]
    assert turned[:, 0].tolist() == [positions[n] for n in drawn]
    both = RealStream(squares, flip=True, quarter_turns=True, **settings).take(90)["real"]
    assert len(both.flatten(1).unique(dim=0)) == 8


def test_sources_are_made_of_the_window_as_it_is_shown(pictures, tmp_path):
    given = {"flip": True, "quarter_turns": True}
    smaller = started(pictures, tmp_path, condition=Downsampled(factor=2), condition_shape=[3, 4, 4], **given).take(5)
    assert torch.equal(to_uint8(smaller["condition"]), resize(to_uint8(smaller["real"]), (4, 4)))
    grey = started(pictures, tmp_path, condition=Grey(), condition_shape=[1, 8, 8], **given).take(5)
    assert torch.equal(grey["real"], smaller["real"])
    masks = Masks(laws={"box": Box(size=0.5, place="random")}, least_share=0.1, most_share=0.5, seed=0)
    hole = Masked(masks=masks, fill=127, vary=True)
    batch = started(pictures, tmp_path, condition=hole, condition_shape=[3, 8, 8], masked=True, **given).take(5)
    assert batch["mask"].sum(dim=(1, 2, 3)).tolist() == 5 * [16]
    assert torch.equal(batch["condition"] * (1 - batch["mask"]), batch["real"] * (1 - batch["mask"]))


def test_an_evaluation_sees_the_middle_of_each_picture(pictures, tmp_path):
    """Of 12x20 the rows 2 to 9 and the columns 6 to 13; the protocol says so."""
    given = {"condition": Downsampled(factor=2), "condition_shape": [3, 4, 4], "test_root": str(pictures)}
    data = started(pictures, tmp_path, flip=True, quarter_turns=True, **given)
    for split in ("train", "test"):
        images = data.reference(split).images
        assert images.shape == (5, 3, 8, 8)
        assert images[:, :, 0, 0].tolist() == [[2, 6, 0], [6, 2, 1], [0, 0, 2], [4, 11, 3], [0, 1, 4]]
        assert images[0, :, 7, 7].tolist() == [9, 13, 0]
        assert data.sources(split).protocol()["split"] == f"middle 8x8 of {split}"
    assert data.reference("test[1:3]").split == "middle 8x8 of test[1:3]"
    assert np.array_equal(data.reference("test[1:3]").images, images[1:3])
    assert data.reference("test").digest == data.reference("train").digest
    assert data.reference("test[1:]").digest != data.reference("test[:4]").digest


@pytest.fixture
def with_small(pictures):
    """Two more that are smaller than 8x8, and one that cannot be read, first by name."""
    write(pictures / "high.png", (30, 4), 100)
    write(pictures / "low.png", (5, 40), 200)
    (pictures / "-.png").write_text("no picture")
    return pictures


def test_smaller_pictures_are_refused_or_left_out_by_name(with_small, tmp_path, caplog):
    named = r"smaller than data.image_size=\[8, 8\]: 2 files: high.png \(4x30\), low.png \(40x5\)"
    with pytest.raises(ValueError, match=f"{named}.*data.on_small=skip, or enlarge them by data.on_small=enlarge"):
        started(with_small, tmp_path, on_bad="skip")
    caplog.set_level(logging.WARNING)
    data = started(with_small, tmp_path, on_bad="skip", on_small="skip")
    assert "skipped, smaller than" in caplog.text
    assert sorted(data.take(5)["real"][:, 2, 0, 0].mul(127.5).add(127.5).round().tolist()) == [0, 1, 2, 3, 4]
    assert len(data.reference("train")) == 5
    with pytest.raises(ValueError, match=r"smaller than data.image_size=\[64, 64\]: 7 files: 0.png \(20x12\), "):
        started(with_small, tmp_path, on_bad="skip", on_small="skip", image_size=64)


def test_smaller_pictures_are_enlarged_until_a_window_fits(with_small, tmp_path, caplog):
    """4x30 to 8x60, and 40x5 to 64x8."""
    caplog.set_level(logging.WARNING)
    data = started(with_small, tmp_path, on_bad="skip", on_small="enlarge")
    assert "enlarged, smaller than 8x8: 2 files: high.png, low.png" in caplog.text
    stored = data.reference("train").stored
    assert stored.sizes.tolist() == [*map(list, SIZES), [60, 8], [8, 64]]
    large = Image.open(with_small / "high.png").resize((8, 60), Image.Resampling.LANCZOS)
    window = stored.windows(np.array([5]), np.array([[52, 0]]), (8, 8))[0]
    assert np.array_equal(window, np.asarray(large).transpose(2, 0, 1)[:, 52:])


def test_pictures_are_decoded_once_for_all_sizes_of_windows(pictures, tmp_path, monkeypatch):
    decoded = []
    decode = crops_module.decode_whole
    monkeypatch.setattr(crops_module, "decode_whole", lambda *given: decoded.append(1) or decode(*given))
    for changes in ({}, {"image_size": 5}, {"on_small": "skip"}, {"flip": True}):
        started(pictures, tmp_path, **changes).take(4)
    assert len(decoded) == 5
    started(pictures, tmp_path, shorter_side=8)
    assert len(decoded) == 10


def test_a_shorter_side_is_brought_to_its_length_before(tmp_path):
    """Of 40x24 (width x height) to 20x12."""
    (tmp_path / "pictures").mkdir()
    pixels = np.random.default_rng(0).integers(256, size=(24, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "pictures" / "0.png")
    data = started(tmp_path / "pictures", tmp_path, shorter_side=12)
    smaller = np.asarray(Image.fromarray(pixels).resize((20, 12), Image.Resampling.LANCZOS))
    assert np.array_equal(data.reference("train").images[0], smaller.transpose(2, 0, 1)[:, 2:10, 6:14])


def test_what_is_mapped_travels_to_a_worker_by_name(pictures, tmp_path):
    stream = started(pictures, tmp_path, flip=True).stream
    reader = stream._new_reader()
    sent = pickle.dumps(reader)
    assert stream.samples.stored.pixels.numpy().tobytes() not in sent
    assert torch.equal(pickle.loads(sent)[[(0, 4), (8, 12)]], reader[[(0, 4), (8, 12)]])


def test_a_damaged_copy_is_made_anew(pictures, tmp_path, caplog):
    first = started(pictures, tmp_path).take(4)
    (path,) = (tmp_path / "cache").glob("*/sizes.npy")
    np.save(path, np.load(path) + 1)
    assert_equal(started(pictures, tmp_path).take(4), first)
    assert "is damaged" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quarter_turns": True, "image_size": [6, 8]}, r"data.quarter_turns=true turns squares, .* is \[6, 8\]"),
        ({"on_small": "pad"}, "data.on_small must be one of stop, skip, enlarge, got 'pad'"),
        ({"shorter_side": 7}, r"data.shorter_side=7 is less than data.image_size=\[8, 8\]"),
    ],
)
def test_what_is_refused(changes, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        crops(tmp_path, tmp_path, **changes)
