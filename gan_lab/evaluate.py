"""`python -m gan_lab.evaluate`: the scores of a checkpoint, a run or images, by the very stage that scores training."""

import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import run_command
from gan_lab.distributed.topology import Topology, choose_device, find_topology
from gan_lab.runs.settings import plain

KINDS = ("checkpoint", "images", "run", "watch")


def main() -> None:
    """The command."""
    run_command("evaluate", run)


def run(config: DictConfig) -> None:
    """Score what `config` names.

    Where it asks for several devices and this is a process alone, one per device is started and waited for.

    Raises:
        ValueError: not exactly one of `KINDS` is given.
    """
    given = [kind for kind in KINDS if config[kind] is not None]
    if len(given) != 1:
        found = f"got {' and '.join(given)}" if given else "got none of them"
        raise ValueError(f"give one of {', '.join(f'{kind}=...' for kind in KINDS)}; {found}")
    if config.threads is not None and config.threads < 1:
        raise ValueError(f"threads must be 1 or more (or null), got {config.threads}")
    if not 0 < config.poll_seconds < math.inf:
        raise ValueError(f"poll_seconds must be a finite number of more than 0, got {config.poll_seconds}")
    topology = find_topology()
    count = processes(config, topology)
    if count > topology.world:
        from gan_lab.distributed.launcher import run_ranks

        if code := run_ranks("gan_lab.evaluate", sys.argv[1:], count):
            raise SystemExit(code)
        return
    from gan_lab import collectives
    from gan_lab.distributed.environment import joined
    from gan_lab.evaluation.snapshots import score_run
    from gan_lab.evaluation.watcher import watch_run
    from gan_lab.runs.records import try_writing

    with joined(topology, config.device):
        if config.out is not None:
            collectives.from_first_rank(partial(try_writing, Path(config.out), "out", config.out))
        device = choose_device(config.device)
        if device.type == "cuda" and topology.world > 1:
            device = type(device)("cuda", topology.local_rank)
        score = {"checkpoint": score_checkpoint, "images": score_images, "run": score_run, "watch": watch_run}
        score[given[0]](config, topology, device)


def processes(config: DictConfig, topology: Topology) -> int:
    """How many processes share the work, on all machines.

    Raises:
        ValueError: `devices` is no number, or not what was started.
    """
    devices = config.devices
    if devices == "auto":
        import torch

        use = config.device in ("auto", "cuda") and topology.world == 1
        return max(1, torch.cuda.device_count()) if use else topology.world
    if not isinstance(devices, int) or devices < 1:
        raise ValueError(f"devices must be 1 or more, or auto, got {devices!r}")
    if topology.world > 1 and devices not in (1, topology.local_world):
        raise ValueError(
            f"{topology.starter} started {topology.local_world} processes here, but devices={devices}; leave it out"
        )
    return max(devices, topology.world)


def score_checkpoint(config: DictConfig, topology: Topology, device: Any) -> None:
    """One generator, by the protocol of its run unless told otherwise."""
    from gan_lab.evaluation.display import say
    from gan_lab.evaluation.generation import asked
    from gan_lab.evaluation.scoring import PreparedEvaluation, refuse, settings_by, use_threads
    from gan_lab.runs.checkpoint import load_generator

    refuse(config, "checkpoint", against=None, image_size=None)
    loaded = load_generator(
        config.checkpoint, config.weights, device=device, trust=config.trust, direction=config.direction
    )
    turned = loaded.direction == "BtoA"
    settings = settings_by(config, loaded.config)
    if config.direction is not None:  # that one alone
        settings["evaluation"]["both_directions"] = False
    further = {name: settings[name] for name in ("truncation", "standing_statistics", "dropout")}
    use_threads(settings, loaded.config)  # before any statistics are taken
    loaded = asked(loaded, **further)
    stage = PreparedEvaluation(settings, loaded.config, topology, device, turned=turned)
    made, compared = (tuple(getattr(each, "sample_shape", ())) for each in (loaded.network, stage.data))
    if made != compared and len(made) == len(compared) == 3:
        say(
            f"pictures of {describes(made)} are compared with those of {describes(compared)}, as far as the extractor "
            "brings both to one size; data.image_size=... and data.channels=... read them as the generator makes them"
        )
    scores = stage.score(loaded, config.weights)
    way = f", {loaded.direction}" if loaded.direction else ""
    finish(settings, f"{loaded.path} ({loaded.images_seen / 1000:.1f} kimg{way})", loaded.images_seen, scores, {})


def describes(shape: Sequence[int]) -> str:
    """(C, H, W) for people."""
    channels, height, width = shape
    return f"{width}x{height} pixels and {channels} channel{'s' if channels > 1 else ''}"


