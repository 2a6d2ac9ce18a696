"""The snapshots of a run, scored as they land while another process trains; `snapshots` scores those that are there.

All that a watcher knows lies in files that are written whole, so it can be killed at any moment and started again.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from omegaconf import DictConfig

from gan_lab import collectives
from gan_lab.distributed.topology import Topology
from gan_lab.evaluation.display import draw_curve, print_curve, say
from gan_lab.evaluation.scores import Scores, append_scores, save_per_image, save_pictures
from gan_lab.evaluation.scoring import PreparedEvaluation, refuse, settings_by
from gan_lab.evaluation.snapshots import (
    TAKEN,
    held_snapshot,
    is_by,
    mark_best,
    stored_config,
    weights_of,
)
from gan_lab.evaluation.stage import EvaluationError
from gan_lab.runs.checkpoint import CheckpointError
from gan_lab.runs.records import (
    WATCH,
    best_of,
    comparable,
    content_sha256,
    read_scores,
    replace_text,
    scores_of,
    snapshots_of,
    watched_scores,
)
from gan_lab.runs.status import wish_to_end

FAILED = "failed.json"


def watch_run(config: DictConfig, topology: Topology, device: Any) -> None:
    """`watch=...`: score snapshots as they land, until the run has ended and all are scored.

    Raises:
        EvaluationError: snapshots could not be scored; all others are.
        RuntimeError: another process watches this run.
        ValueError: keys that would change the run's protocol.
    """
    usual: dict[str, Any] = dict.fromkeys(("against", "image_size", "out", "num_samples", "seed", "direction"))
    usual |= {"weights": "ema", "truncation": None, "standing_statistics": None, "dropout": False}
    refuse(config, "watch", **usual, data={}, evaluation={})
    if not config.poll_seconds > 0:
        raise ValueError(f"poll_seconds must be more than 0, got {config.poll_seconds}")
    run = Path(config.watch)
    with ExitStack() as stack:
        stack.enter_context(_ending_by_signals())
        collectives.from_first_rank(lambda: stack.enter_context(_alone(run)))
        if not collectives.from_first_rank(lambda: _begun(run)):
            say(f"waiting for a run in {run}")
        watcher: Watcher | None = None
        while True:
            begun = collectives.from_first_rank(lambda: _begun(run))
            if begun is not None and (watcher is None or watcher.begun != begun):
                if watcher is not None:
                    watcher.close()
                watcher = Watcher(run, begun, config, topology, device)
                stack.callback(watcher.close)
            if watcher is not None:
                if watcher.score_next():
                    continue
                if collectives.from_first_rank(watcher.is_over):
                    break
            if collectives.rank() == 0:
                time.sleep(config.poll_seconds)
        watcher.finish()


class Watcher:
    """Scores what a run leaves, by the run's own protocol.

    Args:
        run: its folder.
        begun: its id and config.
        config: of the command.
        topology, device: of this process.
    """

    def __init__(self, run: Path, begun: dict[str, Any], config: DictConfig, topology: Topology, device: Any) -> None:
        self.run, self.begun = run, begun
        settings = settings_by(config.copy(), begun["config"])
        self.stage = PreparedEvaluation(settings, begun["config"], topology, device)
        self._failed: dict[int, str] = {}
        self._logger = _logger(run, begun) if collectives.rank() == 0 else None
        say(f"watching {run}")

    def score_next(self) -> bool:
        """Score the oldest snapshot that needs it; False where there is none."""
        job = collectives.from_first_rank(self._take)
        if job is None:
            return False
        images, path, sha256 = job
        try:
            scores = self.stage.score(path, "ema", f"{images / 1000:g} kimg")
        except (EvaluationError, CheckpointError) as error:  # on all ranks, which read one file
            say(f"{images / 1000:g} kimg cannot be scored, and is left out: {error}")
            self._failed[images] = sha256
            if collectives.rank() == 0:
                self._put_last(images)
            return True
        if collectives.rank() == 0:
            self._note(images, path, sha256, scores)
        return True

    def _put_last(self, images: int) -> None:
        """A watcher that is started anew scores what has failed after all others."""
        replace_text(self.run / WATCH / FAILED, json.dumps(sorted(self._failed_before() | {images})))

    def _failed_before(self) -> set[int]:
        """Images seen of what could not be scored at some time."""
        file = self.run / WATCH / FAILED
        return set(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else set()

    def _take(self) -> tuple[int, Path, str] | None:
        """Images seen, a name of our own for the snapshot (which training may delete or replace), and its digest."""
        folder, own = self.run / WATCH, {line["images_seen"] for line in read_scores(self.run / "scores.jsonl")}
        lines = watched_scores(self.run)
        failed = self._failed_before()
        for images, snapshot in sorted(snapshots_of(self.run).items(), key=lambda found: found[0] in failed):
            try:
                if images in own or (images in self._failed and content_sha256(snapshot) == self._failed[images]):
                    continue
                if images in lines and is_by(lines[images], self.stage.evaluation.digests(weights_of(snapshot))):
                    continue
            except FileNotFoundError:  # deleted by a run that goes on from before it
                continue
            folder.mkdir(exist_ok=True)
            if (taken := held_snapshot(snapshot, folder)) is not None:
                return images, taken, content_sha256(taken)
        return None

    def _note(self, images: int, path: Path, sha256: str, scores: Scores) -> None:
        """The line, after all that it would keep from being done again; none where another run has begun here."""
        if _identity(self.run) != self.begun["id"]:
            print(f"{images / 1000:g} kimg was of an earlier run in {self.run}; its scores are dropped", flush=True)
            return
        folder = self.run / WATCH
        line = scores.line(images)
        lines = sorted([*(old for old in scores_of(self.run) if old["images_seen"] != images), line], key=_images)
        best = best_of(lines)
        if best is line:
            mark_best(folder, path, line | {"snapshot": sha256})
        save_pictures(folder / "pictures", images, scores)
        save_per_image(folder, images, scores)
        append_scores(folder, images, scores, {"snapshot": sha256})
        assert best is not None
        draw_curve(comparable(lines), best, folder / "curve.png")
        if self._logger is not None:
            self._logger.log_metrics({f"eval/{name}": value for name, value in scores.values.items()}, step=images)
        mark = "  best so far" if best is line else ""
        print(f"{images / 1000:g} kimg: {scores.monitored} = {scores.monitored_value:.6g}{mark}", flush=True)
        self._ask_for_the_end(lines[-1], best)

    def _ask_for_the_end(self, newest: Mapping[str, Any], best: Mapping[str, Any]) -> None:
        """Where patience is at its end: the run looks for this file, and its next start removes it."""
        patience = (self.begun["config"].get("stop") or {}).get("patience_kimg")
        if patience is None or _ended(self.run) or newest["images_seen"] - best["images_seen"] < 1000 * patience:
            return
        reason = f"no better {best['monitored']} for {patience:g} kimg"
        replace_text(wish_to_end(self.run), reason)
        print(f"asked the run to stop: {reason}", flush=True)

    def is_over(self) -> bool:
        """Whether the run has ended and nothing is left to score; an end is seen before what led to it."""
        return _ended(self.run) and self._take() is None

    def finish(self) -> None:
        """Say what has become of the run.

        Raises:
            EvaluationError: snapshots could not be scored; it names them.
        """
        lines = comparable(scores_of(self.run))
        if collectives.rank() == 0 and (best := best_of(lines)) is not None:
            print_curve(lines, best)
        if self._failed:
            names = ", ".join(f"{images / 1000:g}" for images in sorted(self._failed))
            raise EvaluationError(
                f"{self.run} has ended and is scored but for its snapshots at {names} kimg, which failed (the reasons "
                "are above); the same command tries them again"
            )
        say(f"{self.run} has ended and is scored; {self.run / WATCH} has all")

    def close(self) -> None:
        """Leave nothing behind but results."""
        if collectives.rank() == 0:
            for taken in (self.run / WATCH / TAKEN, (self.run / WATCH / TAKEN).with_suffix(".json")):
                taken.unlink(missing_ok=True)
        if self._logger is not None:
            self._logger.finalize("success")
            self._logger.experiment.finish()
            self._logger = None


def _images(line: Mapping[str, Any]) -> int:
    return int(line["images_seen"])


def _begun(run: Path) -> dict[str, Any] | None:
    """The run's id and config; None before its first start.

    Raises:
        ValueError: it scores itself.
    """
    if run.is_file():
        raise ValueError(f"watch={run} is a file; give the folder in which a run trains, or will train")
    if not (run / "run.json").is_file() or not (run / "config.yaml").is_file():
        return None
    config = stored_config(run)
    if not (config.get("evaluation") or {}).get("watched"):
        raise ValueError(
            f"the run in {run} is not to be watched: it was started without evaluation=watch; run={run} scores what it "
            "has left"
        )
    return {"id": _identity(run), "config": config}


def _identity(run: Path) -> str | None:
    """The id of the run in this folder; None where there is none at the moment."""
    try:
        return str(json.loads((run / "run.json").read_text(encoding="utf-8"))["id"])
    except FileNotFoundError:
        return None


def _ended(run: Path) -> bool:
    file = run / "run.json"
    return file.is_file() and bool(json.loads(file.read_text(encoding="utf-8")).get("ended"))


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    """One watcher at a time; the lock lies beside the folder, which may not be there yet.

    Raises:
        RuntimeError: another process watches this run.
    """
    from filelock import FileLock, Timeout

    run.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.parent / f".{run.name}.watch.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RuntimeError(f"another process watches {run} already; one is enough") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _ending_by_signals() -> Iterator[None]:
    """TERM unwinds a process alone, as Ctrl-C does; ranks die of it, since an unwinding one could wait for another."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if collectives.is_distributed():
        yield
        return
    earlier = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _logger(run: Path, begun: Mapping[str, Any]) -> Any:
    """A run of Weights & Biases beside the training's, where that has one: same group, an id that restarts keep."""
    node = (begun["config"].get("logger") or {}).get("wandb")
    if not node:
        return None
    from gan_lab.runs.loggers import wandb_logger

    given = {key: value for key, value in node.items() if key != "_target_"}
    name, identity = f"{run} eval", f"{begun['id']}-eval"
    (run / WATCH).mkdir(exist_ok=True)
    return wandb_logger(folder=str(run / WATCH), run_id=identity, name=name, **given, job_type="eval")
