"""What a checkpoint holds, how it is written so that it cannot be lost, and how it is read so that it runs no code."""

import contextlib
import hashlib
import importlib
import json
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pytorch_lightning.plugins.io import TorchCheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gan_lab import __version__
from gan_lab.runs.transfer import places_of, take

ALONE = "generator.safetensors"  # in a folder that `export`, `share` or `import_weights` wrote
FORMAT = 3  # 1 had one rank's records, 2 nothing of what inputs learn


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read or trusted; the message names the file and the remedy."""


class LaterFormat(CheckpointError):
    """A checkpoint that a later version has written; this one can neither read nor replace it."""


# Writing --------------------------------------------------------------------------------------------------------


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it and move it into place; on failure nothing is left.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; earlier files are untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode  # as the user's umask has it, and not as safetensors does, for one person alone
        write(temporary)
        temporary.chmod(mode)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        with contextlib.suppress(OSError):  # where there is no folder, there is nothing to remove either
            temporary.unlink()
        raise CheckpointError(
            f"cannot write {path}: {error}. What was saved before is untouched; make room or choose another folder "
            "(paths.runs_dir=...), then run the same command to go on"
        ) from error


class CheckpointIO(TorchCheckpointIO):
    """Lightning's way to the disk and back, for going on: atomic, and reading nothing but tensors and plain values."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_atomically(Path(path), lambda temporary: torch.save(checkpoint, temporary))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        found = read(path, map_location)
        if found["format"] < FORMAT:
            raise CheckpointError(
                f"{path} has format {found['format']}, and this gan_lab {__version__} goes on from {FORMAT} alone; "
                f"run_dir=... init_from={path} begins anew, in another folder, from its weights"
            )
        return found


def describe(config: Mapping[str, Any]) -> dict[str, Any]:
    """What every checkpoint and snapshot says of itself: format, versions and the resolved config."""
    versions = {"gan_lab": __version__, "torch": str(torch.__version__)}
    return {"format": FORMAT, "versions": versions, "config": dict(config)}


def write_snapshot(path: Path, network: nn.Module, about: Mapping[str, Any]) -> None:
    """A generator alone: safetensors with `about` (see `describe`) beside it as JSON, in `path` with suffix .json.

    A `licence` of its weights stands in the header of the tensors, too.
    """
    header = {"licence": about["licence"]} if about.get("licence") else None
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(
        path.with_suffix(".json"), lambda file: Path(file).write_text(json.dumps(about, indent=1), encoding="utf-8")
    )
    write_atomically(path, lambda file: save_file(tensors, file, header))


def weights_sha256(network: nn.Module) -> str:
    """Hexadecimal digest of a network's tensors, by name: the same in a checkpoint, a snapshot and a shared folder."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def second_name(path: Path, other: Path) -> None:
    """Give a file another name, in one move; a copy where the file system has no hard links.

    Raises:
        FileNotFoundError: it was deleted.
    """
    temporary = other.with_name(f".{other.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(path, temporary)
    os.replace(temporary, other)


# Reading --------------------------------------------------------------------------------------------------------


def read(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values only, on `map_location`.

    Raises:
        CheckpointError: no such file, cut or damaged, made of more than tensors and plain values, or of a later format.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}; give the folder of a run, a .ckpt or a .safetensors")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is damaged (cut short, perhaps) or no checkpoint at all")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} was refused: it holds objects beyond tensors and plain values, and loading those could run code"
        ) from error
    except Exception as error:  # damaged bytes make the unpickler raise anything at all
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint or "config" not in checkpoint:
        raise CheckpointError(f"{path} is not a checkpoint of gan_lab (it lacks 'state_dict' or 'config')")
    _check_format(path, checkpoint)
    return checkpoint


def _check_format(path: Path, about: Mapping[str, Any]) -> None:
    if about.get("format", 0) > FORMAT:
        raise LaterFormat(
            f"{path} has format {about['format']}; this gan_lab {__version__} reads up to {FORMAT}: upgrade it"
        )


def periodic(folder: Path) -> list[Path]:
    """The checkpoints in `folder` that are named by images seen, oldest first, sound or not."""
    return sorted(folder.glob("[0-9]*.ckpt"))


def is_sound(path: Path) -> bool:
    """Whether a checkpoint can be read."""
    try:
        read(path)
    except CheckpointError:
        return False
    return True


def newest_sound(folder: Path) -> Path | None:
    """The newest readable periodic checkpoint in `folder`; damaged ones are passed over, loudly.

    Raises:
        LaterFormat: a later version has written a newer one, which going on from an older one would replace.
    """
    for path in periodic(folder)[::-1]:
        try:
            read(path)
        except LaterFormat:
            raise
        except CheckpointError as error:
            warnings.warn(f"{error}; falling back to the checkpoint before it", stacklevel=2)
            continue
        return path
    return None


def find(path: str | Path) -> Path:
    """`path` itself if a file; of a run's folder, its best checkpoint or watched snapshot by score, else its newest.

    Of a folder that holds a generator alone, that.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        # A run may have been scored both ways; the later choice knew of the earlier one. A snapshot may share its file
        # with an older name, so its time is that of its description.
        best, watched = path / "checkpoints" / "best.ckpt", path / "watch" / "best.json"
        chosen = max(
            (file for file in (best, watched) if file.is_file()), key=lambda f: f.stat().st_mtime, default=None
        )
        if chosen == watched:
            chosen = watched.with_suffix(".safetensors")
        found = chosen or newest_sound(path / "checkpoints")
        if found is None and (path / ALONE).is_file():
            found = path / ALONE
        if found is None:
            if (path / "run.json").is_file():
                raise CheckpointError(
                    f"{path} is of a run that has saved no checkpoint yet; wait for its first, or give another folder"
                )
            raise CheckpointError(
                f"{path} holds no checkpoint (looked in its folder checkpoints/) and no {ALONE}; give the folder of a "
                "run that has saved one, or of a shared generator"
            )
        return found
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}; give the folder of a run, a .ckpt or a .safetensors")
    return path


