"""What all tests share: one thread, a cache of their own, and runs of the train command in processes of their own."""

import gc
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import parsed_once
import pytest
import torch

pytest_plugins = ["in_browser", "in_process", "ranks"]
ROOT = Path(__file__).resolve().parent.parent
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
parsed_once.install()


def pytest_collection_finish() -> None:
    """What libraries and tests have loaded is no garbage: collections pass over it, and are rarer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="a test that is skipped fails, with what it lacks")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and item.config.getoption("no_skips"):
        report.outcome, report.longrepr = "failed", f"skipped in spite of --no-skips: {report.longrepr[-1]}"
    return report


@pytest.fixture(autouse=True, scope="session")
def surroundings(tmp_path_factory):
    torch.set_num_threads(1)
    os.environ["GAN_LAB_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["OMP_NUM_THREADS"] = "1"
    # A shell starts what runs in its background without the one, and nohup without the other.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _run_command(module: str, arguments: list[str], folder: str, output: str, forking: bool = True) -> None:
    """A command as the target of a process; with `forking`, what it starts has no interpreter of its own.

    Without it, all is as for a user.
    """
    os.chdir(folder)
    # As from a shell: loader workers of a killed run notice its death, which those of a fork server do not.
    multiprocessing.set_start_method(None, force=True)
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    sys.argv = [module, *arguments]
    import importlib

    if forking:
        from forked import fork_what_is_started
        from in_process import compose_once

        fork_what_is_started()
        compose_once()
    importlib.import_module(module).main()
    sys.stdout.flush()
    sys.stderr.flush()


class Command:
    """A finished run of one of the commands."""

    def __init__(self, code: int, output: str) -> None:
        self.code, self.output = code, output


@pytest.fixture(scope="session")
def forkserver():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preloaded"])
    return context


def run_command(context, folder: Path, module: str, *arguments: str, forking: bool = True) -> Command:
    """See `command`; `context` is the fork server."""
    output = folder / "output.txt"
    output.unlink(missing_ok=True)
    process = context.Process(
        target=_run_command, args=(f"gan_lab.{module}", list(arguments), str(folder), str(output), forking)
    )
    process.start()
    process.join(300)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"still running after 300 s:\n{output.read_text()}")
    return Command(process.exitcode, output.read_text())


@pytest.fixture
def command(forkserver, tmp_path):
    """`command(module, *arguments)` runs `python -m gan_lab.<module>` in `tmp_path`, in a real process of its own.

    Its ranks and jobs are forked of it, or with `forking=False` started as for a user: see `forked.py`.
    """

    def run(module: str, *arguments: str, folder: Path = tmp_path, forking: bool = True) -> Command:
        return run_command(forkserver, folder, module, *arguments, forking=forking)

    return run


SMALL = [
    "data.image_size=16",
    "data.batch_size=16",
    "model.generator.width=4",
    "model.discriminator.width=4",
    "evaluation.num_samples=20",
    "evaluation.block_size=10",
    "evaluation.metrics.kid.subset_size=10",
    "trainer=cpu",
    "threads=1",
]
