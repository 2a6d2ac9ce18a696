"""Holes as files show them, in black and white or by transparency, and what is odd about such files."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from gan_lab.data.image_files import WHITES, Decoded, Shape, Survey, fitted, grey_kind, opened, reason_of
from gan_lab.data.masks import bounds
from gan_lab.data.sources import line

HALF = 128  # the level from which a mask's pixel is white, and alpha's is opaque
WHITE = np.uint8(255)
MUCH_HOLE = 0.7  # mean share of holes above which black and white may well have been exchanged
MUCH_GREY = 0.1  # share of a mask's pixels between black and white above which it may well be a photograph
OTHER = {"white": "black", "black": "white"}


class HoleRule(NamedTuple):
    """Which pixels of a mask are hole, and which masks are taken.

    Attributes:
        hole: white or black.
        least_share, most_share: bounds of the hole's share of the picture as it is shown, both included.
    """

    hole: Literal["white", "black"]
    least_share: float
    most_share: float

    def takes(self, share: float) -> bool:
        """Whether a hole of this share leaves something to fill and something to fill it from, within the bounds."""
        return 0 < share < 1 and self.least_share <= share <= self.most_share


class HoleFacts(NamedTuple):
    """What there is to say about one mask.

    Attributes:
        name: of its file; empty where that is the file which is being read.
        width, height: of the file, upright.
        share: of the picture that is hole, at the size at which it is shown.
        grey: share of the file's pixels that are neither black nor white.
        extreme: the file's level that comes nearest to being hole.
        other_size: what the picture has instead; empty where both are of one size.
    """

    name: str
    width: int
    height: int
    share: float
    grey: float
    extreme: int
    other_size: str = ""


def checked_rule(*, hole: str, least_share: float, most_share: float) -> HoleRule:
    """These settings of `data.condition.masks`.

    Raises:
        ValueError: one is out of range.
    """
    if hole not in OTHER:
        raise ValueError(f"data.condition.masks.hole must be white or black, got {hole!r}")
    return HoleRule(hole, *bounds(least_share, most_share))  # type: ignore[arg-type]


# One file -----------------------------------------------------------------------------------------------------------


def mask_levels(content: bytes) -> np.ndarray:
    """The grey of a mask's file, upright.

    More than 8 bits are brought to 8 by the least of 8, 12 and 16 bits that it does not exceed.

    Args:
        content: of the file.
    Returns:
        (H, W) uint8.
    Raises:
        ValueError: it cannot be read, or something of it is transparent.
    """
    try:
        image, about = opened(content, {})
        kind = grey_kind(about.mode)
        if kind is not None:
            peak = about.peak or 0
            image, _ = opened(content, {kind: min(white for white in WHITES if white >= peak)})
        see_through = image.has_transparency_data and alpha_of(image).min() < WHITE
        levels = np.array(image.convert("L"))
    except Exception as error:
        raise ValueError(reason_of(error)) from error
    if see_through:
        raise ValueError("it has transparency, so what of it is white is not known; save it without")
    return levels


def alpha_of(image: Image.Image) -> np.ndarray:
    """(H, W) uint8: how opaque an image of 8 bits is."""
    return np.asarray(image.convert("RGBA").getchannel("A"))


def hole_of_mask(content: bytes, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """The hole that a mask's file shows in white.

    Args:
        content: of the file.
        size: (height, width) of the picture that it belongs to.
    Returns:
        (H, W) bool, True in the hole, and remarks.
    Raises:
        ValueError: it cannot be read, has transparency, or another size.
    """
    try:
        levels = mask_levels(content)
    except ValueError as error:
        raise ValueError(f"its mask: {error}") from error
    if levels.shape != size:
        raise ValueError(
            f"its mask has {levels.shape[1]}x{levels.shape[0]} pixels and the picture {size[1]}x{size[0]}; "
            "bring the mask to the picture's size"
        )
    return levels >= HALF, grey_edges("the mask", levels, "white")


def hole_of_alpha(alpha: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The hole that a picture has where it is transparent.

    Args:
        alpha: (H, W) uint8; None of a picture without.
    Returns:
        (H, W) bool, True in the hole; (H, W) uint8, the alpha of the picture when the hole is filled; and remarks.
    Raises:
        ValueError: there is no transparency.
    """
    if alpha is None:
        raise ValueError("masks=alpha, and it has no transparency; erase the hole to transparent, or give masks=FOLDER")
    hole = np.less(alpha, HALF)
    return hole, np.where(hole, WHITE, alpha), grey_edges("its transparency", alpha, "known")


def grey_edges(what: str, levels: np.ndarray, above: str) -> list[str]:
    """A remark on levels between black and white."""
    count = int(between(levels).sum())
    return [f"{what} has {count} pixels between black and white; from {HALF} on they are {above}"] if count else []


def between(levels: np.ndarray) -> np.ndarray:
    """Which levels are neither black nor white."""
    return (levels > 0) & (levels < WHITE)


