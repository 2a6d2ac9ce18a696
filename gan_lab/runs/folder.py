"""A run's folder: found, made, locked, moved aside, logged to."""

import json
import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from gan_lab.runs.records import read_json, read_rows, read_scores, replace_text, set_aside, snapshots_of
from gan_lab.runs.settings import digest, run_name, run_title, same_results

log = logging.getLogger("gan_lab")

# What a run writes in its folder under these names, over whatever has them.
WRITTEN = (
    "config.yaml",
    "run.json",
    "metrics.csv",
    "scores.jsonl",
    "protocols.json",
    "train.log",
    "curves.png",
    "checkpoints",
    "snapshots",
    "pictures",
    "stop",
)
LOCK = ".lock"


# Which folder ---------------------------------------------------------------------------------------------------------


def find_folder(settings: Mapping[str, Any], choices: Mapping[str, Any], content: str | None) -> Path:
    """The folder of the run of these settings: `run_dir`, or the one of its name below `paths.runs_dir`.

    A folder of another name that holds this very run is gone on with: it was named by an earlier version, when the
    place of data and weights was part of the name and some keys did not exist yet, or without a look at the data.

    Args:
        content: see `gan_lab.runs.settings.decisive`.
    """
    if settings["run_dir"]:
        return Path(settings["run_dir"]).expanduser()
    runs = Path(settings["paths"]["runs_dir"]).expanduser()
    named = runs / run_name(settings, choices, content)
    if holds_run(named):
        return named
    for folder in sorted((runs / run_title(settings, choices)).glob(f"*/seed{settings['seed']}")):
        stored, about = stored_settings(folder), read_json(folder / "run.json") or {}
        if stored is not None and same_results(stored, settings, stored_content=about.get("content"), content=content):
            return folder
    return named


def stored_settings(folder: Path) -> dict[str, Any] | None:
    """The config of the run in `folder`: of config.yaml, or where that is lost of the newest sound checkpoint."""
    file = folder / "config.yaml"
    try:
        with file.open(encoding="utf-8-sig") as text:
            stored = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (FileNotFoundError, NotADirectoryError):
        stored = None
    except (ValueError, yaml.YAMLError):
        stored = None
    if _is_config(stored):
        return dict(stored)
    newest = _newest(folder)
    return None if newest is None else dict(newest["config"])


def _is_config(node: Any) -> bool:
    """Whether a YAML file's content is a run's config."""
    return isinstance(node, dict) and {"model", "data", "total_kimg", "seed"} <= node.keys()


