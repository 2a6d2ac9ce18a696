"""Scoring by the protocol of a stored config: its settings, changed by a command, and its evaluation on all ranks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab import collectives
from gan_lab.data.base import Data
from gan_lab.distributed.topology import Topology
from gan_lab.evaluation.display import progress_bar, say
from gan_lab.evaluation.scores import Scores
from gan_lab.evaluation.sources import WayBack
from gan_lab.evaluation.stage import Evaluation
from gan_lab.runs.checkpoint import LoadedGenerator, build, check, load_generator, target_class
from gan_lab.runs.settings import plain
from gan_lab.runs.signatures import check_signatures


def refuse(config: DictConfig, kind: str, **usual: Any) -> None:
    """Keys that mean nothing here must have their usual values.

    Raises:
        ValueError: one has another.
    """
    for key, value in usual.items():
        if config[key] != value:
            shown = "..." if isinstance(value, dict) else config[key]
            raise ValueError(f"{key}={shown} has no meaning with {kind}=...; leave it out")


def settings_by(config: DictConfig, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The command's settings, resolved, where `data` and `evaluation` are those of a stored config but for its changes.

    A data set chosen on the command line leaves the protocol's feature space as it was.

    Raises:
        CheckpointError: the stored config names what it may not.
        ValueError: neither names an evaluation, or an extractor.
    """
    for name in ("data", "evaluation"):
        check(stored.get(name), config.trust)
    data: dict[str, Any] = OmegaConf.to_container(config.data, resolve=False)  # type: ignore[assignment]
    evaluation: dict[str, Any] = OmegaConf.to_container(config.evaluation, resolve=False)  # type: ignore[assignment]
    if "_target_" not in evaluation:
        if "_target_" not in stored["evaluation"]:
            raise ValueError(
                "this run was trained with evaluation=none and names no protocol to score by; evaluation=default does"
            )
        if "_target_" in data:
            evaluation.pop("extractor", None)
        evaluation = _merged(stored["evaluation"], evaluation)
    elif "_target_" not in evaluation.get("extractor", {}):
        evaluation["extractor"] = _merged(stored["evaluation"].get("extractor", {}), evaluation.get("extractor", {}))
        if "_target_" not in evaluation["extractor"]:
            raise ValueError("this run names no extractor; give one: +extractor@evaluation.extractor=inception, say")
    if "_target_" not in data:
        if not stored["data"]:
            raise ValueError("this generator was imported, and not with its data; give some to compare with: data=NAME")
        data = _merged(stored["data"], data)
    with open_dict(config):
        config.data, config.evaluation = data, evaluation
    return with_changes(plain(config))


def _merged(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(stored)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def with_changes(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the changes of single keys worked into `data` and `evaluation`."""
    data, evaluation = settings["data"], settings["evaluation"]
    if data.get("seed", 0) is None:
        data["seed"] = 0  # of the order in training, which nobody asks for here
    if settings["data_root"] is not None:
        if "root" not in data:
            raise ValueError(
                f"data_root={settings['data_root']}: {data.get('name', 'this data set')} lies in no folder"
            )
        data["root" if data.get("folder") is None else "folder"] = settings["data_root"]
    if settings["extractor_weights"] is not None:
        evaluation["extractor"]["weights"] = settings["extractor_weights"]
    for key in ("num_samples", "seed"):
        if settings[key] is not None:
            evaluation[key] = settings[key]
    check_signatures(settings, *(name for name in ("data", "evaluation") if "_target_" in settings[name]))
    return settings


def use_threads(settings: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """As many threads on the CPU as the command asks for, or as the run of the `stored` config had.

    Sums depend on their number: whatever becomes part of a score comes after this.
    """
    threads = settings["threads"] if settings["threads"] is not None else stored.get("threads")
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def naming_data_root(data: Mapping[str, Any]) -> Iterator[None]:
    """What is wrong with the place of a stored config's data is told with the key that changes it here."""
    try:
        yield
    except (OSError, ValueError) as error:
        if "root" not in data or "data.root" not in str(error):
            raise
        raise ValueError(
            f"{error}. The run was trained on data.root={data['root']}, a relative path as seen from the folder in "
            "which it was started; where the data lies elsewhere now, say data_root=PATH"
        ) from error


class PreparedEvaluation:
    """A data set and its evaluation, at hand on every rank.

    What is built here may come of a stored config, and is built as such: see `gan_lab.runs.checkpoint.build`. Where the
    command line alone names it, the caller builds it.

    Args:
        settings: of the command, with nodes `data` and `evaluation`.
        stored: the config of a run, for the layout of its weights and the number of threads.
        topology: of this process.
        device: of this process.
        data: the data set; None builds what `settings` name.
        turned: score translations back, from the data's targets to its sources.
        evaluation: likewise.
    Raises:
        MissingWeights: the extractor of the monitored score is not at hand.
        ValueError: scores of the way back, of a run whose model goes one way.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        stored: Mapping[str, Any],
        topology: Topology,
        device: torch.device,
        data: Any = None,
        evaluation: Evaluation | None = None,
        turned: bool = False,
    ) -> None:
        self.trust, self.device, self.stored = settings["trust"], device, stored
        self._licence: str | None = None
        use_threads(settings, stored)
        if data is None:
            with naming_data_root(stored.get("data") or settings["data"]):  # as it was before any change
                data = build(settings["data"], self.trust, base=Data)
                with collectives.first_ranks_first(topology.local_rank):
                    data.prepare_data()
        self.data = data = data.turned() if turned else data
        if evaluation is None:
            evaluation = build(settings["evaluation"], self.trust, base=Evaluation)
        self.evaluation: Evaluation = evaluation
        self.directions: tuple[str, ...] = ()
        if "model" in stored:
            self.directions = tuple(getattr(target_class(stored["model"], self.trust), "directions", ()))
        self.evaluation.check_directions(self.directions)
        with progress_bar() as progress:
            self.evaluation.prepare_everywhere(data, device, topology.local_rank, progress)
        for name, reason in self.evaluation.left_out.items():
            say(f"without the metric {name}: {reason}")

    def score(self, path: Path | LoadedGenerator, weights: str, what: str = "scoring") -> Scores:
        """Score a generator, or the one in a file."""
        loaded = path
        if isinstance(loaded, Path):
            loaded = load_generator(loaded, weights, device=self.device, trust=self.trust)
        if loaded.licence not in (None, self._licence):
            say(f"licence {loaded.licence}")
            self._licence = loaded.licence
        back = self._way_back(loaded, weights)
        if self.stored.get("channels_last"):
            for network in (loaded.network, *([] if back is None else [back.network])):
                network.to(memory_format=torch.channels_last)
        with progress_bar(what) as progress:
            return self.evaluation.score(
                loaded.network,
                loaded.inputs,
                self.data,
                weights=loaded.weights,
                device=self.device,
                progress=progress,
                asked=loaded.asked,
                back=back,
            )

    def _way_back(self, loaded: LoadedGenerator, weights: str) -> WayBack | None:
        """The generator of the other direction, of the same file, where the evaluation asks for it."""
        if not self.evaluation.wants_way_back:
            return None
        other = next(direction for direction in self.directions if direction != loaded.direction)
        back = load_generator(loaded.path, weights, device=self.device, trust=self.trust, direction=other)
        return WayBack(back.network, back.inputs)
