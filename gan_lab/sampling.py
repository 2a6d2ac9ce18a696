"""Randomness as a function of (seed, purpose, counters): the same on any number of ranks, and after any resume.

Nothing here keeps state between draws, so nothing needs to be saved: a resumed run asks with the same counters and is
answered with the same numbers. Keys pass through `numpy.random.SeedSequence`; the purpose enters by its CRC-32, since
`hash()` of a string differs from process to process.
"""

import copy
import math
import random
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gan_lab import collectives

CPU = torch.device("cpu")
SEEDS = 2**64


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on `device`, without a wait for the work that is queued there.

    The copy of an ordinary CPU tensor waits: it is page-locked first, where the device knows such memory (torch keeps
    it until the copy is done, and reuses it). A tensor that is where it is wanted is returned as it is.
    """
    if device.type == "cpu":
        return tensor
    if device.type in ("mps", "meta"):  # shares its memory with the CPU, or has none: there is nothing to lock
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def check_seed(key: str, seed: int) -> int:
    """`seed`, if it has 64 bits at most; everything random takes such a one.

    Raises:
        ValueError: it is negative, or larger; `key` is how a person calls it.
    """
    if not 0 <= seed < SEEDS:
        raise ValueError(f"{key} must be {'0 or more' if seed < 0 else f'at most {SEEDS - 1}'}, got {seed}")
    return seed


def legacy_seed(seed: int) -> int:
    """For generators that take 32 bits, as `numpy.random.RandomState` does: `seed`, or 32 bits that follow from it."""
    return seed if seed < 2**32 else int(np.random.SeedSequence(seed).generate_state(1)[0])


def seed_sequence(seed: int, purpose: str, *counters: int) -> np.random.SeedSequence:
    """The root of all numbers drawn for `purpose` at these counters (all non-negative)."""
    numbers: Sequence[int] = (seed, zlib.crc32(purpose.encode()), *counters)
    if max(numbers) >= 2**32:
        numbers = [word for number in numbers for word in _words(number)]
    return np.random.SeedSequence(np.array(numbers, np.uint32))


def _words(number: int) -> list[int]:
    """In 32 bits each, the lowest first: as `SeedSequence` cuts integers, which takes it three times as long."""
    return [number] if number < 2**32 else [number & 0xFFFFFFFF, *_words(number >> 32)]


def torch_generator(seed: int, purpose: str, *counters: int, device: torch.device = CPU) -> torch.Generator:
    """A generator of `device` at the beginning of the stream of (seed, purpose, counters)."""
    state = seed_sequence(seed, purpose, *counters).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) >> 1)


def normal_of_samples(seed: int, purpose: str, index: Sequence[int], shape: Sequence[int]) -> Tensor:
    """(len(index), *shape) float32 standard normal on the CPU: each sample's own, whatever it is drawn beside.

    Args:
        index: numbers of the samples, each 0 or more.
    """
    return torch.stack([torch.randn(*shape, generator=torch_generator(seed, purpose, number)) for number in index])


def numpy_generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A NumPy generator at the beginning of the stream of (seed, purpose, counters)."""
    return np.random.default_rng(seed_sequence(seed, purpose, *counters))


def reseed_default_generators(seed: int, *counters: int, across_ranks: bool = True) -> None:
    """A net under code that draws from the global generators: they too depend on (seed, rank, counters) alone.

    Args:
        seed: 0 or more.
        counters: of the moment, each 0 or more.
        across_ranks: False leaves the rank out, as in `Draws`.
    """
    reseed_host_generators(reseed_torch(seed, *counters, across_ranks=across_ranks))


def reseed_torch(seed: int, *counters: int, across_ranks: bool = True) -> int:
    """As `reseed_default_generators`, of torch alone; returns the number, of 32 bits, that they begin with."""
    rank = collectives.rank() if across_ranks else 0
    state = int(seed_sequence(seed, "default generators", rank, *counters).generate_state(1)[0])
    torch.default_generator.manual_seed(state)  # torch.manual_seed formats a stack trace for each idle CUDA build
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(state)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(state)
    return state