def _newest(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, without a word on others; they are named where one is gone on from."""
    from gan_lab.runs.checkpoint import CheckpointError, periodic, read

    for path in periodic(folder / "checkpoints")[::-1]:
        try:
            return read(path)
        except CheckpointError:
            continue
    return None


def refuse_other_settings(folder: Path, settings: dict[str, Any]) -> None:
    """A folder holds one run: another one's checkpoints are not gone on with.

    Where the data lie makes no other run: what they are is compared when they are read.

    Raises:
        ValueError: the folder's run has settings that give other results.
    """
    if not any((folder / "checkpoints").glob("*.ckpt")):
        return
    stored = stored_settings(folder)
    if stored is None:
        return
    if not same_results(stored, settings, stored_content="here", content="here"):
        raise ValueError(
            f"{folder} holds a run of other settings (digest {digest(stored)}, these have {digest(settings)}; see "
            f"{folder / 'config.yaml'}); choose another run_dir=..., or overwrite=true to move that run aside"
        )


# Going on -------------------------------------------------------------------------------------------------------------


def resume_point(folder: Path, about: Mapping[str, Any]) -> Path | None:
    """The checkpoint to go on from; None where the run has never saved one and begins.

    Raises:
        CheckpointError: what was saved is gone, damaged, or of a later version; the message names the ways on.
    """
    from gan_lab.runs.checkpoint import CheckpointError, LaterFormat, is_sound, newest_sound, periodic, read

    checkpoints = folder / "checkpoints"
    anew = "overwrite=true moves this run aside as it is and begins anew"
    try:
        found = newest_sound(checkpoints)
    except LaterFormat as error:
        raise CheckpointError(f"{error} to go on; or {anew}") from error
    if found is not None or not _has_saved(folder, about):
        return found
    there = len(periodic(checkpoints))
    lost = f"none of the {there} in {checkpoints} can be read" if there else f"there is none in {checkpoints}"
    ways = ["bring it back to go on", anew]
    best, snapshots = checkpoints / "best.ckpt", list(snapshots_of(folder).values())
    if is_sound(best):
        images = read(best)["counters"]["images_seen"]
        ways.insert(1, f"copy {best} to {checkpoints / f'{images:012d}.ckpt'} to go on from the best")
    elif snapshots:
        ways.append(f"run_dir=NEW init_from={snapshots[-1]} begins another run from its newest generator")
    raise CheckpointError(f"{folder} holds a run that has lost its checkpoints ({lost}): {'; '.join(ways)}")


def _has_saved(folder: Path, about: Mapping[str, Any]) -> bool:
    """Whether the run ever had a checkpoint. One of an earlier version did not note it, but left other traces."""
    from gan_lab.runs.checkpoint import periodic

    if about.get("saved") is not None or about.get("finished_kimg") is not None or periodic(folder / "checkpoints"):
        return True
    if "saved" in about:
        return False
    if read_scores(folder / "scores.jsonl") or snapshots_of(folder):
        return True
    try:
        stored, rows = stored_settings(folder) or {}, read_rows(folder / "metrics.csv")
        every = stored["callbacks"]["checkpoint"]["every_kimg"]
        return bool(rows) and every is not None and int(rows[-1]["images_seen"]) > 1000 * every
    except (ValueError, KeyError, TypeError):
        return False


# Owning ---------------------------------------------------------------------------------------------------------------


def holds_run(folder: Path) -> bool:
    """Whether a run has written in `folder`, even if some of its files are damaged."""
    about = read_json(folder / "run.json")
    if about is not None and "id" in about:
        return True
    return any((folder / "checkpoints").glob("*.ckpt")) or bool(snapshots_of(folder)) or _is_config_file(folder)


def _is_config_file(folder: Path) -> bool:
    try:
        return _is_config(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, yaml.YAMLError):
        return False


@contextmanager
def owned(folder: Path, *, overwrite: bool) -> Iterator[dict[str, Any]]:
    """The run's folder, locked for this process; yields what run.json says and writes it back.

    The lock is the folder's own, whatever name it is called by: a file in it. A second one beside the folder is held
    as well, as by earlier versions, and while the folder is moved aside.

    Raises:
        RuntimeError: another process is writing to it.
        ValueError: what lies there is no run's, and would be written over or moved.
        OSError: it cannot be used.
    """
    real, typed = Path(os.path.realpath(folder)), Path(os.path.abspath(folder))
    beside = dict.fromkeys((Path(os.path.realpath(typed.parent)) / typed.name, real))
    with ExitStack() as stack:
        inside = stack.enter_context(ExitStack())
        try:
            real.parent.mkdir(parents=True, exist_ok=True)
            for name in beside:
                stack.enter_context(_lock(name.with_name(f".{name.name}.lock"), folder, needed=not real.is_dir()))
            _refuse_strangers(real, folder, overwrite)
            if real.is_dir():
                inside.enter_context(_lock(real / LOCK, folder))
            if overwrite and holds_run(real):
                aside = _aside(real)
                real.rename(aside)
                inside.close()
                print(f"moved the earlier run to {aside if folder.is_symlink() else folder.with_name(aside.name)}")
            if not real.is_dir():
                real.mkdir()
                inside.enter_context(_lock(real / LOCK, folder))
            about = _about(real)
            config = real / "config.yaml"  # will be written anew
            if config.is_file() and not _is_empty(config) and not _is_config_file(real):
                set_aside(config, "it is no config of a run")
            replace_text(real / "run.json", json.dumps(about, indent=1))
        except OSError as error:
            raise OSError(
                f"cannot use {folder}: {error}; set run_dir=... or paths.runs_dir=... to a folder that can be written"
            ) from error
        yield about
        replace_text(real / "run.json", json.dumps(about, indent=1))


@contextmanager
def _lock(file: Path, folder: Path, *, needed: bool = True) -> Iterator[None]:
    """Hold a lock file.

    Args:
        needed: whether it is an error that it cannot be made.
    Raises:
        RuntimeError: another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RuntimeError(
            f"another process is training in {folder}; wait for it, or set run_dir=... or seed=..."
        ) from error
    except OSError:
        if needed:
            raise
    try:
        yield
    finally:
        lock.release()


def _refuse_strangers(real: Path, folder: Path, overwrite: bool) -> None:
    """Leave alone what no run has written."""
    if real.exists() and not real.is_dir():
        raise ValueError(f"{folder} is a file; give the folder of a run: run_dir=...")
    if not real.is_dir():
        return
    if holds_run(real):
        if overwrite and Path.cwd().resolve().is_relative_to(real):
            raise ValueError(
                f"overwrite=true would move aside {real}, the folder that this command runs in; start it from another "
                "folder, or set run_dir=..."
            )
        return
    there = sorted(path.name for path in real.iterdir() if not path.name.startswith("."))
    if overwrite and there:
        raise ValueError(
            f"overwrite=true moves aside an earlier run, and {folder} holds none: {_listed(there)} would be moved; set "
            "run_dir=... to another folder"
        )
    taken = [name for name in there if name in WRITTEN and not _is_empty(real / name)]
    if taken:
        raise ValueError(
            f"{folder} holds {_listed(taken)}, which no run has written and a run would write over; set run_dir=... to "
            "a folder of its own"
        )


def _is_empty(path: Path) -> bool:
    """Whether a file holds nothing, as a crash can leave it (some systems fill it with zeros)."""
    return path.is_file() and path.stat().st_size < 2**20 and not path.read_bytes().strip(b"\0 \r\n\t")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _aside(real: Path) -> Path:
    """A name that nothing has, see `gan_lab.runs.reading.MOVED_ASIDE`."""
    stamped = aside = real.with_name(f"{real.name}.{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    number = 1
    while aside.exists():
        number += 1
        aside = stamped.with_name(f"{stamped.name}-{number}")
    return aside


def _about(folder: Path) -> dict[str, Any]:
    """What run.json says. Where a crash has damaged it, what the newest checkpoint knows of it."""
    file = folder / "run.json"
    about = read_json(file)
    if about is not None and "id" in about:
        return about
    if not holds_run(folder):
        return {"id": uuid.uuid4().hex[:8], "saved": None}
    if file.is_file() and not _is_empty(file):
        set_aside(file, "it does not say which run this is")
    newest = _newest(folder)
    if newest is None:
        return {"id": uuid.uuid4().hex[:8]}
    log.warning("%s is written anew from the newest checkpoint", file)
    images, total = newest["counters"]["images_seen"], newest["config"]["total_kimg"]
    about = {"id": uuid.uuid4().hex[:8], **newest.get("run", {}), "saved": images}
    if newest["counters"]["iteration_ended"] and images >= 1000 * total:
        about |= {
            "finished_kimg": max(total, images / 1000),
            "reason": f"total_kimg={total:g} is reached",
            "ended": True,
        }
    return about


# Messages -------------------------------------------------------------------------------------------------------------


class RunLog(logging.FileHandler):
    """train.log; where it cannot be written, that is said once and the run goes on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._said = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # where it cannot be opened
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Instead of a traceback for every message."""
        if not self._said:
            self._said = True
            log.warning("%s cannot be written; messages go to the terminal alone", self.baseFilename)


@contextmanager
def logged(folder: Path, *, first_rank: bool) -> Iterator[None]:
    """Messages and warnings go to the terminal and to train.log in the run's folder; of other ranks, errors alone."""
    root = logging.getLogger()
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if first_rank:
        handlers.append(RunLog(folder / "train.log"))
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
