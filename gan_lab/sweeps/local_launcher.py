"""`hydra/launcher=local`: every job of a sweep is a process of its own, as many at once as this machine allows."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from gan_lab.distributed.launcher import end_with, usable_cores
from gan_lab.distributed.preemption import RANKING, heeded
from gan_lab.runs.status import read_status, stop_file, update_status

POLL_SECONDS, REDRAW_SECONDS, LINE_SECONDS = 0.1, 0.5, 30.0


class JobError(RuntimeError):
    """Jobs failed; the message says which, why, and where their logs are."""


@dataclass
class Job:
    """One run of the sweep.

    Attributes:
        number: counted over the whole sweep.
        overrides: the arguments of its command.
        label: those that are not the same for all.
        config: what it composes to.
        report, log: its files.
        state: waiting, running, finished, stopped or failed.
        error: one message once it failed.
    """

    number: int
    overrides: list[str]
    label: str
    config: DictConfig
    report: Path
    log: Path
    state: str = "waiting"
    error: str = ""
    process: Any = None
    slot: Any = None
    begun: float = 0.0
    seconds: float = 0.0
    told: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"job {self.number} ({self.label})" if self.label else f"job {self.number}"

    def standing(self) -> str:
        """How far it is: from its report, or before that the last line it printed."""
        report = read_status(self.report)
        if not report.get("images_seen"):
            return _last_line(self.log) or "starting"
        score = f", {report['monitored']} {report['scores'][-1][1]:.4g}" if report["scores"] else ""
        return f"{report['images_seen'] / 1000:.1f} of {report['total_kimg']:g} kimg{score}"


@dataclass(frozen=True)
class Slot:
    """Room for one job: its GPUs (None on the CPU), and CPU threads for each of its processes where it names none."""

    devices: tuple[str, ...] | None
    threads: int


class LocalLauncher(Launcher):
    """Runs `python -m gan_lab.train` for each job, in slots of devices, and hands back the objectives.

    It may be called from several threads at once; they share the slots.

    Args:
        jobs: jobs at once, 1 or more; where there are too few GPUs for them, they share those. None for as many as
            have devices of their own.
        devices: names of the GPUs to use; None for all visible ones.
    """

    command: Sequence[str] = (sys.executable, "-m", "gan_lab.train")

    def __init__(self, jobs: int | None, devices: Sequence[Any] | None) -> None:
        if jobs is not None and jobs < 1:
            raise ValueError(f"hydra.launcher.jobs must be 1 or more (or null), got {jobs}")
        if devices is not None and not devices:
            raise ValueError("hydra.launcher.devices names no device; leave it null, or choose trainer=cpu")
        self.jobs = jobs
        self.devices = None if devices is None else [str(device) for device in devices]
        self._lock = threading.RLock()
        self._all: list[Slot] = []
        self._free: list[Slot] = []
        self._running: list[Job] = []
        self._asked: list[int] = []
        self._earlier: dict[int, Any] = {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """See `Launcher`."""
        self.hydra_context, self.config = hydra_context, config
        if threading.current_thread() is threading.main_thread():
            for number in heeded(RANKING):
                self._earlier[number] = signal.signal(number, self._handle)

    @property
    def slots(self) -> int:
        """How many jobs of the sweep's common settings run at once."""
        return len(self._cut([self.config]))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; a failing one does not stop the others.

        Raises:
            ValueError: jobs that this machine cannot run.
            SystemExit: a signal asked for the end; all jobs have ended, and the same command goes on.
        """
        folder = Path(self.config.hydra.sweep.dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [self._job(initial_job_idx + index, list(given), folder) for index, given in enumerate(job_overrides)]
        _refuse_shared_reports(jobs)
        with self._lock:
            if not self._all:
                self._all = self._cut([job.config for job in jobs])
                self._free = list(self._all)
        in_main = threading.current_thread() is threading.main_thread()
        with Lines(jobs, folder) if in_main else nullcontext() as lines:
            try:
                self._run(jobs, folder.name, lines)
            finally:
                for job in jobs:
                    if job.state == "running":
                        _kill(job)
        if self._asked:
            raise SystemExit(128 + self._asked[0])
        return _returns(jobs)

    def _job(self, number: int, overrides: list[str], folder: Path) -> Job:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        if OmegaConf.select(config, "trainer.num_nodes", default=1) > 1:
            raise ValueError(
                f"trainer.num_nodes={config.trainer.num_nodes} is more than this machine; hydra/launcher=slurm runs "
                "jobs on several nodes"
            )
        same = set(self.config.hydra.overrides.task)
        label = " ".join(line for line in overrides if line not in same and not line.startswith("report="))
        if config.report is None:
            config.report = str(folder / f"{number}.json")
            overrides = [*overrides, f"report={QuotedString(config.report, Quote.single).with_quotes()}"]
        log = folder / f"{number}.log"
        return Job(number, overrides, label, config, Path(config.report).absolute(), log)

    def _cut(self, configs: Sequence[DictConfig]) -> list[Slot]:
        """The slots in which jobs of these settings run, each with room for the largest of them.

        Raises:
            ValueError: one needs more devices than there are.
        """
        gpus = self._gpus() if any(_accelerator(config) in ("auto", "gpu", "cuda") for config in configs) else []
        cores = usable_cores()
        if not gpus:
            width = max(_count(config, 1) for config in configs)
            count = self.jobs or max(1, cores // max(_count(config, 1) * (config.threads or 1) for config in configs))
            return [Slot(None, max(1, cores // (count * width)))] * count
        width = max(_count(config, len(gpus)) for config in configs)
        if width > len(gpus):
            raise ValueError(f"trainer.devices={width}, but this sweep has {len(gpus)}: {', '.join(gpus)}")
        count = self.jobs or len(gpus) // width
        share = max(1, cores // (count * width))
        return [Slot(tuple(gpus[(s * width + d) % len(gpus)] for d in range(width)), share) for s in range(count)]

    def _gpus(self) -> list[str]:
        """Names of the GPUs, for CUDA_VISIBLE_DEVICES. They are counted elsewhere: torch would keep a hold on them."""
        if self.devices is not None:
            return self.devices
        counted = subprocess.run(
            [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"],
            capture_output=True,
            encoding="utf-8",
        )
        count = int(counted.stdout or 0)
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = [name.strip() for name in named.split(",")] if named else [str(index) for index in range(count)]
        self.devices = names[:count]
        return self.devices

    def _run(self, jobs: Sequence[Job], group: str, lines: Any) -> None:
        """Start, watch and end the jobs; once a signal has come, no new ones."""
        waiting = deque(jobs)
        running: list[Job] = []
        while waiting or running:
            while waiting and not self._asked and (slot := self._take()) is not None:
                job = waiting.popleft()
                self._start(job, slot, group)
                running.append(job)
                if lines:
                    lines.say(f"{job.name} begins, log: {job.log}")
            if self._asked:
                self._pass_on(running)
                for job in waiting:
                    job.state = "stopped"
                    update_status(job.report, state="stopped")
                waiting.clear()
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                self._end(job)
                if lines:
                    lines.say(_outcome(job))
            if lines:
                lines.update()
            time.sleep(POLL_SECONDS)
        if lines:
            lines.conclude(self._asked)

    def _take(self) -> Slot | None:
        with self._lock:
            return self._free.pop(0) if self._free else None

    def _start(self, job: Job, slot: Slot, group: str) -> None:
        environment = {"WANDB_RUN_GROUP": group} | os.environ
        if slot.devices is not None and _accelerator(job.config) != "cpu":
            own = slot.devices[: _count(job.config, len(slot.devices))]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(own)
        if job.config.threads is None:
            environment.setdefault("OMP_NUM_THREADS", str(slot.threads))
        job.report.unlink(missing_ok=True)
        stop_file(job.report).unlink(missing_ok=True)
        job.begun, job.slot, job.state = time.monotonic(), slot, "running"
        launcher = os.getpid()
        with job.log.open("wb") as log:
            job.process = subprocess.Popen(
                [*self.command, *self._search_path(), *job.overrides],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C comes through this process, once
                preexec_fn=lambda: end_with(launcher),
            )
        self._running.append(job)

    def _search_path(self) -> list[str]:
        """Arguments of this command that say where else configs are looked for."""
        sources = [source for source in self.config.hydra.runtime.config_sources if source.provider == "command-line"]
        folders = [argument for source in sources for argument in ("--config-dir", source.path)]
        return folders + [line for line in self.config.hydra.overrides.hydra if line.startswith("hydra.searchpath=")]

    def _end(self, job: Job) -> None:
        """Note how a job ended, in its report as well where it could not do so itself, and free its slot."""
        code, report = job.process.returncode, read_status(job.report)
        job.seconds = time.monotonic() - job.begun
        if code == 0:
            job.state = "finished"
        elif self._asked and report.get("state") != "failed":
            job.state = "stopped"
        else:
            job.state, job.error = "failed", _cause(code, report, job.log)
        if job.state != "finished" and report.get("state") in (None, "running"):
            update_status(job.report, state=job.state, error=job.error or None)
        with self._lock:
            self._running.remove(job)
            self._free.append(job.slot)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Leaves the signal to the loops that watch jobs; where there are none, to whoever took it before."""
        if self._running:
            self._asked.append(number)
        elif callable(earlier := self._earlier[number]):
            earlier(number, frame)
        else:
            signal.signal(number, earlier or signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _pass_on(self, running: Sequence[Job]) -> None:
        """The first signal goes to every job once; a second Ctrl-C or TERM ends what is left of them."""
        first, *more = list(self._asked)
        for job in running:
            if not job.told:
                job.told.append(first)
                job.process.send_signal(first)
            if {signal.SIGINT, signal.SIGTERM} & set(more):
                _kill(job)


class Lines(AbstractContextManager["Lines"]):
    """What a person sees of a sweep: a table of the running jobs; where there is no terminal, a line now and then."""

    def __init__(self, jobs: Sequence[Job], folder: Path) -> None:
        from rich.console import Console
        from rich.live import Live

        self.jobs, self.folder = jobs, folder
        self.console = Console(file=sys.stdout, soft_wrap=True)
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.begun = self.shown = time.monotonic()

    def __enter__(self) -> "Lines":
        self.say(f"{_counted(self.jobs)} in {self.folder}")
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.live:
            with suppress(OSError):  # the terminal may be gone, which is no reason to lose jobs
                self.live.update("", refresh=True)
                self.live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        with suppress(OSError):
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def update(self) -> None:
        """Show how things stand, where that was not just done."""
        now = time.monotonic()
        if now - self.shown < (REDRAW_SECONDS if self.live else LINE_SECONDS):
            return
        self.shown = now
        running = [job for job in self.jobs if job.state == "running"]
        if self.live:
            with suppress(OSError):
                self.live.update(self._table(running), refresh=True)
        else:
            self.say("; ".join([self.total(), *(f"{job.name}: {job.standing()}" for job in running)]))

    def _table(self, running: Sequence[Job]) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, caption=self.total(), caption_justify="left")
        for job in running:
            seconds = f"{time.monotonic() - job.begun:.0f} s"
            cells = [f"job {job.number}", job.label, job.standing(), seconds]
            table.add_row(*(Text(cell, overflow="ellipsis", no_wrap=True) for cell in cells))
        return table

    def total(self) -> str:
        """How many jobs are in each state."""
        states = [job.state for job in self.jobs]
        counts = [f"{states.count(state)} {state}" for state in ("finished", "running", "waiting", "stopped", "failed")]
        shown = ", ".join(count for count in counts if not count.startswith("0 "))
        return f"{_counted(self.jobs)}, {time.monotonic() - self.begun:.0f} s: {shown}"

    def conclude(self, asked: Sequence[int]) -> None:
        """The last line."""
        self.say(f"{self.total()}; reports and logs in {self.folder}")
        if asked:
            self.say(f"stopped by signal {asked[0]}; the same command goes on")


