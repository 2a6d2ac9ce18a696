"""Samples that are made while training goes on, without a trace in it."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn


@contextlib.contextmanager
def scoring_mode(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Samples made inside leave no trace in training.

    Inside: eval mode, no gradients, no autocast, TF32 or cuDNN search. Afterwards: every submodule's own mode, these
    switches and all random states as before.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), _undisturbed(device):
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    precision = torch.get_float32_matmul_precision()
    devices = [device] if device.type == "cuda" else []
    try:
        torch.set_float32_matmul_precision("highest")
        with (
            torch.random.fork_rng(devices=devices),
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        random.setstate(python)
        np.random.set_state(numpy)
