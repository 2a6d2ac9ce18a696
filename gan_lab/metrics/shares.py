"""Scores by how much of a picture is hole."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import Tensor


def checked_shares(shares: Sequence[float] | None) -> list[float] | None:
    """The edges between which the hole's share of a picture falls; None for no scores by share.

    Raises:
        ValueError: they do not rise, or leave [0, 1].
    """
    if shares is None:
        return None
    if len(shares) < 2 or not all(0 <= low < high <= 1 for low, high in pairwise(shares)):
        raise ValueError(
            "shares must be 2 or more rising edges from 0 to 1, [0, 0.2, 0.4, 1] for example, got "
            f"{list(shares)}; null leaves the values by share out"
        )
    return [float(edge) for edge in shares]


def by_share(shares: Sequence[float], hole_share: Tensor) -> Iterator[tuple[str, Tensor]]:
    """For each pair of edges what a score's name ends in, "_share_10_20", and which pictures belong there.

    Args:
        shares: rising edges; one belongs below it, the first one above it, too.
        hole_share: (N,) in [0, 1], how much of each picture is hole.
    Yields:
        The ending, and (N,) bool.
    """
    for low, high in pairwise(shares):
        inside = (hole_share > low) & (hole_share <= high)
        if low == shares[0]:
            inside |= hole_share == low
        yield f"_share_{100 * low:g}_{100 * high:g}", inside
