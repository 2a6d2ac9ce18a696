"""`python -m gan_lab.evaluate images=...`: classes of the two sets, and whose code may run."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from test_cli import assert_refused
from torch import nn

from gan_lab.distributed.topology import find_topology
from gan_lab.evaluate import with_enough
from gan_lab.evaluation.scoring import PreparedEvaluation, settings_by
from gan_lab.runs.checkpoint import CheckpointError
from gan_lab.runs.records import read_scores

SCORING = ["evaluation=default", "evaluation.metrics.kid.subset_size=10", "evaluation.block_size=10"]
DIGITNET = [*SCORING, "+extractor@evaluation.extractor=digitnet"]
BY_CLASS = "+metric@evaluation.metrics.intraclass=intraclass"


class Means(nn.Module):
    """Features and logits, as a program that can be exported."""

    def forward(self, images):
        return {"features": images.mean(dim=2).flatten(1), "logits": images.mean(dim=(2, 3))}


@pytest.fixture
def pets(tmp_path):
    """Folders of 20 images: `two` (cat, dog) and `three` (ant, cat, dog)."""
    pixels = np.random.default_rng(0).integers(256, size=(20, 16, 16), dtype=np.uint8)
    for folder, names in {"two": ("cat", "dog"), "three": ("ant", "cat", "dog")}.items():
        for number, image in enumerate(pixels):
            place = tmp_path / folder / names[number % len(names)]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number:02d}.png")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["against=three", BY_CLASS], ["class 0 is 'cat' in two and 'ant' in three", "by classes"]),
        (["data=digits", BY_CLASS], ["class 0 is 'cat' in two and '0' in digits"]),
        (["against=two", "num_samples=10"], ["num_samples=10 takes the first 10 of 20", "leaves out all of class dog"]),
    ],
    ids=["files", "data-set", "first-images"],
)
def test_other_classes_are_refused_before_anything_is_computed(arguments, said, command, pets, tmp_path):
    scoring = SCORING if "data=digits" in arguments else DIGITNET
    done = command("evaluate", "images=two", *scoring, *arguments, f"paths.cache_dir={tmp_path / 'cache'}")
    assert_refused(done, *said)
    assert not (tmp_path / "cache" / "references").exists()


def test_other_classes_do_not_matter_where_no_metric_goes_by_them(command, pets):
    done = command("evaluate", "images=two", "against=three", *DIGITNET, "num_samples=15")
    assert done.code == 0, done.output
    assert "first 15 of 20 images of two in their order: 10 of cat, 5 of dog" in done.output


def metrics_of(count, **changes):
    nodes = {
        name: {"_target_": "gan_lab.metrics." + target, **settings}
        for name, (target, settings) in {
            "frechet": ("frechet.FrechetDistance", {}),
            "is": ("inception_score.InceptionScore", {"splits": 10, "seed": 0}),
        }.items()
    }
    return {"num_samples": count, "monitor": "frechet", "metrics": nodes} | changes


@pytest.mark.parametrize(("count", "left"), [(2, ["frechet"]), (9, ["frechet"]), (10, ["frechet", "is"])])
def test_few_pictures_go_without_what_needs_more(count, left, capsys):
    """Kind F: nine pictures had no score at all, since one of the metrics needs ten."""
    assert list(with_enough(metrics_of(count), "few")) == left
    lost = f"without the metric is: it needs 10 images or more, and {count} are scored\n"
    assert capsys.readouterr().out == ("" if "is" in left else lost)


def test_one_picture_has_no_distance():
    with pytest.raises(
        ValueError, match=r"^1 of the images in images=one.npz .* frechet, .* needs 2 or more: give more"
    ):
        with_enough(metrics_of(1), "one.npz")


def test_the_command_scores_few_pictures(command, tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(20, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "few.npz", images=pixels[:2])
    np.savez(tmp_path / "many.npz", images=pixels)
    done = command("evaluate", "images=few.npz", "against=many.npz", *DIGITNET)
    assert done.code == 0, done.output
    assert "without the metric inception_score: it needs 10 images or more, and 2 are scored" in done.output
    assert "fd_digitnet2 " in done.output
    for count in (0, 3):
        refused = command("evaluate", "images=few.npz", "against=many.npz", *DIGITNET, f"num_samples={count}")
        assert_refused(refused, f"num_samples must be from 1 to 2, the number of images in images=few.npz, got {count}")
    np.savez(tmp_path / "one.npz", images=pixels[:1])
    refused = command("evaluate", "images=few.npz", "against=one.npz", *DIGITNET)
    assert_refused(refused, "against=one.npz has 1 image, and a comparison needs 2 or more")


def test_what_the_command_line_names_runs_without_trust(command, pets, tmp_path):
    batch = torch.export.Dim("batch")
    program = torch.export.export(Means(), (torch.zeros(2, 1, 16, 16),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "mine.pt2")
    extractor = "evaluation.extractor"
    done = command(
        "evaluate",
        *("images=two", "against=three", *SCORING, "out=out"),
        *(f"+extractor@{extractor}=custom", f"{extractor}.weights=mine.pt2", f"{extractor}.channels=1"),
        *(f"{extractor}.size=[16,16]", f"{extractor}.mean=[0]", f"{extractor}.std=[1]"),
    )
    assert done.code == 0, done.output
    (line,) = read_scores(tmp_path / "out" / "scores.jsonl")
    assert line["scores"]["fd_custom20"] == pytest.approx(0, abs=1e-6)


def test_the_same_in_a_stored_config_is_refused():
    module = {"_target_": "gan_lab.extractors.custom.exported_program", "_partial_": True}
    extractor = {"_target_": "gan_lab.extractors.custom.Custom", "_partial_": True, "module": module}
    evaluation = {"_target_": "gan_lab.evaluation.Evaluation", "extractor": extractor}
    stored = {"data": {"_target_": "gan_lab.data.digits.Digits"}, "evaluation": evaluation}
    config = OmegaConf.create({"data": {}, "evaluation": {}, "trust": []})
    with pytest.raises(CheckpointError, match=r"trust=\[gan_lab\.extractors\.custom\]"):
        settings_by(config, stored)
    settings = {"trust": [], "threads": None, "evaluation": evaluation}
    with pytest.raises(CheckpointError, match=r"trust=\[gan_lab\.extractors\.custom\]"):
        PreparedEvaluation(settings, stored, find_topology(), torch.device("cpu"), data=object())
