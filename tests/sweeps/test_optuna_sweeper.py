"""The search, with runs that only write reports; a real PostgreSQL; and at the end the train command itself."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import postgres
import pytest
import stand_in
import yaml
from conftest import ROOT, SMALL
from omegaconf import OmegaConf

from gan_lab import train
from gan_lab.runs.status import stop_file, update_status
from gan_lab.sweeps import optuna_sweeper, study

SEEDS = "seed=range(0,1000)"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(optuna_sweeper, "POLL_SECONDS", 0.02)
    memory = Path("/dev/shm")  # SQLite waits for a disk at each commit
    with TemporaryDirectory(dir=memory) if os.access(memory, os.W_OK) else nullcontext(tmp_path) as folder:
        monkeypatch.chdir(folder)
        yield Path(folder)
        monkeypatch.undo()


@pytest.fixture
def refused(capsys):
    """What the command says when it fails."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit, match="1"):
            stand_in.main(*arguments)
        return capsys.readouterr().err

    return run


class Runs:
    """Stands in for runs: `launched` has the settings of each by number, `returns` makes what one does."""

    def __init__(self, monkeypatch) -> None:
        self.launched: list[dict[str, str]] = []
        self.returns = lambda settings, report, number: finished(report, float(settings["seed"]))
        monkeypatch.setattr(stand_in.StandIn, "play", staticmethod(self.play))

    def play(self, settings, report, number):
        self.launched.append({**settings, "number": number})
        return self.returns(settings, report, number)

    @property
    def seeds(self) -> list[int]:
        return [int(settings["seed"]) for settings in self.launched]


@pytest.fixture
def runs(monkeypatch):
    return Runs(monkeypatch)


def finished(report: Path, objective: float, **more) -> float:
    update_status(report, **{"state": "finished", "objective": objective, "reason": "total_kimg reached", **more})
    return objective


def study_in(folder: Path = Path()) -> optuna.Study:
    [file] = folder.glob("runs/multirun/*/study.db")
    return optuna.load_study(study_name=None, storage=f"sqlite:///{file}")


def states(made: optuna.Study) -> list[str]:
    return [trial.state.name for trial in made.trials]


def test_the_best_is_printed_and_written(runs, capsys, place):
    stand_in.main(SEEDS, "model.n_critic=choice(1,2)", "total_kimg=7", "hydra.sweeper.n_trials=6")
    assert states(study_in()) == ["COMPLETE"] * 6
    best = min(runs.launched, key=lambda settings: int(settings["seed"]))
    [file] = place.glob("runs/multirun/*/optimization_results.yaml")
    assert yaml.safe_load(file.read_text()) == {
        "name": "optuna",
        "best_params": {"seed": int(best["seed"]), "model.n_critic": int(best["model.n_critic"])},
        "best_value": float(best["seed"]),
    }
    output = capsys.readouterr().out.splitlines()
    assert output[-3].endswith("6 trials completed, 0 pruned, 0 failed")
    assert output[-1] == f"seed={best['seed']} model.n_critic={best['model.n_critic']}"
    assert {settings["total_kimg"] for settings in runs.launched} == {"7"}
    assert len({settings["report"] for settings in runs.launched}) == 6


def test_the_space_may_stand_in_the_config_and_the_command_line_comes_after(runs):
    stand_in.main(
        "+hydra.sweeper.params={seed: 'range(0,5)', total_kimg: 'interval(1,2)', init_from: here}",
        "total_kimg=3",
        "hydra.sweeper.n_trials=3",
    )
    assert [settings["total_kimg"] for settings in runs.launched] == ["3"] * 3
    assert [settings["init_from"] for settings in runs.launched] == ["here"] * 3
    assert set(runs.seeds) <= set(range(5))


