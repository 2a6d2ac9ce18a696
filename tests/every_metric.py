"""Every conf/metric/*.yaml in the stage, on toys: conditional generators, labelled pictures, an extractor for all."""

import hashlib
import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from tiny import labelled_inputs
from torch import Tensor, nn

from gan_lab.data.images import to_uint8
from gan_lab.data.reference import ReferenceSet
from gan_lab.evaluation.isolation import scoring_mode
from gan_lab.evaluation.scores import Scores
from gan_lab.evaluation.sources import Generated
from gan_lab.evaluation.stage import Evaluation
from gan_lab.extractors.base import Extractor
from gan_lab.metrics.base import Block, BlockMetric

CONF = Path(__file__).parents[1] / "conf"
METRICS = sorted(path.stem for path in (CONF / "metric").glob("*.yaml"))
SMALLER = {"classification_accuracy": {"epochs": 1, "threads": 1}}
FEWEST = {"intraclass": 50}  # two of each class
CPU = torch.device("cpu")
SIDE, CLASSES, COLUMNS, LOGITS = 8, 3, 6, 30


class Projection(Extractor):
    """Features and logits linear in the upper left 8x8 pixels, and distances of pairs of images."""

    name = "projection"
    feature_dim = COLUMNS

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("matrix", torch.randn(SIDE**2, COLUMNS + LOGITS, generator=generator) / SIDE)

    @classmethod
    def missing_weights(cls, **arguments: Any) -> None:
        return None

    def protocol(self) -> dict[str, Any]:
        return {"extractor": self.name}

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        values = (images[:, 0, :SIDE, :SIDE].flatten(1).float() / 127.5 - 1) @ self.matrix
        return {"features": values[:, :COLUMNS], "logits": values[:, COLUMNS:]}

    def distances(self, first: Tensor, second: Tensor) -> Tensor:
        return (first - second).square().mean(dim=(1, 2, 3))


class Everything(BlockMetric):
    """Keeps the bits of all that a block can hold, noise included; its value is the mean pixel."""

    name = "everything"
    higher_is_better = True
    needs = ("features", "logits", "images", "labels", "samples", "probe")
    uses_reference = False
    minimum = 1

    def __init__(self) -> None:
        super().__init__()
        self.bits: dict[str, str] = {}

    def protocol(self) -> dict[str, Any]:
        return {"metric": self.name}

    def probe(self, block: Block) -> Tensor:
        own = block.draws.normal("everything", len(block.images), (2,))
        return torch.cat([block.arguments["latents"], own, torch.rand(len(own), 2)], dim=1)[: block.count]

    def compute(self) -> dict[str, float]:
        self.bits = {need: bits_of(self.values(need)) for need in self.needs}
        return {"": self.values("images").double().mean().item()}


class EverythingOfTranslators(Everything):
    """And what a translator's block holds beside."""

    needs = (*Everything.needs, "targets", "sources", "masks")


def bits_of(values: Tensor) -> str:
    """sha256 of type, shape and bytes."""
    values = values.contiguous()
    return hashlib.sha256(f"{values.dtype} {tuple(values.shape)}".encode() + values.numpy().tobytes()).hexdigest()


class Painter(nn.Module):
    """Pictures of a class, with noise of its own: by batch norm, dropout and all default generators."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.classes = nn.Embedding(CLASSES, SIDE**2)
            self.body = nn.Sequential(nn.Linear(2, SIDE**2), nn.BatchNorm1d(SIDE**2), nn.Dropout(0.5))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        noise = 0.2 * torch.randn(len(latents), SIDE**2) + 0.1 * float(np.random.random()) + 0.1 * random.random()
        return torch.tanh(self.classes(labels) + self.body(latents) + noise).view(-1, 1, SIDE, SIDE)


class Doubled(nn.Module):
    """Samples twice as large."""

    def forward(self, condition: Tensor) -> Tensor:
        return condition.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


class Translated(Generated):
    """Its pictures, twice as large, have random targets, sources and masks, and a way back."""

    def make(self, block: int, size: int) -> Block:
        made, generator = super().make(block, size), np.random.default_rng([1, block])
        made.images = made.images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        shape = tuple(made.images.shape)
        made.targets, made.sources = torch.from_numpy(generator.integers(256, size=(2, *shape), dtype=np.uint8))
        made.masks = torch.from_numpy(generator.random(shape) < 0.5)
        made.network_back = Doubled()
        return made


class Points(nn.Module):
    """Points in the plane near three of the ring's modes, one for each class."""

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        angles = labels * torch.pi / 4
        return (
            2 * torch.stack([angles.cos(), angles.sin()], dim=1) + 0.02 * latents + 0.01 * torch.randn(len(labels), 2)
        )


