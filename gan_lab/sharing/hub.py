"""A shared folder on the Hub, https://huggingface.co, under the name of a person or an organization."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?/[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?", re.ASCII)


def hub_for(repository: str) -> Any:
    """Who talks to the Hub, before anything is made for it.

    Args:
        repository: user/name.
    Raises:
        ImportError: the extra is not installed.
        ValueError: no such name, or nobody is logged in.
    """
    if not NAME.fullmatch(repository):
        raise ValueError(f"hub must be user/name, of letters, digits, '-', '_' and '.', got {repository!r}")
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError("hub=... needs: pip install 'gan-lab-platform[hub]'") from error
    if huggingface_hub.get_token() is None:
        raise ValueError(
            f"hub={repository} needs a login with a token that may write: hf auth login, or HF_TOKEN in the environment"
        )
    return huggingface_hub.HfApi()


def push(api: Any, folder: Path, names: Iterable[str], repository: str, *, private: bool) -> str:
    """Upload these files of a folder in one commit, into a repository that is made where it is missing.

    Args:
        api: a `huggingface_hub.HfApi`.
        private: of a repository that is made here; one that is there stays as it is.
    Returns:
        where it is now.
    Raises:
        OSError: it could not be done; the folder is whole.
    """
    try:
        api.create_repo(repository, repo_type="model", private=private, exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=repository,
            repo_type="model",
            allow_patterns=sorted(names),
            commit_message="Generator of gan_lab",
        )
    except Exception as error:  # of the network, the library or the Hub
        raise OSError(
            f"hub={repository}: {str(error).strip() or type(error).__name__}. {folder} is whole; once that is mended, "
            "the same command with overwrite=true uploads it"
        ) from error
    return f"https://huggingface.co/{repository}"
