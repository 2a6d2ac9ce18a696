"""Ranks and jobs that a command starts, without the start of an interpreter for each.

A command under test is a process with all libraries loaded (see `preloaded.py`). What it starts as `python -m MODULE`
is forked of it here: as real a process, with its own id, session, streams, environment and end, in milliseconds
instead of the seconds that torch and Lightning take to load. What commands keep of a command is put back first.
"""

import contextlib
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton


class ForkedPopen:
    """`subprocess.Popen([sys.executable, "-m", MODULE, ...], ...)` as the launchers call and use it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: int,
        stdout: Any,
        stderr: Any,
        start_new_session: bool,
        preexec_fn: Callable[[], None],
    ) -> None:
        assert list(command[:2]) == [sys.executable, "-m"]
        assert (stdin, start_new_session) == (subprocess.DEVNULL, True)

        def become() -> None:
            os.setsid()
            preexec_fn()
            for place, output in ((1, stdout), (2, stderr)):
                if output is not None:
                    os.dup2(output.fileno(), place)
            run_anew(command[2], command[3:], env)

        sys.stdout.flush()
        sys.stderr.flush()
        self._process = multiprocessing.get_context("fork").Process(target=become)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self.returncode) is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("forked", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_anew(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """The command `module`, in this process that was forked of another command."""
    from gan_lab.distributed.preemption import signals

    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):  # an interpreter starts with those alone that are ignored
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signals.__init__()
    for kind in (GlobalHydra, HydraConfig):
        Singleton._instances.pop(kind, None)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    importlib.import_module(module).main()


def fork_what_is_started() -> None:
    """From now on in this process, and in those that it starts."""
    from gan_lab.distributed import launcher
    from gan_lab.sweeps import local_launcher

    forking = SimpleNamespace(**{**vars(subprocess), "Popen": ForkedPopen})
    launcher.subprocess = local_launcher.subprocess = forking
