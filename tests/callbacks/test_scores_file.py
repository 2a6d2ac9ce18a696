"""Scoring at ticks: scores.jsonl, snapshots, the best value and patience."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback
from tiny import ScriptedEvaluation, fit, settings

from gan_lab.callbacks.checkpointing import Checkpointing
from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.evaluation.scores import Scores, append_scores
from gan_lab.models.base import NonFiniteError
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.runs.records import append_line, content_sha256, cut_scores, read_scores, snapshots_of


def scored(values, folder, *, images=10, patience=None, snapshots=None, n_critic=1, **script):
    """Train with an evaluation every two images; gives the callback and the module."""
    evaluate = Evaluate(every_kimg=0.002, patience_kimg=patience)
    evaluate.evaluation = ScriptedEvaluation(values, **script) if values is not None else None
    keeping = [Checkpointing(every_kimg=None, keep=1, keep_snapshots=snapshots)]
    module = HingeGAN(**settings(n_critic=n_critic))
    trainer = fit(module, images=images, callbacks=[evaluate, *keeping], folder=folder)
    return evaluate, module, trainer


def line_of(value, images, folder):
    append_scores(folder, images, Scores({"fd9": value}, {"fd9": "p"}, {"p": {"seed": 0}}, "fd9", False, 1.5))


def test_lines(tmp_path):
    line_of(3.0, 64, tmp_path)
    line_of(2.0, 128, tmp_path)
    lines = read_scores(tmp_path / "scores.jsonl")
    assert lines[1] == {
        "images_seen": 128,
        "scores": {"fd9": 2.0},
        "protocols": {"fd9": "p"},
        "monitored": "fd9",
        "higher_is_better": False,
        "clock/seconds": 1.5,
        "clock/threads": torch.get_num_threads(),
    }
    assert json.loads((tmp_path / "protocols.json").read_text()) == {"p": {"seed": 0}}
    assert read_scores(tmp_path / "none.jsonl") == []


def test_values_survive_to_the_bit(tmp_path):
    line_of(0.1 + 0.2, 64, tmp_path)
    assert read_scores(tmp_path / "scores.jsonl")[0]["scores"]["fd9"] == 0.1 + 0.2


def test_lines_past_the_checkpoint_are_cut(tmp_path):
    path = tmp_path / "scores.jsonl"
    cut_scores(path, 0)
    for images in (64, 128, 192):
        line_of(1.0, images, tmp_path)
    whole = path.read_text()
    cut_scores(path, 192)
    assert path.read_text() == whole
    cut_scores(path, 128)
    assert [line["images_seen"] for line in read_scores(path)] == [64, 128]


def test_a_line_cut_short_gives_way_to_the_next(tmp_path):
    line_of(1.0, 64, tmp_path)
    whole = (tmp_path / "scores.jsonl").read_text()
    (tmp_path / "scores.jsonl").write_text(whole + whole[:-10])
    line_of(2.0, 128, tmp_path)
    assert [line["images_seen"] for line in read_scores(tmp_path / "scores.jsonl")] == [64, 128]


@pytest.mark.parametrize("length", [1, 20, -2])
def test_a_last_line_cut_short_is_dropped(length, tmp_path):
    path = tmp_path / "scores.jsonl"
    line_of(1.0, 64, tmp_path)
    first = path.read_text()
    line_of(1.0, 128, tmp_path)
    path.write_text(first + path.read_text().removeprefix(first)[:length])
    assert [line["images_seen"] for line in read_scores(path)] == [64]
    cut_scores(path, 1000)
    assert path.read_text() == first


def test_every_tick_is_scored_once_and_the_end_too(tmp_path):
    scored([5, 4, 3, 2, 1], tmp_path, images=9)
    assert [line["images_seen"] for line in read_scores(tmp_path / "scores.jsonl")] == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(("higher", "best", "at"), [(False, 1.0, 6), (True, 7.0, 4)])
def test_the_best_is_chosen_by_the_score_s_direction(higher, best, at, tmp_path):
    evaluate, _, _ = scored([5.0, 7.0, 1.0, 3.0, 6.0], tmp_path, higher_is_better=higher)
    assert (evaluate.best, evaluate.best_images) == (best, at)


def test_an_equal_score_is_no_better(tmp_path):
    evaluate, _, _ = scored([5.0, 5.0, 5.0, 5.0, 5.0], tmp_path)
    assert evaluate.best_images == 2


def test_scores_of_another_protocol_are_not_compared(tmp_path):
    evaluate, _, _ = scored([5.0, 4.0, 9.0], tmp_path, images=6)
    again = Evaluate(every_kimg=0.002, patience_kimg=None)
    again.load_state_dict(evaluate.state_dict())
    assert again.best == 4.0
    again.evaluation = ScriptedEvaluation([8.0], protocol="another")
    fit(HingeGAN(**settings()), images=2, callbacks=[again], folder=tmp_path)
    assert (again.best, again.best_protocol) == (8.0, "another")


def test_patience_ends_training(tmp_path):
    """Best at 4; nothing better by 8, four images later; training ends with the iteration after that."""
    evaluate, module, trainer = scored([5.0, 3.0, 4.0, 4.0, 9.0, 1.0, 1.0], tmp_path, images=1000, patience=0.004)
    assert module.images_seen == 10
    assert evaluate.best == 3.0
    assert "no better fd9 for 0.004 kimg" in trainer.callbacks[0].reason


def test_patience_ends_at_an_iteration_s_end(tmp_path):
    """Out of patience at 6, where an iteration has just ended: the one after it is the last."""
    _, module, _ = scored([5.0] * 9, tmp_path, images=1000, patience=0.004, n_critic=3)
    assert module.iteration_ended
    assert module.images_seen == 12


def test_better_scores_renew_patience(tmp_path):
    _, module, _ = scored([5.0, 5.0, 4.0, 4.0, 3.0], tmp_path, images=10, patience=0.004)
    assert module.images_seen == 10


def test_snapshots_are_left_and_kept(tmp_path):
    scored([5, 4, 3, 2, 1], tmp_path, snapshots=2)
    names = sorted(path.name for path in (tmp_path / "snapshots").iterdir())
    assert names == [f"{images:012d}{kind}" for images in (8, 10) for kind in (".json", ".safetensors")]


def test_all_snapshots_on_request_and_without_a_score(tmp_path):
    scored(None, tmp_path, snapshots=None)
    assert len(list((tmp_path / "snapshots").glob("*.safetensors"))) == 5
    assert read_scores(tmp_path / "scores.jsonl") == []
    about = json.loads((tmp_path / "snapshots" / "000000000010.json").read_text())
    assert (about["images_seen"], about["network"], about["weights"]) == (10, "generator", "ema")


class Watcher(Callback):
    """Notes at images in `scored` what a watcher would of the snapshot at `of`; its digest is wrong where told so."""

    def __init__(self, scored, wrong=()):
        self.scored, self.wrong, self.seen = scored, wrong, {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        folder, now = Path(trainer.default_root_dir), pl_module.images_seen
        self.seen[now] = list(snapshots_of(folder))
        for of in self.scored.get(now, ()):
            (folder / "watch").mkdir(exist_ok=True)
            sha256 = "0" * 64 if of in self.wrong else content_sha256(snapshots_of(folder)[of])
            line = {"images_seen": of, "scores": {"fd9": 1.0}, "protocols": {"fd9": "p"}, "monitored": "fd9"}
            append_line(folder / "watch" / "scores.jsonl", line | {"higher_is_better": False, "snapshot": sha256})


@pytest.mark.parametrize(
    ("scored", "wrong", "left"),
    [
        ({}, (), [2, 4, 6, 8, 10]),
        ({6: [2]}, (), [4, 6, 8, 10]),
        ({8: [2, 4, 8]}, (), [6, 8, 10]),
        ({6: [2, 4, 6]}, (4,), [4, 8, 10]),
    ],
)
def test_a_watched_run_deletes_only_what_has_been_scored(scored, wrong, left, tmp_path):
    evaluate = Evaluate(every_kimg=0.002, patience_kimg=None)
    evaluate.watched = True
    keeping = Checkpointing(every_kimg=None, keep=1, keep_snapshots=2)
    callbacks = [evaluate, Watcher(scored, wrong), keeping]
    fit(HingeGAN(**settings()), images=10, callbacks=callbacks, folder=tmp_path)
    assert list(snapshots_of(tmp_path)) == left
    assert sorted(path.stem for path in (tmp_path / "snapshots").glob("*.json")) == [f"{of:012d}" for of in left]


def test_snapshots_ahead_of_the_checkpoint_are_dropped(tmp_path):
    scored([5, 4, 3, 2, 1], tmp_path)
    ahead = {images: path.read_bytes() for images, path in snapshots_of(tmp_path).items()}
    (tmp_path / "scores.jsonl").unlink()
    evaluate = Evaluate(every_kimg=0.002, patience_kimg=None)
    watcher = Watcher({})
    fit(HingeGAN(**settings()), images=4, callbacks=[watcher, evaluate], folder=tmp_path)
    assert watcher.seen == {2: [], 4: [2]}
    assert list(snapshots_of(tmp_path)) == [2, 4]
    assert len(ahead) == 5


def test_a_run_that_is_no_longer_watched_knows_the_best_so_far(tmp_path):
    fit(HingeGAN(**settings()), images=4, callbacks=[Evaluate(0.002, None), Watcher({4: [2]})], folder=tmp_path)
    resumed = Evaluate(every_kimg=0.002, patience_kimg=None)
    resumed.evaluation = ScriptedEvaluation([5.0, 0.5])
    shutil.copytree(tmp_path / "watch", tmp_path / "kept")
    shutil.rmtree(tmp_path / "snapshots")
    fit(HingeGAN(**settings()), images=2, callbacks=[resumed], folder=tmp_path)
    assert (resumed.best, resumed.best_images, resumed.improved) == (1.0, 2, False)


def test_what_is_not_finite_is_not_scored(tmp_path):
    evaluate = Evaluate(every_kimg=0.002, patience_kimg=None)
    evaluate.evaluation = ScriptedEvaluation([5.0])
    module = HingeGAN(**settings())
    module.discriminator.weight.data.fill_(float("nan"))
    with pytest.raises(NonFiniteError):
        fit(module, images=2, callbacks=[evaluate], folder=tmp_path)
    assert not (tmp_path / "scores.jsonl").exists()
    assert not (tmp_path / "snapshots").exists()


def test_bad_values():
    with pytest.raises(ValueError, match=r"stop.patience_kimg must be more than 0.*got 0"):
        Evaluate(every_kimg=1, patience_kimg=0)
    with pytest.raises(ValueError, match="got -1"):
        Evaluate(every_kimg=-1, patience_kimg=None)
