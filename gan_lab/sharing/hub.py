"""A shared folder on the Hub, https://huggingface.co, under the name of a person or an organization."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from gan_lab.installing import install_command

NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?/[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?", re.ASCII)


class PublicRepositoryError(Exception):
    """A repository that everybody can see, where a private one is asked for."""


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
        raise ImportError(f"hub=... needs: {install_command('hub')}") from error
    if huggingface_hub.get_token() is None:
        raise ValueError(
            f"hub={repository} needs a login with a token that may write: hf auth login, or HF_TOKEN in the environment"
        )
    return huggingface_hub.HfApi()


def push(
    api: Any, folder: Path, names: Collection[str], repository: str, *, private: bool, earlier: Iterable[str] = ()
) -> str:
    """Upload these files of a folder in one commit, into a repository that is made where it is missing.

    Files of an earlier upload that are not among them go; the repository's history keeps them.

    Args:
        api: a `huggingface_hub.HfApi`.
        earlier: names of files that an earlier upload may have left there.
        private: nobody else may see it; a repository that is there and public is then refused.
    Returns:
        where it is now.
    Raises:
        OSError: it could not be done; the folder is whole.
        ValueError: the repository is public, and `private` asks for another.
    """
    try:
        api.create_repo(repository, repo_type="model", private=private, exist_ok=True)
        is_public = api.repo_info(repository, repo_type="model").private is False
        if private and is_public:
            raise PublicRepositoryError
        api.upload_folder(
            folder_path=folder,
            repo_id=repository,
            repo_type="model",
            allow_patterns=sorted(names),
            delete_patterns=sorted(set(earlier).difference(names)),
            commit_message="Generator of gan_lab",
        )
    except PublicRepositoryError:
        raise ValueError(
            f"hub={repository} is there and public: hub_private=false uploads into it, another name makes a private one"
        ) from None
    except Exception as error:  # of the network, the library or the Hub
        raise OSError(
            f"hub={repository}: {str(error).strip() or type(error).__name__}. {folder} is whole; once that is mended, "
            "the same command with overwrite=true uploads it"
        ) from error
    return f"https://huggingface.co/{repository}"
