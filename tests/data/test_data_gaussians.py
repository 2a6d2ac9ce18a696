"""Points of Gaussian mixtures: the sequence, the pictures, and whole runs on them."""

import json

import numpy as np
import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from PIL import Image
from scipy import stats

from gan_lab import collectives
from gan_lab.data.gaussians import BLOCK, Gaussians
from gan_lab.data.pictures import scatter
from gan_lab.metrics.modes import GaussianModes

MIXTURES = ("ring", "grid")


def build(name="ring", **changes):
    config = OmegaConf.create({"seed": 0, "data": OmegaConf.load(ROOT / "conf" / "data" / f"{name}.yaml")})
    arguments = OmegaConf.to_container(config.data, resolve=True) | changes
    assert arguments.pop("_target_") == "gan_lab.data.gaussians.Gaussians"
    return Gaussians(**arguments)


def started(name="ring", **changes):
    data = build(name, **changes)
    data.setup()
    return data


@pytest.mark.parametrize("name", MIXTURES)
def test_points_have_the_law_of_the_mixture(name):
    data = started(name)
    batch = data.take(20_000)
    points, labels = batch["real"].double().numpy(), batch["labels"].numpy()
    assert batch["real"].dtype == torch.float32
    assert points.shape == (20_000, *data.sample_shape) == (20_000, 2)
    noise = (points - data.centres[labels]) / data.std
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03
    assert stats.chisquare(np.bincount(labels, minlength=data.num_classes)).pvalue > 1e-3
    assert len(np.unique(points, axis=0)) == 20_000, "no point comes twice"


@pytest.mark.parametrize("name", MIXTURES)
def test_the_metric_of_the_same_name_finds_the_reals_perfect(name):
    """Data and metric state their centres apart; both agree, and so does what evaluation=points makes of the data."""
    data = started(name)
    stated = OmegaConf.load(ROOT / "conf" / "metric" / f"modes_{name}.yaml")
    points = OmegaConf.create(
        {
            "data": OmegaConf.load(ROOT / "conf" / "data" / f"{name}.yaml"),
            "evaluation": OmegaConf.load(ROOT / "conf" / "evaluation" / "points.yaml"),
        }
    )
    assert points.evaluation.metrics.modes == stated
    metric = GaussianModes(stated.centres, stated.std, None)
    metric.update(data.take(2500)["real"])
    scores = metric.compute()
    assert scores[""] == data.num_classes
    assert scores["_high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.007), "within 3 std of a plane's Gaussian"
    assert scores["_kl"] < 0.01


def test_the_sequence_does_not_depend_on_batches_ranks_or_breaks(monkeypatch):
    count = BLOCK + 96  # across the border of two blocks
    whole = started().take(count)
    assert whole["index"].tolist() == list(range(count))
    data = started()
    pieces = [data.take(8) for _ in range(count // 8)]
    assert torch.equal(torch.cat([piece["real"] for piece in pieces]), whole["real"])
    resumed = started()
    resumed.load_state_dict({"position": 40, "seed": 0, "mixture": data.state_dict()["mixture"]})
    assert torch.equal(resumed.take(8)["real"], whole["real"][40:48])
    monkeypatch.setattr(collectives, "world", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        data = started()
        for first in range(0, 64, 16):
            mine = slice(first + 8 * rank, first + 8 * rank + 8)
            batch = data.take(16)
            assert all(torch.equal(batch[key], whole[key][mine]) for key in whole)


def test_another_seed_gives_other_points():
    assert not torch.equal(started(seed=1).take(8)["real"], started().take(8)["real"])


@pytest.mark.parametrize(
    ("other", "message"), [({"std": 0.03}, "trained on another mixture"), ({"seed": 3}, "data.seed=0")]
)
def test_a_checkpoint_of_other_points_is_refused(other, message):
    saved = started().state_dict()
    with pytest.raises(ValueError, match=message):
        started(**other).load_state_dict(saved)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"centres": [[0.0, 1.0]]}, "two or more points"),
        ({"centres": [[0.0, 1.0], [1.0]]}, r"data\.sample_shape=\[2\]"),
        ({"std": 0.0}, r"data\.std must be above 0, got 0\.0"),
        ({"num_classes": 7}, r"data\.num_classes=7, but ring has 8 centres"),
    ],
)
def test_what_is_no_mixture_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        build(**wrong)


