"""Directions in which pictures change: of the first weights, of what varies most, or from one set to another."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.evaluation.isolation import scoring_mode
from gan_lab.latents.space import Space

AT_ONCE = 16  # latents that go through a network together


def sefa(space: Space, *, count: int, samples: Tensor, layers: tuple[int, int] | None = None) -> Tensor:
    """Directions that change the first layers' outputs most: SeFa (Shen and Zhou 2021, section 3.2).

    Eigenvectors of A^T A, largest eigenvalue first, where A are the weights of all style layers, one above the other;
    without styles, that of the layer that sees the latents first.

    Args:
        space: of a generator without truncation or sliders.
        count: of directions.
        samples: (N, dim) float64 positions, by whose deviation along a direction its length is set.
        layers: (first, end) of the w whose style layers are taken; None for all.
    Returns:
        (count, dim) float64: what a strength of 1 adds, one standard deviation.
    Raises:
        ValueError: more directions than dimensions, or no such layers.
    """
    check_count(space, count)
    weight = style_weight(space, layers) if space.name == "w" else first_weight(space)
    values, vectors = torch.linalg.eigh(weight.T @ weight)
    found = vectors.T[values.argsort(descending=True)][:count]
    return signed(found * (samples @ found.T).std(dim=0)[:, None])


def principal(space: Space, *, count: int, samples: Tensor) -> Tensor:
    """Directions along which samples vary most (Härkönen et al. 2020, section 2).

    Of styles: the principal components of w. Without styles: those of the first layer's outputs y = A z + b, each led
    back to z by the regression of z on its coordinate (section 2.2). With C = L L^T the covariance of z and A L =
    V S R^T, the components are V, and a standard deviation along one is L R: no output needs to be kept.

    Args:
        space: of a generator without truncation or sliders.
        count: of directions.
        samples: (N, dim) float64 positions.
    Returns:
        (count, dim) float64: what a strength of 1 adds, one standard deviation.
    Raises:
        ValueError: more directions than dimensions, or fewer samples than two.
    """
    check_count(space, count)
    if len(samples) < 2:
        raise ValueError(f"samples must be 2 or more, got {len(samples)}")
    values, vectors = torch.linalg.eigh(samples.T.cov())
    root = vectors * values.clamp_min(0).sqrt()
    seen = root if space.name == "w" else first_weight(space) @ root
    return signed((root @ torch.linalg.svd(seen, full_matrices=False).Vh.T).T[:count])


def difference(*, plus: Tensor, minus: Tensor) -> Tensor:
    """From the mean of (N, dim) positions `minus` to that of `plus`: (1, dim), which a strength of 1 adds."""
    return (plus.mean(dim=0) - minus.mean(dim=0))[None]


def check_count(space: Space, count: int) -> None:
    """As many directions as there are dimensions at most.

    Raises:
        ValueError: more, or none.
    """
    if not 1 <= count <= space.dim:
        raise ValueError(f"count must be from 1 to the {space.dim} dimensions of {space.name}, got {count}")


def style_weight(space: Space, layers: tuple[int, int] | None) -> Tensor:
    """(sum of inputs, dim) float64: the style layers' weights, one above the other.

    Raises:
        ValueError: there are no such layers.
    """
    network: Any = space.loaded.network
    first, end = layers or (0, network.num_layers)
    chosen = [weight for layer, weight in network.synthesis.style_weights() if first <= layer < end]
    return torch.cat(chosen).double().cpu()


def first_weight(space: Space) -> Tensor:
    """(outputs, dim) float64: how the first linear layer or convolution that sees latents follows them.

    It is measured, by a latent of zeros and those of a single one, so that scales and norms of the weights, labels
    beside the latents, and layers that see a part of them need no care.

    Raises:
        ValueError: there is no such layer.
    """
    network, outputs = space.loaded.network, []
    latents = torch.cat([torch.zeros(1, space.dim), torch.eye(space.dim)]).to(space.device)
    for part in latents.split(AT_ONCE):
        outputs.append(_first_output(network, space, part))
    found = torch.cat(outputs)
    return (found[1:] - found[0]).T


def _first_output(network: nn.Module, space: Space, latents: Tensor) -> Tensor:
    """(B, outputs) float64 of the first such layer."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: Any, output: Tensor) -> None:
        seen.append(output.detach().flatten(1).double().cpu())

    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    hooks = [module.register_forward_hook(keep) for module in network.modules() if isinstance(module, kinds)]
    if not hooks:
        raise ValueError(f"{type(network).__name__} has no linear layer or convolution whose weight tells directions")
    labels = torch.zeros(len(latents), dtype=torch.int64, device=space.device)
    conditional = getattr(network, "num_classes", 0)
    try:
        with scoring_mode(network, space.device):
            space.make(latents, labels if conditional else None)
    finally:
        for hook in hooks:
            hook.remove()
    return seen[0]


def signed(directions: Tensor) -> Tensor:
    """(count, dim), each turned so that its largest value is positive: an eigenvector's sign means nothing."""
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    return torch.where(largest < 0, -directions, directions)


def checked_layers(layers: Sequence[int] | None, space: Space) -> tuple[int, int] | None:
    """`layers`, if this space has them.

    Raises:
        ValueError: it has not.
    """
    if layers is None:
        return None
    if space.name != "w":
        raise ValueError(f"layers={list(layers)} are of generators with styles, and this one has none; leave it out")
    end: Any = space.loaded.network.num_layers
    if len(layers) != 2 or not 0 <= layers[0] < layers[1] <= end:
        raise ValueError(f"layers must be [first,end] with 0 <= first < end <= {end}, got {list(layers)}")
    return layers[0], layers[1]