def score_images(config: DictConfig, topology: Topology, device: Any) -> None:
    """Images of files against a data set or other files.

    Raises:
        ValueError: nothing to compare with, or both; classes that differ, or are missing among the first samples.
    """
    from hydra.utils import instantiate

    from gan_lab import collectives
    from gan_lab.data.stored import Against, check_classes, check_first, stored_images
    from gan_lab.evaluation.display import progress_bar, say
    from gan_lab.evaluation.scoring import PreparedEvaluation, refuse, with_changes

    usual = {"truncation": None, "standing_statistics": None, "dropout": False, "direction": None}
    refuse(config, "images", weights="ema", **usual)
    settings = with_changes(plain(with_defaults(config)))
    if settings["evaluation"].get("both_directions"):
        raise ValueError("evaluation.both_directions=true has no meaning with images=...; leave it out")
    if ("_target_" in settings["data"]) == (settings["against"] is not None):
        raise ValueError("images=... needs one thing to compare with: data=cifar10 (say), or against=PATH")
    cache_dir = settings["paths"]["cache_dir"]
    with collectives.first_ranks_first(topology.local_rank):
        images = stored_images(settings["images"], settings["image_size"], cache_dir)
        if settings["against"] is not None:
            data = Against(stored_images(settings["against"], settings["image_size"], cache_dir))
        else:
            data = instantiate(settings["data"], _convert_="all")
            data.prepare_data()
    if settings["num_samples"] is None:
        settings["evaluation"]["num_samples"] = len(images)
    elif not 1 <= settings["num_samples"] <= len(images):
        raise ValueError(
            f"num_samples must be from 1 to {len(images)}, the number of images in images={settings['images']}, got "
            f"{settings['num_samples']}; leave it out for all"
        )
    check_first(images, settings["evaluation"]["num_samples"])
    settings["evaluation"]["metrics"] = with_enough(settings["evaluation"], settings["images"])
    evaluation = instantiate(settings["evaluation"], _convert_="all")
    reference = data.reference(evaluation.reference)
    if len(reference) < 2:
        given = f"against={settings['against']}" if settings["against"] is not None else data.name
        raise ValueError(f"{given} has {len(reference)} image, and a comparison needs 2 or more; give more")
    if any("labels" in metric.needs for metric in evaluation.metrics.values()):
        check_classes(images, data.class_names, data.name)
    stage = PreparedEvaluation(settings, {}, topology, device, data, evaluation)
    if images.images.shape[1:] != reference.images.shape[1:]:
        ours, theirs = ("x".join(map(str, found.images.shape[1:])) for found in (images, reference))
        say(f"images are {ours}, those of {reference.name} {theirs}: each extractor brings them to its own size")
    with progress_bar() as progress:
        scores = stage.evaluation.score_images(images, stage.data, device=device, progress=progress)
    about = {"images": settings["images"], "content": images.digest}
    title = f"{settings['images']} ({stage.evaluation.num_samples} of {len(images)} images) against {stage.data.name}"
    finish(settings, title, 0, scores, about)


def with_enough(evaluation: dict[str, Any], given: str) -> dict[str, Any]:
    """The nodes of the metrics that so many images have a value of; the others are named.

    Raises:
        ValueError: the monitored one is among these.
    """
    from hydra.utils import instantiate

    from gan_lab.evaluation.display import say

    count, kept = evaluation["num_samples"], {}
    for name, node in evaluation["metrics"].items():
        if node is None:  # left out
            continue
        least = instantiate(node, _convert_="all").minimum
        if count >= least:
            kept[name] = node
        elif name == evaluation["monitor"]:
            raise ValueError(
                f"{count} of the images in images={given} would be scored, and {name}, by which runs are ranked, needs "
                f"{least} or more: give more images, or a larger num_samples"
            )
        else:
            say(f"without the metric {name}: it needs {least} images or more, and {count} are scored")
    return kept


def with_defaults(config: DictConfig) -> DictConfig:
    """The config, composed once more with an evaluation and an extractor where none were chosen."""
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig

    overrides = list(HydraConfig.get().overrides.task)
    if "_target_" not in config.evaluation:
        overrides.append("evaluation=default")
    if "_target_" not in config.evaluation.get("extractor", {}):
        overrides.append("+extractor@evaluation.extractor=inception")
    return compose("evaluate", overrides)


def finish(settings: dict[str, Any], title: str, images_seen: int, scores: Any, about: dict[str, Any]) -> None:
    """Print the table, and add to `out` if given; rank 0 alone."""
    from gan_lab import collectives
    from gan_lab.evaluation.display import print_scores
    from gan_lab.evaluation.scores import append_scores, save_per_image, save_pictures

    if collectives.rank() > 0:
        return
    print_scores(title, scores)  # first: they are seen even where they cannot be written any more
    if settings["out"] is not None:
        append_scores(Path(settings["out"]), images_seen, scores, about)
        save_pictures(Path(settings["out"]) / "pictures", images_seen, scores)
        save_per_image(Path(settings["out"]), images_seen, scores)


if __name__ == "__main__":
    main()
