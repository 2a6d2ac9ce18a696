"""Minibatch standard deviation, worked by hand."""

import pytest
import torch

from gan_lab.layers.minibatch_std import MinibatchStdDev


def test_hand_worked():
    """Groups {1, 3} and {5, 5} of the first feature, {0, 0} and {2, 6} of the second: deviations 1, 0 and 0, 2."""
    features = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 2.0], [5.0, 6.0]]).view(4, 2, 1, 1)
    out = MinibatchStdDev(2)(features)
    assert torch.equal(out[:, :2], features)
    assert out[:, 2].flatten().tolist() == pytest.approx([0.5, 0.5, 1.0, 1.0], abs=1e-4)


def test_a_collapsed_group_has_no_deviation_and_a_finite_gradient():
    features = torch.ones(4, 3, 2, 2, requires_grad=True)
    out = MinibatchStdDev(4)(features)
    assert out[:, 3].max() < 1e-3
    out.sum().backward()
    assert features.grad.isfinite().all()


def test_batches_without_whole_groups():
    layer = MinibatchStdDev(4)
    with pytest.raises(ValueError, match="minibatch_std=4 does not divide the 6 samples"):
        layer(torch.randn(6, 1, 2, 2))
    assert layer.eval()(torch.randn(6, 1, 2, 2)).shape == (6, 2, 2, 2), "groups of 2"
    assert layer(torch.randn(1, 1, 2, 2)).shape == (1, 2, 2, 2)
    with pytest.raises(ValueError, match="got 1"):
        MinibatchStdDev(1)
