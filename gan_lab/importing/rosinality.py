"""Networks of rosinality's StyleGAN2 (files with `g_ema` and `d`), whose architecture follows from the shapes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_lab.importing.imported import Imported, check_filter
from gan_lab.importing.pickles import RefusedFile
from gan_lab.importing.saved import Tensors, indices

GRID = 4
LEAST_STAGES, MOST_STAGES = 2, 9
STYLES = 10_000  # whose mean is taken where the file has none
LONGEST = 2**13  # numbers of a latent; its authors have 512


def is_of(content: dict[str, Any]) -> bool:
    """Whether a file is one of these, by its keys."""
    state = content.get("g_ema", content.get("g"))
    return isinstance(state, dict) and "input.input" in state


def networks(content: dict[str, Any], path: Path, noise: str) -> Imported:
    """The averaged generator of a file, and its discriminator where there is one.

    Args:
        noise: see `gan_lab.importing.stylegan2_ada.generator`.
    Raises:
        RefusedFile: layers that `gan_lab.networks.stylegan2` has not.
    """
    if "g_ema" not in content:
        raise RefusedFile(f"{path} was refused: it holds g alone, and no averaged generator g_ema")
    state, settings = _generator(Tensors(content["g_ema"], "g_ema", path), content.get("latent_avg"), noise)
    shape, latent_dim = settings["sample_shape"], settings["latent_dim"]
    inputs = {"latent_dim": latent_dim, "latent_distribution": "normal"}
    model = {"_target_": "gan_lab.models.stylegan2.StyleGAN2", **inputs, "generator": settings}
    mean = content.get("latent_avg")
    network = "stylegan2_256" if shape[1] > 64 else "stylegan2_64"
    found = Imported(
        "StyleGAN2 (rosinality)", model, state, {}, network, averaged_styles=0 if mean is not None else STYLES
    )
    if "d" in content:
        found.discriminator_state, found.discriminator = _discriminator(Tensors(content["d"], "d", path), shape)
    return found


def _generator(left: Tensors, mean: Any, noise: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    path, state = left.path, {}
    depth = 0
    while f"style.{depth + 1}.weight" in left:  # style.0 scales the latents, and has no weights
        for kind, dimensions in (("weight", 2), ("bias", 1)):
            state[f"mapping.layers.{2 * depth}.{kind}"] = left.take(f"style.{depth + 1}.{kind}", dimensions)
        depth += 1
    if not depth:
        raise RefusedFile(f"{path} was refused: g_ema has no layers style.1, style.2, ... from latents to styles")
    constant = left.take("input.input", 4)
    state["synthesis.constant"] = constant.squeeze(0)

    def modulated(theirs: str, ours: str) -> int:
        weight = left.take(f"{theirs}.conv.weight", 5)
        state[f"{ours}.convolution.weight"] = weight.squeeze(0)
        for kind in ("weight", "bias"):
            state[f"{ours}.style.{kind}"] = left.take(f"{theirs}.conv.modulation.{kind}")
        return weight.shape[1]

    def convolution(theirs: str, ours: str) -> int:
        channels = modulated(theirs, ours)
        state[f"{ours}.noise_strength"] = _scalar(left.take(f"{theirs}.noise.weight"), f"{theirs}.noise.weight", path)
        state[f"{ours}.bias"] = left.take(f"{theirs}.activate.bias").flatten()
        if f"{theirs}.conv.blur.kernel" in left:
            check_filter(left.take(f"{theirs}.conv.blur.kernel"), f"{theirs}.conv.blur.kernel", path)
        return channels

    def to_image(theirs: str, ours: str) -> int:
        channels = modulated(theirs, ours)
        state[f"{ours}.bias"] = left.take(f"{theirs}.bias").flatten()
        if f"{theirs}.upsample.kernel" in left:
            check_filter(left.take(f"{theirs}.upsample.kernel"), f"{theirs}.upsample.kernel", path)
        return channels

    stages = indices(left.keys(), "to_rgbs.") + 1
    if not LEAST_STAGES <= stages <= MOST_STAGES or constant.shape[2:] != (GRID, GRID):
        raise RefusedFile(
            f"{path} was refused: g_ema doubles a grid of {constant.shape[2]}x{constant.shape[3]} {stages - 1} times; "
            f"read are generators of 8, 16, ... 1024 pixels that begin at {GRID}x{GRID}"
        )
    channels = [convolution("conv1", "synthesis.convolutions.0")]
    colours = to_image("to_rgb1", "synthesis.to_image.0")
    for stage in range(1, stages):
        for index in (2 * stage - 2, 2 * stage - 1):
            widths = convolution(f"convs.{index}", f"synthesis.convolutions.{index + 1}")
        channels.append(widths)
        to_image(f"to_rgbs.{stage - 1}", f"synthesis.to_image.{stage}")
    constants = [left.take(f"noises.noise_{k}").flatten() for k in range(2 * stages - 1) if f"noises.noise_{k}" in left]
    left.finish()
    w_dim, latent_dim = len(state["mapping.layers.0.weight"]), state["mapping.layers.0.weight"].shape[1]
    if latent_dim > LONGEST:
        raise RefusedFile(f"{path} was refused: g_ema takes latents of {latent_dim} numbers, more than {LONGEST}")
    size = GRID * 2 ** (stages - 1)
    settings: dict[str, Any] = {
        "_target_": "gan_lab.networks.stylegan2.StyleGAN2Generator",
        "sample_shape": [colours, size, size],
        "latent_dim": latent_dim,
        "w_dim": w_dim,
        "depth": depth,
        "width": channels[-1],
        "max_width": max(channels),
        "w_average_decay": 0.995,
    }
    if noise == "constant":
        if not constants:
            raise RefusedFile(f"{path} was refused: it holds no noise; leave noise=constant out")
        settings["constant_noise"] = True
        state["synthesis.constant_noise"] = torch.cat(constants)
    state["w_mean.running_mean"] = torch.zeros(w_dim)
    if mean is not None:
        state["w_mean.running_mean"] = Tensors({"latent_avg": mean}, "the file", path).take("latent_avg").flatten()
    return state, settings


def _discriminator(left: Tensors, shape: list[int]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    path = left.path
    state = {
        "stages.0.weight": left.take("convs.0.0.weight", 4),
        "stages.0.bias": left.take("convs.0.1.bias").flatten(),
    }
    channels = [len(state["stages.0.weight"])]
    for block in range(1, indices([*left.keys(), "convs.0"], "convs.")):
        theirs, ours = f"convs.{block}", f"stages.{block + 1}"
        state[f"{ours}.convolutions.0.weight"] = left.take(f"{theirs}.conv1.0.weight", 4)
        state[f"{ours}.convolutions.0.bias"] = left.take(f"{theirs}.conv1.1.bias").flatten()
        state[f"{ours}.convolutions.2.weight"] = left.take(f"{theirs}.conv2.1.weight", 4)
        state[f"{ours}.convolutions.2.bias"] = left.take(f"{theirs}.conv2.2.bias").flatten()
        state[f"{ours}.shortcut.1.weight"] = left.take(f"{theirs}.skip.1.weight", 4)
        for key in (f"{theirs}.conv2.0.kernel", f"{theirs}.skip.0.kernel"):
            check_filter(left.take(key), key, path)
        channels.append(len(state[f"{ours}.shortcut.1.weight"]))
    state["head.1.weight"] = left.take("final_conv.0.weight", 4)
    state["head.1.bias"] = left.take("final_conv.1.bias").flatten()
    for theirs, ours in (("final_linear.0", "head.4"), ("final_linear.1", "output")):
        for kind in ("weight", "bias"):
            state[f"{ours}.{kind}"] = left.take(f"{theirs}.{kind}")
    left.finish()
    settings: dict[str, Any] = {
        "_target_": "gan_lab.networks.stylegan2.StyleGAN2Discriminator",
        "sample_shape": shape,
        "width": channels[0],
        "max_width": max(channels),
        "architecture": "residual",
        "minibatch_std": 4,
    }
    return state, settings


def _scalar(values: Tensor, key: str, path: Path) -> Tensor:
    """The one number of a tensor, without dimensions."""
    if values.numel() != 1:
        raise RefusedFile(f"{path} was refused: g_ema's {key} has {values.numel()} numbers, and not one")
    return values.reshape(())
