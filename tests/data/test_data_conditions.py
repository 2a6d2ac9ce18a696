"""What each kind of condition makes of small images worked by hand, and that the batch has no part in it."""

import io
import json
import re

import numpy as np
import pytest
import torch
from conftest import ROOT
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from scipy import ndimage

from gan_lab.data.conditions import JPEG, Downsampled, Grey, Inverted, Masked, Noisy, Outline
from gan_lab.data.masks import Box, Half, Masks, Strokes


def centre_hole(fill=127, vary=False):
    box = Box(size=0.5, place="centre")
    return Masked(masks=Masks(laws={"box": box}, least_share=0.1, most_share=0.4, seed=0), fill=fill, vary=vary)


def stroked(vary, seed=0):
    law = Strokes(count=[1, 3], pieces=[2, 5], length=[0.1, 0.4], width=[0.06, 0.2], turn=60)
    return Masked(masks=Masks(laws={"strokes": law}, least_share=0.05, most_share=0.6, seed=seed), fill=0, vary=vary)


FILES = sorted((ROOT / "conf" / "condition").glob("*.yaml"))
# Others name another, or another set; for files of masks see test_data_mask_files.py.
CHOICES = [path for path in FILES if "condition" in OmegaConf.load(path) and path.stem != "masked_files"]
KINDS = {
    "grey": Grey(),
    "inverted": Inverted(),
    "downsampled": Downsampled(factor=2),
    "noisy": Noisy(std=25, seed=0),
    "jpeg": JPEG(quality=[10, 60], seed=0),
    "outline": Outline(),
    "masked": stroked(vary=True),
}
DRAWN = {
    "noisy": lambda seed: Noisy(std=25, seed=seed),
    "jpeg": lambda seed: JPEG(quality=[10, 60], seed=seed),
    "masked": lambda seed: stroked(vary=True, seed=seed),
}


def photographs(count=6, channels=3, size=16):
    """Smooth colours with some noise: (count, channels, size, size) uint8."""
    random = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(random.normal(size=(count, channels, size, size)), (0, 0, 3, 3))
    images = 127 + 600 * smooth + random.normal(0, 8, smooth.shape)
    return torch.from_numpy(images.clip(0, 255).astype(np.uint8))


def one(condition, image):
    """What is made of one image of shape (C, H, W), as nested lists."""
    images = torch.tensor([image], dtype=torch.uint8)
    return condition.make(images, torch.tensor([0]))["condition"][0].tolist()


def as_pillow(image):
    return Image.fromarray(image.permute(1, 2, 0).numpy() if len(image) == 3 else image[0].numpy())


@pytest.mark.parametrize("name", KINDS)
def test_a_sample_is_the_same_in_any_batch_and_with_any_number_of_threads(name):
    kind, images = KINDS[name], photographs()
    index, passes = torch.tensor([5, 0, 7, 7, 2**33, 3]), torch.tensor([0, 1, 2, 3, 0, 100])
    assert torch.get_num_threads() == 1
    made = kind.make(images, index, passes)
    assert made.keys() == ({"condition", "mask"} if kind.masked else {"condition"})
    shape = kind.shape(images.shape[1:])
    assert made["condition"].shape == (len(images), *shape)
    assert made["condition"].dtype == torch.uint8
    chosen = torch.tensor([4, 1])
    torch.set_num_threads(3)
    try:
        again = kind.make(images, index, passes)
    finally:
        torch.set_num_threads(1)
    for key, whole in made.items():
        assert torch.equal(again[key], whole)
        part = kind.make(images[chosen], index[chosen], passes[chosen])[key]
        assert torch.equal(part, whole[chosen])
        alone = [kind.make(images[n : n + 1], index[n : n + 1], passes[n : n + 1])[key] for n in range(len(images))]
        assert torch.equal(torch.cat(alone), whole)
    assert images.equal(photographs()), "the targets stay as they were"


