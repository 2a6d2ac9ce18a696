"""Pictures of a person's own that have holes of their own: by masks of their names, or where they are transparent."""

import logging
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.data.archives import open_source
from gan_lab.data.conditions import Masked
from gan_lab.data.copies import open_copy
from gan_lab.data.folder import Folder
from gan_lab.data.holes import OTHER, HoleSurvey, checked_rule, shares_in_words
from gan_lab.data.image_files import Decoded
from gan_lab.data.images import as_inputs, from_uint8
from gan_lab.data.masks import Holes, sample_generator
from gan_lab.data.own_masks import MaskedShape, PicturesWithMasks, decode_masked
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.sources import Source
from gan_lab.data.stream import RealStream
from gan_lab.sampling import check_seed, send

log = logging.getLogger(__name__)

ALPHA = "alpha"  # in place of a root


class MaskedSet(ReferenceSet):
    """Images in order, each with holes of its own.

    Args:
        channels: C, of the images.
        counts: (N,) int64, how many holes each has, 1 to 8.
        settings: as `ReferenceSet`; its images are (N, C + 1, H, W): the image, and its holes, one in each bit from the
            lowest on. So is what is `stored`; `images` are the images, `planes` the holes, (N, 1, H, W).
    """

    def __init__(self, *, channels: int, counts: np.ndarray, **settings: Any) -> None:
        super().__init__(**settings)
        self.channels, self.counts = channels, counts
        self.images, self.planes = self.images[:, :channels], self.images[:, channels:]

    def chosen(self, which: slice | np.ndarray, split: str) -> "MaskedSet":
        """See `ReferenceSet`."""
        labels = None if self.labels is None else self.labels[which]
        return self._with(
            split=split,
            images=self.stored[which],
            labels=labels,
            image_size=self.image_size,
            digest=None,
            counts=self.counts[which],
        )

    def _with(self, **changed: Any) -> "MaskedSet":
        return super()._with(channels=self.channels, **({"counts": self.counts} | changed))


class OwnMasks(Holes):
    """The holes that come with the pictures of `data=masked`; of several, one is drawn by (seed, index, pass).

    Args:
        root: a folder or zip of masks, called as their pictures or, of `x`, `x_mask`, `x_mask001` and so on; that of
            the pictures where masks lie beside them; or `alpha`, where pictures are transparent in the hole and keep
            their colours there.
        test_root: of masks for pictures that are not trained on, likewise; None for none.
        hole: what is hole in masks, white or black; grey counts as the nearer of the two.
        least_share, most_share: bounds of the hole's share of the picture, both included; masks outside of them, and
            those without any hole or known pixel, are named and left out, and pictures of which none is left.
        seed: 0 or more. Not the run's, or each run would be judged by holes of its own.
    Raises:
        ValueError: a value is out of range, or values contradict one another.
    """

    def __init__(
        self,
        *,
        root: str,
        test_root: str | None,
        hole: Literal["white", "black"],
        least_share: float,
        most_share: float,
        seed: int,
    ) -> None:
        self.by_alpha = root == ALPHA
        if self.by_alpha and hole != "white":
            raise ValueError(
                f"data.condition.masks.hole={hole} is of masks, and with data.condition.masks.root=alpha what is "
                "transparent is hole; leave it out"
            )
        if self.by_alpha and test_root is not None:
            raise ValueError(
                f"data.condition.masks.test_root={test_root} is of masks, and with data.condition.masks.root=alpha "
                "there are none; leave it out"
            )
        self.roots = {"train": root, "test": test_root}
        self.rule = checked_rule(hole=hole, least_share=least_share, most_share=most_share)
        self.seed = check_seed("data.condition.masks.seed", seed)
        self._samples: MaskedSet | None = None

    def of(self, samples: MaskedSet) -> "OwnMasks":
        """Those of a set, by number."""
        found = copy(self)
        found._samples = samples
        return found

    def check(self, height: int, width: int) -> None:
        """See `Holes`: the files are looked at when they are decoded."""

    def which(self, index: int, pass_number: int | None) -> int:
        """The number of the hole that a picture has in a pass, as of `at`."""
        count = int(self._set.counts[index])
        return int(sample_generator(self.seed, "own masks", index, pass_number).integers(count))

    def at(self, index: int, pass_number: int | None, height: int, width: int) -> Tensor:
        """See `Holes`; as the picture is stored, not mirrored."""
        plane = torch.from_numpy(np.ascontiguousarray(self._set.planes[index]))
        return lifted(plane[None], torch.tensor([self.which(index, pass_number)]))[0]

    def protocol(self) -> dict[str, Any]:
        """See `Holes`: the holes are part of the content of the set."""
        return {"files": ALPHA if self.by_alpha else "by name", "seed": self.seed}

    @property
    def _set(self) -> MaskedSet:
        if self._samples is None:
            raise ValueError("these holes come with pictures of their own: choose data=masked, without a condition")
        return self._samples


