"""A run's folder: made, locked, moved aside, logged to."""

import json
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gan_lab.runs.records import replace_text
from gan_lab.runs.settings import digest


def refuse_other_settings(folder: Path, settings: dict[str, Any]) -> None:
    """A folder holds one run: another one's checkpoints are not gone on with.

    Raises:
        ValueError: the folder's run has settings that give other results.
    """
    stored = folder / "config.yaml"
    if not stored.is_file() or not any((folder / "checkpoints").glob("*.ckpt")):
        return
    earlier = digest(OmegaConf.to_container(OmegaConf.load(stored)))  # type: ignore[arg-type]
    if earlier != digest(settings):
        raise ValueError(
            f"{folder} holds a run of other settings (digest {earlier}, these have {digest(settings)}; see {stored}); "
            "choose another run_dir=..., or overwrite=true to move that run aside"
        )


@contextmanager
def owned(folder: Path, *, overwrite: bool) -> Iterator[dict[str, Any]]:
    """The run's folder, locked for this process; yields what run.json says and writes it back.

    Raises:
        RuntimeError: another process is writing to it.
    """
    from filelock import FileLock, Timeout

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RuntimeError(
            f"another process is training in {folder}; wait for it, or set run_dir=... or seed=..."
        ) from error
    except OSError as error:
        raise OSError(
            f"cannot use {folder}: {error}; set paths.runs_dir=... to a folder that can be written"
        ) from error
    try:
        if overwrite and folder.exists():
            aside = folder.with_name(f"{folder.name}.{time.strftime('%Y-%m-%d_%H-%M-%S')}")
            folder.rename(aside)
            print(f"moved the earlier run to {aside}")
        folder.mkdir(exist_ok=True)
        file = folder / "run.json"
        about = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"id": uuid.uuid4().hex[:8]}
        replace_text(file, json.dumps(about, indent=1))
        yield about
        replace_text(file, json.dumps(about, indent=1))
    finally:
        lock.release()


@contextmanager
def logged(folder: Path, *, first_rank: bool) -> Iterator[None]:
    """Messages and warnings go to the terminal and to train.log in the run's folder; of other ranks, errors alone."""
    root = logging.getLogger()
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if first_rank:
        handlers.append(logging.FileHandler(folder / "train.log", encoding="utf-8", errors="backslashreplace"))
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    else:
        terminal.setLevel(logging.ERROR)
    for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("gan_lab").setLevel(logging.INFO)
    earlier, root.handlers = root.handlers, handlers
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addFilter(_shorten)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logging.getLogger("py.warnings").removeFilter(_shorten)
        root.handlers = earlier
        for handler in handlers:
            handler.close()


def _shorten(record: logging.LogRecord) -> bool:
    """Leaves the message of a warning, without the source line it came from."""
    text = str(record.args[0]) if isinstance(record.args, tuple) and record.args else record.getMessage()
    record.msg, record.args = f"Warning: {text.splitlines()[0].partition('Warning: ')[2] or text}", ()
    return True
