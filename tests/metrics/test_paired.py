"""What metrics against targets share: the do-nothing picture, names, protocols, pictures that do not suit."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from translated import random_pictures, scored, translated

from gan_lab.data.images import unchanged
from gan_lab.metrics.l1 import MeanAbsoluteError
from gan_lab.metrics.lpips_target import LPIPSToTarget
from gan_lab.metrics.paired import luma, mean_filled
from gan_lab.metrics.psnr import PeakSignalToNoise
from gan_lab.metrics.ssim import StructuralSimilarity

PLAIN = {"of": "output", "region": "whole", "channel": "rgb", "border": 0}


def psnr(**changes) -> PeakSignalToNoise:
    return PeakSignalToNoise(**PLAIN | changes)


# Doing nothing --------------------------------------------------------------------------------------------------------


def test_a_source_of_the_targets_size_is_the_picture():
    colour, grey = random_pictures(2, 3, 4, 5, seed=0), random_pictures(2, 1, 4, 5, seed=1)
    assert torch.equal(unchanged(colour, (3, 4, 5)), colour)
    assert torch.equal(unchanged(grey, (3, 4, 5)), grey.repeat(1, 3, 1, 1))


def cubic(x: float, a: float = -0.75) -> float:
    """Keys' kernel (1981)."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def test_a_smaller_source_is_enlarged_by_the_cubic_kernel():
    source = random_pictures(1, 1, 4, 6, seed=0)

    def along(length: int, wanted: int) -> np.ndarray:
        """(wanted, length) weights; pixels beyond the edge are those at the edge."""
        weights = np.zeros((wanted, length))
        for row in range(wanted):
            place = (row + 0.5) * length / wanted - 0.5
            for pixel in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
                weights[row, min(max(pixel, 0), length - 1)] += cubic(place - pixel)
        return weights

    expected = along(4, 8) @ source[0, 0].double().numpy() @ along(6, 18).T
    found = unchanged(source, (3, 8, 18))
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found[0, 2].numpy(), np.rint(expected).clip(0, 255))
    assert len(found.unique(dim=1)[0]) == 1, "grey is repeated"


def test_enlarging_overshoots_and_is_clamped():
    source = torch.tensor([0, 0, 255, 255], dtype=torch.uint8).view(1, 1, 1, 4).repeat(1, 1, 4, 1)
    raw = interpolate(source.double(), size=(8, 8), mode="bicubic")
    assert (raw.min() < -1, raw.max() > 256) == (True, True)
    found = unchanged(source, (1, 8, 8))
    assert (found.min(), found.max()) == (0, 255)
    # Pillow's kernel has a = -0.5: another picture.
    other = np.asarray(Image.fromarray(source[0, 0].numpy()).resize((8, 8), Image.Resampling.BICUBIC))
    assert (found[0, 0].numpy() != other).any()


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ((3, 8, 8), (1, 8, 8), "a source of 3 channels is no picture of 1"),
        ((4, 8, 8), (3, 8, 8), "a source of 4 channels is no picture of 3"),
        ((3, 16, 8), (3, 8, 8), "sources of 16x8 pixels are larger than their targets of 8x8"),
        ((1, 4, 9), (3, 8, 8), "sources of 4x9 pixels are larger than their targets of 8x8"),
    ],
)
def test_where_there_is_no_copy(source, target, reason):
    block = translated(
        random_pictures(2, *target, seed=0),
        random_pictures(2, *target, seed=1),
        sources=random_pictures(2, *source, seed=2),
    )
    with pytest.raises(ValueError, match=re.escape(f"of=source: {reason}")):
        psnr(of="source").probe(block)


@pytest.mark.parametrize(
    "made",
    [
        lambda of: PeakSignalToNoise(**PLAIN | {"of": of}),
        lambda of: StructuralSimilarity(of=of, channel="rgb", border=0),
        lambda of: MeanAbsoluteError(of=of, region="whole"),
    ],
)
def test_the_copy_is_scored_as_an_output_would_be(made):
    target, source = random_pictures(3, 3, 16, 12, seed=0), random_pictures(3, 1, 8, 6, seed=1)
    other = random_pictures(3, 3, 16, 12, seed=2)
    copy = scored(made("source"), translated(other, target, sources=source))
    assert copy == scored(made("output"), translated(unchanged(source, (3, 16, 12)), target))
    assert copy != scored(made("output"), translated(other, target))
    assert made("source").name == made("output").name + "_copy"