def test_a_bad_run_is_a_bad_trial_and_no_more(runs):
    def play(settings, report, number):
        if number == 1:
            update_status(report, state="failed", error="loss/g is not finite (nan) at 0.3 kimg")
            raise RuntimeError("exit code 1")
        if number == 2:
            return finished(report, float("nan"))
        if number == 3:
            raise RuntimeError("killed by SIGKILL")
        if number == 4:
            return finished(report, None)
        return finished(report, float(settings["seed"]))

    runs.returns = play
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=7")
    made = study_in()
    assert states(made) == ["COMPLETE", *["FAIL"] * 4, "COMPLETE", "COMPLETE"]
    assert [trial.user_attrs.get("error", "") for trial in made.trials[1:5]] == [
        "failed: loss/g is not finite (nan) at 0.3 kimg",
        "failed: the score is nan",
        "failed: RuntimeError: killed by SIGKILL",
        "failed: the run has no score",
    ]


def test_a_run_that_wrote_no_report_is_taken_at_its_word(runs):
    runs.returns = lambda settings, report, number: float(settings["seed"])
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=2")
    assert [trial.value for trial in study_in().trials] == runs.seeds


def test_a_mistake_in_all_runs_ends_the_search_early(runs, refused):
    def play(settings, report, number):
        raise RuntimeError("no such layer")

    runs.returns = play
    said = refused(SEEDS, "hydra.sweeper.n_trials=20", "hydra.sweeper.give_up_after=3")
    assert "first 3 trials all failed, the last one with: failed: RuntimeError: no such layer" in said
    assert len(runs.launched) == 3
    said = refused(SEEDS, "hydra.sweeper.n_trials=20", "hydra.sweeper.give_up_after=2")
    assert "first 2 trials all failed" in said  # and not without a try: the mistake may be mended
    assert len(runs.launched) == 5
    said = refused(SEEDS, "hydra.sweeper.n_trials=8", "hydra.sweeper.give_up_after=null")
    assert re.search(r"no trial of study \S+ completed", said)


def test_failures_after_a_success_do_not_end_it(runs):
    def play(settings, report, number):
        if number > 0:
            raise RuntimeError("no luck")
        return finished(report, 1.0)

    runs.returns = play
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=6", "hydra.sweeper.give_up_after=2")
    assert len(runs.launched) == 6


def test_a_hopeless_trial_is_pruned(runs, capsys):
    def play(settings, report, number):
        for kimg in range(1, 200):
            value = 1e6 if number == 3 else 10.0 - kimg
            scores = [[step, value] for step in range(1, kimg + 1)]
            update_status(report, state="running", scores=scores)
            if number == 3:
                time.sleep(0.02)
            elif kimg == 4:
                break
            if stop_file(report).exists():
                return finished(report, value, reason=stop_file(report).read_text())
        return finished(report, value)

    runs.returns = play
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=5", "hydra.sweeper.pruner.n_startup_trials=2")
    made = study_in()
    assert states(made) == ["COMPLETE"] * 3 + ["PRUNED", "COMPLETE"]
    assert made.trials[0].intermediate_values[4] == 6.0
    assert "trial 3: pruned at 1 kimg by MedianPruner" in capsys.readouterr().out


def test_without_a_pruner_it_runs_to_its_end(runs):
    def play(settings, report, number):
        update_status(report, state="running", scores=[[1, 1e6 if number == 3 else 1.0]])
        time.sleep(0.1)
        assert not stop_file(report).exists()
        return finished(report, 1.0)

    runs.returns = play
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=5", "hydra/sweeper/pruner=none")
    assert states(study_in()) == ["COMPLETE"] * 5


