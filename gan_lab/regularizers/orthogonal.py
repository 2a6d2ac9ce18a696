"""Orthogonal regularization: the filters of a layer should differ (Brock et al. 2019)."""

from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.layers.equalized import EqualizedLinear
from gan_lab.layers.kinds import LINEAR_MAPS, TRANSPOSED_CONVOLUTIONS, refuse_unknown_weights
from gan_lab.layers.modulated_convolution import ModulatedConv2d
from gan_lab.layers.precision import full_precision, without_autocast
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.schedules import Schedule


def off_diagonal_penalty(filters: Tensor) -> Tensor:
    """|W W^T o (1 - I)|_F^2: squared inner products of different filters (Brock et al. 2019, equation 3).

    The norms of the filters are free. (The paper writes W^T W, with filters as columns.)

    Args:
        filters: (..., F, N): F filters of N values.
    Returns:
        a scalar, unweighted; each pair counts twice.
    """
    # W W^T and W^T W have one Frobenius norm: the smaller one is computed.
    products = filters @ filters.mT if filters.shape[-2] <= filters.shape[-1] else filters.mT @ filters
    return products.square().sum() - filters.square().sum(-1).square().sum()


def raw_weight(layer: nn.Module) -> Tensor:
    """The trained weight; with spectral normalization the one before it, since reading the other counts as a pass."""
    if nn.utils.parametrize.is_parametrized(layer, "weight"):
        return layer.parametrizations.weight.original  # type: ignore[union-attr, return-value]
    return layer.weight  # type: ignore[return-value]


def filters_of(layer: nn.Module) -> Tensor:
    """(groups, F, N) filters of a linear layer or a convolution, transposed or not."""
    by_group = raw_weight(layer).unflatten(0, (getattr(layer, "groups", 1), -1))
    if isinstance(layer, TRANSPOSED_CONVOLUTIONS):  # its weight is (inputs, outputs / groups, ...)
        by_group = by_group.transpose(1, 2)
    return by_group.flatten(2)


class Orthogonal(Regularizer):
    """beta * |W W^T o (1 - I)|_F^2 of all linear layers and convolutions of a network (Brock et al. 2019, equation 3).

    Embeddings of classes are left out, as in the authors' code. That code (BigGAN-PyTorch) does not differentiate the
    penalty but adds 2 (W W^T o (1 - I)) W to the gradient, half of the equation's derivative, which is taken here: its
    1e-4 is a weight of 5e-5 here.

    Args:
        weight: beta, 0 or more, or a schedule of it (paper: 1e-4).
        every: see `Regularizer`.
        network: "generator" (paper) or "discriminator".
    """

    name = "orthogonal"

    def __init__(self, weight: float | Schedule, every: int, network: str) -> None:
        super().__init__(weight, every)
        if network not in ("generator", "discriminator"):
            raise ValueError(f"regularizer orthogonal: network must be generator or discriminator, got {network!r}")
        self.group, self.name = network, f"orthogonal_{network}"

    def check(self, module: Any) -> None:
        if any(isinstance(part, (EqualizedLinear, ModulatedConv2d)) for part in getattr(module, self.group).modules()):
            raise ValueError(
                f"regularizer {self.name} compares filters as they are stored, and the {self.group} scales its filters "
                "where it uses them (equalized learning rate); leave the regularizer out"
            )
        refuse_unknown_weights(getattr(module, self.group), f"regularizer {self.name}")
        if not self._layers(module):
            raise ValueError(
                f"regularizer {self.name} finds no linear layer or convolution in the {self.group} whose weights are "
                "trained; leave it out, or less of the network frozen (model.freeze)"
            )

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """The sum over the layers, one number."""
        layers = self._layers(module)
        with without_autocast(raw_weight(layers[0])):  # it is a difference of large numbers
            penalties = [off_diagonal_penalty(full_precision(filters_of(layer))) for layer in layers]
        return torch.stack(penalties).sum()

    def _layers(self, module: Any) -> list[nn.Module]:
        layers = [layer for layer in getattr(module, self.group).modules() if isinstance(layer, LINEAR_MAPS)]
        return [layer for layer in layers if raw_weight(layer).requires_grad]