def test_holes_filled_with_the_mean_by_hand():
    """Of each picture and channel: (10 + 20 + 33) / 3 = 21, and 128 where nothing is known."""
    source = torch.tensor([[[[10, 99], [20, 33]], [[200, 99], [200, 203]]]] * 2, dtype=torch.uint8)
    mask = torch.tensor([[[[False, True], [False, False]]], [[[True, True], [True, True]]]])
    assert mean_filled(source, mask)[0].tolist() == [[[10, 21], [20, 33]], [[200, 201], [200, 203]]]
    assert (mean_filled(source, mask)[1] == 128).all()
    target = torch.full_like(source, 51)
    metric = MeanAbsoluteError(of="mean_fill", region="hole")
    block = translated(random_pictures(2, 2, 2, 2, seed=0), target, sources=source, masks=mask)
    assert metric.name == "l1_hole_mean_fill"
    assert metric.probe_needs == ("targets", "sources", "masks")
    assert metric.probe(block).tolist() == pytest.approx([(30 + 150) / 2 / 255, 77 / 255])


# Names and protocols --------------------------------------------------------------------------------------------------


def test_names():
    assert psnr().name == "psnr"
    assert psnr(channel="y", border=4).name == "psnr_y_cut4px"
    assert psnr(region="hole", of="source").name == "psnr_hole_copy"
    assert StructuralSimilarity(of="source", channel="y", border=2).name == "ssim_y_cut2px_copy"
    assert LPIPSToTarget(of="output", extractor=None).name == "lpips_target"


def test_each_setting_changes_name_and_protocol():
    changes = [{}, {"of": "source"}, {"of": "mean_fill"}, {"region": "hole"}, {"region": "known"}, {"channel": "y"}]
    changes.append({"border": 1})
    metrics = [psnr(**change) for change in changes]
    assert len({metric.name for metric in metrics}) == len(metrics)
    protocols = [{k: v for k, v in metric.protocol().items() if k != "metric"} for metric in metrics]
    assert all(protocols.count(protocol) == 1 for protocol in protocols)


def test_what_is_needed():
    assert psnr().probe_needs == ("targets",)
    assert psnr(of="source").probe_needs == ("targets", "sources")
    assert psnr(of="source", region="known").probe_needs == ("targets", "sources", "masks")
    assert (psnr().higher_is_better, StructuralSimilarity.higher_is_better) == (True, True)
    assert (MeanAbsoluteError.higher_is_better, LPIPSToTarget.higher_is_better) == (False, False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"of": "target"}, "of must be one of output, source, mean_fill, got 'target'"),
        ({"region": "mask"}, "region must be one of whole, hole, known, got 'mask'"),
        ({"channel": "g"}, "channel must be one of rgb, y, got 'g'"),
        ({"border": -1}, "border must be 0 or more, got -1"),
    ],
)
def test_settings_out_of_range(change, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        psnr(**change)


# Pictures -------------------------------------------------------------------------------------------------------------


def test_only_pictures_that_count_are_scored():
    output, target = random_pictures(5, 1, 4, 4, seed=0), random_pictures(5, 1, 4, 4, seed=1)
    masks = random_pictures(5, 1, 4, 4, seed=2) > 99
    for region in ("whole", "hole"):
        metric, few = psnr(region=region), psnr(region=region)
        scored(metric, translated(output, target, masks=masks, count=3))
        scored(few, translated(output[:3], target[:3], masks=masks[:3]))
        assert torch.equal(metric.per_picture(), few.per_picture())
        assert metric.per_picture().shape == (3,)


def test_the_size_of_blocks_makes_no_difference_and_a_reset_forgets():
    output, target = random_pictures(6, 3, 12, 12, seed=0), random_pictures(6, 3, 12, 12, seed=1)
    for metric in (psnr(), StructuralSimilarity(of="output", channel="rgb", border=0)):
        whole = scored(metric, translated(output, target))
        rows = metric.per_picture()
        metric.reset()
        with pytest.raises(ValueError, match="needs at least 1 samples, got 0"):
            metric.per_picture()
        assert scored(metric, *(translated(output[i : i + 1], target[i : i + 1]) for i in range(6))) == whole
        assert torch.equal(metric.per_picture(), rows)
        assert rows.dtype == torch.float64


def test_luma_is_bt_601():
    # Red, green, blue, white, black, grey of 51, to MATLAB's rgb2ycbcr before rounding.
    colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [51, 51, 51]]
    pictures = torch.tensor(colours, dtype=torch.float64)[:, :, None, None] / 255
    expected = [81.481, 144.553, 40.966, 235, 16, 59.8]
    assert (255 * luma(pictures)).flatten().tolist() == pytest.approx(expected, rel=1e-12)