def _counted(jobs: Sequence[Job]) -> str:
    return f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}"


def _accelerator(config: DictConfig) -> str:
    return str(OmegaConf.select(config, "trainer.accelerator", default="auto"))


def _count(config: DictConfig, every: int) -> int:
    """Devices of a job; `every` where it trains on several and asks for all.

    Raises:
        ValueError: not a number of devices.
    """
    asked = OmegaConf.select(config, "trainer.devices", default=1)
    if asked in ("auto", -1, "-1"):
        return 1 if OmegaConf.select(config, "trainer.strategy", default="auto") == "auto" else every
    if not str(asked).isdecimal() or int(asked) < 1:
        raise ValueError(
            f"trainer.devices={asked} is no number of devices; in a sweep, which ones are used is chosen by "
            "hydra.launcher.devices=[...]"
        )
    return int(asked)


def _refuse_shared_reports(jobs: Sequence[Job]) -> None:
    reports = [job.report for job in jobs]
    shared = next((report for report in reports if reports.count(report) > 1), None)
    if shared is not None:
        raise ValueError(f"report={shared} is the same file for several jobs; leave it out, and each gets its own")


def _cause(code: int, report: dict[str, Any], log: Path) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if code > 128:
        return f"stopped by signal {code - 128}, all saved"
    if report.get("state") == "failed" and report.get("error"):
        return str(report["error"])
    return _last_line(log).removeprefix("Error: ") or f"exit code {code}"


