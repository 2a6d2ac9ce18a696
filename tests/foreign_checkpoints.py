"""Checkpoints of other libraries with random weights, by their keys; and what the networks in them make, by plain
functions from the papers. Nothing here knows the importer, or gan_lab's networks."""

import argparse

import foreign_weights as foreign
import torch
from torch.nn import functional as F

# rosinality's StyleGAN2 -------------------------------------------------------------------------------------------


def rosinality_generator(tensors):
    """The tensors of `foreign.stylegan2_weights`, whose latents are as long as styles, by rosinality's keys."""
    found = {}
    for i in range(sum(key.startswith("mapping.fc") for key in tensors) // 2):
        for kind in ("weight", "bias"):
            found[f"style.{i + 1}.{kind}"] = tensors[f"mapping.fc{i}.{kind}"]

    def modulated(theirs, place):
        found[f"{place}.conv.weight"] = tensors[f"{theirs}.weight"][None]
        for kind in ("weight", "bias"):
            found[f"{place}.conv.modulation.{kind}"] = tensors[f"{theirs}.affine.{kind}"]

    def convolution(theirs, place, number):
        modulated(theirs, place)
        found[f"{place}.noise.weight"] = tensors[f"{theirs}.noise_strength"].reshape(1)
        found[f"{place}.activate.bias"] = tensors[f"{theirs}.bias"]
        found[f"noises.noise_{number}"] = tensors[f"{theirs}.noise_const"][None, None]

    def to_rgb(theirs, place):
        modulated(theirs, place)
        found[f"{place}.bias"] = tensors[f"{theirs}.bias"].view(1, -1, 1, 1)

    found["input.input"] = tensors["synthesis.b4.const"][None]
    convolution("synthesis.b4.conv1", "conv1", 0)
    to_rgb("synthesis.b4.torgb", "to_rgb1")
    r, k = 8, 0
    while f"synthesis.b{r}.conv0.weight" in tensors:
        for name in ("conv0", "conv1"):
            convolution(f"synthesis.b{r}.{name}", f"convs.{k}", k + 1)
            if name == "conv0":
                found[f"convs.{k}.conv.blur.kernel"] = foreign.FIR_2D.float() * 4
            k += 1
        to_rgb(f"synthesis.b{r}.torgb", f"to_rgbs.{k // 2 - 1}")
        found[f"to_rgbs.{k // 2 - 1}.upsample.kernel"] = foreign.FIR_2D.float() * 4
        r *= 2
    return found


def rosinality_discriminator(channels=(4, 8, 8), colours=3):
    """Random tensors by the keys of rosinality's discriminator, from the picture to 4x4."""
    draw = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(shape, generator=draw)

    found = {"convs.0.0.weight": normal(channels[0], colours, 1, 1), "convs.0.1.bias": normal(channels[0])}
    for block in range(1, len(channels)):
        inputs, outputs, place = channels[block - 1], channels[block], f"convs.{block}"
        found |= {f"{place}.conv1.0.weight": normal(inputs, inputs, 3, 3), f"{place}.conv1.1.bias": normal(inputs)}
        found |= {f"{place}.conv2.1.weight": normal(outputs, inputs, 3, 3), f"{place}.conv2.2.bias": normal(outputs)}
        found[f"{place}.skip.1.weight"] = normal(outputs, inputs, 1, 1)
        found |= {f"{place}.{name}.0.kernel": foreign.FIR_2D.float() for name in ("conv2", "skip")}
    last = channels[-1]
    found |= {"final_conv.0.weight": normal(last, last + 1, 3, 3), "final_conv.1.bias": normal(last)}
    found |= {"final_linear.0.weight": normal(last, 16 * last), "final_linear.0.bias": normal(last)}
    return found | {"final_linear.1.weight": normal(1, last), "final_linear.1.bias": normal(1)}


def rosinality_logits(tensors, images):
    """(B,) float64, of a batch that is one group: residual blocks that blur before they halve (Karras et al. 2020)."""
    t = {key: value.double() for key, value in tensors.items()}

    def scaled(key):
        return t[key] / t[key][0].numel() ** 0.5

    def leaky(x, key):
        x = x + t[key].view(-1, 1, 1) if x.ndim == 4 else x + t[key]
        return torch.where(x > 0, x, 0.2 * x) * 2**0.5

    def blurred(x, padding):
        kernel = foreign.FIR_2D.expand(x.shape[1], 1, 4, 4)
        return F.conv2d(F.pad(x, [padding] * 4), kernel, groups=x.shape[1])

    x, block = leaky(F.conv2d(images.double(), scaled("convs.0.0.weight")), "convs.0.1.bias"), 1
    while f"convs.{block}.skip.1.weight" in t:
        place = f"convs.{block}"
        y = leaky(F.conv2d(x, scaled(f"{place}.conv1.0.weight"), padding=1), f"{place}.conv1.1.bias")
        y = leaky(F.conv2d(blurred(y, 2), scaled(f"{place}.conv2.1.weight"), stride=2), f"{place}.conv2.2.bias")
        x = (y + F.conv2d(blurred(x, 1)[:, :, ::2, ::2], scaled(f"{place}.skip.1.weight"))) / 2**0.5
        block += 1
    deviation = (x.var(0, correction=0) + 1e-8).sqrt().mean()
    x = torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], 1)
    x = leaky(F.conv2d(x, scaled("final_conv.0.weight"), padding=1), "final_conv.1.bias")
    x = leaky(x.flatten(1) @ scaled("final_linear.0.weight").T, "final_linear.0.bias")
    return (x @ scaled("final_linear.1.weight").T + t["final_linear.1.bias"])[:, 0]


def rosinality_file(path, generator, discriminator=None, *, mean=None, legacy=False, **further):
    """A checkpoint as training writes it, or with the mean of styles as its converter of weights does."""
    trained = {key: value + 1 for key, value in generator.items()}  # not the average
    content = {"g": trained, "g_ema": generator, "args": argparse.Namespace(size=16, batch=4), "ada_aug_p": 0.0}
    content |= {"g_optim": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.002, "betas": (0.0, 0.99)}]}}
    if discriminator is not None:
        content["d"] = discriminator
    if mean is not None:
        content["latent_avg"] = mean
    torch.save(content | further, path, _use_new_zipfile_serialization=not legacy)
    return path
