"""A run's settings: resolved, what of them decides results, and the name that follows."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Where the extractor's weights lie; which ones they are is in the protocol.
IN_PROTOCOL = ("evaluation.extractor.weights", "evaluation.extractor.download")


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, of a resolved config: what a final score depends on, without the seed."""
    kept = decisive(config)
    kept["callbacks"] = {name: {"every_kimg": value} for name, value in kept.pop("every_kimg").items()}
    kept |= {"total_kimg": config["total_kimg"], "stop": config.get("stop")}
    return {key: value for key, value in flat(kept) if key not in IN_PROTOCOL}


def flat(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every leaf; a list of plain values is one leaf, an empty dict or list none."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from flat(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list) and (not node or any(isinstance(value, (dict, list)) for value in node)):
        yield from flat(dict(enumerate(node)), place)
    else:
        yield place, node


def plain(config: DictConfig) -> dict[str, Any]:
    """The resolved config as plain dicts, lists and values."""
    from omegaconf.errors import InterpolationKeyError, InterpolationToMissingValueError, MissingMandatoryValue

    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except (MissingMandatoryValue, InterpolationToMissingValueError) as error:
        key = getattr(error, "full_key", None) or str(error)
        raise ValueError(f"{key} has no value: give it on the command line, {key}=...") from error
    except InterpolationKeyError as error:
        raise ValueError(str(error).splitlines()[0]) from error


def run_name(config: Mapping[str, Any], choices: Mapping[str, Any]) -> str:
    """`<experiment, or model_data>/<digest>/seed<k>` for a resolved config and the groups chosen for it."""
    title = choices.get("experiment") or f"{choices['model']}_{choices['data']}"
    return f"{title}/{digest(config)}/seed{config['seed']}"


# Settings that change neither weights nor scores: where things lie, what is drawn and kept, what the machine offers.
INDIFFERENT = (
    "paths",
    "run_dir",
    "report",
    "logger",
    "wandb",
    "sweep",
    "overwrite",
    "stop",
    "debug",
    "on_nonfinite",
    "total_kimg",
    "seed",
    "threads",
)


INDIFFERENT_DATA = ("download", "workers", "resident", "resident_limit_mb", "cache_dir", "seed")
INDIFFERENT_EVALUATION = ("cache_dir", "extractors", "intervals", "watched")
INDIFFERENT_TRAINER = ("precision",)  # the one key of `trainer` that does matter


def digest(config: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of the settings that change results (a run may grow, move and be watched otherwise)."""
    return hashlib.sha256(json.dumps(decisive(config), sort_keys=True).encode()).hexdigest()[:8]


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change results, of a resolved config; those of the callbacks under `every_kimg`."""
    kept = {key: value for key, value in config.items() if key not in INDIFFERENT}
    kept["trainer"] = {key: kept["trainer"][key] for key in INDIFFERENT_TRAINER if key in kept["trainer"]}
    kept["model"] = {key: value for key, value in kept["model"].items() if key != "seed"}
    # A set that can be downloaded is known by its name; a person's own folder only by its place.
    named = "download" in kept["data"]
    kept["data"] = {
        key: value
        for key, value in kept["data"].items()
        if key not in INDIFFERENT_DATA and not (named and key == "root")
    }
    kept["evaluation"] = {key: value for key, value in kept["evaluation"].items() if key not in INDIFFERENT_EVALUATION}
    callbacks = kept.pop("callbacks")
    kept["every_kimg"] = {name: (callbacks.get(name) or {}).get("every_kimg") for name in ("metrics", "evaluation")}
    return kept