# Building from a stored config ----------------------------------------------------------------------------------


def build(node: Any, trust: Sequence[str] = (), base: type = object) -> Any:
    """Instantiate a node of a stored config, which may name only gan_lab's own classes or what lies under `trust`.

    Args:
        node: a plain mapping with `_target_`.
        trust: dotted prefixes that are allowed as well.
        base: the class that the outermost target must derive from.
    Raises:
        CheckpointError: any target within is neither, or the outermost is no `base`.
    """
    check(node, trust)
    if not issubclass(target_class(node, trust), base):
        raise CheckpointError(f"the stored config names {node['_target_']!r} where a {base.__name__} is expected")
    return instantiate(node, _convert_="all")


def target_class(node: Mapping[str, Any], trust: Sequence[str] = ()) -> type:
    """The class that a node of a stored config names, under the same rule as `build`."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise CheckpointError(f"the stored config has {node!r} where a node with _target_ is expected")
    check(node["_target_"], trust, is_target=True)
    found = _locate(node["_target_"])
    if not isinstance(found, type):
        raise CheckpointError(f"the stored config names {node['_target_']!r}, which is no class")
    return found


def check(node: Any, trust: Sequence[str], is_target: bool = False) -> None:
    """Refuse a part of a stored config that names what it may not, see `build`, or holds an interpolation."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            check(value, trust, is_target=key == "_target_")
    elif isinstance(node, (list, tuple)):
        for value in node:
            check(value, trust)
    elif isinstance(node, str) and "${" in node:
        raise CheckpointError(f"the stored config holds the interpolation {node!r}; a saved one is resolved")
    elif is_target and not any(node == prefix or str(node).startswith(f"{prefix}.") for prefix in trust):
        found = _locate(node) if str(node).startswith("gan_lab.") else None
        if not (isinstance(found, type) and found.__module__.startswith("gan_lab.")):
            raise CheckpointError(
                f"the stored config asks to run {node!r}, which is not a class of gan_lab; if you know it and trust "
                f"this file, say trust=[{str(node).rpartition('.')[0]}]"
            )


def _locate(target: str) -> Any:
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise CheckpointError(f"the stored config names {target!r}, which cannot be imported: {error}") from error


# A generator alone ----------------------------------------------------------------------------------------------


