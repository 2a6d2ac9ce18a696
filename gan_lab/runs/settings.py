"""A run's settings: resolved, what of them decides results, their digest, and the name of its folder that follows."""

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Keys of `data` that say where a person's own data lie.
PLACES = ("root", "path", "folder", "test_root", "source_root", "source_test_root", "labels")
# Where the extractor's weights lie; which ones they are is in the protocol.
IN_PROTOCOL = ("evaluation.extractor.weights", "evaluation.extractor.download")


def settings_of(config: Mapping[str, Any], content: str | None = None) -> dict[str, Any]:
    """Dotted key -> value, of a resolved config: what a final score depends on, without the seed.

    Args:
        content: see `decisive`.
    """
    kept = decisive(config, content)
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
        if "data.condition_shape" in str(error):
            raise ValueError(
                "this model or network makes pictures from pictures, and the data has none to give it; choose what is "
                "made of its images, such as condition=grey, or another model and network"
            ) from error
        if "model.latent_dim" in str(error):
            raise ValueError(
                "this network makes pictures from latents, which this model has not; choose network=unet_translator "
                "or network=resnet_translator, or another model"
            ) from error
        raise ValueError(str(error).splitlines()[0]) from error


def run_title(config: Mapping[str, Any], choices: Mapping[str, Any]) -> str:
    """`<experiment, or model_data>`, the first part of a run's name."""
    return str(choices.get("experiment") or f"{choices['model']}_{choices['data']}")


def run_name(config: Mapping[str, Any], choices: Mapping[str, Any], content: str | None = None) -> str:
    """`<experiment, or model_data>/<digest>/seed<k>` for a resolved config and the groups chosen for it.

    Args:
        content: see `decisive`.
    """
    return f"{run_title(config, choices)}/{digest(config, content)}/seed{config['seed']}"


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
LATER_DATA: dict[str, Any] = {
    "test_root": None,
    "held_out": None,
    "labels": None,
    "class_column": None,
    "factor": 1,
    "resize": "auto",
    "source_suffix": "",
    "target_suffix": "",
    "source_labels": None,
    "unlabelled_ids": [],
}
LATER_AUGMENT = {"p_max": 1}
INDIFFERENT_EVALUATION = ("cache_dir", "extractors", "intervals", "per_image", "watched")
EXTRACTORS = (("evaluation", "extractor"), ("model", "perceptual"))  # whose weights' place makes no difference
INDIFFERENT_TRAINER = ("precision",)  # the one key of `trainer` that does matter


def digest(config: Mapping[str, Any], content: str | None = None) -> str:
    """Eight hexadecimal digits of the settings that change results (a run may grow, move and be watched otherwise).

    Args:
        content: see `decisive`.
    """
    return hashlib.sha256(json.dumps(decisive(config, content), sort_keys=True).encode()).hexdigest()[:8]


def decisive(config: Mapping[str, Any], content: str | None = None) -> dict[str, Any]:
    """The settings that change results, of a resolved config; those of the callbacks under `every_kimg`.

    Args:
        content: what a person's own data are, wherever they lie (a digest); None to know them by their place alone.
    """
    kept = {key: value for key, value in config.items() if key not in INDIFFERENT}
    kept["trainer"] = {key: kept["trainer"][key] for key in INDIFFERENT_TRAINER if key in kept["trainer"]}
    kept["model"] = {key: value for key, value in kept["model"].items() if key != "seed"}
    if isinstance(kept["model"].get("augment"), dict):
        kept["model"]["augment"] = {name: _earlier(node) for name, node in kept["model"]["augment"].items()}
    kept["data"] = _decisive_data(kept["data"], content)
    kept["evaluation"] = {key: value for key, value in kept["evaluation"].items() if key not in INDIFFERENT_EVALUATION}
    if not kept["evaluation"].get("both_directions", True):  # came later than names did
        del kept["evaluation"]["both_directions"]
    for place, key in EXTRACTORS:
        if isinstance(kept[place].get(key), dict):
            kept[place][key] = _decisive_extractor(kept[place][key])
    if isinstance(kept.get("init_from"), str):
        kept["init_from"] = place_of(kept["init_from"])
    callbacks = kept.pop("callbacks")
    kept["every_kimg"] = {name: (callbacks.get(name) or {}).get("every_kimg") for name in ("metrics", "evaluation")}
    return kept


def _earlier(augmentation: Any) -> Any:
    """A node without what came later than names did, at the value that it had before."""
    if not isinstance(augmentation, dict):
        return augmentation
    return {key: value for key, value in augmentation.items() if (key, value) not in LATER_AUGMENT.items()}


