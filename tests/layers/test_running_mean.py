"""A running mean, by hand; over ranks it is proven by the models that have one."""

import pytest
import torch

from gan_lab.layers.running_mean import RunningMean
from gan_lab.models.averaging import MovingAverage


def test_by_hand():
    """From 0: a quarter of (4, 8) is (1, 2); then 3/4 of that and a quarter of (0, 2)."""
    mean = RunningMean(2, decay=0.75)
    mean.follow(torch.tensor([[3.0, 8.0], [5.0, 8.0]], requires_grad=True))
    assert mean.running_mean.tolist() == [1.0, 2.0]
    mean.follow(torch.tensor([[0.0, 2.0]]))
    assert mean.running_mean.tolist() == [0.75, 2.0]
    assert not mean.running_mean.requires_grad
    assert list(mean.state_dict()) == ["running_mean"]


def test_the_moving_average_of_a_network_averages_it():
    mean = RunningMean(1, decay=0.0)
    average = MovingAverage(mean, half_life_kimg=1, warmup=None)
    mean.follow(torch.tensor([[8.0]]))
    average.follow(mean, images=1000, images_seen=1000)
    assert average.module.running_mean.item() == pytest.approx(4.0)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_refusals(decay):
    with pytest.raises(ValueError, match=f"must be in \\[0, 1\\), got {decay}"):
        RunningMean(1, decay)
