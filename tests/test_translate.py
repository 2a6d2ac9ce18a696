"""`python -m gan_lab.translate`: a person's pictures by a translator, each or why not, and again after a kill."""

import hashlib
import json
import zipfile

import numpy as np
import pytest
from hand_translators import NEGATIVE, RESNET, TRUST, write_translator
from PIL import Image

DARK, LIGHT = np.full((20, 30, 3), 40, dtype=np.uint8), np.full((9, 50, 3), 200, dtype=np.uint8)


@pytest.fixture
def sources(tmp_path):
    """Pictures of several kinds at two depths, in a folder `photos`."""
    folder = tmp_path / "photos" / "inside"
    folder.mkdir(parents=True)
    write_translator(tmp_path / "g.safetensors", NEGATIVE)
    Image.fromarray(DARK).save(folder.parent / "dark.jpg", quality=95)
    turn = Image.Exif()
    turn[0x0112] = 6
    Image.fromarray(LIGHT).save(folder / "turned.png", exif=turn)
    alpha = np.dstack([LIGHT, np.arange(450, dtype=np.uint8).reshape(9, 50)])
    Image.fromarray(alpha).save(folder / "alpha.webp", lossless=True, exact=True)
    return folder.parent


def translate(here, *words, sources="photos"):
    return here("translate", "checkpoint=g.safetensors", f"sources={sources}", "out=made", "device=cpu", TRUST, *words)


