"""Generators of NVlabs' StyleGAN2-ADA (PyTorch) pickles, and of the StyleGAN2 in StyleGAN3's repository."""

import hashlib
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_lab.importing.imported import Imported, check_filter, whole
from gan_lab.importing.pickles import Record, RefusedFile, part, shown, tensor, tensor_records

POSITIONAL = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
HARMLESS = ("num_fp16_res", "fp16_channels_last", "fused_modconv_default")  # of speed and layout alone
SYNTHESIS = {  # settings that have one value here
    "architecture": "skip",
    "activation": "lrelu",
    "use_noise": True,
    "resample_filter": [1, 3, 3, 1],
}
MAPPING = {"activation": "lrelu", "lr_multiplier": 0.01, "layer_features": None}


def generator(network: Record, path: Path, noise: str) -> Imported:
    """The generator of a persistent object of class `Generator`.

    Args:
        noise: "random" for fresh noise in each picture, "constant" for that which the file holds.
    Raises:
        RefusedFile: settings or layers that `gan_lab.networks.stylegan2` has not.
    """
    given, mapping = _settings(network, path)
    latent_dim, w_dim = whole(given.pop("z_dim"), "z_dim", path, 1), whole(given.pop("w_dim"), "w_dim", path, 1)
    classes, size = whole(given.pop("c_dim"), "c_dim", path), whole(given.pop("img_resolution"), "img_resolution", path)
    channels = whole(given.pop("img_channels"), "img_channels", path, 1)
    base, most = (whole(given.pop(n, d), n, path, 1) for n, d in (("channel_base", 32768), ("channel_max", 512)))
    clamp = given.pop("conv_clamp", None)
    if clamp is not None and not (type(clamp) in (int, float) and 0 < clamp < float("inf")):
        raise RefusedFile(f"{path} was refused: its conv_clamp must be a number above 0, not {shown(clamp)}")
    _refuse_others(given, {**SYNTHESIS, **dict.fromkeys(HARMLESS)}, "synthesis", path)
    depth = whole(mapping.pop("num_layers", 8), "num_layers", path, 1)
    decay, embedded = mapping.pop("w_avg_beta", 0.995), mapping.pop("embed_features", None)
    _refuse_others(mapping, MAPPING, "mapping", path)
    if type(decay) is not float or not 0 <= decay < 1:
        raise RefusedFile(f"{path} was refused: its w_avg_beta must be in [0, 1), not {shown(decay)}")
    if classes and (w_dim if embedded is None else embedded) != latent_dim:
        raise RefusedFile(
            f"{path} was refused: its classes are embedded to {shown(w_dim if embedded is None else embedded)} numbers "
            f"and its latents have {latent_dim}; gan_lab's mapping has as many for both"
        )
    if size < 8 or size > 1024 or size & (size - 1):
        raise RefusedFile(f"{path} was refused: its pictures of {size} pixels are not 8, 16, ... 1024 wide")
    settings: dict[str, Any] = {
        "_target_": "gan_lab.networks.stylegan2.StyleGAN2Generator",
        "sample_shape": [channels, size, size],
        "latent_dim": latent_dim,
        "w_dim": w_dim,
        "depth": depth,
        "width": min(base // size, most),
        "max_width": most,
        "w_average_decay": decay,
    }
    model = {"_target_": "gan_lab.models.stylegan2.StyleGAN2"}
    inputs: dict[str, Any] = {"latent_dim": latent_dim, "latent_distribution": "normal"}
    if clamp is not None:
        settings["conv_clamp"] = float(clamp)
    if noise == "constant":
        settings["constant_noise"] = True
    if classes:
        settings |= {"conditioning": "concatenation", "num_classes": classes}
        model = {"_target_": "gan_lab.models.conditional.ConditionalGANModule"}
        inputs |= {"num_classes": classes, "label_distribution": "uniform"}
    state = _translated(tensor_records(network, path), size, depth, classes, noise, path)
    source = network.arguments[0].get("module_src")
    known = {"conv_clamp": clamp}
    if isinstance(source, str):
        known["code_sha256"] = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    nearest = "stylegan2_256" if size > 64 else "stylegan2_64"
    return Imported("StyleGAN2-ADA (PyTorch)", model | inputs | {"generator": settings}, state, known, nearest)


def _settings(network: Record, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the generator was built with, that of the synthesis among it; and that of the mapping."""
    given = dict(part(network, "_init_kwargs", path))
    positional = network.state.get("_init_args", ())
    if not isinstance(positional, tuple) or len(positional) > len(POSITIONAL):
        raise RefusedFile(f"{path} was refused: its generator was built with unnamed settings that are not known")
    given |= dict(zip(POSITIONAL, positional, strict=False))
    mapping, synthesis = given.pop("mapping_kwargs", {}), given.pop("synthesis_kwargs", {})
    if not isinstance(mapping, dict) or not isinstance(synthesis, dict):
        raise RefusedFile(f"{path} was refused: its mapping_kwargs or synthesis_kwargs are no settings")
    given.pop("class_name", None)
    if lacking := [name for name in POSITIONAL if name not in given]:
        raise RefusedFile(f"{path} was refused: its generator's settings lack {', '.join(lacking)}")
    return given | synthesis, dict(mapping)


def _refuse_others(given: dict[str, Any], known: dict[str, Any], place: str, path: Path) -> None:
    """Refuse a setting that is not known, or has another value than the only one here (None: any)."""
    for key, value in given.items():
        if key not in known:
            raise RefusedFile(f"{path} was refused: its {place} has the setting {shown(key)}, which gan_lab has not")
        same = value == known[key] if type(value) in (str, bool, float, int) else shown(value) == shown(known[key])
        if key not in HARMLESS and not same:
            raise RefusedFile(
                f"{path} was refused: its {place} has {key}={shown(value)}; gan_lab has {shown(known[key])} alone"
            )


def _translated(
    records: dict[str, Record], size: int, depth: int, classes: int, noise: str, path: Path
) -> dict[str, Tensor]:
    """The generator's state by gan_lab's keys; every key of the file has its place."""
    left = dict(records)

    def take(key: str) -> Tensor:
        if key not in left:
            raise RefusedFile(f"{path} was refused: its generator has no {key}")
        return tensor(left.pop(key), key, path)

    def layer(theirs: str, ours: str) -> None:
        state[f"{ours}.style.weight"], state[f"{ours}.style.bias"] = (
            take(f"{theirs}.affine.weight"),
            take(f"{theirs}.affine.bias"),
        )
        state[f"{ours}.convolution.weight"], state[f"{ours}.bias"] = take(f"{theirs}.weight"), take(f"{theirs}.bias")

    state = {"w_mean.running_mean": take("mapping.w_avg"), "synthesis.constant": take("synthesis.b4.const")}
    if classes:
        state["mapping.embedding.weight"], state["mapping.embedding.bias"] = (
            take("mapping.embed.weight"),
            take("mapping.embed.bias"),
        )
    for index in range(depth):
        for kind in ("weight", "bias"):
            state[f"mapping.layers.{2 * index}.{kind}"] = take(f"mapping.fc{index}.{kind}")
    places, constants = count(), []
    for stage in range(size.bit_length() - 2):
        block = f"synthesis.b{4 * 2**stage}"
        for name in ("conv1",) if stage == 0 else ("conv0", "conv1"):
            ours = f"synthesis.convolutions.{next(places)}"
            layer(f"{block}.{name}", ours)
            state[f"{ours}.noise_strength"] = take(f"{block}.{name}.noise_strength")
            constants.append(take(f"{block}.{name}.noise_const").flatten())
        layer(f"{block}.torgb", f"synthesis.to_image.{stage}")
    if noise == "constant":
        state["synthesis.constant_noise"] = torch.cat(constants)
    for key in list(left):
        if key.endswith(".resample_filter"):
            check_filter(take(key), key, path)
    if left:
        raise RefusedFile(f"{path} was refused: its generator has {shown(next(iter(left)))}, which gan_lab's has not")
    return state
