"""Generators of pictures from pictures in the stage: each source once, its target beside it, both in the protocol."""

from functools import partial

import pytest
import torch
from data.test_data_sourced import holes, inverted
from every_metric import CPU, Projection
from torch import Tensor, nn

from gan_lab.evaluation.stage import Evaluation
from gan_lab.metrics.psnr import PeakSignalToNoise
from gan_lab.sampling import SourceInputs

INPUTS = SourceInputs([1, 8, 8], masked=False)


class Negative(nn.Module):
    """The right map for inverted sources."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(-1.0))

    def forward(self, condition: Tensor) -> Tensor:
        return self.sign * condition


def evaluation(count: int, minimum: int = 1) -> Evaluation:
    """PSNR of the output, and of the source."""
    psnr = partial(PeakSignalToNoise, region="whole", channel="rgb", border=0)
    metrics = {of: psnr(of=of) for of in ("output", "source")}
    metrics["output"].minimum = minimum
    return Evaluation(
        extractor=Projection,
        metrics=metrics,
        num_samples=count,
        block_size=50,
        seed=0,
        reference="train",
        monitor="output",
        cache_dir=None,
    )


def scored(stage, data):
    return stage.score(Negative(), INPUTS, data, weights="live", device=CPU)


def test_the_right_map_has_no_error():
    found = scored(evaluation(120), inverted())
    assert found.values["psnr120"] == 100, "of identical pictures"
    assert found.values["psnr120_identical"] == 100
    assert found.values["psnr_copy120"] < 10


def test_the_sources_are_part_of_the_protocol():
    data = inverted()
    stage = evaluation(120)
    found = scored(stage, data)
    about = found.records[found.protocols["psnr120"]]["fakes"]["sources"]
    assert about["condition"] == {"condition": "inverted"}
    assert about["split"] == "train"
    assert stage.digests("live")["psnr120"] == found.protocols["psnr120"]
    data.condition = holes(vary=False)
    other = evaluation(120)
    other.prepare(data, CPU)
    assert other.digests("live")["psnr120"] != found.protocols["psnr120"]


def test_each_source_is_taken_once(caplog):
    """So that there are no more samples than sources, aloud; fewer than a metric stands are refused."""
    data = inverted(limit=10)  # of training alone
    found = scored(evaluation(2000), data)
    assert "num_samples=2000, and split 'train' of digits has 1797 sources" in caplog.text
    assert found.values["psnr1797"] == 100
    assert found.records[found.protocols["psnr1797"]]["fakes"]["count"] == 1797
    assert scored(evaluation(1797), data).protocols == found.protocols, "as if so many had been asked for"
    with pytest.raises(ValueError, match="output needs num_samples >= 1798, got 1797"):
        scored(evaluation(2000, minimum=1798), data)
