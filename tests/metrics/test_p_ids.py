"""P-IDS and U-IDS: of the objective's minimum by another solver, by hand where it is plain, and in the stage."""

import numpy as np
import pytest
import torch
from every_metric import Projection
from scipy.optimize import minimize
from translated import random_pictures, translated

from gan_lab.metrics.p_ids import PairedDiscriminativeScore, discriminative_scores, realness


def scores_of(real: torch.Tensor, fake: torch.Tensor, held_out: bool) -> tuple[float, float]:
    of_real, of_fake = realness(real=real, fake=fake, held_out=held_out)
    return discriminative_scores(of_real=of_real, of_fake=of_fake)


def by_another_solver(real: np.ndarray, fake: np.ndarray, of_real: np.ndarray, of_fake: np.ndarray):
    """The SVM's objective, |w|^2 / 2 + b^2 / 2 + sum of squared hinges, by BFGS; scores of the second pair of sets."""
    values = np.concatenate([real, fake])
    values = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    sides = np.repeat([1.0, -1.0], [len(real), len(fake)])

    def objective(w):
        hinges = np.maximum(0, 1 - sides * (values @ w))
        return w @ w / 2 + (hinges**2).sum(), w - 2 * (values * sides[:, None]).T @ hinges

    w = minimize(objective, np.zeros(values.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    real_seems, fake_seems = of_real @ w[:-1] + w[-1], of_fake @ w[:-1] + w[-1]
    wrong = np.concatenate([real_seems < 0, fake_seems > 0]).mean()
    return (fake_seems > real_seems).mean(), wrong


@pytest.mark.parametrize("held_out", [False, True])
def test_equals_the_minimum_of_the_objective(held_out):
    generator = np.random.default_rng(0)
    real = generator.normal(size=(201, 4))
    fake = real + generator.normal(0.2, 0.5, size=real.shape)
    fitted, scored = (slice(0, None, 2), slice(1, None, 2)) if held_out else (slice(None), slice(None))
    expected = by_another_solver(real[fitted], fake[fitted], real[scored], fake[scored])
    found = scores_of(torch.from_numpy(real), torch.from_numpy(fake), held_out)
    assert found == pytest.approx(expected, abs=0.006), "a picture on the boundary may fall on either side"
    assert 0.1 < found[0] < 0.4
    assert 0.3 < found[1] < 0.5


def test_by_hand():
    real = torch.tensor([[3.0], [4.0], [5.0], [6.0]], dtype=torch.float64)
    assert scores_of(real, -real, held_out=False) == (0, 0), "told at once"
    assert scores_of(real, real, held_out=False) == (0, 0.5), "the very targets"
    # Pairs of even number say that low is fake; in those of odd number it is real.
    crossed = torch.tensor([[-3.0], [4.0], [-5.0], [6.0]], dtype=torch.float64)
    real = torch.tensor([[3.0], [-4.0], [5.0], [-6.0]], dtype=torch.float64)
    assert scores_of(real, crossed, held_out=True) == (1, 1)
    assert scores_of(real, crossed, held_out=False)[0] == 0.5


def test_targets_are_seen_by_the_same_extractor():
    output, target = random_pictures(30, 1, 8, 8, seed=0), random_pictures(30, 1, 8, 8, seed=1)
    metric, extractor = PairedDiscriminativeScore(held_out=False, extractor=None), Projection()
    for part in (slice(0, 20), slice(20, 30)):
        block = translated(output[part], target[part], count=10, extractor=extractor)
        metric.update(extractor(output[part])["features"][:10], metric.probe(block))
    chosen = [*range(10), *range(20, 30)]
    real, fake = (extractor(pictures[chosen])["features"].double() for pictures in (target, output))
    paired, unpaired = scores_of(real, fake, held_out=False)
    assert metric.compute() == {"": paired, "_u_ids": unpaired}


def test_by_share_of_the_hole_by_hand():
    """One SVM, of which the fourth pair's output is more real than its target, and no other."""
    fake = torch.tensor([[-3.0], [-4.0], [-5.0], [8.0], [-7.0]])
    real, hole_share = torch.tensor([[3.0], [4.0], [5.0], [6.0], [7.0]]), torch.tensor([0.1, 0.2, 0.0, 0.3, 0.4])

    def by_share(held_out: bool) -> dict[str, float]:
        metric = PairedDiscriminativeScore(held_out=held_out, extractor=None, shares=[0, 0.2, 0.4, 1])
        for rows in (slice(0, 2), slice(2, 5)):
            metric.update(fake[rows], real[rows], hole_share[rows])
        assert metric.needs == ("features", "probe", "hole_share")
        return {name.removeprefix("_share_"): value for name, value in metric.compute().items() if name}

    bins = {"0_20": 0, "_u_ids_share_0_20": 0, "0_20_count": 3, "20_40": 0.5, "_u_ids_share_20_40": 0.25}
    assert by_share(held_out=False) == {"_u_ids": 0.1, **bins, "20_40_count": 2, "40_100_count": 0}
    bins = {"0_20": 0, "_u_ids_share_0_20": 0, "0_20_count": 1, "20_40": 1, "_u_ids_share_20_40": 0.5}
    assert by_share(held_out=True) == {"_u_ids": 0.25, **bins, "20_40_count": 1, "40_100_count": 0}


def test_shares_are_part_of_the_protocol_where_there_are_any():
    plain, bins = (PairedDiscriminativeScore(held_out=False, extractor=None, shares=s) for s in (None, [0, 1]))
    pairs = {"metric": "p_ids", "classifier": "linear SVM, squared hinge, C = 1, scikit-learn"}
    assert plain.protocol() == {**pairs, "pairs": "fitted and scored on all"}
    added = {"shares": [0, 1], "by_share": "asked of the one classifier of all pairs fitted"}
    assert bins.protocol() == plain.protocol() | added
    with pytest.raises(ValueError, match="shares must be 2 or more rising edges"):
        PairedDiscriminativeScore(held_out=False, extractor=None, shares=[0.5])


def test_the_halves_are_part_of_name_and_protocol():
    metrics = [PairedDiscriminativeScore(held_out=held_out, extractor=None) for held_out in (False, True)]
    assert [metric.name for metric in metrics] == ["p_ids", "p_ids_held_out"]
    assert metrics[0].protocol()["pairs"] != metrics[1].protocol()["pairs"]
