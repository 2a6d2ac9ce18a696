"""The snapshots of a run, each scored once: all that are there, or as they land while another process trains.

All that a watcher knows lies in files that are written whole, so it can be killed at any moment and started again.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab import collectives
from gan_lab.checkpoint import CheckpointError, second_name
from gan_lab.distributed.place import Place
from gan_lab.evaluation import Evaluation, EvaluationError, Scores
from gan_lab.records import (
    WATCH,
    append_scores,
    best_of,
    comparable,
    content_sha256,
    line_of,
    read_scores,
    replace_text,
    save_pictures,
    scores_of,
    snapshots_of,
    watched_scores,
)
from gan_lab.reports import wish_to_end
from gan_lab.scoring import Stage, draw_curve, print_curve, refuse, say, settings_by

BEST, TAKEN, FAILED = "best.safetensors", ".taken.safetensors", "failed.json"


def score_run(config: DictConfig, place: Place, device: Any) -> None:
    """`run=...`: every snapshot in order, the curve, the best; what the run or `out` have by this protocol is kept.

    The run may go on meanwhile, and delete snapshots.

    Raises:
        CheckpointError: the folder holds no run, or no snapshots.
    """
    refuse(config, "run", against=None, image_size=None, weights="ema", truncation=None, standing_statistics=None)
    run = Path(config.run)
    stored = collectives.from_first_rank(lambda: _config_of(run))
    settings = settings_by(config, stored)
    out = Path(settings["out"] or run / "evaluation")
    snapshots = collectives.broadcast_object(snapshots_of(run))
    if not snapshots:
        raise CheckpointError(f"{run} holds no snapshots (looked in its folder snapshots/)")
    stage = Stage(settings, stored, place, device)
    lines: list[dict[str, Any]] = []
    with ExitStack() as stack:
        own = collectives.from_first_rank(lambda: _own_folder(stack, out))
        for number, (images, snapshot) in enumerate(snapshots.items(), 1):
            taken = collectives.from_first_rank(partial(_taken, snapshot, own))
            if taken is None:
                say(f"{images / 1000:g} kimg is left out: its snapshot was deleted meanwhile")
                continue
            line = collectives.from_first_rank(partial(_known, run, out, images, taken, stage.evaluation))
            if line is not None:
                say(f"{images / 1000:g} kimg is scored already")
            else:
                scores = stage.score(taken, "ema", f"{images / 1000:g} kimg, {number} of {len(snapshots)}")
                line = line_of(images, scores)
                if collectives.rank() == 0:
                    about = {"snapshot": content_sha256(taken)}
                    append_scores(out, images, scores, about)
                    line |= about
                    save_pictures(out / "pictures", images, scores)
            lines.append(line)
            if collectives.rank() == 0 and best_of(lines) is lines[-1]:
                mark_best(out, taken, line)
    best = best_of(lines)
    if best is None:
        raise CheckpointError(f"{run} has deleted all of its snapshots meanwhile; score it again when it has new ones")
    if collectives.rank() == 0:
        draw_curve(lines, best, out / "curve.png")
        print_curve(lines, best)
        print(f"{out / 'curve.png'}; best: {out / BEST}", flush=True)


def _own_folder(stack: ExitStack, out: Path) -> Path:
    """A folder in `out` for names of our own, as long as `stack` lasts."""
    out.mkdir(parents=True, exist_ok=True)
    return Path(stack.enter_context(TemporaryDirectory(prefix=".taken_", dir=out)))


def _taken(snapshot: Path, folder: Path) -> Path | None:
    """A name of our own for a snapshot, which training may delete or replace; None where it is gone already."""
    taken = folder / TAKEN
    try:
        second_name(snapshot.with_suffix(".json"), taken.with_suffix(".json"))
        second_name(snapshot, taken)
    except FileNotFoundError:
        return None
    return taken


def _known(run: Path, out: Path, images: int, taken: Path, evaluation: Evaluation) -> dict[str, Any] | None:
    """The line of a snapshot by these protocols, of the run or of `out`, as this evaluation monitors it."""
    sha256, digests = content_sha256(taken), evaluation.digests(_weights_of(taken))
    lines = [line for line in scores_of(run) if line["images_seen"] == images]
    lines += [line for line in read_scores(out / "scores.jsonl") if line.get("snapshot") == sha256]
    line = next((line for line in lines if _is_by(line, digests) and _has_intervals(line, evaluation)), None)
    if line is None:
        return None
    metric = evaluation.metrics[evaluation.monitor]
    return line | {"monitored": evaluation.name_of(metric), "higher_is_better": bool(metric.higher_is_better)}


def _is_by(line: Mapping[str, Any], digests: Mapping[str, str]) -> bool:
    return set(digests.values()) <= set(line["protocols"].values())


def _has_intervals(line: Mapping[str, Any], evaluation: Evaluation) -> bool:
    """Whether the line has the intervals asked for, if any: they are no part of a protocol."""
    if evaluation.intervals is None or not any(metric.intervals for metric in evaluation.metrics.values()):
        return True
    return line.get("intervals_about") == evaluation.intervals


def watch_run(config: DictConfig, place: Place, device: Any) -> None:
    """`watch=...`: score snapshots as they land, until the run has ended and all are scored.

    Raises:
        EvaluationError: snapshots could not be scored; all others are.
        RuntimeError: another process watches this run.
        ValueError: keys that would change the run's protocol.
    """
    usual = {"against": None, "image_size": None, "out": None, "num_samples": None, "seed": None, "weights": "ema"}
    usual |= {"truncation": None, "standing_statistics": None}
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
                watcher = Watcher(run, begun, config, place, device)
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
        place, device: of this process.
    """

    def __init__(self, run: Path, begun: dict[str, Any], config: DictConfig, place: Place, device: Any) -> None:
        self.run, self.begun = run, begun
        settings = settings_by(config.copy(), begun["config"])
        self.stage = Stage(settings, begun["config"], place, device)
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
        return set(json.loads(file.read_text())) if file.is_file() else set()

    def _take(self) -> tuple[int, Path, str] | None:
        """Images seen, a name of our own for the snapshot (which training may delete or replace), and its digest."""
        folder, own = self.run / WATCH, {line["images_seen"] for line in read_scores(self.run / "scores.jsonl")}
        lines = watched_scores(self.run)
        failed = self._failed_before()
        for images, snapshot in sorted(snapshots_of(self.run).items(), key=lambda found: found[0] in failed):
            try:
                if images in own or (images in self._failed and content_sha256(snapshot) == self._failed[images]):
                    continue
                if images in lines and _is_by(lines[images], self.stage.evaluation.digests(_weights_of(snapshot))):
                    continue
            except FileNotFoundError:  # deleted by a run that goes on from before it
                continue
            folder.mkdir(exist_ok=True)
            if (taken := _taken(snapshot, folder)) is not None:
                return images, taken, content_sha256(taken)
        return None

    def _note(self, images: int, path: Path, sha256: str, scores: Scores) -> None:
        """The line, after all that it would keep from being done again; none where another run has begun here."""
        if _identity(self.run) != self.begun["id"]:
            print(f"{images / 1000:g} kimg was of an earlier run in {self.run}; its scores are dropped", flush=True)
            return
        folder = self.run / WATCH
        line = line_of(images, scores)
        lines = sorted([*(old for old in scores_of(self.run) if old["images_seen"] != images), line], key=_images)
        best = best_of(lines)
        if best is line:
            mark_best(folder, path, line | {"snapshot": sha256})
        save_pictures(folder / "pictures", images, scores)
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


