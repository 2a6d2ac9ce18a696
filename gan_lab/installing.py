"""How this copy of gan_lab was installed, and so how its extras are."""

import json
import shlex
import tomllib
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "gan-lab-platform"
PACKAGE = Path(__file__).parent


def checkout() -> Path | None:
    """The folder of the checkout that this package runs from; None for an installed one."""
    file = PACKAGE.parent / "pyproject.toml"
    ours = (
        file.is_file()
        and tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}).get("name") == DISTRIBUTION
    )
    return file.parent if ours else None


def install_command(extra: str) -> str:
    """The pip command that adds an extra to this installation: from the checkout, folder or address that it came from.

    Args:
        extra: a key of pyproject.toml's `optional-dependencies`.
    """
    if place := checkout():
        return f"pip install -e {shlex.quote(f'{place}[{extra}]')}"
    return f"pip install {shlex.quote(_requirement(extra))}"


def _requirement(extra: str) -> str:
    """By PEP 610's direct_url.json, which pip writes of what did not come from an index."""
    try:
        notes = [file for file in metadata.files(DISTRIBUTION) or [] if file.name == "direct_url.json"]
    except metadata.PackageNotFoundError:  # the sources alone, on the path
        notes = []
    if not notes:
        return f"{DISTRIBUTION}[{extra}]"
    origin = json.loads(notes[0].read_text(encoding="utf-8"))
    if "dir_info" in origin:
        return f"{unquote(urlsplit(origin['url']).path)}[{extra}]"
    scheme = f"{origin['vcs_info']['vcs']}+" if "vcs_info" in origin else ""
    return f"{DISTRIBUTION}[{extra}] @ {scheme}{origin['url']}"
