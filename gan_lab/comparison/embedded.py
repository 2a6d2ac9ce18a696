"""Pictures of a run as data within an HTML page."""

import base64
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_lab.runs.records import WATCH

if TYPE_CHECKING:
    pass

MOMENTS = 6  # pictures of samples, from the first to the last
NEIGHBOURS = 4  # pictures of nearest neighbours, the newest
LONGEST_SIDE = 1200  # pixels of a picture
SMALL = 400  # pixels up to which a picture is enlarged with sharp edges


def pictures_over_time(folder: Path, problems: list[str]) -> tuple[list[dict[str, Any]], int]:
    """Grids of samples from the first to the last, and how many are left out between them."""
    found = sorted((folder / "pictures").glob("[0-9]*.png"))
    chosen = sorted({round(i * (len(found) - 1) / (MOMENTS - 1)) for i in range(MOMENTS)}) if found else []
    made = [embedded(found[i], f"{kimg_of(found[i])} kimg", f"samples at {kimg_of(found[i])} kimg") for i in chosen]
    return sound_pictures(made, problems), len(found) - len(chosen)


def neighbours(folder: Path, problems: list[str]) -> list[dict[str, Any]]:
    """The newest pictures of samples beside the training images nearest to them, of the run or of its watcher."""
    pictures = {
        path.name: path
        for place in (folder / WATCH / "pictures", folder / "pictures")
        for path in place.glob("neighbours_*.png")
    }
    found = sorted(pictures.values(), key=lambda path: (images_of(path), path.name))
    made = []
    for path in found[-NEIGHBOURS:][::-1]:
        space = re.sub(r"_?\d*$", "", path.stem.removeprefix("neighbours_"))
        caption = " in the space of ".join(["Samples and the reals nearest to them", *([space] if space else [])])
        made.append(embedded(path, f"{caption}, at {kimg_of(path)} kimg ({path.name})", caption))
    return sound_pictures(made, problems)


def images_of(path: Path) -> int:
    """Images seen from a picture's name; -1 if it does not say."""
    digits = re.search(r"(\d+)$", path.stem)
    return int(digits[1]) if digits else -1


def kimg_of(path: Path) -> str:
    """Thousands of images from a picture's name."""
    images = images_of(path)
    return "?" if images < 0 else f"{images / 1000:g}"


def sound_pictures(made: Iterable[dict[str, Any] | str], problems: list[str]) -> list[dict[str, Any]]:
    """Without those that could not be read, which are named in `problems`."""
    pictures = []
    for picture in made:
        if isinstance(picture, str):
            problems.append(picture)
        else:
            pictures.append(picture)
    return pictures


def embedded(path: Path, caption: str, alt: str) -> dict[str, Any] | str:
    """A picture as data within the page, shrunk if it is large; a line that says so where it is damaged."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            picture = opened.copy()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"{path} is damaged ({str(error).partition(chr(10))[0]})"
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    width, height = picture.size
    small = max(width, height) <= SMALL
    return {"source": source, "width": width, "height": height, "caption": caption, "alt": alt, "small": small}
