"""A run's config for others: what builds, samples and scores its generator, without a place of this machine."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_lab.data.masked import ALPHA
from gan_lab.runs.settings import PLACES

Place = tuple[str, ...]  # the keys that lead to a value
# Of data whose name tells how it lies on a disk, what a reader is told.
TOLD = {
    "folder": "a folder of pictures",
    "paired": "pairs of pictures",
    "unpaired": "two sets of pictures",
    "masked": "pictures with holes",
    "crops": "crops of pictures",
}

KEPT = ("model", "data", "evaluation", "seed", "total_kimg", "threads")
OWN_PLACE = "FOLDER"  # stands where a person's own data lay, FOLDER_test_root and so on for further places
ON_HUB = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)  # of `data.path`: a data set that everybody can have
ABSOLUTE = re.compile(r"^(/|~|\\\\|[A-Za-z]:[\\/]|file:)")


def shareable(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `load_generator` and `evaluate` need of a resolved config.

    Folders of data that can be downloaded become `data`. That of a person's own, which `evaluate data_root=...` moves,
    becomes FOLDER, and each further one has a name of its own, so that none is taken for another. Caches become
    `cache`, and of any other absolute path its last part stays.
    """
    main = "folder" if (config.get("data") or {}).get("folder") is not None else "root"
    names: dict[Place, str] = {("data", main): OWN_PLACE}
    return {key: _without_places(config[key], (key,), names) for key in KEPT if key in config}


def data_title(config: Mapping[str, Any]) -> str | None:
    """What the data of a run is called in a title; None where it is not known."""
    name = (config.get("data") or {}).get("name")
    return None if name is None else TOLD.get(str(name), str(name))


def _without_places(node: Any, at: Place, names: Mapping[Place, str]) -> Any:
    if isinstance(node, Mapping):
        return {key: _value(value, (*at, str(key)), names, "download" in node) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_without_places(value, at, names) for value in node]
    if isinstance(node, str) and ABSOLUTE.match(node):
        return re.split(r"[\\/]", node.rstrip("\\/"))[-1] or OWN_PLACE
    return node


def _value(value: Any, at: Place, names: Mapping[Place, str], can_be_downloaded: bool) -> Any:
    key = at[-1]
    if isinstance(value, str):
        if key == "cache_dir":
            return "cache"
        if value == ALPHA or (key == "path" and ON_HUB.fullmatch(value) and not Path(value).exists()):
            return value
        if key in PLACES and (key == "root" or not can_be_downloaded):
            return "data" if can_be_downloaded else names.get(at, "_".join((OWN_PLACE, *at[1:])))
    return _without_places(value, at, names)
