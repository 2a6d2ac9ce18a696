"""Conditions of networks, worked by hand."""

import pytest
import torch
from torch import nn

from gan_lab.layers.conditioning import (
    ClassBatchNorm2d,
    ConditionedSequential,
    VectorBatchNorm2d,
    checked_classes,
    given,
    with_one_hot,
)


def test_one_hot_columns_and_channels():
    columns = with_one_hot(torch.tensor([[5.0], [6.0]]), torch.tensor([2, 0]), 3)
    assert columns.tolist() == [[5, 0, 0, 1], [6, 1, 0, 0]]
    channels = with_one_hot(torch.full((1, 1, 1, 2), 7.0), torch.tensor([1]), 2)
    assert channels.tolist() == [[[[7, 7]], [[0, 0]], [[1, 1]]]]
    images = torch.zeros(2, 3, 4, 4)
    assert with_one_hot(images, None, 0) is images


def test_a_scale_and_an_offset_per_class():
    """Values 1, 3 of the one channel are normalized to -1, 1."""
    layer = ClassBatchNorm2d(1, 3)
    layer.normalization.eps = 1e-12
    layer.scale.weight.data = torch.tensor([[1.0], [2.0], [3.0]])
    layer.offset.weight.data = torch.tensor([[10.0], [20.0], [30.0]])
    features = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    assert layer(features, torch.tensor([0, 2])).flatten().tolist() == pytest.approx([9.0, 33.0])
    assert layer(features, torch.tensor([1, 1])).flatten().tolist() == pytest.approx([18.0, 22.0])


def test_class_batch_norm_begins_as_batch_norm():
    features, labels = torch.randn(8, 4, 3, 3), torch.randint(5, (8,))
    torch.testing.assert_close(ClassBatchNorm2d(4, 5)(features, labels), nn.BatchNorm2d(4)(features))


def test_a_scale_and_an_offset_linear_in_a_vector():
    layer = VectorBatchNorm2d(1, 2)
    layer.normalization.eps = 1e-12
    layer.scale.weight.data = torch.tensor([[1.0, 2.0]])
    layer.offset.weight.data = torch.tensor([[10.0, 0.0]])
    features = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    vectors = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # scales 3, 2; offsets 0, 10
    assert layer(features, vectors).flatten().tolist() == pytest.approx([-3.0, 12.0])


def test_a_row_of_layers_hands_the_condition_on():
    row = ConditionedSequential(nn.ReLU(), ConditionedSequential(ClassBatchNorm2d(2, 3)), nn.ReLU())
    assert row(torch.randn(4, 2, 3, 3), torch.tensor([0, 1, 2, 0])).shape == (4, 2, 3, 3)
    assert ConditionedSequential(nn.ReLU())(torch.tensor([-1.0, 2.0])).tolist() == [0, 2]


def test_refusals():
    assert checked_classes("generator", "none", None, ("none",)) == 0
    assert checked_classes("generator", "concatenation", 3, ("none", "concatenation")) == 3
    with pytest.raises(
        ValueError, match=r"generator.conditioning must be one of none, concatenation; got 'batch_norm'"
    ):
        checked_classes("generator", "batch_norm", 3, ("none", "concatenation"))
    with pytest.raises(ValueError, match=r"needs 2 or more classes, got None; choose labelled data"):
        checked_classes("generator", "concatenation", None, ("none", "concatenation"))
    with pytest.raises(ValueError, match="a conditional network needs labels"):
        given(None)