def has_own_place(data: Mapping[str, Any]) -> bool:
    """Whether these are a person's own data, or masks; a set that can be downloaded is known by its name."""
    return bool(_places(data) or _places(_masks_of(data)))


def _decisive_data(data: Mapping[str, Any], content: str | None) -> dict[str, Any]:
    kept = {key: value for key, value in data.items() if key not in INDIFFERENT_DATA}
    # What came later than names did makes no other name at the value that it had before.
    kept = {key: value for key, value in kept.items() if key not in LATER_DATA or value != LATER_DATA[key]}
    if "download" in data:
        kept.pop("root", None)
    if isinstance(kept.get("source_data"), dict):
        kept["source_data"] = _decisive_data(kept["source_data"], None)
    places, masks = _places(data), _masks_of(data)
    kept = {key: value for key, value in kept.items() if key not in places}
    if masks:
        own = {key: value for key, value in masks.items() if key not in (*_places(masks), "cache_dir")}
        places_of_masks = _places(masks) if content is None else {}
        kept["condition"] = kept["condition"] | {"masks": own | places_of_masks}
    if content is None:
        return kept | places
    return kept | ({"content": content} if has_own_place(data) else {})


def _masks_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node that says where holes come from; empty where there is none."""
    condition = data.get("condition")
    masks = condition.get("masks") if isinstance(condition, Mapping) else None
    return masks if isinstance(masks, Mapping) else {}


def _places(node: Mapping[str, Any]) -> dict[str, str]:
    """Where a person's own files lie, by key, each place by one name."""
    if "download" in node:
        return {}
    return {key: place_of(node[key]) for key in PLACES if isinstance(node.get(key), str)}


def _decisive_extractor(extractor: Mapping[str, Any]) -> dict[str, Any]:
    """Weights that can be downloaded are known by the extractor's name, others by their content."""
    kept, weights = dict(extractor), extractor.get("weights")
    if isinstance(weights, str) and "download" in extractor:
        del kept["weights"], kept["download"]
    elif isinstance(weights, str):
        file = Path(weights).expanduser()
        kept["weights"] = hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.is_file() else file.name
    return kept


def place_of(path: str) -> str:
    """One name for all names of a place: links resolved, and from the current folder on where it lies below that."""
    real, here = Path(path).expanduser().resolve(), Path.cwd().resolve()
    return (real.relative_to(here) if real.is_relative_to(here) else real).as_posix()


# The same run, of a stored config -----------------------------------------------------------------------------------


def same_results(
    stored: Mapping[str, Any], config: Mapping[str, Any], *, stored_content: str | None, content: str | None
) -> bool:
    """Whether a run of a stored config gives the results of `config`.

    A key that came after the run was stored makes no difference at the value that stored configs are read with.

    Args:
        stored_content, content: what the data of each are; places are compared where one of them is not known.
    """
    if stored_content is None or content is None:
        stored_content = content = None
    try:
        earlier = decisive(_with_weights(stored, config), stored_content)
    except (KeyError, TypeError, AttributeError):  # of something else
        return False
    now = json.loads(json.dumps(decisive(config, content)))
    return _with_later_keys(json.loads(json.dumps(earlier, default=str)), now) == now


def _with_weights(stored: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """`stored`, with the place to which a file of an extractor's weights has moved since, its name unchanged."""
    found = dict(stored)
    for place, key in EXTRACTORS:
        extractor = stored[place].get(key) or {}
        old, new = extractor.get("weights"), (config[place].get(key) or {}).get("weights")
        if not (isinstance(old, str) and isinstance(new, str)):
            continue
        if not Path(old).exists() and Path(old).name == Path(new).name:
            found[place] = stored[place] | {key: extractor | {"weights": new}}
    return found


def _with_later_keys(stored: Any, now: Any) -> Any:
    """`stored`, with what it lacks of `now` where that is the default of the node's class."""
    if not isinstance(stored, dict) or not isinstance(now, dict):
        return stored
    lacking = {key: value for key, value in now.items() if key not in stored}
    if lacking and "_target_" in now:
        defaults = _defaults(now["_target_"])
        lacking = {key: value for key, value in lacking.items() if key in defaults and defaults[key] == value}
    else:
        lacking = {}
    return {key: _with_later_keys(value, now.get(key)) for key, value in stored.items()} | lacking


def _defaults(target: str) -> dict[str, Any]:
    """The arguments of a class, or of a function, that need not be given; of all classes that it derives from."""
    from hydra.utils import get_object

    found = get_object(target)
    makers = [vars(kind).get("__init__") for kind in found.__mro__[::-1]] if inspect.isclass(found) else [found]
    signatures = [inspect.signature(maker) for maker in makers if inspect.isfunction(maker)]
    parameters = [parameter for signature in signatures for parameter in signature.parameters.values()]
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
