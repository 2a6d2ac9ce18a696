"""A run and its watcher, in real processes: killed, restarted, stopped by one another; and what readers make of it."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import SMALL, _run_command
from filelock import FileLock
from omegaconf import OmegaConf
from test_cli import assert_refused

from gan_lab import train
from gan_lab.callbacks.curves import draw
from gan_lab.distributed.topology import find_topology
from gan_lab.evaluation import snapshots, watcher
from gan_lab.evaluation.scores import Scores
from gan_lab.evaluation.stage import EvaluationError
from gan_lab.runs import reading
from gan_lab.runs.checkpoint import CheckpointError, find, load_generator
from gan_lab.runs.records import append_line, content_sha256, read_scores, scores_of, snapshots_of, watched_scores
from gan_lab.runs.status import best_score, monitored_scores

RUN = [
    *SMALL,
    "model=gan",
    "callbacks.pictures.every_kimg=null",
    "callbacks.evaluation.every_kimg=0.032",
    "callbacks.checkpoint.every_kimg=0.064",
    "run_dir=run",
]
WATCH = ["watch=run", "poll_seconds=0.05"]
LINES = "watch/scores.jsonl"


class Side:
    """A command under way beside the test."""

    def __init__(self, forkserver, folder: Path, output: str, module: str, *arguments: str) -> None:
        self.output = folder / output
        given = (f"gan_lab.{module}", list(arguments), str(folder), str(self.output))
        self.process = forkserver.Process(target=_run_command, args=given)
        self.process.start()

    def end(self, number: int | None = None) -> int:
        """Its exit code, after a signal if given."""
        if number is not None:
            os.kill(self.process.pid, number)
        self.process.join(240)
        code = self.process.exitcode
        self.process.kill()
        assert code is not None, self.said
        return code

    @property
    def said(self) -> str:
        return self.output.read_text()

    def until(self, condition, what: str) -> None:
        deadline = time.monotonic() + 240
        while not condition():
            assert time.monotonic() < deadline, f"no {what}:\n{self.said}"
            assert self.process.is_alive(), self.said
            time.sleep(0.02)


@pytest.fixture
def beside(forkserver, tmp_path):
    """`beside(module, *arguments)` starts a command in `tmp_path` and goes on; what is left is killed at the end."""
    started = []

    def start(module: str, *arguments: str) -> Side:
        started.append(Side(forkserver, tmp_path, f"{len(started)}.txt", module, *arguments))
        return started[-1]

    yield start
    for side in started:
        side.process.kill()


@pytest.fixture(scope="module")
def watched(forkserver, tmp_path_factory) -> Path:
    """The folder of a finished run of four snapshots and of its watcher."""
    folder = tmp_path_factory.mktemp("watched")
    for number, call in enumerate([("train", *RUN, "evaluation=watch", "total_kimg=0.128"), ("evaluate", *WATCH)]):
        side = Side(forkserver, folder, f"{number}.txt", *call)
        assert side.end() == 0, side.said
    return folder / "run"


@pytest.fixture
def run(watched, tmp_path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(watched, tmp_path / "run", copy_function=shutil.copy2))


def images_in(path: Path) -> list[int]:
    return [line["images_seen"] for line in read_scores(path)]


def without_clock(line: dict) -> dict:
    return {key: value for key, value in line.items() if not key.startswith("clock/") and key != "snapshot"}


# Side by side -----------------------------------------------------------------------------------------------------


def test_both_sides_killed_and_no_snapshot_scored_twice(beside, command, tmp_path):
    inside = command("train", *RUN[:-1], "run_dir=inside", "total_kimg=0.192")
    assert inside.code == 0, inside.output
    lines = tmp_path / "run" / LINES

    first = beside("evaluate", *WATCH)
    first.until(lambda: "waiting for a run in run" in first.said if first.output.is_file() else False, "wait")
    wait = f"+callbacks.wait={{_target_: waiting.WaitFor, images: 48, file: {LINES}}}"
    kill = "+callbacks.kill={_target_: killing.KillAt, images: 112}"
    train = beside("train", *RUN, "evaluation=watch", "total_kimg=0.192", wait, kill)
    first.until(lines.is_file, "scores")
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    assert train.end() == -signal.SIGKILL
    assert "UNSCORED" not in train.said
    assert list(snapshots_of(tmp_path / "run")) == [32, 64, 96]

    second = beside("evaluate", *WATCH)
    second.until(lambda: images_in(lines) == [32, 64, 96], "scores of all that the dead run has left")
    again = beside("train", *RUN, "evaluation=watch", "total_kimg=0.192")
    assert again.end() == 0, again.said
    assert "going on from 000000000064.ckpt" in again.said
    assert second.end() == 0, second.said

    ours, theirs = read_scores(lines), read_scores(tmp_path / "inside" / "scores.jsonl")
    assert images_in(lines) == [32, 64, 96, 128, 160, 192]
    assert [without_clock(line) for line in ours] == [without_clock(line) for line in theirs]
    assert scores_of(tmp_path / "run") == ours
    assert not list((tmp_path / "run" / "watch").glob(".taken*"))
    best = min(ours, key=lambda line: line["scores"][line["monitored"]])
    assert find(tmp_path / "run") == tmp_path / "run" / "watch" / "best.safetensors"
    assert load_generator(tmp_path / "run").images_seen == best["images_seen"]
    assert content_sha256(find(tmp_path / "run")) == best["snapshot"]
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()
    assert (tmp_path / "run" / "watch" / "curve.png").is_file()
    at_rest = lines.read_text()
    assert command("evaluate", *WATCH).code == 0
    assert lines.read_text() == at_rest


def test_patience_stops_the_training_and_not_its_continuation(beside, command, tmp_path):
    constant = ["network=mlp", "model.generator.width=4", "model.optimizers.generator.lr=0", "evaluation=watch"]
    wait = f"+callbacks.wait={{_target_: waiting.WaitFor, images: 48, file: {LINES}, pause: 0.1}}"
    watcher = beside("evaluate", *WATCH)
    arguments = [*RUN, *constant, "callbacks.report.every_kimg=0.016"]
    train = beside("train", *arguments, "total_kimg=1.6", "stop.patience_kimg=0.032", wait)
    assert train.end() == 0, train.said
    assert watcher.end() == 0, watcher.said
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["reason"] == "no better fd_digitnet20 for 0.032 kimg"
    assert "asked the run to stop: no better fd_digitnet20 for 0.032 kimg" in watcher.said
    stopped_at = max(snapshots_of(tmp_path / "run"))
    assert stopped_at < 1600
    assert (tmp_path / "run" / "stop").is_file()

    more = command("train", *arguments, "total_kimg=1.7")
    assert more.code == 0, more.output
    assert json.loads((tmp_path / "run" / "run.json").read_text())["reason"] == "total_kimg=1.7 is reached"
    assert not (tmp_path / "run" / "stop").exists()


def test_term_ends_a_watcher_and_loses_nothing(beside, command, run, tmp_path):
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | {"ended": False}))
    before = (run / LINES).read_text()
    watcher = beside("evaluate", *WATCH)
    watcher.until(lambda: watcher.output.is_file() and "watching run" in watcher.said, "start")
    assert_refused(command("evaluate", *WATCH), "another process watches run already")
    assert watcher.end(signal.SIGTERM) == 143, watcher.said
    assert (run / LINES).read_text() == before
    (run / "run.json").write_text(json.dumps(about))
    assert command("evaluate", *WATCH).code == 0


# What changes under it ----------------------------------------------------------------------------------------------


def test_a_snapshot_that_was_written_anew_is_scored_again(command, run):
    earlier = {line["images_seen"]: line for line in read_scores(run / LINES)}
    snapshots = snapshots_of(run)
    shutil.copyfile(snapshots[128], snapshots[64])
    os.utime(snapshots[96])  # written again, with the same content
    assert sorted(watched_scores(run)) == [32, 96, 128], "the line of another content does not count"
    done = command("evaluate", *WATCH)
    assert done.code == 0, done.output
    assert images_in(run / LINES) == [32, 64, 96, 128, 64]
    now = watched_scores(run)
    assert now[64]["scores"] == earlier[128]["scores"] != earlier[64]["scores"]
    assert {images: now[images] for images in (32, 96, 128)} == {images: earlier[images] for images in (32, 96, 128)}
    assert [line["images_seen"] for line in scores_of(run)] == [32, 64, 96, 128]


def test_a_line_cut_short_by_a_crash_is_scored_again(command, run):
    whole = (run / LINES).read_text()
    (run / LINES).write_text(whole[:-30])
    done = command("evaluate", *WATCH)
    assert done.code == 0, done.output
    assert [without_clock(line) for line in read_scores(run / LINES)] == [
        without_clock(json.loads(line)) for line in whole.splitlines()
    ]


def test_lines_of_deleted_snapshots_count_if_later_ones_are_there(run):
    snapshots = snapshots_of(run)
    snapshots[32].unlink()
    assert sorted(watched_scores(run)) == [32, 64, 96, 128]
    snapshots[128].unlink()
    assert sorted(watched_scores(run)) == [32, 64, 96], "a run that went back has left the course of 128"
    for images in (64, 96):
        snapshots[images].unlink()
    assert watched_scores(run) == {}
    shutil.rmtree(run / "snapshots")
    assert sorted(watched_scores(run)) == [32, 64, 96, 128], "scores alone were copied somewhere"


def test_the_best_outlives_its_snapshot(run):
    best = load_generator(run).images_seen
    assert best == min(scores_of(run), key=lambda line: line["scores"]["fd_digitnet20"])["images_seen"]
    snapshots_of(run)[best].unlink()
    assert load_generator(run).images_seen == best
    (run / "checkpoints" / "best.ckpt").touch()
    os.utime(run / "checkpoints" / "best.ckpt", (2e9, 2e9))
    assert find(run).name == "best.ckpt", "chosen later"


def test_patience_counts_from_the_first_best(run, monkeypatch):
    asked = []
    monkeypatch.setattr(watcher, "replace_text", lambda path, text: asked.append((path, text)))
    monkeypatch.setattr(watcher, "_ended", lambda run: False)

    def ask(patience: float | None, newest: int) -> list:
        asked.clear()
        made = object.__new__(watcher.Watcher)
        made.run, made.begun = run, {"config": {"stop": {"patience_kimg": patience}}}
        made._ask_for_the_end({"images_seen": newest}, {"images_seen": 64, "monitored": "fd9"})
        return list(asked)

    assert ask(None, 10**6) == []
    assert ask(0.064, 127) == []
    assert ask(0.064, 128) == [(run / "stop", "no better fd9 for 0.064 kimg")]


# A whole run, in this process -----------------------------------------------------------------------------------------


class Metric:
    """What a stage tells of one of its metrics."""

    def __init__(self, name: str, higher_is_better: bool) -> None:
        self.name, self.higher_is_better, self.intervals = name, higher_is_better, True


class Stage:
    """A stage that scores a snapshot by its content, a number, and calls `at_score` before.

    Attributes:
        scored: the contents, in their order.
    """

    def __init__(self, monitor="fd", intervals=None, at_score=lambda content: None) -> None:
        self.evaluation, self.monitor, self.intervals, self.at_score = self, monitor, intervals, at_score
        self.metrics = {"fd": Metric("fd9", False), "is": Metric("is9", True)}
        self.scored: list[float] = []

    def name_of(self, metric: Metric) -> str:
        return metric.name

    def digests(self, weights: str) -> dict[str, str]:
        return {"fd9": "p", "is9": "q"}

    def score(self, path: Path, weights: str, what: str) -> Scores:
        self.at_score(float(path.read_text()))
        value = float(path.read_text())
        self.scored.append(value)
        metric = self.metrics[self.monitor]
        values, protocols = {"fd9": value, "is9": value}, {"fd9": "p", "is9": "q"}
        scores = Scores(values, protocols, {"p": {}, "q": {}}, metric.name, metric.higher_is_better, 1.0)
        if self.intervals is not None:
            scores.intervals = dict.fromkeys(values, (value - 1, value + 1))
            scores.intervals_about = self.intervals
        return scores


def leave(run: Path, contents: dict[int, float]) -> Path:
    """A run that has left these snapshots."""
    (run / "snapshots").mkdir(parents=True)
    (run / "config.yaml").write_text("evaluation: {watched: true}\n")
    (run / "run.json").write_text(json.dumps({"id": "0123abcd", "ended": True}))
    for images, content in contents.items():
        snapshot = run / "snapshots" / f"{images:012d}.safetensors"
        snapshot.write_text(str(content))
        snapshot.with_suffix(".json").write_text(json.dumps({"weights": "ema", "images_seen": images}))
    return run


@pytest.fixture
def scoring(monkeypatch):
    """`scoring(run, stage)` scores all of a run; the best's description is its outcome."""

    def score(run: Path, stage: Stage) -> dict:
        for name, stand_in in {
            "refuse": None,
            "settings_by": {"out": None},
            "PreparedEvaluation": stage,
            "draw_curve": None,
        }.items():
            monkeypatch.setattr(snapshots, name, lambda *_, given=stand_in, **__: given)
        snapshots.score_run(OmegaConf.create({"run": str(run)}), find_topology(), "cpu")
        assert not list((run / "evaluation").glob(".taken*"))
        best = run / "evaluation" / "best.safetensors"
        return json.loads(best.with_suffix(".json").read_text()) | {"content": float(best.read_text())}

    return score