@pytest.mark.parametrize("how", ["report", "interrupt", "signal"])
def test_an_interrupted_study_goes_on_with_the_trial(runs, capsys, how):
    def play(settings, report, number):
        if len(runs.launched) == 3:
            if how == "report":
                update_status(report, state="stopped")
                raise SystemExit(130)
            if how == "interrupt":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        return finished(report, float(settings["seed"]))

    runs.returns = play
    with pytest.raises(SystemExit, match="130"):
        stand_in.main(SEEDS, "hydra.sweeper.n_trials=5")
    assert len(runs.launched) == 3
    assert "the same command goes on" in capsys.readouterr().out
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=5")
    assert len(runs.launched) == 6
    assert runs.seeds[3] == runs.seeds[2]
    assert len(set(runs.seeds)) == 5
    assert states(study_in()).count("COMPLETE") == 5
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=5")
    assert len(runs.launched) == 6
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=7")
    assert len(runs.launched) == 8


def test_a_folder_with_another_writer_is_waited_for(runs):
    def play(settings, report, number):
        if len(runs.launched) < 3:
            raise RuntimeError("another process is training in runs/x; wait for it")
        return finished(report, 4.0)

    runs.returns = play
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=1")
    assert [settings["number"] for settings in runs.launched] == [0, 0, 0]
    assert study_in().best_value == 4.0


def test_the_refusal_of_a_folder_begins_as_expected(tmp_path):
    with (
        train.owned(tmp_path / "run", overwrite=False),
        pytest.raises(RuntimeError, match=optuna_sweeper.BUSY),
        train.owned(tmp_path / "run", overwrite=False),
    ):
        pass


def test_several_at_once_and_a_finished_one_is_replaced_at_once(runs, monkeypatch):
    running, at_once, began = set(), [], threading.Event()

    def play(settings, report, number):
        running.add(number)
        at_once.append(len(running))
        if number == 0:
            assert began.wait(20)
        if number == 4:
            began.set()
        time.sleep(0.05)
        running.discard(number)
        return finished(report, float(settings["seed"]))

    runs.returns = play
    monkeypatch.setattr(stand_in.StandIn, "slots", 2, raising=False)
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=6")
    assert max(at_once) == 2
    assert states(study_in()) == ["COMPLETE"] * 6
    assert len(set(runs.seeds)) == 6


def test_a_long_trial_is_not_taken_for_a_dead_one(runs, monkeypatch):
    def play(settings, report, number):
        time.sleep(5 if number == 0 else 0.1)
        return finished(report, float(settings["seed"]))

    runs.returns = play
    monkeypatch.setattr(study, "SILENT_BEATS", 2)
    stand_in.main(SEEDS, "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2", "hydra.sweeper.heartbeat_s=1")
    assert states(study_in()) == ["COMPLETE"] * 3


def test_of_a_chain_the_last_counts_and_of_a_surplus_none():
    study.quiet()
    made = optuna.create_study()
    tried = [optuna.create_trial(value=1.0) for _ in range(3)]
    tried.append(optuna.create_trial(value=1.0, system_attrs={"retry_history": [1]}))
    tried += [optuna.create_trial(value=1.0, user_attrs={study.SURPLUS: True}), optuna.create_trial(value=1.0)]
    made.add_trials(tried)
    trials = made.trials
    assert [trial.number for trial in study.counting(trials)] == [0, 2, 3, 5]
    assert [number for number in range(6) if study.is_surplus(number, trials, 3)] == [5]
    assert not any(study.is_surplus(number, trials, 4) for number in range(6))


def test_hydras_own_launcher_runs_one_at_a_time(refused):
    launcher = "hydra.launcher._target_=hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    said = refused(SEEDS, launcher, "hydra.sweeper.n_jobs=2")
    assert "n_jobs=2 needs a launcher for several jobs: hydra/launcher=local" in said


