"""The report: what it says while a run goes on and after each way it can end, and the wish to end it."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from conftest import SMALL, _run_command
from pytorch_lightning import Callback
from tiny import ScriptedEvaluation, fit, settings

from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.callbacks.status import Status
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.runs.status import monitored_scores, read_status, status_kept, stop_file, update_status


class Watch(Callback):
    """Notes what the report says after each step, and writes the stop file at `stop_at` images."""

    def __init__(self, path, stop_at=None, text=""):
        self.path, self.stop_at, self.text = path, stop_at, text
        self.seen = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen[pl_module.images_seen] = read_status(self.path)
        if pl_module.images_seen == self.stop_at:
            stop_file(self.path).write_text(self.text)


def reporting(values, folder, *, images=8, every_kimg=None, higher=False, n_critic=1, path="r.json", **watch):
    """Train with an evaluation every two images and a report; gives what was seen of it, the module, and the reason."""
    file = folder / "r.json"
    evaluate = Evaluate(every_kimg=0.002, patience_kimg=None)
    evaluate.evaluation = ScriptedEvaluation(values, higher_is_better=higher)
    report = Status(path=None if path is None else str(file), every_kimg=every_kimg)
    watcher = Watch(file, **watch)
    module = HingeGAN(**settings(n_critic=n_critic))
    trainer = fit(module, images=images, callbacks=[evaluate, report, watcher], folder=folder)
    return watcher.seen, module, trainer.callbacks[0].reason


@pytest.mark.parametrize(("higher", "best"), [(False, [5.0, 3.0, 3.0, 3.0]), (True, [5.0, 5.0, 5.0, 6.0])])
def test_each_evaluation_is_reported_at_once(higher, best, tmp_path):
    seen, _, _ = reporting([5.0, 3.0, 4.0, 6.0], tmp_path, higher=higher)
    assert [seen[images]["scores"] for images in (2, 4)] == [[[0.002, 5.0]], [[0.002, 5.0], [0.004, 3.0]]]
    assert [seen[images]["objective"] for images in (2, 4, 6, 8)] == best
    last = seen[8]
    assert (last["monitored"], last["higher_is_better"]) == ("fd9", higher)
    assert (last["images_seen"], last["total_kimg"]) == (8, 0.008)


def test_scores_of_another_protocol_are_left_out(tmp_path):
    lines = [
        {
            "images_seen": seen,
            "scores": {"fd9": value},
            "protocols": {"fd9": protocol},
            "monitored": "fd9",
            "higher_is_better": False,
        }
        for seen, value, protocol in [(2, 9.0, "old"), (4, 1.0, "p")]
    ]
    (tmp_path / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert monitored_scores(tmp_path) == {
        "monitored": "fd9",
        "higher_is_better": False,
        "scores": [[0.004, 1.0]],
    }


@pytest.mark.parametrize(("n_critic", "at"), [(1, 6), (3, 6)], ids=["every_step", "in_a_cycle"])
def test_the_stop_file_ends_training_at_an_iteration_s_end(n_critic, at, tmp_path):
    """Written at 2; seen at the evaluation at 4; training ends with the next end of an iteration."""
    _, module, reason = reporting(
        [5.0] * 9, tmp_path, images=100, n_critic=n_critic, stop_at=2, text="pruned: hopeless\n"
    )
    assert reason == "pruned: hopeless"
    assert module.iteration_ended
    assert module.images_seen == at


def test_the_stop_file_is_looked_for_between_evaluations_too(tmp_path):
    report = Status(path=str(tmp_path / "r.json"), every_kimg=0.004)
    stop_file(tmp_path / "r.json").write_text("")
    module = HingeGAN(**settings())
    trainer = fit(module, images=100, callbacks=[report], folder=tmp_path)
    assert module.images_seen == 6
    assert trainer.callbacks[0].reason == f"{tmp_path / 'r.json'}.stop asks for the end"
    assert read_status(tmp_path / "r.json")["images_seen"] == 6


def test_without_a_path_nothing_is_written(tmp_path):
    reporting([5.0] * 4, tmp_path, path=None)
    assert list(tmp_path.glob("*r.json*")) == []


class Wish(Callback):
    """Writes the run's stop file at `images`."""

    def __init__(self, images, text):
        self.images, self.text = images, text

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.images_seen == self.images:
            (Path(trainer.default_root_dir) / "stop").write_text(self.text)