def test_known_lines_are_ranked_by_the_monitor_asked_for(scoring, tmp_path):
    run, stage = leave(tmp_path / "run", {1: 3, 2: 1, 3: 2}), Stage()
    assert scoring(run, stage)["content"] == 1
    again = Stage(monitor="is")
    best = scoring(run, again)
    assert (best["content"], best["best"]["monitored"], again.scored) == (3, "is9", [])


def test_known_lines_without_the_intervals_asked_for_are_made_anew(scoring, tmp_path):
    run, asked = leave(tmp_path / "run", {1: 3, 2: 1}), {"resamples": 200, "level": 0.95}
    scoring(run, Stage())
    for intervals, scored in ((asked, [3, 1]), (asked, []), (None, []), (asked | {"level": 0.9}, [3, 1]), (asked, [])):
        stage = Stage(intervals=intervals)
        scoring(run, stage)
        assert stage.scored == scored, intervals


def test_snapshots_that_training_deletes_meanwhile(scoring, tmp_path, capsys):
    run = leave(tmp_path / "run", {1: 3, 2: 1, 3: 2})

    def delete(content: float) -> None:
        for images in {3: (1, 2), 2: (3,)}.get(content, ()):
            for file in (run / "snapshots").glob(f"*{images}.*"):
                file.unlink()

    best = scoring(run, Stage(at_score=delete))
    assert (best["content"], best["images_seen"]) == (2, 3)
    assert "0.002 kimg is left out: its snapshot was deleted meanwhile" in capsys.readouterr().out
    assert images_in(run / "evaluation" / "scores.jsonl") == [1, 3]


