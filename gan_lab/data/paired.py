"""Pairs of a person's own pictures: a source, perhaps a label map, and its target, as two files or in one."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.data.base import size_to_load, truth, whole
from gan_lab.data.conditions import Condition
from gan_lab.data.copies import digest_of, open_copy
from gan_lab.data.decoded import DecodedImages, report, shown
from gan_lab.data.image_files import Decoded, Shape
from gan_lab.data.images import from_uint8
from gan_lab.data.label_maps import Labels, as_labels, coloured, planes_of
from gan_lab.data.pair_files import (
    RESAMPLINGS,
    Pairs,
    PairShape,
    PairSurvey,
    Root,
    Unfolded,
    agreed,
    decode_pair,
    refusal,
    repeated,
    unfolded,
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
        factor: f, by which targets are higher and wider than their sources.
        label_map: what the ids mean that are stored of sources which are label maps; None of others.
        settings: as `ReferenceSet`; its images are (N, C f f + C', H, W): the target's channels as
            `gan_lab.data.pair_files.folded` makes them, then the source's. So is what is `stored`, and `image_size` is
            of sources; `images` are the targets, `conditions` the sources.
    """

    def __init__(self, *, channels: int, factor: int = 1, label_map: Labels | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.channels, self.factor, self.label_map = channels, factor, label_map
        self._folded = channels * factor**2
        targets, self.conditions = self.images[:, : self._folded], self.images[:, self._folded :]
        self.images = targets if factor == 1 else Unfolded(targets, factor)  # type: ignore[assignment]

    def shown_at(self, image_size: tuple[int, int]) -> "PairedSet":
        """See `ReferenceSet`; of targets."""
        height, width = image_size
        return super().shown_at((height // self.factor, width // self.factor))

    def split_up(self, pixels: Tensor, mirrored: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Targets and what generators are given, uint8, of some (N, C f f + C', H, W) of what is stored.

        Args:
            pixels: on any device.
            mirrored: (N,) bool, see `gan_lab.data.pair_files.unfolded`.
        """
        targets = pixels[:, : self._folded]
        if self.factor > 1:
            targets = unfolded(targets, self.factor, mirrored)
        return targets, self.given(pixels[:, self._folded :])

    def given(self, conditions: Tensor) -> Tensor:
        """What generators are given of (N, C', H, W) stored sources, uint8 on any device: planes of label maps."""
        return conditions if self.label_map is None else planes_of(conditions, self.label_map.planes)

    def _with(self, **changed: Any) -> "PairedSet":
        return super()._with(channels=self.channels, factor=self.factor, label_map=self.label_map, **changed)


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
        conditions = torch.from_numpy(np.ascontiguousarray(self._pairs.conditions[index.numpy()]))
        return {"condition": self._pairs.given(conditions)}

    def render(self, condition: Tensor) -> Tensor:
        """See `Condition`: label maps in colours."""
        return condition if self._pairs.label_map is None else coloured(condition)

    def protocol(self) -> dict[str, Any]:
        """See `Condition`."""
        label_map = self._pairs.label_map
        channels = self._pairs.conditions.shape[1] if label_map is None else label_map.planes
        return {"condition": self.name, "channels": channels, **self._about}


class PairedStream(RealStream):
    """Targets as `real` and their sources as `condition`, mirrored and cut out alike; see `RealStream`."""

    samples: PairedSet

    def _turned(self, pixels: Tensor, first: int, last: int) -> Tensor:
        """See `RealStream`; of targets in blocks, which turn as well, once they are out of them: in `_shown`."""
        return pixels if self.samples.factor > 1 else super()._turned(pixels, first, last)

    def _shown(self, pixels: Tensor, first: int, last: int) -> dict[str, Tensor]:
        mirrored = self._order.at(first, last)[1] if self._order.flip and self.samples.factor > 1 else None
        targets, given = self.samples.split_up(pixels, mirrored)
        if self.samples.factor > 1:
            targets, given = (super(PairedStream, self)._turned(part, first, last) for part in (targets, given))
        return {"real": from_uint8(targets), "condition": from_uint8(given)}


class Paired(DecodedImages):
    """Sources and targets of a person's own, picture by picture.

    They are two files, below `source_root` and `root`, that have the same path but for the extension and the suffixes;
    or, without `source_root`, the halves of each picture below `root`, as pix2pix's authors publish theirs. Folders
    `train`, `val` and `test` are splits where the first is there; otherwise all is `train`, and what lies in
    `test_root` is `test`.

    Both are upright and of one shape, and are brought to one size; what training sees is cut out of `load_size` and
    mirrored, the same of both. Evaluation takes all of each picture, brought to `image_size` itself: whole, or, with
    `center_crop`, without what sticks out.

    With a `factor` above 1 a target has factor x factor pixels for each of its source, in the files as in training: a
    part of a source begins where that of the target does. As a source that was resized by itself would no longer be
    what was made of its target, nothing is resized; larger pictures are cut, and evaluation takes their middle.

    Args:
        root: folder or zip of the targets, or of pictures side by side.
        source_root: of the sources; None for pictures side by side.
        test_root, source_test_root: of those that are not trained on, likewise; None for none but a folder `test`.
        direction: of pictures side by side: AtoB (the left half is the source) or BtoA.
        channels, source_channels: 1 grey, 3 colours, 4 with alpha.
        source_resize: lanczos; or nearest, for pictures of labels, whose colours must not mix.
        load_size: one number or [height, width], of which training sees `image_size`, cut out at random anew at each
            pass (pix2pix: 286 for 256); None for `image_size` itself.
        condition_shape: (C', H', W') of the sources, for networks to interpolate.
        masked: false; there are no masks.
        condition: None; the sources are those of the files.
        factor: by which targets are higher and wider than sources, 1 or more.
        resize: true to bring pictures of other sizes to `load_size` or `image_size` by resizing, false to cut the
            middle of as much out of larger ones; auto resizes where the factor is 1.
        source_suffix, target_suffix: what the names of either end in before the extension, beyond what they share: x4
            of 0001x4.png beside 0001.png. Others are not read.
        source_labels: N of sources that are label maps, of ids 0 to N - 1: they are given as N planes, 1 in that of a
            pixel's id and -1 elsewhere, and resized to the nearest pixel. None for pictures.
        unlabelled_ids: ids of pixels about which nothing is known, which are -1 in all planes.
        on_bad: `stop` at files that have no partner, cannot be read, are of another shape than their partner or have
            other ids, naming them, or `skip` them.
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
        factor: int = 1,  # older stored configs do not state this, and what follows
        resize: bool | Literal["auto"] = "auto",
        source_suffix: str = "",
        target_suffix: str = "",
        source_labels: int | None = None,
        unlabelled_ids: Sequence[int] = (),
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
        side_by_side = source_root is None
        if side_by_side and source_test_root is not None:
            raise ValueError("data.source_test_root is given without data.source_root: give both, or neither")
        if not side_by_side and (test_root is None) != (source_test_root is None):
            raise ValueError("data.test_root and data.source_test_root belong together: give both, or neither")
        if not side_by_side and direction != "AtoB":
            raise ValueError(
                f"data.direction={direction} is of pictures side by side; exchange data.source_root and data.root"
            )
        of_two = {"factor": (factor, 1), "source_suffix": (source_suffix, ""), "target_suffix": (target_suffix, "")}
        of_two["source_labels"] = (source_labels, None)
        for key, (value, usual) in of_two.items():
            if side_by_side and value != usual:
                raise ValueError(f"data.{key}={value} is of sources that are files: give data.source_root=PATH, too")
        self.direction = direction if side_by_side else None
        self.factor = whole("factor", factor, 1)
        self.resized = self.factor == 1 if resize == "auto" else truth("resize", resize, "or auto")
        self.label_map = as_labels(source_labels, unlabelled_ids)
        self._suffixes = (source_suffix, target_suffix)
        self._roots = roots_of(root=root, source_root=source_root)
        self._test_roots = roots_of(test_root=test_root, source_test_root=source_test_root)
        self.load_size = size_to_load(load_size, self.image_size)
        for key, size in (("image_size", self.image_size), ("load_size", self.load_size)):
            if any(side % self.factor for side in size):
                raise ValueError(f"data.factor={factor} does not divide data.{key}={list(size)}; give multiples of it")
        source_size = self.image_size[0] // self.factor, self.image_size[1] // self.factor
        self.condition_shape = (source_channels if self.label_map is None else self.label_map.planes, *source_size)
        if tuple(condition_shape) != self.condition_shape:
            raise ValueError(
                f"data.condition_shape={list(condition_shape)} contradicts data.source_channels={source_channels}, "
                f"data.source_labels={source_labels}, data.image_size={list(self.image_size)} and data.factor={factor}"
            )
        target: Shape = self._shape
        stored_channels = source_channels if self.label_map is None else 1
        self._shape = PairShape(
            target,
            target._replace(channels=stored_channels, image_size=source_size),
            source_resize if self.label_map is None else "nearest",
            self.direction,
            self.factor,
            self.resized,
            self.label_map,
        )
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
                condition_shape=[self.condition_shape[0], *(side // self.factor for side in self.load_size)],
                masked=False,
                factor=factor,
                resize=resize,
                source_suffix=source_suffix,
                target_suffix=target_suffix,
                source_labels=source_labels,
                unlabelled_ids=unlabelled_ids,
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
        pairs = Pairs(sources[0].source(place), targets.source(place), self._suffixes)
        if pairs.unmatched and (self.on_bad == "stop" or not pairs.names()):
            raise ValueError(refusal(pairs, sources[0], targets))
        return pairs

    def stored_shape(self) -> Sequence[int]:
        """See `DecodedImages`: targets and sources."""
        source: Shape = self._shape.source
        return self.channels * self.factor**2 + source.channels, *source.image_size

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
        if self.resized and self.factor > 1:
            log.warning(
                "%s: data.resize=true resizes sources and targets each by itself, where their files are of another "
                "size; a source is then no longer what was made of its target",
                self.name,
            )
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
            factor=self.factor,
            label_map=self.label_map,
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
        height, width = self.image_size
        how = shown(self._shape.target) if self.resized else f"the middle {height}x{width}, not resized"
        about = {"direction": self.direction, "shown": how, "resize": self._shape.source_resize}
        if self.factor > 1:
            about["factor"] = self.factor
        if self.label_map is not None:
            about["unlabelled"] = list(self.label_map.unlabelled)
        return about


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