@pytest.mark.parametrize("path", CHOICES, ids=lambda path: path.stem)
def test_every_choice_makes_conditions_of_any_usual_size(path):
    stated = OmegaConf.load(path)
    kind = instantiate(stated.condition, _convert_="all")
    assert stated.masked == kind.masked
    channels = kind.channels[-1]
    for size in (16, 28, 32, 64):
        images = photographs(4, channels, size)
        made = kind.make(images, torch.arange(4), torch.arange(4))
        assert made["condition"].shape == (4, *kind.shape((channels, size, size)))
        assert ("mask" in made) == kind.masked == path.stem.startswith("masked_")
    if kind.masked:
        assert path.stem in (f"masked_{name}" for name in (*kind.masks.laws, "centre", "mixed"))
    else:
        assert path.stem == kind.name


@pytest.mark.parametrize("name", KINDS)
def test_layout_in_memory_is_nothing(name):
    images, index = photographs(), torch.arange(6)
    for key, plain in KINDS[name].make(images, index).items():
        strided = KINDS[name].make(images.contiguous(memory_format=torch.channels_last), index)[key]
        assert torch.equal(strided, plain)


@pytest.mark.parametrize("name", DRAWN)
def test_seed_index_and_pass_decide_what_is_drawn(name):
    images = photographs(1).expand(4, -1, -1, -1)
    kind = DRAWN[name](0)

    def made(of, index, passes):
        return list(of.make(images, torch.tensor(index), None if passes is None else torch.tensor(passes))["condition"])

    in_training = made(kind, [1, 1, 2, 1], [0, 1, 0, 0])
    in_evaluation = made(kind, [1, 1, 2, 3], None)
    other_seed = made(DRAWN[name](1), [1, 1, 2, 1], [0, 1, 0, 0])
    assert in_training[0].equal(in_training[3])
    assert in_evaluation[0].equal(in_evaluation[1])
    different = [*in_training[:3], *in_evaluation[1:], *other_seed[:3]]
    assert len({image.numpy().tobytes() for image in different}) == len(different)


def test_grey_by_hand():
    # 0.299 * 100 + 0.587 * 150 + 0.114 * 200 = 140.75; pure colours: 76.245, 149.685, 29.07
    image = [[[100, 255, 0, 0, 255, 7]], [[150, 0, 255, 0, 255, 7]], [[200, 0, 0, 255, 255, 7]]]
    assert one(Grey(), image) == [[[141, 76, 150, 29, 255, 7]]]


def test_grey_is_what_pillow_makes_of_it():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64), dtype=np.uint8))
    ours = Grey().make(images, torch.arange(4))["condition"]
    theirs = np.stack([np.array(as_pillow(image).convert("L")) for image in images])[:, None]
    difference = np.abs(ours.numpy().astype(int) - theirs)
    assert difference.max() <= 1
    assert difference.mean() < 0.01, "beside rounding, the same"


