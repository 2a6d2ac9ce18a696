"""Scoring by the protocol of a stored config: its settings, changed by a command, and its evaluation on all ranks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab import collectives
from gan_lab.data.base import Data
from gan_lab.data.masked import ALPHA
from gan_lab.distributed.topology import Topology
from gan_lab.evaluation.display import progress_bar, say
from gan_lab.evaluation.scores import Scores
from gan_lab.evaluation.sources import WayBack
from gan_lab.evaluation.stage import Evaluation
from gan_lab.runs.checkpoint import LoadedGenerator, build, check, load_generator, target_class
from gan_lab.runs.settings import plain
from gan_lab.runs.signatures import check_signatures

# Keys of `data` that say where files lie, those of masks below `condition.masks`.
ROOTS = ("root", "folder", "test_root", "source_root", "source_test_root")
ROOTS_OF_MASKS = ("root", "test_root")


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
    if not stored.get("data"):
        refuse_without_protocol(data, evaluation)
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
        data = _merged(stored["data"], data)
    with open_dict(config):
        config.data, config.evaluation = data, evaluation
    return with_changes(plain(config))


def refuse_without_protocol(data: Mapping[str, Any], evaluation: Mapping[str, Any]) -> None:
    """What an imported generator is scored by has to be said, as it comes with no run.

    Raises:
        ValueError: something is not said, with all that is lacking.
    """
    lacking = [] if "_target_" in data else ["data=folder data.root=PICTURES data.image_size=PIXELS"]
    lacking += [] if "_target_" in evaluation else ["evaluation=default"]
    if "_target_" not in (evaluation.get("extractor") or {}):
        lacking.append("extractor@evaluation.extractor=inception")
    if lacking:
        raise ValueError(
            "this generator was imported, and nothing is known of what it is compared with, nor how; say so, for "
            f"example: {' '.join(lacking)}"
        )


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
        move(data, settings["data_root"])
    if settings["extractor_weights"] is not None:
        evaluation["extractor"]["weights"] = settings["extractor_weights"]
    for key in ("num_samples", "seed"):
        if settings[key] is not None:
            evaluation[key] = settings[key]
    check_signatures(settings, *(name for name in ("data", "evaluation") if "_target_" in settings[name]))
    return settings


def _main_place(data: Mapping[str, Any]) -> str:
    """The key that `data_root` changes."""
    return "root" if data.get("folder") is None else "folder"


def move(data: dict[str, Any], place: str) -> None:
    """Let the data lie in `place`, and what was given as a folder in the same one, or the same one, move along.

    Raises:
        ValueError: it lies in no folder.
    """
    if "root" not in data:
        raise ValueError(f"data_root={place}: {data.get('name', 'this data set')} lies in no folder")
    old, masks = data[_main_place(data)], (data.get("condition") or {}).get("masks") or {}
    for node, keys in ((data, ROOTS), (masks, ROOTS_OF_MASKS)):
        for key in keys:
            path = node.get(key)
            if isinstance(path, str) and isinstance(old, str) and path != ALPHA and Path(path).is_relative_to(old):
                node[key] = str(Path(place) / Path(path).relative_to(old))
    data[_main_place(data)] = place


def places_of(data: Mapping[str, Any]) -> dict[str, str]:
    """Where the files of a data set lie: dotted key below `data` -> path."""
    masks = (data.get("condition") or {}).get("masks") or {}
    found = {key: data.get(key) for key in ROOTS} | {f"condition.masks.{key}": masks.get(key) for key in ROOTS_OF_MASKS}
    return {key: path for key, path in found.items() if isinstance(path, str) and path != ALPHA}


def _is_there(path: str) -> bool:
    """Whether this is a file or a folder, or may be one in a zip."""
    place = Path(path).expanduser()
    return place.exists() or any(parent.is_file() for parent in place.parents)


def use_threads(settings: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """As many threads on the CPU as the command asks for, or as the run of the `stored` config had.

    Sums depend on their number: whatever becomes part of a score comes after this.
    """
    threads = settings["threads"] if settings["threads"] is not None else stored.get("threads")
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def naming_places(stored: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[None]:
    """What is wrong with the places of a stored config's data is told with the keys that change them here.

    Args:
        stored: the node `data` of the run.
        data: the same with the command's changes. All of its places that are not there are named at once, beside those
            of the error.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        earlier, now = places_of(stored), places_of(data)
        named = [key for key in earlier if f"data.{key}" in str(error)]
        if not named:
            raise
        gone = [key for key in earlier if key in named or not _is_there(now.get(key, earlier[key]))]
        trained_on = " and ".join(f"data.{key}={earlier[key]}" for key in gone)
        relative = any(not Path(earlier[key]).expanduser().is_absolute() for key in gone)
        seen_from = ", a relative path as seen from the folder in which it was started" if relative else ""
        remedies = [
            "data_root=PATH" if key == _main_place(stored) else f"+data.{key}=PATH"
            for key in sorted(gone, key=lambda key: key != _main_place(stored))
        ]
        raise ValueError(
            f"{error}. The run was trained on {trained_on}{seen_from}; where the data lies elsewhere now, say "
            f"{' '.join(remedies)}"
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
            with naming_places(stored.get("data") or settings["data"], settings["data"]):
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
        if stored.get("model"):
            self.evaluation.check_space(stored["model"])
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
