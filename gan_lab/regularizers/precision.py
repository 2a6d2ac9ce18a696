"""Penalties are computed in float32 at least, whatever the networks are computed in."""

import torch
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
