"""LPIPS to targets, with a stand-in for LPIPS whose distances are worked by hand."""

import math

import pytest
import torch
from torch import nn
from translated import scored, translated

from gan_lab.metrics.lpips_target import LPIPSToTarget


class Brightness:
    """Difference of mean pixels, in [-1, 1]."""

    name = "brightness"

    def distances(self, first, second):
        assert first.dtype == second.dtype == torch.float32
        assert first.shape[1] == second.shape[1] == 3
        return (first - second).mean(dim=(1, 2, 3)).abs()

    def distance_maps(self, first, second):
        return (first - second).mean(dim=1, keepdim=True).abs()


def plain(levels: list[int], channels: int = 1) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, channels, 2, 2)


def made(of: str = "output", region: str = "whole") -> LPIPSToTarget:
    return LPIPSToTarget(of=of, region=region, extractor="brightness")


@pytest.mark.parametrize("channels", [1, 3])
def test_by_hand(channels):
    # Levels 0 and 255 are -1 and 1, at distance 2; 51 is one fifth of the way.
    block = translated(plain([0, 255, 7], channels), plain([255, 204, 0], channels), count=2, extractor=Brightness())
    metric = made()
    assert scored(metric, block) == pytest.approx({"": 1.2, "_worst": 2}, abs=1e-6)
    assert metric.per_picture().tolist() == pytest.approx([2, 0.4], abs=1e-6)
    assert metric.per_picture().dtype == torch.float64


def test_of_the_source():
    block = translated(plain([0], 3), plain([255], 3), sources=plain([204], 1), extractor=Brightness())
    metric = made("source")
    assert scored(metric, block) == pytest.approx({"": 0.4, "_worst": 0.4}, abs=1e-6)
    assert metric.name == "lpips_target_copy"


def test_of_a_hole_by_hand():
    # Distances of 2, 2, 0.4 and 0.4 of the first picture's pixels, a hole in two; the second has none.
    output = torch.tensor([[0, 0], [204, 204]], dtype=torch.uint8).expand(2, 1, 2, 2)
    masks = torch.tensor([[[True, False], [True, False]], [[False, False], [False, False]]])[:, None]
    block = translated(output, plain([255, 255]), masks=masks, extractor=Brightness())
    metric = made(region="hole")
    assert metric.name == "lpips_target_hole"
    assert scored(metric, block) == pytest.approx({"": 1.2, "_worst": 1.2, "_left_out": 1}, abs=1e-6)
    masks[0, 0, 1] = False
    assert scored(made(region="hole"), block)[""] == pytest.approx(2, abs=1e-6)
    assert scored(made(region="known"), block)["_worst"] == pytest.approx(1.2, abs=1e-6)
    assert made(region="hole").protocol().keys() - made().protocol().keys() == {"in_region"}


def test_refusals():
    block = translated(plain([0]), plain([255]), extractor=nn.Identity())
    with pytest.raises(ValueError, match="an extractor with distances, such as lpips, got None"):
        made().probe(block)
    with pytest.raises(ValueError, match="with distance_maps, such as lpips, got None; or take region=whole"):
        made(region="hole").probe(block)
    metric = made()
    metric.update(torch.tensor([math.nan, 1.0]))
    with pytest.raises(ValueError, match="1 of 2 rows of values of pictures hold NaN"):
        metric.compute()
