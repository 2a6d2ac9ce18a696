"""Whose file of torch.save it is, by its keys."""

from pathlib import Path
from typing import Any

from gan_lab.importing import rosinality
from gan_lab.importing.imported import Imported
from gan_lab.importing.pickles import RefusedFile, shown
from gan_lab.importing.saved import read_saved

ROSINALITY = "rosinality's StyleGAN2"


def networks(path: Path, beside: Path | None, noise: str) -> Imported:
    """The networks of a file of torch.save.

    Args:
        beside: the discriminator's file, of libraries that have one for each.
        noise: see `gan_lab.importing.stylegan2_ada.generator`.
    Raises:
        RefusedFile: it cannot be read, or is of none or several of the libraries.
        ValueError: a setting that such files have no use for.
    """
    content = read_saved(path)
    family = family_of(content, path)
    if beside is not None and family == ROSINALITY:
        raise ValueError(f"{path} is of {ROSINALITY}, which has both networks in one file; leave discriminator= out")
    return rosinality.networks(content, path, noise)


def family_of(content: dict[Any, Any], path: Path) -> str:
    """The library that a file is of.

    Raises:
        RefusedFile: of none, or of several.
    """
    found = [name for name, known in {ROSINALITY: rosinality.is_of(content)}.items() if known]
    if len(found) == 1:
        return found[0]
    held = ", ".join(shown(key) for key in list(content)[:8]) or "nothing"
    if found:
        raise RefusedFile(f"{path} was refused: it has the keys of {' and of '.join(found)}: {held}")
    if "GAN" in content:
        raise RefusedFile(
            f"{path} was refused: it holds GAN, as the files of lucidrains' repositories do, whose networks gan_lab "
            "has not"
        )
    raise RefusedFile(
        f"{path} was refused: it holds {held}; read are files of rosinality's StyleGAN2 (g_ema, d), of StudioGAN "
        "(state_dict) and of Mimicry (model_state_dict)"
    )
