"""Targets, sources and masks in the stage: handed to the metrics that ask for them, missed before training."""

import csv
from functools import partial

import numpy as np
import pytest
import torch
from every_metric import CPU, Everything, Painter, Pictures, Translated, evaluation_of, score
from tiny import labelled_inputs

from gan_lab.data.reference import ReferenceSet
from gan_lab.evaluation.isolation import scoring_mode
from gan_lab.evaluation.scores import save_per_image
from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.l1 import MeanAbsoluteError
from gan_lab.metrics.psnr import PeakSignalToNoise

PSNR = partial(PeakSignalToNoise, channel="rgb", border=0)


class Keeping(BlockMetric):
    """Keeps what translators' blocks hold beside the pictures."""

    name = "keeping"
    higher_is_better = True
    needs = ("targets", "sources", "masks")
    in_space = False
    uses_reference = False

    def protocol(self):
        return {"metric": self.name}

    def compute(self):
        self.kept = {need: self.values(need) for need in self.needs}
        return {"": 0.0}


def blocks(samples: int, block: int) -> dict[str, torch.Tensor]:
    """All that a translator gives, cut to so many samples."""
    source = Translated(painter := Painter(), labelled_inputs(), Pictures().render, weights="ema", seed=0, device=CPU)
    with scoring_mode(painter, CPU):
        made = [source.make(number, block) for number in range(-(-samples // block))]
    names = ("images", "targets", "sources", "masks")
    return {name: torch.cat([getattr(one, name) for one in made])[:samples] for name in names}


def test_metrics_get_exactly_n_of_each():
    metrics = {"keeping": Keeping(), "psnr": PSNR(of="output", region="whole")}
    score(evaluation_of(metrics, 23, 5))
    expected = blocks(23, 5)
    for need, found in metrics["keeping"].kept.items():
        assert torch.equal(found, expected[need]), need


def test_a_score_is_the_mean_over_the_pictures_and_its_copy_stands_beside():
    metrics = {
        "psnr": PSNR(of="output", region="whole"),
        "hole": PSNR(of="output", region="hole"),
        "copy": PSNR(of="source", region="whole"),
        "l1": MeanAbsoluteError(of="source", region="known"),
    }
    found = score(evaluation_of(metrics, 120, 10, intervals={"resamples": 200, "level": 0.95}))
    given = {name: values.double() / (1 if name == "masks" else 255) for name, values in blocks(120, 10).items()}
    errors = (given["images"] - given["targets"]).square()
    by_hand = -10 * errors.mean(dim=(1, 2, 3)).log10()
    assert found.values["psnr120"] == pytest.approx(by_hand.mean().item(), rel=1e-12)
    assert found.values["psnr120_worst"] == pytest.approx(by_hand.min().item(), rel=1e-12)
    in_holes = -10 * ((errors * given["masks"]).sum(dim=(1, 2, 3)) / given["masks"].sum(dim=(1, 2, 3))).log10()
    assert found.values["psnr_hole120"] == pytest.approx(in_holes.mean().item(), rel=1e-12)
    copied, rest = (given["sources"] - given["targets"]).abs(), 1 - given["masks"]
    known = (copied * rest).sum(dim=(1, 2, 3)) / rest.sum(dim=(1, 2, 3))
    assert found.values["l1_known_copy120"] == pytest.approx(known.mean().item(), rel=1e-12)
    copied = -10 * copied.square().mean(dim=(1, 2, 3)).log10()
    assert found.values["psnr_copy120"] == pytest.approx(copied.mean().item(), rel=1e-12)
    assert found.intervals.keys() == {"psnr120", "psnr_hole120", "psnr_copy120", "l1_known_copy120"}
    low, high = found.intervals["psnr120"]
    assert low < found.values["psnr120"] < high
    half = 1.96 * by_hand.std().item() / 120**0.5
    assert (low, high) == pytest.approx((found.values["psnr120"] - half, found.values["psnr120"] + half), abs=half)
    assert len({found.protocols[name] for name in ("psnr120", "psnr_hole120", "psnr_copy120")}) == 3


def test_a_table_of_images_and_the_worst_of_them(tmp_path):
    metrics = {
        "psnr": PSNR(of="output", region="whole", shares=[0, 0.5, 1]),
        "l1": MeanAbsoluteError(of="output", region="hole"),
        "frame": Framed(),
    }
    found = score(evaluation_of(metrics, 23, 5, per_image=2))
    assert list(found.per_image) == ["labels", "hole_share", "psnr23", "l1_hole23"]
    given = blocks(23, 5)
    shares = given["masks"].double().mean(dim=(1, 2, 3))
    assert torch.equal(found.per_image["hole_share"], shares)
    errors = (given["images"].double() - given["targets"].double()).square().mean(dim=(1, 2, 3)) / 255**2
    torch.testing.assert_close(found.per_image["psnr23"], -10 * errors.log10(), rtol=1e-12, atol=0)
    wide = found.per_image["psnr23"][shares > 0.5]
    assert found.values["psnr23_share_50_100"] == pytest.approx(wide.mean().item(), rel=1e-12)
    assert found.values["psnr23_share_50_100_count"] == len(wide)

    save_per_image(tmp_path / "new", 64, found)
    with (tmp_path / "new" / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(23))
    assert {row["images_seen"] for row in rows} == {"64"}
    assert [float(row["l1_hole23"]) for row in rows] == found.per_image["l1_hole23"].tolist()

    (picture,) = found.pictures.values()
    assert list(found.pictures) == ["worst_psnr"]
    assert picture.shape == (3, 2 * (16 + 2), 4 * (16 + 2))
    for row, index in enumerate(errors.argsort(descending=True)[:2]):
        for column, name in enumerate(("sources", "masks", "images", "targets")):
            shown = picture[:, 18 * row :, 18 * column :][:, :16, :16]
            expected = given[name][index] * torch.tensor(255 if name == "masks" else 1, dtype=torch.uint8)
            assert torch.equal(shown, expected.expand(3, -1, -1)), (row, name)


def test_a_table_wants_a_metric_that_fills_it():
    with pytest.raises(ValueError, match=r"per_image must be 1 or more \(or null for no table\), got 0"):
        evaluation_of({"mine": PSNR(of="output", region="whole")}, 20, 10, per_image=0)
    with pytest.raises(
        ValueError, match=r"per_image=3, but none of the metrics \(everything, frame\) has a value of each"
    ):
        evaluation_of({"frame": Framed()}, 20, 10, per_image=3)


class Part(Translated):
    """Lacks some of what a translator gives."""

    lacking: tuple[str, ...]

    def make(self, block, size):
        made = super().make(block, size)
        for name in self.lacking:
            setattr(made, name, None)
        return made


@pytest.mark.parametrize(
    ("metric", "lacking", "remedy"),
    [
        (PSNR(of="output", region="whole"), "targets", "data with a condition, whose targets are known"),
        (PSNR(of="source", region="whole"), "sources", "data with a condition that is a picture"),
        (PSNR(of="output", region="hole"), "masks", "data with masks"),
        (Keeping(), "masks", "data with masks"),
    ],
)
def test_what_is_lacking_is_named_with_the_metric(metric, lacking, remedy):
    evaluation = evaluation_of({}, 20, 10)
    evaluation.metrics = {"everything": Everything(), "mine": metric}
    evaluation.prepare(Pictures(), CPU)
    source = Part(painter := Painter(), labelled_inputs(), Pictures().render, weights="ema", seed=0, device=CPU)
    reason = f"metric mine needs {lacking}, which these samples do not have: choose {remedy}$"
    with scoring_mode(painter, CPU):
        source.lacking = ()
        evaluation._values(source.make(0, 4), 0)
        source.lacking = (lacking,)
        with pytest.raises(ValueError, match=reason):
            evaluation._values(source.make(0, 4), 0)


def test_it_is_said_before_training():
    evaluation = evaluation_of({"mine": PSNR(of="output", region="whole")}, 20, 10)
    evaluation.metrics["everything"] = Everything()
    evaluation.prepare(Pictures(), CPU)
    with pytest.raises(ValueError, match="metric mine needs targets, which these samples do not have"):
        evaluation.rehearse(Painter(), labelled_inputs(), Pictures(), device=CPU)


def test_images_of_files_go_without():
    images = ReferenceSet(name="files", split="all", images=np.zeros((20, 1, 8, 8), np.uint8), labels=np.arange(20) % 3)
    metrics = {"hole": PSNR(of="output", region="hole"), "keeping": Keeping(), "frame": Framed()}
    evaluation = evaluation_of(metrics, 20, 10, monitor="frame")
    evaluation.metrics = metrics
    with pytest.warns(UserWarning, match="is left out") as said:
        found = evaluation.score_images(images, Pictures(), device=CPU)
    reasons = {"hole": "masks and targets", "keeping": "masks and sources and targets"}
    assert {str(warning.message) for warning in said} == {
        f"metric {name} is left out: it needs {what} of each image, which files do not have"
        for name, what in reasons.items()
    }
    assert set(evaluation.left_out) == {"hole", "keeping"}
    assert found.values == {"frame20": 0.0}


class Framed(BlockMetric):
    """The mean pixel."""

    name = "frame"
    higher_is_better = True
    needs = ("images",)
    in_space = False
    uses_reference = False

    def protocol(self):
        return {"metric": self.name}

    def compute(self):
        return {"": self.values("images").double().mean().item()}
