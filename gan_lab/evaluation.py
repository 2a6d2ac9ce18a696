"""The evaluation stage: a generator and a reference set in, scores with their protocols out; in training and alone.

Work is cut into blocks of fixed size. Block b is made by rank b mod W with randomness from (seed, b), so N samples are
exactly N on any number of ranks, and a shorter run is a prefix of a longer one. No collective runs inside the loop.
"""

import contextlib
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gan_lab import collectives
from gan_lab.extractors.base import Extractor
from gan_lab.metrics.reference import ReferenceStatistics, cached_reference
from gan_lab.sampling import Draws, reseed_default_generators

SCHEMA = 1
Progress = Callable[[int, int], None]


@dataclass
class Scores:
    """The outcome of one evaluation.

    Attributes:
        values: score name -> value; a name carries extractor and sample count.
        protocols: score name -> hash of its protocol; values of different hashes are not comparable.
        records: hash -> protocol in full.
        monitored: the score by which checkpoints are ranked.
        higher_is_better: its direction.
        seconds: wall time, without the reference's where that was cached.
        threads: CPU threads of one operation; another number may round differently.
    """

    values: dict[str, float]
    protocols: dict[str, str]
    records: dict[str, dict[str, Any]] = field(repr=False)
    monitored: str
    higher_is_better: bool
    seconds: float
    threads: int = field(default_factory=torch.get_num_threads)

    @property
    def monitored_value(self) -> float:
        return self.values[self.monitored]


