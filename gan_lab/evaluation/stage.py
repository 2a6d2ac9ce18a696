"""The evaluation stage: samples and a reference set in, scores with their protocols out; in training and alone.

Work is cut into blocks of fixed size. Block b is made by rank b mod W with randomness from (seed, b), so N samples are
exactly N on any number of ranks, and a shorter run is a prefix of a longer one. No collective runs inside the loop.
"""

import copy
import logging
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab import collectives
from gan_lab.data.sourced import Turned
from gan_lab.evaluation.computing import ABOUT_EACH, Computing, Results
from gan_lab.evaluation.isolation import _undisturbed, scoring_mode
from gan_lab.evaluation.scores import OF_WAY_BACK, SCHEMA, Scores, digest_of, together
from gan_lab.evaluation.sources import Generated, Source, Stored, WayBack, about_generated
from gan_lab.extractors.base import Extractor, MissingWeights
from gan_lab.metrics.base import Block, BlockMetric
from gan_lab.metrics.blocks import BlockStore
from gan_lab.metrics.intervals import FEWEST_BLOCKS, check_intervals
from gan_lab.metrics.reference import Reference, cached_reference
from gan_lab.runs.settings import flat
from gan_lab.runs.spaces import refuse_familiar_space
from gan_lab.sampling import check_seed, reseed_default_generators

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]

# What a block may hold; of that, what only translators' blocks do, and what to choose for it.
GIVEN = ("images", "samples", "labels", "targets", "sources", "masks", "hole_share", "network_back")
EITHER_WAY = "a model that translates either way, such as model=cyclegan"
OF_TRANSLATORS = {
    "targets": "data with a condition, whose targets are known",
    "sources": "data with a condition that is a picture",
    "masks": "data with masks",
    "hole_share": "data with masks",
    "network_back": EITHER_WAY,
}


