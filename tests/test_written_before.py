"""Kind C: what would end a command after hours of work is tried before it, and leaves nothing behind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation.test_stage import evaluation_of, score
from test_cli import assert_refused
from test_evaluate_images import DIGITNET

from gan_lab import evaluate
from gan_lab.data.archives import open_source
from gan_lab.distributed.topology import find_topology
from gan_lab.evaluation import scoring
from gan_lab.evaluation.scoring import PreparedEvaluation, naming_places
from gan_lab.runs.records import try_writing


def test_a_try_leaves_nothing(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "scores.jsonl").write_text("{}\n")
    before = (tmp_path / "there" / "scores.jsonl").stat()
    for folder in ("new", "new/and/deeper", "there"):
        try_writing(tmp_path / folder, "out", folder)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["scores.jsonl"]
    assert (tmp_path / "there" / "scores.jsonl").stat() == before


@pytest.mark.parametrize("inside", ["", "deeper", "deeper/still"])
def test_what_cannot_be_written_is_refused(inside, tmp_path):
    (tmp_path / "file").write_text("of others")
    with pytest.raises(ValueError, match=r"^out=mine cannot be written: .*file.*; choose another out=\.\.\.$"):
        try_writing(tmp_path / "file" / inside, "out", "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_made_is_removed_after_a_failure(tmp_path, monkeypatch):
    def refuse(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gan_lab.runs.records.tempfile.TemporaryFile", refuse)
    with pytest.raises(ValueError, match="No space left on device"):
        try_writing(tmp_path / "new" / "deeper", "out", "new/deeper")
    assert not (tmp_path / "new").exists()


def test_scores_that_lie_there_must_take_more(tmp_path):
    (tmp_path / "scores.jsonl").mkdir()
    with pytest.raises(ValueError, match=r"out=here cannot be written: .*Is a directory"):
        try_writing(tmp_path, "out", "here")


def test_scores_are_not_computed_for_a_place_that_takes_none(command, tmp_path):
    np.savez(tmp_path / "images.npz", images=np.zeros((20, 8, 8), np.uint8))
    (tmp_path / "file").write_text("of others")
    done = command("evaluate", "images=images.npz", "against=nowhere", *DIGITNET, "out=file/scores")
    assert_refused(done, "out=file/scores cannot be written", "choose another out=...")  # before it looks for `nowhere`


def test_scores_are_shown_even_where_they_cannot_be_kept_any_more(tmp_path, capsys):
    (tmp_path / "file").write_text("a disk that was full by then")
    with pytest.raises(OSError, match="file"):
        evaluate.finish({"out": str(tmp_path / "file")}, "title", 0, score(evaluation_of()), {})
    assert "title" in capsys.readouterr().out


@pytest.mark.parametrize(("out", "said"), [("file/net.safetensors", "cannot be written"), ("folder", "is a folder")])
def test_a_classifier_is_not_trained_for_a_place_that_takes_none(out, said, command, tmp_path):
    (tmp_path / "file").write_text("of others")
    (tmp_path / "folder").mkdir()
    nowhere = ["data=folder", "data.root=nowhere", "data.image_size=8"]
    done = command("fit_extractor", *nowhere, f"out={out}", "overwrite=true")
    assert_refused(done, f"out={out} {said}")  # before it looks for `nowhere`


@pytest.mark.parametrize(("message", "named"), [("data.root=pics does not exist", True), ("out of luck", False)])
def test_data_that_lies_elsewhere_now_is_named_by_its_key_here(message, named, monkeypatch):
    """`data.root` is a key of training; where a checkpoint is scored, `data_root` says where the data lies."""

    def build(node, trust, base):
        raise FileNotFoundError(message)

    monkeypatch.setattr(scoring, "build", build)
    settings = {"trust": [], "threads": None, "data": {"root": "pics"}}
    with pytest.raises((ValueError, OSError)) as caught:
        PreparedEvaluation(settings, {}, find_topology(), torch.device("cpu"))
    assert str(caught.value).startswith(message)
    assert ("data.root=pics" in str(caught.value) and "say data_root=PATH" in str(caught.value)) == named


def test_a_folder_that_is_not_there_is_such(tmp_path, monkeypatch):
    """The message of data=folder is among those that are told with the key."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"data\.root=pics .*data_root=PATH"), naming_places(*2 * [{"root": "pics"}]):
        open_source(Path("pics"))
