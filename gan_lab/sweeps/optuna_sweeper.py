"""`hydra/sweeper=optuna`: search with Optuna; trials report as they go, and hopeless ones are ended early."""

import copy
import math
import os
import platform
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab.runs.status import PRUNED, is_pruned, read_status, stop_file
from gan_lab.sweeps.search_space import Search, parse, written

POLL_SECONDS = 1.0
BUSY = "another process is training in"  # how a run begins its refusal of a folder that has a writer


STOPPED = "STOPPED"


class Outcome(NamedTuple):
    """How a trial ended.

    Attributes:
        state: COMPLETE, PRUNED or FAIL, as Optuna has them, or STOPPED: to be gone on with.
        value: the objective of a complete one.
        text: what to tell a person.
    """

    state: str
    value: float | None
    text: str


class OptunaSweeper(Sweeper):
    """Asks Optuna for a trial, launches its run, follows the run's report, and tells Optuna how it ended.

    A trial's run has a folder of its own, named by its settings; a trial tried again goes on in it.

    Args:
        direction: minimize or maximize; None for what the monitored metric says.
        n_trials: length of the study, over all workers.
        n_jobs: trials at once in this worker; None for what the launcher has room for.
        sampler: Optuna's sampler, as a config with `_target_`.
        pruner: its pruner, likewise; steps are whole kimg.
        study_name: None for one made from the command.
        storage: see `gan_lab.sweeps.study.location`; None for a file in the sweep's folder.
        params: search space and fixed values beside those of the command line, which come after them.
        seed: of the sampler, 0 or more.
        give_up_after: failed trials at the start that end this worker; None for never.
        heartbeat_s: seconds between signs of life, 1 or more.
    """

    config: Any
    hydra_context: Any

    def __init__(
        self,
        *,
        direction: str | None,
        n_trials: int,
        n_jobs: int | None,
        sampler: DictConfig,
        pruner: DictConfig,
        study_name: str | None,
        storage: str | None,
        params: DictConfig,
        seed: int,
        give_up_after: int | None,
        heartbeat_s: int,
    ) -> None:
        if direction not in (None, "minimize", "maximize"):
            raise ValueError(f"direction must be minimize or maximize (or null), got {direction!r}")
        counts = {"n_trials": n_trials, "n_jobs": n_jobs, "give_up_after": give_up_after, "heartbeat_s": heartbeat_s}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        self.direction, self.n_trials, self.n_jobs, self.seed = direction, n_trials, n_jobs, seed
        self.sampler, self.pruner, self.params = sampler, pruner, params
        self.study_name, self.storage = study_name, storage
        self.give_up_after, self.heartbeat_s = give_up_after, heartbeat_s
        self._ending = threading.Event()
        self._asking = threading.Lock()
        self._outcomes: list[str] = []
        self._interrupted = False

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """See `Sweeper`."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until the study has `n_trials`, and print the best.

        Raises:
            ValueError: a search space, storage or direction that does not work.
            RuntimeError: the first trials all failed, none completed, or the storage does not answer.
            SystemExit: interrupted; the same command goes on.
        """
        try:
            from gan_lab.sweeps import study as studies
        except ImportError as error:
            raise ImportError(
                f"hydra/sweeper=optuna needs the extra `sweep`: pip install -e '.[sweep]' ({error})"
            ) from error
        self._studies = studies
        studies.quiet()
        self._search = self._read_search(arguments)
        name = self.study_name or f"{self._title()}_{self._search.digest()}"
        self._prepare(name)
        where = self.storage or str(self._folder / "study.db")
        self._study = self._open(name, where)
        self._launcher = self._make_launcher()
        print(f"study {name} in {studies.shown(where)}: {len(self._counted())} of {self.n_trials} trials begun")
        self._run()
        if self._interrupted:
            print(f"study {name} was interrupted; the same command goes on")
            raise SystemExit(130)
        self._conclude(name)

    def _read_search(self, arguments: list[str]) -> Search:
        from hydra.core.override_parser.overrides_parser import OverridesParser

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        lines = [f"{key!s}={written(value)}" for key, value in self.params.items()]
        overrides = parser.parse_overrides([*lines, *arguments])
        return parse([override for override in overrides if not override.key_or_group.startswith("sweep.")])

    def _title(self) -> str:
        choices = self.config.hydra.runtime.choices
        if choices.get("experiment"):
            return str(choices["experiment"])
        named = [choices[group] for group in ("model", "data") if group in choices and group not in self._search.space]
        return "_".join(named) or "search"

    def _prepare(self, name: str) -> None:
        """Choose the sweep's folder; take the storage, with its password, out of what launchers write down."""
        config = copy.deepcopy(self.config)
        chosen = any(line.startswith("hydra.sweep.dir=") for line in config.hydra.overrides.hydra)
        with open_dict(config):
            if not chosen:
                config.hydra.sweep.dir = str(Path(config.paths.runs_dir) / "multirun" / name)
            config.hydra.sweeper.storage = None
            OmegaConf.update(config, "sweep.storage", None)
            for kind in ("hydra", "task"):
                lines = config.hydra.overrides[kind]
                config.hydra.overrides[kind] = [
                    line for line in lines if "sweep.storage=" not in line.replace("sweeper.", "sweep.")
                ]
            config.hydra.job.override_dirname = ",".join(config.hydra.overrides.task)
        self.config = config
        self._folder = Path(config.hydra.sweep.dir).absolute()
        self._folder.mkdir(parents=True, exist_ok=True)

    def _make_launcher(self) -> Any:
        from hydra.core.plugins import Plugins

        return Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=self.task_function, config=self.config
        )

    def _open(self, name: str, where: str) -> Any:
        """The study, begun or joined.

        Raises:
            ValueError: its search is another one.
        """
        import optuna
        from hydra.utils import instantiate

        direction = self._direction()
        grid = self._search.grid() if self.sampler._target_.endswith(".Grid") else None
        extra = {} if grid is None else {"search_space": grid}
        if grid is not None:
            self.n_trials = min(self.n_trials, math.prod(len(values) for values in grid.values()))
        pruner = instantiate(self.pruner)
        storage = self._storage = self._studies.open_storage(where, self.heartbeat_s)
        self._beats = isinstance(storage, optuna.storages.RDBStorage)
        try:
            sampler = instantiate(self.sampler, seed=self.seed, **extra)
            study = optuna.create_study(
                storage=storage, study_name=name, direction=direction, sampler=sampler, pruner=pruner
            )
        except optuna.exceptions.DuplicatedStudyError:
            study = optuna.load_study(storage=storage, study_name=name, pruner=pruner)
            study.sampler = instantiate(self.sampler, seed=self._seed_to_join(len(study.trials), grid), **extra)
        if study.direction.name.lower() != direction:
            raise ValueError(f"study {name} has direction {study.direction.name.lower()}, this command {direction}")
        begun = study.user_attrs.get("search")
        if begun is None:
            study.set_user_attr("search", self._search.record())
        elif begun != self._search.record():
            raise ValueError(
                f"study {name} in {self._studies.shown(where)} searches something else ({begun}); choose another "
                "hydra.sweeper.study_name"
            )
        return study

    def _seed_to_join(self, trials: int, grid: Any) -> int:
        """One of its own, lest this worker draw what another draws, or what it drew before; a grid has one order."""
        import numpy as np

        if grid is not None:
            return self.seed
        host = int.from_bytes(platform.node().encode()[-8:], "big")
        return int(np.random.SeedSequence([self.seed, trials, os.getpid(), host]).generate_state(1)[0])

    def _direction(self) -> Any:
        """That of the monitored metric, in the config of a first trial, which is composed here before any is launched.

        Raises:
            ValueError: none, or one that contradicts the metric.
        """
        from hydra.utils import get_class

        overrides = self._overrides(self._search.example(), 0)
        evaluation = self.hydra_context.config_loader.load_sweep_config(self.config, overrides).get("evaluation")
        if evaluation is None or "monitor" not in evaluation:
            if self.direction is None:
                raise ValueError("a search needs a score to go by: set evaluation, or hydra.sweeper.direction")
            return self.direction
        if evaluation.get("watched"):
            raise ValueError(
                "a search goes by the scores of its trials as they run, and evaluation=watch leaves scoring to another "
                "process; choose another evaluation, such as evaluation=default"
            )
        node = evaluation.metrics.get(evaluation.monitor)
        if node is None:
            raise ValueError(f"evaluation.monitor={evaluation.monitor!r} is none of the metrics that are computed")
        metric: Any = get_class(node["_target_"])
        natural = "maximize" if metric.higher_is_better else "minimize"
        if self.direction not in (None, natural):
            raise ValueError(
                f"hydra.sweeper.direction={self.direction}, but {evaluation.monitor} is to {natural}; leave it null"
            )
        return natural

    def _run(self) -> None:
        """Work in as many slots as there are, until the study is complete or this worker is told to end."""
        from hydra._internal.core_plugins.basic_launcher import BasicLauncher

        slots = self.n_jobs if self.n_jobs is not None else getattr(self._launcher, "slots", 1)
        if slots == 1:
            try:
                self._work()
            except KeyboardInterrupt:
                self._interrupted = True
            return
        if isinstance(self._launcher, BasicLauncher):
            raise ValueError(f"hydra.sweeper.n_jobs={slots} needs a launcher for several jobs: hydra/launcher=local")
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self._work()
            except BaseException as error:
                self._ending.set()
                errors.append(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(slots, self.n_trials))]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            try:
                time.sleep(POLL_SECONDS / 4)
            except KeyboardInterrupt:
                if self._interrupted:
                    os._exit(130)
                self._interrupted = True
                self._ending.set()
        if errors:
            raise errors[0]

    def _work(self) -> None:
        """One trial after the other."""
        while (trial := self._ask()) is not None:
            self._try(trial)

    def _ask(self) -> Any:
        """The next trial, perhaps after waiting for what becomes of those of other workers; None at the end.

        Raises:
            RuntimeError: the first trials all failed.
        """
        import optuna

        while not self._ending.is_set():
            with self._asking:
                optuna.storages.fail_stale_trials(self._study)
                trials = self._counted()
                self._give_up(trials)
                states = [trial.state.name for trial in trials]
                if "WAITING" in states or len(states) < self.n_trials:
                    trial = self._study.ask(self._search.space)
                    self._beat(trial)
                    if not self._studies.is_surplus(
                        trial.number, self._study.get_trials(deepcopy=False), self.n_trials
                    ):
                        return trial
                    trial.set_user_attr(self._studies.SURPLUS, True)
                    self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                elif "RUNNING" not in states or not self._beats:
                    return None
            self._ending.wait(POLL_SECONDS)
        return None

    def _give_up(self, trials: list[Any]) -> None:
        count = self.give_up_after
        if count is not None and self._outcomes[:count] == ["FAIL"] * count:
            errors = [
                trial.user_attrs[self._studies.ERROR] for trial in trials if self._studies.ERROR in trial.user_attrs
            ]
            raise RuntimeError(f"the first {count} trials all failed, the last one with: {errors[-1]}")

    def _counted(self) -> list[Any]:
        return self._studies.counting(self._study.get_trials(deepcopy=False))

    def _beat(self, trial: Any) -> None:
        """A sign of life; Optuna gives its own only for functions that it calls itself."""
        if self._beats:
            self._storage.record_heartbeat(trial._trial_id)

    def _try(self, trial: Any) -> None:
        """Run one trial, and tell the study how it ended."""
        import optuna

        print(f"trial {trial.number}: {' '.join(self._search.overrides(trial.params))}", flush=True)
        start = time.monotonic()
        with self._followed(trial):
            outcome = self._result(trial)
        try:
            if outcome.state == STOPPED:
                self._interrupted = True
                self._ending.set()
                self._studies.try_again(self._study, trial.number)
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                return
            self._outcomes.append(outcome.state)
            if outcome.state == "FAIL":
                trial.set_user_attr(self._studies.ERROR, outcome.text)
            self._study.tell(trial, outcome.value, optuna.trial.TrialState[outcome.state], skip_if_finished=True)
        except optuna.exceptions.UpdateFinishedTrialError:
            print(f"trial {trial.number}: this worker was silent for too long, and another one has taken it over")
        print(f"trial {trial.number}: {outcome.text} ({time.monotonic() - start:.0f} s)", flush=True)

    def _overrides(self, params: dict[str, Any], number: int) -> list[str]:
        report = QuotedString(str(self._report(number)), Quote.single).with_quotes()
        # What a run's folder keeps is no place for the password of a database.
        secret = [] if self.storage is None else ["sweep.storage=null"]
        return [*self._search.fixed, *self._search.overrides(params), *secret, f"report={report}"]

    def _report(self, number: int) -> Path:
        return self._folder / "trials" / f"{number}.json"

    def _result(self, trial: Any) -> Outcome:
        """Launch the run, again while its folder has another writer: a run that outlived its worker, or a twin."""
        report, overrides = self._report(trial.number), self._overrides(trial.params, trial.number)
        while True:
            report.unlink(missing_ok=True)
            stop_file(report).unlink(missing_ok=True)
            try:
                answer = self._launcher.launch([overrides], initial_job_idx=trial.number)[0]._return_value
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                answer = error
            said = read_status(report)
            if BUSY not in f"{said.get('error')}{answer}" or self._ending.wait(10 * POLL_SECONDS):
                return judge(said, answer, ending=self._ending.is_set())

    @contextmanager
    def _followed(self, trial: Any) -> Iterator[None]:
        """Meanwhile hand scores on to the study, and ask the run to end when the pruner gives the trial up."""
        ended = threading.Event()
        follower = threading.Thread(target=self._follow, args=(trial, ended), daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()

    def _follow(self, trial: Any, ended: threading.Event) -> None:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        known: set[int] = set()
        beaten = time.monotonic()
        last = False
        while not last:
            last = ended.wait(POLL_SECONDS)
            try:
                if time.monotonic() - beaten > self.heartbeat_s:
                    beaten = time.monotonic()
                    self._beat(trial)
                self._hand_on(trial, known, last)
            except (optuna.exceptions.OptunaError, SQLAlchemyError) as error:  # the run goes on without its study
                print(f"trial {trial.number}: {str(error).splitlines()[0]}", flush=True)

    def _hand_on(self, trial: Any, known: set[int], last: bool) -> None:
        file = self._report(trial.number)
        for kimg, value in read_status(file).get("scores", []):
            step = round(kimg)
            if step in known:
                continue
            trial.report(value, step)
            known.add(step)
            if not last and not stop_file(file).exists() and trial.should_prune():
                stop_file(file).write_text(
                    f"{PRUNED} at {kimg:g} kimg by {type(self._study.pruner).__name__}", encoding="utf-8"
                )

    def _conclude(self, name: str) -> None:
        """Print and write down the best.

        Raises:
            RuntimeError: no trial has a result.
        """
        trials = self._counted()
        counts = {state: sum(trial.state.name == state for trial in trials) for state in ("COMPLETE", "PRUNED", "FAIL")}
        print(
            f"study {name}: {counts['COMPLETE']} trials completed, {counts['PRUNED']} pruned, {counts['FAIL']} failed"
        )
        for trial in trials:
            if self._studies.ERROR in trial.user_attrs:
                print(f"  trial {trial.number} {trial.user_attrs[self._studies.ERROR]}")
        if not counts["COMPLETE"]:
            raise RuntimeError(f"no trial of study {name} completed")
        best = self._study.best_trial
        results = {"name": "optuna", "best_params": best.params, "best_value": best.value}
        temporary = self._folder / f".optimization_results.{os.getpid()}.tmp"
        OmegaConf.save(OmegaConf.create(results), temporary)
        temporary.replace(self._folder / "optimization_results.yaml")
        print(f"best: {best.value:.6g}, trial {best.number}; its settings:")
        print(shlex.join(self._search.overrides(best.params)))


def judge(report: dict[str, Any], answer: Any, *, ending: bool) -> Outcome:
    """How a run ended.

    Args:
        report: its report; empty if it wrote none.
        answer: what the launcher handed back, or raised.
        ending: whether this worker is being stopped, and its runs with it.
    """
    state, failed = report.get("state"), isinstance(answer, BaseException)
    if state == "stopped" or isinstance(answer, KeyboardInterrupt) or (failed and ending):
        return Outcome(STOPPED, None, "stopped")
    if is_pruned(report.get("reason")):
        return Outcome("PRUNED", None, report["reason"])
    if state == "failed" or failed:
        return Outcome("FAIL", None, f"failed: {report.get('error') or f'{type(answer).__name__}: {answer}'}")
    value = report.get("objective", answer)
    if value is None:
        return Outcome("FAIL", None, "failed: the run has no score")
    if not math.isfinite(value):
        return Outcome("FAIL", None, f"failed: the score is {value}")
    return Outcome("COMPLETE", float(value), f"{value:.6g}")
