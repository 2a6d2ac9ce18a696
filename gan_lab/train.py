"""`python -m gan_lab.train`: compose, build, resume, fit, and say where the results are."""

import json
import logging
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab.cli import message, run_command
from gan_lab.distributed.preemption import ENDING, REQUEUEING, requeue, signals
from gan_lab.distributed.topology import check_topology, devices_named, find_topology, note_failure, rank_among_others
from gan_lab.runs.folder import find_folder, holds_run, logged, owned, refuse_other_settings, resume_point
from gan_lab.runs.records import replace_text
from gan_lab.runs.settings import PLACES, digest, has_own_place, plain
from gan_lab.runs.signatures import check_signatures
from gan_lab.runs.status import best_score, is_pruned, monitored_scores, read_status, status_kept
from gan_lab.runs.summary import closing_lines

log = logging.getLogger("gan_lab")
TRANSFER_KIMG = 100  # in which ADA's p may go from 0 to 1 when training starts from other weights
ROLLBACKS = 3
PRECISIONS = ("32-true", "32", "64-true", "64", "bf16-mixed", "bf16-true", "bf16", "None")


def main() -> None:
    """The command."""
    signals.note(REQUEUEING)  # by default they kill, and a time limit may fall into the start
    run_command("train", run, completed)


def completed(words: list[str]) -> list[str]:
    """With what experiment=own_pictures chooses by a look at the pictures; rank 0 says it."""
    from gan_lab.config import shipped
    from gan_lab.inspection.choosing import chosen_for
    from gan_lab.overrides import choices_of

    further = any(word.startswith(("--config-dir", "-cd", "hydra.searchpath=")) for word in words)
    choices = {} if further else {group: choices_of(shipped("conf"), group) for group in ("model", "network")}
    chosen = chosen_for(words, choices)
    if chosen.text and rank_among_others() in (None, 0):
        print(chosen.text, file=sys.stderr, flush=True)
    return chosen.words


def run(config: DictConfig) -> float | None:
    """Train as `config` says, in its folder, going on where an earlier run of it ended.

    Where it asks for several processes on this machine and this is none of them, they are started and waited for.

    Returns:
        The best monitored score, for a sweeper; None without an evaluation.
    """
    settings = plain(config)
    first = rank_among_others() in (None, 0)
    with status_kept(settings["report"], total_kimg=settings["total_kimg"], describe=message, first_rank=first) as note:
        check(settings)
        topology = find_topology()
        count = check_topology(settings, topology)
        if count > topology.world:
            return launch(settings["report"], count, devices_named(settings["trainer"]))
        from gan_lab import collectives
        from gan_lab.distributed.environment import joined

        with joined(topology, settings["trainer"]["accelerator"]):
            try:
                return run_as_rank(settings, note)
            except SystemExit as stopped:
                if not isinstance(stopped.code, int) or stopped.code <= 128:
                    raise
                number = stopped.code - 128
                signals.note(ENDING)  # a requeued job gets TERM, which by default kills what is still at work here
                # The others wait: whoever started the ranks ends them all when one of them has ended.
                if (job := collectives.from_first_rank(lambda: requeue(number))) is not None and topology.rank == 0:
                    print(f"job {job} is back in the queue", flush=True)
                ended = stopped
            except Exception as error:
                note_failure(message(error))  # at once, before the other ranks fail because this one is gone
                raise
        raise ended  # once the group is left: a process that ends within it may be aborted by the group's threads


