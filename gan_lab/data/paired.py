"""Pairs of a person's own pictures: a source and its target, as two files or side by side in one."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.data.base import size_to_load
from gan_lab.data.conditions import Condition
from gan_lab.data.copies import digest_of, open_copy
from gan_lab.data.decoded import DecodedImages, report, shown
from gan_lab.data.image_files import Decoded, Shape
from gan_lab.data.images import from_uint8
from gan_lab.data.pair_files import (
    RESAMPLINGS,
    Pairs,
    PairShape,
    PairSurvey,
    Root,
    agreed,
    decode_pair,
    refusal,
    repeated,
)
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.sourced import Sources
from gan_lab.data.sources import Source, listed
from gan_lab.data.stream import RealStream

log = logging.getLogger(__name__)


class PairedSet(ReferenceSet):
    """Targets in order, each with its source.

    Args:
        channels: C, of targets.
        settings: as `ReferenceSet`; its images are (N, C + C', H, W): the target's channels, then the source's. So is
            what is `stored`; `images` are the targets, `conditions` the sources.
    """

    def __init__(self, *, channels: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.channels = channels
        self.images, self.conditions = self.images[:, :channels], self.images[:, channels:]

    def _with(self, **changed: Any) -> "PairedSet":
        return super()._with(channels=self.channels, **changed)


class FromFiles(Condition):
    """The sources that lie beside the targets of a set.

    Args:
        pairs: the set.
        about: how they were brought to their size, for protocols.
    """

    name = "file"

    def __init__(self, pairs: PairedSet, about: Mapping[str, Any]) -> None:
        self._pairs, self._about = pairs, about

    def make(self, images: Tensor, index: Tensor, passes: Tensor | None = None) -> dict[str, Tensor]:
        """See `Condition`: looked up by `index`, on the CPU."""
        return {"condition": torch.from_numpy(np.ascontiguousarray(self._pairs.conditions[index.numpy()]))}

    def protocol(self) -> dict[str, Any]:
        """See `Condition`."""
        return {"condition": self.name, "channels": self._pairs.conditions.shape[1], **self._about}


class PairedStream(RealStream):
    """Targets as `real` and their sources as `condition`, mirrored and cut out alike; see `RealStream`."""

    samples: PairedSet

    def _shown(self, pixels: Tensor, first: int, last: int) -> dict[str, Tensor]:
        channels = self.samples.channels
        return {"real": from_uint8(pixels[:, :channels]), "condition": from_uint8(pixels[:, channels:])}


class Paired(DecodedImages):
    """Sources and targets of a person's own, picture by picture.

    They are two files, below `source_root` and `root`, that have the same path but for the extension; or, without
    `source_root`, the halves of each picture below `root`, as pix2pix's authors publish theirs. Folders `train`, `val`
    and `test` are splits where the first is there; otherwise all is `train`, and what lies in `test_root` is `test`.

    Both are upright and of one shape, and are brought to one size; what training sees is cut out of `load_size` and
    mirrored, the same of both. Evaluation takes all of each picture, brought to `image_size` itself: whole, or, with
    `center_crop`, without what sticks out.

    Args:
        root: folder or zip of the targets, or of pictures side by side.
        source_root: of the sources; None for pictures side by side.
        test_root, source_test_root: of those that are not trained on, likewise; None for none but a folder `test`.
        direction: of pictures side by side: AtoB (the left half is the source) or BtoA.
        channels, source_channels: 1 grey, 3 colours, 4 with alpha.
        source_resize: lanczos; or nearest, for label maps, whose colours must not mix.
        load_size: one number or [height, width], of which training sees `image_size`, cut out at random anew at each
            pass (pix2pix: 286 for 256); None for `image_size` itself.
        condition_shape: (C', H, W) of the sources, for networks to interpolate.
        masked: false; there are no masks.
        condition: None; the sources are those of the files.
        on_bad: `stop` at files that have no partner, cannot be read or are of another shape than their partner, naming
            them, or `skip` them.
        settings: as `DecodedImages`.
    Raises:
        ValueError: a value is out of range, or values contradict one another.
    """

    stream_type = PairedStream

    def __init__(
        self,
        *,
        root: str,
        source_root: str | None,
        test_root: str | None,
        source_test_root: str | None,
        direction: Literal["AtoB", "BtoA"],
        channels: int,
        source_channels: int,
        source_resize: Literal["lanczos", "nearest"],
        image_size: int | Sequence[int],
        load_size: int | Sequence[int] | None,
        sample_shape: Sequence[int],
        condition_shape: Sequence[int],
        masked: bool,
        condition: Condition | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(image_size=image_size, channels=channels, sample_shape=sample_shape, **settings)
        if condition is not None or masked:
            raise ValueError("data=paired has the sources of its files, without masks: leave condition out")
        if direction not in ("AtoB", "BtoA"):
            raise ValueError(f"data.direction must be AtoB or BtoA, got {direction!r}")
        if source_resize not in RESAMPLINGS:
            raise ValueError(f"data.source_resize must be one of {', '.join(RESAMPLINGS)}, got {source_resize!r}")
        if source_channels not in self.channel_choices:
            raise ValueError(f"data.source_channels must be one of {self.channel_choices}, got {source_channels!r}")
        if self._shape.crop is not None:
            raise ValueError(f"data.crop={self._shape.crop} is not for pairs; data.load_size is what they are cut from")
        self.condition_shape = (source_channels, *self.image_size)
        if tuple(condition_shape) != self.condition_shape:
            raise ValueError(
                f"data.condition_shape={list(condition_shape)} contradicts data.source_channels={source_channels} and "
                f"data.image_size={list(self.image_size)}"
            )
        side_by_side = source_root is None
        if side_by_side and source_test_root is not None:
            raise ValueError("data.source_test_root is given without data.source_root: give both, or neither")
        if not side_by_side and (test_root is None) != (source_test_root is None):
            raise ValueError("data.test_root and data.source_test_root belong together: give both, or neither")
        if not side_by_side and direction != "AtoB":
            raise ValueError(
                f"data.direction={direction} is of pictures side by side; exchange data.source_root and data.root"
            )
        self.direction = direction if side_by_side else None
        self._roots = roots_of(root=root, source_root=source_root)
        self._test_roots = roots_of(test_root=test_root, source_test_root=source_test_root)
        target: Shape = self._shape
        self._shape = PairShape(target, target._replace(channels=source_channels), source_resize, self.direction)
        self.load_size = size_to_load(load_size, self.image_size)
        self._surveyed = False
        if self.load_size != self.image_size:
            self._larger = Paired(
                root=root,
                source_root=source_root,
                test_root=test_root,
                source_test_root=source_test_root,
                direction=direction,
                channels=channels,
                source_channels=source_channels,
                source_resize=source_resize,
                image_size=self.load_size,
                load_size=None,
                sample_shape=[channels, *self.load_size],
                condition_shape=[source_channels, *self.load_size],
                masked=False,
                **(settings | {"quarter_turns": False}),  # squares are cut out of them
            )

    @cached_property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those that the files have; they are looked for when they are first asked for.

        Raises:
            OSError, ValueError: there are no files; the two have other splits; there are two test sets.
        """
        targets, *sources = self._roots
        splits = agreed(sources[0], targets) if sources else list(targets.folders)
        if not self._test_roots:
            return tuple(splits)
        if "test" in splits:
            raise ValueError(f"{targets} has a folder test, and {self._test_roots[0]} is another one: leave one out")
        return (*splits, "test")

    def source(self, split: str) -> Source:
        """See `DecodedImages`.

        Raises:
            ValueError: files have no partner, and `on_bad` is `stop`.
        """
        given = split == "test" and bool(self._test_roots)
        targets, *sources = self._test_roots if given else self._roots
        place = split
        if given and "test" not in targets.folders:
            place = "train"  # what is not divided
        if not sources:
            return targets.source(place)
        pairs = Pairs(sources[0].source(place), targets.source(place))
        if pairs.unmatched and (self.on_bad == "stop" or not pairs.names()):
            raise ValueError(refusal(pairs, sources[0], targets))
        return pairs

    def stored_shape(self) -> Sequence[int]:
        """See `DecodedImages`: targets and sources."""
        return self.channels + self._shape.source.channels, *self.image_size

    def decode(self, content: bytes, whites: Mapping[str, int]) -> Decoded:
        """See `DecodedImages`."""
        return decode_pair(content, self._shape, whites)

    def survey(self, whites: Mapping[str, int]) -> PairSurvey:
        """See `DecodedImages`."""
        return PairSurvey(self._shape, whites)

    def outline(self, split: str) -> list[Any]:
        """See `DecodedImages`."""
        return [split, *super().outline(split)]

    def identity(self) -> str:
        """See `Data`: of sources and targets of all splits."""
        return digest_of([self.outline(split) for split in self.splits])

    def prepare_data(self) -> None:
        """Match the files of all splits, say what there is, and decode what is trained on and not in the cache yet."""
        if not self._surveyed:
            self._survey_files()
            self._surveyed = True
        super().prepare_data()

    def _survey_files(self) -> None:
        """Say how many pairs there are, and what lies beside the splits or in several of them."""
        sources = {split: self.source(split) for split in self.splits}
        how = "two files each"
        if self.direction is not None:
            how = f"side by side, the {'left' if self.direction == 'AtoB' else 'right'} half is the source"
        counts = ", ".join(f"{len(source.names())} in {split}" for split, source in sources.items())
        log.info("%s: pairs, %s: %s", self.name, how, counts)
        for root in (*self._roots, *self._test_roots):
            for finding in root.beside():
                log.warning("%s: %s", root, finding)
        for split in self.splits[1:]:
            warn_of_repetitions(self.name, split, sources["train"], sources[split])

    def read(self, split: str) -> PairedSet:
        """See `ImageData.read`: all of each picture."""
        found = self._decode_once(split)
        images, facts = open_copy(found.copy, self.name, split)
        if collectives.rank() == 0:
            report(found, facts, "pairs")
        return PairedSet(
            name=self.name,
            split=split,
            images=images.images,
            labels=None,
            channels=self.channels,
            digest=images.digest,
        )

    def contents(self) -> str:
        """See `ImageData`."""
        return f"pairs of {self.name}"

    def condition_of(self, samples: ReferenceSet) -> FromFiles:
        """See `Data`."""
        assert isinstance(samples, PairedSet)
        return FromFiles(samples, self._protocol())

    def sources(self, split: str) -> Sources:
        """See `Data`."""
        samples = self.reference(split)
        return Sources(samples, self.condition_of(samples))

    def _protocol(self) -> dict[str, Any]:
        """How pictures were brought to their size, in plain JSON values."""
        return {"direction": self.direction, "shown": shown(self._shape.target), "resize": self._shape.source_resize}


def roots_of(**paths: str | None) -> list[Root]:
    """Those that are given, by the key that gives them."""
    return [Root(f"data.{key}", path) for key, path in paths.items() if path is not None]


def warn_of_repetitions(name: str, split: str, training: Source, other: Source) -> None:
    """Say which pictures of another split are trained on, too."""
    sides = zip(parts(training), parts(other), strict=True)
    again = [file for ours, theirs in sides for file in repeated(ours, theirs)]
    if again:
        log.warning(
            "%s: pictures of %s that are trained on, too, so that scores of them say little: %s; remove them from one",
            name,
            split,
            listed(again),
        )


def parts(source: Source) -> tuple[Source, ...]:
    """The sources and the targets of pairs; all of pictures side by side."""
    return source.sides() if isinstance(source, Pairs) else (source,)
