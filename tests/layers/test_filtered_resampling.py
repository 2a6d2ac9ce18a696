"""The filter [1, 3, 3, 1]: worked by hand, against SciPy's upfirdn, and its derivatives."""

import pytest
import torch
from scipy.signal import upfirdn
from torch.autograd import gradcheck, gradgradcheck

from gan_lab.layers.filtered_resampling import Blur, FilteredDoubling, FilteredHalving

TAPS = [1.0, 3.0, 3.0, 1.0]


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def along_both(values, *, taps, up=1, down=1, first=0, count):
    """SciPy's upfirdn along height and width: `count` of its outputs from `first` on."""
    for axis in (-2, -1):
        filtered = torch.from_numpy(upfirdn(taps, values.numpy(), up=up, down=down, axis=axis))
        values = filtered.narrow(axis, first, count)
    return values


def scaled(total):
    return [tap / sum(TAPS) * total**0.5 for tap in TAPS]


def test_a_single_pixel_doubled_by_hand():
    """2 / 8 of [1, 3, 3, 1] along each axis: 16 becomes the outer product of [4, 12, 12, 4] with itself over 16."""
    image = torch.zeros(1, 1, 3, 3)
    image[0, 0, 1, 1] = 16.0
    row = torch.tensor([0.0, 1, 3, 3, 1, 0])
    assert torch.equal(FilteredDoubling()(image)[0, 0], torch.outer(row, row))


def test_halved_by_hand():
    """Of the columns 0, 8, 16, 24, 32, 40: (0 + 3 * 8 + 3 * 16 + 24) / 8 = 12 in the middle; ends see a zero."""
    image = (8.0 * torch.arange(6)).expand(1, 1, 6, 6)
    halved = FilteredHalving()(image)[0, 0]
    assert halved.shape == (3, 3)
    assert halved[1].tolist() == [(3 * 8 + 16) / 8, (8 + 3 * 16 + 3 * 24 + 32) / 8, (24 + 3 * 32 + 3 * 40) / 8]


def test_doubling_is_scipys():
    values = images(2, 3, 5, 5)
    expected = along_both(values, taps=scaled(4), up=2, first=1, count=10)
    torch.testing.assert_close(FilteredDoubling().double()(values), expected)


def test_halving_is_scipys():
    values = images(2, 3, 8, 8)
    expected = along_both(values, taps=scaled(1), first=2, count=7)[..., ::2, ::2]
    torch.testing.assert_close(FilteredHalving().double()(values), expected)


@pytest.mark.parametrize(("padding", "total"), [(0, 1.0), (1, 4.0), (2, 1.0)])
def test_blurring_is_scipys(padding, total):
    values = images(2, 3, 7, 7)
    expected = along_both(values, taps=scaled(total), first=3 - padding, count=7 + 2 * padding - 3)
    torch.testing.assert_close(Blur(padding, total).double()(values), expected)


def test_flat_pictures_stay_flat_inside():
    flat = torch.ones(1, 2, 12, 12)
    for layer in (FilteredDoubling(), FilteredHalving(), Blur(1), Blur(2)):
        inside = layer(flat)[..., 2:-2, 2:-2]
        torch.testing.assert_close(inside, torch.ones_like(inside))


@pytest.mark.parametrize("layer", [FilteredDoubling(), FilteredHalving(), Blur(1, 4.0), Blur(2)], ids=str)
def test_derivatives_of_both_orders(layer):
    values = images(1, 2, 4, 6).requires_grad_()
    assert gradcheck(layer.double(), values)
    assert gradgradcheck(lambda x: layer(x).sin(), values)


def test_autocast_changes_nothing():
    values, layer = images(1, 2, 4, 4).float(), FilteredDoubling()
    expected = layer(values)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(values), expected)
        assert layer(values.bfloat16()).dtype == torch.bfloat16


def test_the_filter_is_not_saved():
    assert not FilteredDoubling().state_dict()
