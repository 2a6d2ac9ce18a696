"""Networks of StudioGAN's checkpoints: `resnet` and `big_resnet`, whose architecture follows from keys and shapes.

Batch normalization there adds 1e-4 to the variance and here 1e-5; the difference goes into the running variance.
What a file does not say is taken as StudioGAN has it by default: ReLU in both networks, in place in D's blocks.
"""

from itertools import count
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_lab.importing.imported import Imported, as_multiples, normalized, spectral
from gan_lab.importing.pickles import RefusedFile
from gan_lab.importing.saved import Tensors

GRID = 4
EPSILON = 1e-4
BLOCKS = {3: 32, 4: 64, 5: 128, 6: 256, 7: 512}  # of a generator: pixels
HALVINGS = {32: 2, 64: 4, 128: 5, 256: 6, 512: 7}  # pixels: of the discriminator's blocks
ATTENTION = {"query": "theta", "key": "phi", "value": "g", "output": "attn"}
LATENTS = {"latent_distribution": "normal"}
OTHERS = {  # keys that tell a backbone, and what stands against it
    "blocks.0.0.conv2d4": "big_resnet_deep, whose blocks have four convolutions",
    "blocks.0.0.deconv0": "deep_conv, whose layers are in another order than gan_lab's DCGAN",
    "mapping.": "stylegan2 or stylegan3",
    "synthesis.": "stylegan2 or stylegan3",
}


def is_of(content: dict[str, Any]) -> bool:
    """Whether a file is one of these, by its keys."""
    state = content.get("state_dict")
    return isinstance(state, dict) and any(
        str(key).startswith(("linear0.weight", "linear1.weight", "mapping.", "synthesis.")) for key in state
    )


def networks(content: dict[str, Any], path: Path, beside: dict[str, Any] | None, beside_path: Path | None) -> Imported:
    """The generator of a file, and the discriminator of that beside it.

    Raises:
        RefusedFile: layers that gan_lab's networks have not.
    """
    left = Tensors(content["state_dict"], "the generator", path)
    _refuse_others(left)
    if "linear0.weight" not in left and "linear0.weight_orig" not in left:
        raise RefusedFile(
            f"{path} was refused: it holds a discriminator; give the generator's checkpoint as file=, and this one as "
            "discriminator="
        )
    found = _generator(left)
    found.averaged = "G_ema" in path.name
    size = found.model["generator"]["sample_shape"][1]
    plain = found.model["generator"]["_target_"].endswith("ResNetGenerator")
    if beside is None:
        found.discriminator = _usual_discriminator(size, plain)
    elif beside_path is not None:
        judge = Tensors(beside["state_dict"], "the discriminator", beside_path)
        _refuse_others(judge)
        found.discriminator_state, found.discriminator, found.left_behind = _discriminator(
            judge, found.model["generator"]["sample_shape"]
        )
        if plain:
            target = found.model["generator"]["_target_"]
            found.network = "sagan"
            found.further_words = [
                f"model.generator._target_={target}",
                "+model.generator.normalization=batch",
                "~model.generator.attention",
            ]
    return found


def _refuse_others(left: Tensors) -> None:
    """Refuse the backbones that gan_lab does not compute, by their names."""
    for beginning, name in OTHERS.items():
        if left.has(beginning):
            raise RefusedFile(
                f"{left.path} was refused: it holds StudioGAN's {name}; read are resnet and big_resnet alone"
            )


