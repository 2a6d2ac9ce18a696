"""Both directions of a translator in one evaluation: what each is scored against, and what the scores are called."""

import pytest
import torch
from data.test_data_sourced import inverted
from every_metric import CPU, Projection
from torch import nn
from translated import Finding, Hiding, Negative

from gan_lab.callbacks.pictures import Pictures
from gan_lab.evaluation.scores import save_per_image
from gan_lab.evaluation.sources import WayBack
from gan_lab.evaluation.stage import Evaluation
from gan_lab.metrics.cycle_error import CycleError
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.l1 import MeanAbsoluteError
from gan_lab.sampling import SourceInputs

INPUTS = SourceInputs([1, 8, 8], masked=False)
L1 = {"of": "output", "region": "whole"}


class Halving(nn.Module):
    """No right map: half of the contrast."""

    def forward(self, condition):
        return condition / 2


def evaluation(*, cycles=(), **changes):
    metrics = {"l1": MeanAbsoluteError(**L1), "fd": FrechetDistance()}
    metrics |= {kind: CycleError(intermediate=kind, noise_levels=1) for kind in cycles}
    settings = {"num_samples": 60, "block_size": 25, "seed": 0, "reference": "train", "monitor": "l1"}
    return Evaluation(extractor=Projection, metrics=metrics, cache_dir=None, **settings | changes)


def score(stage, data, there, back=None, **given):
    way_back = None if back is None else WayBack(back, INPUTS)
    return stage.score(there, INPUTS, data, weights="live", device=CPU, back=way_back, **given)


def test_the_way_there_is_scored_as_alone_and_the_way_back_as_by_itself(tmp_path):
    data, told = inverted(), []
    stage = evaluation(both_directions=True, per_image=2)
    stage.prepare(data, CPU)
    found = score(stage, data, Negative(), Halving(), progress=lambda activity, *of: told.append(activity))
    there = score(evaluation(per_image=2), data, Negative())
    back = score(evaluation(per_image=2), data.turned(), Halving())
    assert list(there.values) == ["l1_60", "l1_60_worst", "fd_projection60", *list(there.values)[3:]]
    assert [name.replace("60_BtoA", "60") for name in back.values] == list(there.values)
    assert found.values == there.values | back.values
    assert found.protocols == there.protocols | back.protocols
    assert found.records == there.records | back.records
    assert stage.digests("live") == {name: found.protocols[name] for name in stage.digests("live")}
    assert len(stage.digests("live")) == 4
    assert (found.monitored, found.monitored_value) == ("l1_60", 0.0)
    pixels = torch.from_numpy(data.reference("train").images[:60]).double()
    by_hand = ((pixels / 127.5 - 1) / 2 * 127.5 + 127.5).round() - (255 - pixels)
    assert found.values["l1_60_BtoA"] == pytest.approx(by_hand.abs().mean().item() / 255, abs=1e-3)
    assert found.pictures.keys() == {"worst_l1", "worst_l1_BtoA"}
    assert set(told) == {"scoring", "scoring BtoA"}
    save_per_image(tmp_path, 64, found)
    assert (tmp_path / "per_image.csv").read_text().startswith("images_seen,index,labels,l1_60\n")
    assert (tmp_path / "per_image_BtoA.csv").read_text().startswith("images_seen,index,labels,l1_60_BtoA\n")


def test_a_metric_that_is_left_out_is_so_both_ways():
    data, stage = inverted(), evaluation(both_directions=True)
    stage.prepare(data, CPU)
    stage.leave_out({"fd": "another rank lacks the extractor"})
    found = score(stage, data, Negative(), Negative())
    assert list(found.values) == ["l1_60", "l1_60_worst", "l1_60_BtoA", "l1_60_BtoA_worst"]


def test_names_and_protocols_of_before():
    """Written down before a way back could be scored beside."""
    found = score(evaluation(both_directions=True), inverted(), Negative(), Negative())
    expected = {"l1_60": "2f407ea7c897", "fd_projection60": "4c123643e936"}
    expected |= {"l1_60_BtoA": "62de5ec5a922", "fd_projection60_BtoA": "91b61cb559e5"}
    assert {name: found.protocols[name] for name in expected} == expected


def test_a_cycle_begins_with_the_sources_of_its_direction():
    """Hidden and found, a negative is there again, but of 8 bits comes level 128; found and hidden, so does a digit."""
    stage, data = evaluation(cycles=("exact", "rounded"), both_directions=True), inverted()
    found = score(stage, data, Hiding(), Finding()).values
    digits = torch.from_numpy(data.reference("train").images[:60]).double()
    assert found["cycle_error60"] == 0
    assert found["cycle_error_rounded60"] == pytest.approx((128 - (255 - digits)).abs().mean().item() / 255)
    assert found["cycle_error60_BtoA"] == pytest.approx((128 - digits).abs().mean().item() / 255)


def test_a_model_of_one_direction_is_refused():
    data = inverted()
    with pytest.raises(ValueError, match=r"metric exact sends outputs back .* goes one way; .*model=cyclegan"):
        score(evaluation(cycles=("exact",)), data, Negative())
    with pytest.raises(ValueError, match=r"evaluation.both_directions=true scores the way back, too, .*model=cyclegan"):
        evaluation(both_directions=True).rehearse(Negative(), INPUTS, data, device=CPU)
    evaluation(cycles=("exact",), both_directions=True).check_directions({"AtoB": "", "BtoA": ""})


class EitherWay:
    """As much of a model as pictures ask for."""

    directions = {"AtoB": "generator", "BtoA": "generator_back"}
    inputs, seed, device = INPUTS, 0, CPU

    def __init__(self, back):
        self.networks = {"AtoB": Negative(), "BtoA": back}

    def network_for_samples(self, weights="ema", direction=None):
        return self.networks[direction]


def test_a_grid_shows_both_directions():
    """Source, output, what comes of it on the way back, and target; the other direction below."""
    pictures, columns = Pictures(None, rows=2, columns=4).translations(inverted(), EitherWay(Halving()))
    assert columns == 4
    first = pictures[3]
    factors = [-1, 1, 0.5, 1, 1, 0.5, -0.5, -1]
    torch.testing.assert_close(pictures, torch.stack([factor * first for factor in factors]), rtol=0, atol=1 / 255)


def test_a_grid_leaves_no_trace_in_either_generator():
    back = nn.Sequential(nn.BatchNorm2d(1))
    back.forward = lambda condition: back[0](condition)
    Pictures(None, rows=2, columns=4).translations(inverted(), EitherWay(back))
    assert back.training
    assert back[0].num_batches_tracked == 0
