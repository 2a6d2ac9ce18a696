"""Holes from a folder or zip of masks, any of them for any picture."""

import logging
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.data.archives import open_source
from gan_lab.data.copies import digest_of, open_copy
from gan_lab.data.decoded import NEVER_TRAINED_ON, DecodedImages, report
from gan_lab.data.holes import OTHER, HoleRule, HoleSurvey, checked_rule, hole_at, mask_levels, shares_in_words
from gan_lab.data.image_files import Decoded, Shape
from gan_lab.data.masks import Holes, sample_generator
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.sources import Source
from gan_lab.sampling import check_seed

log = logging.getLogger(__name__)


class MaskShape(NamedTuple):
    """How masks are wanted.

    Attributes:
        shape: of one channel.
        rule: which of their pixels are hole, and which masks are taken.
    """

    shape: Shape
    rule: HoleRule


class MaskImages(DecodedImages):
    """The masks of a folder or zip at one size, decoded once as 1 in the hole and 0 elsewhere.

    Args:
        key: as a person gives the root.
        root: the folder or zip.
        rule: which masks are taken.
        image_size: (height, width).
        settings: `center_crop`, `on_bad` and `cache_dir`, as `DecodedImages`.
    """

    channel_choices: ClassVar[tuple[int, ...]] = (1,)
    on_bad_key: ClassVar[str] = "data.condition.masks.on_bad"

    def __init__(self, *, key: str, root: str, rule: HoleRule, image_size: tuple[int, int], **settings: Any) -> None:
        super().__init__(
            name="masks",
            image_size=image_size,
            channels=1,
            sample_shape=(1, *image_size),
            **NEVER_TRAINED_ON,
            **settings,
        )
        self._key, self._root, self._rule = key, Path(root).expanduser().absolute(), rule
        self._shape = MaskShape(self._shape, rule)

    def source(self, split: str) -> Source:
        """See `DecodedImages`."""
        return open_source(self._root, self._key)

    def decode(self, content: bytes, whites: Mapping[str, int]) -> Decoded:
        """See `DecodedImages`; no pixels and no error of a mask that is left out."""
        try:
            hole, facts = hole_at(mask_levels(content), self._shape.shape, self._rule)
        except ValueError as error:
            return Decoded(None, error=str(error))
        pixels = hole[None].astype(np.uint8) if self._rule.takes(facts.share) else None
        return Decoded(pixels, "L", facts.width, facts.height, holes=(facts,))

    def survey(self, whites: Mapping[str, int]) -> HoleSurvey:
        """See `DecodedImages`."""
        return HoleSurvey(1, whites, self._rule, f"set data.condition.masks.hole={OTHER[self._rule.hole]}")

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`: of `train`, all there are."""
        found = self._decode_once(split)
        masks, facts = open_copy(found.copy, self.name, split)
        if collectives.rank() == 0:
            report(found, facts, "masks")
            log.info("%s: %s", found.place, shares_in_words(facts, self._rule.hole))
        return masks


class MaskFiles(Holes):
    """Masks of a person's own, any of them for any picture, each as likely: a function of (seed, index, pass).

    Args:
        root: a folder or zip of masks in black and white, of any size.
        test_root: another one, whose masks the pictures get that are not trained on; None for the same.
        hole: what is hole in them, white or black; grey counts as the nearer of the two.
        flip: mirror half of the holes of training left to right, and half upside down.
        center_crop: cut a mask to the pictures' shape; otherwise squeeze it. Either way to the nearest pixel.
        least_share, most_share: bounds of the hole's share of the picture, both included; masks outside of them, and
            those without any hole or known pixel, are named and left out.
        on_bad: `stop` at unreadable files, listing them, or `skip` them.
        cache_dir: see `DecodedImages`.
        seed: 0 or more. Not the run's, or each run would be judged by holes of its own.
    Raises:
        ValueError: a value is out of range.
    """

    def __init__(
        self,
        *,
        root: str,
        test_root: str | None,
        hole: Literal["white", "black"],
        flip: bool,
        center_crop: bool,
        least_share: float,
        most_share: float,
        on_bad: Literal["stop", "skip"],
        cache_dir: str,
        seed: int,
    ) -> None:
        rule = checked_rule(hole=hole, least_share=least_share, most_share=most_share)
        self.flip = flip
        self.seed = check_seed("data.condition.masks.seed", seed)
        self._files: dict[str, Any] = {
            "key": "data.condition.masks.root",
            "root": root,
            "rule": rule,
            "center_crop": center_crop,
            "on_bad": on_bad,
            "cache_dir": cache_dir,
        }
        self._images: MaskImages | None = None
        self._test: MaskFiles | None = None
        if test_root is not None:
            self._test = copy(self)
            self._test._files = self._files | {"key": "data.condition.masks.test_root", "root": test_root}

    def check(self, height: int, width: int) -> None:
        """See `Holes`."""
        self._images = MaskImages(image_size=(height, width), **self._files)
        if self._test is not None:
            self._test.check(height, width)

    def at(self, index: int, pass_number: int | None, height: int, width: int) -> Tensor:
        """See `Holes`; those of evaluation are not mirrored."""
        masks = self._masks()
        random = sample_generator(self.seed, "mask files", index, pass_number)
        hole = masks.images[random.integers(len(masks)), 0] > 0
        if self.flip and pass_number is not None:
            upside_down, left_to_right = random.integers(2, size=2, dtype=np.bool_).tolist()
            hole = hole[:: -1 if upside_down else 1, :: -1 if left_to_right else 1]
        return torch.from_numpy(np.ascontiguousarray(hole))[None]

    def protocol(self) -> dict[str, Any]:
        """See `Holes`: polarity and bounds show in the content."""
        return {"files": len(self._masks()), "content": self.content(), "seed": self.seed}

    def held_out(self) -> "MaskFiles":
        """See `gan_lab.data.conditions.Condition`."""
        return self if self._test is None else self._test

    def identity(self) -> str:
        """See `gan_lab.data.conditions.Condition`: of both roots, where there are two."""
        return digest_of([self._found().identity(), None if self._test is None else self._test.identity()])

    def content(self) -> str:
        """See `gan_lab.data.conditions.Condition`."""
        return self._masks().digest

    def _masks(self) -> ReferenceSet:
        return self._found().reference("train")

    def _found(self) -> MaskImages:
        if self._images is None:
            raise RuntimeError("masks are read at a size of pictures: check() first")
        return self._images
