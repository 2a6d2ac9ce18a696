"""Distances of outputs and targets to their sources: by torchmetrics and by hand."""

import pytest
import torch
from torchmetrics import MeanAbsoluteError as Oracle
from translated import random_pictures, scored, translated

from gan_lab.data.images import unchanged
from gan_lab.metrics.copy_distance import CopyDistance


def test_equals_torchmetrics():
    output, target = random_pictures(5, 3, 8, 6, seed=0), random_pictures(5, 3, 8, 6, seed=1)
    sources = random_pictures(5, 1, 4, 3, seed=2)
    copies = unchanged(sources, (3, 8, 6)).double() / 255
    metric = CopyDistance()
    blocks = [translated(output[p], target[p], sources=sources[p]) for p in (slice(0, 3), slice(3, 5))]
    found = scored(metric, *blocks)
    of_output, of_target = (Oracle()(pictures.double() / 255, copies).item() for pictures in (output, target))
    assert found == pytest.approx({"": of_output, "_of_targets": of_target}, rel=1e-6)
    each = [Oracle()(a.double() / 255, b).item() for a, b in zip(output, copies, strict=True)]
    assert metric.per_picture().tolist() == pytest.approx(each, rel=1e-6)


def test_a_generator_that_did_nothing_and_unknown_targets():
    sources = random_pictures(3, 1, 4, 4, seed=0)
    outputs = sources.repeat(1, 3, 1, 1)
    block = translated(outputs, 255 - outputs, sources=sources, count=2)
    block.targets[2] = 0  # which does not count
    by_hand = (255 - 2 * sources[:2].double()).abs().mean().item() / 255
    assert scored(CopyDistance(), block) == pytest.approx({"": 0, "_of_targets": by_hand}, rel=1e-12)
    block.targets = None
    assert scored(CopyDistance(), block) == {"": 0}


def test_where_there_is_no_copy():
    grey, colour = random_pictures(2, 1, 4, 4, seed=0), random_pictures(2, 3, 4, 4, seed=1)
    with pytest.raises(ValueError, match=r"a source of 3 channels is no picture of 1.*; leave copy_distance out"):
        CopyDistance().probe(translated(grey, grey, sources=colour))
    assert torch.equal(unchanged(colour, (3, 4, 4)), colour)
