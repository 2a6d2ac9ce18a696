"""Compatibility: files and numbers of earlier commits, see `golden.py` beside this file."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from golden import GOLDEN, MODELS, PLAIN, RICH, RUN, composed, final_weights, run_names, trainings

from gan_lab.compare import main as compare
from gan_lab.report import main as report
from gan_lab.runs.checkpoint import load_generator
from gan_lab.runs.folder import find_folder
from gan_lab.runs.records import read_rows, read_scores
from gan_lab.runs.settings import run_name
from gan_lab.sampling import Draws

RUNS = GOLDEN / "runs"
WEIGHTS = json.loads((GOLDEN / "weights.json").read_text())
BY_PLACE = json.loads((GOLDEN / "names_by_place.json").read_text())


@pytest.fixture
def runs(tmp_path):
    """A copy of the run folders, in the folder in which commands run."""
    shutil.copytree(RUNS, tmp_path, dirs_exist_ok=True)
    return tmp_path


def golden_command(command, *overrides, monkeypatch):
    monkeypatch.setenv("GAN_LAB_CACHE", "cache")
    return command("train", *RUN, *overrides)


@pytest.mark.parametrize("name", [name for name in trainings() if name not in MODELS])
def test_three_iterations_end_with_the_same_weights(name, tmp_path):
    """Those of the models are trained and held in `distributed/test_ranks_equal_one_process.py`."""
    found = final_weights(trainings()[name], tmp_path)
    assert found.keys() == WEIGHTS[name].keys()
    for network, sums in WEIGHTS[name].items():
        assert found[network] == pytest.approx(sums, rel=1e-8, abs=1e-8), network


def test_every_training_has_its_weights():
    assert trainings().keys() == WEIGHTS.keys()


def test_commands_name_the_same_folders():
    assert run_names() == json.loads((GOLDEN / "names.json").read_text())


@pytest.mark.parametrize("words", BY_PLACE)
def test_a_folder_that_was_named_by_places_is_still_found(words, tmp_path, monkeypatch):
    """Kind B: its name held where Inception's weights or the pictures lay; its command, with a cache elsewhere, goes on
    in it (raster-vision#756)."""
    monkeypatch.chdir(tmp_path)
    stored, choices = composed(words.split())
    earlier = tmp_path / "runs" / BY_PLACE[words]
    earlier.mkdir(parents=True)
    (earlier / "config.yaml").write_text(json.dumps(stored))
    settings, _ = composed(words.split(), cache="another/cache")
    assert find_folder(settings, choices, None) == Path("runs", BY_PLACE[words])
    other = settings | {"model": settings["model"] | {"ema_half_life_kimg": 77}}
    assert find_folder(other, choices, None) == Path("runs", run_name(other, choices))


@pytest.mark.parametrize("weights", ["ema", "live"])
def test_a_generator_of_a_checkpoint(weights):
    loaded = load_generator(RUNS / "unbroken", weights=weights)
    samples = loaded.network(**loaded.inputs.draw(Draws(0, across_ranks=False), 3))
    assert loaded.images_seen == 640
    assert samples.shape == (3, 1, 16, 16)


def test_snapshots_are_scored_by_the_same_protocols_to_the_same_values(command, runs):
    run = next((runs / "runs" / "dcgan_digits").glob("*/seed0"))
    goldens = read_scores(run / "scores.jsonl")
    (run / "scores.jsonl").unlink()  # what is scored by the same protocol already is not scored again
    done = command("evaluate", f"run={run}", "out=scored", "threads=1")
    assert done.code == 0, done.output
    for found, golden in zip(read_scores(runs / "scored" / "scores.jsonl"), goldens, strict=True):
        assert found["protocols"] == golden["protocols"]
        assert found["scores"] == pytest.approx(golden["scores"], rel=1e-3)


def test_a_finished_run_is_found_by_its_command(command, runs, monkeypatch):
    done = golden_command(command, *PLAIN, "seed=1", "total_kimg=0.64", monkeypatch=monkeypatch)
    assert done.code == 0, done.output
    assert "is finished (0.64 kimg)" in done.output


def test_a_broken_run_goes_on_to_the_end_of_the_unbroken(command, runs, monkeypatch):
    done = golden_command(command, *RICH, "total_kimg=0.64", "run_dir=broken", monkeypatch=monkeypatch)
    assert done.code == 0, done.output
    assert "going on from 000000000320.ckpt" in done.output
    ends = [
        torch.load(runs / run / "checkpoints" / "000000000640.ckpt", weights_only=True)
        for run in ("broken", "unbroken")
    ]
    found, golden = (end["state_dict"] for end in ends)
    assert found.keys() == golden.keys()
    for name, tensor in golden.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    assert len(read_rows(runs / "broken" / "metrics.csv")) == len(read_rows(RUNS / "unbroken" / "metrics.csv"))
    scores, expected = (read_scores(where / "scores.jsonl") for where in (runs / "broken", RUNS / "unbroken"))
    assert [line["protocols"] for line in scores] == [line["protocols"] for line in expected]


def test_runs_are_compared_and_reported(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    monkeypatch.setattr("sys.argv", ["compare", "runs", "unbroken", "broken", "--csv", "-"])
    with pytest.raises(SystemExit) as ended:
        compare()
    assert ended.value.code == 0
    table = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [(row["rank"], row["seeds"], row["unfinished"]) for row in table] == [("1", "1", "1"), ("2", "2", "0")]
    monkeypatch.setattr("sys.argv", ["report", "runs", "--out", "page.html"])
    report()
    assert "fd_digitnet60" in (runs / "page.html").read_text()
