"""The evaluation stage gives the same bits on 1, 2, 3 and 4 ranks."""

import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from ranks import started

from gan_lab.config import register
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
