"""Every conf/metric/*.yaml builds a metric that the evaluation stage can use."""

import json
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from references import reference_of

CONF = Path(__file__).parents[2] / "conf" / "metric"
COLUMNS = {
    "copy_distance": (2,),
    "cycle_error": (2,),
    "p_ids": (4,),
}  # of a probe, where it gives more than a number for each sample


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_keeps_the_interface(path):
    assert path.read_text().startswith("# ")
    metric = instantiate(OmegaConf.load(path))
    generator = torch.Generator().manual_seed(0)
    count = max(metric.minimum, 60)
    given = {
        "features": torch.randn(count, 4, generator=generator),
        "logits": torch.randn(count, 30, generator=generator),
        "images": torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator),
        "labels": torch.arange(count) % 2,
        "samples": torch.randn(count, 2, generator=generator),
        "targets": torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator),
        "sources": torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator),
        "masks": torch.rand(count, 1, 8, 8, generator=generator) < 0.5,
        "probe": torch.rand(count, *COLUMNS.get(path.stem, ()), generator=generator),
    }
    if metric.uses_reference:
        features = torch.randn(80, 4, generator=generator) if "features" in metric.needs else None
        images = torch.randint(256, (80, 1, 8, 8), dtype=torch.uint8, generator=generator)
        metric.set_reference(reference_of(features, torch.arange(80) % 2, images.numpy()))
    metric.update(*(given[need] for need in metric.needs))
    result = metric.compute()
    assert all(isinstance(value, float) for value in result.values())
    assert all(suffix == "" or suffix.startswith("_") for suffix in result)
    assert ("" in result) or metric.higher_is_better is None
    assert all(picture.dtype == torch.uint8 and picture.ndim == 3 for picture in metric.pictures().values())
    assert set(metric.needs) <= set(given)
    assert set(metric.probe_needs) <= {"labels", "samples", "targets", "sources", "masks", "network_back"}
    assert not metric.probe_needs or "probe" in metric.needs
    assert metric.higher_is_better in (True, False, None)
    assert json.loads(json.dumps(metric.protocol())) == metric.protocol()
    assert metric.protocol()["metric"] == metric.name
    assert not metric.state_dict()
    assert not metric.sync_on_compute
