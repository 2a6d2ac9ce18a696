"""A run's config for others: what builds, samples and scores its generator, without a place of this machine."""

import re
from collections.abc import Mapping
from typing import Any

from gan_lab.runs.settings import PLACES

KEPT = ("model", "data", "evaluation", "seed", "total_kimg", "threads")
OWN_PLACE = "FOLDER"  # stands where a person's own data lay
ABSOLUTE = re.compile(r"^(/|~|\\\\|[A-Za-z]:[\\/]|file:)")


def shareable(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `load_generator` and `evaluate` need of a resolved config.

    Folders of data that can be downloaded become `data`, those of a person's own FOLDER (`evaluate data_root=...` gives
    another), caches `cache`, and of any other absolute path its last part stays.
    """
    return {key: _without_places(config[key]) for key in KEPT if key in config}


def _without_places(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _value(key, value, "download" in node) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_without_places(value) for value in node]
    if isinstance(node, str) and ABSOLUTE.match(node):
        return re.split(r"[\\/]", node.rstrip("\\/"))[-1] or OWN_PLACE
    return node


def _value(key: str, value: Any, can_be_downloaded: bool) -> Any:
    if isinstance(value, str):
        if key == "cache_dir":
            return "cache"
        if key in PLACES and (key == "root" or not can_be_downloaded):
            return "data" if can_be_downloaded else OWN_PLACE
    return _without_places(value)
