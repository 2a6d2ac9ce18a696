"""Classes before and after a translation, by hand."""

import re

import pytest
import torch
from translated import translated

from gan_lab.extractors.digitnet import DigitNet
from gan_lab.metrics.label_kept import LabelKept


class Brightest:
    """Three classes: by which third of the levels the first pixel is in."""

    name = "brightest"

    def __call__(self, images):
        return {"logits": torch.nn.functional.one_hot(images[:, 0, 0, 0].long() // 86, 3).float()}


def plain(*levels: int, channels: int = 1, side: int = 4) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, channels, side, side)


def kept(before: str, block, **changes) -> LabelKept:
    metric = LabelKept(before=before, extractor=None)
    for name, value in changes.items():
        setattr(block, name, value)
    metric.update(Brightest()(block.images)["logits"][: block.count], metric.probe(block))
    return metric


def test_by_hand():
    # Outputs are of classes 0, 1, 2, 2, 0, sources of another size of 0, 1, 1, 2 and what does not count.
    images, sources = plain(0, 100, 200, 255, 0), plain(85, 171, 90, 172, 0, channels=3, side=2)
    block = translated(images, images, sources=sources, count=4, extractor=Brightest())
    metric = kept("verdict", block)
    assert metric.compute() == {"": 0.75}
    assert metric.per_picture().tolist() == [1, 1, 0, 1]
    of_labels = kept("label", block, labels=torch.tensor([1, 1, 0, 2, 0]))
    assert of_labels.compute() == {"": 0.5}
    assert of_labels.per_picture().tolist() == [0, 1, 0, 1]
    assert (metric.name, of_labels.name) == ("label_kept", "label_kept_true")
    assert (metric.probe_needs, of_labels.probe_needs) == (("sources",), ("labels",))


def test_by_share_of_the_hole_by_hand():
    metric = LabelKept(before="label", extractor=None, shares=[0, 0.25, 0.5, 1])
    assert metric.needs == ("logits", "probe", "hole_share")
    logits, labels = torch.eye(3)[[0, 1, 2, 0]], torch.tensor([0, 1, 0, 0])
    hole_share = torch.tensor([0.0, 0.25, 0.1, 0.5])
    metric.check(logits[:2], labels[:2], hole_share[:2])
    metric.update(logits[:1], labels[:1], hole_share[:1])
    metric.update(logits[1:], labels[1:], hole_share[1:])
    bins = {"_share_0_25": pytest.approx(2 / 3), "_share_0_25_count": 3, "_share_25_50": 1, "_share_25_50_count": 1}
    assert metric.compute() == {"": 0.75, **bins, "_share_50_100_count": 0}
    without = LabelKept(before="label", extractor=None)
    assert metric.protocol() == without.protocol() | {"shares": [0, 0.25, 0.5, 1]}
    assert without.protocol().keys() == {"metric", "before", "after"}


def test_an_extractor_brings_sources_to_its_own_channels_and_size():
    colours = torch.randint(256, (4, 3, 40, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    extractor = DigitNet(None)
    block = translated(plain(0, 0, 0, 0), plain(0, 0, 0, 0), sources=colours, extractor=extractor)
    metric = LabelKept(before="verdict", extractor=None)
    assert torch.equal(metric.probe(block), extractor(colours)["logits"].argmax(dim=1))


def test_refusals():
    with pytest.raises(ValueError, match="before must be one of verdict, label, got 'source'"):
        LabelKept(before="source", extractor=None)
    block = translated(plain(0, 0), plain(0, 0), sources=plain(0, 0, channels=2), extractor=Brightest())
    reason = "sources of 2 channels are no pictures to brightest, which takes 1, 3 or 4; set before=label where"
    with pytest.raises(ValueError, match=re.escape(reason)):
        LabelKept(before="verdict", extractor=None).probe(block)
    metric = kept("label", block, labels=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=re.escape("a sample of class 3, and the extractor knows 0 .. 2")):
        metric.compute()
