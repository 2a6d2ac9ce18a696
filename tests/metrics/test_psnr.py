"""PSNR: by hand, by torchmetrics, of regions, without a border, of luma, and of equal pictures."""

import math

import pytest
import torch
from torchmetrics.image import PeakSignalNoiseRatio
from translated import random_pictures, scored, translated

from gan_lab.metrics.psnr import PeakSignalToNoise, peak_signal_to_noise

PLAIN = {"of": "output", "region": "whole", "channel": "rgb", "border": 0}


def made(**changes) -> PeakSignalToNoise:
    return PeakSignalToNoise(**PLAIN | changes)


def levels(*rows: list[list[int]]) -> torch.Tensor:
    """Grey pictures of these rows of pixels: (B, 1, H, W)."""
    return torch.tensor(rows, dtype=torch.uint8)[:, None]


def test_by_hand():
    # 51 is a fifth: errors of 0.2 have -10 log10 0.04 = 13.979 dB, and in one of four pixels 6.021 dB more.
    output, target = levels([[51, 51], [51, 51]], [[0, 51], [0, 0]]), levels([[0, 0], [0, 0]], [[0, 0], [0, 0]])
    first, second = 20 * math.log10(5), 20 * math.log10(5) + 20 * math.log10(2)
    result = scored(made(), translated(output, target))
    assert result == pytest.approx({"": (first + second) / 2, "_worst": first, "_identical": 0}, rel=1e-12)
    assert result[""] != pytest.approx(-10 * math.log10((0.04 + 0.01) / 2), abs=0.1), "not that of the mean error"


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_torchmetrics(channels):
    output, target = random_pictures(7, channels, 9, 13, seed=0), random_pictures(7, channels, 9, 13, seed=1)
    oracle = PeakSignalNoiseRatio(data_range=1.0, reduction="none", dim=(1, 2, 3)).set_dtype(torch.float64)
    expected = oracle(output.double() / 255, target.double() / 255)
    metric = made()
    result = scored(metric, translated(output[:4], target[:4]), translated(output[4:], target[4:]))
    assert metric.per_picture().tolist() == pytest.approx(expected.tolist(), rel=1e-7)  # its log 10 is float32
    assert result[""] == pytest.approx(expected.mean().item(), rel=1e-7)
    assert result["_worst"] == pytest.approx(expected.min().item(), rel=1e-7)


def test_equal_pictures_have_100_and_none_has_more():
    output = random_pictures(3, 1, 4, 4, seed=0)
    target = output.clone()
    target[2] = output[2] ^ 255
    result = scored(made(), translated(output, target))
    other = scored(made(), translated(output[2:], target[2:]))[""]
    assert result == pytest.approx({"": (100 + 100 + other) / 3, "_worst": other, "_identical": 200 / 3}, rel=1e-12)
    errors = torch.tensor([0.0, 1e-12, 1e-10, 1e-9, math.nan], dtype=torch.float64)
    assert peak_signal_to_noise(errors).tolist() == pytest.approx([100, 100, 100, 90, math.nan], nan_ok=True)


def test_regions_by_hand():
    target = levels([[0, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]])
    output = levels([[51, 102], [0, 255]], [[51, 51], [51, 51]], [[255, 255], [255, 255]])
    masks = torch.tensor([[[1, 1], [0, 0]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]], dtype=torch.bool)[:, None]
    block = translated(output, target, masks=masks)
    # The first picture has errors of 0.2 and 0.4 in its hole, 0 and 1 elsewhere; the second has no hole, the third no
    # rest.
    metric = made(region="hole")
    first = -10 * math.log10((0.04 + 0.16) / 2)
    assert scored(metric, block) == pytest.approx(
        {"": (first + 0) / 2, "_worst": 0, "_left_out": 1, "_identical": 0}, abs=1e-12
    )
    assert metric.per_picture().tolist() == pytest.approx([first, math.nan, 0], nan_ok=True, abs=1e-12)
    known = scored(made(region="known"), block)
    first, second = -10 * math.log10(0.5), -10 * math.log10(0.04)
    assert known == pytest.approx(
        {"": (first + second) / 2, "_worst": first, "_left_out": 1, "_identical": 0}, rel=1e-12
    )


def test_equal_pictures_are_counted_among_those_with_a_hole():
    picture = random_pictures(4, 3, 2, 2, seed=0)
    masks = torch.zeros(4, 1, 2, 2, dtype=torch.bool)
    masks[:2, :, 0] = True
    output = picture.clone()
    output[1, :, 0] ^= 255
    output[:, :, 1] ^= 255
    result = scored(made(region="hole"), translated(output, picture, masks=masks))
    assert (result["_identical"], result["_left_out"]) == (50, 2)


def test_the_border_is_cut():
    output, target = random_pictures(2, 3, 9, 8, seed=0), random_pictures(2, 3, 9, 8, seed=1)
    inner = translated(output[..., 3:6, 3:5].contiguous(), target[..., 3:6, 3:5].contiguous())
    assert scored(made(border=3), translated(output, target)) == scored(made(), inner)
    masks = torch.rand(2, 1, 9, 8, generator=torch.Generator().manual_seed(2)) < 0.5
    inner.masks = masks[..., 3:6, 3:5]
    whole = translated(output, target, masks=masks)
    assert scored(made(border=3, region="hole"), whole) == scored(made(region="hole"), inner)


def test_luma_by_hand():
    # BT.601: white is 235, black 16, red 16 + 65.481, of 255.
    output = torch.tensor([[255, 255, 255], [255, 0, 0]], dtype=torch.uint8)[:, :, None, None]
    target = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)
    metric = made(channel="y")
    scored(metric, translated(output, target))
    expected = [-20 * math.log10(219 / 255), -20 * math.log10(65.481 / 255)]
    assert metric.per_picture().tolist() == pytest.approx(expected, rel=1e-12)
