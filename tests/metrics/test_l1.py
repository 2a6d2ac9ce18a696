"""Mean absolute error: by torchmetrics, and of regions by hand."""

import math

import pytest
import torch
from torchmetrics import MeanAbsoluteError as Oracle
from translated import random_pictures, scored, translated

from gan_lab.metrics.l1 import MeanAbsoluteError


def test_equals_torchmetrics():
    output, target = random_pictures(6, 3, 5, 7, seed=0), random_pictures(6, 3, 5, 7, seed=1)
    metric = MeanAbsoluteError(of="output", region="whole")
    result = scored(metric, translated(output[:4], target[:4]), translated(output[4:], target[4:]))
    assert result[""] == pytest.approx(Oracle()(output.double() / 255, target.double() / 255).item(), rel=1e-6)
    each = [Oracle()(a.double() / 255, b.double() / 255).item() for a, b in zip(output, target, strict=True)]
    assert metric.per_picture().tolist() == pytest.approx(each, rel=1e-6)
    assert result["_worst"] == pytest.approx(max(each), rel=1e-6)


def test_regions_by_hand():
    # Two channels of 2x1 pixels; the upper one is the hole of the first picture, the second picture has none.
    output = torch.tensor([[[51], [255]], [[102], [255]]], dtype=torch.uint8)[None].repeat(2, 1, 1, 1)
    block = translated(
        output, torch.zeros_like(output), masks=torch.tensor([[[[1], [0]]], [[[0], [0]]]], dtype=torch.bool)
    )
    hole, known = (MeanAbsoluteError(of="output", region=region) for region in ("hole", "known"))
    assert scored(hole, block) == pytest.approx({"": 0.3, "_worst": 0.3, "_left_out": 1}, rel=1e-12)
    assert hole.per_picture().tolist() == pytest.approx([0.3, math.nan], nan_ok=True)
    expected = {"": (1 + 0.65) / 2, "_worst": 1, "_left_out": 0}
    assert scored(known, block) == pytest.approx(expected, rel=1e-12)
    assert [hole.name, known.name] == ["l1_hole", "l1_known"]


def test_without_any_hole_there_is_no_value():
    output = random_pictures(3, 1, 2, 2, seed=0)
    for region, filled, there in (("hole", False, "a pixel in its hole"), ("known", True, "a known pixel")):
        block = translated(output, output, masks=torch.full((3, 1, 2, 2), filled))
        with pytest.raises(ValueError, match=f"none of 3 pictures has {there}: take region=whole"):
            scored(MeanAbsoluteError(of="output", region=region), block)