@pytest.fixture
def watching(monkeypatch):
    """`watching(run, stage)` watches a run that has ended."""

    def score(run: Path, stage: Stage) -> None:
        for name, stand_in in {
            "refuse": None,
            "settings_by": {},
            "PreparedEvaluation": stage,
            "draw_curve": None,
        }.items():
            monkeypatch.setattr(watcher, name, lambda *_, given=stand_in, **__: given)
        config = OmegaConf.create({"watch": str(run), "poll_seconds": 0.01})
        watcher.watch_run(config, find_topology(), "cpu")

    return score


@pytest.mark.parametrize("error", [EvaluationError, CheckpointError])
def test_what_cannot_be_scored_keeps_nothing_else_from_it_and_is_tried_again_last(error, watching, tmp_path, capsys):
    run = leave(tmp_path / "run", {1000: 3, 2000: 1, 3000: 2})

    def fail(content: float) -> None:
        if content == 3:
            raise error("the evaluation failed on rank 0: too dark")

    first, second = Stage(at_score=fail), Stage()
    with pytest.raises(EvaluationError, match="snapshots at 1 kimg, which failed"):
        watching(run, first)
    assert (
        "1 kimg cannot be scored, and is left out: the evaluation failed on rank 0: too dark" in capsys.readouterr().out
    )
    assert first.scored == [1, 2]
    shutil.copy(run / "snapshots" / "000000003000.safetensors", run / "snapshots" / "000000004000.safetensors")
    shutil.copy(run / "snapshots" / "000000003000.json", run / "snapshots" / "000000004000.json")
    watching(run, second)
    assert second.scored == [2, 3]
    assert images_in(run / LINES) == [2000, 3000, 4000, 1000]


