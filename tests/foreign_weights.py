"""Files of other projects with random weights, written by stand-in classes under the original names; and what the
generators in them make, by plain functions from the papers. Nothing here knows the importer, or gan_lab's networks."""

import collections
import pickle
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from generated_data import write_image_folder
from torch import nn
from torch.nn import functional as F

FIR = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
FIR_2D = torch.outer(FIR, FIR) / 64


def trained_as_told(here, imported, folder):
    """A step by the command that `import_weights` ends with, on pictures of 16x16 in `folder`/FOLDER."""
    write_image_folder(folder / "FOLDER", count=16, size=(16, 16))
    (line,) = (line for line in imported.output.splitlines() if line.startswith("training on: "))
    words = line.split("gan_lab.train ")[1].split()
    brief = ["data.batch_size=8", "total_kimg=0.008", "trainer=cpu", "threads=1", "evaluation=none", "run_dir=run"]
    trained = here("train", *words, *brief)
    assert trained.code == 0, trained.output
    return trained


@contextmanager
def modules(**names):
    """Modules of other projects, for as long as something is pickled; keys are dotted names with __ for dots."""
    places = {key.replace("__", "."): content for key, content in names.items()}
    parents = {".".join(place.split(".")[:n]) for place in places for n in range(1, place.count(".") + 2)}
    earlier = {name: sys.modules.get(name) for name in parents}
    for name in parents:
        sys.modules[name] = types.ModuleType(name)
    for place, content in places.items():
        for name, value in content.items():
            value.__module__, value.__qualname__, value.__name__ = place, name, name
            setattr(sys.modules[place], name, value)
    try:
        yield
    finally:
        for name, module in earlier.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _reconstruct_persistent_obj(meta):
    raise AssertionError("this would run the source in the file")


class EasyDict(dict):
    pass


class Tree(nn.Module):
    """A module with the tensors of a flat dict; "scalar" attributes as numpy leaves them."""

    def __init__(self, tensors, buffers, **attributes):
        super().__init__()
        self.weight_gain = np.float64(0.25)
        for name, value in attributes.items():
            self.__dict__[name] = value
        groups = collections.defaultdict(dict)
        for key, value in tensors.items():
            first, _, rest = key.partition(".")
            if rest:
                groups[first][rest] = value
            elif first in buffers:
                self.register_buffer(first, value)
            else:
                self.register_parameter(first, nn.Parameter(value))
        for name, group in groups.items():
            self.add_module(name, type(self)(group, buffers))


class Persistent(Tree):
    source = "SOURCE"
    class_name = "Generator"

    def __reduce_ex__(self, protocol):
        meta = EasyDict(type="class", version=6, module_src=self.source, class_name=self.class_name)
        meta["state"] = self.__dict__
        return _reconstruct_persistent_obj, (meta,)