@dataclass
class LoadedGenerator:
    """A generator with all that sampling and scoring need to know of it.

    Attributes:
        network: in eval mode on its device, without gradients.
        inputs: draws its inputs, see `gan_lab.sampling.LatentInputs`.
        config: the resolved config of the run that trained it.
        images_seen: how long it was trained.
        weights: "ema" or "live", whichever these are.
        path: the file it came from.
        name: what its model calls this network.
        direction: in which it translates, where its model does both ways; else None.
        asked: what its samples are asked for with, see `gan_lab.evaluation.generation`; part of the protocol of scores.
        licence: what the maker of the weights that it comes of allows, where those were imported.
    """

    network: nn.Module
    inputs: Any
    config: dict[str, Any]
    images_seen: int
    weights: str
    path: Path
    name: str
    direction: str | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    licence: str | None = None


def load_generator(
    path: str | Path,
    weights: str = "ema",
    *,
    device: str | torch.device = "cpu",
    trust: Sequence[str] = (),
    direction: str | None = None,
) -> LoadedGenerator:
    """Load a generator from a checkpoint, a snapshot (.safetensors) or a run's folder. No data, logger or network.

    Args:
        path: see `find`.
        weights: "ema" (the live ones where the recipe has no average) or "live".
        device: where to put it.
        trust: see `build`.
        direction: of a model that translates either way, such as "BtoA"; None for its first.
    Raises:
        CheckpointError: unreadable or untrusted, a snapshot that lacks the weights asked for, or no such direction.
    """
    if weights not in ("ema", "live"):
        raise CheckpointError(f"weights must be 'ema' or 'live', got {weights!r}")
    path = find(path)
    if path.suffix == ".safetensors":
        state, about = _read_snapshot(path)
        kind = about["weights"]
        if weights == "live" and kind == "ema":
            raise CheckpointError(f"{path} holds the averaged weights alone; take the checkpoint for weights=live")
        config, images_seen, learnt = about["config"], about["images_seen"], about.get("inputs", {})
        licence = about.get("licence") or licence_of(path)
        model = _model_class(path, config, trust)
        if "directions" in about:
            name = _network_of(model, direction)
            state = _under(state, f"{name}.")
        else:
            name = about["network"]
            if direction is not None and _network_of(model, direction) != name:
                raise CheckpointError(f"{path} holds {name} alone, which does not go {direction}; take the checkpoint")
    else:
        checkpoint = read(path)
        config, images_seen = checkpoint["config"], checkpoint["counters"]["images_seen"]
        learnt, licence = checkpoint.get("inputs", {}), checkpoint.get("run", {}).get("licence")
        model = _model_class(path, config, trust)
        name = _network_of(model, direction)
        averaged = f"averages.{name}.module."
        kind = "ema" if weights == "ema" and any(k.startswith(averaged) for k in checkpoint["state_dict"]) else "live"
        state = _under(checkpoint["state_dict"], averaged if kind == "ema" else f"{name}.")
    network = build(config["model"][name], trust, base=nn.Module)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit the network in its config: {error}") from error
    direction = next((way for way, network_name in model.directions.items() if network_name == name), None)
    inputs = model.inputs_from(config["model"], **({} if direction is None else {"direction": direction}))
    inputs.load_state_dict(learnt)
    network = network.to(device).eval().requires_grad_(False)
    return LoadedGenerator(network, inputs, config, images_seen, kind, path, name, direction, licence=licence)


def _network_of(model: Any, direction: str | None) -> str:
    """Name of the network that a model samples by, or that goes in a direction."""
    if direction is None:
        return model.sampled_network
    if direction not in model.directions:
        ways = f"it goes {' and '.join(model.directions)}" if model.directions else "it goes one way; leave it out"
        raise CheckpointError(f"direction={direction} is none of {model.__name__.lower()}: {ways}")
    return model.directions[direction]


def _model_class(path: Path, config: Any, trust: Sequence[str]) -> Any:
    """The model that the stored config of `path` names."""
    if not isinstance(config, Mapping) or not isinstance(config.get("model"), Mapping):
        raise CheckpointError(f"{path} is not of gan_lab, or is damaged: the stored config names no model")
    model = target_class(config["model"], trust)
    if not hasattr(model, "inputs_from"):
        raise CheckpointError(f"the stored config of {path} names {model.__name__} where a model is expected")
    return model


