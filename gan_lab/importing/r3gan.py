"""Generators of R3GAN's pickles (Huang et al. 2024), whose architecture follows from the shapes."""

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_lab.importing.imported import Imported, check_filter
from gan_lab.importing.pickles import Record, RefusedFile, shown, tensor, tensor_records

GRID = 4
MOST_STAGES = 9


def generator(network: Record, path: Path) -> Imported:
    """The generator of a module `training.networks.Generator`, with classes or without.

    Raises:
        RefusedFile: layers that `gan_lab.networks.r3gan` has not.
    """
    left = tensor_records(network, path)

    def take(key: str) -> Tensor:
        key = f"Model.{key}"
        if key not in left:
            raise RefusedFile(f"{path} was refused: its generator has no {key}")
        return tensor(left.pop(key), key, path)

    def shaped(key: str, dimensions: int) -> Tensor:
        found = take(key)
        if found.ndim != dimensions or not found.numel():
            raise RefusedFile(f"{path} was refused: Model.{key} has the shape {shown(list(found.shape))}")
        return found

    basis, weights = shaped("MainLayers.0.Layers.0.Basis", 3), shaped("MainLayers.0.Layers.0.LinearLayer.weight", 2)
    state: dict[str, Tensor] = {"basis": basis, "weights.weight": weights}
    embedding = None
    if "Model.EmbeddingLayer.weight" in left:
        embedding = shaped("EmbeddingLayer.weight", 2)
        state["classes.weight"] = embedding.T.contiguous()
    channels, groups, blocks, insides = [len(basis)], set(), set(), set()
    stages = len({key.split(".")[2] for key in left if key.startswith("Model.MainLayers.")})
    if not 1 <= stages <= MOST_STAGES:
        raise RefusedFile(f"{path} was refused: its generator has {stages} stages")
    for stage in range(stages):
        place = f"MainLayers.{stage}.Layers"
        if stage:
            if f"Model.{place}.0.LinearLayer.Layer.weight" in left:
                changing = shaped(f"{place}.0.LinearLayer.Layer.weight", 4)
                state[f"stages.{3 * stage - 2}.weight"] = changing
                channels.append(len(changing))
            else:
                channels.append(channels[-1])
            check_filter(take(f"{place}.0.Resampler.Kernel"), f"{place}.0.Resampler.Kernel", path)
        block = 0
        while f"Model.{place}.{block + 1}.LinearLayer1.Layer.weight" in left:
            theirs, ours = f"{place}.{block + 1}", f"stages.{3 * stage}.{block}.residual"
            for layer in (1, 2, 3):
                state[f"{ours}.{2 * layer - 2}.weight"] = shaped(f"{theirs}.LinearLayer{layer}.Layer.weight", 4)
            for layer in (1, 2):
                state[f"{ours}.{2 * layer - 2}.bias"] = shaped(f"{theirs}.NonLinearity{layer}.Bias", 1)
            inside, group = state[f"{ours}.2.weight"].shape[:2]
            groups.add(group)
            insides.add(inside / channels[-1])
            block += 1
        blocks.add(block)
    state["output.weight"] = shaped("AggregationLayer.Layer.weight", 4)
    if left:
        raise RefusedFile(f"{path} was refused: its generator has {shown(next(iter(left)))}, which gan_lab's has not")
    if len(groups) != 1 or len(blocks) != 1 or len(insides) != 1 or not float(next(iter(insides))).is_integer():
        raise RefusedFile(f"{path} was refused: its stages differ in blocks, expansion or width of groups")
    width, size = math.gcd(*channels), GRID * 2 ** (stages - 1)
    embedding_dim = 0 if embedding is None else len(embedding)
    latent_dim = weights.shape[1] - embedding_dim
    settings: dict[str, Any] = {
        "_target_": "gan_lab.networks.r3gan.R3GANGenerator",
        "sample_shape": [len(state["output.weight"]), size, size],
        "latent_dim": latent_dim,
        "width": width,
        "multipliers": [each // width for each in channels],
        "blocks": blocks.pop(),
        "expansion": int(insides.pop()),
        "group_width": groups.pop(),
    }
    model: dict[str, Any] = {"_target_": "gan_lab.models.r3gan.R3GAN"}
    if embedding is not None:
        classes = embedding.shape[1]
        settings |= {"conditioning": "embedding", "num_classes": classes, "embedding_dim": embedding_dim}
        model = {"_target_": "gan_lab.models.r3gan_conditional.ConditionalR3GAN"}
        model |= {"num_classes": classes, "label_distribution": "uniform"}
    model |= {"latent_dim": latent_dim, "latent_distribution": "normal", "generator": settings}
    return Imported("R3GAN", model, state, {}, "r3gan64" if size >= 64 else "r3gan")