def save(path: Path, content, protocol=4) -> Path:
    names = {"torch_utils__persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj}}
    with modules(**names, dnnlib__util={"EasyDict": EasyDict}):
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


# StyleGAN2-ADA --------------------------------------------------------------------------------------------------


def stylegan2_weights(size=16, latent=6, w=5, depth=2, base=64, most=8, colours=3, classes=0):
    """Random tensors by the keys of stylegan2-ada-pytorch's generator."""
    draw = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(shape, generator=draw)

    def channels(r):
        return min(base // r, most)

    tensors = {"mapping.w_avg": normal(w)}
    if classes:
        tensors |= {"mapping.embed.weight": normal(w, classes), "mapping.embed.bias": normal(w)}
    features = [latent + (w if classes else 0), *[w] * depth]
    for i in range(depth):
        tensors[f"mapping.fc{i}.weight"] = normal(features[i + 1], features[i]) * 100
        tensors[f"mapping.fc{i}.bias"] = normal(features[i + 1]) * 30

    def modulated(place, inputs, outputs, kernel):
        tensors[f"{place}.affine.weight"], tensors[f"{place}.affine.bias"] = normal(inputs, w), 1 + normal(inputs) / 3
        tensors[f"{place}.weight"], tensors[f"{place}.bias"] = normal(outputs, inputs, kernel, kernel), normal(outputs)

    r, inputs = 4, 0
    while r <= size:
        outputs = channels(r)
        if not inputs:
            tensors[f"synthesis.b{r}.const"] = normal(outputs, 4, 4)
        for name, of in [("conv0", inputs), ("conv1", outputs)] if inputs else [("conv1", outputs)]:
            place = f"synthesis.b{r}.{name}"
            modulated(place, of, outputs, 3)
            tensors |= {f"{place}.noise_strength": normal(), f"{place}.noise_const": normal(r, r)}
            tensors[f"{place}.resample_filter"] = FIR_2D.float()
        modulated(f"synthesis.b{r}.torgb", outputs, colours, 1)
        tensors[f"synthesis.b{r}.resample_filter"] = FIR_2D.float()
        r, inputs = 2 * r, outputs
    return tensors


def stylegan2_settings(size=16, latent=6, w=5, depth=2, base=64, most=8, colours=3, classes=0, **synthesis):
    """What such a generator is built with."""
    return EasyDict(
        z_dim=latent,
        c_dim=classes,
        w_dim=w,
        img_resolution=size,
        img_channels=colours,
        mapping_kwargs=EasyDict(num_layers=depth),
        synthesis_kwargs=EasyDict(channel_base=base, channel_max=most, num_fp16_res=4, **synthesis),
    )


def stylegan2_file(path, tensors, settings, *, protocol=4, source="SOURCE", further=()):
    """A network pickle as training writes it: D and G beside the averaged G."""
    buffers = ("w_avg", "noise_const", "resample_filter")
    Persistent.source, Persistent.class_name = source, "Generator"
    network = Persistent(tensors, buffers, _init_args=(), _init_kwargs=settings)
    content = {
        "G": network,
        "D": None,
        "G_ema": network,
        "training_set_kwargs": EasyDict(path="x.zip"),
        **dict(further),
    }
    return save(path, content, protocol)


def _normalized(x):
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def _fc(t, place, x, lr=1.0):
    weight, bias = t[f"{place}.weight"], t[f"{place}.bias"]
    return x @ weight.T * (lr / weight.shape[1] ** 0.5) + bias * lr


def _leaky(x):
    return torch.where(x > 0, x, 0.2 * x) * 2**0.5


def _upsampled(x, before, after, factor=4.0):
    """Zeros between, then the low-pass filter (upfirdn of 2)."""
    b, c, h, w = x.shape
    grid = x.new_zeros(b, c, 2 * h, 2 * w)
    grid[:, :, ::2, ::2] = x
    grid = F.pad(grid, (before, after, before, after))
    return F.conv2d(grid, (FIR_2D * factor).expand(c, 1, 4, 4), groups=c)


def _modulated(t, place, x, w, *, up, demodulate):
    """Sample by sample with its own kernel: equations 1 and 3 of the paper."""
    style, weight = _fc(t, f"{place}.affine", w), t[f"{place}.weight"]
    if not demodulate:
        style = style / (weight.shape[1] * weight.shape[2] ** 2) ** 0.5
    found = []
    for sample, s in zip(x, style, strict=True):
        kernel = weight * s[None, :, None, None]
        if demodulate:
            kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:  # a true convolution of the picture with zeros between
            found.append(F.conv2d(_upsampled(sample[None], 3, 2), kernel.flip(2, 3)))
        else:
            found.append(F.conv2d(sample[None], kernel, padding=weight.shape[2] // 2))
    return torch.cat(found)


def stylegan2_pictures(tensors, z, *, size=16, clamp=None, labels=None, noise=None, psi=1.0):
    """(B, C, size, size) float64: mapping, modulated convolutions with noise, sum of tRGBs (Karras et al. 2020).

    `noise` is (B, numbers) in the order of the convolutions; None for the constant one of the file.
    """
    t = {key: value.double() for key, value in tensors.items()}
    x = _normalized(z.double())
    if labels is not None:
        hot = F.one_hot(labels, t["mapping.embed.weight"].shape[1]).double()
        x = torch.cat([x, _normalized(_fc(t, "mapping.embed", hot))], 1)
    depth = sum(key.startswith("mapping.fc") for key in t) // 2
    for i in range(depth):
        x = _leaky(_fc(t, f"mapping.fc{i}", x, lr=0.01))
    w = t["mapping.w_avg"] + psi * (x - t["mapping.w_avg"])
    at, image, r = 0, None, 4
    x = t["synthesis.b4.const"].expand(len(z), -1, -1, -1)

    def limited(values):
        return values if clamp is None else values.clamp(-clamp, clamp)

    while r <= size:
        for name in ["conv1"] if r == 4 else ["conv0", "conv1"]:
            place = f"synthesis.b{r}.{name}"
            x = _modulated(t, place, x, w, up=name == "conv0", demodulate=True)
            if noise is None:
                x = x + t[f"{place}.noise_const"] * t[f"{place}.noise_strength"]
            else:
                x = x + noise[:, at : at + r * r].double().view(-1, 1, r, r) * t[f"{place}.noise_strength"]
                at += r * r
            x = limited(_leaky(x + t[f"{place}.bias"][:, None, None]))
        place = f"synthesis.b{r}.torgb"
        shown = _modulated(t, place, x, w, up=False, demodulate=False)
        shown = limited(shown + t[f"{place}.bias"][:, None, None])
        image = shown if image is None else _upsampled(image, 2, 1) + shown
        r *= 2
    return image


# R3GAN ----------------------------------------------------------------------------------------------------------


def r3gan_weights(channels=(8, 8, 4), latent=5, expansion=2, group=4, blocks=2, classes=0, embedding=3):
    """Random tensors by the keys of R3GAN's generator."""
    draw = torch.Generator().manual_seed(2)

    def normal(*shape):
        return torch.randn(shape, generator=draw) / 3

    inputs = latent + (embedding if classes else 0)
    tensors = {"MainLayers.0.Layers.0.Basis": normal(channels[0], 4, 4)}
    tensors["MainLayers.0.Layers.0.LinearLayer.weight"] = normal(channels[0], inputs)
    if classes:
        tensors["EmbeddingLayer.weight"] = normal(embedding, classes)
    for stage, width in enumerate(channels):
        place = f"MainLayers.{stage}.Layers"
        if stage:
            tensors[f"{place}.0.Resampler.Kernel"] = FIR_2D.float()
            if width != channels[stage - 1]:
                tensors[f"{place}.0.LinearLayer.Layer.weight"] = normal(width, channels[stage - 1], 1, 1)
        inside = width * expansion
        for block in range(1, blocks + 1):
            tensors[f"{place}.{block}.LinearLayer1.Layer.weight"] = normal(inside, width, 1, 1)
            tensors[f"{place}.{block}.LinearLayer2.Layer.weight"] = normal(inside, group, 3, 3)
            tensors[f"{place}.{block}.LinearLayer3.Layer.weight"] = normal(width, inside, 1, 1)
            for layer in (1, 2):
                tensors[f"{place}.{block}.NonLinearity{layer}.Bias"] = normal(inside)
    tensors["AggregationLayer.Layer.weight"] = normal(3, channels[-1], 1, 1)
    return {f"Model.{key}": value for key, value in tensors.items()}


def r3gan_file(path, tensors):
    """R3GAN pickles plain modules, by the names of their classes."""

    class Generator(Tree):
        pass

    with modules(training__networks={"Generator": Generator}):
        network = Generator(tensors, ("Kernel",), c_dim=0)
        return save_r3gan(path, network)


def save_r3gan(path, network):
    path.write_bytes(pickle.dumps({"G": network, "D": None, "G_ema": network, "augment_pipe": None}, protocol=4))
    return path


def r3gan_pictures(tensors, z, labels=None):
    """(B, 3, H, W) float64 of blocks that add, bias and leaky ReLU between their convolutions."""
    t = {key.removeprefix("Model."): value.double() for key, value in tensors.items()}
    x = z.double()
    if labels is not None:
        x = torch.cat([x, t["EmbeddingLayer.weight"].T[labels]], 1)
    x = (x @ t["MainLayers.0.Layers.0.LinearLayer.weight"].T)[..., None, None] * t["MainLayers.0.Layers.0.Basis"]
    stages = 1 + max(int(key.split(".")[1]) for key in t if key.startswith("MainLayers"))
    for stage in range(stages):
        place = f"MainLayers.{stage}.Layers"
        if stage:
            key = f"{place}.0.LinearLayer.Layer.weight"
            x = _upsampled(F.conv2d(x, t[key]) if key in t else x, 2, 1)
        block = 1
        while f"{place}.{block}.LinearLayer1.Layer.weight" in t:
            y = x
            for layer in (1, 2, 3):
                weight = t[f"{place}.{block}.LinearLayer{layer}.Layer.weight"]
                y = F.conv2d(y, weight, padding=weight.shape[2] // 2, groups=y.shape[1] // weight.shape[1])
                if layer < 3:
                    y = y + t[f"{place}.{block}.NonLinearity{layer}.Bias"][:, None, None]
                    y = torch.where(y > 0, y, 0.2 * y)
            x, block = x + y, block + 1
    return F.conv2d(x, t["AggregationLayer.Layer.weight"])
