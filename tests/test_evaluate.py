"""`python -m gan_lab.evaluate` beyond one checkpoint: whole runs, images of files, several devices, other protocols."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, SMALL, _run_command
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from test_cli import assert_refused

from gan_lab.config import register
from gan_lab.data.images import to_uint8
from gan_lab.data.stored import stored_images
from gan_lab.distributed.topology import find_topology
from gan_lab.evaluate import score_checkpoint
from gan_lab.evaluation import generation
from gan_lab.evaluation.display import draw_curve
from gan_lab.evaluation.scores import Scores, append_scores, save_pictures
from gan_lab.evaluation.scoring import naming_places, settings_by
from gan_lab.runs.checkpoint import CheckpointError, load_generator
from gan_lab.runs.records import read_scores, snapshots_of

DIGITS = ["evaluation=default", "evaluation.metrics.kid.subset_size=10", "evaluation.block_size=10"]
AGAINST_DIGITS = [*DIGITS, "data=digits", "data.image_size=16"]


@pytest.fixture(scope="module")
def run(forkserver, tmp_path_factory) -> Path:
    """The folder of a finished run, scored at 32, 64 and 96 images."""
    folder = tmp_path_factory.mktemp("trained")
    arguments = [*SMALL, "model=gan", "total_kimg=0.096", "callbacks.evaluation.every_kimg=0.032", "run_dir=run"]
    output = folder / "output.txt"
    process = forkserver.Process(target=_run_command, args=("gan_lab.train", arguments, str(folder), str(output)))
    process.start()
    process.join(240)
    assert process.exitcode == 0, output.read_text()
    return folder / "run"


@pytest.fixture(scope="module")
def made(run) -> np.ndarray:
    """(20, 16, 16) uint8: the very images on which the run was scored at its end."""
    loaded = load_generator(snapshots_of(run)[96])
    from gan_lab.evaluation.sources import Generated

    source = Generated(loaded.network, loaded.inputs, to_uint8, weights="ema", seed=0, device=torch.device("cpu"))
    return torch.cat([source.make(block, 10).images for block in range(2)])[:, 0].numpy()


def main_scores(line: dict) -> dict[str, float]:
    return {name: value for name, value in line["scores"].items() if "_std" not in name}


# Several devices ------------------------------------------------------------------------------------------------


def test_two_processes_give_the_same_bits(command, run, tmp_path):
    two = ["devices=2", "device=cpu", "out=two"]
    done = command("evaluate", f"checkpoint={snapshots_of(run)[96]}", *two, forking=False)
    assert done.code == 0, done.output
    (line,) = read_scores(tmp_path / "two" / "scores.jsonl")
    expected = read_scores(run / "scores.jsonl")[-1]
    assert (line["scores"], line["protocols"]) == (expected["scores"], expected["protocols"])
    assert done.output.count("fd_digitnet20 ") == 1, "one table"


def test_statistics_are_taken_with_the_threads_asked_for(run, monkeypatch):
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        config = compose("evaluate", [f"checkpoint={snapshots_of(run)[96]}", "threads=3"])
    before, seen = torch.get_num_threads(), []

    def notice(loaded, **further):
        seen.append(torch.get_num_threads())
        raise StopIteration

    monkeypatch.setattr(generation, "asked", notice)
    try:
        with pytest.raises(StopIteration):
            score_checkpoint(config, find_topology(), torch.device("cpu"))
    finally:
        torch.set_num_threads(before)
    assert seen == [3]


# Whole runs -----------------------------------------------------------------------------------------------------


def test_a_whole_run_is_scored_once_by_each_protocol(command, run, tmp_path):
    as_trained = command("evaluate", f"run={run}")
    assert as_trained.code == 0, as_trained.output
    assert as_trained.output.count("is scored already") == 3
    assert not (run / "evaluation" / "scores.jsonl").exists()
    values = {line["images_seen"]: line["scores"]["fd_digitnet20"] for line in read_scores(run / "scores.jsonl")}
    best = min(values, key=values.__getitem__)
    assert load_generator(run / "evaluation" / "best.safetensors").images_seen == best
    with Image.open(run / "evaluation" / "curve.png") as picture:
        assert picture.size == (700, 400)

    other = ["num_samples=30", "out=other"]
    for reused in (0, 3):
        done = command("evaluate", f"run={run}", *other)
        assert done.code == 0, done.output
        assert done.output.count("is scored already") == reused
    lines = read_scores(tmp_path / "other" / "scores.jsonl")
    assert [line["images_seen"] for line in lines] == [32, 64, 96]
    assert done.output.count(" best ") == 1, "marked in the table"
    alone = command("evaluate", f"checkpoint={snapshots_of(run)[64]}", "num_samples=30", "out=alone")
    assert alone.code == 0, alone.output
    (expected,) = read_scores(tmp_path / "alone" / "scores.jsonl")
    assert (lines[1]["scores"], lines[1]["protocols"]) == (expected["scores"], expected["protocols"])
    protocols = json.loads((tmp_path / "other" / "protocols.json").read_text())
    assert set(lines[0]["protocols"].values()) == set(protocols)


# Images of files --------------------------------------------------------------------------------------------------


def test_images_of_files_have_the_scores_of_the_generator_that_made_them(command, run, made, tmp_path):
    (tmp_path / "set").mkdir()
    for number, image in enumerate(made):
        Image.fromarray(image).save(tmp_path / "set" / f"{number:03d}.png")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in sorted((tmp_path / "set").iterdir()):
            archive.write(file, file.name)
    np.savez(tmp_path / "set.npz", images=made[..., None])
    expected = read_scores(run / "scores.jsonl")[-1]
    digests = set()
    for place in ("set", "set.zip", "set.npz"):
        done = command("evaluate", f"images={place}", *AGAINST_DIGITS, "threads=1", f"out=of_{place}")
        assert done.code == 0, done.output
        (line,) = read_scores(tmp_path / f"of_{place}" / "scores.jsonl")
        assert main_scores(line) == pytest.approx(main_scores(expected), rel=1e-12)
        assert line["images"] == place
        digests.add((line["content"], *sorted(line["protocols"].items())))
    assert len(digests) == 1, "another way to store them is no other protocol"
    assert "of 20 images) against digits" in done.output
    other = command("evaluate", "images=set.npz", *DIGITS, "data=digits", "num_samples=15", "out=other")
    assert other.code == 0, other.output
    assert "images are 1x16x16, those of digits 1x32x32" in other.output
    assert "fd_digitnet15" in other.output


def test_images_against_images(command, made, tmp_path):
    np.savez(tmp_path / "a.npz", images=made)
    np.savez(tmp_path / "b.npz", images=np.random.default_rng(0).integers(256, size=(20, 16, 16), dtype=np.uint8))
    digitnet = [*DIGITS, "+extractor@evaluation.extractor=digitnet"]
    for place in ("a", "b"):
        done = command("evaluate", "images=a.npz", f"against={place}.npz", *digitnet, f"out={place}")
        assert done.code == 0, done.output
    same, other = (read_scores(tmp_path / place / "scores.jsonl")[0]["scores"]["fd_digitnet20"] for place in "ab")
    assert same == pytest.approx(0, abs=1e-9)
    assert other > 1
    digest = stored_images(tmp_path / "b.npz", None, tmp_path).digest
    records = json.loads((tmp_path / "b" / "protocols.json").read_text()).values()
    references = [record["reference"] for record in records if record["reference"] is not None]
    assert {"data": "b", "split": "as stored", "content": digest, "count": 20} in references


# Another protocol than the stored one -----------------------------------------------------------------------------

STORED = {
    "data": {"_target_": "gan_lab.data.digits.Digits", "name": "digits", "root": "there", "seed": 3},
    "evaluation": {
        "_target_": "gan_lab.evaluation.Evaluation",
        "extractor": {"_target_": "gan_lab.extractors.digitnet.DigitNet", "_partial_": True},
        "num_samples": 20,
        "seed": 0,
    },
}
INCEPTION = "gan_lab.extractors.inception.Inception"
KEYS = {"trust": [], "data_root": None, "extractor_weights": None, "num_samples": None, "seed": None}


def by(stored=STORED, **changes):
    config = OmegaConf.create({"data": {}, "evaluation": {}, **KEYS} | changes)
    settings = settings_by(config, stored)
    return settings["data"], settings["evaluation"]


def test_without_a_choice_all_is_as_stored():
    assert by() == (STORED["data"], STORED["evaluation"])


def test_single_keys_change_what_is_stored():
    data, evaluation = by(data_root="here", extractor_weights="w", num_samples=5, seed=7, data={"limit": 2})
    assert data == STORED["data"] | {"root": "here", "limit": 2}
    assert evaluation["extractor"]["weights"] == "w"
    assert (evaluation["num_samples"], evaluation["seed"]) == (5, 7)


def test_a_folder_of_several_roots_moves_as_a_whole():
    of_folders = STORED["data"] | {"_target_": "gan_lab.data.unpaired.UnpairedFolders", "root": None, "folder": "there"}
    data, _ = by(STORED | {"data": of_folders}, data_root="here")
    assert data == of_folders | {"folder": "here"}


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ({"root": "old/B", "source_root": "old/A"}, {"root": "here", "source_root": "old/A"}),
        (
            {"root": "old", "source_root": "old/A", "test_root": "old"},
            {"root": "here", "source_root": "here/A", "test_root": "here"},
        ),
    ],
)
def test_what_lies_in_the_folder_that_has_moved_moves_along(places, moved):
    stored = STORED["data"] | places
    data, _ = by(STORED | {"data": stored}, data_root="here")
    assert data == stored | moved
    data, _ = by(STORED | {"data": stored}, data_root="here", data={"source_root": "there"})
    assert data == stored | moved | {"source_root": "there"}


@pytest.mark.parametrize(
    ("root", "moved"), [("there", "here"), ("there/holes", "here/holes"), ("alpha", "alpha"), ("therein", "therein")]
)
def test_masks_beside_the_pictures_move_along(root, moved):
    of_masks = {"_target_": "gan_lab.data.masked.OwnMasks", "root": root, "test_root": None}
    condition = {"_target_": "gan_lab.data.conditions.Masked", "masks": of_masks}
    data, _ = by(STORED | {"data": STORED["data"] | {"condition": condition}}, data_root="here")
    assert data["condition"] == condition | {"masks": of_masks | {"root": moved}}


def test_all_places_that_are_gone_are_named_with_their_keys(tmp_path):
    """Those of the run, and what changes each of them here."""
    masks = {"masks": {"root": str(tmp_path / "holes"), "test_root": str(tmp_path)}}
    stored = {"root": str(tmp_path / "B"), "source_root": str(tmp_path / "A"), "condition": masks}
    with pytest.raises(ValueError) as caught, naming_places(stored, stored | {"root": str(tmp_path)}):
        raise FileNotFoundError("data.source_root=A does not exist")
    assert str(caught.value) == (
        f"data.source_root=A does not exist. The run was trained on data.source_root={tmp_path}/A and "
        f"data.condition.masks.root={tmp_path}/holes; where the data lies elsewhere now, say +data.source_root=PATH "
        "+data.condition.masks.root=PATH"
    )


def test_a_chosen_data_set_leaves_the_feature_space():
    other = {"_target_": "gan_lab.data.mnist.MNIST", "seed": None}
    data, evaluation = by(data=other, evaluation={"extractor": {"_target_": INCEPTION}})
    assert data == other | {"seed": 0}
    assert evaluation == STORED["evaluation"]


def test_a_chosen_evaluation_takes_its_extractor_from_the_run():
    chosen = {"_target_": "gan_lab.evaluation.Evaluation", "num_samples": 9, "extractor": {"_partial_": True}}
    _, evaluation = by(evaluation=chosen)
    assert evaluation == chosen | {"extractor": STORED["evaluation"]["extractor"]}
    _, evaluation = by(STORED | {"evaluation": {"extractor": {"_target_": INCEPTION}}}, evaluation=chosen)
    assert evaluation["extractor"] == {"_target_": INCEPTION, "_partial_": True}


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        (
            {},
            "data=folder data.root=PICTURES data.image_size=PIXELS evaluation=default extractor@evaluation.extractor=",
        ),
        ({"data": {"_target_": "x"}}, "example: evaluation=default extractor@evaluation.extractor=inception"),
        (
            {"data": {"_target_": "x"}, "evaluation": {"_target_": "x", "extractor": {}}},
            "example: extractor@evaluation.extractor=inception",
        ),
    ],
)
def test_what_an_imported_generator_is_scored_by_has_to_be_said(given, lacking):
    with pytest.raises(ValueError, match="imported") as refused:
        by(STORED | {"data": {}, "evaluation": {}}, **given)
    assert lacking in str(refused.value)


def test_an_evaluation_needs_an_extractor():
    with pytest.raises(ValueError, match="names no extractor"):
        by(STORED | {"evaluation": {}}, evaluation={"_target_": "gan_lab.evaluation.Evaluation"})


@pytest.mark.parametrize(("value", "said"), [({"_target_": "os.system"}, "os.system"), ("${oc.env:HOME}", "HOME")])
def test_a_stranger_s_config_is_refused_before_it_is_resolved(value, said):
    with pytest.raises((CheckpointError, ValueError), match=said):
        by(STORED | {"data": STORED["data"] | {"extra": value}})


# Files ------------------------------------------------------------------------------------------------------------


def test_intervals_and_pictures_are_kept(tmp_path):
    picture = torch.arange(2 * 3 * 4, dtype=torch.uint8).view(1, 4, 6)
    scores = Scores({"fd9": 3.0}, {"fd9": "p"}, {"p": {}}, "fd9", False, 1.0)
    scores.intervals, scores.pictures = {"fd9": (2.5, 3.5)}, {"pairs": picture, "colours": picture.repeat(3, 1, 1)}
    scores.intervals_about = {"resamples": 200, "level": 0.9}
    append_scores(tmp_path, 64, scores, {"snapshot": "s"})
    save_pictures(tmp_path / "pictures", 64, scores)
    (line,) = read_scores(tmp_path / "scores.jsonl")
    assert (line["intervals"], line["snapshot"]) == ({"fd9": [2.5, 3.5]}, "s")
    assert line["intervals_about"] == {"resamples": 200, "level": 0.9}
    with Image.open(tmp_path / "pictures" / "pairs_000000000064.png") as found:
        assert np.array_equal(np.asarray(found), picture[0].numpy())
    with Image.open(tmp_path / "pictures" / "colours_000000000064.png") as found:
        assert np.array_equal(np.asarray(found)[..., 1], picture[0].numpy())


def test_a_curve_without_an_interval_where_other_scores_have_one(tmp_path):
    lines = [{"images_seen": 1000 * i, "scores": {"fd9": 3.0 - i}, "monitored": "fd9"} for i in range(3)]
    lines[1]["intervals"] = {"kid9": [1.0, 2.0]}
    lines[2]["intervals"] = {"fd9": [0.5, 1.5]}
    draw_curve(lines, lines[2], tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as found:
        assert found.size == (700, 400)


# Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], ["give one of checkpoint=..., images=..., run=..., watch=...; got none of them"]),
        (["checkpoint=a", "run=b"], ["got checkpoint and run"]),
        (["checkpoint=a", "devices=0"], ["devices must be 1 or more, or auto, got 0"]),
        (["checkpoint=a", "devices=two"], ["devices must be 1 or more, or auto, got 'two'"]),
        (["checkpoint=a", "threads=0"], ["threads must be 1 or more"]),
        (["checkpoint=a", "against=b"], ["against=b has no meaning with checkpoint=..."]),
        (["checkpoint=nowhere", "devices=2", "device=cpu"], ["there is no checkpoint at nowhere"]),
        (["run=nowhere"], ["nowhere is no run's folder"]),
        (["run=bare"], ["bare holds no snapshots"]),
        (["images=x.npz"], ["one thing to compare with: data=cifar10 (say), or against=PATH"]),
        (["images=x.npz", "against=y", "data=digits"], ["one thing to compare with"]),
        (["images=nowhere", "data=digits"], ["there is nothing at nowhere"]),
        (["images=x.npz", "data=digitz"], ["no data=digitz"]),
        (["images=x.npz", *AGAINST_DIGITS, "num_samples=1"], ["num_samples"]),
        (["evaluation.num_samples=9"], ["unknown key evaluation.num_samples; first choose one: evaluation=NAME"]),
        (
            ["images=x.npz", *AGAINST_DIGITS, "num_samples=99"],
            ["num_samples must be from 1 to 12", "in images=x.npz, got 99"],
        ),
        (["images=x.npz", "data=digits", "weights=live"], ["weights=live has no meaning with images=..."]),
        (["images=x.npz", "against=x.npz"], ["Inception's weights file", "is absent"]),
    ],
    ids=lambda given: "-".join(given)[:60],
)
def test_evaluate_refuses(arguments, said, command, tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((12, 16, 16), np.uint8))
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.yaml").write_text(
        json.dumps({"data": {}, "evaluation": {"_target_": "gan_lab.evaluation.Evaluation"}})
    )
    assert_refused(command("evaluate", *arguments), *said)
