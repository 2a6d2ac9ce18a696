"""Intervals over blocks: a mean by textbook, coverage on Gaussians whose distance is known, refusals."""

import numpy as np
import pytest
from scipy.stats import norm

from gan_lab.metrics.intervals import block_interval

SETTINGS = {"resamples": 999, "level": 0.95, "seed": 0}


def gaussian_distance(values: np.ndarray) -> float:
    """Fréchet distance to N(0, I) of values (N, d)."""
    covariance = np.cov(values.T)
    roots = np.linalg.eigvalsh(covariance).clip(0) ** 0.5
    return float((values.mean(axis=0) ** 2).sum() + values.shape[1] + np.trace(covariance) - 2 * roots.sum())


def of_blocks(statistic, blocks: np.ndarray, **settings) -> tuple[float, float]:
    """Blocks are (J, B, d)."""
    return block_interval(lambda chosen: statistic(np.concatenate(blocks[list(chosen)])), len(blocks), **settings)


def test_of_a_mean_it_is_the_textbook_interval():
    means = np.random.RandomState(1).normal(5, 2, 40)
    low, high = block_interval(lambda chosen: float(means[list(chosen)].mean()), 40, **SETTINGS | {"resamples": 20_000})
    half = norm.ppf(0.975) * means.std() / 40**0.5
    assert (low, high) == pytest.approx((means.mean() - half, means.mean() + half), abs=0.03 * half)
    low, high = block_interval(
        lambda chosen: float(means[list(chosen)].mean()), 40, resamples=20_000, level=0.5, seed=0
    )
    assert (high - low) / 2 == pytest.approx(norm.ppf(0.75) * means.std() / 40**0.5, rel=0.05)


def test_it_holds_the_score_that_other_samples_would_get():
    random = np.random.RandomState(0)
    draws = [1.1 * random.normal(size=(20, 25, 8)) + 0.1 for _ in range(60)]
    scores = [gaussian_distance(np.concatenate(blocks)) for blocks in draws]
    expected, deviation = np.mean(scores), np.std(scores)
    intervals = np.array([of_blocks(gaussian_distance, blocks, **SETTINGS) for blocks in draws])
    held = ((intervals[:, 0] <= expected) & (expected <= intervals[:, 1])).mean()
    assert held >= 0.87  # binomial: below with probability 0.006 where the true share is 0.95
    assert (intervals[:, 0] < scores).all()
    assert (scores < intervals[:, 1]).all()
    # Resampling blocks with repeats, as is, would be wide by the noise of the duplicates.
    assert (intervals[:, 1] - intervals[:, 0]).mean() == pytest.approx(2 * 1.96 * deviation, rel=0.3)


def test_each_block_is_left_out_once_and_none_is_repeated():
    calls = []

    def statistic(chosen):
        calls.append(list(chosen))
        return float(sum(chosen))

    block_interval(statistic, 12, **SETTINGS)
    assert calls[0] == list(range(12))
    assert calls[1:] == [[i for i in range(12) if i != out] for out in range(12)]


def test_many_blocks_are_left_out_in_groups_of_neighbours():
    calls = []

    def statistic(chosen):
        calls.append(set(range(103)) - set(chosen))
        return float(sum(chosen))

    block_interval(statistic, 103, **SETTINGS)
    assert calls == [set(), *({i, i + 1, i + 2} for i in range(0, 102, 3)), {102}]


def test_a_small_last_group_has_a_small_weight():
    # 41 blocks make 20 groups of two and one of one. A bias of 100 / (number of blocks) is nobody's
    # share, and a score that is higher by 1000 moves both ends by 1000.
    means = np.random.RandomState(3).normal(0, 1, 41)

    def biased(chosen, bias):
        return float(means[list(chosen)].mean()) + bias / len(chosen)

    plain = block_interval(lambda chosen: biased(chosen, 0), 41, **SETTINGS)
    shifted = block_interval(lambda chosen: biased(chosen, 100), 41, **SETTINGS)
    assert shifted == pytest.approx([end + 100 / 41 for end in plain], abs=1e-9)
    higher = block_interval(lambda chosen: biased(chosen, 0) + 1000, 41, **SETTINGS)
    assert higher == pytest.approx([end + 1000 for end in plain], abs=1e-9)


def test_the_seed_alone_decides():
    blocks = np.random.RandomState(2).normal(size=(15, 10, 3))
    np.random.seed(0)
    first = of_blocks(gaussian_distance, blocks, **SETTINGS)
    np.random.seed(1)
    assert of_blocks(gaussian_distance, blocks, **SETTINGS) == first
    assert of_blocks(gaussian_distance, blocks, **SETTINGS | {"seed": 1}) != first


def test_a_constant_score_has_no_width():
    assert block_interval(lambda chosen: 3.0, 10, **SETTINGS) == (3.0, 3.0)


def test_refusals():
    with pytest.raises(ValueError, match="needs 10 blocks, got 9"):
        block_interval(lambda chosen: 0.0, 9, **SETTINGS)
    with pytest.raises(ValueError, match=r"got 99 and 0\.95"):
        block_interval(lambda chosen: 0.0, 10, resamples=99, level=0.95, seed=0)
    with pytest.raises(ValueError, match="got 100 and 95"):
        block_interval(lambda chosen: 0.0, 10, resamples=100, level=95, seed=0)
    with pytest.raises(ValueError, match="finite scores, got nan"):
        block_interval(lambda chosen: float("nan"), 10, **SETTINGS)
    with pytest.raises(ValueError, match="finite scores, got 1"):
        block_interval(lambda chosen: 1.0 if len(chosen) == 10 else float("inf"), 10, **SETTINGS)
