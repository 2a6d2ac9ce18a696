"""How far a source's pixels reach in what a network makes of it: whether a picture can be cut into tiles."""

import copy
from itertools import product

import torch
from torch import nn

SHORTEST, LONGEST = 128, 2048  # of the strips in which reach is measured, in pixels
ROUNDING = 1e-9  # of what is made, in float64
MULTIPLES = 16  # of the network's own size, to which the longest may grow
# Layers whose output at one place depends on the whole picture, in eval mode. Batch and instance normalization do where
# they have no running statistics.
OF_THE_WHOLE = (
    nn.GroupNorm,
    nn.LayerNorm,
    nn.MultiheadAttention,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
)
WITH_STATISTICS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


def layers_of_the_whole(network: nn.Module) -> list[str]:
    """Those layers, such as `down.2 (InstanceNorm2d)`, that see the whole picture by their kind.

    Attention counts by its name, as each network may have its own. What is not found here, since it is written out in a
    network's `forward`, is found by `reach`.
    """
    return [
        f"{name} ({type(layer).__name__})"
        for name, layer in network.named_modules()
        if isinstance(layer, OF_THE_WHOLE)
        or (isinstance(layer, WITH_STATISTICS) and layer.running_mean is None)
        or "attention" in type(layer).__name__.lower()
        or "fourier" in type(layer).__name__.lower()
    ]


def reach(network: nn.Module, condition_channels: int, *, masked: bool, factor: int = 1) -> int | None:
    """How far beyond a block of `size_multiple` pixels any of them reaches, up, down, left or right.

    That is the radius of the receptive field: what is made of a part of a picture that begins and ends at multiples is
    what is made there of the whole, but for so many pixels along its cut sides.

    Measured by a block of NaN in a strip of zeros: in float64 on the CPU, where convolutions are sums of products, NaN
    comes out wherever the block goes in. A gradient would do so but for weights that cancel, units that are off and
    layers so many that its numbers underflow. Of a network with masks, the block is once in the source, where all is
    hole, and once in the mask: one that decides by its mask what it looks at loses NaN in either, and is not measured.

    Args:
        network: as `gan_lab.networks.translators.Translator`; it is left as it is.
        condition_channels: of its sources.
        masked: whether it is given masks.
        factor: by which it enlarges.
    Returns:
        Pixels of the source; None where it is not found in the longest strip, or NaN is lost on its way.
    """
    probe = copy.deepcopy(network).cpu().double().eval()
    sizes: list[int] = []
    for axis, within in product((2, 3), ("condition", "mask") if masked else ("condition",)):
        size = _along(probe, axis, within, condition_channels, masked=masked, factor=factor)
        if size is None:
            return None
        sizes.append(size)
    return max(sizes)


def _along(
    probe: nn.Module, axis: int, within: str, condition_channels: int, *, masked: bool, factor: int
) -> int | None:
    """`reach` of what is `within` the source or the mask along one axis.

    It is measured in strips that are doubled in length until their ends are not reached.
    """
    multiple, narrow = size_multiple(probe), smallest_size(probe)
    length = rounded_up(max(SHORTEST, 4 * narrow), multiple)
    while length <= max(LONGEST, MULTIPLES * multiple):
        first = length // multiple // 2 * multiple
        sides = (length, narrow) if axis == 2 else (narrow, length)
        given = {"condition": torch.zeros(1, condition_channels, *sides, dtype=torch.float64)}
        if masked:
            given["mask"] = torch.ones(1, 1, *sides, dtype=torch.float64)
        given[within].narrow(axis, first, multiple).fill_(torch.nan)
        with torch.no_grad():
            made = probe(**given)
        reached = made.isnan().any(dim=1).any(dim=4 - axis)[0].nonzero().flatten().tolist()
        own = range(factor * first, factor * (first + multiple))
        if not set(own) <= set(reached):
            return None
        if reached[0] > 0 and reached[-1] < factor * length - 1:
            if _changes_beyond(probe, axis, given, range(first, first + multiple), reached):
                return None
            return -(-max(own[0] - reached[0], reached[-1] - own[-1]) // factor)
        length *= 2
    return None


def _changes_beyond(
    probe: nn.Module, axis: int, like: dict[str, torch.Tensor], block: range, reached: list[int]
) -> bool:
    """Whether another block in a random picture, with random holes, changes more of what is made than NaN has reached.

    It does where NaN was lost on one of several ways through the network, in a comparison for example.
    """
    random = torch.Generator().manual_seed(0)
    drawn = {name: torch.rand(value.shape, generator=random, dtype=value.dtype) for name, value in like.items()}
    given = {name: value.round() if name == "mask" else 2 * value - 1 for name, value in drawn.items()}
    other = {name: value.clone() for name, value in given.items()}
    for name, value in other.items():
        part = value.narrow(axis, block.start, len(block))
        part.copy_(1 - part if name == "mask" else -part)
    with torch.no_grad():
        changed = (probe(**given) - probe(**other)).abs() > ROUNDING
    places = changed.any(dim=1).any(dim=4 - axis)[0].nonzero().flatten().tolist()
    return bool(places) and (places[0] < reached[0] or places[-1] > reached[-1])


def size_multiple(network: nn.Module) -> int:
    """What heights and widths of its sources are multiples of."""
    return int(getattr(network, "size_multiple", 1))


def smallest_size(network: nn.Module) -> int:
    """The least height and width of its sources, a multiple of `size_multiple`."""
    return rounded_up(int(getattr(network, "smallest_size", 1)), size_multiple(network))


def rounded_up(size: int, multiple: int) -> int:
    """The least multiple that is not less."""
    return -(-size // multiple) * multiple
