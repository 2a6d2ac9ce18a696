"""Halving is the mean of 2x2 pixels, doubling repeats each."""

import pytest
import torch

from gan_lab.layers.resampling import doubling, halving


def test_halving_takes_means():
    assert halving()(torch.tensor([[[[1.0, 3.0, 0.0, 0.0], [5.0, 7.0, 0.0, 8.0]]]])).tolist() == [[[[4.0, 2.0]]]]


def test_doubling_repeats():
    assert doubling()(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]


def test_doubling_bilinearly():
    """Corners are not aligned: new places are a quarter pixel off the old ones, and the border is repeated."""
    doubled = doubling("bilinear")(torch.tensor([[[[0.0, 4.0]]]]))
    assert doubled.tolist() == [[[[0.0, 1.0, 3.0, 4.0], [0.0, 1.0, 3.0, 4.0]]]]
    with pytest.raises(ValueError, match="doubling must be one of nearest, bilinear; got 'cubic'"):
        doubling("cubic")
