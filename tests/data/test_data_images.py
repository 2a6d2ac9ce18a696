import pytest
import torch

from gan_lab.data.images import from_uint8, resize, to_uint8


def test_all_levels_survive_the_round_trip():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(levels)), levels)
    assert from_uint8(levels).aminmax() == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("value", "level"),
    [(-1.1, 0), (-1.0, 0), (-0.997, 0), (-0.995, 1), (0.9955, 254), (0.997, 255), (1.0, 255), (1.01, 255), (9.0, 255)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_rounded_and_clamped(value, level, dtype):
    assert to_uint8(torch.tensor([value], dtype=dtype)).tolist() == [level]


def test_half_precision_is_widened_before_scaling():
    assert to_uint8(torch.tensor([1.0, -1.0], dtype=torch.bfloat16)).tolist() == [255, 0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_has_no_picture(value):
    with pytest.raises(ValueError, match="1 of 2 pixel values are NaN or infinite"):
        to_uint8(torch.tensor([0.0, value]))


def test_shrinking_averages_instead_of_picking():
    stripes = torch.tensor([0, 255], dtype=torch.uint8).repeat(16).expand(1, 1, 32, 32).contiguous()
    shrunk = resize(stripes, (8, 8))[0, 0, 2:-2, 2:-2].int()
    assert ((shrunk - 127).abs() <= 3).all()


def test_enlarging_stays_within_the_levels():
    edge = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    enlarged = resize(edge, (16, 32))
    assert enlarged.shape == (1, 1, 16, 32)
    row = enlarged[0, 0, 8].int()
    assert (row[:13] < 40).all()  # bicubic overshoot, were it wrapped around, would be near 255
    assert (row[-13:] > 215).all()