def test_scores_of_a_run_that_was_begun_anew_meanwhile_are_dropped(watching, tmp_path, capsys):
    run = leave(tmp_path / "run", {1: 3})
    begin_anew = Stage(at_score=lambda _: (run / "run.json").write_text('{"id": "4567cdef", "ended": true}'))
    watching(run, begin_anew)
    assert begin_anew.scored == [3, 3], "once of each run"
    assert images_in(run / LINES) == [1]
    assert "was of an earlier run" in capsys.readouterr().out


@pytest.mark.parametrize(("total_kimg", "seen"), [(2, [False]), (1, [])])
def test_a_run_that_is_gone_on_with_has_not_ended_before_it_builds_anything(total_kimg, seen, monkeypatch, tmp_path):
    (tmp_path / "run").mkdir()
    about = {"id": "0123abcd", "origin": {}, "finished_kimg": 1, "ended": True}
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    ended = []
    hydra = SimpleNamespace(runtime=SimpleNamespace(choices={"model": "dcgan", "data": "digits"}))
    monkeypatch.setattr("hydra.core.hydra_config.HydraConfig.get", lambda: hydra)
    monkeypatch.setattr(train, "agreed", lambda settings: settings)
    monkeypatch.setattr(train, "resume_point", lambda folder, about: None)
    monkeypatch.setattr(train, "fit_or_roll_back", lambda *given: ended.append(watcher._ended(given[1])))
    settings = {"run_dir": str(tmp_path / "run"), "overwrite": False, "total_kimg": total_kimg, "evaluation": {}}
    settings |= {"data": {}}
    train.run_as_rank(settings, lambda **_: None)
    assert ended == seen
    assert watcher._ended(tmp_path / "run") == (seen == [])


