"""Pictures with holes of their own: which mask belongs to which, alpha, and that training and evaluation see them."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generated_data import write_image_folder, write_image_zip, write_masks
from PIL import Image

from gan_lab import collectives
from gan_lab.data.conditions import Grey, Masked
from gan_lab.data.images import to_uint8
from gan_lab.data.masked import MaskedFolder, OwnMasks, lifted

BACKENDS = {
    "resident": {"resident": True},
    "streamed": {"resident": False},
    "workers": {"resident": False, "workers": 2},
}


def condition(root: Any, vary: bool = True, **changes: Any) -> Masked:
    settings = {
        "root": str(root),
        "test_root": None,
        "hole": "white",
        "least_share": 0.0,
        "most_share": 1.0,
        "seed": 0,
    }
    return Masked(masks=OwnMasks(**(settings | changes)), fill=9, vary=vary)


def masked(root: Path, tmp_path: Path, holes: Masked, **changes: Any) -> MaskedFolder:
    """8x8 pictures below `root`."""
    settings: dict[str, Any] = {
        "name": "masked",
        "image_size": 8,
        "channels": 3,
        "sample_shape": [3, 8, 8],
        "condition_shape": [3, 8, 8],
        "masked": True,
        "condition": holes,
        "num_classes": None,
        "root": str(root),
        "test_root": None,
        "center_crop": True,
        "on_bad": "stop",
        "cache_dir": str(tmp_path / "cache"),
        "batch_size": 4,
        "micro_batch_size": None,
        "flip": False,
        "resident": True,
        "resident_limit_mb": 64,
        "workers": 0,
        "limit": None,
        "seed": 0,
    }
    data = MaskedFolder(**(settings | changes))
    data.prepare_data()
    data.setup()
    return data


@pytest.fixture
def pictures(tmp_path):
    """Five pictures whose red says in which column a pixel stands, whose green is the number."""
    columns = np.mgrid[0:8, 0:8][1].astype(np.uint8)
    (tmp_path / "pictures").mkdir()
    for number in range(5):
        pixels = np.stack([columns, np.full_like(columns, number), columns], axis=2)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path / "pictures"


def columns_of(path: Path, *columns: int) -> None:
    """A mask, white in some columns."""
    path.parent.mkdir(exist_ok=True, parents=True)
    levels = np.zeros((8, 8), dtype=np.uint8)
    levels[:, columns] = 255
    Image.fromarray(levels).save(path)


def one_each(root: Path, name: str = "{}") -> None:
    """A mask for each picture: that of picture n is white in column n."""
    for number in range(5):
        columns_of(root / f"{name.format(number)}.png", number)


# Which mask belongs to which picture --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["{}", "{}_mask", "{}_mask001"])
@pytest.mark.parametrize("packed", [False, True])
def test_masks_are_found_by_name_in_a_folder_and_beside_their_pictures(name, packed, pictures, tmp_path):
    places = [tmp_path / "masks"] if name == "{}" else [tmp_path / "masks", pictures]
    for masks in places:
        one_each(masks, name)
        root, own = pictures, masks
        if packed:
            root, own = (write_image_zip(tmp_path / f"{path.name}.zip", path) for path in (pictures, masks))
        if masks is not pictures:
            data = masked(root, tmp_path, condition(own))
        else:
            data = masked(root, tmp_path, condition(root))
        block = data.sources("train").block(0, 5)
        assert block["targets"][:, 1, 0, 0].tolist() == [0, 1, 2, 3, 4]
        assert block["mask"].sum(dim=(1, 2, 3)).tolist() == [8] * 5
        assert all(block["mask"][number, 0, :, number].all() for number in range(5))
        assert (block["condition"][3, :, :, 3] == 9).all(), "filled"
        assert torch.equal(block["condition"][3, :, :, 4], block["targets"][3, :, :, 4])


def test_of_several_masks_one_is_drawn_by_index_and_pass(pictures, tmp_path):
    for number in range(5):
        for mask in range(3 if number else 1):
            columns_of(pictures / f"{number}_mask{mask:03}.png", mask)
    data = masked(pictures, tmp_path, condition(pictures), batch_size=5)
    shown = np.zeros((5, 3), dtype=int)
    for _ in range(60):
        batch = data.take(5)
        assert batch["mask"].sum(dim=(1, 2, 3)).tolist() == [8] * 5
        for index, mask in zip(batch["index"].tolist(), batch["mask"], strict=True):
            shown[index] += mask[0, 0, :3].int().numpy()
    assert shown[0].tolist() == [60, 0, 0]
    assert shown[1:] == pytest.approx(20, abs=13)
    fixed = masked(pictures, tmp_path, condition(pictures, vary=False), batch_size=5)
    evaluated = fixed.sources("train").block(0, 5)
    assert torch.equal(evaluated["mask"], data.sources("train").block(0, 5)["mask"]), "the same for any model"
    for _ in range(2):
        batch = fixed.take(5)
        assert torch.equal(batch["mask"], evaluated["mask"][batch["index"]].float())
    chosen = masked(pictures, tmp_path, condition(pictures), subset=3, subset_seed=1)
    assert len(chosen.stream.samples.counts) == 3
    assert chosen.stream.samples.counts.tolist() == [
        3 if green else 1 for green in chosen.stream.samples.images[:, 1, 0, 0]
    ]


def test_the_eighth_mask_is_the_highest_bit_and_the_ninth_is_left_out_aloud(pictures, tmp_path, caplog):
    for path in pictures.glob("[1-4].png"):
        path.unlink()
    for mask in range(9):
        columns_of(pictures / f"0_mask{mask}.png", mask % 8)
    data = masked(pictures, tmp_path, condition(pictures))
    plane = torch.from_numpy(data.reference("train").planes[:1])
    for bit in range(8):
        hole = lifted(plane, torch.tensor([bit]))[0, 0]
        assert hole.sum() == 8
        assert hole[:, bit].all()
    assert "pictures with more than 8 masks, of which the first 8 are taken: 1 file: 0.png" in caplog.text


def test_files_without_a_partner_are_named_and_refused_or_left_out_aloud(pictures, tmp_path, caplog):
    one_each(tmp_path / "masks")
    (tmp_path / "masks" / "1.png").rename(tmp_path / "masks" / "other.png")
    with pytest.raises(ValueError) as raised:
        masked(pictures, tmp_path, condition(tmp_path / "masks"))
    said = ("pictures without a mask: 1 file: 1.png", "masks without a picture: 1 file: other.png")
    for part in (*said, f"data.condition.masks.root={tmp_path / 'masks'}", "data.on_bad=skip", "masked_files"):
        assert part in str(raised.value)
    assert len(masked(pictures, tmp_path, condition(tmp_path / "masks"), on_bad="skip").reference("train")) == 4
    for part in said:
        assert f"skipped, {part}" in caplog.text


def test_masks_of_another_size_are_brought_to_the_picture_and_of_another_shape_refused(pictures, tmp_path, caplog):
    one_each(tmp_path / "masks")
    twice = np.zeros((16, 16), dtype=np.uint8)
    twice[:, 4:8] = 255
    Image.fromarray(twice).save(tmp_path / "masks" / "2.png")
    data = masked(pictures, tmp_path, condition(tmp_path / "masks"))
    assert data.sources("train").block(2, 1)["mask"][0, 0, 0].int().tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert "brought to it by the nearest pixel: 1 file: 2.png (16x16, picture 8x8)" in caplog.text
    Image.fromarray(twice[:8]).save(tmp_path / "masks" / "2.png")
    with pytest.raises(ValueError, match=r"2\.png \(its mask 2\.png is 16x8, another shape than the picture's 8x8\)"):
        masked(pictures, tmp_path, condition(tmp_path / "masks"))


def test_pictures_none_of_whose_masks_is_left_are_left_out_aloud(pictures, tmp_path, caplog):
    one_each(tmp_path / "masks")
    columns_of(tmp_path / "masks" / "1.png")
    columns_of(tmp_path / "masks" / "3.png", 0, 1, 2, 3)
    columns_of(tmp_path / "masks" / "4_mask.png", 0, 1, 2, 3)
    data = masked(pictures, tmp_path, condition(tmp_path / "masks", most_share=0.4))
    samples = data.reference("train")
    assert samples.images[:, 1, 0, 0].tolist() == [0, 2, 4]
    assert samples.counts.tolist() == [1, 1, 1]
    assert "pictures left out, none of whose masks is left: 2 files: 1.png, 3.png" in caplog.text
    assert "no hole: 1 file: 1.png" in caplog.text
    assert "and most_share=0.4: 2 files: 3.png (0.5), 4_mask.png (0.5)" in caplog.text


# Alpha --------------------------------------------------------------------------------------------------------------


def with_alpha(path: Path, pixels: np.ndarray, alpha: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.dstack([pixels, alpha]).astype(np.uint8)).save(path)


def test_what_is_transparent_is_hole_and_the_colours_below_are_the_target(tmp_path, caplog):
    pixels = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    alpha = np.full((8, 8), 255, dtype=np.uint8)
    alpha[2:4, 1:7] = 0
    alpha[4, 4:6] = 127, 128
    with_alpha(tmp_path / "rgba" / "0.png", pixels, alpha)
    with caplog.at_level(logging.INFO):
        data = masked(tmp_path / "rgba", tmp_path, condition("alpha"))
    block = data.sources("train").block(0, 1)
    assert np.array_equal(block["targets"][0], pixels.transpose(2, 0, 1)), "and not white"
    assert np.array_equal(block["mask"][0, 0], alpha < 128)
    assert block["mask"].sum() == 13
    assert "transparent is hole: 20.3%" in caplog.text


def test_pictures_that_keep_nothing_below_or_have_no_hole_are_refused_by_name(tmp_path, caplog):
    pixels = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    alpha = np.full((8, 8), 255, dtype=np.uint8)
    with_alpha(tmp_path / "rgba" / "whole.png", pixels, alpha)
    alpha[2:4] = 0
    with_alpha(tmp_path / "rgba" / "good.png", pixels, alpha)
    erased = np.where(alpha[..., None] == 0, 7, pixels)
    alpha[4] = 100  # a soft edge keeps its colours
    with_alpha(tmp_path / "rgba" / "erased.png", erased, alpha)
    Image.fromarray(pixels).save(tmp_path / "rgba" / "opaque.png")
    with pytest.raises(ValueError) as raised:
        masked(tmp_path / "rgba", tmp_path, condition("alpha"))
    assert "erased.png (nothing but the colour [7, 7, 7] below what is transparent" in str(raised.value)
    assert "opaque.png (no transparency" in str(raised.value)
    assert len(masked(tmp_path / "rgba", tmp_path, condition("alpha"), on_bad="skip").reference("train")) == 1
    assert "masks left out, no hole: 1 file: whole.png" in caplog.text


# What training and evaluation see -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mask_is_mirrored_with_its_picture_wherever_they_are_kept(backend, pictures, tmp_path):
    one_each(tmp_path / "masks")
    data = masked(pictures, tmp_path, condition(tmp_path / "masks"), flip=True, **BACKENDS[backend])
    mirrored = 0
    for _ in range(10):
        batch = data.take(4)
        real = to_uint8(batch["real"])
        assert batch["mask"].dtype == torch.float32
        inside = batch["mask"] == 1
        assert torch.equal(real[:, :1][inside], real[:, 1:2][inside]), "column n of picture n"
        assert inside.sum(dim=(1, 2, 3)).tolist() == [8] * 4
        condition_of = to_uint8(batch["condition"])
        assert (condition_of[inside.expand_as(condition_of)] == 9).all()
        assert torch.equal(condition_of[~inside.expand_as(real)], real[~inside.expand_as(real)])
        mirrored += int((real[:, 0, 0, 0] == 7).sum())
    data.teardown()
    assert 8 < mirrored < 32


def test_ranks_take_slices_of_the_global_batch(pictures, tmp_path, monkeypatch):
    for mask in range(4):
        one_each(pictures, f"{{}}_mask{mask}")
        columns_of(pictures / f"0_mask{mask}.png", mask)
    whole = masked(pictures, tmp_path, condition(pictures), flip=True).take(8)
    for rank in range(2):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(collectives, "world", lambda: 2)
        part = masked(pictures, tmp_path, condition(pictures), flip=True).take(8)
        assert all(torch.equal(part[key], value[4 * rank : 4 * rank + 4]) for key, value in whole.items())


def test_pictures_to_test_on_have_masks_of_their_own_and_classes_stay(tmp_path):
    for name in ("train", "test"):
        write_image_folder(tmp_path / name, classes=("cat", "dog"), count=2, size=(8, 8))
    for kind in ("cat", "dog"):
        write_masks(tmp_path / "masks" / kind, names=["000", "001"], size=(8, 8))
        write_masks(tmp_path / "others" / kind, names=["000", "001"], size=(16, 16))
    given = condition(tmp_path / "masks", test_root=str(tmp_path / "others"))
    data = masked(tmp_path / "train", tmp_path, given, test_root=str(tmp_path / "test"))
    assert data.class_names == ("cat", "dog")
    assert data.take(4)["labels"].sort().values.tolist() == [0, 0, 1, 1]
    assert data.sources("test").block(0, 4)["labels"].tolist() == [0, 0, 1, 1]
    assert data.sources("test").protocol()["content"] != data.sources("train").protocol()["content"]
    with pytest.raises(ValueError, match=r"data\.test_root and data\.condition\.masks\.test_root belong together"):
        masked(tmp_path / "train", tmp_path, condition(tmp_path / "masks"), test_root=str(tmp_path / "test"))


def test_another_mask_is_other_data(pictures, tmp_path):
    """To a checkpoint, to scores, and in the name of a run."""
    one_each(tmp_path / "masks")
    before = masked(pictures, tmp_path, condition(tmp_path / "masks"))
    saved, identity = before.state_dict(), before.identity()
    masked(pictures, tmp_path, condition(tmp_path / "masks")).load_state_dict(saved)
    columns_of(tmp_path / "masks" / "4.png", 4, 5)
    after = masked(pictures, tmp_path, condition(tmp_path / "masks"))
    assert after.identity() != identity
    assert after.sources("train").protocol() != before.sources("train").protocol()
    with pytest.raises(ValueError, match="trained on other data"):
        after.load_state_dict(saved)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: condition("alpha", hole="black"), "data.condition.masks.hole=black is of masks"),
        (lambda: condition("alpha", test_root="there"), "data.condition.masks.test_root=there is of masks"),
        (lambda: condition("there", hole="grey"), "hole must be white or black, got 'grey'"),
        (lambda: condition("there", least_share=0.6, most_share=0.5), "least_share=0.6 and most_share=0.5"),
        (lambda: masked(Path("there"), Path("here"), Grey()), "leave condition out, or choose data=folder"),
        (lambda: masked(Path("there"), Path("here"), condition("there"), paired=False), "data.paired=false is of"),
        (lambda: masked(Path("there"), Path("here"), condition("there"), crop=4), "data.crop=4 is not for pictures"),
        (lambda: condition("there").make(torch.zeros(1, 3, 8, 8), torch.tensor([0])), "choose data=masked"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