def hole_at(levels: np.ndarray, shape: Shape, rule: HoleRule, name: str = "") -> tuple[np.ndarray, HoleFacts]:
    """The hole that a mask shows, at the size of training: cut or squeezed as pictures are, to the nearest pixel.

    Args:
        levels: (H, W) uint8 of the mask.
        shape: of the pictures.
        rule: which pixels are hole.
        name: of the mask's file; empty for the file that is being read.
    Returns:
        (height, width) bool, and what there is to say.
    """
    white = levels >= HALF
    hole = white if rule.hole == "white" else ~white
    picture = Image.fromarray(np.where(hole, WHITE, np.uint8(0)))
    shown = fitted(picture, shape._replace(channels=1), Image.Resampling.NEAREST)[0] > 0
    extreme = levels.max() if rule.hole == "white" else levels.min()
    height, width = levels.shape
    return shown, HoleFacts(name, width, height, float(shown.mean()), float(between(levels).mean()), int(extreme))


# Many files ---------------------------------------------------------------------------------------------------------


class HoleSurvey(Survey):
    """What is odd about the masks read so far, and about the pictures that they come with, if any.

    Args:
        channels: of the pictures; 1 of masks alone.
        whites: see `Survey`; of the pictures.
        rule: which masks are taken.
        exchanged: what is to be done where hole and known have been exchanged.
    Attributes:
        counts: of each picture that is taken, in order, its masks.
    """

    def __init__(self, channels: int, whites: Mapping[str, int], rule: HoleRule, exchanged: str) -> None:
        super().__init__(channels, whites)
        self.counts: list[int] = []
        self._rule, self._exchanged = rule, exchanged
        self._shares: list[float] = []
        self._left_out: dict[str, list[str]] = {"no hole": [], "nothing but hole": [], self._bounds(): []}
        self._soft: list[str] = []
        self._photographs: list[str] = []
        self._resized: list[str] = []
        self._without: list[str] = []

    def add(self, name: str, decoded: Decoded) -> None:
        """See `Survey`; a file without pixels and without an error is one whose masks are all left out."""
        for facts in decoded.holes:
            self._note(facts.name or name, facts)
        if decoded.pixels is None and not decoded.error:
            self.checksums.append(decoded.checksum)
            if any(facts.name for facts in decoded.holes):
                self._without.append(name)
            return
        super().add(name, decoded)
        if decoded.pixels is not None:
            self.counts.append(sum(self._rule.takes(facts.share) for facts in decoded.holes))

    def findings(self) -> list[str]:
        """See `Survey`."""
        found = []
        if self._shares and np.mean(self._shares) > MUCH_HOLE:
            found.append(
                f"holes are {np.mean(self._shares):.0%} of the pictures on average: if what should be known is hole "
                f"here, {self._exchanged}"
            )
        found += super().findings()
        for reason, names in self._left_out.items():
            found += line(f"masks left out, {reason}", names)
        found += line("pictures left out, none of whose masks is left", self._without)
        found += line("masks of another size than their picture, brought to it by the nearest pixel", self._resized)
        found += line(f"masks with levels between black and white, from {HALF} on they are white", self._soft)
        found += line("more grey than masks have; are these photographs?", self._photographs)
        return found

    def facts(self) -> dict[str, Any]:
        """See `Survey`: shares of all holes, and how many each picture has."""
        taken = [share for share in self._shares if self._rule.takes(share)]
        least, most = (min(taken), max(taken)) if taken else (0.0, 0.0)
        mean = float(np.mean(taken)) if taken else 0.0
        return {"holes": {"least": least, "most": most, "mean": mean}, "counts": self.counts}

    def _note(self, name: str, facts: HoleFacts) -> None:
        self._shares.append(facts.share)
        level = f"{'lightest' if self._rule.hole == 'white' else 'darkest'} level {facts.extreme}"
        if facts.share == 0:
            self._left_out["no hole"].append(f"{name} ({level})")
        elif facts.share == 1:
            self._left_out["nothing but hole"].append(name)
        elif not self._rule.takes(facts.share):
            self._left_out[self._bounds()].append(f"{name} ({facts.share:.2g})")
        if facts.grey > MUCH_GREY:
            self._photographs.append(f"{name} ({facts.grey:.0%})")
        elif facts.grey:
            self._soft.append(name)
        if facts.other_size:
            self._resized.append(f"{name} ({facts.width}x{facts.height}, picture {facts.other_size})")

    def _bounds(self) -> str:
        least, most = self._rule.least_share, self._rule.most_share
        return f"holes outside of data.condition.masks.least_share={least} and most_share={most}"


def shares_in_words(facts: Mapping[str, Any], what: str) -> str:
    """How much of the pictures is hole, for a line at the start.

    Args:
        facts: of `HoleSurvey`.
        what: is hole: white, black, transparent.
    """
    holes = facts["holes"]
    return (
        f"{what} is hole: {holes['least']:.1%} to {holes['most']:.1%} of the pictures, {holes['mean']:.1%} on average"
    )
