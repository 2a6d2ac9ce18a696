"""`python -m gan_lab.fit_extractor`: a small classifier of labelled images, whose features then score GANs."""

import math
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import run_command
from gan_lab.distributed.topology import choose_device
from gan_lab.runs.settings import plain
from gan_lab.runs.signatures import check_signatures


def main() -> None:
    """The command."""
    run_command("fit_extractor", run)


def run(config: DictConfig) -> float:
    """Train on what `config` names, write the file, say how to use it; returns the accuracy on images held out."""
    import torch

    from gan_lab.extractors.classifier import accuracy, save_classifier
    from gan_lab.extractors.naming import checked_name
    from gan_lab.runs.checkpoint import write_atomically
    from gan_lab.runs.records import try_writing
    from gan_lab.sampling import check_seed

    settings = plain(config)
    out = Path(settings["out"])
    if out.exists() and not settings["overwrite"]:
        raise ValueError(f"{out} is there already; choose another out=..., or overwrite=true to replace it")
    check_seed("seed", settings["seed"])
    if settings["threads"] is not None and settings["threads"] < 1:
        raise ValueError(f"threads must be 1 or more (or null for one per core), got {settings['threads']}")
    if not 0 < settings["lr"] < math.inf:
        raise ValueError(f"lr must be a finite number of more than 0, got {settings['lr']}")
    check_signatures(settings, "data")
    if out.is_dir():
        raise ValueError(f"out={out} is a folder; give a file, such as out={out / 'classifier.safetensors'}")
    try_writing(out.parent, "out", settings["out"])
    if not 0 <= settings["shift"] < 1:
        raise ValueError(f"shift is a share of the image's side, from 0 to below 1, got {settings['shift']}")
    name = checked_name(settings["name"] or f"{settings['data']['name']}net")
    device = choose_device(settings["device"])
    if settings["threads"] is not None:
        torch.set_num_threads(settings["threads"])
    training, held_out = parts(settings)
    begun = time.monotonic()
    network = fit(training, settings, device)
    seconds = time.monotonic() - begun
    reached = accuracy(network, held_out.images, held_out.labels)
    about = {
        "name": name,
        "class_names": training.class_names,
        "data": training.name,
        "split": training.split,
        "digest": training.digest,
        "count": len(training.images),
        "held_out": held_out.split,
        "held_out_count": len(held_out.images),
        "accuracy": reached,
        "training": {key: settings[key] for key in ("epochs", "batch_size", "lr", "shift", "seed")}
        | {"flip": settings["data"]["flip"], "threads": torch.get_num_threads(), "device": str(device)},
    }
    write_atomically(out, lambda file: save_classifier(file, network, about))
    speed = settings["epochs"] * len(training.images) / seconds
    chance = 1 / network.classes
    print(
        f"trained   {len(training.images)} images of {training.name}, {network.classes} classes, {settings['epochs']} "
        f"times in {seconds:.0f} s ({speed:.0f} images/s)"
    )
    print(f"accuracy  {reached:.4f} on {len(held_out.images)} images that it has not seen ({held_out.split})")
    if reached < 2 * chance:
        print(f"warning   little better than chance ({chance:.4f}): its features say nothing; give it more epochs=...")
    print(f"written   {out}")
    print(f"use       extractor@evaluation.extractor=classifier evaluation.extractor.weights={out}")
    return reached


class Part:
    """Labelled images of a data set, in order.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
    """

    def __init__(self, name: str, split: str, images: Any, labels: Any, class_names: list[str], digest: str) -> None:
        self.name, self.split, self.images, self.labels = name, split, images, labels
        self.class_names, self.digest = class_names, digest

    def chosen(self, mask: Any, split: str) -> "Part":
        """Those where (N,) bool `mask` is true, of the same data set."""
        return Part(self.name, split, self.images[mask], self.labels[mask], self.class_names, self.digest)


