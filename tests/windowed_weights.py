"""Large networks' weights in small files: overlapping windows of one short random vector."""

import torch
from torch import nn


def windowed_state(network: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """A state dict for `network` (on any device, meta too) whose matrices are views of few numbers.

    Counters, which have no dimension, are left out.

    Row i of a matrix begins 7 numbers after row i - 1, so no two rows are alike, and `torch.save` stores the vector.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in network.state_dict().items():
        if value.dim() == 0:
            continue
        rows = value.shape[0]
        columns = value[0].numel()
        spread = (2 / columns) ** 0.5 if value.dim() > 1 else 0.1
        numbers = torch.randn(columns + 7 * rows, generator=generator) * spread
        strides = [7]
        inner = columns
        for size in value.shape[1:]:
            inner //= size
            strides.append(inner)
        state[name] = numbers.as_strided(value.shape, strides)
    return state