def launch(report: str | None, count: int, devices: list[int] | None) -> float | None:
    """Start the processes of this run on this machine, and wait for them."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from gan_lab.distributed.launcher import run_ranks

    chosen = HydraConfig.get()
    arguments = sys.argv[1:] if chosen.mode == RunMode.RUN else list(chosen.overrides.task)
    with tempfile.TemporaryDirectory(prefix="gan_lab_") as folder:
        if report is None:
            report = str(Path(folder) / "report.json")
            arguments = [*arguments, f"report={report}"]
        code = run_ranks("gan_lab.train", arguments, count, devices)
        if code:
            raise SystemExit(code)
        return read_status(Path(report)).get("objective")


def run_as_rank(settings: dict[str, Any], note: Callable[..., None]) -> float | None:
    """The run, as one of its processes."""
    from hydra.core.hydra_config import HydraConfig

    from gan_lab import collectives
    from gan_lab.inspection.choosing import chosen_among
    from gan_lab.runs.provenance import origin

    settings = agreed(settings)
    folder, content = collectives.from_first_rank(lambda: located(settings, HydraConfig.get().runtime.choices))
    note(run_dir=str(folder.absolute()))
    with ExitStack() as stack:
        about = collectives.from_first_rank(lambda: stack.enter_context(owned(folder, overwrite=settings["overwrite"])))
        collectives.from_first_rank(lambda: refuse_other_settings(folder, settings))
        reached = about.get("finished_kimg")
        if reached is not None and settings["total_kimg"] <= reached:
            if collectives.rank() == 0:
                print(f"{folder} is finished ({reached:g} kimg). total_kimg=... goes on, overwrite=true begins anew.")
            best = best_score(folder) if settings["evaluation"].get("watched") else about.get("best")
            note(images_seen=round(1000 * reached), **monitored_scores(folder))
        else:
            resume = collectives.from_first_rank(lambda: resume_point(folder, about))
            if content is not None and resume is None:
                about["content"] = content
            if "origin" not in about:
                about["origin"] = origin(settings["trainer"]["accelerator"])
                about["origin"]["choices"] = choices_of(HydraConfig.get().runtime.choices)
                if chosen := chosen_among(HydraConfig.get().overrides.task):
                    about["chosen"] = chosen
            about["ended"] = False  # before anything is built: a watcher started now waits for what is to come
            if collectives.rank() == 0:
                replace_text(folder / "run.json", json.dumps(about, indent=1))
            stack.enter_context(logged(folder, first_rank=collectives.rank() == 0))
            best = fit_or_roll_back(settings, folder, about, resume)
            if content is not None:  # by now the checkpoint's data have been compared with these
                about["content"] = content
        note(objective=best, reason=about.get("reason"))
        return best


def located(settings: dict[str, Any], choices: Mapping[str, str]) -> tuple[Path, str | None]:
    """The run's folder, and what its data are where the name follows from that."""
    from hydra.utils import instantiate

    content, problem = None, None
    if has_own_place(settings["data"]):
        data = instantiate(OmegaConf.create(settings).data, _convert_="all")
        try:
            content = data.identity() if hasattr(data, "identity") else None
        except (
            OSError,
            ValueError,
            ImportError,
        ) as error:  # they are not there, say: a finished run is found all the same
            problem = error
    folder = find_folder(settings, choices, content)
    if problem is not None and not holds_run(folder):
        raise problem
    return folder, content


def choices_of(choices: Mapping[str, str]) -> dict[str, str]:
    """What a person calls this run by."""
    return {group: choices[group] for group in ("experiment", "model", "network", "data") if group in choices}


def agreed(settings: dict[str, Any]) -> dict[str, Any]:
    """Rank 0's settings, on every rank.

    Raises:
        ValueError: a rank was started with others.
    """
    from gan_lab import collectives

    places = [settings["data"].get(key) for key in PLACES]
    own = (digest({**settings, "places": places}), settings["seed"])
    everywhere = collectives.broadcast_object(collectives.gather_objects(own))
    if len(set(everywhere)) > 1:
        told = ", ".join(f"{rank}: {found} seed {seed}" for rank, (found, seed) in enumerate(everywhere))
        raise ValueError(f"the ranks were started with different settings (digests by rank: {told})")
    return collectives.broadcast_object(settings)


def check(settings: dict[str, Any]) -> None:
    """What the types cannot say.

    Raises:
        ValueError: a value out of its range, or a choice that does not work.
    """
    if not 0 <= settings["seed"] < 2**64:
        needed = "0 or more" if settings["seed"] < 0 else f"at most {2**64 - 1}"
        raise ValueError(f"seed must be {needed}, got {settings['seed']}")
    if not settings["total_kimg"] > 0:
        raise ValueError(f"total_kimg must be more than 0, got {settings['total_kimg']}")
    if settings["total_kimg"] == math.inf:
        raise ValueError("total_kimg must be finite, got inf; take a large one: Ctrl-C saves, the same command goes on")
    if settings["threads"] is not None and settings["threads"] < 1:
        raise ValueError(f"threads must be 1 or more (or null for one per core), got {settings['threads']}")
    if settings["on_nonfinite"] not in ("stop", "rollback"):
        raise ValueError(f"on_nonfinite must be stop or rollback, got {settings['on_nonfinite']!r}")
    precision = str(settings["trainer"].get("precision"))
    if precision.startswith("16"):
        raise ValueError(
            f"trainer.precision={precision} is refused: scaled fp16 gradients do not go with two optimizers and "
            "penalties; use bf16-mixed or 32-true"
        )
    if precision not in PRECISIONS:
        raise ValueError(f"trainer.precision must be 32-true or bf16-mixed, got {precision}")
    for name, node in settings["callbacks"].items():
        if node is not None and not (isinstance(node, dict) and "_target_" in node):
            raise ValueError(f"callbacks.{name} must be null, to leave it out, or a node with _target_, got {node!r}")
    if not settings["callbacks"].get("stop"):
        raise ValueError("callbacks.stop cannot be left out: it ends the run at total_kimg")


