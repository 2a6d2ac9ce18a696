"""Networks of Mimicry's checkpoints: residual ones of DCGAN, SNGAN, SSGAN, InfoMax-GAN, WGAN-GP and cGAN-PD."""

from itertools import count
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from gan_lab.importing.imported import EPSILON, Imported, as_multiples, normalized, spectral
from gan_lab.importing.pickles import RefusedFile
from gan_lab.importing.saved import Tensors

SIZES = {(3, 4): 32, (3, 6): 48, (4, 4): 64, (5, 4): 128}  # blocks of a generator, side of its grid: pixels
HALVINGS = {32: 2, 48: 4, 64: 5, 128: 5}  # pixels: of the discriminator's blocks
USUAL = {32: (128, [1] * 4), 48: (64, [1, 2, 4, 8, 16]), 64: (64, [1, 2, 4, 8, 16]), 128: (64, [1, 2, 4, 8, 16, 16])}
HEADS = ("local_nrkhs_", "global_nrkhs_")  # of InfoMax-GAN's loss


def is_of(content: dict[str, Any]) -> bool:
    """Whether a file is one of these, by its keys."""
    return isinstance(content.get("model_state_dict"), dict)


def networks(content: dict[str, Any], path: Path, beside: dict[str, Any] | None, beside_path: Path | None) -> Imported:
    """The generator of a file, and the discriminator of that beside it.

    Raises:
        RefusedFile: layers that `gan_lab.networks.resnet` has not.
    """
    left = Tensors(content["model_state_dict"], "the generator", path)
    if not left.has("l1.weight"):
        raise RefusedFile(
            f"{path} was refused: it holds no generator of Mimicry, which begins with l1; a discriminator's checkpoint "
            "goes into discriminator=, beside that of its generator"
        )
    found = _generator(left)
    shape = found.model["generator"]["sample_shape"]
    width, multipliers = USUAL[shape[1]]
    found.discriminator = _settings(shape, width, multipliers)
    if beside is not None and beside_path is not None:
        judge = Tensors(beside["model_state_dict"], "the discriminator", beside_path)
        found.discriminator_state, found.discriminator, found.left_behind = _discriminator(judge, shape)
    return found


def _generator(left: Tensors) -> Imported:
    path = left.path
    if "l1.sn_u" in left or "l1.weight_orig" in left:
        raise RefusedFile(
            f"{path} was refused: it is of Mimicry's SAGAN, whose generator doubles bilinearly and has spectral "
            "normalization; gan_lab's SAGAN doubles to the nearest"
        )
    state = {"stem.0.weight": left.take("l1.weight", 2), "stem.0.bias": left.take("l1.bias", 1)}
    channels: list[int] = []
    classes = 0
    for block in count(2):
        theirs, ours = f"block{block}", f"blocks.{block - 2}"
        if f"{theirs}.c1.weight" not in left:
            break
        for name, place in (("c1", "residual.3"), ("c2", "residual.6"), ("c_sc", "shortcut.0")):
            state[f"{ours}.{place}.weight"] = left.take(f"{theirs}.{name}.weight", 4)
            state[f"{ours}.{place}.bias"] = left.take(f"{theirs}.{name}.bias", 1)
        for name, place in (("b1", "residual.0"), ("b2", "residual.4")):
            if f"{theirs}.{name}.embed.weight" in left:
                table = left.take(f"{theirs}.{name}.embed.weight", 2)
                classes, inside = len(table), f"{ours}.{place}"
                scale, offset = table.tensor_split(2, 1)
                state |= {f"{inside}.scale.weight": scale, f"{inside}.offset.weight": offset}
                inner = f"{inside}.normalization"
                state |= normalized(left, f"{theirs}.{name}.bn", inner, affine=False, epsilon=EPSILON)
            else:
                state |= normalized(left, f"{theirs}.{name}", f"{ours}.{place}", affine=True, epsilon=EPSILON)
        first = state[f"{ours}.residual.3.weight"].shape[1]
        channels += (
            [len(state[f"{ours}.residual.6.bias"])] if channels else [first, len(state[f"{ours}.residual.6.bias"])]
        )
    blocks = max(0, len(channels) - 1)
    state |= normalized(left, f"b{blocks + 2}", "output.0", affine=True, epsilon=EPSILON)
    state["output.2.weight"] = left.take(f"c{blocks + 2}.weight", 4)
    state["output.2.bias"] = left.take(f"c{blocks + 2}.bias", 1)
    left.finish()
    grid = round((len(state["stem.0.bias"]) / channels[0]) ** 0.5) if channels else 0
    if (blocks, grid) not in SIZES:
        raise RefusedFile(
            f"{path} was refused: the generator doubles a grid of {grid}x{grid} {blocks} times; Mimicry's make 32, 48, "
            "64 or 128 pixels"
        )
    size, latent_dim = SIZES[blocks, grid], state["stem.0.weight"].shape[1]
    width, multipliers = as_multiples(channels)
    settings: dict[str, Any] = {
        "_target_": "gan_lab.networks.resnet.ResNetGenerator",
        "sample_shape": [len(state["output.2.bias"]), size, size],
        "latent_dim": latent_dim,
        "width": width,
        "multipliers": multipliers,
        "normalization": "batch",
        "initialization": "xavier",
        "doubling": "bilinear",
        "bias": True,
    }
    model: dict[str, Any] = {"_target_": "gan_lab.models.sngan.SNGAN"}
    inputs: dict[str, Any] = {"latent_dim": latent_dim, "latent_distribution": "normal"}
    if classes:
        settings |= {"conditioning": "batch_norm", "num_classes": classes}
        model = {"_target_": "gan_lab.models.projection_gan.ProjectionGAN"}
        inputs |= {"num_classes": classes, "label_distribution": "uniform"}
    network = "resnet" if size == 32 else "resnet64"
    return Imported("Mimicry", model | inputs | {"generator": settings}, state, {}, network, averaged=False)


