"""What every metric says of real images: another split, single classes, corruptions of rising strength.

    python benchmarks/metrics_sanity.py mnist --root PATH            # features of digitnet
    python benchmarks/metrics_sanity.py folder --root TRAIN --test TEST --extractor classifier --weights FILE

prints a Markdown table per kind of change. Rows of a table have the same number of images and one reference, so they
may be compared with one another; `experiments/metrics_sanity.md` holds the tables and what to think of them.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torchvision.transforms.functional import gaussian_blur

from gan_lab.config import register, shipped
from gan_lab.data.reference import ReferenceSet
from gan_lab.evaluation.stage import Evaluation

CPU = torch.device("cpu")
OF_PICTURES = {"features", "logits", "images", "labels"}
SKIPPED = ("classification_accuracy", "modes_stacked")  # trains two classifiers for each row; for stacked digits


class Fixed:
    """A data set that is its reference."""

    def __init__(self, reference: ReferenceSet) -> None:
        self.name, self.labels, self._reference = reference.name, reference.labels, reference

    def reference(self, split: str) -> ReferenceSet:
        return self._reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=["mnist", "folder"])
    parser.add_argument("--root", required=True, help="folder of MNIST, or pictures of the training split")
    parser.add_argument("--test", help="pictures of the test split")
    parser.add_argument("--extractor", default="digitnet", help="a file of conf/extractor/, without .yaml")
    parser.add_argument("--weights", help="the extractor's weights file")
    parser.add_argument("--reference", type=int, default=10_000, help="training images to compare with")
    parser.add_argument("--images", type=int, default=4_000, help="images of a row")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    register()
    train, test = splits(given)
    reference, spare = train.slices(given.reference)
    print(f"# {given.data}: {len(reference)} training images for reference, rows of {given.images} images\n")
    evaluate = partial(scores, given, Fixed(reference))
    for title, rows in tables(reference, spare, test, given.images):
        show(title, {name: evaluate(images) for name, images in rows})


class Images:
    """Images and labels in a shuffled order, since folders are stored class by class."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, name: str) -> None:
        order = np.random.RandomState(0).permutation(len(images))
        self.images, self.labels, self.name = images[order], labels[order], name

    def slices(self, count: int) -> tuple[ReferenceSet, ReferenceSet]:
        """The first `count`, and all others."""
        return self.part(slice(count)), self.part(slice(count, None))

    def part(self, chosen: slice) -> ReferenceSet:
        return ReferenceSet(name=self.name, split="shuffled", images=self.images[chosen], labels=self.labels[chosen])


def splits(given: argparse.Namespace) -> tuple[Images, ReferenceSet]:
    """Training images to choose from, and the test split."""
    found = []
    for split, root in (("train", given.root), ("test", given.test or given.root)):
        node = [f"data={given.data}", f"data.root={root}"]
        with initialize_config_dir(version_base="1.3", config_dir=str(shipped("conf"))):
            config = compose("train", node)
        data = instantiate(config.data, _convert_="all")
        data.prepare_data()
        whole = data.reference(split if split in data.splits else "train")
        found.append(Images(np.asarray(whole.images), np.asarray(whole.labels), f"{given.data} {split}"))
    return found[0], found[1].part(slice(None))


def scores(given: argparse.Namespace, data: Fixed, images: ReferenceSet) -> dict[str, float]:
    """Every metric of conf/metric of these images, in the chosen space."""
    folder = shipped("conf")
    node = OmegaConf.merge(OmegaConf.load(folder / "extractor" / f"{given.extractor}.yaml"), {"weights": given.weights})
    extractor = instantiate(node)()
    missing = images.labels is None or set(np.unique(images.labels)) != set(np.unique(data.labels))
    metrics = {}
    for path in sorted((folder / "metric").glob("*.yaml")):
        metric = instantiate(OmegaConf.load(path))
        suits = set(metric.needs) <= OF_PICTURES and metric.extractor is None and path.stem not in SKIPPED
        enough = metric.minimum_in(extractor.feature_dim) <= len(images)
        if suits and enough and not ("labels" in metric.needs and missing):
            metrics[path.stem] = metric
    stage = Evaluation(
        extractor=lambda: extractor,
        metrics=metrics,
        num_samples=len(images),
        block_size=50,
        seed=0,
        reference="train",
        monitor="frechet",
        cache_dir=CACHE,
    )
    found = stage.score_images(images, data, device=CPU).values
    count = stage.name_of(metrics["frechet"]).removeprefix(extractor.label("fd"))
    return {name.replace(extractor.name + count, extractor.name): value for name, value in found.items()}