# Readers --------------------------------------------------------------------------------------------------------


def test_all_readers_merge_by_images_seen(run):
    name, lines = "fd_digitnet20", read_scores(run / LINES)
    own = {key: value for key, value in lines[1].items() if key != "snapshot"}
    append_line(run / "scores.jsonl", own | {"scores": lines[1]["scores"] | {name: 0.25}})
    expected = [0.25 if line is lines[1] else line["scores"][name] for line in lines]
    assert [line["scores"][name] for line in scores_of(run)] == expected
    found = monitored_scores(run)
    assert found["scores"] == [
        [images / 1000, value] for images, value in zip((32, 64, 96, 128), expected, strict=True)
    ]
    assert (found["monitored"], found["higher_is_better"], best_score(run)) == (name, False, 0.25)
    read = reading.read_run(run)
    assert [line["scores"][name] for line in read.lines] == expected
    assert read.finished
    assert set(read.protocols) >= set(lines[0]["protocols"].values())
    assert draw(run) == run / "curves.png"
    text = (run / LINES).read_text()
    (run / LINES).write_text("{\n" + text)
    assert "watch/scores.jsonl is damaged" in str(reading.read_run(run).problem)


def test_wandb_has_a_run_of_its_own_in_the_same_group(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("gan_lab.runs.loggers.wandb_logger", lambda **arguments: given.append(arguments))
    node = {"_target_": "gan_lab.runs.loggers.wandb_logger", "mode": "offline", "project": "p", "entity": None}
    for _ in range(2):
        watcher._logger(tmp_path, {"id": "0123abcd", "config": {"logger": {"wandb": node | {"group": "g"}}}})
    assert given[0] == given[1]
    assert (given[0]["run_id"], given[0]["group"], given[0]["job_type"]) == ("0123abcd-eval", "g", "eval")
    assert watcher._logger(tmp_path, {"id": "x", "config": {"logger": {"csv": None}}}) is None


def test_scores_go_to_wandb_as_well(command, tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    trained = command("train", *RUN, "evaluation=watch", "logger=wandb", "total_kimg=0.032")
    assert trained.code == 0, trained.output
    done = command("evaluate", *WATCH)
    assert done.code == 0, done.output
    identity = json.loads((tmp_path / "run" / "run.json").read_text())["id"]
    (offline,) = (tmp_path / "run" / "watch" / "wandb").glob("offline-run-*")
    assert (offline / f"run-{identity}-eval.wandb").stat().st_size > 0


# Refusals -------------------------------------------------------------------------------------------------------


def test_watch_refuses(command, run, tmp_path):
    (tmp_path / "file").touch()
    assert_refused(command("evaluate", "watch=file"), "watch=file is a file")
    assert_refused(command("evaluate", *WATCH, "num_samples=30"), "num_samples=30 has no meaning with watch=...")
    assert_refused(command("evaluate", *WATCH, "evaluation=default"), "evaluation=... has no meaning with watch=...")
    assert_refused(
        command("evaluate", "watch=run", "poll_seconds=0"), "poll_seconds must be a finite number of more than 0, got 0"
    )
    with FileLock(tmp_path / ".run.watch.lock"):
        assert_refused(command("evaluate", *WATCH), "another process watches run already")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("watched: true", "watched: false"))
    assert_refused(command("evaluate", *WATCH), "without evaluation=watch", "run=run scores")
    (run / "config.yaml").write_text("{")
    assert_refused(command("evaluate", *WATCH), "run/config.yaml is damaged")