def _discriminator(left: Tensors, shape: list[int]) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    path = left.path
    names = _blocks(left)
    if not names:
        raise RefusedFile(f"{path} was refused: it holds no discriminator of Mimicry, which begins with block1")
    if f"{names[0]}.c1.sn_u" not in left and f"{names[0]}.c1.weight_orig" not in left:
        raise RefusedFile(
            f"{path} was refused: its discriminator has no spectral normalization; it is DCGAN's, which sums its last "
            "features over the picture, or WGAN-GP's, which takes their mean, and nothing in it says which; leave "
            "discriminator= out"
        )
    state: dict[str, Tensor] = {}
    channels: list[int] = []
    for number, theirs in enumerate(names):
        ours = "stem" if not number else f"blocks.{number - 1}"
        halves = int(number < HALVINGS[shape[1]])
        places = {"c1": "residual.2", "c2": "residual.5", "c_sc": f"shortcut.{halves}"}
        if not number:
            places |= {"c1": "residual.0", "c2": "residual.2"}
        for name, place in places.items():
            if name != "c_sc" or left.has(f"{theirs}.c_sc."):
                state |= _normalized_layer(left, f"{theirs}.{name}", f"{ours}.{place}")
        channels.append(len(state[f"{ours}.{places['c2']}.bias"]))
    last = next((key for key in ("l5", "l6", "l7", "linear") if left.has(f"{key}.")), f"l{len(names) + 1}")
    state |= _normalized_layer(left, last, "output")
    conditioning: dict[str, Any] = {}
    heads = sorted({key.split(".")[0] for key in left.drop(*HEADS)})
    if "l_y.bias" in left:  # SSGAN's of rotations
        heads += sorted({key.split(".")[0] for key in left.drop("l_y.")})
    elif left.has("l_y."):
        state |= _normalized_layer(left, "l_y", "embedding", bias=False)
        classes = len(state["embedding.parametrizations.weight.original"])
        conditioning = {"conditioning": "projection", "num_classes": classes}
    left.finish()
    settings = _settings(shape, *as_multiples(channels)) | conditioning
    return state, settings, [f"the discriminator's {head}, a head of its loss" for head in heads]


def _blocks(left: Tensors) -> list[str]:
    """Names of the discriminator's blocks, in their order."""
    found = [f"block{number}" for number in range(1, 9) if left.has(f"block{number}.c1.")]
    for part in ("local_feat_blocks", "global_feat_blocks"):
        found += [f"{part}.{number}" for number in range(8) if left.has(f"{part}.{number}.c1.")]
    return found


def _normalized_layer(left: Tensors, theirs: str, ours: str, *, bias: bool = True) -> dict[str, Tensor]:
    """A spectrally normalized layer, of torch's kind (Mimicry 0.1.16) or of Mimicry's own.

    That one's every forward begins with a power iteration, which is done here once.
    """
    if f"{theirs}.weight_orig" in left:
        return spectral(left, theirs, ours, bias=bias)
    weight, u = left.take_weight(f"{theirs}.weight"), left.take(f"{theirs}.sn_u", 2)[0]
    left.drop(f"{theirs}.sn_sigma")
    if u.shape != weight.shape[:1]:
        raise RefusedFile(f"{left.path} was refused: {left.what}'s {theirs}.sn_u does not fit its weight")
    matrix = weight.flatten(1)
    v = normalize(u @ matrix, dim=0, eps=1e-12)
    u = normalize(matrix @ v, dim=0, eps=1e-12)
    state = {f"{ours}.bias": left.take(f"{theirs}.bias", 1)} if bias else {}
    ours = f"{ours}.parametrizations.weight"
    return state | {f"{ours}.original": weight, f"{ours}.0._u": u, f"{ours}.0._v": v}


def _settings(shape: list[int], width: int, multipliers: list[int]) -> dict[str, Any]:
    return {
        "_target_": "gan_lab.networks.resnet.ResNetDiscriminator",
        "sample_shape": shape,
        "width": width,
        "multipliers": multipliers,
        "halvings": HALVINGS[shape[1]],
        "stem": "block",
        "pooling": "sum",
        "normalization": "spectral",
        "initialization": "xavier",
        "shortcut": "rectified",
    }
