"""SSIM: by hand on plain pictures, by torchmetrics within the picture, and with the paper's properties."""

import pytest
import torch
from torchmetrics.image import StructuralSimilarityIndexMeasure
from translated import random_pictures, scored, translated

from gan_lab.metrics.paired import luma
from gan_lab.metrics.ssim import StructuralSimilarity, structural_similarity, window


def made(**changes) -> StructuralSimilarity:
    return StructuralSimilarity(**{"of": "output", "channel": "rgb", "border": 0} | changes)


def maps_by_torchmetrics(output, target) -> list[torch.Tensor]:
    """Of each pair (1, C, H, W): a window around each pixel of a picture, which it mirrors at the edge."""
    maps = []
    for pair in zip(output, target, strict=True):
        one, other = (picture[None].double() / 255 for picture in pair)
        oracle = StructuralSimilarityIndexMeasure(
            gaussian_kernel=True, sigma=1.5, k1=0.01, k2=0.03, data_range=1.0, return_full_image=True
        ).set_dtype(torch.float64)
        _, whole = oracle(one, other)
        maps.append(whole)
    return maps


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 11, 11), (3, 11, 14), (3, 24, 19)])
def test_equals_torchmetrics_within_the_picture(channels, height, width):
    target = random_pictures(5, channels, height, width, seed=0)
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    strengths = torch.tensor([0.0, 4, 20, 80, 300]).view(5, 1, 1, 1)
    output = (target + strengths * noise).clamp(0, 255).to(torch.uint8)
    metric = made()
    result = scored(metric, translated(output[:2], target[:2]), translated(output[2:], target[2:]))
    expected = [whole[..., 5:-5, 5:-5].mean().item() for whole in maps_by_torchmetrics(output, target)]
    values = metric.per_picture().tolist()
    assert values == pytest.approx(expected, abs=1e-6)  # its window is float32
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert result == pytest.approx({"": sum(values) / 5, "_worst": values[4]}, abs=1e-12)


@pytest.mark.parametrize("region", ["hole", "known"])
def test_a_region_equals_the_mask_of_torchmetrics_map(region):
    target = random_pictures(4, 3, 20, 17, seed=0)
    output = (target + random_pictures(4, 3, 20, 17, seed=1) % 60).clamp(0, 255)
    masks = torch.zeros(4, 1, 20, 17, dtype=torch.bool)
    masks[0, :, 6:9, 8:14] = masks[1, :, :2] = masks[1, :, :, 16] = True  # within, and along the picture's edges
    masks[2] = region == "known"  # which leaves nothing that counts
    masks[3] = region == "hole"
    metric = made(region=region)
    result = scored(metric, translated(output, target, masks=masks))
    inside = masks if region == "hole" else ~masks
    maps = maps_by_torchmetrics(output, target)
    expected = [whole[one[None].expand_as(whole)].mean().item() for whole, one in zip(maps, inside, strict=True)]
    assert metric.per_picture().tolist() == pytest.approx(expected, abs=1e-6, nan_ok=True)
    counted = [expected[0], expected[1], expected[3]]
    scores = {"": sum(counted) / 3, "_worst": min(counted), "_left_out": 1}
    assert result == pytest.approx(scores, abs=1e-6)


def test_a_window_at_the_edge_of_a_hole_sees_what_is_known():
    target = random_pictures(1, 1, 30, 30, seed=0)
    output, hole = target.clone(), torch.zeros(1, 1, 30, 30, dtype=torch.bool)
    output[..., 10:20, 10:20], hole[..., 10:20, 10:20] = 128, True
    alone = translated(*(pictures[..., 9:20, 9:20] for pictures in (output, target)))
    of_hole = scored(made(region="hole"), translated(output, target, masks=hole))[""]
    assert scored(made(), alone)[""] + 0.1 < of_hole < scored(made(), translated(output, target))[""]


def test_whole_pictures_are_scored_as_before_there_were_regions():
    assert made(region="whole").protocol() == made().protocol()
    assert made().protocol()["window"] == "Gaussian, 11 x 11, sigma 1.5, wholly within the picture"
    assert made(region="hole").protocol()["window"].endswith("around each pixel, mirrored at the edge")
    assert made(region="hole", channel="y").name == "ssim_y_hole"


def test_plain_pictures_by_hand():
    # Without variance only brightness is left: (2 a b + C1) / (a^2 + b^2 + C1), here of 0.2 and 0.4.
    output, target = (torch.full((1, 1, 12, 13), level, dtype=torch.uint8) for level in (51, 102))
    result = scored(made(), translated(output, target))
    assert result[""] == pytest.approx((0.16 + 1e-4) / (0.2 + 1e-4), rel=1e-9)


def test_a_negative_by_hand():
    # One window of 0.5 + s and 0.5 - s: equal means and variances, covariance -v.
    pattern = 0.1 * torch.randn(1, 1, 11, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = window()[:, None] * window()[None]
    pattern -= (weights * pattern).sum()
    v = (weights * pattern.square()).sum().item()
    value = structural_similarity(output=0.5 + pattern, target=0.5 - pattern).item()
    assert value == pytest.approx((9e-4 - 2 * v) / (9e-4 + 2 * v), rel=1e-9)
    assert value < -0.5


def test_the_window_is_gaussian():
    weights = window()
    assert weights.sum().item() == pytest.approx(1, abs=1e-15)
    assert (weights[5] / weights[8]).item() == pytest.approx(torch.e**2, rel=1e-12)  # two deviations off


def test_border_and_luma():
    output, target = random_pictures(2, 3, 18, 17, seed=0), random_pictures(2, 3, 18, 17, seed=1)
    inner = translated(output[..., 2:-2, 2:-2].contiguous(), target[..., 2:-2, 2:-2].contiguous())
    assert scored(made(border=2), translated(output, target)) == scored(made(), inner)
    metric = made(channel="y")
    scored(metric, translated(output, target))
    one, other = (luma(pictures.double() / 255) for pictures in (output, target))
    assert metric.per_picture().tolist() == pytest.approx(structural_similarity(output=one, target=other).tolist())


@pytest.mark.parametrize(("height", "border"), [(10, 0), (16, 3)])
def test_small_pictures_are_refused(height, border):
    pictures = random_pictures(2, 1, height, 20, seed=0)
    with pytest.raises(ValueError, match=f"ssim takes pictures of 11 pixels or more a side, got 10x{20 - 2 * border}"):
        made(border=border).probe(translated(pictures, pictures))
