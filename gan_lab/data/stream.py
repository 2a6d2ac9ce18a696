"""Real samples as one endless shuffled sequence, addressed by a single saved counter."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gan_lab import collectives
from gan_lab.data.conditions import Condition
from gan_lab.data.images import as_inputs, from_uint8
from gan_lab.data.reference import ReferenceSet
from gan_lab.sampling import numpy_generator, send

MESSAGE_BYTES, MESSAGE_TAKES = 2**20, 64  # at most what a worker sends at once; a message costs a millisecond


class Purposes(NamedTuple):
    """Of the draws of a sequence: which sample stands where, which are mirrored, where they are cut out, and turned."""

    order: str
    flips: str
    crops: str
    turns: str


REALS = Purposes("reals", "flips", "crops", "quarter turns")
SOURCES = Purposes("sources", "source flips", "source crops", "source quarter turns")


class Order:
    """Which sample stands at each place of the sequence and whether it is mirrored: a function of the seed.

    Pass e holds the places e * size .. (e + 1) * size - 1: every sample once, permuted by (seed, "reals", e). Its
    mirror flags come from (seed, "flips", e). Batch size, ranks and workers do not enter.

    Args:
        size: number of samples.
        seed: non-negative.
        flip: mirror each place with probability 1/2.
        device: where indices and flags are wanted.
        purposes: of the draws; others than `REALS` for an order that has nothing to do with that of the reals.
    """

    def __init__(self, *, size: int, seed: int, flip: bool, device: torch.device, purposes: Purposes = REALS) -> None:
        self.flip, self._purposes = flip, purposes
        self._size, self._seed, self._device = size, seed, device
        self._number = -1
        self._indices = self._mirrored = torch.empty(0)
        self._latest: tuple[tuple[int, int], tuple[Tensor, Tensor]] | None = None

    def at(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """(n,) int64 sample indices and (n,) bool mirror flags of the places `first` .. `last` - 1."""
        if self._latest is None or self._latest[0] != (first, last):  # several ask for those of a batch
            self._latest = (first, last), self._at(first, last)
        return self._latest[1]

    def _at(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        indices, mirrored = [], []
        while first < last:
            number, start = divmod(first, self._size)
            stop = min(self._size, start + last - first)
            self._turn_to(number)
            indices.append(self._indices[start:stop])
            mirrored.append(self._mirrored[start:stop])
            first += stop - start
        if len(indices) == 1:
            return indices[0], mirrored[0]
        return torch.cat(indices), torch.cat(mirrored)

    def _turn_to(self, number: int) -> None:
        if number == self._number:
            return
        indices = numpy_generator(self._seed, self._purposes.order, number).permutation(self._size)
        if self.flip:
            mirrored = numpy_generator(self._seed, self._purposes.flips, number).integers(
                2, size=self._size, dtype=np.bool_
            )
        else:
            mirrored = np.zeros(self._size, dtype=np.bool_)
        self._indices = send(torch.from_numpy(indices), self._device)
        self._mirrored = send(torch.from_numpy(mirrored), self._device)
        self._number = number


class DrawnPerPlace(ABC):
    """Numbers for each place of a sequence: a function of the seed, by (seed, purpose, pass).

    Args:
        size: number of samples.
        seed: non-negative.
        purpose: of the draw; see `Purposes`.
    """

    def __init__(self, *, size: int, seed: int, purpose: str) -> None:
        self._size, self._seed, self._purpose = size, seed, purpose
        self._number, self._drawn = -1, np.empty(0)

    def at(self, first: int, last: int) -> np.ndarray:
        """(last - first, ...) numbers of the places `first` .. `last` - 1."""
        parts = []
        while first < last:
            number, start = divmod(first, self._size)
            stop = min(self._size, start + last - first)
            if number != self._number:
                self._drawn = self._of_pass(numpy_generator(self._seed, self._purpose, number))
                self._number = number
            parts.append(self._drawn[start:stop])
            first += stop - start
        return np.concatenate(parts)

    @abstractmethod
    def _of_pass(self, random: np.random.Generator) -> np.ndarray:
        """(size, ...) numbers of all places of a pass."""


class Crops(DrawnPerPlace):
    """Where each place is cut out: (n, 2) int64 upper row and left column.

    Args:
        spare: (rows, columns) by which images exceed what is cut out.
        size, seed, purpose: see `DrawnPerPlace`.
    """

    def __init__(self, *, size: int, seed: int, spare: tuple[int, int], purpose: str = REALS.crops) -> None:
        super().__init__(size=size, seed=seed, purpose=purpose)
        self._spare = spare

    def _of_pass(self, random: np.random.Generator) -> np.ndarray:
        return random.integers(0, np.add(self._spare, 1), size=(self._size, 2))


class QuarterTurns(DrawnPerPlace):
    """By how many right angles each place is turned: (n,) int64 of 0 to 3."""

    def _of_pass(self, random: np.random.Generator) -> np.ndarray:
        return random.integers(0, 4, size=self._size)


class Stream(ABC):
    """Batches of reals for this rank, from an endless sequence without epoch boundary or dropped tail.

    A place of the sequence holds the same sample for ever: batch size, ranks and workers do not enter.

    Args:
        seed: of the sequence, non-negative.
        device: where batches are wanted.
    """

    def __init__(self, *, seed: int, device: torch.device) -> None:
        self.seed = seed
        self._position = 0
        self.to(device)

    @property
    def position(self) -> int:
        """Samples consumed so far, over all ranks."""
        return self._position

    def to(self, device: torch.device) -> "Stream":
        """Move to where batches are wanted; the sequence goes on as before."""
        self.device = device
        return self

    def close(self) -> None:  # noqa: B027  (most have nothing to end)
        """End what reads ahead; a later `take` begins it anew."""

    def take(self, count: int) -> dict[str, Tensor]:
        """This rank's contiguous slice of the next `count` samples of the sequence.

        Args:
            count: global number of samples, a multiple of the number of ranks.
        Returns:
            On the stream's device: `real` (count / world, *sample_shape) float32; `labels` int64, where there are any;
            `index` int64, of each sample.
        Raises:
            ValueError: `count` is not positive or leaves a remainder over the ranks.
        """
        world = collectives.world()
        if count <= 0 or count % world:
            raise ValueError(f"cannot take {count} samples on {world} processes: give a positive multiple of {world}")
        first = self._position + collectives.rank() * (count // world)
        batch = self._at(first, first + count // world)
        self._position += count
        return batch

    @abstractmethod
    def _at(self, first: int, last: int) -> dict[str, Tensor]:
        """The batch of the places `first` .. `last` - 1."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """The counter, and what it counts in."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` stood: the next batch is the one that it would have given.

        Raises:
            ValueError: the state belongs to other data or to another seed.
        """

    def _go_on(self, state: dict[str, Any]) -> None:
        """Take the position of `state`, which is refused where it was counted with another seed."""
        if state["seed"] != self.seed:
            raise ValueError(
                f"the checkpoint's samples were shuffled with seed {state['seed']}, this run has seed {self.seed}: "
                f"give data.seed={state['seed']}"
            )
        self._position = state["position"]


class RealStream(Stream):
    """Images of a set, shuffled anew at each pass; `index` is a sample's place in the set.

    Where what is stored of the set is larger than what is shown, that is cut out, elsewhere at each pass; then it is
    turned.

    Resident: the uint8 images live on the device, a batch is one gather there. Otherwise they stay where they are,
    often memory-mapped, and `workers` processes read ahead; reading ahead does not move `position`.

    Args:
        samples: the images, at least one.
        seed: of the order, the flips, the crops and the turns.
        flip: mirror half of the samples left to right.
        resident: keep the images on the device.
        workers: processes that read ahead when not resident; 0 reads in this one.
        usual_take: global number of samples that is taken as a rule; what the workers foresee.
        device: where batches are wanted.
        condition: what a translator is given, made of each image as it is trained on; None for none.
        purposes: of the draws; see `Order`.
        quarter_turns: turn each sample, a square, by 0, 90, 180 or 270 degrees.
    """

    def __init__(
        self,
        samples: ReferenceSet,
        *,
        seed: int,
        flip: bool,
        resident: bool,
        workers: int,
        usual_take: int,
        device: torch.device,
        condition: Condition | None = None,
        purposes: Purposes = REALS,
        quarter_turns: bool = False,
    ) -> None:
        if len(samples) == 0:
            raise ValueError(f"{samples.name}: split {samples.split!r} holds no samples")
        self.samples, self.resident = samples, resident
        self._flip, self._workers, self._usual_take = flip, workers, usual_take
        self._condition, self._purposes = condition, purposes
        self._content = None if condition is None else condition.content()
        self._shown_size = tuple(samples.image_size or samples.stored.shape[2:])
        self._crops = self._new_crops(seed)
        self._turns = None
        if quarter_turns:
            self._turns = QuarterTurns(size=len(samples), seed=seed, purpose=purposes.turns)
        super().__init__(seed=seed, device=device)

    def to(self, device: torch.device) -> "RealStream":
        """See `Stream`."""
        super().to(device)
        self._order = self._new_order(device)
        self._numbers = self._new_order(torch.device("cpu"))  # what is drawn for a sample goes by its number
        labels = self.samples.labels
        self._labels = None if labels is None else torch.from_numpy(labels).to(device)
        if self.resident:
            self._hold(device)
        else:
            reader = self._new_reader()
            pin = device.type == "cuda"
            self._ahead = ReadAhead(reader, workers=self._workers, take=self._usual_take, pin=pin)
            self._ahead.seek(self._position)
        return self

    def close(self) -> None:
        """See `Stream`."""
        if not self.resident:
            self._ahead.close()

    def _new_crops(self, seed: int) -> Crops | None:
        """Where samples are cut out of what is read of them; None where that is all shown."""
        (stored_height, stored_width), (height, width) = self.samples.stored.shape[2:], self._shown_size
        spare = stored_height - height, stored_width - width
        if not any(spare):
            return None
        return Crops(size=len(self.samples), seed=seed, spare=spare, purpose=self._purposes.crops)

    def _hold(self, device: torch.device) -> None:
        """Keep what is stored on the device."""
        self._images = torch.from_numpy(self.samples.stored).to(device)

    def _new_reader(self) -> "Reader":
        """What reads ahead."""
        return Reader(self.samples.stored, self._new_order(torch.device("cpu")))

    def _at(self, first: int, last: int) -> dict[str, Tensor]:
        pixels = self._held(first, last) if self.resident else send(self._ahead.read(first, last), self.device)
        if self._crops is not None:
            pixels = cut_out(pixels, self._crops.at(first, last), self._shown_size)
        index = self._order.at(first, last)[0]
        batch = self._shown(self._turned(pixels, first, last), first, last) | {"index": index}
        if self._labels is not None:
            batch["labels"] = self._labels.index_select(0, index)
        return batch

    def _held(self, first: int, last: int) -> Tensor:
        """As `Reader.read`, of what is on the device."""
        index, mirrored = self._order.at(first, last)
        pixels = self._images.index_select(0, index)
        return mirror(pixels, mirrored) if self._order.flip else pixels

    def _turned(self, pixels: Tensor, first: int, last: int) -> Tensor:
        """Those of the places `first` .. `last` - 1, turned where they are to be."""
        return pixels if self._turns is None else turn(pixels, self._turns.at(first, last))

    def _shown(self, pixels: Tensor, first: int, last: int) -> dict[str, Tensor]:
        """Reals and what a translator is given for them, of the pixels of the places `first` .. `last` - 1."""
        shown = {"real": from_uint8(pixels)}
        if self._condition is not None:
            passes = torch.arange(first, last) // len(self.samples)
            made = self._condition.make(pixels, self._numbers.at(first, last)[0], passes)
            shown |= as_inputs({name: send(value, self.device) for name, value in made.items()})
        return shown

    def state_dict(self) -> dict[str, Any]:
        """See `Stream`; where the condition reads files, with their digest."""
        state = {
            "position": self._position,
            "seed": self.seed,
            "size": len(self.samples),
            "digest": self.samples.digest,
        }
        return state if self._content is None else state | {"condition": self._content}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Stream`."""
        if state.get("condition") != self._content:
            raise ValueError(
                "the checkpoint was trained with other masks: data.condition.masks.root, or how they are read, has "
                "changed since. Restore them, or start a new run"
            )
        if (state["size"], state["digest"]) != (len(self.samples), self.samples.digest):
            raise ValueError(
                f"the checkpoint was trained on other data: {state['size']} samples with digest "
                f"{state['digest'][:12]}, while {self.samples.name} now has {len(self.samples)} with digest "
                f"{self.samples.digest[:12]}. Restore the data and its options, or start a new run"
            )
        self._go_on(state)
        if not self.resident:
            self._ahead.seek(self._position)

    def _new_order(self, device: torch.device) -> Order:
        size = len(self.samples)
        return Order(size=size, seed=self.seed, flip=self._flip, device=device, purposes=self._purposes)


