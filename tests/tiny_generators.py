"""Tiny generators with random weights: one of styles, one of latents."""

from pathlib import Path

import torch
from torch import nn

from gan_lab.networks.mlp import MLPGenerator
from gan_lab.networks.stylegan2 import StyleGAN2Generator
from gan_lab.runs.checkpoint import LoadedGenerator
from gan_lab.sampling import LatentInputs


def generator(kind: str) -> LoadedGenerator:
    """A tiny one, drawn from seed 0."""
    torch.manual_seed(0)
    inputs = LatentInputs(6, "normal")
    if kind == "styles":
        given = {"w_dim": 8, "depth": 1, "width": 4, "max_width": 4, "w_average_decay": 0.9}
        network: nn.Module = StyleGAN2Generator(sample_shape=(1, 8, 8), latent_dim=6, **given)
        for convolution in network.synthesis.convolutions:
            convolution.noise_strength.data.fill_(0.1)
        network.w_average.normal_()
    else:
        given = {"width": 16, "depth": 1, "normalization": "none", "activation": "relu", "initialization": "he"}
        network = MLPGenerator(sample_shape=(1, 8, 8), latent_dim=6, **given)
    return LoadedGenerator(network.eval().requires_grad_(False), inputs, {}, 0, "ema", Path("x"), "generator")
