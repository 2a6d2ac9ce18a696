"""P-IDS and U-IDS: of the objective's minimum by another solver, by hand where it is plain, and in the stage."""

import numpy as np
import pytest
import torch
from every_metric import Projection
from scipy.optimize import minimize
from translated import random_pictures, translated

from gan_lab.metrics.p_ids import PairedDiscriminativeScore, discriminative_scores


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
    found = discriminative_scores(real=torch.from_numpy(real), fake=torch.from_numpy(fake), held_out=held_out)
    assert found == pytest.approx(expected, abs=0.006), "a picture on the boundary may fall on either side"
    assert 0.1 < found[0] < 0.4
    assert 0.3 < found[1] < 0.5


def test_by_hand():
    real = torch.tensor([[3.0], [4.0], [5.0], [6.0]], dtype=torch.float64)
    assert discriminative_scores(real=real, fake=-real, held_out=False) == (0, 0), "told at once"
    assert discriminative_scores(real=real, fake=real, held_out=False) == (0, 0.5), "the very targets"
    # Pairs of even number say that low is fake; in those of odd number it is real.
    crossed = torch.tensor([[-3.0], [4.0], [-5.0], [6.0]], dtype=torch.float64)
    real = torch.tensor([[3.0], [-4.0], [5.0], [-6.0]], dtype=torch.float64)
    assert discriminative_scores(real=real, fake=crossed, held_out=True) == (1, 1)
    assert discriminative_scores(real=real, fake=crossed, held_out=False)[0] == 0.5


def test_targets_are_seen_by_the_same_extractor():
    output, target = random_pictures(30, 1, 8, 8, seed=0), random_pictures(30, 1, 8, 8, seed=1)
    metric, extractor = PairedDiscriminativeScore(held_out=False, extractor=None), Projection()
    for part in (slice(0, 20), slice(20, 30)):
        block = translated(output[part], target[part], count=10, extractor=extractor)
        metric.update(extractor(output[part])["features"][:10], metric.probe(block))
    chosen = [*range(10), *range(20, 30)]
    real, fake = (extractor(pictures[chosen])["features"].double() for pictures in (target, output))
    paired, unpaired = discriminative_scores(real=real, fake=fake, held_out=False)
    assert metric.compute() == {"": paired, "_u_ids": unpaired}


def test_the_halves_are_part_of_name_and_protocol():
    metrics = [PairedDiscriminativeScore(held_out=held_out, extractor=None) for held_out in (False, True)]
    assert [metric.name for metric in metrics] == ["p_ids", "p_ids_held_out"]
    assert metrics[0].protocol()["pairs"] != metrics[1].protocol()["pairs"]
