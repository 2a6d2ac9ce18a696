"""What network constructors ask of their arguments: each refusal names the value and the remedy."""

from collections.abc import Sequence

CHANNELS = (1, 3, 4)
SMALLEST_GRID = 2


def one_of(argument: str, value: str, choices: Sequence[str]) -> str:
    """`value`, if it is among `choices`.

    Raises:
        ValueError: it is not.
    """
    if value not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(choices)}; got {value!r}")
    return value


def at_least(argument: str, value: int, minimum: int) -> int:
    """`value`, if it is `minimum` or more.

    Raises:
        ValueError: it is less.
    """
    if value < minimum:
        raise ValueError(f"{argument} must be {minimum} or more; got {value}")
    return value


def image_shape(network: str, sample_shape: Sequence[int]) -> tuple[int, int, int]:
    """`sample_shape` as (channels, height, width).

    Args:
        network: the network's name in messages, as in `network=<name>`.
    Raises:
        ValueError: the samples are no images of 1, 3 or 4 channels.
    """
    if len(sample_shape) != 3:
        raise ValueError(
            f"{network} works on images (channels, height, width); data.sample_shape is {tuple(sample_shape)}; "
            "choose network=mlp, or a data set of images"
        )
    channels, height, width = sample_shape
    if channels not in CHANNELS:
        raise ValueError(f"{network} works on images of 1, 3 or 4 channels; data.sample_shape has {channels}")
    return channels, height, width


def source_shape(
    network: str,
    condition_shape: Sequence[int] | None,
    sample_shape: tuple[int, int, int],
    factors: Sequence[int] = (1,),
) -> tuple[int, int, int]:
    """`condition_shape` as (channels, height, width) of a picture whose sides are those of the sample over a factor.

    Args:
        network: the network's name in messages.
        sample_shape: (C, H, W) of the sample; the source may have other channels, and any number of them.
        factors: by which the sample may be larger; (1,) for a source as high and wide as the sample.
    Raises:
        ValueError: there is none, it is no picture, or one of another size.
    """
    if condition_shape is None:
        raise ValueError(
            f"{network} makes pictures of pictures, and data.condition_shape is null; choose data that has a source "
            "for each sample, or another network"
        )
    if len(condition_shape) != 3 or min(condition_shape) < 1:
        raise ValueError(
            f"{network} takes pictures (channels, height, width) as a condition; data.condition_shape is "
            f"{tuple(condition_shape)}"
        )
    channels, height, width = condition_shape
    if not any((factor * height, factor * width) == sample_shape[1:] for factor in factors):
        here = f"data.condition_shape has {height}x{width} and data.sample_shape {sample_shape[1]}x{sample_shape[2]}"
        if tuple(factors) == (1,):
            raise ValueError(
                f"{network} takes a source as large as the sample; {here}; choose data in which they agree, or "
                "another network (network=srresnet and network=rrdb enlarge)"
            )
        raise ValueError(
            f"{network} enlarges a source {', '.join(map(str, factors[:-1]))} or {factors[-1]} times; {here}; choose "
            "such data, as condition=downsampled data.condition.factor=2, or another network"
        )
    return channels, height, width


def divided_grid(network: str, shape: tuple[int, int, int], halvings: int, argument: str) -> tuple[int, int]:
    """Height and width of an image after so many halvings.

    Args:
        network: the network's name in messages.
        shape: (C, H, W) of the image.
        argument: of the network, which decides `halvings`.
    Raises:
        ValueError: they are not whole, or less than 2.
    """
    _, height, width = shape
    factor = 2**halvings
    if height % factor or width % factor or min(height, width) < factor * SMALLEST_GRID:
        raise ValueError(
            f"{network} halves this image {halvings} times ({argument}), so it takes heights and widths that are "
            f"divisible by {factor}, from {factor * SMALLEST_GRID} on; data.sample_shape has {height}x{width}; "
            f"set data.image_size to such a size, or change {argument}"
        )
    return height // factor, width // factor


def stage_channels(width: int, multipliers: Sequence[int], *, least: int = 2) -> list[int]:
    """`width` times each of `multipliers`.

    Raises:
        ValueError: a width below 1, fewer than `least` multipliers, or one below 1.
    """
    at_least("width", width, 1)
    if len(multipliers) < least or min(multipliers) < 1:
        count = {1: "one", 2: "two"}[least]
        raise ValueError(f"multipliers must be {count} or more numbers from 1 on; got {list(multipliers)}")
    return [width * multiplier for multiplier in multipliers]
