"""What training suits a person's pictures and machine: the size, and by their number the algorithm, as a command."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SIZES = (32, 64, 128, 256)  # pixels a side, of networks that there are
LARGEST_ON_CPU = 64  # of these, where larger ones take days
LARGE_ENOUGH = 0.75  # share of the pictures that should not be enlarged
FEWEST = 20  # pictures
RECIPE = "own_pictures"
ADA = "+augment@model.augment.ada=ada"
DIFFAUGMENT = "+augment@model.augment.diffaugment=diffaugment"
GENTLE = (
    DIFFAUGMENT,
    "model.augment.diffaugment.policies=[color,translation]",
)  # no cutout: it leaks into samples first


class Setting(NamedTuple):
    """Of one image size.

    Attributes:
        network: a choice of conf/network.
        batch_size: pictures of a step.
        words: further ones for the command line.
    """

    network: str
    batch_size: int
    words: tuple[str, ...] = ()


class Way(NamedTuple):
    """An algorithm.

    Attributes:
        most: up to so many pictures.
        model: a choice of conf/model.
        settings: by image size.
        words: for the command line, at any size.
        total_kimg: length of training in thousands of pictures that D sees.
        why: for people.
    """

    most: float
    model: str
    settings: dict[int, Setting]
    words: tuple[str, ...]
    total_kimg: int
    why: str


# Batches and R1 as StyleGAN2-ADA's code sets them by size: gamma = 0.0002 size^2 / batch, of which the weight is half.
STYLEGAN2 = {
    32: Setting("stylegan2", 32, ("model.regularizers.r1.weight=0.0032",)),
    64: Setting("stylegan2_64", 32, ("model.regularizers.r1.weight=0.0128",)),
    128: Setting("stylegan2_64", 32, ("model.regularizers.r1.weight=0.0512",)),
    256: Setting("stylegan2_256", 16, ("model.regularizers.r1.weight=0.41",)),
}
R3GAN = {
    32: Setting("r3gan", 64),
    64: Setting("r3gan64", 64, ("model.gamma.first=2.0", "model.gamma.last=0.2")),
}
# As published at 256x256 (Liu et al. 2021), where they learn of a hundred pictures; half as wide below.
FASTGAN = {64: Setting("fastgan", 8), 128: Setting("fastgan", 8), 256: Setting("fastgan256", 8)}
# DCGAN's networks learn 64x64 on a CPU core in half an hour: see experiments/r3gan_emoji.md, whose settings these are.
SMALL = (
    "model.ema_half_life_kimg=2",
    "model.generator.width=32",
    "model.discriminator.width=32",
    "model.optimizers.generator.lr=0.0005",
    "model.optimizers.discriminator.lr=0.0005",
)
ON_CPU = {
    32: Setting("dcgan", 16, SMALL),
    64: Setting("dcgan", 16, ("model.gamma.first=2.0", "model.gamma.last=0.2", *SMALL)),
}
# The first that allows so many pictures and has the size is taken; without a GPU, of those of a CPU first.
WAYS_ON_CPU = (
    Way(2_000, "r3gan", ON_CPU, GENTLE, 200, "no GPU, so small networks that learn in an hour or two; few pictures"),
    Way(math.inf, "r3gan", ON_CPU, (), 400, "no GPU, so small networks that learn in a few hours"),
)
WAYS = (
    Way(
        1_000,
        "fastgan",
        FASTGAN,
        GENTLE,
        400,
        "few pictures, for which FastGAN was made: its D has to rebuild them, which it cannot by heart",
    ),
    Way(
        2_000,
        "stylegan2",
        STYLEGAN2,
        (ADA, DIFFAUGMENT),
        1_000,
        "few pictures, which D learns by heart unless they vary",
    ),
    Way(math.inf, "r3gan", R3GAN, (), 5_000, "enough pictures, and small ones"),
    Way(math.inf, "stylegan2", STYLEGAN2, (ADA,), 5_000, "enough pictures; ADA acts where D overfits all the same"),
)


class Plan(NamedTuple):
    """What is proposed.

    Attributes:
        image_size: pixels a side.
        way: the algorithm.
        reading: words of the command line that a person gives: which pictures, and how they are read.
        words: all of the command line, after `python -m gan_lab.train`.
        remarks: what a person should know of it.
    """

    image_size: int
    way: Way
    reading: tuple[str, ...]
    words: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that choose algorithm, network, batch and length; the others say how pictures are read."""
        setting = self.way.settings[self.image_size]
        return (
            f"data.batch_size={setting.batch_size}",
            f"model={self.way.model}",
            f"network={setting.network}",
            *setting.words,
            *self.way.words,
            f"total_kimg={self.way.total_kimg}",
        )

    @property
    def command(self) -> str:
        """As it is typed in a shell, with every choice, and unscored."""
        return typed(self.words)

    @property
    def short_command(self) -> str:
        """As it is typed in a shell, with the recipe that chooses the same."""
        return typed((f"experiment={RECIPE}", *self.reading))

    @property
    def batch_size(self) -> int:
        """Pictures of a step."""
        return self.way.settings[self.image_size].batch_size


