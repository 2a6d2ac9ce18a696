"""LPIPS diversity: which samples are paired, and the mean by hand with a stand-in for LPIPS."""

import math

import pytest
import torch
from torch import nn

from gan_lab.metrics.base import Block
from gan_lab.metrics.lpips_diversity import LPIPSDiversity, disjoint_pairs
from gan_lab.sampling import Draws


class Brightness:
    """Difference of mean pixels, in [-1, 1]."""

    name = "brightness"

    def distances(self, first, second):
        assert first.dtype == second.dtype == torch.float32
        assert first.shape[1] == second.shape[1] == 3
        return (first - second).mean(dim=(1, 2, 3)).abs()


def block_of(levels, *, labels=None, count=None, extractor=None, channels: int = 1) -> Block:
    """Each image is of one level throughout."""
    images = torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, channels, 2, 2)
    labels = None if labels is None else torch.tensor(labels)
    return Block(
        None,
        {},
        Draws(0, across_ranks=False),
        None,
        images,
        count or len(levels),
        torch.device("cpu"),
        labels=labels,
        extractor=extractor or Brightness(),
    )


def scored(*blocks: Block) -> dict[str, float]:
    metric = LPIPSDiversity()
    for block in blocks:
        metric.update(metric.probe(block))
    return metric.compute()


def test_pairs_without_labels():
    assert disjoint_pairs(6, None).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert disjoint_pairs(5, None).tolist() == [[0, 1], [2, 3]]
    assert disjoint_pairs(1, None).shape == (0, 2)


def test_pairs_are_of_one_class():
    labels = torch.tensor([0, 1, 2, 1, 0, 0, 1, 0, 1])
    assert disjoint_pairs(9, labels).tolist() == [[1, 3], [0, 4], [5, 7], [6, 8]]
    assert disjoint_pairs(5, labels).tolist() == [[1, 3], [0, 4]]
    random = torch.randint(10, (200,), generator=torch.Generator().manual_seed(0))
    pairs = disjoint_pairs(200, random)
    assert torch.equal(random[pairs[:, 0]], random[pairs[:, 1]])
    assert len(pairs.unique()) == pairs.numel() == 2 * int((random.bincount() // 2).sum())
    assert torch.equal(disjoint_pairs(120, random), pairs[: len(disjoint_pairs(120, random))])


@pytest.mark.parametrize("channels", [1, 3])
def test_by_hand(channels):
    # Levels 0 and 255 are -1 and 1, at distance 2; 51 is one fifth of the way.
    result = scored(block_of([0, 255, 0, 51], channels=channels), block_of([255, 255], channels=channels))
    mean = (2 + 0.4 + 0) / 3
    deviation = math.sqrt((4 + 0.16 + 0) / 3 - mean**2)
    assert result == pytest.approx({"": mean, "_std": deviation}, abs=1e-6)


def test_only_pairs_of_one_class_count():
    levels, labels = [0, 255, 51, 255, 102], [0, 1, 0, 1, 0]
    assert scored(block_of(levels, labels=labels))[""] == pytest.approx((0.4 + 0) / 2, abs=1e-6)
    assert scored(block_of(levels))[""] == pytest.approx((2 + 1.6) / 2, abs=1e-6)


def test_rows_beyond_the_count_do_not_count():
    assert scored(block_of([0, 255, 0, 0], count=2))[""] == pytest.approx(2, abs=1e-6)
    assert scored(block_of([0, 255, 0, 0], count=3))[""] == pytest.approx(2, abs=1e-6)


def test_a_collapsed_generator_has_none():
    assert scored(block_of([7] * 10)) == {"": 0.0, "_std": 0.0}


def test_blocks_without_a_pair():
    lonely = block_of([0, 255], labels=[0, 1])
    assert scored(lonely, block_of([0, 255], labels=[1, 1]))[""] == pytest.approx(2, abs=1e-6)
    with pytest.raises(ValueError, match="no block holds two samples of one class"):
        scored(lonely)


def test_refusals():
    with pytest.raises(ValueError, match="an extractor with distances"):
        scored(block_of([0, 255], extractor=nn.Identity()))
    metric = LPIPSDiversity()
    metric.update(torch.tensor([math.nan, 1.0]))
    with pytest.raises(ValueError, match="1 of 2 rows of distances"):
        metric.compute()