@pytest.mark.parametrize(("text", "reason"), [("enough\n", "enough"), ("", "{folder}/stop asks for the end")])
def test_a_stop_file_in_the_run_s_folder_ends_it_once(text, reason, tmp_path):
    """Left at 4, looked for at 8; the start of the next run removes it."""
    callbacks = [Status(path=None, every_kimg=0.004), Wish(4, text)]
    module = HingeGAN(**settings())
    trainer = fit(module, images=100, callbacks=callbacks, folder=tmp_path)
    assert trainer.callbacks[0].reason == reason.format(folder=tmp_path)
    assert module.images_seen == 10
    module = HingeGAN(**settings())
    fit(module, images=20, callbacks=[Status(path=None, every_kimg=0.004)], folder=tmp_path)
    assert module.images_seen == 20
    assert not (tmp_path / "stop").exists()


def test_a_watched_run_reports_its_watcher_s_scores(tmp_path):
    (tmp_path / "watch").mkdir()
    lines = [
        {
            "images_seen": seen,
            "scores": {"fd9": value},
            "protocols": {"fd9": "p"},
            "monitored": "fd9",
            "higher_is_better": False,
            "snapshot": "",
        }
        for seen, value in [(2, 1.0), (4, 3.0)]
    ]
    (tmp_path / "watch" / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    evaluate = Evaluate(every_kimg=None, patience_kimg=None)
    evaluate.watched = True
    callbacks = [evaluate, Status(path=str(tmp_path / "r.json"), every_kimg=None)]
    fit(HingeGAN(**settings()), images=8, callbacks=callbacks, folder=tmp_path)
    report = read_status(tmp_path / "r.json")
    assert report["scores"] == [[0.002, 1.0], [0.004, 3.0]]
    assert report["objective"] == 1.0


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (None, "finished", None),
        (ValueError("seed must be 0 or more"), "failed", "told: seed must be 0 or more"),
        (SystemExit(143), "stopped", None),
        (KeyboardInterrupt(), "stopped", None),
        (SystemExit(1), "failed", "told: 1"),
    ],
    ids=["end", "error", "signal", "ctrl_c", "exit"],
)
def test_however_a_run_ends_the_report_says_so(error, state, said, tmp_path):
    path = tmp_path / "new" / "r.json"

    def run():
        with status_kept(str(path), total_kimg=3.0, describe=lambda e: f"told: {e}") as note:
            first = read_status(path)
            assert (first["state"], first["total_kimg"], first["scores"]) == ("running", 3.0, [])
            note(objective=1.5)
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(type(error)):
            run()
    final = read_status(path)
    assert (final["state"], final["error"], final["objective"]) == (state, said, 1.5)
    assert [file.name for file in path.parent.iterdir()] == ["r.json"]


def test_an_earlier_report_is_begun_anew(tmp_path):
    path = tmp_path / "r.json"
    update_status(path, state="failed", error="old", objective=7.0, scores=[[1.0, 7.0]])
    with status_kept(str(path), total_kimg=3.0, describe=str):
        now = read_status(path)
    assert (now["state"], now["error"], now["objective"], now["scores"]) == ("running", None, None, [])


# The train command ------------------------------------------------------------------------------------------------

RUN = [
    *SMALL,
    "model=gan",
    "callbacks.pictures.every_kimg=null",
    "callbacks.evaluation.every_kimg=0.032",
    "run_dir=run",
]