def test_grid(runs):
    stand_in.main("seed=1,2,5", "model.n_critic=range(1,3)", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=99")
    tried = sorted((int(settings["seed"]), int(settings["model.n_critic"])) for settings in runs.launched)
    assert tried == [(1, 1), (1, 2), (2, 1), (2, 2), (5, 1), (5, 2)]


def test_the_seed_decides_and_a_worker_that_joins_draws_its_own(runs):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        arguments = [f"hydra.sweeper.study_name={name}", f"hydra.sweeper.seed={seed}"]
        stand_in.main(SEEDS, "hydra.sweeper.n_trials=4", *arguments)
    assert runs.seeds[0:4] == runs.seeds[4:8] != runs.seeds[8:12]
    stand_in.main(SEEDS, "hydra.sweeper.study_name=a", "hydra.sweeper.n_trials=8")
    assert not set(runs.seeds[0:4]) & set(runs.seeds[12:])


def test_a_journal(runs, place):
    # A place may hold a password, so neither the runs nor what a launcher writes down knows it.
    for key, n_trials in (("sweep.storage", 3), ("hydra.sweeper.storage", 4)):
        stand_in.main(SEEDS, f"{key}=shared/study.journal", f"hydra.sweeper.n_trials={n_trials}")
        assert "study.journal" not in OmegaConf.to_yaml(stand_in.StandIn.seen_config)
    assert len(runs.launched) == 4
    assert (place / "shared" / "study.journal").is_file()
    assert [settings["sweep.storage"] for settings in runs.launched] == ["null"] * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["seed=3"], "nothing to search"),
        (["seed=interval(2,1)"], "seed=interval"),
        ([SEEDS, "sweep.storage=somewhere"], "sweep.storage=somewhere is no place for a study"),
        ([SEEDS, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials must be 1 or more, got 0"),
        ([SEEDS, "hydra.sweeper.direction=up"], "must be minimize or maximize (or null), got 'up'"),
        ([SEEDS, "hydra.sweeper.direction=null"], "a search needs a score"),
        ([SEEDS, "evaluation=watch"], "evaluation=watch leaves scoring to another process"),
        ([SEEDS, "evaluation=default", "hydra.sweeper.direction=maximize"], "but frechet is to minimize"),
        (["total_kimg=interval(1,2)", "hydra/sweeper/sampler=grid"], "cannot enumerate total_kimg"),
        ([SEEDS, "modle.x=3"], "modle"),
    ],
)
def test_what_does_not_work_is_named_before_any_run(runs, refused, arguments, said):
    assert said in refused(*arguments)
    assert runs.launched == []


def test_the_direction_is_the_metrics(runs):
    stand_in.main(
        SEEDS,
        "evaluation=default",
        "evaluation.monitor=inception_score",
        "hydra.sweeper.direction=null",
        "hydra.sweeper.n_trials=4",
    )
    assert study_in().direction.name == "MAXIMIZE"
    assert study_in().best_value == max(runs.seeds)


def test_a_study_is_one_search(runs, refused):
    stand_in.main(SEEDS, "hydra.sweeper.study_name=mine", "hydra.sweeper.n_trials=2")
    for other in (["seed=range(0,9)"], [SEEDS, "total_kimg=9"]):
        assert "searches something else" in refused(*other, "hydra.sweeper.study_name=mine")
    said = refused(SEEDS, "hydra.sweeper.study_name=mine", "hydra.sweeper.direction=maximize")
    assert "study mine has direction minimize, this command maximize" in said


# Several workers on a real PostgreSQL


@pytest.fixture(scope="module")
def database():
    """URL of an empty database."""
    reason = postgres.missing()
    if reason:
        pytest.skip(reason)
    with postgres.server() as url:
        yield url


class Worker:
    """A search in a process of its own."""

    def __init__(self, folder: Path, url: str, *arguments: str, **environment: str) -> None:
        self.output = folder / f"worker{len(list(folder.glob('worker*')))}.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, stand_in.__file__, SEEDS, f"sweep.storage={url}", *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "STAND_IN_SECONDS": "0.05", **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def finish(self) -> str:
        code = self.process.wait(60)
        output = self.output.read_text()
        assert code == 0, output
        return output