class MaskedStream(RealStream):
    """Images as `real`, and as `condition` what is left of them beside a `mask` that is mirrored with them."""

    samples: MaskedSet
    _condition: Masked

    def _shown(self, pixels: Tensor, first: int, last: int) -> dict[str, Tensor]:
        masks = self._condition.masks
        assert isinstance(masks, OwnMasks)
        size, channels = len(self.samples), self.samples.channels
        numbers = self._numbers.at(first, last)[0].tolist()
        passes = [place // size if self._condition.vary else None for place in range(first, last)]
        bits = torch.tensor([masks.which(*place) for place in zip(numbers, passes, strict=True)])
        images, planes = pixels[:, :channels], pixels[:, channels:]
        mask = lifted(planes, send(bits, self.device))
        return {"real": from_uint8(images)} | as_inputs(self._condition.covered(images, mask))


class MaskedFolder(Folder):
    """Pictures of a folder or zip with holes of their own, as `Folder` else.

    Picture and holes are decoded together, and mirrored together in training.

    Args:
        condition: its `masks` say where the holes are.
        settings: as `Folder`.
    Raises:
        ValueError: a value is out of range, or values contradict one another.
    """

    stream_type = MaskedStream
    channel_choices: ClassVar[tuple[int, ...]] = (1, 3)

    def __init__(self, *, condition: Masked, **settings: Any) -> None:
        masks = getattr(condition, "masks", None)
        if not isinstance(masks, OwnMasks):
            raise ValueError("data=masked has the holes of its files: leave condition out, or choose data=folder")
        super().__init__(condition=condition, **settings)
        self._own, self._masked = masks, condition
        if not self.paired:
            raise ValueError("data.paired=false is of sources made of other images, and holes belong to their pictures")
        if self._shape.crop is not None:
            raise ValueError(f"data.crop={self._shape.crop} is not for pictures with masks; leave it out")
        if not masks.by_alpha and (self.test_root is None) != (masks.roots["test"] is None):
            raise ValueError("data.test_root and data.condition.masks.test_root belong together: give both, or neither")
        self._shape = MaskedShape(self._shape, masks.rule, masks.by_alpha)

    def source(self, split: str) -> Source:
        """See `DecodedImages`.

        Raises:
            ValueError: files have no partner, and `on_bad` is `stop`.
        """
        pictures = super().source(split)
        if self._own.by_alpha:
            return pictures
        key = "root" if split == "train" else "test_root"
        root = Path(str(self._own.roots[split])).expanduser().absolute()
        beside = root.resolve() == Path(pictures.place).resolve()
        masks = pictures if beside else open_source(root, f"data.condition.masks.{key}")
        found = PicturesWithMasks(pictures, masks)
        if found.unmatched and (self.on_bad == "stop" or not found.names()):
            raise ValueError(
                f"data.{key}={pictures.place} and data.condition.masks.{key}={root} belong together file by file: a "
                f"mask is called as its picture, or x_mask001 for x; {'; '.join(found.unmatched)}. Rename or add what "
                "is missing, or go on without them: data.on_bad=skip. Masks that may go with any picture are "
                "condition=masked_files of data=folder"
            )
        return found

    def stored_shape(self) -> Sequence[int]:
        """See `DecodedImages`: images, and a byte of holes."""
        return self.channels + 1, *self.image_size

    def decode(self, content: bytes, whites: Mapping[str, int]) -> Decoded:
        """See `DecodedImages`."""
        return decode_masked(content, self._shape, whites)

    def survey(self, whites: Mapping[str, int]) -> HoleSurvey:
        """See `DecodedImages`."""
        exchanged = f"set data.condition.masks.hole={OTHER[self._own.rule.hole]}"
        if self._own.by_alpha:
            exchanged = "save the pictures transparent where they are to be filled"
        return HoleSurvey(self.channels, whites, self._own.rule, exchanged)

    def read(self, split: str) -> MaskedSet:
        """See `ImageData.read`."""
        images = super().read(split)
        found = self._decode_once(split)
        _, facts = open_copy(found.copy, self.name, split)
        if collectives.rank() == 0:
            what = "transparent" if self._own.by_alpha else self._own.rule.hole
            log.info("%s: %s", found.place, shares_in_words(facts, what))
        return MaskedSet(
            name=self.name,
            split=split,
            images=images.images,
            labels=images.labels,
            digest=images.digest,
            class_names=images.class_names,
            channels=self.channels,
            counts=np.array(facts["counts"], dtype=np.int64),
        )

    def condition_of(self, samples: ReferenceSet) -> Masked:
        """See `Data`."""
        assert isinstance(samples, MaskedSet)
        return self._masked.with_masks(self._own.of(samples))


def lifted(planes: Tensor, bits: Tensor) -> Tensor:
    """(B, 1, H, W) bool: of (B, 1, H, W) uint8 planes of holes the one in the bit of each of the (B,) numbers."""
    return (planes >> bits.to(torch.uint8).view(-1, 1, 1, 1)).bitwise_and(1).to(torch.bool)
