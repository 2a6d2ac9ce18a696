"""Masks from files for any picture: how they are read, which are left out aloud, and what decides a picture's hole."""

import io
import logging
import shutil

import numpy as np
import pytest
import torch
from generated_data import write_image_zip, write_masks
from PIL import Image

from gan_lab.data.conditions import Masked
from gan_lab.data.digits import Digits
from gan_lab.data.holes import HoleRule, hole_at, mask_levels
from gan_lab.data.image_files import Shape
from gan_lab.data.mask_files import MaskFiles

RULE = HoleRule("white", 0.0, 1.0)


def file_of(levels, mode=None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(np.asarray(levels))
    (image if mode is None else image.convert(mode)).save(buffer, "PNG")
    return buffer.getvalue()


def files(root, **changes) -> MaskFiles:
    """For pictures of 8x8."""
    settings = {
        "root": str(root),
        "test_root": None,
        "hole": "white",
        "flip": False,
        "center_crop": True,
        "least_share": 0.0,
        "most_share": 1.0,
        "on_bad": "stop",
        "cache_dir": str(root.parent / "cache"),
        "seed": 0,
    }
    made = MaskFiles(**(settings | changes))
    made.check(8, 8)
    return made


def digits(masks: MaskFiles, **changes) -> Digits:
    settings = {
        "name": "digits",
        "image_size": [8, 8],
        "channels": 1,
        "sample_shape": [1, 8, 8],
        "num_classes": 10,
        "batch_size": 4,
        "micro_batch_size": None,
        "flip": False,
        "resident": True,
        "resident_limit_mb": 100,
        "workers": 0,
        "limit": None,
        "seed": 0,
        "condition": Masked(masks=masks, fill=127, vary=True),
        "condition_shape": [1, 8, 8],
        "masked": True,
    }
    data = Digits(**(settings | changes))
    data.setup()
    return data


@pytest.fixture
def corner(tmp_path):
    """One mask without any symmetry: white in the upper left quarter and in one more pixel beside it."""
    levels = np.zeros((8, 8), dtype=np.uint8)
    levels[:4, :4] = 255
    levels[0, 4] = 255
    (tmp_path / "corner").mkdir()
    Image.fromarray(levels).save(tmp_path / "corner" / "0.png")
    return tmp_path / "corner"


# One mask -----------------------------------------------------------------------------------------------------------


def hole(levels, size=(1, 4), crop=True, rule=RULE):
    return hole_at(np.array(levels, dtype=np.uint8), Shape(size, 3, crop), rule)[0].astype(int).tolist()


def test_white_or_black_is_hole_and_grey_is_the_nearer_of_the_two():
    assert hole([[0, 127, 128, 255]]) == [[0, 0, 1, 1]]
    assert hole([[0, 127, 128, 255]], rule=RULE._replace(hole="black")) == [[1, 1, 0, 0]]


def test_other_sizes_are_brought_to_the_pictures_by_the_nearest_pixel():
    wide = [[255, 0, 0, 255, 255, 0, 0, 255], [255, 0, 0, 255, 255, 0, 0, 255]]
    assert hole(wide, size=(1, 4), crop=False) == [[0, 1, 0, 1]]  # each from its centre, to the right of the middle
    assert hole(wide, size=(2, 2), crop=True) == [[1, 1], [1, 1]], "the middle of it"
    assert hole(np.kron(np.eye(2), np.full((3, 3), 255)), size=(2, 2)) == [[1, 0], [0, 1]]


def test_levels_are_of_8_bits_whatever_the_file_has():
    assert mask_levels(file_of(np.array([[0, 255]], dtype=np.uint16))).tolist() == [[0, 255]]
    assert mask_levels(file_of(np.array([[0, 65535]], dtype=np.uint16))).tolist() == [[0, 255]]
    assert mask_levels(file_of(np.array([[False, True]]))).tolist() == [[0, 255]]
    black_and_white = np.array([[0, 255]], dtype=np.uint8)
    assert mask_levels(file_of(black_and_white, "RGBA")).tolist() == [[0, 255]], "opaque everywhere"
    assert mask_levels(file_of(black_and_white, "P")).tolist() == [[0, 255]]
    with pytest.raises(ValueError, match="it has transparency, so what of it is white is not known"):
        mask_levels(file_of(np.array([[[255, 255, 255, 255], [0, 0, 0, 254]]], dtype=np.uint8)))
    with pytest.raises(ValueError, match="not an image"):
        mask_levels(b"no mask")


# Which hole a picture gets ------------------------------------------------------------------------------------------


def test_seed_index_and_pass_decide_in_any_order(tmp_path):
    written = write_masks(tmp_path / "masks", names="abcd", size=(8, 8))
    first, again, other = (files(tmp_path / "masks", seed=seed) for seed in (0, 0, 1))
    places = [(index, pass_number) for index in range(100) for pass_number in (None, 0, 1)]
    holes = [first.at(*place, 8, 8) for place in places]
    for place, found in reversed(list(zip(places, holes, strict=True))):
        assert torch.equal(again.at(*place, 8, 8), found)
    assert any(not torch.equal(other.at(*place, 8, 8), found) for place, found in zip(places, holes, strict=True))
    assert holes[0].shape == (1, 8, 8)
    assert holes[0].dtype == torch.bool
    for step in (1, 2):
        assert sum(not torch.equal(a, b) for a, b in zip(holes[0::3], holes[step::3], strict=True)) > 50
    numbers = [next(n for n, one in enumerate(written) if np.array_equal(one, found[0])) for found in holes]
    assert np.bincount(numbers, minlength=4) == pytest.approx(75, abs=25)


def test_training_mirrors_masks_where_it_may_and_evaluation_never_does(corner):
    upright = files(corner).at(0, None, 8, 8)
    ways = [upright.flip(sides) for sides in ([], [1], [2], [1, 2])]
    flipped = files(corner, flip=True)
    counts = [sum(torch.equal(way, flipped.at(index, 0, 8, 8)) for index in range(80)) for way in ways]
    assert sum(counts) == 80
    assert min(counts) > 8
    assert all(torch.equal(flipped.at(index, None, 8, 8), upright) for index in range(20))
    assert all(torch.equal(files(corner).at(index, 3, 8, 8), upright) for index in range(20))


def test_images_that_are_not_trained_on_get_masks_of_their_own(corner, tmp_path):
    """The same for every model."""
    other = write_masks(tmp_path / "other", names=["0"], size=(8, 8))[0]
    data = digits(files(corner, test_root=str(tmp_path / "other")))
    assert np.array_equal(data.sources("held_out[:4]").block(2, 1)["mask"][0, 0], other)
    assert data.sources("train[:4]").block(2, 1)["mask"][0].sum() == data.take(4)["mask"][0].sum() == 17
    alone = digits(files(corner))
    assert alone.sources("held_out").block(0, 1)["mask"].sum() == 17
    assert alone.sources("train[:4]").protocol() == data.sources("train[:4]").protocol()
    assert alone.sources("held_out").protocol() != data.sources("held_out").protocol()
    with pytest.raises(FileNotFoundError, match=r"data\.condition\.masks\.test_root=.*nowhere does not exist"):
        digits(files(corner, test_root=str(tmp_path / "nowhere"))).sources("held_out")


# What they are ------------------------------------------------------------------------------------------------------


def test_masks_are_known_by_their_content_wherever_they_lie(corner, tmp_path):
    write_masks(tmp_path / "masks", names="abc")
    shutil.copytree(tmp_path / "masks", tmp_path / "moved")
    packed = write_image_zip(tmp_path / "masks.zip", tmp_path / "masks")
    first, moved, zipped = (files(path) for path in (tmp_path / "masks", tmp_path / "moved", packed))
    assert first.identity() == moved.identity() == zipped.identity()
    assert first.protocol() == moved.protocol() == zipped.protocol()
    assert first.protocol() == {"files": 3, "content": first.content(), "seed": 0}
    assert len(list((tmp_path / "cache").glob("*-*-*"))) == 1, "decoded once"
    write_masks(tmp_path / "moved", names=["other", "b"])
    after = files(tmp_path / "moved")
    assert after.identity() != first.identity()
    assert after.content() != first.content()


def test_a_run_does_not_go_on_with_other_masks(corner, tmp_path):
    before = digits(files(corner))
    assert before.identity() is not None
    before.take(4)
    saved = before.state_dict()
    digits(files(corner)).load_state_dict(saved)
    with pytest.raises(ValueError, match=r"trained with other masks: data\.condition\.masks\.root"):
        digits(files(corner, hole="black")).load_state_dict(saved)
    without = digits(files(corner), condition=None, condition_shape=None, masked=False)
    assert without.identity() is None
    assert "condition" not in without.state_dict()


# What is said before training ---------------------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path):
    """Masks of all kinds that are odd, beside two that are not."""
    write_masks(tmp_path / "odd", names=["0", "1"], size=(16, 16))

    def save(name, levels):
        Image.fromarray(np.asarray(levels, dtype=np.uint8)).save(tmp_path / "odd" / name)

    save("empty.png", np.full((16, 16), 1))
    save("full.png", np.full((16, 16), 255))
    save("thin.png", np.kron(np.eye(8)[:1].repeat(8, 0), np.full((2, 2), 255)))
    soft = np.kron(np.eye(2), np.full((8, 8), 255))
    soft[0, 0] = 200
    save("soft.png", soft)
    save("photograph.png", np.arange(256).reshape(16, 16))
    return tmp_path / "odd"


def test_odd_masks_are_named_and_those_that_cannot_be_are_left_out(odd, caplog):
    with caplog.at_level(logging.INFO):
        found = files(odd, least_share=0.2).protocol()
    assert found["files"] == 4
    for said in (
        "4 masks of 16x16 pixels",
        "white is hole: 25.0% to 50.0% of the pictures, 37.5% on average",
        "masks left out, no hole: 1 file: empty.png (lightest level 1)",
        "masks left out, nothing but hole: 1 file: full.png",
        "masks left out, holes outside of data.condition.masks.least_share=0.2 and most_share=1.0: 1 file: "
        "thin.png (0.12)",
        "masks with levels between black and white, from 128 on they are white: 1 file: soft.png",
        "more grey than masks have; are these photographs?: 2 files: empty.png (100%), photograph.png (99%)",
    ):
        assert said in caplog.text
    assert "on average: if what should be known" not in caplog.text
    caplog.clear()
    files(odd, least_share=0.2).content()
    assert "full.png" in caplog.text, "at every start"


@pytest.mark.parametrize(("hole", "other"), [("white", "black"), ("black", "white")])
def test_holes_that_take_most_of_the_pictures_are_warned_of(hole, other, tmp_path, caplog):
    levels = np.full((8, 8), 255 if hole == "white" else 0, dtype=np.uint8)
    levels[:3, :5] = 127 if hole == "white" else 128
    (tmp_path / "masks").mkdir()
    Image.fromarray(levels).save(tmp_path / "masks" / "0.png")
    files(tmp_path / "masks", hole=hole).content()
    hint = (
        "holes are 77% of the pictures on average: if what should be known is hole here, set data.condition.masks.hole="
    )
    assert hint + other in caplog.text
    with pytest.raises(
        ValueError, match=rf"nothing is left of 1 file: 0\.png; .*masks\.hole={other}; .*most_share=0\.5"
    ):
        files(tmp_path / "masks", hole=hole, most_share=0.5).content()


def test_unreadable_masks_stop_or_are_left_out(odd, caplog):
    (odd / "bad.png").write_bytes(b"no mask")
    with pytest.raises(ValueError, match=r"bad\.png \(not an image\).*data\.condition\.masks\.on_bad=skip"):
        files(odd).content()
    assert files(odd, on_bad="skip").protocol()["files"] == 5
    assert "skipped, cannot be read: 1 file: bad.png (not an image)" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hole": "grey"}, "data.condition.masks.hole must be white or black, got 'grey'"),
        ({"least_share": 0.6, "most_share": 0.5}, "least_share=0.6 and most_share=0.5"),
        ({"seed": -1}, "data.condition.masks.seed must be 0 or more, got -1"),
        ({"on_bad": "go on"}, "data.condition.masks.on_bad must be stop or skip, got 'go on'"),
    ],
)
def test_settings_out_of_range_are_refused(changes, said, corner):
    with pytest.raises(ValueError, match=said):
        files(corner, **changes)
