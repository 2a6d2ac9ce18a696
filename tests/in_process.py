"""Commands run inside the test's process: their messages cost milliseconds, not the start of an interpreter."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra


def compose_once(set_attribute: Callable[..., None] = setattr) -> None:
    """Hydra composes all a first time, to read `hydra.mode`, which no config of ours sets."""
    set_attribute(Hydra, "get_mode", lambda *_, **__: None)


class Said:
    """How a command ended, and what it printed."""

    def __init__(self, code: int, output: str) -> None:
        self.code, self.output = code, output


class InProcess:
    """`here("train", "seed=-1")` is `python -m gan_lab.train seed=-1` in `folder`, without a process of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self._monkeypatch, self._capfd = folder, monkeypatch, capfd

    def __call__(self, name: str, *words: str) -> Said:
        from gan_lab.cli import run_command

        module = importlib.import_module(f"gan_lab.{name}")
        environment = dict(os.environ)
        try:
            with self._monkeypatch.context() as patch:
                patch.chdir(self.folder)
                patch.setattr(sys, "argv", [f"gan_lab.{name}", *words])
                compose_once(patch.setattr)
                self._capfd.readouterr()
                code = 0
                try:
                    run_command(name, module.run)
                except SystemExit as ended:
                    code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        finally:
            os.environ.clear()
            os.environ.update(environment)
        printed = self._capfd.readouterr()
        return Said(code, printed.out + printed.err)


@pytest.fixture
def here(tmp_path, monkeypatch, capfd) -> InProcess:
    return InProcess(tmp_path, monkeypatch, capfd)