def reseed_host_generators(state: int) -> None:
    """Let the default generators of NumPy and of Python begin with `state`, from `reseed_torch`."""
    np.random.seed(state)
    random.seed(state)


class Draws:
    """The draws of one moment of training: a function of (seed, purpose, images_seen, k).

    k counts the draws of a purpose since `images_seen` last moved. Every tensor is drawn for the global batch and
    sliced contiguously by rank, so ranks never share a latent and together draw what one process would.

    Where it is made: small tensors on the CPU, so that every kind of device gets the same bits, and sent to `device`;
    large ones (`normal_by_blocks`) by the device's own generator, whose numbers are those of its kind.

    Args:
        seed: 0 or more, of 64 bits at most; the run's seed.
        across_ranks: False for draws that belong to one rank alone, as a block of evaluation's does: nothing is sliced.
        device: where drawn tensors are wanted; may be set anew.
    Attributes:
        detour: how often the run was rolled back; another one draws other numbers, so that it need not end alike.
    """

    def __init__(self, seed: int, *, across_ranks: bool = True, device: torch.device = CPU) -> None:
        self.seed = check_seed("seed", seed)
        self.across_ranks = across_ranks
        self.device = device
        self.detour = 0
        self.images_seen = 0
        self._counts: dict[str, int] = {}

    def on_cpu(self) -> Self:
        """These draws, counted here too, as CPU tensors: for what is worked out of several before `send`."""
        other = copy.copy(self)
        other.device = CPU
        return other

    def send(self, drawn: Tensor) -> Tensor:
        """A CPU tensor on `device`, in one copy: see `gan_lab.sampling.send`."""
        return send(drawn, self.device)

    def move_to(self, images_seen: int) -> None:
        """Start a new moment: every purpose counts from k = 0 again."""
        self.images_seen = images_seen
        self._counts = {}

    def state_dict(self) -> dict:
        """The moment and how often each purpose has drawn in it."""
        return {"images_seen": self.images_seen, "counts": dict(self._counts)}

    def load_state_dict(self, state: dict) -> None:
        """Continue in the moment that `state` holds."""
        self.images_seen, self._counts = state["images_seen"], dict(state["counts"])

    def normal(self, purpose: str, count: int, shape: Sequence[int]) -> Tensor:
        """(count, *shape) float32 standard normal: this rank's slice of the global (count * world, *shape)."""
        return self._slice(torch.randn(self._global(count), *shape, generator=self._generator(purpose)), count)

    def uniform(self, purpose: str, count: int, shape: Sequence[int]) -> Tensor:
        """(count, *shape) float32 uniform on [0, 1): this rank's slice, as `normal`."""
        return self._slice(torch.rand(self._global(count), *shape, generator=self._generator(purpose)), count)

    def integers(self, purpose: str, count: int, high: int) -> Tensor:
        """(count,) int64 uniform on 0 .. high - 1: this rank's slice, as `normal`."""
        return self._slice(torch.randint(high, (self._global(count),), generator=self._generator(purpose)), count)

    def decisions(self, purpose: str, count: int, high: int) -> list[int]:
        """`count` numbers uniform on 0 .. high - 1, the same on every rank: for what all decide together.

        Plain integers: the code that branches on them need not ask the device.
        """
        return torch.randint(high, (count,), generator=self._generator(purpose)).tolist()

    def places(self, purpose: str, count: int, high: int) -> Tensor:
        """(count,) int64 distinct numbers of 0 .. high - 1 in random order, the same on every rank."""
        return self.send(torch.randperm(high, generator=self._generator(purpose))[:count])

    def normal_by_blocks(self, purpose: str, count: int, shape: Sequence[int], block: int = 16) -> Tensor:
        """(count, *shape) float32 standard normal for large shapes: a rank draws only the blocks that it touches.

        Block b holds the global samples b * block .. (b + 1) * block - 1 and has a stream of its own, of the device's
        generator: a large tensor would take longer to draw on the CPU and to send than a step takes.
        """
        k = self._next(purpose)
        first = self._first(count)
        drawn = []
        for index in range(first // block, -(-(first + count) // block)):
            generator = torch_generator(self.seed, purpose, *self._moment(), k, index, device=self.device)
            drawn.append(torch.randn(block, *shape, generator=generator, device=self.device))
        start = first - first // block * block
        return torch.cat(drawn)[start : start + count]

    def _next(self, purpose: str) -> int:
        k = self._counts.get(purpose, 0)
        self._counts[purpose] = k + 1
        return k

    def _generator(self, purpose: str) -> torch.Generator:
        return torch_generator(self.seed, purpose, *self._moment(), self._next(purpose))

    def _moment(self) -> tuple[int, ...]:
        return (self.images_seen, self.detour) if self.detour else (self.images_seen,)

    def _global(self, count: int) -> int:
        return count * collectives.world() if self.across_ranks else count

    def _first(self, count: int) -> int:
        return collectives.rank() * count if self.across_ranks else 0

    def _slice(self, drawn: Tensor, count: int) -> Tensor:
        if len(drawn) > count:
            first = self._first(count)
            drawn = drawn[first : first + count]
        return self.send(drawn)


def spherical(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """Points on the arcs between two latents: directions by spherical interpolation, lengths by linear.

    The published code takes directions alone, for a generator that normalizes its latents; for such a one this is the
    same, and any other one gets latents as long as those that it knows.

    Args:
        first, second: (B, ...) float64.
        t: (B,) float64; 0 gives `first`, 1 `second`.
    """
    a, b, t = first.flatten(1), second.flatten(1), t[:, None]
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    a, b = a / length_a, b / length_b
    cosine = (a * b).sum(dim=1, keepdim=True).clamp(-1, 1)
    across = b - cosine * a
    across = across / across.norm(dim=1, keepdim=True).clamp_min(torch.finfo(across.dtype).tiny)  # 0 where parallel
    angle = t * cosine.acos()
    return ((a * angle.cos() + across * angle.sin()) * (length_a + t * (length_b - length_a))).view_as(first)


def linear(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """first + t (second - first), of (B, ...) float64 and t (B,)."""
    return first + t.view(-1, *[1] * (first.dim() - 1)) * (second - first)


class LatentInputs:
    """The inputs of an unconditional generator: latents, as a function of the moment in `draws`.

    Args:
        latent_dim: length of a latent, 1 or more.
        distribution: "normal" for N(0, 1) or "uniform" for U[-1, 1) (DCGAN's paper, section 4).
    """

    num_classes = 0

    def __init__(self, latent_dim: int, distribution: str) -> None:
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be 1 or more, got {latent_dim}")
        if distribution not in ("normal", "uniform"):
            raise ValueError(f"latent_distribution must be 'normal' or 'uniform', got {distribution!r}")
        self.latent_dim, self.distribution = latent_dim, distribution
        self.bound: float | None = None

    def truncated(self, bound: float) -> Self:
        """The same, but for normal latents that are drawn anew where a value lies beyond `bound`, more than 0.

        Raises:
            ValueError: a bound of 0 or less, or uniform latents, which have theirs.
        """
        if not bound > 0:
            raise ValueError(f"truncation of latents needs a bound of more than 0, got {bound}")
        if self.distribution != "normal":
            raise ValueError("truncation is of normal latents, and these are uniform on [-1, 1); leave it out")
        other = copy.copy(self)
        other.bound = bound
        return other

    def latents(self, draws: Draws, count: int) -> Tensor:
        """(count, latent_dim) float32 on the device of `draws`."""
        if self.distribution == "normal" and self.bound is None:
            return draws.normal("latents", count, (self.latent_dim,))
        uniform = 2 * draws.on_cpu().uniform("latents", count, (self.latent_dim,)) - 1
        if self.bound is None:
            return draws.send(uniform)
        # By the inverse of the distribution within the bound, so that each latent takes one draw.
        within = math.erf(self.bound / 2**0.5)
        latents = 2**0.5 * torch.erfinv(within * uniform.double()).float()
        # A wide bound rounds `within` to 1, whose inverse is infinite.
        return draws.send(latents.clamp(-self.bound, self.bound))

    def between(self, first: Tensor, second: Tensor, t: Tensor) -> Tensor:
        """(B, latent_dim) from latents to latents, as likely in between: by arcs where they are normal, else straight.

        Args:
            first, second: (B, latent_dim) float64.
            t: (B,) float64; 0 gives `first`, 1 `second`.
        """
        return (spherical if self.distribution == "normal" else linear)(first, second, t)

    def bound_to(self, sources: Any) -> Self:
        """What a data set has for the samples of an evaluation; latents need none of it."""
        return self

    def example(self, draws: Draws, count: int) -> dict[str, Tensor]:
        """Arguments of a call of the generator, of the right shapes: for what looks at the network alone."""
        return self.draw(draws, count)

    def draw(
        self, draws: Draws, count: int, labels: Tensor | None = None, *, first: int | None = None
    ) -> dict[str, Tensor]:
        """The keyword arguments of a call of the generator for `count` samples.

        Args:
            draws: of this moment.
            count: of samples.
            labels: (count,) int64 of the classes to make; None leaves them to the model.
            first: number of the first sample, for inputs that are numbered (see `SourceInputs`); latents are drawn.
        Raises:
            ValueError: `labels` are given, which an unconditional generator cannot follow.
        """
        if labels is not None:
            raise ValueError("this generator is unconditional: it cannot make given classes; leave `classes` out")
        return {"latents": self.latents(draws, count)}

    def learn(self, labels: Sequence[int]) -> None:
        """Nothing of the data decides the inputs."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing was learnt."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing was learnt."""


class LabelledInputs(LatentInputs):
    """The inputs of a conditional generator: latents, and labels drawn by a law of their own.

    Args:
        latent_dim, distribution: see `LatentInputs`.
        num_classes: of the labels, 2 or more.
        law: "uniform", or "data" for labels as frequent as among the training images, which `learn` counts.
    """

    def __init__(self, latent_dim: int, distribution: str, num_classes: int | None, law: str) -> None:
        super().__init__(latent_dim, distribution)
        if num_classes is None or num_classes < 2:
            raise ValueError(
                f"a conditional model needs num_classes of 2 or more, got {num_classes}; choose labelled data, and set "
                "data.num_classes to the number of its classes"
            )
        if law not in ("uniform", "data"):
            raise ValueError(f"label_distribution must be 'uniform' or 'data', got {law!r}")
        self.num_classes, self.law = num_classes, law
        self._counts: list[int] | None = None

    def learn(self, labels: Sequence[int]) -> None:
        """Take the frequencies of the training images' labels, where they are asked for.

        Raises:
            ValueError: labels beyond `num_classes`.
        """
        counts = np.bincount(np.asarray(labels, dtype=np.int64), minlength=self.num_classes)
        if len(counts) > self.num_classes:
            raise ValueError(f"num_classes is {self.num_classes}, but the data has a label {len(counts) - 1}")
        self._counts = counts.tolist()

    def state_dict(self) -> dict[str, Any]:
        """What has been learnt of the data: plain values, for checkpoints and snapshots."""
        return {"counts": self._counts} if self.law == "data" else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what `state_dict` gave."""
        self._counts = state.get("counts", self._counts)

    def labels(self, draws: Draws, count: int) -> Tensor:
        """(count,) int64 on the device of `draws`.

        Raises:
            RuntimeError: the law is "data", and `learn` was not called.
        """
        if self.law == "uniform":
            return draws.integers("labels", count, self.num_classes)
        if self._counts is None:
            raise RuntimeError("labels as in the data can be drawn once learn() has counted them")
        shares = torch.tensor(self._counts, dtype=torch.float64).cumsum(0)
        uniform = draws.on_cpu().uniform("labels", count, ()).double()
        return draws.send(torch.searchsorted(shares / shares[-1], uniform, right=True))

    def draw(
        self, draws: Draws, count: int, labels: Tensor | None = None, *, first: int | None = None
    ) -> dict[str, Tensor]:
        """The keyword arguments of a call of the generator for `count` samples, of the given classes or of its own."""
        drawn = self.labels(draws, count) if labels is None else draws.send(labels)
        return {"latents": self.latents(draws, count), "labels": drawn}


class CodedInputs(LatentInputs):
    """The inputs of InfoGAN's generator: noise and codes, side by side in one latent (Chen et al. 2016, section 4).

    Columns of a latent: the noise; for each categorical code one per category, 1 for the one drawn and 0 else; the
    continuous codes, uniform on [-1, 1). Classes that are asked for are categories of the first categorical code.

    Args:
        latent_dim: of noise and codes together; one column at least is noise.
        distribution: of the noise, see `LatentInputs`.
        categorical: number of categories of each categorical code, 2 or more each.
        continuous: number of continuous codes, 0 or more.
    """

    def __init__(self, latent_dim: int, distribution: str, categorical: Sequence[int], continuous: int) -> None:
        super().__init__(latent_dim, distribution)
        self.categorical, self.continuous = tuple(categorical), continuous
        if min(self.categorical, default=2) < 2 or continuous < 0 or self.code_dim == 0:
            raise ValueError(
                "codes are categorical ones of 2 or more categories each and 0 or more continuous ones, at least one "
                f"in all; got {list(self.categorical)} and {continuous}"
            )
        if latent_dim <= self.code_dim:
            raise ValueError(
                f"latent_dim={latent_dim} has no column for noise beside {self.code_dim} of the codes; set it to "
                f"{self.code_dim + 1} or more"
            )
        self.noise = LatentInputs(latent_dim - self.code_dim, distribution)
        self.num_classes = self.categorical[0] if self.categorical else 0

    def truncated(self, bound: float) -> Self:
        """See `LatentInputs`: of the noise; codes stay."""
        other = copy.copy(self)
        other.noise = self.noise.truncated(bound)
        return other

    @property
    def code_dim(self) -> int:
        """Columns of the codes."""
        return sum(self.categorical) + self.continuous

    def latents(self, draws: Draws, count: int, labels: Tensor | None = None) -> Tensor:
        """(count, latent_dim) float32 on the device of `draws`.

        Args:
            draws: of this moment.
            count: of samples.
            labels: (count,) int64 on the CPU, which stand for draws of the first code.
        """
        on_cpu = draws.on_cpu()
        columns = [self.noise.latents(on_cpu, count)]
        for number, categories in enumerate(self.categorical):
            drawn = on_cpu.integers("categorical codes", count, categories)
            chosen = labels if number == 0 and labels is not None else drawn
            columns.append(torch.nn.functional.one_hot(chosen, categories).float())
        columns.append(2 * on_cpu.uniform("continuous codes", count, (self.continuous,)) - 1)
        return draws.send(torch.cat(columns, dim=1))

    def between(self, first: Tensor, second: Tensor, t: Tensor) -> Tensor:
        """See `LatentInputs`: of the noise; codes go straight, and stay within their range."""
        width = self.noise.latent_dim
        noise = self.noise.between(first[:, :width], second[:, :width], t)
        return torch.cat([noise, linear(first[:, width:], second[:, width:], t)], dim=1)

    def codes(self, latents: Tensor) -> tuple[list[Tensor], Tensor]:
        """What (B, latent_dim) latents say: (B,) int64 of each categorical code, and (B, continuous)."""
        sizes = (self.noise.latent_dim, *self.categorical, self.continuous)
        _, *categorical, continuous = latents.split(sizes, dim=1)
        return [hot.argmax(1) for hot in categorical], continuous

    def draw(
        self, draws: Draws, count: int, labels: Tensor | None = None, *, first: int | None = None
    ) -> dict[str, Tensor]:
        """The keyword arguments of a call of the generator for `count` samples, of the given categories or any.

        Raises:
            ValueError: `labels` are given, and no code is categorical.
        """
        if labels is not None and not self.categorical:
            raise ValueError("this generator has no categorical code: it cannot make given classes; leave them out")
        return {"latents": self.latents(draws, count, labels)}


class SourceInputs:
    """The inputs of a generator of pictures from pictures: the sources of a data set's split, by their numbers.

    They are bound to a set when one is at hand (`bound_to`), so that a generator is loaded without its data.

    Args:
        condition_shape: (C', H', W') of a source.
        masked: whether a mask goes with each.
    """

    num_classes = 0

    def __init__(self, condition_shape: Sequence[int], masked: bool) -> None:
        self.condition_shape, self.masked = tuple(condition_shape), masked
        self._sources: Any = None

    def state_dict(self) -> dict[str, Any]:
        """Nothing is learnt of the data."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `state_dict`."""

    def bound_to(self, sources: Any) -> Self:
        """The same, of these sources: a `gan_lab.data.sourced.Sources`."""
        other = copy.copy(self)
        other._sources = sources
        return other

    def of_size(self, size: Sequence[int]) -> Self:
        """The same, for sources of another (height, width), with which its examples are made."""
        other = copy.copy(self)
        other.condition_shape = (self.condition_shape[0], *size)
        return other

    def example(self, draws: Draws, count: int) -> dict[str, Tensor]:
        """See `LatentInputs`: noise instead of pictures, with random holes."""
        condition = 2 * draws.uniform("example", count, self.condition_shape) - 1
        if not self.masked:
            return {"condition": condition}
        holes = draws.uniform("example mask", count, (1, *self.condition_shape[1:])) < 0.25
        return {"condition": condition, "mask": holes.to(condition.dtype)}

    def truncated(self, bound: float) -> Self:
        """Refused: there are no latents."""
        raise ValueError("truncation is of latents, and this generator takes pictures; leave it out")

    def draw(
        self, draws: Draws, count: int, labels: Tensor | None = None, *, first: int | None = None
    ) -> dict[str, Tensor]:
        """The keyword arguments of a call of the generator for the sources `first` .. `first` + `count` - 1.

        Beyond the last source they begin anew, so that a block is whole; who asks for so many leaves those out.

        Raises:
            RuntimeError: they are not bound to a set.
            ValueError: `labels` are given.
        """
        if labels is not None:
            raise ValueError("this generator is given pictures: it cannot make given classes; leave `classes` out")
        if self._sources is None:
            raise RuntimeError("the inputs of a translator are pictures: bind them to a data set's first (bound_to)")
        return {name: draws.send(value) for name, value in self._sources.inputs(first or 0, count).items()}

    def completed(self, draws: Draws, sources: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The keyword arguments of a call of the generator for these sources: `condition`, and `mask` if any."""
        return dict(sources)


class SourceLatentInputs(SourceInputs):
    """The inputs of a generator of pictures from pictures that has a latent, too: of a source it makes many pictures.

    Args:
        condition_shape, masked: see `SourceInputs`.
        latent_dim, distribution: see `LatentInputs`.
    """

    def __init__(self, condition_shape: Sequence[int], masked: bool, latent_dim: int, distribution: str) -> None:
        super().__init__(condition_shape, masked)
        self._of_latents = LatentInputs(latent_dim, distribution)

    def latents(self, draws: Draws, count: int) -> Tensor:
        """(count, latent_dim) float32 on the device of `draws`."""
        return self._of_latents.latents(draws, count)

    def truncated(self, bound: float) -> Self:
        """See `LatentInputs`."""
        other = copy.copy(self)
        other._of_latents = self._of_latents.truncated(bound)
        return other

    def example(self, draws: Draws, count: int) -> dict[str, Tensor]:
        """See `SourceInputs`."""
        return self.completed(draws, super().example(draws, count))

    def draw(
        self, draws: Draws, count: int, labels: Tensor | None = None, *, first: int | None = None
    ) -> dict[str, Tensor]:
        """See `SourceInputs`; latents are drawn."""
        return self.completed(draws, super().draw(draws, count, labels, first=first))

    def completed(self, draws: Draws, sources: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `SourceInputs`: with a latent for each."""
        return {**sources, "latents": self.latents(draws, len(sources["condition"]))}