class UnpairedStream(Stream):
    """Reals, and beside them the sources of other images: two endless orders, at one place of both.

    Each set is gone through in passes of its own, so that their sizes need not agree. (CycleGAN's authors draw one of
    the two with replacement.)

    Args:
        reals: the targets.
        sources: of the same seed and another purpose; its conditions are the sources where it has some, else its
            images are.
    """

    def __init__(self, reals: RealStream, sources: RealStream) -> None:
        self.reals, self.sources = reals, sources
        super().__init__(seed=reals.seed, device=reals.device)

    @property
    def samples(self) -> ReferenceSet:
        """The set of the reals."""
        return self.reals.samples

    @property
    def resident(self) -> bool:
        """Whether the reals are on the device."""
        return self.reals.resident

    def to(self, device: torch.device) -> "UnpairedStream":
        """See `Stream`."""
        super().to(device)
        for stream in (self.reals, self.sources):
            stream.to(device)
        return self

    def close(self) -> None:
        """See `Stream`."""
        self.reals.close()
        self.sources.close()

    def _at(self, first: int, last: int) -> dict[str, Tensor]:
        beside = self.sources._at(first, last)
        given = {name: beside[name] for name in ("condition", "mask") if name in beside}
        return self.reals._at(first, last) | (given or {"condition": beside["real"]})

    def state_dict(self) -> dict[str, Any]:
        """See `Stream`."""
        position = {"position": self._position}
        return self.reals.state_dict() | position | {"sources": self.sources.state_dict() | position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Stream`."""
        self.reals.load_state_dict(state)
        self.sources.load_state_dict(state["sources"])
        self._go_on(state)


def mirror(pixels: Tensor, mirrored: Tensor) -> Tensor:
    """(N, C, H, W) images, flipped left to right where the (N,) bool flag is set."""
    both = torch.cat((pixels, pixels.flip(-1)))  # choosing rows is far faster than torch.where on bytes
    count = len(pixels)
    return both.index_select(0, torch.arange(count, device=pixels.device) + count * mirrored)


def cut_out(pixels: Tensor, corners: np.ndarray, size: Sequence[int]) -> Tensor:
    """(N, C, height, width) of `size`, of (N, C, H, W) images and the (N, 2) upper rows and left columns."""
    height, width = size
    parts = [
        image[:, top : top + height, left : left + width]
        for image, (top, left) in zip(pixels, corners.tolist(), strict=True)  # the host knows them: nothing waits
    ]
    return torch.stack(parts)


def turn(pixels: Tensor, turns: np.ndarray) -> Tensor:
    """(N, C, S, S) squares, each turned counterclockwise by so many right angles, (N,)."""
    return torch.stack([torch.rot90(image, count, (1, 2)) for image, count in zip(pixels, turns.tolist(), strict=True)])


Places = list[tuple[int, int]]  # (first, last) of runs of places, all of one length


class Reader(Dataset):
    """uint8 images by places of the sequence: what a worker process runs.

    Args:
        images: (N, C, H, W) uint8, possibly memory-mapped from a .npy file.
        order: on the CPU.
    """

    def __init__(self, images: np.ndarray, order: Order) -> None:
        self.images, self._order = images, order

    def __getitem__(self, places: Places) -> Tensor:
        return torch.cat([self.read(first, last) for first, last in places])

    @property
    def sample_bytes(self) -> int:
        """Of one image, as it is read."""
        return self.images[0].nbytes

    def read(self, first: int, last: int) -> Tensor:
        """(last - first, C, H, W) uint8 images of the places `first` .. `last` - 1."""
        index, mirrored = self._order.at(first, last)
        pixels = torch.from_numpy(np.asarray(self.images[index.numpy()]))
        return mirror(pixels, mirrored) if self._order.flip else pixels

    def __getstate__(self) -> dict:
        """For workers that are spawned, not forked: a memory map travels as its file's name, not as its content."""
        images = self.images
        return {"order": self._order, "images": str(images.filename) if isinstance(images, np.memmap) else images}

    def __setstate__(self, state: dict) -> None:
        images = state["images"]
        self.images = np.load(images, mmap_mode="c") if isinstance(images, str) else images
        self._order = state["order"]


class ReadAhead:
    """A rank's part of the sequence, read by worker processes before it is asked for.

    The workers foresee takes of one size, one after the other, from where `seek` pointed. Any other reads are
    answered too: what lies in a foreseen take is cut from it, the rest is read in this process.

    Args:
        reader: reads places.
        workers: processes; 0 reads in this one.
        take: global samples of a foreseen take.
        pin: put images into page-locked memory, for asynchronous copies to a CUDA device.
    """

    def __init__(self, reader: Reader, *, workers: int, take: int, pin: bool) -> None:
        self._reader = reader
        self._foreseen = Foreseen(take=take, sample_bytes=reader.sample_bytes)
        self._workers, self._pin = workers, pin
        self._takes: Iterator[tuple[int, Tensor]] | None = None
        self._held = (0, torch.empty(0))

    def seek(self, position: int) -> None:
        """Foresee takes from the global `position` on; what was read ahead is dropped."""
        self._foreseen.start = position
        self.close()

    def close(self) -> None:
        """End the workers; a later read starts others.

        If they were left to the collector of cycles, that would end the threads that tell them so first, and then wait
        five seconds for each.
        """
        self._takes = None

    def read(self, first: int, last: int) -> Tensor:
        """(last - first, C, H, W) uint8 images of the places `first` .. `last` - 1, none before an earlier read's."""
        if self._takes is None:
            loader = DataLoader(
                self._reader,
                sampler=self._foreseen,
                batch_size=None,
                num_workers=self._workers,
                pin_memory=self._pin,
                generator=torch.Generator(),  # otherwise every iter() moves the global generator
            )
            self._takes = foreseen_takes(self._foreseen, loader)
            self._held = next(self._takes)
        parts = []
        while first < last:
            start, images = self._held
            if first >= start + len(images):
                self._held = next(self._takes)
                continue
            if first < start:
                stop = min(last, start)
                parts.append(self._reader.read(first, stop))
            else:
                stop = min(last, start + len(images))
                parts.append(images[first - start : stop - start])
            first = stop
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def foreseen_takes(foreseen: "Foreseen", loader: DataLoader) -> Iterator[tuple[int, Tensor]]:
    """The first place and the images of each take; who holds no more than this generator holds the workers alone."""
    for places, images in zip(foreseen, loader, strict=False):
        for (first, _), take in zip(places, images.chunk(len(places)), strict=True):
            yield first, take


class Foreseen:
    """The places of this rank in endless takes of one size from the global `start`, several where samples are small.

    Args:
        take: global samples of a take.
        sample_bytes: of one sample.
    """

    def __init__(self, *, take: int, sample_bytes: int) -> None:
        self.start, self._take, self._sample_bytes = 0, take, sample_bytes

    def __iter__(self) -> Iterator[Places]:
        world = collectives.world()
        share = max(1, self._take // world)
        at_once = min(MESSAGE_TAKES, max(1, MESSAGE_BYTES // (share * self._sample_bytes)))
        firsts = itertools.count(self.start + collectives.rank() * share, share * world)
        while True:
            yield [(first, first + share) for first in itertools.islice(firsts, at_once)]
