"""Weights of another network for this one: which of its tensors go where, and what is said of it."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

Places = Mapping[str, tuple[str, int]]  # name of a part -> its kind, and the shorter side of what it works on
NAMED = 5  # tensors that a message names; of the others it says how many


def places_of(network: Any) -> dict[str, tuple[str, int]] | None:
    """The parts of a network that belong to one resolution each; None of one that does not say."""
    return network.places() if hasattr(network, "places") else None


def moved(state: Mapping[str, Tensor], theirs: Places, own: Places) -> tuple[dict[str, str], dict[str, str]]:
    """Where the tensors of a network belong in another of its kind: parts by resolution, all else by name.

    Sides within a factor of sqrt(2) of one power of two are of one resolution: a network that doubles 6, 12, 24 has its
    counterparts of 8, 16, 32 in one that doubles 4, 8, 16, 32. Several parts of one kind at one resolution go by their
    order.

    Args:
        state: of the other network.
        theirs, own: the parts of either.
    Returns:
        name here -> name there; and parts there -> parts here, of those whose names differ.
    """
    here = {key: part for part, key in _keyed(own).items()}
    partners = {part: here.get(key) for part, key in _keyed(theirs).items()}
    names = {}
    for name in state:
        part = _part_of(name, partners)
        partner = None if part is None else partners[part]
        if part is None and _part_of(name, own) is None:
            names[name] = name
        elif part is not None and partner is not None:
            names[partner + name.removeprefix(part)] = name
    return names, {part: partner for part, partner in partners.items() if partner not in (None, part)}


def _keyed(places: Places) -> dict[str, tuple[str, int, int]]:
    """Part -> kind, resolution as a power of two, number of the part among those of both."""
    counts: dict[tuple[str, int], int] = {}
    found = {}
    for part, (kind, side) in places.items():
        key = (kind, round(math.log2(side)))
        found[part] = (*key, counts.setdefault(key, 0))
        counts[key] += 1
    return found


def _part_of(name: str, parts: Collection[str]) -> str | None:
    """The longest of the parts within which a tensor of this name lies."""
    prefixes = [name[:end] for end, letter in enumerate(name) if letter == "."]
    return next((prefix for prefix in prefixes[::-1] if prefix in parts), None)


def take(
    network: nn.Module, state: Mapping[str, Tensor], name: str, theirs: Places | None, classes: int | None
) -> tuple[int, list[str]]:
    """Load into `network` what fits of the tensors of another.

    Args:
        state: of the other network, in its own names.
        name: what the model calls the network, for the lines.
        theirs: the parts of the other; None where it is of the same size, or does not say: all goes by name.
        classes: of the other; None where that is not known.
    Returns:
        how many of the network's weights (tensors of two dimensions or more, where it has some) were taken; lines on
        what does not match, none where all of it does.
    """
    own, places = network.state_dict(), places_of(network)
    names = {key: key for key in state}
    others: dict[str, str] = {}
    if theirs is not None and places is not None:
        names, others = moved(state, theirs, places)
    fits = {key: state[old] for key, old in names.items() if key in own and own[key].shape == state[old].shape}
    lines = []
    if others:
        shown = _listed([f"{part} -> {partner}" for part, partner in others.items()])
        lines.append(f"{name}: layers of equal resolution, which have other names here: {shown}")
    here = getattr(network, "num_classes", None)
    if classes is not None and here is not None and classes != here:
        lines.append(
            f"{name}: {classes or 'no'} classes in the file, {here or 'none'} here; what depends on them is new"
        )
    new = [key for key in own if key not in names]
    if new:
        lines.append(f"{name}: {len(new)} of {len(own)} tensors are not in the file, and begin anew: {_listed(new)}")
    placed = {old for key, old in names.items() if key in own}
    left = [key for key in state if key not in placed]
    if left:
        lines.append(f"{name}: {len(left)} tensors are in the file alone: {_listed(left)}")
    lines += [
        f"{name}.{key}: {tuple(state[old].shape)} in the file, {tuple(own[key].shape)} here"
        for key, old in names.items()
        if key in own and key not in fits
    ]
    network.load_state_dict(fits, strict=False)
    parameters = dict(network.named_parameters())
    weights = {key for key, value in parameters.items() if value.ndim >= 2} or parameters.keys()
    return len(fits.keys() & weights), lines


def _listed(names: list[str]) -> str:
    further = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + further
