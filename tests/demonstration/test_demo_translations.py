"""What a page asks of a translator: the picture that it makes of a file, of any size, and of a hole that was drawn."""

import io

import numpy as np
import pytest
from hand_translators import NEGATIVE, write_translator
from PIL import Image

from gan_lab.demonstration.translations import Parts, Translations
from gan_lab.runs.checkpoint import load_generator

COLOURS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def session(folder, *, fill=None, max_megapixels=1.0, **given) -> Translations:
    file = write_translator(folder / "g.safetensors", NEGATIVE, **given)
    loaded = load_generator(file, trust=["hand_translators"])
    return Translations(loaded, fill=fill, parts=Parts(512, max_megapixels))


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    return content.getvalue()


def test_a_picture_of_any_size(tmp_path):
    made, remarks = session(tmp_path).made(png(COLOURS), None, 0)
    assert np.array_equal(np.asarray(made), 255 - COLOURS)
    assert remarks == []


def test_what_is_drawn_is_filled_and_the_rest_is_unchanged(tmp_path):
    """The hole is drawn on a page's picture of half the size; there its soft edge counts, too."""
    asking = session(tmp_path, masked=True)
    assert asking.masked
    drawn = np.zeros((10, 15), dtype=np.uint8)
    drawn[2:5, 4:9] = 255
    drawn[5, 4] = 1
    made, _ = asking.made(png(COLOURS), drawn, 0)
    hole = drawn.repeat(2, axis=0).repeat(2, axis=1) > 0
    assert (np.asarray(made)[hole] == 128).all(), "the negative of the fill of training, 127"
    assert np.array_equal(np.asarray(made)[~hole], COLOURS[~hole])
    lighter, _ = session(tmp_path, masked=True, fill=55).made(png(COLOURS), drawn, 0)
    assert (np.asarray(lighter)[hole] == 200).all()


def test_a_transparent_hole_is_filled_where_nothing_is_drawn(tmp_path):
    alpha = np.full((20, 30, 1), 255, dtype=np.uint8)
    alpha[4:8, 6:9] = 0
    made, _ = session(tmp_path, masked=True).made(png(np.dstack([COLOURS, alpha])), np.zeros((20, 30), np.uint8), 0)
    pixels = np.asarray(made)
    assert (pixels[4:8, 6:9] == (128, 128, 128, 255)).all()
    known = alpha[..., 0] == 255
    assert np.array_equal(pixels[known][:, :3], COLOURS[known])


def test_what_is_drawn_on_is_all_of_the_picture(tmp_path):
    asking = session(tmp_path, masked=True)
    assert asking.drawn_on(png(np.zeros((100, 3000, 3), np.uint8))).size == (768, 26)
    assert asking.drawn_on(png(COLOURS)).size == (30, 20)


@pytest.mark.parametrize(
    ("content", "drawn", "said"),
    [
        (b"no picture", None, "image"),
        (png(COLOURS), None, "there is no hole: draw over"),
        (png(np.zeros((40, 40, 3), np.uint8)), np.ones((40, 40), np.uint8), "more than max_megapixels=0.001"),
    ],
)
def test_what_is_refused(content, drawn, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        session(tmp_path, masked=True, max_megapixels=0.001).made(content, drawn, 0)


def test_settings_that_do_not_suit_the_network(tmp_path):
    with pytest.raises(ValueError, match="fill=3 is of holes, and this network is given none"):
        session(tmp_path, fill=3)
