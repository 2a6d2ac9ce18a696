"""Where values keep a precision of their own, whatever the networks are computed in."""

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor


def without_autocast(values: Tensor) -> AbstractContextManager[None]:
    """What is computed inside, on the device of `values`, keeps its type; tensors on "meta" know no autocast."""
    return contextlib.nullcontext() if values.is_meta else torch.autocast(values.device.type, enabled=False)


def full_precision(values: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
