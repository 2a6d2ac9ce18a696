"""What files of pictures say of their making, in each format as far as it has a place for it."""

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base
from tiny_generators import generator

from gan_lab.data.pictures import save_png
from gan_lab.latents import animation
from gan_lab.runs.checkpoint import weights_sha256
from gan_lab.sharing.marks import SOFTWARE, mark_of

FRAMES = [np.full((5, 7), level, np.uint8) for level in (0, 90)]


def mark(of_picture=False):
    """Of a generator whose licence is not in Latin letters alone."""
    loaded = generator("latents")
    loaded.licence = "own words: ™ ≥ 3"
    return mark_of(loaded, 7, of_picture=of_picture)


DIGEST = weights_sha256(generator("latents").network)


def test_a_png(tmp_path):
    save_png(FRAMES[0], tmp_path / "a.png", mark().info(12))
    with Image.open(tmp_path / "a.png") as picture:
        xmp = picture.info["xmp"].decode()
        assert picture.text | {"XML:com.adobe.xmp": ""} == {
            "Description": "made by a generative model",
            "Software": SOFTWARE,
            "gan_lab.generator_sha256": DIGEST,
            "gan_lab.seed": "7",
            "gan_lab.index": "12",
            "gan_lab.generator_licence": "own words: ™ ≥ 3",
            "XML:com.adobe.xmp": "",
        }
    assert "/trainedAlgorithmicMedia" in xmp


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_a_moving_picture(kind, tmp_path):
    animation.save(FRAMES, tmp_path / f"a.{kind}", fps=25, loop=True, mark=mark())
    with Image.open(tmp_path / f"a.{kind}") as moving:
        assert moving.n_frames == 2
        if kind == "gif":
            said = moving.info["comment"].decode()
        else:
            exif = moving.getexif()
            said = exif[Base.ImageDescription]
            assert exif[Base.Software] == SOFTWARE
            assert b"/trainedAlgorithmicMedia" in moving.info["xmp"]
    assert said.startswith(f"made by a generative model; Software: {SOFTWARE}; ")
    assert f"generator_sha256: {DIGEST}; gan_lab.seed: 7; gan_lab.generator_licence: own words: " in said


def test_an_mp4(tmp_path, monkeypatch):
    """A stand-in for ffmpeg tells what it is called with."""
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text('#!/bin/sh\nfor last; do :; done\n/bin/cat >/dev/null\necho "$*" > "$last"\n')
    ffmpeg.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    animation.save(FRAMES, tmp_path / "a.mp4", fps=25, loop=True, mark=mark())
    assert f"-metadata comment={mark().comment()} -pix_fmt" in (tmp_path / "a.mp4").read_text()


def test_pictures_of_pictures_are_told_apart(tmp_path):
    save_png(FRAMES[0], tmp_path / "a.png", mark(of_picture=True).info())
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.text["Description"] == "made by a generative model, of a picture"
        assert b"/compositeWithTrainedAlgorithmicMedia" in picture.info["xmp"]
