"""What is odd about a person's pictures, each kind with its files and with what can be done about it."""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from PIL import Image

from gan_lab.data.sources import listed
from gan_lab.inspection.survey import UPRIGHT, WHITE, Looked, Seen

TINY = 16  # pixels of the shorter side, below which there is nothing to see
JPEGS = {"JPEG", "MPO"}  # the latter is a photograph of several, whose name is that of one
LEAVE = "keep the first of each group and remove the others, or they are learned by heart first"
COMPARE = (
    "one picture at another size or quality, or two that differ in little: look at them side by side on the page, and "
    "keep the first of what is one picture"
)
NOTHING = "nothing needs to be done"
# Why a file cannot be read -> what can be done.
OF_ERRORS = (
    (r"^not an image", "its content is of no format that is read, whatever its name says: save it anew as .png"),
    (r"^a broken link", "mend the link, or remove it"),
    (r"not a regular file", "remove it"),
    (r"[Pp]ermission", "give yourself the right to read it"),
    (r"password|encrypted", "unpack the zip with its password, and give the folder"),
    (r"no known", "convert it to 8 or 16 bits"),
    (r"decompression bomb", "shrink it: pictures of more than 178 million pixels are not opened"),
    (r"", "it is damaged: copy it anew from where it comes, or remove it"),
)
# What was done about a file, as its heading begins -> what can be done.
OF_HEADINGS = (
    (r"converted to", f"{NOTHING}; data.channels=1, 3 or 4 chooses grey, colour, or colour with transparency"),
    (r"\d+ bits in files of", NOTHING),
    (r"nearly black", "see there"),
    (r"of several images in one file", "save other images of the file as files of their own where they are wanted"),
    (r"brought to sRGB", NOTHING),
    (r".*taken as sRGB", "colours may be wrong: save it anew in sRGB"),
    (UPRIGHT, NOTHING),
    (WHITE, "give data.channels=4 to keep transparency"),
    (r"links to folders", NOTHING),
    (r"run folders|samples of gan_lab|Python env", "move elsewhere what you do want to train on"),
    (r"entries of a name", "pack the zip anew, each file once"),
    (r"names that differ", "give one of them another name: where case does not count, one replaces the other"),
    (r"not read", "see there"),
    (r"left out", NOTHING),
    (r"", "look at them"),
)


class Finding(NamedTuple):
    """One kind of oddity.

    Attributes:
        what: a heading, or a whole line.
        names: of its files; none where `what` has them already.
        remedy: what can be done.
        grave: whether training would stop, or be the worse for it.
    """

    what: str
    names: list[str]
    remedy: str
    grave: bool

    @property
    def line(self) -> str:
        """For a terminal."""
        text = f"{self.what}: {listed(self.names)}" if self.names else self.what
        return text if self.remedy in ("see there", NOTHING) else f"{text}. {self.remedy[0].upper()}{self.remedy[1:]}"


def findings_of(looked: Looked, image_size: int, center_crop: bool) -> list[Finding]:
    """All that there is to say, the grave first.

    Args:
        looked: what there is.
        image_size: pixels a side, to which pictures are brought.
        center_crop: what sticks out is cut off, so that the shorter side counts.
    """
    found = []
    for remedy, of in by_remedy(looked.unreadable).items():
        names = [f"{one.name} ({one.decoded.error})" for one in of]
        found.append(Finding("cannot be read", names, f"{remedy}; data.on_bad=skip leaves it out", True))
    same, alike = doubles(looked)
    found += [
        Finding("the same content as another file", same, LEAVE, True),
        Finding("like another file to the eye", alike, COMPARE, True),
    ]
    tiny = [sized(one) for one in looked.readable if one.shorter < TINY]
    small = [sized(one) for one in looked.readable if TINY <= one.shorter < image_size]
    smaller = f"give larger ones, or train at fewer pixels: data.image_size={max(image_size // 2, TINY)}"
    side = "shorter side" if center_crop else "a side"
    found += [
        Finding(f"tiny, of a {side} below {TINY} pixels", tiny, "remove them: they become one blur", True),
        Finding(f"enlarged to {image_size} pixels, and blurred by it", small, smaller, True),
    ]
    found = [one for one in found if one.names]
    if misnamed := [f"{one.name} ({one.decoded.format})" for one in looked.readable if is_misnamed(one)]:
        found.append(Finding("of another format than the name says", misnamed, NOTHING, False))
    for heading, names in ((heading, names) for heading, names in looked.survey.groups() if names):
        found.append(Finding(heading, names, remedy_of(heading), heading.startswith(("nearly black", "with an ICC"))))
    for text in looked.source.findings():
        found.append(Finding(text, [], remedy_of(text), True))
    for text in looked.source.notes():
        found.append(Finding(text, [], remedy_of(text), False))
    return sorted(found, key=lambda one: not one.grave)


def by_remedy(unreadable: list[Seen]) -> dict[str, list[Seen]]:
    """Files that cannot be read, by what can be done about them."""
    found: dict[str, list[Seen]] = {}
    for one in unreadable:
        found.setdefault(remedy_of_error(one.decoded.error), []).append(one)
    return found


def doubles(looked: Looked) -> tuple[list[str], list[str]]:
    """Files that are the same as another to the byte, and to the eye, each with the one that they are like."""
    same, alike = [], []
    for first, *others in looked.groups:
        known = {first.digest: first.name}
        for other in others:
            if other.digest in known:
                same.append(f"{other.name} (as {known[other.digest]})")
            else:
                known[other.digest] = other.name
                alike.append(f"{other.name} ({'x'.join(map(str, other.size))}, as {first.name})")
    return same, alike


def is_misnamed(one: Seen) -> bool:
    """Whether a file's extension is that of another format, which is read all the same."""
    said = Image.registered_extensions().get(PurePosixPath(one.name).suffix.lower())
    return said is not None and one.decoded.format != said and not {one.decoded.format, said} <= JPEGS


def sized(one: Seen) -> str:
    """A file's name with its size."""
    return f"{one.name} ({one.decoded.width}x{one.decoded.height})"


def remedy_of_error(error: str) -> str:
    """What can be done about a file that cannot be read."""
    return next(remedy for pattern, remedy in OF_ERRORS if re.search(pattern, error))


def remedy_of(heading: str) -> str:
    """What can be done about a kind of oddity."""
    return next(remedy for pattern, remedy in OF_HEADINGS if re.match(pattern, heading))