def _last_line(log: Path) -> str:
    """The last line that is not empty, of the last 4 kB; after carriage returns, what is left of it."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        lines = file.read().decode(errors="replace").split("\n")
    return next((text for line in reversed(lines) if (text := line.rstrip().rpartition("\r")[2].strip())), "")


def _outcome(job: Job) -> str:
    if job.state == "failed":
        return f"{job.name} FAILED after {job.seconds:.0f} s: {job.error}"
    report = read_status(job.report)
    objective = report.get("objective")
    score = "" if objective is None else f", {report.get('monitored') or 'objective'} {objective:.4g}"
    reason = report.get("reason") if job.state == "finished" else None
    return f"{job.name} {job.state} after {job.seconds:.0f} s{score}" + (f" ({reason})" if reason else "")


def _returns(jobs: Sequence[Job]) -> list[JobReturn]:
    """What Hydra's sweepers take; a failed job's return value raises."""
    failed = [job for job in jobs if job.state == "failed"]
    said = [f"{job.name}: {job.error} (log: {job.log})" for job in failed]
    summary = said[0] if len(jobs) == 1 and said else f"{len(failed)} of {len(jobs)} jobs failed:"
    error = JobError("\n  ".join([summary, *said]) if len(jobs) > 1 else summary)
    returns = []
    for job in jobs:
        objective: Any = error if job.state == "failed" else read_status(job.report).get("objective")
        status = JobStatus.FAILED if job.state == "failed" else JobStatus.COMPLETED
        returns.append(JobReturn(job.overrides, job.config, None, os.getcwd(), "train", status, objective))
    return returns


def _kill(job: Job) -> None:
    """End a job's processes at once: its ranks, too, which have sessions of their own."""
    import psutil

    if job.process.poll() is None:
        below = psutil.Process(job.process.pid).children(recursive=True)
        os.killpg(job.process.pid, signal.SIGKILL)
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()
