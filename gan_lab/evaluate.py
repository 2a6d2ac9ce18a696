"""`python -m gan_lab.evaluate`: the scores of a checkpoint, by the very stage that scores training."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.doors import choose_device, door, plain


def main() -> None:
    """The command."""
    door("evaluate", run)


def run(config: DictConfig) -> dict[str, float]:
    """Score what `config` names, print a table, and add to `out` if given; returns score name -> value."""
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table

    from gan_lab.checkpoint import build, load_generator
    from gan_lab.data.base import ImageData
    from gan_lab.evaluation import Evaluation
    from gan_lab.records import append_scores

    settings = plain(config)
    device = choose_device(settings["device"])
    loaded = load_generator(settings["checkpoint"], settings["weights"], device=device, trust=settings["trust"])
    data_node, evaluation_node = nodes(loaded.config, settings)
    threads = settings["threads"] if settings["threads"] is not None else loaded.config.get("threads")
    if threads is not None:
        torch.set_num_threads(threads)
    if loaded.config.get("channels_last"):
        loaded.network.to(memory_format=torch.channels_last)
    data = build(data_node, settings["trust"], base=ImageData)
    data.prepare_data()
    data.setup("fit")
    evaluation = build(evaluation_node, settings["trust"], base=Evaluation)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("scoring", total=evaluation.num_samples)
        scores = evaluation.score(
            loaded.network,
            loaded.inputs,
            data,
            weights=loaded.weights,
            device=device,
            progress=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
    if settings["out"] is not None:
        append_scores(Path(settings["out"]), loaded.images_seen, scores)
    table = Table("score", "value", "protocol", title=f"{loaded.path} ({loaded.images_seen / 1000:.1f} kimg)", box=None)
    for name, value in scores.values.items():
        table.add_row(name, f"{value:.10g}", scores.protocols[name])
    Console(soft_wrap=True).print(table)
    return scores.values


def nodes(stored: dict[str, Any], settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The data and evaluation nodes of a stored config with this command's changes.

    Raises:
        ValueError: the run had no evaluation.
    """
    data, evaluation = dict(stored["data"]), dict(stored["evaluation"])
    if "_target_" not in evaluation:
        raise ValueError("this run was trained with evaluation=none, so its checkpoint names no protocol to score by")
    if settings["data_root"] is not None:
        data["root"] = settings["data_root"]
    if settings["extractor_weights"] is not None:
        evaluation["extractor"] = evaluation["extractor"] | {"weights": settings["extractor_weights"]}
    for key in ("num_samples", "seed"):
        if settings[key] is not None:
            evaluation[key] = settings[key]
    return data, evaluation


if __name__ == "__main__":
    main()