def fit_or_roll_back(
    settings: dict[str, Any], folder: Path, about: dict[str, Any], resume: Path | None
) -> float | None:
    """`fit`, and once more from the last checkpoint after non-finite gradients where the config says so."""
    from gan_lab import collectives
    from gan_lab.callbacks.base import is_first_rank
    from gan_lab.models.base import NonFiniteError

    while True:
        try:
            return fit(settings, folder, about, resume)
        except NonFiniteError as error:
            if settings["on_nonfinite"] == "stop" or about.get("rollbacks", 0) >= ROLLBACKS:
                raise
            about["rollbacks"] = about.get("rollbacks", 0) + 1
            if is_first_rank():
                replace_text(folder / "run.json", json.dumps(about, indent=1))
            log.warning("%s. Rolling back, %d of %d times", error, about["rollbacks"], ROLLBACKS)
            resume = collectives.from_first_rank(lambda: resume_point(folder, about))


def fit(settings: dict[str, Any], folder: Path, about: dict[str, Any], resume: Path | None = None) -> float | None:
    """Build everything, train (on from the checkpoint `resume`, if any), and report."""
    import torch
    from hydra.utils import instantiate
    from pytorch_lightning import seed_everything

    from gan_lab import collectives
    from gan_lab.callbacks.base import is_first_rank
    from gan_lab.callbacks.checkpointing import Checkpointing
    from gan_lab.callbacks.evaluation import Evaluate
    from gan_lab.callbacks.hang import HangDetection
    from gan_lab.callbacks.interruption import Interruption
    from gan_lab.callbacks.stop import Stop
    from gan_lab.distributed.environment import Joined, take_signals_from
    from gan_lab.distributed.strategy import STRATEGY
    from gan_lab.runs.checkpoint import CheckpointIO, initialize, licence_of
    from gan_lab.sampling import legacy_seed
    from gan_lab.trainer import build_trainer

    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*srun.*")  # in an allocation, check_topology has seen to it
    warnings.filterwarnings("ignore", message=".*Checkpoint directory.*exists.*")
    warnings.filterwarnings("ignore", message=".*ended before the epoch ended.*")  # the stream saves its position
    topology, config = find_topology(), OmegaConf.create(settings)
    if settings["threads"] is not None:
        torch.set_num_threads(settings["threads"])
    seed_everything(legacy_seed(settings["seed"]), verbose=False)
    asked = dict(settings["trainer"])
    hang = HangDetection(asked.pop("hang_minutes"))
    check_signatures({**settings, "trainer": asked}, "data", "model", "evaluation", "trainer", "callbacks", "logger")
    data = instantiate(config.data, _convert_="all")
    with collectives.first_ranks_first(topology.local_rank):
        data.prepare_data()
        data.setup("fit")
    model = instantiate(config.model, _convert_="all")
    model.draws.detour = about.get("rollbacks", 0)
    if settings["channels_last"] and len(data.sample_shape) == 3:
        model = model.to(memory_format=torch.channels_last)
    if settings["init_from"] is not None and resume is None:
        lines = initialize(model, settings["init_from"])
        told = "".join(f"\n  {line}" for line in lines)
        log.info(
            "started from %s; %s%s", settings["init_from"], "did not match:" if told else "all of it matched", told
        )
        if (licence := licence_of(settings["init_from"])) is not None:
            about["licence"] = licence
            log.info("licence of these weights, and of what is made of them: %s", licence)
        for name, augmentation in model.augment.items():
            if "p" in augmentation.curves() and getattr(augmentation, "kimg", 0) > TRANSFER_KIMG:
                log.info(
                    "p of model.augment.%s adapts at the pace of training from scratch; from other weights the authors "
                    "of ADA take model.augment.%s.kimg=%d",
                    *(name, name, TRANSFER_KIMG),
                )
    callbacks = [instantiate(node, _convert_="all") for node in config.callbacks.values() if node]
    stop = next(callback for callback in callbacks if isinstance(callback, Stop))
    name = str(folder)
    nodes = config.logger.values() if is_first_rank() else ()
    loggers = [instantiate(node, folder=name, run_id=about["id"], name=name) for node in nodes]
    trainer = build_trainer(
        config.trainer,
        default_root_dir=str(folder),
        callbacks=hang.around(callbacks),
        logger=loggers or False,
        plugins=[CheckpointIO(), Joined(topology)],
        devices=topology.local_world if topology.world > 1 else devices_named(settings["trainer"]) or 1,
        num_nodes=topology.world // topology.local_world,
        strategy=STRATEGY if topology.world > 1 else "auto",
    )
    take_signals_from(trainer)
    for callback in callbacks:
        if isinstance(callback, (Evaluate, Checkpointing)):
            callback.config = settings
        if isinstance(callback, Checkpointing):
            callback.about = about
        if isinstance(callback, Evaluate):
            callback.evaluation = prepared_evaluation(
                config, data, trainer.strategy.root_device, topology.local_rank, model.directions
            )
            callback.watched = bool(settings["evaluation"].get("watched"))
            callback.licence = about.get("licence")
    if is_first_rank():
        replace_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    log.info("%s in %s", "going on from " + resume.name if resume else "training", folder)
    start = time.perf_counter()
    try:
        trainer.fit(model, datamodule=data, ckpt_path=None if resume is None else str(resume), weights_only=True)
    finally:
        for logger in loggers:
            logger.finalize("success")
            if hasattr(logger.experiment, "finish"):
                logger.experiment.finish()
    watched = any(callback.watched for callback in callbacks if isinstance(callback, Evaluate))
    best = next((callback.best for callback in callbacks if isinstance(callback, Evaluate)), None)
    if watched:
        best = collectives.from_first_rank(lambda: best_score(folder))
    signal = next((callback.received for callback in callbacks if isinstance(callback, Interruption)), None)
    if signal is not None and not (stop.reached(model)):
        kimg = model.images_seen / 1000
        log.info("stopped by signal %d at %.1f kimg, all saved; the same command goes on", signal, kimg)
        raise SystemExit(128 + signal)
    kimg = model.images_seen / 1000
    about["finished_kimg"] = kimg if is_pruned(stop.reason) else max(settings["total_kimg"], kimg)
    about["reason"], about["best"], about["ended"] = stop.reason, best, True
    if is_first_rank():
        seconds, reason = time.perf_counter() - start, stop.reason or ""
        print(
            *closing_lines(folder, images_seen=model.images_seen, seconds=seconds, reason=reason), sep="\n", flush=True
        )
    return best


def prepared_evaluation(
    config: DictConfig, data: Any, device: Any, local_rank: int, directions: Collection[str] = ()
) -> Any:
    """The evaluation stage with extractors and reference at hand; None, said aloud, where this run does not score.

    Args:
        directions: those in which the model translates, where there are several.
    """
    from hydra.utils import instantiate

    from gan_lab.extractors.base import MissingWeights

    if not config.evaluation or "_target_" not in config.evaluation:
        return None
    evaluation = instantiate(config.evaluation, _convert_="all")
    evaluation.check_directions(directions)
    evaluation.check_space(OmegaConf.to_container(config.get("model") or OmegaConf.create({})))
    if evaluation.watched:
        log.info("This run leaves snapshots and does not score them: python -m gan_lab.evaluate watch=RUN_DIR does")
        return None
    data.check_metrics(evaluation.metrics)
    try:
        evaluation.prepare_everywhere(data, device, local_rank)
    except MissingWeights as error:
        log.warning("This run trains UNSCORED: %s", error)
        return None
    for name, reason in evaluation.left_out.items():
        log.warning("This run does without the metric %s: %s", name, reason)
    return evaluation


if __name__ == "__main__":
    main()
