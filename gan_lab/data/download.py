"""Opening a torchvision data set, with messages that name the place and the remedy."""

from pathlib import Path
from typing import Any


def open_set(set_class: Any, *, root: str, download: bool, **split: Any) -> Any:
    """The torchvision data set of `set_class` under `root`.

    Args:
        set_class: `torchvision.datasets.MNIST` and the like.
        root: the folder that holds the set's own folder.
        download: fetch it first where it is absent; torchvision shows the progress.
        split: as the class names it: `train=True`, `split="test"`.
    Raises:
        FileNotFoundError: it is not under `root`, or is damaged there, and `download` is off.
        ConnectionError: it could not be downloaded.
    """
    place = Path(root).expanduser().absolute()
    title = set_class.__name__
    try:
        return set_class(root=place, download=download, **split)
    except Exception as error:
        if download:
            raise ConnectionError(
                f"{title} could not be downloaded to {place}: {error}. Where there is no internet, fetch it elsewhere, "
                f"and give the folder that holds its folder as data.root=PATH"
            ) from error
        raise FileNotFoundError(
            f"{title} is not complete under {place} ({error}). Let it be downloaded with data.download=true, or give "
            f"the folder that holds it as data.root=PATH"
        ) from error
