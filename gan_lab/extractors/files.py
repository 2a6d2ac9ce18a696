"""Weights files of published networks: whether they are there, fetching them, reading them without running code."""

import hashlib
import pickle
import urllib.error
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.extractors.base import DamagedWeights, file_sha256
from gan_lab.installing import install_command

WEIGHT_NAMES = ("model.safetensors", "pytorch_model.bin")


def hub_path(url: str) -> Path:
    """Where torch.hub keeps the file of a URL."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


def missing_file(*, what: str, url: str, path: Path, download: bool) -> str | None:
    """None where the file is there, or which is absent and where it comes from; with `download`, it is fetched first.

    Args:
        what: whose file it is, for the message.
        url: of the published file, whose name ends in the first digits of its sha256.
        path: where it should be.
        download: fetch it to that place when it is absent.
    """
    if path.is_file():
        return None
    if not download:
        return (
            f"{what}'s weights file {path} is absent: fetch {url} to that place, give the file's "
            "place as the extractor's weights=PATH, or let the extractor fetch it with download=true"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = url.rsplit("-", 1)[1].removesuffix(".pth")
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        return (
            f"{what}'s weights file {path} is absent and could not be fetched ({error}): fetch "
            f"{url} on a machine with internet and copy it to that place"
        )
    return None


def read_state(path: Path, what: str) -> dict[str, Tensor]:
    """The tensors of a file that `torch.save` wrote, on the CPU; nothing else in it is unpickled.

    Raises:
        DamagedWeights: it is cut, or holds more than a table of tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise DamagedWeights(f"{path} does not hold {what}: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DamagedWeights(f"{path} does not hold {what}: it is no table of tensors")
    return state


# Folders as the transformers library writes them ------------------------------------------------------------------


def missing_model(*, what: str, repository: str, folder: Path, download: bool) -> str | None:
    """None where a folder holds `config.json` and weights, or what is absent and the remedy; may fetch first.

    Args:
        what: whose folder it is, for the message.
        repository: owner/name on huggingface.co.
        folder: where config.json and model.safetensors (or pytorch_model.bin) should be.
        download: fetch them to that place when they are absent.
    """
    if find_spec("transformers") is None:
        return f"{what} needs the transformers library: {install_command('transformers')}"
    if _complete(folder):
        return None
    wanted = f"config.json and {' or '.join(WEIGHT_NAMES)}"
    if not download:
        return (
            f"{what}'s folder {folder} lacks {wanted}: fetch them from https://huggingface.co/{repository} to that "
            "folder, give its place as the extractor's weights=PATH, or let the extractor fetch them with download=true"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        hf_hub_download(repository, "config.json", local_dir=folder)
        try:
            hf_hub_download(repository, WEIGHT_NAMES[0], local_dir=folder)
        except EntryNotFoundError:
            hf_hub_download(repository, WEIGHT_NAMES[1], local_dir=folder)
    except Exception as error:  # the client lets errors of its HTTP library through
        return (
            f"{what}'s folder {folder} lacks {wanted}, and they could not be fetched ({error}): fetch them from "
            f"https://huggingface.co/{repository} on a machine with internet and copy them to that folder"
        )
    return None


def load_model(class_name: str, folder: Path, what: str) -> tuple[Any, str]:
    """A model of the transformers library from a folder, without leave to fetch, draw or fill in anything.

    Args:
        class_name: in `transformers`.
        folder: with config.json and weights.
        what: whose folder it is, for the message.
    Returns:
        The model in float32 and eval mode, and the sha256 of its two files.
    Raises:
        DamagedWeights: the files are cut, of another network, or lack a weight.
    """
    import transformers
    from transformers.utils import logging

    kind = getattr(transformers, class_name)
    showed = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            model, found = kind.from_pretrained(
                folder,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
                attn_implementation="eager",
            )
    except Exception as error:  # damaged files make the library raise anything at all
        raise DamagedWeights(f"{folder} does not hold {what}: {error}") from error
    finally:
        if showed:
            logging.enable_progress_bar()
    lacking = sorted(found["missing_keys"]) + sorted(str(key) for key in found["mismatched_keys"])
    if lacking:
        raise DamagedWeights(f"{folder} does not hold {what}: no fitting {', '.join(lacking[:3])}")
    weights = next(folder / name for name in WEIGHT_NAMES if (folder / name).is_file())
    digests = file_sha256(folder / "config.json") + file_sha256(weights)
    return model.eval(), hashlib.sha256(digests.encode()).hexdigest()


def _complete(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any((folder / name).is_file() for name in WEIGHT_NAMES)


def state_sha256(network: nn.Module) -> str:
    """Hexadecimal digest of a network's parameters and buffers: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        plain = value.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