def test_points_as_levels_of_grey():
    data = build()
    assert data.reach == 3.0
    images = data.render(torch.tensor([[-3.0, 3.0], [0.0, 9.0]]))
    assert images.dtype == torch.uint8
    assert images.tolist() == [[[[0, 255]]], [[[128, 255]]]]


def test_a_scatter_plot_stays_where_it_is():
    """The same axes whatever is drawn: one point more changes few pixels, near where it lies."""
    real, reach = torch.tensor([[-1.0, 0.0]]), 2.0
    first = scatter(real=real, fake=torch.tensor([[1.0, 1.0]]), reach=reach)
    assert first.dtype == np.uint8
    assert first.shape == (520, 500, 3)
    assert np.array_equal(first, scatter(real=real, fake=torch.tensor([[1.0, 1.0]]), reach=reach))
    moved = scatter(real=real, fake=torch.tensor([[1.0, -1.0]]), reach=reach)
    rows, columns = np.nonzero((first != moved).any(axis=2))
    assert 0 < len(rows) < 60
    assert np.ptp(columns) < 10
    assert np.ptp(rows) > 200, "half the height of the axes lies between"
    away = scatter(real=real, fake=torch.tensor([[1.0, 7.0]]), reach=reach)
    assert (away[:30] != first[:30]).any(), "the title says that a point is outside"
    with pytest.raises(ValueError, match="1 of 2 points are NaN or infinite"):
        scatter(real=real, fake=torch.tensor([[0.0, float("nan")], [0.0, 0.0]]), reach=reach)


def test_points_have_no_images_to_compare_with():
    with pytest.raises(ValueError, match=r"ring holds points, not images: .*choose evaluation=points"):
        build().reference("train")


POINTS = ["data=ring", "network=mlp", "evaluation=points", "model=gan", "model.generator.width=8"]
SMALL = [*POINTS, "model.discriminator.width=8", "data.batch_size=64", "evaluation.num_samples=100", "trainer=cpu"]


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (["data=ring"], "choose network=mlp"),
        (["data=ring", "network=mlp"], "ring holds points, not images: frechet, inception_score, kid cannot score it"),
    ],
)
def test_choices_for_images_are_refused_with_the_remedy(choices, said, command):
    done = command("train", *choices, "trainer=cpu", "threads=1")
    assert done.code == 1, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_run_trains_scores_draws_goes_on_and_samples(command, tmp_path):
    small = [*SMALL, "threads=1", "callbacks.pictures.every_kimg=1"]
    whole = command("train", *small, "total_kimg=2", "run_dir=whole")
    assert whole.code == 0, whole.output
    assert whole.output.count("health looks at images, and ring holds none") == 1
    (line,) = [json.loads(line) for line in (tmp_path / "whole" / "scores.jsonl").read_text().splitlines()]
    assert line["monitored"] == "gaussian_modes100"
    assert {"gaussian_modes100", "gaussian_modes100_high_quality", "gaussian_modes100_kl"} == set(line["scores"])
    with Image.open(tmp_path / "whole" / "pictures" / "latest.png") as picture:
        assert picture.size == (500, 520)

    assert command("train", *small, "total_kimg=1", "run_dir=parts").code == 0
    resumed = command("train", *small, "total_kimg=2", "run_dir=parts")
    assert "going on from" in resumed.output
    states = [
        torch.load(max((tmp_path / run / "checkpoints").glob("[0-9]*.ckpt")), weights_only=True)["state_dict"]
        for run in ("whole", "parts")
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    latest = [(tmp_path / run / "pictures" / "latest.png").read_bytes() for run in ("whole", "parts")]
    assert latest[0] == latest[1]

    for out, count in (("more", 70), ("fewer", 60)):
        sampled = command("sample", "checkpoint=whole", f"count={count}", f"out={out}")
        assert sampled.code == 0, sampled.output
        assert sorted(path.name for path in (tmp_path / out).iterdir()) == ["samples.npz", "scatter.png"]
    more, fewer = (np.load(tmp_path / out / "samples.npz")["points"] for out in ("more", "fewer"))
    assert more.shape == (70, 2)
    assert more.dtype == np.float32
    assert np.array_equal(more[:60], fewer)

    alone = command("evaluate", "checkpoint=whole", "device=cpu")
    assert alone.code == 0, alone.output
    assert "gaussian_modes100" in alone.output
    compared = command("compare", "whole", "parts")
    assert compared.code == 0, compared.output
