"""Halving is the mean of 2x2 pixels, doubling repeats each."""

import torch

from gan_lab.layers.resampling import doubling, halving


def test_halving_takes_means():
    assert halving()(torch.tensor([[[[1.0, 3.0, 0.0, 0.0], [5.0, 7.0, 0.0, 8.0]]]])).tolist() == [[[[4.0, 2.0]]]]


def test_doubling_repeats():
    assert doubling()(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