class Pictures:
    """A data set of 60 random pictures of three classes; points are drawn as two shades of grey."""

    name = "pictures"
    num_classes = CLASSES

    def __init__(self) -> None:
        images = np.random.default_rng(0).integers(256, size=(60, 1, SIDE, SIDE), dtype=np.uint8)
        self.whole = ReferenceSet(name=self.name, split="train", images=images, labels=np.arange(60) % CLASSES)

    def reference(self, split: str) -> ReferenceSet:
        return self.whole

    def render(self, samples: Tensor) -> Tensor:
        if samples.dim() == 2:
            samples = (samples / 4).repeat(1, SIDE**2 // 2).view(-1, 1, SIDE, SIDE)
        return to_uint8(samples)


@cache
def config_of(stem: str) -> DictConfig:
    """Composed, since a metric may bring an extractor along."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return compose(f"metric/{stem}").metric


def stages_of(samples: int) -> list[dict[str, BlockMetric]]:
    """All metrics of the configs that this many samples allow, by the stems of their files, in as few stages as can be.

    A stage needs different names, and metrics of points cannot be together with those of pictures, nor those that want
    targets with others, whose pictures are smaller.
    """
    stages: list[dict[str, BlockMetric]] = []
    for stem in METRICS:
        metric = instantiate(config_of(stem), **SMALLER.get(stem, {}))
        fewest = [metric.minimum, metric.minimum_in(COLUMNS) if metric.in_space else 0, FEWEST.get(stem, 0)]
        if samples < max(fewest):
            continue
        for stage in stages:
            alike = all(kind(stage) == kind({stem: metric}) for kind in (of_points, of_targets))
            if alike and metric.name not in names(stage):
                stage[stem] = metric
                break
        else:
            stages.append({stem: metric})
    return stages


def names(stage: Mapping[str, BlockMetric]) -> set[str]:
    return {metric.name for metric in stage.values()}


def of_points(stage: Mapping[str, BlockMetric]) -> bool:
    return any("samples" in metric.needs for name, metric in stage.items() if name != "everything")


def of_targets(stage: Mapping[str, BlockMetric]) -> bool:
    return any({"targets", "sources"} & set(metric.probe_needs) for metric in stage.values())


def evaluation_of(stage: Mapping[str, BlockMetric], samples: int, block: int, **changes: Any) -> Evaluation:
    """With these metrics, and `everything`, which is monitored."""
    metrics = {"everything": EverythingOfTranslators() if of_targets(stage) else Everything(), **stage}
    given = {
        "extractor": Projection,
        "extractors": {metric.extractor: Projection for metric in metrics.values() if metric.extractor},
        "metrics": metrics,
        "num_samples": samples,
        "block_size": block,
        "seed": 0,
        "reference": "train",
        "monitor": "everything",
        "cache_dir": None,
    }
    return Evaluation(**given | changes)


def score(evaluation: Evaluation) -> Scores:
    """Of pictures, of points where the metrics eat these, or of a translator where they want targets."""
    if of_targets(evaluation.metrics):
        painter, data = Painter(), Pictures()
        source = Translated(painter, labelled_inputs(), data.render, weights="ema", seed=evaluation.seed, device=CPU)
        with scoring_mode(painter, CPU):
            return evaluation._score(source, data, CPU, None)
    network = Points() if of_points(evaluation.metrics) else Painter()
    return evaluation.score(network, labelled_inputs(), Pictures(), weights="ema", device=CPU)


def outcome(evaluation: Evaluation) -> dict[str, Any]:
    """All that must not depend on who computed it; the bits of what was gathered are rank 0's alone."""
    scores = score(evaluation)
    pictures = {name: bits_of(picture) for name, picture in scores.pictures.items()}
    per_image = {name: bits_of(values) for name, values in scores.per_image.items()}
    bits = evaluation.metrics["everything"].bits
    found = {"values": scores.values, "protocols": scores.protocols, "pictures": pictures, "bits": bits}
    return found | {"per_image": per_image}


def outcomes(samples: int, block: int) -> list[dict[str, Any]]:
    """Of every metric."""
    return [outcome(evaluation_of(stage, samples, block)) for stage in stages_of(samples) or [{}]]
