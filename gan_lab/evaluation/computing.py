"""What metrics say of the blocks of an evaluation, once all of them are on one rank."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gan_lab.evaluation.sources import Source
from gan_lab.evaluation.worst import picture_of_worst
from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.intervals import block_interval
from gan_lab.metrics.reference import Reference

Blocks = Mapping[int, Mapping[str, Tensor]]
ABOUT_EACH = ("labels", "hole_share")  # what a table of samples says of each beside its values


@dataclass
class Results:
    """What rank 0 computed.

    Attributes:
        values: metric -> suffix -> value.
        intervals: metric -> interval of its main value.
        pictures: by name.
        per_image: see `gan_lab.evaluation.scores.Scores`.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict)
    per_image: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Computing:
    """Metrics with all that they need to say what they have to say.

    Attributes:
        metrics: by name.
        places: metric -> under which names a block holds what it takes, in its order.
        names: metric -> name of its score.
        spaces: metric -> name of its extractor, where one has a part in it.
        references: metric -> what samples are held against, where it uses a reference.
        intervals, per_image, monitor, block_size: see `gan_lab.evaluation.stage.Evaluation`.
        seed: of the bootstrap.
        render: what makes pictures of sources; None where there are none.
    """

    metrics: Mapping[str, BlockMetric]
    places: Mapping[str, Sequence[str]]
    names: Mapping[str, str]
    spaces: Mapping[str, str]
    references: Mapping[str, Reference]
    intervals: Mapping[str, Any] | None
    seed: int
    per_image: int | None
    monitor: str
    block_size: int
    render: Callable[[Tensor], Tensor] | None

    def results(self, blocks: Blocks, source: Source) -> Results | str:
        """All values; a string on failure, for all ranks to raise.

        Args:
            blocks: number -> values by place.
            source: that made them.
        """
        results = Results()
        if self.per_image is not None:
            known = [name for name in ABOUT_EACH if name in blocks[0]]
            results.per_image = {name: torch.cat([blocks[block][name] for block in sorted(blocks)]) for name in known}
        for name, metric in self.metrics.items():
            try:
                if metric.uses_reference:
                    metric.set_reference(self.references[name])
                results.values[name] = self._compute_one(name, blocks, sorted(blocks))
                space = f"_{self.spaces[name]}" if metric.in_space else ""
                results.pictures |= {f"{kind}{space}": picture for kind, picture in metric.pictures().items()}
                if self.per_image is not None and metric.of_each:
                    results.per_image[self.names[name]] = metric.per_picture()
                self._add_interval(results, name, blocks)
            except Exception as error:
                return f"rank 0, metric {name}: {type(error).__name__}: {error}"
            finally:
                metric.reset()
        if self.per_image is not None:
            try:
                results.pictures |= self._worst(results, source)
            except Exception as error:
                return f"rank 0, picture of the worst: {type(error).__name__}: {error}"
        return results

    def _worst(self, results: Results, source: Source) -> dict[str, Tensor]:
        """A picture of the samples that are worst by the monitored metric, or by the first that ranks samples."""
        ranking = [
            name for name, metric in self.metrics.items() if metric.of_each and metric.higher_is_better is not None
        ]
        if not ranking:
            return {}
        assert self.per_image is not None
        name = self.monitor if self.monitor in ranking else ranking[0]
        picture = picture_of_worst(
            source,
            results.per_image[self.names[name]],
            higher_is_better=bool(self.metrics[name].higher_is_better),
            count=self.per_image,
            block_size=self.block_size,
            render=self.render,
        )
        return {f"worst_{self.metrics[name].name}": picture}

    def _add_interval(self, results: Results, name: str, blocks: Blocks) -> None:
        """Where one is asked for; a score whose parts have no score (of too few pairs, say) goes without, aloud."""
        if self.intervals is None or not self.metrics[name].intervals:
            return
        try:
            main_value = partial(self._main_value, name, blocks)
            results.intervals[name] = block_interval(main_value, len(blocks), **self.intervals, seed=self.seed)
        except ValueError as error:
            warnings.warn(f"metric {name} has no interval: {error}", stacklevel=2)

    def _compute_one(self, name: str, blocks: Blocks, chosen: Sequence[int]) -> dict[str, float]:
        metric = self.metrics[name]
        metric.reset()
        for block in chosen:
            metric.update(*(blocks[block][place] for place in self.places[name]))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*compute.*method.*was called before.*")
            return metric.compute()

    def _main_value(self, name: str, blocks: Blocks, chosen: Sequence[int]) -> float:
        return self._compute_one(name, blocks, chosen)[""]