def test_a_run_and_the_same_command_again(command, tmp_path):
    arguments = [*RUN, "total_kimg=0.064", "report=first.json"]
    done = command("train", *arguments)
    assert done.code == 0, done.output
    first = read_status(tmp_path / "first.json")
    assert first["state"] == "finished"
    assert [kimg for kimg, _ in first["scores"]] == [0.032, 0.064]
    assert first["objective"] == min(value for _, value in first["scores"])
    assert first["higher_is_better"] is False
    assert (first["images_seen"], first["total_kimg"], first["error"]) == (64, 0.064, None)
    assert first["reason"] == "total_kimg=0.064 is reached"
    assert first["run_dir"] == str(tmp_path / "run")

    again = command("train", *arguments[:-1], "report=second.json")
    assert "is finished" in again.output
    second = read_status(tmp_path / "second.json")
    same = ("state", "objective", "scores", "monitored", "higher_is_better", "reason", "images_seen", "run_dir")
    assert {key: second[key] for key in same} == {key: first[key] for key in same}


def test_nothing_is_gained_by_the_kid_of_held_out_pictures(command, tmp_path):
    """G stands still, so its second score is no better, and 16 images more is all the patience that there is."""
    still = [
        "model.optimizers.generator.lr=0",
        "model.generator.normalization=none",
        "stop.patience_kimg=0.016",
        "callbacks.evaluation.every_kimg=0.016",
    ]
    held_out = ["evaluation.monitor=kid", "evaluation.reference='train[1000:]'", "data.limit=1000"]
    done = command("train", *SMALL, *still, *held_out, "run_dir=run", "total_kimg=9", "callbacks.health=null")
    assert done.code == 0, done.output
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["reason"].startswith("no better kid"), about
    lines = [json.loads(line) for line in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()]
    assert 32 <= lines[-1]["images_seen"] <= 48
    protocols = json.loads((tmp_path / "run" / "protocols.json").read_text())
    assert "train[1000:]" in json.dumps(protocols[lines[0]["protocols"][lines[0]["monitored"]]])


def test_a_pruned_run_has_the_length_it_reached_and_can_go_on(command, tmp_path):
    stop_file(tmp_path / "r.json").write_text("pruned: worse than the median")
    arguments = [*RUN, "total_kimg=0.096", "report=r.json"]
    done = command("train", *arguments)
    assert done.code == 0, done.output
    pruned = read_status(tmp_path / "r.json")
    assert (pruned["state"], pruned["reason"]) == ("finished", "pruned: worse than the median")
    assert pruned["images_seen"] == 48
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (about["finished_kimg"], about["reason"]) == (0.048, "pruned: worse than the median")

    stop_file(tmp_path / "r.json").unlink()
    again = command("train", *arguments)
    assert "going on from 000000000048.ckpt" in again.output
    assert read_status(tmp_path / "r.json")["reason"] == "total_kimg=0.096 is reached"


def test_what_fails_before_training_is_reported(command, tmp_path):
    done = command("train", *RUN, "seed=-1", "report=r.json")
    assert done.code == 1
    report = read_status(tmp_path / "r.json")
    assert (report["state"], report["error"]) == ("failed", "seed must be 0 or more, got -1")


def test_what_fails_in_training_is_reported(command, tmp_path):
    nan = "+model.regularizers.nan={_target_: tiny.NaNPenalty, images: 32}"
    done = command("train", *RUN, nan, "report=r.json")
    assert done.code == 1
    report = read_status(tmp_path / "r.json")
    assert report["state"] == "failed"
    assert f"Error: {report['error']}" in done.output


def test_a_signal_is_reported(forkserver, tmp_path):
    output, pause = tmp_path / "first.txt", "+callbacks.pause={_target_: tiny.Pause, images: 48}"
    arguments = ("gan_lab.train", [*RUN, pause, "report=r.json"], str(tmp_path), str(output))
    process = forkserver.Process(target=_run_command, args=arguments)
    process.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "paused").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == 143, output.read_text()
    report = read_status(tmp_path / "r.json")
    assert (report["state"], report["images_seen"], report["error"]) == ("stopped", 64, None)