CACHE = Path("runs") / "metrics_sanity_cache"


# Changes -------------------------------------------------------------------------------------------------------------


def tables(
    reference: ReferenceSet, spare: ReferenceSet, test: ReferenceSet, count: int
) -> Iterator[tuple[str, list[tuple[str, ReferenceSet]]]]:
    """Title and rows of each table."""
    plain = first(test, count)
    yield "Splits", [("test", plain), ("training images kept out", first(spare, count)), ("all of test", test)]
    for name, change, strengths in (
        ("Noise, standard deviation in grey levels", noise, (0, 8, 16, 32, 64)),
        ("Blur, standard deviation in pixels", blur, (0, 0.5, 1, 2, 4)),
        ("Contrast, factor", contrast, (1, 0.75, 0.5, 0.25)),
    ):
        yield name, [(f"{strength:g}", changed(plain, change, strength)) for strength in strengths]
    pool = ReferenceSet(
        name="pool",
        split="all",
        images=np.concatenate([spare.images, test.images]),
        labels=np.concatenate([spare.labels, test.labels]),
    )
    yield "Classes that are left", [(str(kept), of_classes(pool, range(kept), count)) for kept in (10, 8, 5, 2, 1)]
    yield "Single classes", [(f"class {label}", of_classes(pool, [label], count)) for label in range(10)]
    yield "Collapse: distinct images", [(str(m), repeated(plain, m)) for m in (count, 1000, 100, 10)]
    shares = (0, 0.1, 0.5, 1)
    yield "Share of copies from the reference", [(f"{s:g}", with_copies(plain, reference, s)) for s in shares]


def first(images: ReferenceSet, count: int) -> ReferenceSet:
    return taken(images, np.arange(min(count, len(images))))


def taken(images: ReferenceSet, chosen: np.ndarray) -> ReferenceSet:
    labels = None if images.labels is None else images.labels[chosen]
    return ReferenceSet(name=images.name, split="chosen", images=images.images[chosen], labels=labels)


def changed(images: ReferenceSet, change: Callable[[np.ndarray, float], np.ndarray], strength: float) -> ReferenceSet:
    return ReferenceSet(name=images.name, split="changed", images=change(images.images, strength), labels=images.labels)


def noise(images: np.ndarray, strength: float) -> np.ndarray:
    drawn = np.random.RandomState(0).standard_normal(images.shape)
    return (images + strength * drawn).round().clip(0, 255).astype(np.uint8)


def blur(images: np.ndarray, strength: float) -> np.ndarray:
    if strength == 0:
        return images
    size = 2 * int(min(3 * strength, 10)) + 1
    return gaussian_blur(torch.from_numpy(images), [max(3, size)] * 2, [strength] * 2).numpy()


def contrast(images: np.ndarray, strength: float) -> np.ndarray:
    mean = images.mean()
    return (mean + strength * (images - mean)).round().clip(0, 255).astype(np.uint8)


def of_classes(images: ReferenceSet, classes: object, count: int) -> ReferenceSet:
    return first(taken(images, np.flatnonzero(np.isin(images.labels, list(classes)))), count)


def repeated(images: ReferenceSet, distinct: int) -> ReferenceSet:
    return taken(images, np.arange(len(images)) % distinct)


def with_copies(images: ReferenceSet, source: ReferenceSet, share: float) -> ReferenceSet:
    copies = round(share * len(images))
    mixed, labels = images.images.copy(), images.labels.copy()
    mixed[:copies], labels[:copies] = source.images[:copies], source.labels[:copies]
    return ReferenceSet(name=images.name, split="with copies", images=mixed, labels=labels)


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """A Markdown table: the score's name without its count, a column per row of the experiment."""
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    print(f"## {title}\n\n| score | {' | '.join(rows)} |\n| --- |{' ---: |' * len(rows)}")
    for name in names:
        found = [values.get(name) for values in rows.values()]
        print(f"| {name} | {' | '.join('' if value is None else f'{value:.4g}' for value in found)} |")
    print(f"\n({time.process_time():.0f} CPU seconds so far)\n", flush=True)


if __name__ == "__main__":
    main()
