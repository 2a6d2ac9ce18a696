"""What every format gives, and what formats share."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_lab.importing.pickles import RefusedFile, shown

EPSILON = 1e-5  # that batch normalization adds to the variance here


@dataclass
class Imported:
    """A generator of somebody else's, as one of gan_lab's.

    Attributes:
        format: where such files come from.
        model: settings: `_target_` of a model, those of its inputs, and of its `generator`.
        state: of the generator, by gan_lab's keys.
        further: what else is known of its origin, plain JSON values.
        network: the choice of `network=` that is nearest, for training on.
        discriminator: settings of the one that goes with the generator, for training on; None where the nearest network
            and the generator's settings say enough.
        discriminator_state: of that, by gan_lab's keys; None where no file has it.
        averaged_styles: how many latents the mean of w is to be taken of, since no file has it; 0 where one has.
        averaged: whether the generator is the moving average of the trained one.
        left_behind: what was not taken.
        further_words: for the command line that trains on, where no network of conf/ has both kinds.
    """

    format: str
    model: dict[str, Any]
    state: dict[str, Tensor]
    further: dict[str, Any]
    network: str
    discriminator: dict[str, Any] | None = None
    discriminator_state: dict[str, Tensor] | None = None
    averaged_styles: int = 0
    averaged: bool = True
    left_behind: list[str] = field(default_factory=list)
    further_words: list[str] = field(default_factory=list)


def whole(value: Any, name: str, path: Path, lowest: int = 0) -> int:
    """A whole number from a file.

    Raises:
        RefusedFile: it is none, or out of range.
    """
    if type(value) is not int or not lowest <= value <= 2**20:
        raise RefusedFile(f"{path} was refused: its {name} must be a whole number from {lowest} on, not {shown(value)}")
    return value


def normalized(left: Any, theirs: str, ours: str, *, affine: bool, epsilon: float) -> dict[str, Tensor]:
    """A batch normalization's tensors by gan_lab's keys.

    Args:
        left: `gan_lab.importing.saved.Tensors`.
        theirs, ours: the layer's name.
        affine: whether it has a scale and an offset.
        epsilon: what it adds to the variance. What that is more than gan_lab's stands in the variance here, so that
            the layer computes the same once trained.
    """
    names = ("running_mean", "running_var", "num_batches_tracked", *(("weight", "bias") if affine else ()))
    found = {f"{ours}.{name}": left.take(f"{theirs}.{name}") for name in names}
    found[f"{ours}.running_var"] += epsilon - EPSILON
    return found


def spectral(left: Any, theirs: str, ours: str, *, bias: bool, transposed: bool = False) -> dict[str, Tensor]:
    """A layer that torch's `spectral_norm` divides by its largest singular value, by gan_lab's keys.

    Args:
        left, theirs, ours: see `normalized`.
        bias: whether it has one.
        transposed: whether gan_lab's weight is the transpose.
    """
    weight = left.take_weight(f"{theirs}.weight_orig")
    u, v = (left.take(f"{theirs}.weight_{kind}", 1) for kind in ("u", "v"))
    if transposed:
        weight, u, v = weight.transpose(0, 1).contiguous(), v, u
    found = {f"{ours}.bias": left.take(f"{theirs}.bias", 1)} if bias else {}
    ours = f"{ours}.parametrizations.weight"
    return found | {f"{ours}.original": weight, f"{ours}.0._u": u, f"{ours}.0._v": v}


def as_multiples(channels: list[int]) -> tuple[int, list[int]]:
    """Channels of stages as a width, and multiples of it."""
    width = math.gcd(*channels)
    return width, [each // width for each in channels]


def check_filter(kernel: Tensor, name: str, path: Path) -> None:
    """Hold a low-pass filter against [1, 3, 3, 1], which all resampling here has.

    Raises:
        RefusedFile: it is another.
    """
    rows = kernel.reshape(-1, kernel.shape[-1]) if kernel.ndim and kernel.numel() else kernel.new_zeros(1, 1)
    expected = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    if rows.shape[1] != 4 or not torch.allclose(rows / rows.sum(1, keepdim=True), expected, atol=1e-5):
        raise RefusedFile(f"{path} was refused: {name} is another filter than [1, 3, 3, 1], which gan_lab has not")
