"""Walks from latent to latent, open or closed."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.latents.space import Points, Space


def walk(space: Space, points: Points, frames: int, loop: bool) -> Points:
    """A walk through `points` in order, at times that are equally far apart from one to the next.

    Styles go along a cubic spline through w (as in NVlabs' published video tool), latents along `inputs.between`: arcs
    where they are normal, with a bend at each point.

    Args:
        points: 2 or more.
        frames: in all, as many as there are points or more. Of a loop the last one lies as far before the first as any
            two neighbours are apart; else the walk begins at the first point and ends at the last.
        loop: whether it comes back to its first point.
    Returns:
        `frames` points.
    Raises:
        ValueError: fewer points or frames, or labels that differ, between which there is nothing.
    """
    count = len(points.positions)
    if count < 2:
        raise ValueError(f"a walk needs 2 points or more, got {count}")
    if frames < count:
        raise ValueError(f"frames must be at least the number of points, {count}, got {frames}")
    if points.labels is not None and len(points.labels.unique()) > 1:
        raise ValueError(
            "this generator has no styles, and between its classes there is nothing: name the one of the walk, "
            "classes=[3] for example"
        )
    times = np.arange(frames) * count / frames if loop else np.linspace(0, count - 1, frames)
    positions = points.positions
    if loop:
        positions = torch.cat([positions, positions[:1]])
    along = spline(positions, times, loop) if space.name == "w" else arcs(space.loaded.inputs, positions, times)
    labels = None if points.labels is None else points.labels[:1].expand(frames)
    return Points(along, labels)


def spline(positions: Tensor, times: np.ndarray, closed: bool) -> Tensor:
    """A cubic spline with two continuous derivatives, also where a closed one begins.

    Args:
        positions: (N + 1, ...) float64 at times 0 to N; of a closed one the last equals the first.
        times: (F,) from 0 to N.
        closed: else it has no curvature at its ends.
    Returns:
        (F, ...) float64.
    """
    from scipy.interpolate import CubicSpline

    kind = "periodic" if closed else "natural"
    return torch.from_numpy(CubicSpline(np.arange(len(positions)), positions.numpy(), bc_type=kind)(times))


def arcs(inputs: Any, positions: Tensor, times: np.ndarray) -> Tensor:
    """Arcs, or straight lines, from each position to the next.

    Args:
        inputs: whose `between` it is, see `gan_lab.sampling.LatentInputs`.
        positions: (N + 1, dim) float64 at times 0 to N.
        times: (F,) from 0 to N.
    Returns:
        (F, dim) float64.
    """
    before = np.minimum(np.floor(times).astype(int), len(positions) - 2)
    return inputs.between(positions[before], positions[before + 1], torch.from_numpy(times - before))
