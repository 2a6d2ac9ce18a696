"""Modes: digits of known classes, counts worked by hand, and mixtures whose every sample is placed."""

import math

import pytest
import torch
from references import reference_of

from gan_lab.extractors.stacked import StackedDigitNet
from gan_lab.extractors.train_digitnet import DIGITS_ACCURACY, accuracy, digits
from gan_lab.metrics.modes import GaussianModes, ModeCount, divergence, predicted_modes


def logits_of(*classes: list[int], classes_in_all: int = 10) -> torch.Tensor:
    """(N, groups * K) logits that name these classes, a list of N per group."""
    hot = torch.nn.functional.one_hot(torch.tensor(classes), classes_in_all)
    return (5.0 * hot - 2).movedim(0, 1).flatten(1)


def counted(logits: torch.Tensor, *, groups: int = 1, target: str = "uniform", labels=None) -> dict[str, float]:
    metric = ModeCount(groups=groups, target=target, extractor=None)
    if metric.uses_reference:
        metric.set_reference(reference_of(None, None if labels is None else torch.tensor(labels)))
    for block in logits.split(7):
        metric.update(block)
    return metric.compute()


def test_modes_are_numbers_with_a_digit_per_channel():
    assert predicted_modes(logits_of([0, 9, 1], [0, 9, 2], [0, 9, 3]), 3).tolist() == [0, 999, 123]
    assert predicted_modes(logits_of([2, 1], [0, 2], classes_in_all=3), 2).tolist() == [6, 5]


@pytest.mark.parametrize("found", [1, 17, 1000])
def test_m_of_a_thousand_modes(found):
    # Each of m modes twice: KL = log(1000 / m).
    modes = torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:found].repeat(2)
    logits = logits_of((modes // 100).tolist(), (modes // 10 % 10).tolist(), (modes % 10).tolist())
    result = counted(logits, groups=3)
    assert result == {"": found, "_kl": pytest.approx(math.log(1000 / found), abs=1e-12)}


def test_stacked_digits_are_judged():
    images, labels = digits(held_out=True)
    extractor = StackedDigitNet(weights=None)
    assert accuracy(extractor.digitnet.network, images, labels) >= DIGITS_ACCURACY
    # Images that the judge knows, so that the number of modes is that of the stack.
    sure = torch.cat([(labels == digit).nonzero()[:1, 0] for digit in range(10)])
    predicted = extractor.digitnet(images[sure])["logits"].argmax(dim=1)
    assert torch.equal(predicted, labels[sure])
    chosen = torch.tensor([[0, 1, 2], [0, 1, 2], [2, 1, 0], [9, 9, 9]])
    outputs = extractor(images[sure, 0][chosen])
    assert outputs["features"].shape == (4, extractor.feature_dim) == (4, 192)
    assert predicted_modes(outputs["logits"], 3).tolist() == [12, 12, 210, 999]
    expected = -sum(p * math.log(1 / 1000 / p) for p in (0.5, 0.25, 0.25))
    assert counted(outputs["logits"], groups=3) == {"": 3, "_kl": pytest.approx(expected, abs=1e-12)}


def test_kl_from_the_labels_of_the_reference():
    # q = (1/2, 1/4, 1/4, 0), p = (1/4, 1/4, 3/8, 1/8).
    logits = logits_of([0, 0, 1, 2], classes_in_all=4)
    result = counted(logits, target="reference", labels=[0, 0, 1, 1, 2, 2, 2, 3])
    expected = 0.5 * math.log(2) + 0.25 * math.log(1) + 0.25 * math.log(2 / 3)
    assert result == {"": 3, "_kl": pytest.approx(expected, abs=1e-12)}


def test_no_divergence_from_what_the_reference_lacks():
    logits = logits_of([0, 1, 1], classes_in_all=3)
    assert counted(logits, target="reference", labels=[0, 2]) == {"": 2}
    assert set(counted(logits, target="reference", labels=[0, 1])) == {"", "_kl"}


def test_divergence_takes_generated_samples_first():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([2, 0])
    assert divergence(real=real, fake=fake) == pytest.approx(math.log(4), abs=1e-12)
    assert divergence(real=fake, fake=real) == math.inf


def test_collapse_lowers_the_count_and_raises_the_divergence():
    some = torch.randint(10, (3, 500), generator=torch.Generator().manual_seed(0))
    varied, collapsed = (
        counted(logits_of(*some.tolist()), groups=3),
        counted(logits_of(*(some // 5).tolist()), groups=3),
    )
    assert collapsed[""] == 8 < varied[""]
    assert collapsed["_kl"] > varied["_kl"] + 2


RING = [[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]]


def placed(samples: list[list[float]], centres=RING, std: float = 0.1) -> dict[str, float]:
    metric = GaussianModes(centres=centres, std=std, extractor=None)
    metric.update(torch.tensor(samples))
    return metric.compute()


def test_gaussian_modes_by_hand():
    # At the first centre, 0.29 and 0.31 beside it (0.3 is the limit), 0.29 beside the second; the last is nearest to
    # the fourth and far from it. Shares of all samples: 3/5, 1/5, 0, 1/5.
    result = placed([[2.0, 0.0], [2.0, 0.29], [2.31, 0.0], [0.0, 1.71], [0.0, -1.0]])
    expected = 0.6 * math.log(0.6 * 4) + 2 * 0.2 * math.log(0.2 * 4)
    assert result == {"": 2, "_high_quality": pytest.approx(3 / 5), "_kl": pytest.approx(expected, abs=1e-12)}


def test_the_reach_is_round():
    # 0.25 off on both axes is 0.35 away.
    assert placed([[2.25, 0.25], [2.2, 0.2]]) == {"": 1, "_high_quality": 0.5, "_kl": pytest.approx(math.log(4))}


def test_samples_of_the_mixture_itself():
    noise = 0.1 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    result = placed((torch.tensor(RING).repeat(500, 1) + noise).tolist())
    assert result[""] == 4
    # 1 - exp(-9 / 2) of a round Gaussian lies within 3 standard deviations.
    assert result["_high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    assert result["_kl"] == pytest.approx(0, abs=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="groups must be 1 or more, got 0"):
        ModeCount(groups=0, target="uniform", extractor=None)
    with pytest.raises(ValueError, match="got 'train'"):
        ModeCount(groups=1, target="train", extractor=None)
    with pytest.raises(ValueError, match="10 logits are not of 3 groups"):
        counted(logits_of([1, 2]), groups=3)
    with pytest.raises(ValueError, match="no labels"):
        counted(logits_of([1, 2]), target="reference")
    with pytest.raises(ValueError, match="label 10 of the reference is none of 10 modes"):
        counted(logits_of([1, 2]), target="reference", labels=[3, 10])
    with pytest.raises(ValueError, match="std must be above 0, got 0"):
        placed([[1.0, 2.0]], std=0)
    with pytest.raises(ValueError, match="points of 2 numbers, the samples of shape"):
        placed([[1.0, 2.0, 3.0]] * 2)
