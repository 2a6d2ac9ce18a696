"""Where a layer keeps the precision of its own weights."""

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor


def without_autocast(values: Tensor) -> AbstractContextManager[None]:
    """What is computed inside, on the device of `values`, keeps its type; tensors on "meta" know no autocast."""
    return contextlib.nullcontext() if values.is_meta else torch.autocast(values.device.type, enabled=False)
