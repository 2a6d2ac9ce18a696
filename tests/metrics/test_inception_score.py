"""The Inception Score: closed forms, split edges, torch-fidelity's and torchmetrics' numbers."""

import itertools

import numpy as np
import pytest
import torch

from gan_lab.metrics.inception_score import InceptionScore, inception_score, split_scores


def logits(count: int = 41, classes: int = 7) -> torch.Tensor:
    return 2 * torch.randn(count, classes, generator=torch.Generator().manual_seed(0))


def scored(values: torch.Tensor, splits: int = 10, seed: int = 2020) -> dict[str, float]:
    metric = InceptionScore(splits=splits, seed=seed)
    for block in values.split(7):
        metric.update(block)
    return metric.compute()


@pytest.mark.parametrize("groups", [1, 3, 10])
@pytest.mark.parametrize("certainty", [60.0, 2000.0])
def test_equal_groups_of_sure_predictions_count_the_groups(groups, certainty):
    # Ten classes, of which only the first are seen; at 2000 the other probabilities underflow to 0.
    values = certainty * torch.eye(10)[torch.arange(20 * groups) % groups].double()
    assert inception_score(values) == pytest.approx(groups, rel=1e-12)


def test_hand_worked():
    # p = (3/4, 1/4) and (1/4, 3/4), mean (1/2, 1/2): KL = 3/4 log 3/2 + 1/4 log 1/2 for each.
    values = torch.tensor([[3.0, 1.0], [1.0, 3.0]], dtype=torch.float64).log()
    assert inception_score(values) == pytest.approx(1.5**0.75 * 0.5**0.25, rel=1e-14)


def test_splits_cover_all_samples_once():
    values = logits().double()
    order = np.random.RandomState(5).permutation(41)
    edges = [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 41]
    expected = [inception_score(values[order[a:b]]) for a, b in itertools.pairwise(edges)]
    assert split_scores(values, splits=10, seed=5) == expected
    result = scored(logits(), seed=5)
    assert result[""] == pytest.approx(np.mean(expected), rel=1e-14)
    assert result["_std"] == pytest.approx(np.sqrt(np.mean((np.array(expected) - np.mean(expected)) ** 2)), rel=1e-12)
    assert result["_1split"] == inception_score(values)


def test_equals_torch_fidelity():
    from torch_fidelity.metric_isc import isc_features_to_metric

    theirs = isc_features_to_metric(logits(), splits=10, shuffle=True, rng_seed=2020)
    ours = scored(logits())
    assert ours[""] == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert ours["_std"] == pytest.approx(theirs["inception_score_std"], rel=1e-12)


def test_one_split_equals_torchmetrics():
    from torchmetrics.image.inception import InceptionScore as Theirs

    theirs = Theirs(feature=torch.nn.Identity(), splits=1)
    theirs.update(logits())
    assert scored(logits())["_1split"] == pytest.approx(theirs.compute()[0].item(), rel=1e-6)


def test_own_seed_alone_decides():
    torch.manual_seed(0)
    np.random.seed(0)
    first = scored(logits())
    torch.manual_seed(1)
    np.random.seed(1)
    assert scored(logits()) == first
    assert scored(logits(), seed=1)[""] != first[""]


def test_refusals():
    with pytest.raises(ValueError, match="got 0"):
        InceptionScore(splits=0, seed=0)
    with pytest.raises(ValueError, match="at least 10 samples, got 9"):
        scored(logits(count=9))
    with pytest.raises(ValueError, match="41 of 41 rows of generated logits"):
        scored(logits() * torch.inf)
