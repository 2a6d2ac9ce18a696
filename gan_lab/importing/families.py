"""Whose file of torch.save it is, by its keys."""

from pathlib import Path
from typing import Any

from gan_lab.importing import mimicry, rosinality, studiogan
from gan_lab.importing.imported import Imported
from gan_lab.importing.pickles import RefusedFile, shown
from gan_lab.importing.saved import read_saved

FAMILIES: dict[str, Any] = {"rosinality's StyleGAN2": rosinality, "StudioGAN": studiogan, "Mimicry": mimicry}


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
    if FAMILIES[family] is rosinality:
        if beside is not None:
            raise ValueError(f"{path} is of {family}, which has both networks in one file; leave discriminator= out")
        return rosinality.networks(content, path, noise)
    if noise != "random":
        raise ValueError(f"noise=constant is of StyleGAN2, and {path} is of {family} without noise; leave it out")
    further = None if beside is None else read_saved(beside)
    if beside is not None and further is not None and (other := family_of(further, beside)) != family:
        raise RefusedFile(f"{beside} was refused: it is of {other}, and {path} is of {family}")
    return FAMILIES[family].networks(content, path, further, beside)


def family_of(content: dict[Any, Any], path: Path) -> str:
    """The library that a file is of.

    Raises:
        RefusedFile: of none, or of several.
    """
    found = [name for name, family in FAMILIES.items() if family.is_of(content)]
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
