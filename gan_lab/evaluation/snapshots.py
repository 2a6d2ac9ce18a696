"""Every snapshot of a run, scored once."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab import collectives
from gan_lab.distributed.topology import Topology
from gan_lab.evaluation.display import draw_curve, print_curve, say
from gan_lab.evaluation.scores import append_scores, save_per_image, save_pictures
from gan_lab.evaluation.scoring import PreparedEvaluation, refuse, settings_by
from gan_lab.evaluation.stage import Evaluation
from gan_lab.runs.checkpoint import CheckpointError, second_name
from gan_lab.runs.records import best_of, content_sha256, read_scores, replace_text, scores_of, snapshots_of

BEST, TAKEN = "best.safetensors", ".taken.safetensors"


def score_run(config: DictConfig, topology: Topology, device: Any) -> None:
    """`run=...`: every snapshot in order, the curve, the best; what the run or `out` have by this protocol is kept.

    The run may go on meanwhile, and delete snapshots.

    Raises:
        CheckpointError: the folder holds no run, or no snapshots.
    """
    usual: dict[str, Any] = {"against": None, "image_size": None, "weights": "ema", "direction": None, "dropout": False}
    refuse(config, "run", **usual, truncation=None, standing_statistics=None)
    run = Path(config.run)
    stored = collectives.from_first_rank(lambda: stored_config(run))
    snapshots = collectives.broadcast_object(snapshots_of(run))
    if not snapshots:
        raise CheckpointError(f"{run} holds no snapshots (looked in its folder snapshots/)")
    settings = settings_by(config, stored)
    out = Path(settings["out"] or run / "evaluation")
    stage = PreparedEvaluation(settings, stored, topology, device)
    lines: list[dict[str, Any]] = []
    with ExitStack() as stack:
        own = collectives.from_first_rank(lambda: _own_folder(stack, out))
        for number, (images, snapshot) in enumerate(snapshots.items(), 1):
            taken = collectives.from_first_rank(partial(held_snapshot, snapshot, own))
            if taken is None:
                say(f"{images / 1000:g} kimg is left out: its snapshot was deleted meanwhile")
                continue
            line = collectives.from_first_rank(partial(_known, run, out, images, taken, stage.evaluation))
            if line is not None:
                say(f"{images / 1000:g} kimg is scored already")
            else:
                scores = stage.score(taken, "ema", f"{images / 1000:g} kimg, {number} of {len(snapshots)}")
                line = scores.line(images)
                if collectives.rank() == 0:
                    about = {"snapshot": content_sha256(taken)}
                    append_scores(out, images, scores, about)
                    line |= about
                    save_pictures(out / "pictures", images, scores)
                    save_per_image(out, images, scores)
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


def held_snapshot(snapshot: Path, folder: Path) -> Path | None:
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
    sha256, digests = content_sha256(taken), evaluation.digests(weights_of(taken))
    lines = [line for line in scores_of(run) if line["images_seen"] == images]
    lines += [line for line in read_scores(out / "scores.jsonl") if line.get("snapshot") == sha256]
    line = next((line for line in lines if is_by(line, digests) and has_intervals(line, evaluation)), None)
    if line is None:
        return None
    metric = evaluation.metrics[evaluation.monitor]
    return line | {"monitored": evaluation.name_of(metric), "higher_is_better": bool(metric.higher_is_better)}


def mark_best(folder: Path, snapshot: Path, line: Mapping[str, Any]) -> None:
    """Keep a snapshot under a name of its own, which outlives the deletion of old ones, with its score beside it."""
    about = json.loads(snapshot.with_suffix(".json").read_text(encoding="utf-8"))
    about["best"] = {name: line[name] for name in ("monitored", "scores", "protocols", "snapshot") if name in line}
    second_name(snapshot, folder / BEST)
    replace_text((folder / BEST).with_suffix(".json"), json.dumps(about, indent=1))


def stored_config(run: Path) -> dict[str, Any]:
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


def is_by(line: Mapping[str, Any], digests: Mapping[str, str]) -> bool:
    return set(digests.values()) <= set(line["protocols"].values())


def has_intervals(line: Mapping[str, Any], evaluation: Evaluation) -> bool:
    """Whether the line has the intervals asked for, if any: they are no part of a protocol."""
    if evaluation.intervals is None or not any(metric.intervals for metric in evaluation.metrics.values()):
        return True
    return line.get("intervals_about") == evaluation.intervals


def weights_of(snapshot: Path) -> str:
    return str(json.loads(snapshot.with_suffix(".json").read_text(encoding="utf-8"))["weights"])
