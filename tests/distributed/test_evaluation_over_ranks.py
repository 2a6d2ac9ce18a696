"""The evaluation stage gives the same bits on 1, 2, 3 and 4 ranks, and ends on all of them when one fails.

Processes that talk to each other; `contracts/test_evaluation_contract.py` takes many more cases through simulated ones.
"""

import every_metric
import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from ranks import started
from tiny import labelled_inputs

from gan_lab import collectives
from gan_lab.config import register
from gan_lab.evaluation.stage import EvaluationError
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.models.averaging import MovingAverage


def scored(samples: int) -> dict[str, float]:
    """The scores of a random generator, held in an average as in training."""
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        small = [
            "data.batch_size=24",
            f"evaluation.num_samples={samples}",
            "evaluation.block_size=10",
            "data.image_size=16",
        ]
        kid = "evaluation.metrics.kid.subset_size=10"
        config = compose("train", [*small, kid, "model.generator.width=4", "evaluation.cache_dir=null"])
    data = instantiate(config.data, _convert_="all")
    data.prepare_data()
    data.setup("fit")
    torch.manual_seed(3)
    network = MovingAverage(instantiate(config.model.generator), half_life_kimg=1, warmup=None).module
    from gan_lab.sampling import LatentInputs

    inputs = LatentInputs(config.model.latent_dim, config.model.latent_distribution)
    evaluation = instantiate(config.evaluation, _convert_="all")
    scores = evaluation.score(network, inputs, data, weights="ema", device=torch.device("cpu"))
    return scores.values


@pytest.mark.parametrize("world", [2, 3, 4])
def test_any_number_of_ranks(world, pair, forkserver, tmp_path):
    alone = scored(47)
    assert len(alone) >= 4
    if world == 2:
        found = pair(scored, 47)
    else:
        with started(world, tmp_path, forkserver) as ranks:
            found = ranks(scored, 47)
    assert found == [alone] * world


@pytest.mark.parametrize("world", [2, 3, 4])
def test_every_metric_on_real_ranks(world, pair, forkserver, tmp_path):
    """1,000 samples, in blocks that do not divide among the ranks."""
    alone = every_metric.outcomes(1000, 50 if world == 2 else 56)
    assert sum(len(outcome["values"]) for outcome in alone) > 2 * len(every_metric.METRICS)
    if world == 2:
        found = pair(every_metric.outcomes, 1000, 50)
    else:
        with started(world, tmp_path, forkserver) as ranks:
            found = ranks(every_metric.outcomes, 1000, 56)
    assert found[0] == alone
    for outcome in alone:
        outcome["bits"] = {}  # what was gathered is rank 0's alone
    assert found[1:] == [alone] * (world - 1)


class Failing(every_metric.Painter):
    """Fails on rank 1 alone, in its second block."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.calls = way, 0

    def forward(self, latents, labels):
        self.calls += 1
        if collectives.rank() != 1 or self.calls < 2:
            return super().forward(latents, labels)
        if self.way == "exception":
            raise RuntimeError("out of paint")
        return super().forward(latents, labels) * float("nan")


def failed(way: str) -> tuple[str, dict[str, float]]:
    """What the stage says of a generator that fails, and the scores of a good one afterwards."""
    inputs = labelled_inputs()
    evaluation = every_metric.evaluation_of({"frechet": FrechetDistance()}, 60, 10)
    with pytest.raises(EvaluationError) as caught:
        evaluation.score(Failing(way), inputs, every_metric.Pictures(), weights="ema", device=every_metric.CPU)
    return str(caught.value), every_metric.score(evaluation).values


@pytest.mark.parametrize(
    ("way", "cause"),
    [("exception", "RuntimeError: out of paint"), ("nan", "ValueError: 640 of 640 pixel values are NaN or infinite")],
)
def test_an_error_on_one_rank_ends_all_of_them(way, cause, pair):
    """All raise the same, none waits for the others, and they can score again."""
    (first, scores), (second, others) = pair(failed, way)
    assert first == second
    assert first.startswith(f"the evaluation failed on rank 1: {cause}")
    assert scores == others
    assert scores == every_metric.score(every_metric.evaluation_of({"frechet": FrechetDistance()}, 60, 10)).values