def typed(words: Sequence[str]) -> str:
    """A training command for a shell."""
    return " ".join(["python -m gan_lab.train", *(shlex.quote(word) for word in words)])


def size_for(shorter_sides: Sequence[int], *, gpu: bool) -> int:
    """The largest of `SIZES` to which no more than a quarter of the pictures is enlarged; the least where none is.

    Without a GPU at most `LARGEST_ON_CPU`.
    """
    ordered = sorted(shorter_sides, reverse=True)
    usual = ordered[max(0, math.ceil(LARGE_ENOUGH * len(ordered)) - 1)]
    largest = SIZES[-1] if gpu else LARGEST_ON_CPU
    return max((size for size in SIZES if size <= min(usual, largest)), default=SIZES[0])


def plan_for(
    root: str,
    *,
    count: int,
    image_size: int,
    channels: int,
    center_crop: bool,
    skipping: bool,
    gpu: bool,
    size_was_given: bool = False,
    model: str | None = None,
) -> Plan | None:
    """The training that suits so many pictures; None where there is no network of the size.

    Args:
        root: as a person gives it.
        count: pictures that can be read and are there once.
        image_size: pixels a side.
        channels: 1, 3 or 4.
        center_crop: what sticks out is cut off; otherwise pictures are squeezed.
        skipping: whether some files cannot be read, and are to be left out.
        gpu: whether there is one to train on.
        size_was_given: whether a person asked for `image_size`, so that the short command has it, too.
        model: a choice of conf/model that is settled already; None for the one that suits.
    """
    ways = [way for way in ways_for(gpu) if image_size in way.settings and model in (None, way.model)]
    way = next((way for way in ways if count <= way.most), None)
    if way is None:
        return None
    setting = way.settings[image_size]
    place = str(Path(root).expanduser())
    root_word = f"data.root={as_text(place)}"
    reading = (
        *((f"data.channels={channels}",) if channels != 3 else ()),
        *(() if center_crop else ("data.center_crop=false",)),
    )
    words = (
        "data=folder",
        root_word,
        f"data.image_size={image_size}",
        *reading,
        *(("data.on_bad=skip",) if skipping else ()),
        "data.num_classes=0",
        f"data.batch_size={setting.batch_size}",
        "data.flip=true",
        f"model={way.model}",
        f"network={setting.network}",
        *setting.words,
        *way.words,
        f"total_kimg={way.total_kimg}",
        "evaluation=none",
    )
    remarks = [
        "data.flip=true shows every other picture mirrored: give false where left and right differ, as in writing",
        "evaluation=none leaves scores out; without it, samples are scored by Inception, whose weights it asks for",
    ]
    if gpu:
        remarks.append(
            f"data.batch_size={setting.batch_size} may be too many for the device: data.micro_batch_size="
            f"{setting.batch_size // 4} needs less memory, and gives nearly the same; time=true measures it"
        )
    if few := too_few(count):
        remarks.insert(0, few)
    asked = (f"data.image_size={image_size}",) if size_was_given else ()
    return Plan(image_size, way, (root_word, *asked, *reading), words, tuple(remarks))


def ways_for(gpu: bool) -> tuple[Way, ...]:
    """In the order in which they are tried."""
    return WAYS if gpu else (*WAYS_ON_CPU, *WAYS)


def too_few(count: int) -> str:
    """What is said of so few pictures; "" of enough."""
    if count >= FEWEST:
        return ""
    return f"{count} pictures are too few to learn from; expect copies of them. Give {FEWEST} or more"


def sizes_of(model: str | None = None) -> list[int]:
    """Pixels a side of which something is known, of one model or of all."""
    known = {size for way in ways_for(gpu=False) for size in way.settings if model in (None, way.model)}
    return sorted(known)


def as_text(path: str) -> str:
    """A path as a value of Hydra's grammar: quoted where it holds what is not plain there."""
    if all(character.isalnum() or character in "/._-" for character in path):
        return path
    return "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"