def _generator(left: Tensors) -> Imported:
    path = left.path
    state: dict[str, Tensor] = {}
    spectrally, shared = "linear0.weight_orig" in left, "shared.weight" in left
    state |= weighted(left, "linear0", "stem.0", spectrally)
    stem = next(value for key, value in state.items() if key.endswith(("weight", "original")))
    channels, attention, blocks, classes, condition_dim = [len(stem) // GRID**2], 0, 0, 0, 0
    for index in count():
        theirs = f"blocks.{index}.0"
        if not left.has(f"{theirs}."):
            break
        if left.has(f"{theirs}.conv1x1_theta."):
            if attention or not blocks:
                raise RefusedFile(f"{path} was refused: the generator has more than one attention; gan_lab's have one")
            attention = blocks
            ours = f"stages.{blocks - 1}.1" if shared else f"blocks.{index}"
            state |= _attention(left, theirs, ours, spectrally)
            continue
        ours = f"stages.{blocks}.0" if shared else f"blocks.{index}"
        for name, place in (("conv2d0", "shortcut.0"), ("conv2d1", "residual.3"), ("conv2d2", "residual.6")):
            state |= weighted(left, f"{theirs}.{name}", f"{ours}.{place}", spectrally)
        for name, place in (("bn1", "residual.0"), ("bn2", "residual.4")):
            further, condition_dim = _conditional(left, f"{theirs}.{name}", f"{ours}.{place}", spectrally, shared)
            state |= further
        channels.append(len(state[f"{ours}.shortcut.0.bias"]))
        blocks += 1
    state |= normalized(left, "bn4", "output.0", affine=True, epsilon=EPSILON)
    state |= weighted(left, "conv2d5", "output.2", spectrally)
    if blocks not in BLOCKS:
        raise RefusedFile(f"{path} was refused: the generator has {blocks} blocks, and StudioGAN's have 3 to 7")
    width, multipliers = as_multiples(channels)
    size, latent_dim = BLOCKS[blocks], stem.shape[-1]
    settings: dict[str, Any] = {
        "sample_shape": [len(state["output.2.bias"]), size, size],
        "width": width,
        "multipliers": multipliers,
        "initialization": "orthogonal",
        "gain": 1.0,
        "bias": True,
    }
    model: dict[str, Any] = {"_target_": "gan_lab.models.sngan.SNGAN"}
    if shared:
        if not spectrally or not condition_dim:
            lacks = "classes in its batch normalization" if spectrally else "spectral normalization"
            raise RefusedFile(f"{path} was refused: its big_resnet has no {lacks}; BigGAN's generator here has both")
        embedding = left.take("shared.weight", 2)
        state["classes.weight"] = embedding
        classes, latent_dim = len(embedding), latent_dim * (blocks + 1)
        settings |= {"_target_": "gan_lab.networks.biggan.BigGANGenerator", "embedding_dim": embedding.shape[1]}
        settings |= {"attention": attention, "conditioning": "batch_norm", "num_classes": classes}
        model, network = (
            {"_target_": "gan_lab.models.biggan.BigGAN"},
            {32: "biggan", 64: "biggan64"}.get(size, "biggan128"),
        )
    else:
        classes = condition_dim
        if spectrally:
            settings |= {"_target_": "gan_lab.networks.sagan.SAGANGenerator", "attention": attention}
        elif attention:
            raise RefusedFile(
                f"{path} was refused: its generator has attention without spectral normalization, which gan_lab has not"
            )
        else:
            settings |= {"_target_": "gan_lab.networks.resnet.ResNetGenerator", "normalization": "batch"}
        if classes:
            settings |= {"conditioning": "linear_batch_norm", "num_classes": classes}
            model = {"_target_": "gan_lab.models.conditional.ConditionalGANModule"}
        network = {32: "sagan", 64: "sagan64"}.get(size, "sagan128") if spectrally else "resnet"
    left.finish()
    settings["latent_dim"] = latent_dim
    model |= {"latent_dim": latent_dim, **LATENTS}
    model |= {"num_classes": classes, "label_distribution": "uniform"} if classes else {}
    backbone = "big_resnet" if shared else "resnet"
    return Imported(f"StudioGAN ({backbone})", model | {"generator": settings}, state, {}, network)


def _conditional(
    left: Tensors, theirs: str, ours: str, spectrally: bool, shared: bool
) -> tuple[dict[str, Tensor], int]:
    """A block's batch normalization, and the length of what its scales are linear in; 0 of one that is free of that."""
    suffix = "weight_orig" if spectrally else "weight"
    inside = ours if shared else f"{ours}.normalization"
    if f"{theirs}.gain.{suffix}" in left:
        state = normalized(left, f"{theirs}.bn", f"{inside}.normalization", affine=False, epsilon=EPSILON)
        for name, place in (("gain", "scale"), ("bias", "offset")):
            state |= weighted(left, f"{theirs}.{name}", f"{inside}.{place}", spectrally, bias=False)
    elif (
        f"{theirs}.embed0.{suffix}" in left
    ):  # of earlier versions: tables of classes, which are those layers' transposes
        state = normalized(left, f"{theirs}.bn", f"{inside}.normalization", affine=False, epsilon=EPSILON)
        for name, place in (("embed0", "scale"), ("embed1", "offset")):
            state |= weighted(left, f"{theirs}.{name}", f"{inside}.{place}", spectrally, bias=False, transposed=True)
    else:
        return normalized(left, theirs, ours, affine=True, epsilon=EPSILON), 0
    scale = state.get(f"{inside}.scale.weight", state.get(f"{inside}.scale.parametrizations.weight.original"))
    assert scale is not None
    return state, scale.shape[-1]


def _attention(left: Tensors, theirs: str, ours: str, spectrally: bool) -> dict[str, Tensor]:
    state = {f"{ours}.gamma": left.take(f"{theirs}.sigma", 1).reshape(-1)[0]}
    for name, letter in ATTENTION.items():
        state |= weighted(left, f"{theirs}.conv1x1_{letter}", f"{ours}.{name}", spectrally, bias=False)
    return state


def weighted(
    left: Tensors, theirs: str, ours: str, normalizes: bool, *, bias: bool = True, transposed: bool = False
) -> dict[str, Tensor]:
    """A layer's weight, spectrally normalized or not, and its bias, by gan_lab's keys."""
    if normalizes:
        return spectral(left, theirs, ours, bias=bias, transposed=transposed)
    weight = left.take_weight(f"{theirs}.weight")
    state = {f"{ours}.bias": left.take(f"{theirs}.bias", 1)} if bias else {}
    return state | {f"{ours}.weight": weight.transpose(0, 1).contiguous() if transposed else weight}


def _discriminator(left: Tensors, shape: list[int]) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    path = left.path
    state: dict[str, Tensor] = {}
    channels: list[int] = []
    if "linear1.weight_orig" not in left:
        reason = (
            "its discriminator has batch normalization, and no spectral one"
            if "linear1.weight" in left
            else "it holds no discriminator"
        )
        raise RefusedFile(f"{path} was refused: {reason}; leave discriminator= out")
    attention = 0
    for index in count():
        theirs, ours = f"blocks.{index}.0", f"blocks.{index}"
        if not left.has(f"{theirs}."):
            break
        if f"{theirs}.conv1x1_theta.weight_orig" in left:
            if attention or not channels:
                raise RefusedFile(
                    f"{path} was refused: the discriminator has more than one attention; gan_lab's has one"
                )
            attention = len(channels)
            state |= _attention(left, theirs, ours, True)
            continue
        halves = len(channels) < HALVINGS[shape[1]]
        places = {"conv2d1": "residual.2", "conv2d2": "residual.5", "conv2d0": f"shortcut.{int(halves)}"}
        if not channels:
            places |= {"conv2d1": "residual.0", "conv2d2": "residual.2"}
        for name, place in places.items():
            if f"{theirs}.{name}.weight_orig" in left or name != "conv2d0":
                state |= weighted(left, f"{theirs}.{name}", f"{ours}.{place}", True)
        channels.append(len(state[f"{ours}.{places['conv2d2']}.bias"]))
    if not channels:
        raise RefusedFile(f"{path} was refused: the discriminator has no blocks")
    state |= weighted(left, "linear1", "output", True)
    conditioning: dict[str, Any] = {}
    heads = sorted({key.split(".")[0] for key in left.drop("linear2.", "linear3.", "linear4.")})
    if heads:
        heads += sorted({key.split(".")[0] for key in left.drop("embedding.")})
    elif "embedding.weight_orig" in left:
        state |= weighted(left, "embedding", "embedding", True, bias=False)
        classes = len(state["embedding.parametrizations.weight.original"])
        conditioning = {"conditioning": "projection", "num_classes": classes}
    left.finish()
    width, multipliers = as_multiples(channels)
    settings = {
        "_target_": "gan_lab.networks.sagan.SAGANDiscriminator",
        "sample_shape": shape,
        "width": width,
        "multipliers": multipliers,
        "halvings": HALVINGS[shape[1]],
        "attention": attention,
        "normalization": "spectral",
        "initialization": "orthogonal",
        "gain": 1.0,
        "shortcut": "rectified",
        **conditioning,
    }
    return state, settings, [f"the discriminator's {head}, a head of its loss" for head in heads]


def _usual_discriminator(size: int, plain: bool) -> dict[str, Any]:
    """One that goes with a generator whose own was not given."""
    doubled = [1, 2, 4, 8, 16]
    halvings = HALVINGS[size]
    multipliers = [1] * 4 if size == 32 else (doubled + [16] * halvings)[: halvings + 1]
    settings = {"width": 128 if size == 32 else 64, "multipliers": multipliers, "halvings": halvings}
    further = {"stem": "block", "pooling": "sum"} if plain else {"attention": 0}
    return settings | further | {"normalization": "spectral", "initialization": "xavier"}
