"""One picture of any size through a translator: padded and cut back, in tiles without seams, around a hole alone."""

import numpy as np
import pytest
import torch
from hand_translators import NEGATIVE, RESNET, UNET, write_translator

from gan_lab.runs.checkpoint import load_generator
from gan_lab.sampling import SourceInputs
from gan_lab.translation.applying import Translating, _mirrored

INSTANCE = RESNET | {"normalization": "instance_plain"}


def translating(tmp_path, network=NEGATIVE, *, tile=True, tile_size=24, megapixels=4.0, masked=False, **shapes):
    path = write_translator(tmp_path / "g.safetensors", network, masked=masked, **shapes)
    loaded = load_generator(path, "live", trust=["hand_translators"])
    fill = 127 if masked else None
    return Translating(loaded, seed=0, tile=tile, tile_size=tile_size, max_megapixels=megapixels, fill=fill)


def picture(height, width, channels=3):
    return np.random.default_rng(0).integers(256, size=(height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (16, 24), (37, 61)])
def test_any_size_comes_back_as_large(size, tmp_path):
    source = picture(*size)
    assert np.array_equal(translating(tmp_path)(source), 255 - source)


def test_an_enlarging_network(tmp_path):
    source = picture(21, 10)
    for megapixels in (4.0, 1e-6):
        made = translating(tmp_path, factor=2, megapixels=megapixels)(source)
        assert np.array_equal(made, 255 - source.repeat(2, 0).repeat(2, 1))


def test_channels_of_source_and_sample_may_differ(tmp_path):
    assert translating(tmp_path, channels=(1, 3))(picture(20, 20, 1)).shape == (20, 20, 3)
    assert translating(tmp_path, channels=(3, 1))(picture(20, 20, 3)).shape == (20, 20, 1)
    with pytest.raises(ValueError, match="makes pictures of 3 channels from 2, and files have 1, 3 or 4"):
        translating(tmp_path, channels=(2, 3))


def test_mirrored_as_numpy_pads():
    for side, length in ((1, 4), (2, 9), (5, 5), (5, 23)):
        row = np.arange(side)
        assert np.array_equal(row[_mirrored(range(length), side)], np.pad(row, (0, length - side), mode="reflect"))


@pytest.mark.parametrize("network", [RESNET, UNET, RESNET | {"upsampling": "blur", "normalization": "batch"}])
@pytest.mark.parametrize("masked", [False, True])
def test_tiles_make_what_the_whole_does(network, masked, tmp_path):
    source = picture(101, 143)
    hole = (np.add.outer(np.arange(101), np.arange(143)) % 3 == 0) if masked else None
    whole = translating(tmp_path, network, masked=masked)
    tiled = translating(tmp_path, network, masked=masked, megapixels=1e-6)
    parts = list(tiled.plan(101, 143, None))
    assert len(parts) == 5 * 6
    assert max(seen.pixels() for _, seen in parts) < 101 * 143
    differences = abs(whole(source, hole).astype(int) - tiled(source, hole))
    # Sums in another order: a level where a value lies on the border between two, and nothing that could be seen.
    assert differences.max() <= 1
    assert differences.mean() < 1e-3


def test_tiles_overlap_by_no_less_than_it_takes(tmp_path):
    tiled = translating(tmp_path, RESNET | {"blocks": 4}, megapixels=1e-6)
    source, whole = picture(96, 96), translating(tmp_path, RESNET | {"blocks": 4})
    tiled.overlap = 0
    assert abs(whole(source).astype(int) - tiled(source)).max() > 10


@pytest.mark.parametrize(
    ("network", "tile", "why"),
    [
        (INSTANCE, True, r"the network cannot be given tiles: down\.2 \(InstanceNorm2d\) sees the whole picture"),
        (RESNET, False, "tile=off"),
    ],
)
def test_a_picture_that_is_too_large_is_refused_with_the_reason(network, tile, why, tmp_path):
    limited = translating(tmp_path, network, tile=tile, megapixels=0.002)
    assert limited(picture(40, 50)).shape == (40, 50, 3)
    with pytest.raises(ValueError, match=f"53x40 pixels are more than max_megapixels=0.002.* since {why}; raise max_"):
        limited(picture(40, 53))


def test_known_pixels_are_the_source_s_own(tmp_path):
    source, hole = picture(30, 41), np.zeros((30, 41), dtype=bool)
    hole[5:9, 20:33] = True
    made = translating(tmp_path, masked=True)(source, hole)
    assert np.array_equal(made[~hole], source[~hole])
    assert (made[hole] == 255 - 127).all(), "of the level that holes had in training"
    assert np.array_equal(translating(tmp_path, masked=True)(source, hole & False), source)


def test_a_small_hole_in_a_large_picture_is_seen_with_what_is_around_it(tmp_path):
    source, hole = picture(200, 300), np.zeros((200, 300), dtype=bool)
    hole[100:103, 290:300] = True
    limited = translating(tmp_path, INSTANCE, masked=True, megapixels=0.01)
    [(core, seen)] = limited.plan(200, 300, hole)
    assert core == (range(100, 103), range(290, 300))
    assert seen == (range(84, 120), range(272, 300)), "16 pixels, the size of training, to multiples of 4"
    made = limited(source, hole)
    assert np.array_equal(made[~hole], source[~hole])
    assert (made[hole] != source[hole]).any()
    hole[0, 0] = True
    with pytest.raises(ValueError, match=r"its hole with what is around it has 0\.0 megapixels, since the network"):
        limited(source, hole)


def test_tiles_without_a_hole_are_not_made(tmp_path):
    hole = np.zeros((200, 300), dtype=bool)
    hole[100:103, 290:300] = True
    limited = translating(tmp_path, RESNET, masked=True, megapixels=0.01)
    assert [core for core, _ in limited.plan(200, 300, hole)] == [(range(96, 120), range(288, 300))]


def test_latents_are_the_same_in_each_picture_and_forbid_tiles(tmp_path, monkeypatch):
    def example(inputs, draws, count):
        return {"condition": torch.zeros(count, 3, 16, 16), "latents": draws.normal("latents", count, (1,))}

    class Lighter(type(translating(tmp_path).network)):
        def forward(self, condition, mask=None, *, latents):
            return super().forward(condition, mask) + latents[:, :, None, None]

    monkeypatch.setattr(SourceInputs, "example", example)
    lighter = translating(tmp_path)
    lighter.network.__class__ = Lighter
    first = lighter(picture(20, 20))
    assert np.array_equal(lighter(picture(20, 20)), first)
    assert not np.array_equal(first, 255 - picture(20, 20))
    assert lighter.overlap == "its latents decide on the whole picture"


def test_values_that_are_not_finite_are_an_error(tmp_path):
    broken = translating(tmp_path)
    broken.network.scale.fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN or infinite: the generator has diverged"):
        broken(picture(16, 16))


def test_a_network_that_takes_its_own_size_alone_says_how_to_bring_pictures_to_it(tmp_path):
    of_one_size = translating(tmp_path)
    of_one_size.network.own_size_alone = True
    assert np.array_equal(of_one_size(picture(16, 16)), 255 - picture(16, 16))
    with pytest.raises(ValueError, match="24x16 pixels, and the network takes 16x16 alone; set size=train"):
        of_one_size(picture(16, 24))
