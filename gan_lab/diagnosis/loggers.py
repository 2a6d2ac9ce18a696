"""Weights & Biases."""

import netrc
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from gan_lab.diagnosis.findings import Finding, State
from gan_lab.diagnosis.settings import Settings


def wandb(settings: Settings) -> Iterator[Finding]:
    """Weights & Biases: installed, its mode, and whether a key is at hand (which is not shown)."""
    try:
        version = metadata.version("wandb")
    except metadata.PackageNotFoundError:
        yield Finding("wandb", "note", "not installed", "where it is wanted, pip install wandb")
        return
    mode, used = settings.config.wandb.mode, "wandb" in settings.config.logger
    key = _wandb_key()
    text = f"{version}, {'on' if used else 'off (logger=wandb)'}, mode {mode}, {key or 'no key'}"
    if mode == "online" and key is None:
        state: State = "broken" if used else "note"
        yield Finding("wandb", state, text, "wandb login, or WANDB_API_KEY in the environment, or wandb.mode=offline")
    else:
        yield Finding("wandb", "good", text)


def _wandb_key() -> str | None:
    """Where a key for W&B's server is; None where there is none."""
    if os.environ.get("WANDB_API_KEY"):
        return "key in WANDB_API_KEY"
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").partition("://")[2].split("/")[0]
    own = os.environ.get("NETRC")
    for file in [Path(own)] if own else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            if file.is_file() and netrc.netrc(file).authenticators(host):
                return f"key in {file}"
        except netrc.NetrcParseError:
            return None
    return None