def made(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder(sources, here, tmp_path):
    done = translate(here)
    assert done.code == 0, done.output
    assert sorted(made(tmp_path / "made")) == ["dark.png", "inside/alpha.png", "inside/turned.png", "manifest.json"]
    with Image.open(tmp_path / "made" / "dark.png") as picture:
        assert abs(np.asarray(picture).astype(int) - 215).max() <= 2
        assert picture.text["Description"] == "made by a generative model, of a picture"
        assert len(picture.text["gan_lab.generator_sha256"]) == 64
    with Image.open(tmp_path / "made" / "inside" / "turned.png") as picture:
        assert picture.size == (9, 50)
        assert not picture.getexif()
        assert (np.asarray(picture) == 55).all()
    with Image.open(tmp_path / "made" / "inside" / "alpha.png") as picture:
        assert picture.mode == "RGBA"
        assert np.array_equal(np.asarray(picture)[..., 3].ravel(), np.arange(450, dtype=np.uint8))
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text())
    assert manifest["checkpoint"]["sha256"] == sha256(tmp_path / "g.safetensors")
    assert manifest["settings"]["size"] == "native"
    entry = next(entry for entry in manifest["pictures"] if entry["source"] == "inside/turned.png")
    assert entry["source_sha256"] == sha256(sources / "inside" / "turned.png")
    assert entry["output_sha256"] == sha256(tmp_path / "made" / "inside" / "turned.png")
    assert (entry["width"], entry["height"]) == (9, 50)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_zip_and_a_single_file(sources, here, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(sources / "dark.jpg", "a/dark.jpg")
        archive.writestr("/outside.jpg", (sources / "dark.jpg").read_bytes())
    done = translate(here, sources="photos.zip")
    assert done.code == 1
    assert "/outside.jpg: its name leads out of the folder" in done.output
    assert sorted(made(tmp_path / "made")) == ["a/dark.png", "manifest.json"]
    assert translate(here, "overwrite=true", sources="photos/dark.jpg").code == 0
    assert made(tmp_path / "made")["dark.png"] == made(tmp_path / "made")["a/dark.png"]


def test_a_broken_file_is_named_and_the_rest_is_done(sources, here, tmp_path):
    (sources / "cut.jpg").write_bytes((sources / "dark.jpg").read_bytes()[:300])
    (sources / "dark.png").write_bytes(b"no picture")
    done = translate(here)
    assert done.code == 1
    assert "cut.jpg: " in done.output
    assert "dark.png: dark.png is made of dark.jpg; give one of them another name" in done.output
    assert "2 of 5 pictures could not be made: cut.jpg, dark.png" in done.output
    assert len(list((tmp_path / "made").rglob("*.png"))) == 3
    assert sorted(json.loads((tmp_path / "made" / "manifest.json").read_text())["failed"]) == ["cut.jpg", "dark.png"]


def test_what_was_killed_goes_on_to_the_same_bytes(sources, here, tmp_path):
    assert translate(here).code == 0
    first = made(tmp_path / "made")
    kept = tmp_path / "made" / "dark.png"
    since = kept.stat().st_mtime_ns
    (tmp_path / "made" / "manifest.json").unlink()
    (tmp_path / "made" / "inside" / "alpha.png").unlink()
    (tmp_path / "made" / "inside" / ".alpha.png.tmp").write_bytes(b"half")
    again = translate(here)
    assert again.code == 0, again.output
    assert "2 of them were there already" in again.output
    assert made(tmp_path / "made") == first
    assert kept.stat().st_mtime_ns == since


def test_what_something_else_made_stays_unless_it_may_go(sources, here, tmp_path):
    assert translate(here).code == 0
    Image.fromarray(LIGHT).save(sources / "dark.jpg")
    Image.fromarray(LIGHT).save(tmp_path / "made" / "inside" / "alpha.png")
    before = made(tmp_path / "made")
    done = translate(here)
    assert done.code == 1
    assert "dark.png was made otherwise, or of another source; overwrite=true replaces it" in done.output
    assert "alpha.png is there, of other origin; overwrite=true replaces it" in done.output
    assert made(tmp_path / "made")["dark.png"] == before["dark.png"]
    assert translate(here, "overwrite=true").code == 0
    assert translate(here).code == 0


def test_the_size_of_training(sources, here, tmp_path):
    done = translate(here, "size=train")
    assert done.code == 0, done.output
    for path in (tmp_path / "made").rglob("*.png"):
        with Image.open(path) as picture:
            assert picture.size == (16, 16)


def test_grey_from_colours_and_colours_from_grey(sources, here, tmp_path):
    for channels, mode in (((3, 1), "L"), ((1, 3), "RGB")):
        write_translator(tmp_path / "g.safetensors", NEGATIVE, channels=channels)
        assert translate(here, "overwrite=true").code == 0
        with Image.open(tmp_path / "made" / "dark.png") as picture:
            assert picture.mode == mode


def test_label_maps(here, tmp_path):
    """Their planes' mean is -0.5 of 4 where there is a label, and -1 where nothing is known."""
    data = {"source_labels": 4, "unlabelled_ids": [255]}
    write_translator(tmp_path / "g.safetensors", NEGATIVE, channels=(4, 3), data=data)
    (tmp_path / "maps").mkdir()
    ids = np.full((20, 30), 3, dtype=np.uint8)
    ids[:, 13:] = 255
    Image.fromarray(ids).save(tmp_path / "maps" / "town.png")
    Image.fromarray(ids // 2).save(tmp_path / "maps" / "unknown.png")
    Image.fromarray(DARK + np.arange(3, dtype=np.uint8)).save(tmp_path / "maps" / "colours.png")
    done = translate(here, sources="maps")
    assert done.code == 1
    assert "unknown.png: ids 127 are not among 0 to 3 of data.source_labels=4\n" in done.output
    assert "colours.png: it has colours, and no palette of which they are numbers; save it with one\n" in done.output
    with Image.open(tmp_path / "made" / "town.png") as picture:
        assert np.array_equal(picture, np.where(ids == 3, 191, 255)[..., None].repeat(3, 2))


def test_masks_of_a_folder(sources, here, tmp_path):
    write_translator(tmp_path / "g.safetensors", NEGATIVE, masked=True)
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[4:8, 10:20] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "dark.png")
    done = translate(here, "masks=masks")
    assert done.code == 1
    assert "inside/turned.png: masks=masks has no inside/turned with an extension of pictures" in done.output
    with Image.open(tmp_path / "made" / "dark.png") as picture, Image.open(sources / "dark.jpg") as source:
        result, own = np.asarray(picture), np.asarray(source)
    assert np.array_equal(result[mask == 0], own[mask == 0])
    assert (result[mask > 0] == 128).all()
    assert translate(here, "masks=masks", "fill=55", "overwrite=true").code == 1
    with Image.open(tmp_path / "made" / "dark.png") as picture:
        assert (np.asarray(picture)[mask > 0] == 200).all()


def test_masks_of_transparency(sources, here, tmp_path):
    write_translator(tmp_path / "g.safetensors", NEGATIVE, masked=True)
    done = translate(here, "masks=alpha")
    assert done.code == 1
    assert "dark.jpg: masks=alpha, and it has no transparency" in done.output
    assert "inside/alpha.webp: its transparency has" in done.output
    with Image.open(tmp_path / "made" / "inside" / "alpha.png") as picture:
        result = np.asarray(picture)
    alpha = np.arange(450, dtype=np.uint8).reshape(9, 50)
    assert (result[alpha < 128] == (128, 128, 128, 255)).all()
    assert (result[alpha >= 128][:, :3] == 200).all()
    assert np.array_equal(result[alpha >= 128][:, 3], alpha[alpha >= 128])


@pytest.mark.parametrize(
    ("masked", "words", "said"),
    [
        (False, ["size=large"], "size must be native or train, got 'large'"),
        (False, ["tile=on"], "tile must be auto or off, got 'on'"),
        (False, ["tile_size=0"], "tile_size must be 1 or more, got 0"),
        (False, ["max_megapixels=nan"], "max_megapixels must be more than 0, got nan"),
        (False, ["masks=alpha"], "masks=alpha is of holes, and this network is given none; leave it out"),
        (False, ["fill=3"], "fill=3 is of holes, and this network is given none; leave it out"),
        (True, [], "this network fills holes, and there are none: give masks=FOLDER"),
        (True, ["masks=alpha", "fill=256"], "fill must be from 0 to 255, got 256"),
        (True, ["masks=nowhere"], "masks=nowhere does not exist"),
        (False, ["sources=nowhere"], "sources=nowhere does not exist; give a picture, a folder or a zip"),
        (False, ["sources=g.json"], "sources=g.json is neither a picture, nor a folder or a zip of pictures"),
        (False, ["out=photos/made"], "out=photos/made lies within sources=photos"),
    ],
)
def test_what_is_refused_before_anything_is_written(masked, words, said, sources, here, tmp_path):
    write_translator(tmp_path / "g.safetensors", NEGATIVE, masked=masked)
    done = translate(here, *words)
    assert done.code == 1
    assert said in done.output
    assert not (tmp_path / "made").exists()


def test_a_large_picture_that_cannot_be_cut_is_named(sources, here, tmp_path):
    write_translator(tmp_path / "g.safetensors", RESNET | {"normalization": "instance"})
    done = translate(here, "max_megapixels=0.0005")
    assert done.code == 1
    assert "dark.jpg: 30x20 pixels are more than max_megapixels=0.0005" in done.output
    assert "1 of 3 pictures could not be made: dark.jpg" in done.output
    assert translate(here, "max_megapixels=1").code == 0, "and the others are not made anew"