def test_values_by_share_of_the_hole():
    # Holes of 0, 1, 2, 2 and 4 of 4 pixels; a channel of an error each, 0.2 to 1 of the range.
    output = torch.tensor([51, 102, 153, 204, 255], dtype=torch.uint8).view(5, 1, 1, 1).repeat(1, 1, 2, 2)
    masks = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1]]).view(5, 1, 2, 2).bool()
    block = translated(output, torch.zeros_like(output), masks=masks)

    def by_share(shares, region="whole"):
        metric = MeanAbsoluteError(of="output", region=region, shares=shares)
        metric.update(metric.probe(block), block.hole_share)
        return {name: value for name, value in metric.compute().items() if "share" in name}

    expected = {"_share_0_25": 0.3, "_share_0_25_count": 2, "_share_25_50": 0.7, "_share_25_50_count": 2}
    assert by_share([0, 0.25, 0.5]) == pytest.approx(expected, rel=1e-12)
    empty = {"_share_10_20_count": 0, "_share_20_100": 0.7, "_share_20_100_count": 4}
    assert by_share([0.1, 0.2, 1]) == pytest.approx(empty, rel=1e-12)
    assert by_share([0, 0.25], "hole") == pytest.approx({"_share_0_25": 0.4, "_share_0_25_count": 1}, rel=1e-12)
    assert psnr(shares=None).protocol() == psnr().protocol()
    assert psnr(shares=[0, 1]).protocol() == psnr().protocol() | {"shares": [0, 1]}


@pytest.mark.parametrize("shares", [[0.1], [0, 0.5, 0.5], [0.5, 0.2], [-0.1, 1], [0, 1.5]])
def test_edges_that_do_not_rise(shares):
    with pytest.raises(ValueError, match=re.escape(f"[0, 0.2, 0.4, 1] for example, got {shares}; null leaves")):
        psnr(shares=shares)


@pytest.mark.parametrize(
    ("metric", "block", "reason"),
    [
        (
            psnr(),
            translated(random_pictures(2, 3, 4, 4, seed=0), random_pictures(2, 1, 4, 4, seed=0)),
            "the outputs are (3, 4, 4), their targets (1, 4, 4)",
        ),
        (
            psnr(border=2),
            translated(*2 * [random_pictures(2, 3, 6, 4, seed=0)]),
            "border=2 leaves nothing of 6x4 pixels",
        ),
        (
            psnr(channel="y"),
            translated(*2 * [random_pictures(2, 1, 4, 4, seed=0)]),
            "channel=y is the luma of RGB, and these pictures have 1 channels",
        ),
        (
            psnr(region="hole"),
            translated(*2 * [random_pictures(2, 3, 4, 4, seed=0)], masks=torch.ones(2, 3, 4, 4, dtype=torch.bool)),
            "masks are bool, (2, 1, 4, 4), got torch.bool, (2, 3, 4, 4)",
        ),
        (
            psnr(region="hole"),
            translated(*2 * [random_pictures(2, 3, 4, 4, seed=0)], masks=torch.ones(2, 1, 4, 4)),
            "masks are bool, (2, 1, 4, 4), got torch.float32, (2, 1, 4, 4)",
        ),
    ],
)
def test_pictures_that_do_not_suit(metric, block, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        metric.probe(block)
