"""What data sets share: batches of reals for training, reference sets for evaluation, pictures of samples."""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.data.conditions import Condition
from gan_lab.data.images import to_uint8
from gan_lab.data.pictures import enlarged, grid
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.sourced import OtherSources, Sources, Turned
from gan_lab.data.stream import REALS, SOURCES, Purposes, RealStream, Stream, UnpairedStream
from gan_lab.sampling import numpy_generator

log = logging.getLogger(__name__)
Samples = TypeVar("Samples", bound=ReferenceSet)

HELD_OUT = ("test", "val", "held_out")  # splits that are not trained on
SPLIT = re.compile(r"(?P<name>\w+)(\[(?P<first>-?\d*):(?P<last>-?\d*)\])?")


class Data(pl.LightningDataModule, ABC):
    """Reals of one shape, labelled or not, from an endless stream.

    Usable without a Trainer: `prepare_data()`, `setup()`, and `to(device)` where the CPU is not wanted; under a Trainer
    `setup` takes the Trainer's device.

    Args:
        name: of the data set, for folders, protocols and messages.
        sample_shape: [channels, height, width] of images or [dimensions] of points, for networks to interpolate.
        num_classes: number of labels; None counts those of the training split.
        batch_size: samples per step over all ranks; a multiple of the number of ranks.
        micro_batch_size: global too: the batch is cut into parts of this size first, and each of them by rank. None
            cuts it by rank alone.
        seed: of order and flips, or of the points, non-negative.
    Attributes:
        condition_shape: (C', H', W') of the sources that go with samples; None where there are none.
        source_data: another set that sources come of, which then belong to no targets; None for none.
        picture_samples: how many samples a picture of them shows; None for as many as a grid has places.
    Raises:
        ValueError: a value is out of range, or values contradict one another.
    """

    name: str
    picture_samples: ClassVar[int | None] = None

    def __init__(
        self,
        *,
        name: str,
        sample_shape: Sequence[int],
        num_classes: int | None,
        batch_size: int,
        micro_batch_size: int | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.sample_shape = tuple(sample_shape)
        self.num_classes = None if num_classes is None else whole("num_classes", num_classes, 1)
        self.batch_size = whole("batch_size", batch_size, 1)
        self.micro_batch_size = None if micro_batch_size is None else whole("micro_batch_size", micro_batch_size, 1)
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(f"data.micro_batch_size={micro_batch_size} does not divide data.batch_size={batch_size}")
        self.seed = whole("seed", seed, 0)
        self.class_names: tuple[str, ...] | None = None
        self.condition_shape: tuple[int, ...] | None = None
        self.source_data: ImageData | None = None
        self._device = torch.device("cpu")
        self._stream: Stream | None = None

    @abstractmethod
    def open_stream(self) -> Stream:
        """The reals that are trained on, on `device`, from their first."""

    @property
    @abstractmethod
    def training_labels(self) -> np.ndarray | None:
        """(N,) int64 labels, as frequent as those that are trained on; None where there are none."""

    @abstractmethod
    def render(self, samples: Tensor) -> Tensor:
        """(N, *sample_shape) samples as (N, C, H, W) uint8 images, for metrics."""

    @abstractmethod
    def picture(self, samples: Tensor, columns: int) -> np.ndarray:
        """One picture of (N, *sample_shape) samples on the CPU, for people: (H', W', 3 or 4) or (H', W') uint8.

        Args:
            columns: of a grid, where it is one.
        """

    @abstractmethod
    def reference(self, split: str) -> ReferenceSet:
        """What evaluation compares images with."""

    def sources(self, split: str) -> Any:
        """What a generator of pictures is given for each sample of a split; None where there is nothing."""
        return None

    def turned(self) -> Any:
        """What scores of a translation back are held against: its sources as the targets.

        Raises:
            ValueError: there is no way back.
        """
        raise ValueError(f"{self.name} has no sources, so that nothing is translated back: leave direction out")

    def condition_of(self, samples: ReferenceSet) -> Condition | None:
        """What gives the sources of some of this data's samples, by their numbers; None where there are none."""
        return None

    def identity(self) -> str | None:
        """A digest of what is trained on that is the same wherever it lies, without reading all of it.

        None where the name of the set and its options say all.
        """
        return None

    def check_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Refuse metrics, by name, that cannot score samples like these, before training.

        Raises:
            ValueError: there is one.
        """

    @property
    def device(self) -> torch.device:
        """Where batches are made."""
        return self._device

    def to(self, device: torch.device | str) -> "Data":
        """Make batches on `device` from now on."""
        self._device = torch.device(device)
        if self._stream is not None:
            self._stream.to(self._device)
        return self

    def setup(self, stage: str | None = None) -> None:
        """Read what is trained on and start the stream, once."""
        if self.trainer is not None:
            self.to(self.trainer.strategy.root_device)
        if self._stream is not None:
            return
        for key in ("batch_size", "micro_batch_size"):
            value, world = getattr(self, key), collectives.world()
            if value is not None and value % world:
                raise ValueError(
                    f"data.{key}={value} leaves a remainder over {world} processes: "
                    f"it counts all of them, give a multiple of {world}"
                )
        self._stream = self.open_stream()

    def teardown(self, stage: str | None = None) -> None:
        """At the end of training: its workers end; the stream stays where it is."""
        if self._stream is not None:
            self._stream.close()

    @property
    def stream(self) -> Stream:
        """The reals, after `setup`."""
        if self._stream is None:
            raise RuntimeError(f"the stream of {self.name} exists after setup()")
        return self._stream

    def take(self, count: int) -> dict[str, Tensor]:
        """This rank's part of the next `count` reals, piece by piece of `micro_batch_size`; see `Stream.take`."""
        micro = self.micro_batch_size or count
        if count <= micro:
            return self.stream.take(count)
        parts = [self.stream.take(min(micro, count - first)) for first in range(0, count, micro)]
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    def train_dataloader(self) -> "Batches":
        """Endless batches of `batch_size` global samples, each taken when it is asked for."""
        return Batches(self)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches are made where they are needed; a tensor that is there already is not copied."""
        return {key: value.to(device, non_blocking=True) for key, value in batch.items()}

    def state_dict(self) -> dict[str, Any]:
        """The stream's."""
        return self.stream.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The stream's; after `setup`."""
        self.stream.load_state_dict(state_dict)


class ImageData(Data):
    """Labelled or unlabelled images of one size. A subclass reads its splits in `read`.

    Args:
        name, sample_shape, num_classes, batch_size, micro_batch_size, seed: see `Data`.
        image_size: [height, width] in pixels, or one number for a square.
        channels: 1 grey, 3 colours, 4 with alpha.
        flip: mirror half of the training samples left to right.
        resident: keep the training images on the device as uint8; `auto`: when they take at most `resident_limit_mb`.
        resident_limit_mb: in MiB.
        workers: processes that read ahead when the images are not resident.
        limit: train on the first so many images alone; None for all. Evaluation sees all of them.
        subset: train on so many alone, drawn at random, as many of each class as there are; None for all. A larger one
            holds a smaller one. Evaluation sees all of them. Not together with `limit`.
        subset_seed: of that draw, 0 or more; the seed of a run has no part in it.
        condition: what a translator is given, made of each image: see `gan_lab.data.conditions`; None for none.
        condition_shape: its shape, for networks to interpolate.
        masked: whether it comes with a mask, for networks likewise.
        paired: false for sources that are made of other images than the reals beside them, to train without pairs.
        source_data: another set whose images are the sources, which belong to none of these; not with `condition`.
        quarter_turns: turn training samples, which are square, by 0, 90, 180 or 270 degrees, each as often.
    Raises:
        ValueError: a value is out of range, or values contradict one another.
    """

    splits: ClassVar[tuple[str, ...]] = ("train",)
    stream_type: ClassVar[type[RealStream]] = RealStream
    channel_choices: ClassVar[tuple[int, ...]] = (1, 3, 4)

    def __init__(
        self,
        *,
        name: str,
        image_size: int | Sequence[int],
        channels: int,
        sample_shape: Sequence[int],
        num_classes: int | None,
        batch_size: int,
        micro_batch_size: int | None,
        flip: bool,
        resident: bool | Literal["auto"],
        resident_limit_mb: float,
        workers: int,
        limit: int | None,
        seed: int,
        subset: int | None = None,  # older stored configs, and a person's own data, do not state it
        subset_seed: int = 0,
        condition: Condition | None = None,
        condition_shape: Sequence[int] | None = None,
        masked: bool = False,
        paired: bool = True,
        source_data: "ImageData | None" = None,
        quarter_turns: bool = False,
    ) -> None:
        super().__init__(
            name=name,
            sample_shape=sample_shape,
            num_classes=num_classes,
            batch_size=batch_size,
            micro_batch_size=micro_batch_size,
            seed=seed,
        )
        self.image_size = height_and_width(image_size)
        if channels not in self.channel_choices:
            raise ValueError(f"data.channels of {name} must be one of {self.channel_choices}, got {channels!r}")
        self.channels = channels
        if self.sample_shape != (channels, *self.image_size):
            raise ValueError(
                f"data.sample_shape={list(sample_shape)} contradicts data.channels={channels} and "
                f"data.image_size={list(self.image_size)}"
            )
        self.flip = truth("flip", flip)
        self.quarter_turns = truth("quarter_turns", quarter_turns)
        if quarter_turns and self.image_size[0] != self.image_size[1]:
            raise ValueError(
                f"data.quarter_turns=true turns squares, and data.image_size is {list(self.image_size)}; give one "
                "number, or data.quarter_turns=false"
            )
        self.resident = resident if resident == "auto" else truth("resident", resident, "or auto")
        if not resident_limit_mb >= 0:
            raise ValueError(f"data.resident_limit_mb must be 0 or more, got {resident_limit_mb!r}")
        self.resident_limit_mb = resident_limit_mb
        self.workers = whole("workers", workers, 0)
        self.limit = None if limit is None else whole("limit", limit, 1)
        self.subset = None if subset is None else whole("subset", subset, 1)
        self.subset_seed = whole("subset_seed", subset_seed, 0)
        if self.limit is not None and self.subset is not None:
            raise ValueError(
                f"data.limit={limit} and data.subset={subset} both choose what is trained on: leave one out"
            )
        self.condition, self.source_data = condition, source_data
        self.paired = truth("paired", paired) and source_data is None
        if condition is not None and source_data is not None:
            raise ValueError("data.condition and data.source_data both make sources: leave one out")
        if condition is not None:
            self.condition_shape = condition.shape(self.sample_shape)
        elif source_data is not None:
            self.condition_shape = source_data.sample_shape
        stated = None if condition_shape is None else tuple(condition_shape)
        if (stated, masked) != (self.condition_shape, condition is not None and condition.masked):
            maker = "data.condition" if source_data is None else "data.source_data"
            raise ValueError(
                f"data.condition_shape={condition_shape} and data.masked={masked} contradict {maker}, which "
                f"gives {self.condition_shape or 'nothing'}; choose it by condition=NAME"
            )
        self._kept: dict[str, ReferenceSet] = {}

    @abstractmethod
    def read(self, split: str) -> ReferenceSet:
        """One of `splits`, whole, with images of `sample_shape`; may set `class_names`."""

    def open_stream(self) -> RealStream | UnpairedStream:
        """See `Data`."""
        whole_split = self.training_set()
        self._count_classes(whole_split)
        samples = self.trained_on()
        if collectives.rank() == 0:
            of_all = "" if len(samples) == len(whole_split) else f" of {len(whole_split)}"
            log.info("training on %s%s %s", len(samples), of_all, self.contents())
        if self.source_data is not None:
            return UnpairedStream(self._stream_of(samples), self.source_data.open_sources(self))
        condition = self.condition_of(samples)
        if condition is not None and not self.paired:
            return UnpairedStream(
                self._stream_of(samples), self._stream_of(samples, condition=condition, purposes=SOURCES)
            )
        return self._stream_of(samples, condition=condition)

    def contents(self) -> str:
        """What is trained on, for a line at the start."""
        classes = "without labels" if self.num_classes is None else f"in {self.num_classes} classes"
        return f"images of {self.name}, {classes}"

    def training_set(self) -> ReferenceSet:
        """All that is trained on, but for `limit` and `subset`."""
        return self.reference("train")

    def trained_on(self) -> ReferenceSet:
        """What is left of `training_set` after `limit` and `subset`."""
        samples = self.training_set()
        if self.subset is not None:
            return random_subset(samples, self.subset, self.subset_seed)
        return samples if self.limit is None else samples.part(None, self.limit)

    def open_sources(self, targets: "ImageData") -> RealStream:
        """The images of this set as sources for those of another, with the seed and the batches of that one."""
        samples = self.training_set()
        if collectives.rank() == 0:
            log.info("their sources are %s images of %s", len(samples), self.name)
        self.to(targets.device)
        self.seed, self.batch_size, self.micro_batch_size = targets.seed, targets.batch_size, targets.micro_batch_size
        return self._stream_of(samples, purposes=SOURCES)

    def _stream_of(
        self, samples: ReferenceSet, *, condition: Condition | None = None, purposes: Purposes = REALS
    ) -> RealStream:
        resident = samples.stored.nbytes <= self.resident_limit_mb * 2**20 if self.resident == "auto" else self.resident
        return self.stream_type(
            samples,
            seed=self.seed,
            flip=self.flip,
            resident=resident,
            workers=self.workers,
            usual_take=self.micro_batch_size or self.batch_size,
            device=self._device,
            condition=condition,
            purposes=purposes,
            quarter_turns=self.quarter_turns,
        )

    def sources(self, split: str) -> Sources | OtherSources | None:
        """See `Data`.

        Those of another set are of its split of that name, else of its test images, else of all.
        """
        if self.source_data is not None:
            return self.source_data.as_sources(self.source_data.split_like(split))
        if self.condition is None:
            return None
        samples = self.reference(split)
        condition = self.condition_of(samples)
        assert condition is not None
        condition.content()  # files that it reads are complained of here, before anything is trained
        return Sources(samples, condition)

    def as_sources(self, split: str) -> OtherSources:
        """The images of a split as sources that belong to no targets."""
        return OtherSources(self.reference(split))

    def split_like(self, split: str) -> str:
        """The split of that name, or one of images that are not trained on where it is not `train`."""
        name = split.partition("[")[0]
        if name in self.splits:
            return split
        return next((held_out for held_out in HELD_OUT if held_out in self.splits), "train")

    def turned(self) -> Turned:
        """See `Data`."""
        return super().turned() if self.condition_shape is None else Turned(self)

    def condition_of(self, samples: ReferenceSet) -> Condition | None:
        """See `Data`."""
        held_out = samples.split.partition("[")[0] in HELD_OUT
        return self.condition.held_out() if self.condition is not None and held_out else self.condition

    def identity(self) -> str | None:
        """See `Data`: of files that the condition reads."""
        return None if self.condition is None else self.condition.identity()

    @property
    def stream(self) -> RealStream | UnpairedStream:
        """See `Data`."""
        return super().stream  # type: ignore[return-value]

    @property
    def training_labels(self) -> np.ndarray | None:
        """See `Data`."""
        return self.stream.samples.labels

    def render(self, samples: Tensor) -> Tensor:
        """(N, C, H, W) samples in [-1, 1] as uint8 images of the same shape."""
        return to_uint8(samples)

    def picture(self, samples: Tensor, columns: int) -> np.ndarray:
        """See `Data`: a grid."""
        return enlarged(grid(self.render(samples), columns))

    def reference(self, split: str) -> ReferenceSet:
        """Images in their stored order, without flips.

        Args:
            split: one of `splits`, or a range of one: `train[:50000]`, `train[-10000:]`.
        Raises:
            ValueError: there is no such split, or the range is empty.
        """
        match = SPLIT.fullmatch(split)
        if match is None or match["name"] not in self.splits:
            raise ValueError(
                f"{self.name} has no split {split!r}; there are: {', '.join(self.splits)}, "
                f"and ranges such as train[:1000]"
            )
        samples = self._whole(match["name"])
        if match["first"] is None:
            return samples
        first, last = (int(bound) if bound else None for bound in (match["first"], match["last"]))
        part = samples.part(first, last)
        if len(part) == 0:
            raise ValueError(f"split {split!r} of {self.name} is empty: {match['name']} holds {len(samples)} images")
        return part

    def _whole(self, split: str) -> ReferenceSet:
        if split not in self._kept:
            samples = self.read(split)
            if samples.shape != self.sample_shape:
                raise ValueError(
                    f"{self.name} holds samples of shape {samples.shape}, not data.sample_shape={self.sample_shape}"
                )
            self._kept[split] = samples
        return self._kept[split]

    def _count_classes(self, samples: ReferenceSet) -> None:
        if samples.labels is None:
            found = None
        else:
            found = len(self.class_names) if self.class_names else int(samples.labels.max()) + 1
        if self.num_classes is not None and found != self.num_classes:
            raise ValueError(f"data.num_classes={self.num_classes}, but {self.name} has {found or 'no'} classes")
        self.num_classes = found


def random_subset(samples: Samples, count: int, seed: int) -> Samples:
    """`count` of the samples in their order, as many of each class as there are: a function of the seed.

    A class of fewer gives all it has, and the others the rest; a remainder goes to classes at random.

    Raises:
        ValueError: there are not so many.
    """
    if count > len(samples):
        raise ValueError(f"data.subset={count}, but {samples.name} has {len(samples)} images to train on")
    order = numpy_generator(seed, "subset").permutation(len(samples))
    if samples.labels is not None:
        labels = samples.labels[order]
        turn = np.empty(len(samples), dtype=np.int64)  # the first of each class, then the second of each, ...
        for label in np.unique(labels):
            places = np.flatnonzero(labels == label)
            turn[places] = np.arange(len(places))
        order = order[np.argsort(turn, kind="stable")]
    return samples.chosen(np.sort(order[:count]), f"{samples.split}, {count} by seed {seed}")


class Batches:
    """An endless iterable of a data module's batches.

    It states a length, because Lightning fetches one batch ahead of an iterable without any: the stream's position
    would then be saved one batch too far.
    """

    def __init__(self, data: Data) -> None:
        self._data = data

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while True:
            yield self._data.take(self._data.batch_size)

    def __len__(self) -> int:
        return 2**40


def height_and_width(image_size: int | Sequence[int], key: str = "image_size") -> tuple[int, int]:
    """(height, width) of `data.image_size`, or another key, which may be one number."""
    sizes = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sizes) != 2:
        raise ValueError(f"data.{key} must be one number or [height, width], got {image_size!r}")
    return whole(key, sizes[0], 1), whole(key, sizes[1], 1)


def size_to_load(load_size: int | Sequence[int] | None, image_size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of `data.load_size`, of which `image_size` is cut out; None for as much.

    Raises:
        ValueError: it is less.
    """
    found = image_size if load_size is None else height_and_width(load_size, "load_size")
    if any(load < shown for load, shown in zip(found, image_size, strict=True)):
        raise ValueError(
            f"data.load_size={load_size} is less than data.image_size={list(image_size)}, which is cut out of it; give "
            "more, or null"
        )
    return found


def whole(key: str, value: Any, least: int) -> int:
    """`value`, refused unless it is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"data.{key} must be a whole number of at least {least}, got {value!r}")
    return value


def truth(key: str, value: Any, or_else: str = "") -> bool:
    """`value`, refused unless it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"data.{key} must be true or false {or_else}".rstrip() + f", got {value!r}")
    return value