def began(folder: Path) -> list[dict]:
    file = folder / "began.txt"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def wait_for(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "still waiting"
        time.sleep(0.05)


@pytest.mark.postgres
def test_two_workers_lose_no_trial_and_run_none_twice(database, place):
    arguments = ["hydra.sweeper.study_name=two", "hydra.sweeper.n_trials=14", "hydra.sweeper.pruner.n_startup_trials=3"]
    workers = [Worker(place, database, *arguments, STAND_IN_HOPELESS="9") for _ in range(2)]
    outputs = [worker.finish() for worker in workers]
    made = optuna.load_study(study_name="two", storage=database.replace("postgresql", "postgresql+psycopg"))
    counted = [trial for trial in made.trials if "surplus" not in trial.user_attrs]
    assert sorted(line["number"] for line in began(place)) == [trial.number for trial in counted]
    assert len(counted) == 14
    assert [trial.state.name for trial in counted if trial.number != 9] == ["COMPLETE"] * 13
    assert counted[9].state.name == "PRUNED"
    assert len({line["pid"] for line in began(place)}) == 2
    assert len({line["seed"] for line in began(place)}) > 10  # the workers draw apart
    assert all("13 trials completed, 1 pruned, 0 failed" in output for output in outputs)
    written = [path.read_text(errors="replace") for path in place.rglob("*") if path.is_file()]
    assert len(written) > 14
    assert not any(postgres.PASSWORD in text for text in written)


@pytest.mark.postgres
def test_the_trial_of_a_killed_worker_is_tried_again(database, place):
    arguments = ["hydra.sweeper.study_name=killed", "hydra.sweeper.n_trials=6", "hydra.sweeper.heartbeat_s=1"]
    first = Worker(place, database, *arguments, STAND_IN_SECONDS="5")
    wait_for(lambda: began(place))
    first.process.kill()
    first.process.wait()
    second = Worker(place, database, *arguments)
    assert "6 trials completed, 0 pruned, 0 failed" in second.finish()
    lost, *others = began(place)
    assert lost["pid"] == first.process.pid
    assert [line["seed"] for line in others].count(lost["seed"]) == 1
    assert len(others) == 6
    made = optuna.load_study(study_name="killed", storage=database.replace("postgresql", "postgresql+psycopg"))
    assert states(made) == ["FAIL"] + ["COMPLETE"] * 6


@pytest.mark.postgres
def test_a_database_that_does_not_answer_is_named_without_its_password(database, refused):
    said = refused(SEEDS, f"sweep.storage={database.replace('/postgres', '/nowhere')}")
    assert 'database "nowhere" does not exist' in said
    assert postgres.PASSWORD not in said


# The train command itself


def test_real_runs(command, place):
    arguments = [
        "--multirun",
        "hydra/sweeper=optuna",
        "hydra/sweeper/sampler=grid",
        "hydra.launcher.jobs=2",
        "model.optimizers.generator.lr=1e-4,1e-3,1e30",
        *SMALL,
        "total_kimg=0.064",
        "callbacks.evaluation.every_kimg=0.032",
        "callbacks.curves=null",
    ]
    done = command("train", *arguments, folder=place)
    assert done.code == 0, done.output
    made = study_in(place)
    ended = {trial.params["model.optimizers.generator.lr"]: trial for trial in made.trials}
    assert {lr: trial.state.name for lr, trial in ended.items()} == {1e-4: "COMPLETE", 1e-3: "COMPLETE", 1e30: "FAIL"}
    assert "finite" in ended[1e30].user_attrs["error"]
    for lr in (1e-4, 1e-3):
        [report] = place.glob(f"runs/multirun/*/trials/{ended[lr].number}.json")
        about = json.loads((Path(json.loads(report.read_text())["run_dir"]) / "run.json").read_text())
        assert ended[lr].value == about["best"]
    again = command("train", *arguments, folder=place)
    assert again.code == 0, again.output
    assert len(study_in(place).trials) == 3
    best = f"model.optimizers.generator.lr={made.best_params['model.optimizers.generator.lr']}"
    assert done.output.splitlines()[-1] == again.output.splitlines()[-1] == best