class Evaluation:
    """Scores a generator against a reference set with several metrics in one pass of generation.

    Args:
        extractor: makes the extractor (its weights may be missing, hence not made at once).
        metrics: by name, in the order of the table.
        num_samples: fakes, at least each metric's minimum.
        block_size: samples of one call of the generator and of the extractor, 1 or more; part of the protocol.
        seed: of the samples, 0 or more; part of the protocol.
        reference: split of the data set that the fakes are held against.
        monitor: the metric whose main value ranks checkpoints.
        cache_dir: where statistics of references are kept; None for nowhere.
    """

    def __init__(
        self,
        *,
        extractor: Callable[[], Extractor],
        metrics: Mapping[str, Any],
        num_samples: int,
        block_size: int,
        seed: int,
        reference: str,
        monitor: str,
        cache_dir: str | Path | None,
    ) -> None:
        if block_size < 1:
            raise ValueError(f"evaluation.block_size must be 1 or more, got {block_size}")
        if monitor not in metrics:
            raise ValueError(f"evaluation.monitor={monitor!r} is none of the metrics: {', '.join(metrics)}")
        for name, metric in metrics.items():
            if num_samples < metric.minimum:
                raise ValueError(f"{name} needs evaluation.num_samples >= {metric.minimum}, got {num_samples}")
        self._make_extractor = extractor
        self.metrics = dict(metrics)
        self.num_samples, self.block_size, self.seed = num_samples, block_size, seed
        self.reference, self.monitor = reference, monitor
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self._extractor: Extractor | None = None
        self._statistics: ReferenceStatistics | None = None
        self._reference_key: dict[str, Any] = {}

    def prepare(self, data: Any, device: torch.device, progress: Progress | None = None) -> None:
        """Load the extractor and the reference's statistics (from the cache, or made and cached).

        Raises:
            MissingWeights: the extractor's weights are not at hand; the message has the remedy.
            ValueError: the data set has no such split.
        """
        if self._extractor is not None:
            self._extractor = self._extractor.to(device)
            return
        self._extractor = self._make_extractor().to(device)
        if not any(metric.uses_reference for metric in self.metrics.values()):
            return
        reference = data.reference(self.reference)
        self._reference_key = {
            "data": data.name,
            "split": reference.split,
            "content": reference.digest,
            "count": len(reference),
        }
        key = {
            "schema": SCHEMA,
            "extractor": self.extractor.protocol(),
            "block_size": self.block_size,
            "reference": self._reference_key,
        }

        def compute() -> Tensor:
            rows, done = [], 0
            for images in reference.blocks(self.block_size):
                rows.append(self.extractor(images.to(device))["features"].cpu())
                done += len(images)
                if progress is not None:
                    progress(done, len(reference))
            return torch.cat(rows)

        if collectives.rank() > 0:  # rank 0 computes
            return
        with _undisturbed(device):
            self._statistics = cached_reference(key, compute, self.cache_dir)

    @property
    def extractor(self) -> Extractor:
        if self._extractor is None:
            raise RuntimeError("call Evaluation.prepare(data, device) first")
        return self._extractor

    def score(
        self,
        network: nn.Module,
        inputs: Any,
        data: Any,
        *,
        weights: str,
        device: torch.device,
        progress: Progress | None = None,
    ) -> Scores:
        """Generate, extract and compute. Training is not disturbed: modes and all random states are put back.

        Args:
            network: makes samples from what `inputs` draws; scored in eval mode, without autocast.
            inputs: see `gan_lab.sampling.LatentInputs`.
            data: renders samples as uint8 images.
            weights: "ema" or "live": which ones these are, for the protocol.
            device: where the network is.
            progress: called with (samples done, samples in all) after every block of this rank.
        Raises:
            RuntimeError: an error on any rank, on all of them.
        """
        self.prepare(data, device, progress)
        start = time.perf_counter()
        with scoring_mode(network, device):
            problem, blocks = None, {}
            try:
                blocks = self._make_blocks(network, inputs, data, device, progress)
            except Exception as error:
                problem = f"rank {collectives.rank()}: {type(error).__name__}: {error}"
            gathered = collectives.gather_objects((problem, blocks))
            outcome: Any = None
            if gathered is not None:
                problems = [problem for problem, _ in gathered if problem]
                together = {block: values for _, part in gathered for block, values in part.items()}
                outcome = problems[0] if problems else self._compute(together)
            outcome = collectives.broadcast_object(outcome)
        if isinstance(outcome, str):
            raise EvaluationError(f"the evaluation failed on {outcome}")
        return self._label(outcome, weights, time.perf_counter() - start)

    def _make_blocks(
        self, network: nn.Module, inputs: Any, data: Any, device: torch.device, progress: Progress | None
    ) -> dict[int, dict[str, Tensor]]:
        draws, blocks = Draws(self.seed, across_ranks=False), {}
        for block in range(collectives.rank(), -(-self.num_samples // self.block_size), collectives.world()):
            draws.move_to(block)
            reseed_default_generators(self.seed, block, across_ranks=False)
            arguments = inputs.draw(draws, self.block_size)
            samples = network(**{name: value.to(device) for name, value in arguments.items()})
            values = self.extractor(data.render(samples).to(device))
            count = min(self.block_size, self.num_samples - block * self.block_size)
            blocks[block] = {name: value[:count].cpu() for name, value in values.items()}
            if progress is not None:
                progress(min((block + 1) * self.block_size, self.num_samples), self.num_samples)
        return blocks

    def _compute(self, blocks: Mapping[int, Mapping[str, Tensor]]) -> dict[str, dict[str, float]] | str:
        """Metric name -> suffix -> value, on rank 0; a string on failure, for all ranks to raise."""
        results = {}
        for name, metric in self.metrics.items():
            try:
                metric.reset()
                if metric.uses_reference:
                    metric.set_reference(self._statistics)
                for block in sorted(blocks):
                    metric.update(blocks[block][metric.needs])
                results[name] = metric.compute()
            except Exception as error:
                return f"rank 0, metric {name}: {type(error).__name__}: {error}"
            finally:
                metric.reset()
        return results

    def _label(self, results: Mapping[str, Mapping[str, float]], weights: str, seconds: float) -> Scores:
        scores = Scores({}, {}, {}, "", False, seconds)
        for name, metric in self.metrics.items():
            protocol = self.protocol(metric, weights)
            digest = hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:12]
            scores.records[digest] = protocol
            for suffix, value in results[name].items():
                label = self.name_of(metric) + suffix
                scores.values[label], scores.protocols[label] = value, digest
            if name == self.monitor:
                scores.monitored, scores.higher_is_better = self.name_of(metric), metric.higher_is_better
        return scores

    def protocol(self, metric: Any, weights: str) -> dict[str, Any]:
        """All that decides a score of `metric`, as plain JSON values."""
        return {
            "schema": SCHEMA,
            "metric": metric.name,
            "parameters": metric.protocol(),
            "extractor": self.extractor.protocol(),
            "quantization": "clamp to [-1, 1], round to uint8",
            "reference": self._reference_key if metric.uses_reference else None,
            "fakes": {
                "count": self.num_samples,
                "seed": self.seed,
                "block_size": self.block_size,
                "weights": weights,
                "truncation": None,
            },
        }

    def name_of(self, metric: Any) -> str:
        """`fid50k` for Inception's last pooling layer and 50,000 fakes; other feature spaces say so in the name."""
        count = f"{self.num_samples // 1000}k" if self.num_samples % 1000 == 0 else str(self.num_samples)
        if self.extractor.name == "inception":
            return f"{'fid' if metric.name == 'fd' else metric.name}{count}"
        return f"{metric.name}_{self.extractor.name}{count}"


class EvaluationError(RuntimeError):
    """The stage failed; the message names the rank and the cause."""


@contextlib.contextmanager
def scoring_mode(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Samples made inside leave no trace in training.

    Inside: eval mode, no gradients, no autocast, TF32 or cuDNN search. Afterwards: every submodule's own mode, these
    switches and all random states as before.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), _undisturbed(device):
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    precision = torch.get_float32_matmul_precision()
    devices = [device] if device.type == "cuda" else []
    try:
        torch.set_float32_matmul_precision("highest")
        with (
            torch.random.fork_rng(devices=devices),
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        random.setstate(python)
        np.random.set_state(numpy)
