"""A weights file that one machine lacks: all ranks leave out the same metrics, or all train unscored."""

import logging

import pytest
import torch
from evaluation.test_stage import CPU, NoisyGenerator, Pictures, Projection
from omegaconf import OmegaConf

from gan_lab import collectives
from gan_lab.evaluation.stage import Evaluation
from gan_lab.extractors.base import MissingWeights
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.sampling import LatentInputs
from gan_lab.train import prepared_evaluation


class Elsewhere(Projection):
    """Another space, whose weights lie on rank `at` alone."""

    name = "elsewhere"

    def __init__(self, at: int) -> None:
        super().__init__(seed=1)
        if collectives.rank() != at:
            raise MissingWeights(f"rank {collectives.rank()} should fetch it there")


def evaluation(at: int, monitor: str) -> Evaluation:
    return Evaluation(
        extractor=Projection,
        extractors={"other": lambda: Elsewhere(at)},
        metrics={"here": FrechetDistance(), "there": FrechetDistance(extractor="other")},
        num_samples=45,
        block_size=10,
        seed=0,
        reference="train",
        monitor=monitor,
        cache_dir=None,
    )


def scored(at: int) -> tuple[dict[str, str], dict[str, float]]:
    stage = evaluation(at, "here")
    stage.prepare_everywhere(Pictures(), CPU, collectives.rank())
    scores = stage.score(NoisyGenerator(), LatentInputs(3, "normal"), Pictures(), weights="ema", device=CPU)
    return stage.left_out, scores.values


def refused(at: int) -> str:
    with pytest.raises(MissingWeights) as error:
        evaluation(at, "there").prepare_everywhere(Pictures(), CPU, collectives.rank())
    return str(error.value)


@pytest.mark.parametrize("at", [0, 1])
def test_what_one_rank_lacks_none_scores(at, pair):
    found = pair(scored, at)
    assert [left_out for left_out, _ in found] == [{"there": f"rank {1 - at} should fetch it there"}] * 2
    assert found[0][1] == found[1][1]
    assert not any("elsewhere" in name for name in found[0][1])
    assert pair(refused, at) == [f"rank {1 - at} should fetch it there"] * 2


def build(monitor: str) -> Evaluation:
    return evaluation(at=1, monitor=monitor)


def test_training_says_what_it_does_without(caplog):
    caplog.set_level(logging.INFO)

    def prepared(**changes):
        caplog.clear()
        config = OmegaConf.create({"evaluation": {"_target_": f"{__name__}.build", "monitor": "here"} | changes})
        return prepared_evaluation(config, Pictures(), torch.device("cpu"), 0), caplog.text

    found, said = prepared()
    assert list(found.metrics) == ["here"]
    assert "does without the metric there: rank 0 should fetch it there" in said
    found, said = prepared(monitor="there")
    assert found is None
    assert "trains UNSCORED: rank 0 should fetch it there" in said