def mark_best(folder: Path, snapshot: Path, line: Mapping[str, Any]) -> None:
    """Keep a snapshot under a name of its own, which outlives the deletion of old ones, with its score beside it."""
    about = json.loads(snapshot.with_suffix(".json").read_text())
    about["best"] = {name: line[name] for name in ("monitored", "scores", "protocols", "snapshot") if name in line}
    second_name(snapshot, folder / BEST)
    replace_text((folder / BEST).with_suffix(".json"), json.dumps(about, indent=1))


def _images(line: Mapping[str, Any]) -> int:
    return int(line["images_seen"])


def _config_of(run: Path) -> dict[str, Any]:
    """The run's resolved config.

    Raises:
        CheckpointError: there is none.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise CheckpointError(f"{run} is no run's folder (it has no config.yaml)")
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)  # type: ignore[return-value]
    except Exception as error:  # YAML's and OmegaConf's have no common root
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _weights_of(snapshot: Path) -> str:
    return str(json.loads(snapshot.with_suffix(".json").read_text())["weights"])


def _begun(run: Path) -> dict[str, Any] | None:
    """The run's id and config; None before its first start.

    Raises:
        ValueError: it scores itself.
    """
    if run.is_file():
        raise ValueError(f"watch={run} is a file; give the folder in which a run trains, or will train")
    if not (run / "run.json").is_file() or not (run / "config.yaml").is_file():
        return None
    config = _config_of(run)
    if not (config.get("evaluation") or {}).get("watched"):
        raise ValueError(
            f"the run in {run} is not to be watched: it was started without evaluation=watch; run={run} scores what it "
            "has left"
        )
    return {"id": _identity(run), "config": config}


def _identity(run: Path) -> str | None:
    """The id of the run in this folder; None where there is none at the moment."""
    try:
        return str(json.loads((run / "run.json").read_text())["id"])
    except FileNotFoundError:
        return None


def _ended(run: Path) -> bool:
    file = run / "run.json"
    return file.is_file() and bool(json.loads(file.read_text()).get("ended"))


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
    from gan_lab.callbacks.loggers import wandb_logger

    given = {key: value for key, value in node.items() if key != "_target_"}
    name, identity = f"{run} eval", f"{begun['id']}-eval"
    (run / WATCH).mkdir(exist_ok=True)
    return wandb_logger(folder=str(run / WATCH), run_id=identity, name=name, **given, job_type="eval")