def parts(settings: dict[str, Any]) -> tuple[Part, Part]:
    """What to train on, and what to hold out for the accuracy.

    Raises:
        ValueError: the data has no labels, too few classes, or other classes in `test_root`.
    """
    import torch

    from gan_lab.data.digits import held_out_fifth

    node, limit = settings["data"], settings["data"]["limit"]
    if node.get("subset") is not None:
        raise ValueError(
            "fit an extractor on the whole training split: leave data.subset out (data.limit takes the first)"
        )
    data = made(node)
    whole = part(data, "train" if limit is None else f"train[:{limit}]")
    if settings["test_root"] is not None:
        if "root" not in node or "test" in data.splits:
            raise ValueError(f"test_root is for data=folder: {data.name} has no folder of its own, or has a test split")
        held_out = part(made(node | {"root": settings["test_root"]}), "train")
        held_out.split = "test_root"
        if held_out.class_names != whole.class_names:
            raise ValueError(
                f"test_root={settings['test_root']} has the classes {', '.join(held_out.class_names)}, the training "
                f"images {', '.join(whole.class_names)}"
            )
        return whole, held_out
    if "test" in data.splits:
        return whole, part(data, "test")
    left_out = torch.from_numpy(held_out_fifth(whole.labels.numpy()))
    if not left_out.any():
        raise ValueError(
            f"{data.name} has fewer than 5 images of each class, too few to hold any out: give test_root=..."
        )
    return (
        whole.chosen(~left_out, f"{whole.split} without every fifth of each class"),
        whole.chosen(left_out, f"every fifth of each class of {whole.split}"),
    )


def made(node: dict[str, Any]) -> Any:
    """The data set of a config node, ready to be read."""
    from hydra.utils import instantiate

    data = instantiate(node, _convert_="all")
    data.prepare_data()
    return data


def part(data: Any, split: str) -> Part:
    """A split with its labels.

    Raises:
        ValueError: there are no labels, or they are all alike.
    """
    import torch

    found = data.reference(split)
    if found.labels is None:
        raise ValueError(
            f"{data.name} has no labels, and a classifier learns from nothing else: put the images of each class into "
            "a subfolder of data.root, or choose a labelled data set"
        )
    labels = torch.from_numpy(found.labels)
    names = list(data.class_names or map(str, range(int(labels.max()) + 1)))
    if len(labels.unique()) < 2:
        raise ValueError(f"{split} of {data.name} holds a single class; a classifier needs two or more")
    return Part(data.name, split, torch.from_numpy(found.images), labels, names, found.digest)


def fit(training: Part, settings: dict[str, Any], device: Any) -> Any:
    """`fit_classifier` under a bar with images/s and the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gan_lab.extractors.classifier import fit_classifier

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("images {task.fields[speed]}"))
    begun, tenth = time.monotonic(), 0
    with Progress(*columns, TimeRemainingColumn(), transient=True) as bar:
        task = bar.add_task("training", total=None, speed="")

        def show(done: int, total: int) -> None:
            nonlocal tenth
            speed = done / max(time.monotonic() - begun, 1e-9)
            bar.update(task, completed=done, total=total, speed=f"{speed:.0f}/s")
            if not bar.console.is_terminal and 10 * done // total > tenth:  # a log file gets lines instead of a bar
                tenth = 10 * done // total
                left = (total - done) / speed
                print(f"training  {done} of {total} images, {speed:.0f} images/s, {left:.0f} s left", flush=True)

        return fit_classifier(
            training.images,
            training.labels,
            classes=len(training.class_names),
            epochs=settings["epochs"],
            batch_size=settings["batch_size"],
            lr=settings["lr"],
            shift=round(settings["shift"] * min(training.images.shape[2:])),
            flip=settings["data"]["flip"],
            seed=settings["seed"],
            device=device,
            progress=show,
        )


if __name__ == "__main__":
    main()
