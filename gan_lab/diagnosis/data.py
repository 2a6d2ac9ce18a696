"""Folders and data sets."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gan_lab.diagnosis.findings import Finding, SettingsError, State
from gan_lab.diagnosis.machine import GIB
from gan_lab.diagnosis.settings import Settings, choice_files

LITTLE_SPACE = 5 * GIB
WRITTEN = 2**20  # bytes that a folder must take, so that a full disk or quota shows


def folders(settings: Settings) -> Iterator[Finding]:
    """The folders of `paths`: writable, and with space."""
    for key in settings.config.paths:
        # Shared data and weights may well be there for reading alone.
        yield _folder(str(key), Path(settings.config.paths[key]), read_only="note" if key in READABLE else "broken")


READABLE = ("data_dir", "weights_dir")


def _folder(key: str, place: Path, *, read_only: State) -> Finding:
    """A folder, or the one in which it would be made, after writing a file to it that is gone afterwards."""
    import psutil

    name, place, remedy = f"paths.{key}", place.expanduser().absolute(), f"paths.{key}=... to another folder"
    try:
        nearest = next(folder for folder in (place, *place.parents) if folder.exists())
        if not nearest.is_dir():
            return Finding(name, "broken", f"{nearest} is a file", remedy)
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(bytes(WRITTEN))
            file.flush()
            os.fsync(file.fileno())
        free = psutil.disk_usage(str(nearest)).free
    except OSError as error:
        text = f"{place} cannot be written: {error.strerror or error}"
        return Finding(name, read_only, text, f"make room or allow it, or {remedy}")
    text = f"{place} {'is writable' if nearest == place else 'can be made'}, {free / GIB:.1f} GiB free"
    if free < LITTLE_SPACE:
        return Finding(name, "note", text, f"make room: runs and data sets need {LITTLE_SPACE // GIB} GiB, or {remedy}")
    return Finding(name, "good", text)


def data_sets(settings: Settings) -> Iterator[Finding]:
    """Every data set of `conf/data`: found, or where to put it. Nothing is downloaded."""
    known = {f"data.{key!s}" for file in choice_files("data") for key in OmegaConf.load(file)}
    for key in (override.partition("=")[0] for override in settings.for_any_data):
        if key not in known:
            yield Finding("data", "broken", f"unknown key {key}: no data set has it", "see conf/data/*.yaml")
    for name, chosen, node in settings.choices("data", "data"):
        if isinstance(node, SettingsError):
            yield Finding(f"data {name}", "broken", str(node), f"see conf/data/{name}.yaml")
        else:
            yield _data_set(name, chosen, node)


def _data_set(name: str, chosen: bool, node: Any) -> Finding:
    from hydra.utils import instantiate

    from gan_lab.data.decoded import DecodedImages

    line = f"data {name}"
    state: State = "broken" if chosen else "note"
    if OmegaConf.is_missing(node, "root"):
        return Finding(line, state, "lies wherever you say", f"data={name} data.root=PATH")
    if "root" not in node:
        return Finding(line, "good", "needs no files")
    if node.root is None:
        return Finding(line, state, "lies wherever you say", f"data={name} data.folder=PATH")
    root = Path(node.root).expanduser().absolute()
    fetched = "download" in node
    try:
        if fetched:
            data = instantiate(OmegaConf.merge(node, {"download": False}), _convert_="all")
            (data.source if isinstance(data, DecodedImages) else data.reference)("train")
            return Finding(line, "good", f"complete under {root}")
        if root.is_file() or any(root.iterdir()):
            return Finding(line, "good", f"found: {root}")
    except OSError:
        pass
    if node.get("download"):
        return Finding(line, "note", f"not complete under {root}; the run will download it")
    remedy = f"put it there, say where it is with data={name} data.root=PATH"
    if fetched:
        remedy += f", or fetch it with data={name} data.download=true"
    return Finding(line, state, f"not {'complete' if fetched else 'found'} under {root}", remedy)