class Evaluation:
    """Scores samples against a reference set with several metrics in one pass.

    Args:
        extractor: makes the main extractor (its weights may be missing, hence not made at once).
        metrics: by name, in the order of the table; None leaves one out.
        num_samples: fakes, at least each metric's minimum; of a translator as many as there are sources, at most.
        block_size: samples of one call of the generator and of the extractor, 1 or more; part of the protocol.
        seed: of the samples, 0 or more; part of the protocol.
        reference: split of the data set that the fakes are held against.
        monitor: the metric whose main value ranks checkpoints.
        cache_dir: where statistics of references are kept; None for nowhere.
        extractors: further ones by the names that metrics give; where the weights of one are missing, its metrics are
            left out.
        intervals: `{resamples, level}` of intervals for the scores that can have one, by bootstrap over blocks; None
            for none.
        per_image: keep what the metrics say of each sample, where they do, and a picture of the so many worst ones by
            the monitored metric, or the first that can rank them; None for nothing of the kind.
        watched: leave the scoring of a training run to another process, `python -m gan_lab.evaluate watch=RUN_DIR`.
        both_directions: of a model that translates either way, score the way back as well, against the sources: the
            names of those scores have `_BtoA`. It takes as long again; the monitored score is of the way there.
    Attributes:
        left_out: name of a metric whose extractor is not at hand -> what is missing, with the remedy.
    """

    def __init__(
        self,
        *,
        extractor: Callable[[], Extractor],
        metrics: Mapping[str, BlockMetric | None],
        num_samples: int,
        block_size: int,
        seed: int,
        reference: str,
        monitor: str,
        cache_dir: str | Path | None,
        extractors: Mapping[str, Callable[[], Extractor]] | None = None,
        intervals: Mapping[str, Any] | None = None,
        per_image: int | None = None,
        watched: bool = False,
        both_directions: bool = False,
    ) -> None:
        if block_size < 1:
            raise ValueError(f"evaluation.block_size must be 1 or more, got {block_size}")
        check_seed("evaluation.seed", seed)
        chosen = {name: metric for name, metric in metrics.items() if metric is not None}
        if monitor not in chosen:
            raise ValueError(f"evaluation.monitor={monitor!r} is none of the metrics: {', '.join(chosen) or 'none'}")
        if chosen[monitor].higher_is_better is None:
            raise ValueError(f"evaluation.monitor={monitor!r} cannot rank runs: neither high nor low is better")
        further = {} if extractors is None else dict(extractors)
        for name, metric in chosen.items():
            if metric.extractor is not None and metric.extractor not in further:
                known = ", ".join(further) or "none"
                raise ValueError(f"{name}.extractor={metric.extractor!r} is none of evaluation.extractors: {known}")
        if intervals is not None:
            if set(intervals) != {"resamples", "level"}:
                raise ValueError(f"evaluation.intervals has the keys resamples and level, got {', '.join(intervals)}")
            check_intervals(**intervals)
        if per_image is not None and per_image < 1:
            raise ValueError(f"evaluation.per_image must be 1 or more (or null for no table), got {per_image}")
        if per_image is not None and not any(metric.of_each for metric in chosen.values()):
            raise ValueError(
                f"evaluation.per_image={per_image}, but none of the metrics ({', '.join(chosen)}) has a value of each "
                "image; add one that does, by +metric@evaluation.metrics.psnr=psnr for example, or set it to null"
            )
        self._makers: dict[str | None, Callable[[], Extractor]] = {None: extractor} | further
        self.metrics = chosen
        self.num_samples, self.block_size, self.seed = num_samples, block_size, seed
        self.reference, self.monitor, self.watched = reference, monitor, watched
        self.intervals = None if intervals is None else dict(intervals)
        self.per_image, self.both_directions = per_image, both_directions
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self._asked = num_samples
        self._check_count()
        self.left_out: dict[str, str] = {}
        self._extractors: dict[str | None, Extractor] = {}
        self._references: dict[str, Reference] = {}
        self._reference_key: dict[str, Any] = {}
        self._prepared = False
        self._sources: Any = None
        self._mark = ""
        self._backwards: tuple[Evaluation, Any] | None = None

    @property
    def wants_way_back(self) -> bool:
        """Whether the generator of the other direction has a part in the scores."""
        return self.both_directions or any("network_back" in metric.probe_needs for metric in self.metrics.values())

    def check_directions(self, directions: Collection[str]) -> None:
        """Refuse what only a model can be scored by that translates either way, of one that does not.

        Args:
            directions: of the model; none where it goes one way, or makes no pictures of pictures.
        Raises:
            ValueError: it goes one way, and both directions or a metric ask for the way back.
        """
        if len(directions) > 1:
            return
        if self.both_directions:
            raise ValueError(
                "evaluation.both_directions=true scores the way back, too, and this model goes one way; set it to "
                f"false, or choose {EITHER_WAY}"
            )
        for name, metric in self.metrics.items():
            if "network_back" in metric.probe_needs:
                raise ValueError(
                    f"metric {name} sends outputs back to where they came from, and this model goes one way; leave it "
                    f"out, or choose {EITHER_WAY}"
                )

    def check_space(self, model: Mapping[str, Any]) -> None:
        """Refuse to rank a run that learns by an ImageNet-trained extractor in the space of one.

        Args:
            model: the node of the run's config.
        Raises:
            ValueError: with the reason and the remedy.
        """
        monitored = self.metrics[self.monitor]
        if not monitored.in_space:
            return
        maker: Any = self._makers[monitored.extractor]
        kind = getattr(maker, "func", maker)
        name = f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', '')}"
        key = "extractor" if monitored.extractor is None else f"extractors.{monitored.extractor}"
        refuse_familiar_space(dict(flat({"model": model})), f"evaluation.{key}", name)

    def _check_count(self) -> None:
        """Refuse `num_samples` that a metric, or an interval, has no value of."""
        count = self.num_samples
        for name, metric in self.metrics.items():
            if count < metric.minimum:
                raise ValueError(f"{name} needs num_samples >= {metric.minimum}, got {count}")
        blocks = -(-count // self.block_size)
        if self.intervals is not None and blocks < FEWEST_BLOCKS and any(m.intervals for m in self.metrics.values()):
            raise ValueError(
                f"evaluation.intervals need {FEWEST_BLOCKS} blocks, and num_samples={count} in blocks of "
                f"{self.block_size} are {blocks}; take more samples, smaller blocks, or intervals=null"
            )

    def prepare(self, data: Any, device: torch.device, progress: Progress | None = None) -> None:
        """Load the extractors and the reference's statistics (from the cache, or made and cached).

        Raises:
            MissingWeights: those of the monitored metric's extractor are not at hand; the message has the remedy.
            ValueError: the data set has no such split; a metric asks for what its extractor does not give.
        """
        self._prepare(data, device, progress)
        if self.both_directions:
            with _naming_way_back():
                stage, turned = self._way_back(data)
                stage.prepare(turned, device, progress)

    def _way_back(self, data: Any) -> "tuple[Evaluation, Any]":
        """The same metrics in the same extractors, and the data the other way, against whose targets they score."""
        if self._backwards is None:
            stage = copy.copy(self)
            stage.both_directions, stage._prepared, stage._references = False, False, {}
            stage.metrics, stage.left_out = dict(self.metrics), dict(self.left_out)
            self._backwards = stage, data.turned()
        return self._backwards

    def _prepare(self, data: Any, device: torch.device, progress: Progress | None) -> None:
        self._mark = OF_WAY_BACK if isinstance(data, Turned) else ""
        if self._prepared:
            self._extractors = {key: extractor.to(device) for key, extractor in self._extractors.items()}
            return
        self._load(device)
        self._find_sources(data)
        self._prepared = True
        referring = {name: metric for name, metric in self.metrics.items() if metric.uses_reference}
        if not referring:
            return
        reference = data.reference(self.reference)
        self._reference_key = {
            "data": data.name,
            "split": reference.split,
            "content": reference.digest,
            "count": len(reference),
        }
        labels = None if reference.labels is None else torch.from_numpy(reference.labels)
        for name, metric in referring.items():
            if "labels" in metric.needs and labels is None:
                raise ValueError(f"metric {name} goes by classes, but {data.name} has no labels")
            try:
                metric.check_reference(len(reference), labels)
            except ValueError as error:
                raise ValueError(f"metric {name}: {error}") from error
        if collectives.rank() > 0:  # rank 0 computes
            return
        in_features = {metric.extractor for metric in referring.values() if "features" in metric.needs}
        statistics = {key: self._statistics(key, reference, device, progress) for key in in_features}
        self._references = {
            name: Reference(
                statistics[metric.extractor] if "features" in metric.needs else None, reference.images, labels
            )
            for name, metric in referring.items()
        }

    def prepare_everywhere(
        self, data: Any, device: torch.device, local_rank: int, progress: Progress | None = None
    ) -> None:
        """`prepare` on every rank, rank 0 first; a metric whose extractor one rank lacks is left out by all.

        Raises:
            MissingWeights: as `prepare`, on all ranks where it is so on any.
        """
        problem = None
        with collectives.first_ranks_first(local_rank):
            try:
                self.prepare(data, device, progress)
            except MissingWeights as error:
                problem = str(error)
        found = collectives.broadcast_object(collectives.gather_objects((problem, self.left_out)))
        for problem, _ in found:
            if problem is not None:
                raise MissingWeights(problem)
        for _, lost in found:
            self.leave_out({name: reason for name, reason in lost.items() if name not in self.left_out})

    def _load(self, device: torch.device) -> None:
        wanted = dict.fromkeys(metric.extractor for metric in self.metrics.values() if metric.in_space)
        for key in [key for key in wanted if key not in self._extractors]:
            try:
                self._extractors[key] = self._makers[key]().to(device)
            except MissingWeights as error:
                lost = {name: str(error) for name, m in self.metrics.items() if m.in_space and m.extractor == key}
                if self.monitor in lost:
                    raise
                self.leave_out(lost)
        called: dict[str, str] = {}
        for name, metric in self.metrics.items():
            if metric.in_space:
                self._check_space(name, metric, self._extractors[metric.extractor])
            if (twin := called.setdefault(self.name_of(metric), name)) != name:
                raise ValueError(f"metrics {twin} and {name} are both called {self.name_of(metric)}; leave one out")

    def _check_space(self, name: str, metric: BlockMetric, extractor: Extractor) -> None:
        lacking = {"features", "logits"}.intersection(metric.needs).difference(extractor.outputs)
        if lacking:
            given = ", ".join(extractor.outputs) or "neither features nor logits"
            raise ValueError(f"metric {name} needs {lacking.pop()}; {extractor.name} gives {given}")
        if "features" in metric.needs and self.num_samples < (least := metric.minimum_in(extractor.feature_dim)):
            raise ValueError(
                f"metric {name} needs num_samples >= {least} for the {extractor.feature_dim} features of "
                f"{extractor.name}, got {self.num_samples}"
            )

    @property
    def extractor(self) -> Extractor | None:
        """The main one, once it is prepared."""
        return self._extractors.get(None)

    def _find_sources(self, data: Any) -> None:
        """What goes into a generator of pictures: the sources of the reference's split; None for other data.

        Each is taken once: where there are fewer than samples are asked for, so many are scored, aloud.

        Raises:
            ValueError: there are fewer than a metric needs.
        """
        sources = data.sources(self.reference) if hasattr(data, "sources") else None
        count = self._asked if sources is None else min(self._asked, len(sources))
        if count != self.num_samples:
            if count < self._asked and collectives.rank() == 0:
                log.warning(
                    "evaluation.num_samples=%s, and split %r of %s has %s sources, each of which is taken once: these "
                    "are scored",
                    *(self._asked, self.reference, data.name, count),
                )
            self.num_samples = count
            self._check_count()
            for name, metric in self.metrics.items():
                if metric.in_space and metric.extractor in self._extractors:
                    self._check_space(name, metric, self._extractors[metric.extractor])
        self._sources = sources

    def leave_out(self, metrics: Mapping[str, str]) -> None:
        """Go on without these metrics: name -> reason."""
        self.left_out |= metrics
        self.metrics = {name: metric for name, metric in self.metrics.items() if name not in metrics}
        if self._backwards is not None:
            self._backwards[0].leave_out(metrics)

    def _statistics(self, key: str | None, reference: Any, device: torch.device, progress: Progress | None) -> Any:
        extractor = self._extractors[key]

        def compute() -> Tensor:
            rows, done = [], 0
            for images in reference.blocks(self.block_size):
                rows.append(extractor(images.to(device))["features"].cpu())
                done += len(images)
                if progress is not None:
                    progress("reference", done, len(reference))
            return torch.cat(rows)

        about = {
            "schema": SCHEMA,
            "extractor": extractor.protocol(),
            "block_size": self.block_size,
            "reference": self._reference_key,
        }
        with _undisturbed(device):
            return cached_reference(about, compute, self.cache_dir)

    def score(
        self,
        network: nn.Module,
        inputs: Any,
        data: Any,
        *,
        weights: str,
        device: torch.device,
        progress: Progress | None = None,
        asked: Mapping[str, Any] | None = None,
        back: WayBack | None = None,
    ) -> Scores:
        """Generate, extract and compute. Training is not disturbed: modes and all random states are put back.

        Args:
            network: makes samples from what `inputs` draws; scored in eval mode, without autocast.
            inputs: see `gan_lab.sampling.LatentInputs`.
            data: renders samples as uint8 images, and has the reference.
            weights: "ema" or "live": which ones these are, for the protocol.
            device: where the network is.
            progress: called with (activity, samples done, samples in all) after every block of this rank.
            asked: further settings of network and inputs, see `gan_lab.evaluation.generation`; part of the protocol.
            back: the generator of the other direction, with the same weights, of a model that translates either way.
        Raises:
            EvaluationError: an error on any rank, on all of them.
            ValueError: there is no way back, and both directions or a metric ask for it.
        """
        source = self._generated(network, inputs, data, device, back, weights=weights, asked=asked)
        with scoring_mode(_all_of(network, back), device):
            scores = self._score(source, data, device, progress)
        if back is None or not self.both_directions:
            return scores
        stage, turned = self._way_back(data)
        told = None if progress is None else partial(_told_of_way_back, progress)
        there = WayBack(network, inputs)
        of_back = stage.score(*back, turned, weights=weights, device=device, progress=told, asked=asked, back=there)
        return together(scores, of_back)

    def _generated(
        self,
        network: nn.Module,
        inputs: Any,
        data: Any,
        device: torch.device,
        back: WayBack | None,
        *,
        weights: str,
        asked: Mapping[str, Any] | None = None,
    ) -> Generated:
        """The samples of a generator, from the sources of the reference's split where it takes pictures."""
        if back is None:
            self.check_directions(())
        self._find_sources(data)
        return Generated(
            network,
            inputs.bound_to(self._sources),
            data.render,
            weights=weights,
            seed=self.seed,
            device=device,
            asked=asked,
            sources=self._sources,
            network_back=None if back is None else back.network,
        )

    def score_images(self, images: Any, data: Any, *, device: torch.device, progress: Progress | None = None) -> Scores:
        """As `score`, of images that are there already.

        Args:
            images: a `gan_lab.data.reference.ReferenceSet` of at least `num_samples`; the first so many are scored. Its
                `split` says how they were brought to their size, and is part of the protocol.
        """
        if len(images) < self.num_samples:
            raise ValueError(f"evaluation.num_samples={self.num_samples}, but {images.name} has {len(images)} images")
        self._leave_out_what_files_lack(images, data)
        with torch.no_grad(), _undisturbed(device):
            return self._score(Stored(images, seed=self.seed, device=device), data, device, progress)

    def _leave_out_what_files_lack(self, images: Any, data: Any) -> None:
        lost = {}
        for name, metric in self.metrics.items():
            if metric.needs_network or "samples" in metric.needs:
                lost[name] = "it needs the generator, and these are images of files"
            elif "labels" in (*metric.needs, *metric.probe_needs) and images.labels is None:
                lost[name] = f"it goes by classes, and {images.name} has no labels"
            elif asked := OF_TRANSLATORS.keys() & {*metric.needs, *metric.probe_needs}:
                lost[name] = f"it needs {' and '.join(sorted(asked))} of each image, which files do not have"
            elif "images" in metric.needs and metric.uses_reference:
                shape, other = images.images.shape[1:], data.reference(self.reference).images.shape[1:]
                if shape != other:
                    lost[name] = f"its images are {shape}, those of the reference {other}"
        if self.monitor in lost:
            raise ValueError(f"the monitored metric {self.monitor} has no score here: {lost[self.monitor]}")
        for name, reason in lost.items():
            warnings.warn(f"metric {name} is left out: {reason}", stacklevel=3)
        self.leave_out(lost)

    def rehearse(
        self, network: nn.Module, inputs: Any, data: Any, *, device: torch.device, back: WayBack | None = None
    ) -> None:
        """Two samples through all of it but `compute`, so that what cannot be scored is said before training.

        Args: as of `score`.
        Raises:
            ValueError: a metric does not suit these samples; the message names it.
        """
        source = self._generated(network, inputs, data, device, back, weights="live")
        with scoring_mode(_all_of(network, back), device):
            values = self._values(source.make(0, 2), 0)
        for name, metric in self.metrics.items():
            try:
                metric.check(*(values[place] for place in self._places(name)))
            except ValueError as error:
                raise ValueError(f"metric {name}: {error}") from error
        if back is not None and self.both_directions:
            with _naming_way_back():
                stage, turned = self._way_back(data)
                stage.rehearse(*back, turned, device=device, back=WayBack(network, inputs))

    def _score(self, source: Source, data: Any, device: torch.device, progress: Progress | None) -> Scores:
        self.prepare(data, device, progress)
        start = time.perf_counter()
        problem, blocks = None, BlockStore(self.num_samples)
        try:
            self._make_blocks(source, progress, blocks)
        except Exception as error:
            problem = f"rank {collectives.rank()}: {type(error).__name__}: {error}"
        problems, blocks = collectives.gather_objects(problem), self._on_first_rank(blocks)
        outcome: Any = None
        if problems is not None:
            outcome = next(filter(None, problems), None) or self._compute(blocks, source)
        outcome = collectives.broadcast_object(outcome)
        if isinstance(outcome, str):
            raise EvaluationError(f"the evaluation failed on {outcome}")
        return self._label(outcome, source, time.perf_counter() - start)

    def _on_first_rank(self, blocks: BlockStore) -> BlockStore:
        """All blocks, on rank 0; one of each rank at a time, since all of them may be more than memory holds."""
        if collectives.world() == 1:
            return blocks
        together = BlockStore(self.num_samples)
        for first in range(0, -(-self.num_samples // self.block_size), collectives.world()):
            parts = collectives.gather_objects(blocks.take(first + collectives.rank()))
            for block, values in enumerate(parts or [], first):
                if values is not None:  # beyond the last block, or the rank has failed before
                    together.put(block, values)
        return together

    def _make_blocks(self, source: Source, progress: Progress | None, blocks: BlockStore) -> None:
        for block in range(collectives.rank(), -(-self.num_samples // self.block_size), collectives.world()):
            made = source.make(block, self.block_size)
            made.count = min(made.count, self.num_samples - block * self.block_size)
            blocks.put(block, self._values(made, block))
            if progress is not None:
                progress("scoring", min((block + 1) * self.block_size, self.num_samples), self.num_samples)

    def _values(self, made: Block, block: int) -> dict[str, Tensor]:
        """All that the metrics take of a block, by the names of `_places`."""
        given = {need: value for need in GIVEN if (value := getattr(made, need)) is not None}
        values: dict[str, Tensor] = {}
        for key in self._extractors:
            if any(need in self._extractors[key].outputs for need in self._needs(key)):
                values |= {f"{key}/{name}": value for name, value in self._extractors[key](made.images).items()}
        for name, metric in self.metrics.items():
            for need in (*metric.needs, *metric.probe_needs):
                if need in GIVEN and need not in given:
                    remedy = f": choose {OF_TRANSLATORS[need]}" if need in OF_TRANSLATORS else ""
                    raise ValueError(f"metric {name} needs {need}, which these samples do not have{remedy}")
            for need, place in zip(metric.needs, self._places(name), strict=True):
                if need == "probe":
                    reseed_default_generators(self.seed, block, across_ranks=False)
                    made.extractor = self._extractors[metric.extractor] if metric.in_space else None
                    try:
                        values[place] = metric.probe(made)
                    except ValueError as error:
                        raise ValueError(f"metric {name}: {error}") from error
                elif place not in values:
                    values[place] = given[need]
        wanted = {place for name in self.metrics for place in self._places(name)}
        if self.per_image is not None:
            values |= {name: given[name] for name in ABOUT_EACH if name in given}
            wanted.update(name for name in ABOUT_EACH if name in given)
        return {place: values[place][: made.count].cpu() for place in sorted(wanted)}

    def _needs(self, key: str | None) -> set[str]:
        return {need for metric in self.metrics.values() if metric.extractor == key for need in metric.needs}

    def _places(self, name: str) -> list[str]:
        """Under which names the values of a block are that a metric takes."""
        metric = self.metrics[name]
        owners = {"features": metric.extractor, "logits": metric.extractor, "probe": f"probe of {name}"}
        return [f"{owners[need]}/{need}" if need in owners else need for need in metric.needs]

    def _compute(self, blocks: Mapping[int, Mapping[str, Tensor]], source: Source) -> Results | str:
        """What the metrics say, on rank 0; a string on failure, for all ranks to raise."""
        in_space = {name: metric.extractor for name, metric in self.metrics.items() if metric.in_space}
        computing = Computing(
            metrics=self.metrics,
            places={name: self._places(name) for name in self.metrics},
            names={name: self.name_of(metric) for name, metric in self.metrics.items()},
            spaces={name: self._extractors[extractor].name for name, extractor in in_space.items()},
            references=self._references,
            intervals=self.intervals,
            seed=self.seed,
            per_image=self.per_image,
            monitor=self.monitor,
            block_size=self.block_size,
            render=None if self._sources is None else self._sources.render,
        )
        return computing.results(blocks, source)

    def _label(self, results: Results, source: Source, seconds: float) -> Scores:
        pictures = {f"{name}{self._mark}": picture for name, picture in results.pictures.items()}
        scores = Scores({}, {}, {}, "", False, seconds, pictures=pictures, per_image=results.per_image)
        scores.intervals_about = dict(self.intervals or {})
        for name, metric in self.metrics.items():
            protocol = self.protocol(metric, source.protocol())
            digest = digest_of(protocol)
            scores.records[digest] = protocol
            for suffix, value in results.values[name].items():
                label = self.name_of(metric) + suffix
                scores.values[label], scores.protocols[label] = value, digest
            if name in results.intervals:
                scores.intervals[self.name_of(metric)] = results.intervals[name]
            if name == self.monitor:
                scores.monitored, scores.higher_is_better = self.name_of(metric), bool(metric.higher_is_better)
        return scores

    def digests(self, weights: str) -> dict[str, str]:
        """Main score of each metric -> hash of its protocol, for "ema" or "live" weights; after `prepare`."""
        about = about_generated(self.seed, weights, self._sources)
        own = {self.name_of(metric): digest_of(self.protocol(metric, about)) for metric in self.metrics.values()}
        return own if self._backwards is None else own | self._backwards[0].digests(weights)

    def protocol(self, metric: BlockMetric, source: Mapping[str, Any]) -> dict[str, Any]:
        """All that decides a score of `metric`, as plain JSON values; `source` is the protocol of the samples."""
        return {
            "schema": SCHEMA,
            "metric": metric.name,
            "parameters": metric.protocol(),
            "extractor": self._extractors[metric.extractor].protocol() if metric.in_space else None,
            "quantization": "clamp to [-1, 1], round to uint8",
            "reference": self._reference_key if metric.uses_reference else None,
            "fakes": {"count": self.num_samples, "block_size": self.block_size, **source},
        }

    def name_of(self, metric: BlockMetric) -> str:
        """`fid50k` for Inception's last pooling layer and 50,000 fakes; other feature spaces say so in the name.

        Once prepared for translations back, `fid50k_BtoA`.
        """
        count = f"{self.num_samples // 1000}k" if self.num_samples % 1000 == 0 else str(self.num_samples)
        if metric.in_space:
            return self._extractors[metric.extractor].label(metric.name) + count + self._mark
        return metric.name + ("_" if metric.name[-1].isdigit() else "") + count + self._mark


def _all_of(network: nn.Module, back: WayBack | None) -> nn.Module:
    """What a scoring runs, for its modes."""
    return network if back is None else nn.ModuleList([network, back.network])


@contextmanager
def _naming_way_back() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"of the way back, which evaluation.both_directions=true scores: {error}") from error


def _told_of_way_back(progress: Progress, activity: str, done: int, total: int) -> None:
    progress(f"{activity} BtoA", done, total)


class EvaluationError(RuntimeError):
    """The stage failed; the message names the rank and the cause."""
