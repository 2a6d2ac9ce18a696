"""Where a run comes from: the code, the versions and the machine that made it."""

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import torch

from gan_lab import __version__


def origin(accelerator: str = "auto") -> dict[str, Any]:
    """Plain values: `commit` of the source (None without git, "+" at its end where files differ), versions, machine.

    Args:
        accelerator: what the run trains on, in Lightning's words.
    """
    return {
        "commit": commit_of(Path(__file__).parent.parent),
        "versions": {
            "gan_lab": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
        },
        "machine": machine(accelerator),
    }


def commit_of(folder: Path) -> str | None:
    """Short commit of the repository that `folder` belongs to; "+" at its end where tracked files in it are changed."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, encoding="utf-8", errors="replace", timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", "__init__.py") is None:  # installed in an environment within another one
        return None
    commit, changes = git("rev-parse", "--short", "HEAD"), git("status", "--porcelain", "--untracked-files=no", ".")
    return None if commit is None else commit + ("+" if changes else "")


def machine(accelerator: str = "auto") -> str:
    """The device that a run would use, for a person: "NVIDIA H200", or "2 cores of Intel(R) Xeon(R) Processor"."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {processor()}"


def processor() -> str:
    """Its name, as far as the system tells."""
    try:
        found = re.search(
            r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"), re.MULTILINE
        )
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
