"""Every conf/metric/*.yaml builds a metric that the evaluation stage can use."""

import json
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from gan_lab.metrics.reference import ReferenceStatistics

CONF = Path(__file__).parents[2] / "conf" / "metric"


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_keeps_the_interface(path):
    assert path.read_text().startswith("# ")
    metric = instantiate(OmegaConf.load(path))
    generator = torch.Generator().manual_seed(0)
    if metric.uses_reference:
        metric.set_reference(ReferenceStatistics.from_features(torch.randn(30, 4, generator=generator)))
    metric.update(torch.randn(metric.minimum, 4, generator=generator))
    result = metric.compute()
    assert "" in result
    assert all(isinstance(value, float) for value in result.values())
    assert all(suffix == "" or suffix.startswith("_") for suffix in result)
    assert metric.needs in ("features", "logits")
    assert isinstance(metric.higher_is_better, bool)
    assert json.loads(json.dumps(metric.protocol())) == metric.protocol()
    assert metric.protocol()["metric"] == metric.name
    assert not metric.state_dict()
    assert not metric.sync_on_compute