def _read_snapshot(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    beside = path.with_suffix(".json")
    try:
        about = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} needs its description {beside.name} beside it, which gan_lab wrote with it: copy both"
        ) from error
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{beside} is damaged: {error}") from error
    if not isinstance(about, dict) or not {"config", "images_seen", "network", "weights"} <= about.keys():
        raise CheckpointError(f"{beside} is not the description of a snapshot of gan_lab")
    _check_format(path, about)
    return _read_tensors(path), about


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def licence_of(path: str | Path) -> str | None:
    """What the maker of imported weights allows, which goes on with whatever is made of them; None of others.

    Args:
        path: see `find`.
    Raises:
        CheckpointError: it cannot be read.
    """
    path = find(path)
    if path.suffix != ".safetensors":
        return read(path).get("run", {}).get("licence")
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("licence")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


# Starting from other weights ------------------------------------------------------------------------------------


def initialize(module: Any, path: str | Path) -> list[str]:
    """Copy into the networks of `module` what fits of a checkpoint, snapshot or plain safetensors file.

    Averaged weights are taken where there are some; averages start again from what was loaded. A network that says
    which of its parts belong to which resolution (`places`) takes those of equal resolution from one of another size,
    which is known by the config that the file brings along; all else goes by name.

    Returns:
        Lines on what did not match: of other names, new, left over, of another shape; none where all of it did.
    Raises:
        CheckpointError: unreadable, or no weight in it fits.
    """
    path = find(path)
    networks = sorted({name for names in module.groups.values() for name in names})
    if path.suffix == ".safetensors":
        state, config = _read_tensors(path), _config_beside(path)
        prefixed = any(key.split(".")[0] in networks for key in state)
        sources = {n: _under(state, f"{n}.") for n in networks} if prefixed else {module.sampled_network: state}
    else:
        checkpoint = read(path)
        state, config = checkpoint["state_dict"], checkpoint["config"]
        sources = {n: _under(state, f"averages.{n}.module.") or _under(state, f"{n}.") for n in networks}
    report, matched = [], 0
    for name in networks:
        own, source = getattr(module, name), sources.get(name, {})
        if not source:
            report.append(f"{name}: nothing in the file, keeps its own initialization")
            continue
        node = (config.get("model") or {}).get(name)
        theirs, unknown = _places_in_file(own, node, source)
        taken, lines = take(own, source, name, theirs, _classes_in(node))
        report += [f"{name}: {unknown}"] if unknown else []
        report += lines if taken else [f"{name}: nothing of it fits, keeps its own initialization", *lines]
        matched += taken
        if name in module.averages:
            module.averages[name].restart(own)
    if not matched:
        raise CheckpointError(f"nothing in {path} fits the networks {', '.join(networks)}: choose the same network=")
    return report


def _places_in_file(own: Any, node: Any, state: Mapping[str, Tensor]) -> tuple[dict[str, tuple[str, int]] | None, str]:
    """The parts by resolution of the network in a file; None, and why where that matters, if they are not known.

    Args:
        own: the network that they are for.
        node: its stored config, if there is any.
        state: its tensors.
    """
    shape = node.get("sample_shape") if isinstance(node, dict) else None
    here = getattr(own, "sample_shape", None)
    if shape is None or here is None:
        return None, ""
    same_size, known = list(shape) == list(here), hasattr(own, "places")
    if same_size and (not known or state.keys() == own.state_dict().keys()):
        return None, ""
    sizes = "its layers are others" if same_size else f"it is of {_size(shape)} in the file and of {_size(here)} here"
    by_name = "so layers go by their names, which may stand for another resolution"
    if not known:
        return None, f"{sizes}, and {type(own).__name__} does not say which layer is of which resolution, {by_name}"
    try:
        with torch.random.fork_rng(devices=[]):
            other = build(node, base=type(own))
    except (CheckpointError, InstantiationException) as error:
        return None, f"{sizes}, and the network in the file cannot be built ({str(error).splitlines()[0]}), {by_name}"
    return places_of(other), ""


def _classes_in(node: Any) -> int | None:
    """Of a network's stored config: its classes, 0 where labels are not used, None where it has no such setting."""
    if not isinstance(node, dict) or "conditioning" not in node:
        return None
    return 0 if node["conditioning"] == "none" else node.get("num_classes")


def _size(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)


def _config_beside(path: Path) -> Mapping[str, Any]:
    """The config in the description of a snapshot; empty of a plain file of tensors."""
    if not path.with_suffix(".json").is_file():
        return {}
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return {}
    config = about.get("config") if isinstance(about, dict) else None
    return config if isinstance(config, dict) else {}
