"""A run's status: one small JSON file that tells whoever started the run how it stands, and takes a wish to end it.

Its keys: `state` (running, finished, stopped by a signal with all saved, failed), `run_dir`, `images_seen`,
`total_kimg`, `monitored` (name of the score) with `higher_is_better`, `scores` (pairs of kimg and value),
`objective` (the best one), `reason` (why training ended) and `error` (one message). What is not known is null.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gan_lab.runs.records import best_of, comparable, scores_of

PRUNED = "pruned"  # how a reason begins when a sweep has given the run up


def read_status(path: Path) -> dict[str, Any]:
    """What the file says; empty where there is none."""
    try:
        status: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return status


def update_status(path: Path, **changes: Any) -> None:
    """Change keys of the file, made where there is none; a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.write_text(json.dumps(read_status(path) | changes, indent=1), encoding="utf-8")
    temporary.replace(path)


def stop_file(path: Path) -> Path:
    """Where a wish to end the run whose status file is `path` is written: its text becomes the reason."""
    return path.with_name(f"{path.name}.stop")


def is_pruned(reason: str | None) -> bool:
    """Whether the run was given up early, so that its length is what it reached and not what was asked for."""
    return (reason or "").startswith(PRUNED)


def wish_to_end(run: Path) -> Path:
    """Where anyone may write a wish to end the run in this folder, as its watcher does: its text becomes the reason."""
    return run / "stop"


def monitored_scores(folder: Path) -> dict[str, Any]:
    """The keys that a run's folder tells: `monitored`, `higher_is_better`, `scores`, all of the latest protocol."""
    lines = comparable(scores_of(folder))
    if not lines:
        return {"monitored": None, "higher_is_better": None, "scores": []}
    name = lines[-1]["monitored"]
    return {
        "monitored": name,
        "higher_is_better": lines[-1].get("higher_is_better"),
        "scores": [[line["images_seen"] / 1000, line["scores"][name]] for line in lines],
    }


def best_score(folder: Path) -> float | None:
    """The best one of `monitored_scores`."""
    best = best_of(scores_of(folder))
    return None if best is None else float(best["scores"][best["monitored"]])


@contextmanager
def status_kept(
    path: str | None, *, total_kimg: float, describe: Callable[[BaseException], str], first_rank: bool = True
) -> Iterator[Any]:
    """Frame of a run: its status file says `running` at once, and how it ended however it ends.

    Args:
        path: the status file; None for none.
        total_kimg: what the run is to reach.
        describe: one message from an exception.
        first_rank: whether this process is the one that writes.
    Yields:
        a function that changes keys of the status.
    """
    file = Path(path).absolute() if path is not None and first_rank else None

    def note(**changes: Any) -> None:
        if file is not None:
            update_status(file, **changes)

    if file is not None:
        unknown = dict.fromkeys(("run_dir", "monitored", "higher_is_better", "objective", "reason", "error"))
        update_status(file, state="running", images_seen=0, total_kimg=total_kimg, scores=[], **unknown)
    try:
        yield note
    except BaseException as error:
        by_signal = isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128
        if by_signal or isinstance(error, KeyboardInterrupt):
            note(state="stopped")
        else:
            note(state="failed", error=describe(error))
        raise
    note(state="finished")