def test_inverted_by_hand():
    assert one(Inverted(), [[[0, 1, 127, 128, 255]]]) == [[[255, 254, 128, 127, 0]]]


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_downsampled_is_what_pillow_makes_of_it(factor, channels):
    size = (32 // factor, 32 // factor)
    images = photographs(8, channels, 32)
    ours = Downsampled(factor=factor).make(images, torch.arange(8))["condition"]
    # Pillow cuts 8 bits off between columns and rows too, where they overshoot; it does not so in floating point.
    planes = [Image.fromarray(plane.float().numpy()) for plane in images.flatten(0, 1)]
    theirs = np.stack([np.array(plane.resize(size, Image.Resampling.BICUBIC)) for plane in planes])
    theirs = torch.from_numpy(theirs.round().clip(0, 255)).view(8, channels, *size)
    difference = (ours.int() - theirs.int()).abs()
    assert difference.max() <= 1
    assert difference.double().mean() < 0.001
    pale = images // 2 + 64  # where nothing overshoots
    ours = Downsampled(factor=factor).make(pale, torch.arange(8))["condition"]
    pictures = [as_pillow(image).resize(size, Image.Resampling.BICUBIC) for image in pale]
    theirs = torch.from_numpy(np.stack([np.array(picture) for picture in pictures])).view(8, *size, channels)
    assert (ours.int() - theirs.permute(0, 3, 1, 2).int()).abs().max() <= 1


def test_downsampled_by_hand():
    flat = torch.full((1, 1, 8, 8), 200, dtype=torch.uint8)
    assert Downsampled(factor=4).make(flat, torch.tensor([0]))["condition"].tolist() == [[[[200, 200], [200, 200]]]]
    edge = torch.zeros(1, 1, 8, 16, dtype=torch.uint8)
    edge[..., 8:] = 255
    row = Downsampled(factor=2).make(edge, torch.tensor([0]))["condition"][0, 0, 1].tolist()
    assert row[:2] == [0, 0]
    assert row[-2:] == [255, 255]
    assert row[3] + row[4] == 255, "the same on both sides of an edge; what overshoots is cut off"


def test_noise_has_its_deviation_and_stays_within_the_levels():
    grey = torch.full((50, 3, 32, 32), 128, dtype=torch.uint8)
    noise = Noisy(std=10, seed=0).make(grey, torch.arange(50))["condition"].double() - 128
    count = noise.numel()
    assert noise.mean().abs() < 4 * 10 / count**0.5
    assert noise.std() == pytest.approx((10**2 + 1 / 12) ** 0.5, rel=4 / (2 * count) ** 0.5)
    channels = noise.transpose(0, 1).flatten(1)
    assert torch.corrcoef(channels).fill_diagonal_(0).abs().max() < 0.02, "of each value by itself"
    white = Noisy(std=10, seed=0).make(torch.full_like(grey, 255), torch.arange(50))["condition"]
    assert torch.equal(white, (255 + noise).clamp(0, 255).to(torch.uint8)), "clamped, not wrapped around"


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_pillow_writes(channels):
    images = photographs(3, channels)
    ours = JPEG(quality=30, seed=0).make(images, torch.arange(3))["condition"]
    for image, compressed in zip(images, ours, strict=True):
        file = io.BytesIO()
        as_pillow(image).save(file, "JPEG", quality=30, subsampling=2)
        again = Image.open(io.BytesIO(file.getvalue()))
        assert compressed.equal(torch.from_numpy(np.array(again)).view(16, 16, channels).permute(2, 0, 1))
        assert not compressed.equal(image)


def test_jpeg_draws_its_quality_from_the_whole_range():
    image = photographs(1, 1)
    made = JPEG(quality=[20, 22], seed=0).make(image.expand(40, -1, -1, -1), torch.arange(40))["condition"]
    fixed = [JPEG(quality=quality, seed=0).make(image, torch.tensor([0]))["condition"][0] for quality in (20, 21, 22)]
    counts = [sum(bool(one.equal(each)) for each in made) for one in fixed]
    assert sum(counts) == 40
    assert min(counts) > 4


def test_outline_by_hand():
    stroke = [[[0, 0, 0, 0, 0, 0, 0], *[[0, 0, 200, 200, 200, 0, 0]] * 4]]
    contour = [
        [
            [0, 200, 200, 200, 200, 200, 0],
            [0, 200, 200, 200, 200, 200, 0],
            *[[0, 200, 200, 0, 200, 200, 0]] * 3,  # beyond the lower edge nothing is known, so there is no contour
        ]
    ]
    assert one(Outline(), stroke) == contour
    dark_on_light = (255 - torch.tensor(stroke)).tolist()
    assert one(Outline(), dark_on_light) == contour


def test_outline_of_colours_is_that_of_their_luma():
    images = photographs()
    index = torch.arange(len(images))
    ours = Outline().make(images, index)["condition"]
    grey = Grey().make(images, index)["condition"]
    assert ours.equal(Outline().make(grey, index)["condition"])
    theirs = [ndimage.morphological_gradient(image[0].numpy(), size=(3, 3), mode="nearest") for image in grey]
    assert ours[:, 0].equal(torch.from_numpy(np.stack(theirs)))


def test_masked_by_hand():
    images = torch.arange(1, 33, dtype=torch.uint8).view(1, 2, 4, 4)
    made = centre_hole(fill=9).make(images, torch.tensor([0]))
    assert made["mask"].tolist() == [
        [[[False] * 4, [False, True, True, False], [False, True, True, False], [False] * 4]]
    ]
    assert made["condition"][0].tolist() == [
        [[1, 2, 3, 4], [5, 9, 9, 8], [9, 9, 9, 12], [13, 14, 15, 16]],
        [[17, 18, 19, 20], [21, 9, 9, 24], [25, 9, 9, 28], [29, 30, 31, 32]],
    ]


def test_holes_that_do_not_vary_are_those_of_evaluation():
    images, index = photographs(), torch.arange(6)
    passes = torch.tensor([0, 1, 2, 3, 4, 5])
    of_evaluation = stroked(vary=False).make(images, index)
    for key, expected in stroked(vary=False).make(images, index, passes).items():
        assert expected.equal(of_evaluation[key])
        assert stroked(vary=True).make(images, index)[key].equal(expected)
        assert not stroked(vary=True).make(images, index, passes)[key].equal(expected)


@pytest.mark.parametrize(
    ("name", "sample_shape", "expected"),
    [
        ("grey", (3, 16, 24), (1, 16, 24)),
        ("inverted", (1, 16, 24), (1, 16, 24)),
        ("downsampled", (3, 16, 24), (3, 8, 12)),
        ("noisy", (3, 16, 24), (3, 16, 24)),
        ("jpeg", (1, 16, 24), (1, 16, 24)),
        ("outline", (3, 16, 24), (1, 16, 24)),
        ("masked", (3, 16, 24), (3, 16, 24)),
    ],
)
def test_shapes(name, sample_shape, expected):
    assert KINDS[name].shape(sample_shape) == expected


@pytest.mark.parametrize("name", KINDS)
def test_samples_that_are_no_pictures_are_refused(name):
    with pytest.raises(ValueError, match=rf"data\.condition={name} is made of images .* data\.sample_shape is \[2\]"):
        KINDS[name].shape((2,))
    with pytest.raises(ValueError, match=rf"data\.condition={name} .* data\.sample_shape has 4"):
        KINDS[name].shape((4, 16, 16))


def test_shapes_that_a_kind_cannot_take_are_refused():
    with pytest.raises(ValueError, match=r"data\.condition=grey is made of images of 3 channels, .* has 1"):
        Grey().shape((1, 16, 16))
    with pytest.raises(ValueError, match=r"factor=4 does not divide data\.image_size=\[16,18\]"):
        Downsampled(factor=4).shape((3, 16, 18))
    left = Masks(laws={"half": Half(sides=["left"])}, least_share=0.1, most_share=0.2, seed=0)
    with pytest.raises(ValueError, match=r"laws\.half: holes in pictures of 16x16 take 0\.5 to 0\.5"):
        Masked(masks=left, fill=0, vary=True).shape((1, 16, 16))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Downsampled(factor=1), "data.condition.factor must be a whole number of at least 2, got 1"),
        (lambda: Downsampled(factor=2.5), "at least 2, got 2.5"),
        (lambda: Noisy(std=0, seed=0), "data.condition.std is in levels, more than 0 and at most 255, got 0"),
        (lambda: Noisy(std=300, seed=0), "got 300"),
        (lambda: Noisy(std=25, seed=-1), "data.condition.seed must be 0 or more, got -1"),
        (lambda: JPEG(quality=100, seed=0), "data.condition.quality must be a number from 1 to 95"),
        (lambda: JPEG(quality=[50, 20], seed=0), "got [50, 20]"),
        (lambda: JPEG(quality=[10.5, 20], seed=0), "data.condition.quality must be whole numbers, got [10.5, 20]"),
        (lambda: JPEG(quality=20, seed=2**64), "data.condition.seed must be at most"),
        (lambda: centre_hole(fill=256), "data.condition.fill must be a whole number from 0 to 255, got 256"),
        (lambda: centre_hole(fill=0.5), "data.condition.fill must be a whole number from 0 to 255, got 0.5"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_protocols_are_plain_and_tell_kinds_and_settings_apart():
    others = [
        Downsampled(factor=4),
        Noisy(std=24, seed=0),
        Noisy(std=25, seed=1),
        JPEG(quality=[10, 61], seed=0),
        JPEG(quality=[10, 60], seed=1),
        stroked(vary=True, seed=1),
        centre_hole(),
        centre_hole(fill=0),
    ]
    protocols = [kind.protocol() for kind in (*KINDS.values(), *others)]
    texts = {json.dumps(protocol, sort_keys=True) for protocol in protocols}
    assert len(texts) == len(protocols)
    assert [protocol["condition"] for protocol in protocols[:7]] == list(KINDS)
    assert all(json.loads(json.dumps(protocol)) == protocol for protocol in protocols)
    assert centre_hole(vary=True).protocol() == centre_hole(vary=False).protocol(), "evaluation is the same"
