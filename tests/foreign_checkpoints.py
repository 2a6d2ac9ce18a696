"""Checkpoints of other libraries with random weights, by their keys; and what the networks in them make, by plain
functions from the papers. Nothing here knows the importer, or gan_lab's networks."""

import argparse
import collections
import io
import itertools
import pickle
import struct
import zipfile

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
    trained = {key: -value if value.numel() < 10**6 else value for key, value in generator.items()}  # not the average
    content = {"g": trained, "g_ema": generator, "args": argparse.Namespace(size=16, batch=4), "ada_aug_p": 0.0}
    content |= {"g_optim": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.002, "betas": (0.0, 0.99)}]}}
    if discriminator is not None:
        content["d"] = discriminator
    if mean is not None:
        content["latent_avg"] = mean
    torch.save(content | further, path, _use_new_zipfile_serialization=not legacy)
    return path


# Residual networks ------------------------------------------------------------------------------------------------


class Draws:
    """Random tensors of a network, by its keys."""

    def __init__(self, seed):
        self.draw, self.tensors = torch.Generator().manual_seed(seed), {}

    def normal(self, *shape):
        return torch.randn(shape, generator=self.draw)

    def layer(self, place, *shape, spectral=None, bias=True):
        """A weight: plain, with both singular vectors ("studiogan"), or with one of a step before ("mimicry")."""
        weight = self.normal(*shape) / weight_scale(shape)
        if spectral is None:
            self.tensors[f"{place}.weight"] = weight
        else:
            matrix = weight.flatten(1)
            v = F.normalize(self.normal(len(weight)) @ matrix, dim=0)
            u = F.normalize(matrix @ v, dim=0)
            if spectral == "studiogan":
                v = F.normalize(u @ matrix, dim=0)
                self.tensors |= {f"{place}.weight_orig": weight, f"{place}.weight_u": u, f"{place}.weight_v": v}
            else:
                self.tensors |= {
                    f"{place}.weight": weight,
                    f"{place}.sn_u": u[None],
                    f"{place}.sn_sigma": torch.ones(1),
                }
        if bias:
            self.tensors[f"{place}.bias"] = self.normal(shape[0]) / 10

    def batch_norm(self, place, channels, affine=True):
        mean, variance = self.normal(channels) / 3, self.normal(channels).square() / 100 + 1e-4
        self.tensors |= {f"{place}.running_mean": mean, f"{place}.running_var": variance}
        self.tensors[f"{place}.num_batches_tracked"] = torch.tensor(7)
        if affine:
            self.tensors |= {
                f"{place}.weight": 1 + self.normal(channels) / 3,
                f"{place}.bias": self.normal(channels) / 3,
            }


def weight_scale(shape):
    return torch.Size(shape[1:]).numel() ** 0.5


class Computed:
    """Layers of the tensors of a network, in float64, once trained."""

    def __init__(self, tensors):
        self.t = {key: value.double() for key, value in tensors.items()}

    def weight(self, place):
        if f"{place}.weight_orig" in self.t:
            weight, u, v = (self.t[f"{place}.weight_{kind}"] for kind in ("orig", "u", "v"))
            return weight / (u @ weight.flatten(1) @ v)
        weight = self.t[f"{place}.weight"]
        if f"{place}.sn_u" in self.t:  # Miyato et al. 2018, algorithm 1
            matrix = weight.flatten(1)
            v = F.normalize(self.t[f"{place}.sn_u"][0] @ matrix, dim=0)
            return weight / (matrix @ v).norm()
        return weight

    def linear(self, place, x):
        y = x @ self.weight(place).T
        return y + self.t[f"{place}.bias"] if f"{place}.bias" in self.t else y

    def convolution(self, place, x):
        weight = self.weight(place)
        return F.conv2d(x, weight, self.t.get(f"{place}.bias"), padding=weight.shape[2] // 2)

    def batch_norm(self, place, x, epsilon, scale=None, offset=None):
        t = self.t
        mean, variance = t[f"{place}.running_mean"], t[f"{place}.running_var"]
        y = (x - mean[:, None, None]) / (variance + epsilon)[:, None, None].sqrt()
        if scale is None:
            return y * t[f"{place}.weight"][:, None, None] + t[f"{place}.bias"][:, None, None]
        return y * scale[..., None, None] + offset[..., None, None]


# StudioGAN


def studiogan_generator(channels, latent, *, kind="resnet", classes=0, spectral=True, attention=0, shared=3, old=False):
    """Random tensors by the keys of StudioGAN's `resnet` or `big_resnet`; `old`: with tables of classes."""
    d, blocks = Draws(4), len(channels) - 1
    sn = "studiogan" if spectral else None
    chunk = latent // (blocks + 1) if kind == "big_resnet" else latent
    d.layer("linear0", channels[0] * 16, chunk, spectral=sn)
    if kind == "big_resnet":
        d.tensors["shared.weight"] = d.normal(classes, shared)
    features = chunk + shared if kind == "big_resnet" else classes
    index = 0
    for block, (inputs, outputs) in enumerate(itertools.pairwise(channels), start=1):
        place = f"blocks.{index}.0"
        for name, width in (("bn1", inputs), ("bn2", outputs)):
            if not classes:
                d.batch_norm(f"{place}.{name}", width)
                continue
            d.batch_norm(f"{place}.{name}.bn", width, affine=False)
            for new, earlier in (("gain", "embed0"), ("bias", "embed1")):
                shape = (classes, width) if old else (width, features)
                d.layer(f"{place}.{name}.{earlier if old else new}", *shape, spectral=sn, bias=False)
        for name, width, size in (("conv2d0", inputs, 1), ("conv2d1", inputs, 3), ("conv2d2", outputs, 3)):
            d.layer(f"{place}.{name}", outputs, width, size, size, spectral=sn)
        index += 1
        if block == attention:
            studiogan_attention(d, f"blocks.{index}.0", outputs, sn)
            index += 1
    d.batch_norm("bn4", channels[-1])
    d.layer("conv2d5", 3, channels[-1], 3, 3, spectral=sn)
    return d.tensors


def studiogan_attention(d, place, channels, sn):
    few, half = channels // 8, channels // 2
    for name, shape in {
        "theta": (few, channels),
        "phi": (few, channels),
        "g": (half, channels),
        "attn": (channels, half),
    }.items():
        d.layer(f"{place}.conv1x1_{name}", *shape, 1, 1, spectral=sn, bias=False)
    d.tensors[f"{place}.sigma"] = torch.tensor([0.7])


def studiogan_attended(c, place, x):
    """Equations 1 to 3 of Zhang et al. 2019, keys and values of 2x2 maxima."""
    b, channels, h, w = x.shape
    query = c.convolution(f"{place}.conv1x1_theta", x).flatten(2)
    key = F.max_pool2d(c.convolution(f"{place}.conv1x1_phi", x), 2).flatten(2)
    value = F.max_pool2d(c.convolution(f"{place}.conv1x1_g", x), 2).flatten(2)
    shares = torch.einsum("bci,bcj->bij", query, key).softmax(2)
    found = torch.einsum("bij,bcj->bci", shares, value).reshape(b, channels // 2, h, w)
    return x + c.t[f"{place}.sigma"] * c.convolution(f"{place}.conv1x1_attn", found)


def studiogan_pictures(tensors, z, labels=None):
    """(B, 3, H, W) float64; scales of classes are 1 + W y (Brock et al. 2019, appendix B)."""
    c = Computed(tensors)
    z, condition, chunks = z.double(), None, None
    if "shared.weight" in c.t:
        length = c.weight("linear0").shape[1]
        z, *chunks = z.split(length, 1)
        condition = c.t["shared.weight"][labels]
    x = c.linear("linear0", z).reshape(len(z), -1, 4, 4)
    index = 0
    while any(key.startswith(f"blocks.{index}.0.") for key in c.t):
        place, index = f"blocks.{index}.0", index + 1
        if f"{place}.sigma" in c.t:
            x = studiogan_attended(c, place, x)
            continue
        given = None if condition is None else torch.cat([condition, chunks.pop(0)], 1)

        def normalized(name, values, place=place, given=given):
            name = f"{place}.{name}"
            if f"{name}.running_mean" in c.t:
                return c.batch_norm(name, values, 1e-4)
            if any(key.startswith(f"{name}.embed0.") for key in c.t):
                scale, offset = c.weight(f"{name}.embed0")[labels], c.weight(f"{name}.embed1")[labels]
            else:
                known = F.one_hot(labels, c.weight(f"{name}.gain").shape[1]).double() if given is None else given
                scale, offset = c.linear(f"{name}.gain", known), c.linear(f"{name}.bias", known)
            return c.batch_norm(f"{name}.bn", values, 1e-4, 1 + scale, offset)

        y = c.convolution(f"{place}.conv2d1", doubled(normalized("bn1", x).relu()))
        y = c.convolution(f"{place}.conv2d2", normalized("bn2", y).relu())
        x = y + c.convolution(f"{place}.conv2d0", doubled(x))
    return c.convolution("conv2d5", c.batch_norm("bn4", x, 1e-4).relu()).tanh()


def doubled(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def studiogan_discriminator(channels, halvings, *, classes=0, attention=0, head=False):
    """Random tensors by the keys of StudioGAN's `resnet` and `big_resnet` discriminators, with a projection."""
    d, index, inputs = Draws(5), 0, 3
    for block, outputs in enumerate(channels, start=1):
        place = f"blocks.{index}.0"
        if block <= halvings or inputs != outputs:
            d.layer(f"{place}.conv2d0", outputs, inputs, 1, 1, spectral="studiogan")
        d.layer(f"{place}.conv2d1", outputs, inputs, 3, 3, spectral="studiogan")
        d.layer(f"{place}.conv2d2", outputs, outputs, 3, 3, spectral="studiogan")
        inputs, index = outputs, index + 1
        if block == attention:
            studiogan_attention(d, f"blocks.{index}.0", outputs, "studiogan")
            index += 1
    d.layer("linear1", 1, inputs, spectral="studiogan")
    if classes:
        d.layer("embedding", classes, inputs, spectral="studiogan", bias=False)
    if head:
        d.layer("linear2", classes, inputs, spectral="studiogan", bias=False)
    return d.tensors


def studiogan_logits(tensors, images, halvings, labels=None):
    """(B,) float64: the ReLU that begins a block works in place, so its shortcut sees positive parts alone."""
    c = Computed(tensors)
    x, index, block = images.double(), 0, 0
    while any(key.startswith(f"blocks.{index}.0.") for key in c.t):
        place, index = f"blocks.{index}.0", index + 1
        if f"{place}.sigma" in c.t:
            x = studiogan_attended(c, place, x)
            continue
        x = x.relu() if block else x
        y = c.convolution(f"{place}.conv2d2", c.convolution(f"{place}.conv2d1", x).relu())
        x = c.convolution(f"{place}.conv2d0", x) if f"{place}.conv2d0.bias" in c.t else x
        x, block = x + y, block + 1
        x = F.avg_pool2d(x, 2) if block <= halvings else x
    features = x.relu().sum((2, 3))
    logits = c.linear("linear1", features)[:, 0]
    return logits if labels is None else logits + (c.weight("embedding")[labels] * features).sum(1)


def studiogan_file(path, tensors, **further):
    """A checkpoint of one network; a discriminator's says more of the run, some of it in numpy's numbers."""
    torch.save({"state_dict": collections.OrderedDict(tensors)} | further, path)
    return path


# Mimicry


def mimicry_generator(channels, latent=5, grid=4, classes=0):
    """Random tensors by the keys of Mimicry's residual generators."""
    d = Draws(6)
    d.layer("l1", channels[0] * grid**2, latent)
    for block, (inputs, outputs) in enumerate(itertools.pairwise(channels), start=2):
        for name, width, size in (("c1", inputs, 3), ("c2", outputs, 3), ("c_sc", inputs, 1)):
            d.layer(f"block{block}.{name}", outputs, width, size, size)
        for name, width in (("b1", inputs), ("b2", outputs)):
            if classes:
                d.batch_norm(f"block{block}.{name}.bn", width, affine=False)
                d.tensors[f"block{block}.{name}.embed.weight"] = d.normal(classes, 2 * width)
            else:
                d.batch_norm(f"block{block}.{name}", width)
    last = len(channels) + 1
    d.batch_norm(f"b{last}", channels[-1])
    d.layer(f"c{last}", 3, channels[-1], 3, 3)
    return d.tensors


def mimicry_pictures(tensors, z, grid=4, labels=None):
    """(B, 3, H, W) float64; doubled bilinearly."""
    c = Computed(tensors)
    x = c.linear("l1", z.double()).reshape(len(z), -1, grid, grid)
    block = 2

    def normalized(name, values):
        if f"{name}.embed.weight" not in c.t:
            return c.batch_norm(name, values, 1e-5)
        scale, offset = c.t[f"{name}.embed.weight"][labels].chunk(2, 1)
        return c.batch_norm(f"{name}.bn", values, 1e-5, scale, offset)

    def doubled_between(values):
        return F.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)

    while f"block{block}.c1.weight" in c.t:
        place, block = f"block{block}", block + 1
        y = c.convolution(f"{place}.c1", doubled_between(normalized(f"{place}.b1", x).relu()))
        y = c.convolution(f"{place}.c2", normalized(f"{place}.b2", y).relu())
        x = y + c.convolution(f"{place}.c_sc", doubled_between(x))
    return c.convolution(f"c{block}", c.batch_norm(f"b{block}", x, 1e-5).relu()).tanh()


def mimicry_discriminator(channels, halvings, *, spectral="mimicry", names=None, last=None, further=()):
    """Random tensors by the keys of Mimicry's residual discriminators."""
    d, inputs = Draws(7), 3
    names = names or [f"block{number}" for number in range(1, len(channels) + 1)]
    for block, (place, outputs) in enumerate(zip(names, channels, strict=True)):
        hidden = inputs if block else outputs
        d.layer(f"{place}.c1", hidden, inputs, 3, 3, spectral=spectral)
        d.layer(f"{place}.c2", outputs, hidden, 3, 3, spectral=spectral)
        if block < halvings or inputs != outputs:
            d.layer(f"{place}.c_sc", outputs, inputs, 1, 1, spectral=spectral)
        inputs = outputs
    d.layer(last or f"l{len(channels) + 1}", 1, inputs, spectral=spectral)
    for place, outputs, bias in further:
        d.layer(place, outputs, inputs, spectral=spectral, bias=bias)
    return d.tensors


def mimicry_logits(tensors, images, halvings, names, last, labels=None):
    """(B,) float64; see `studiogan_logits`."""
    c = Computed(tensors)
    x = images.double()
    for block, place in enumerate(names):
        x = x.relu() if block else x
        y = c.convolution(f"{place}.c2", c.convolution(f"{place}.c1", x).relu())
        x = y + (c.convolution(f"{place}.c_sc", x) if f"{place}.c_sc.bias" in c.t else x)
        x = F.avg_pool2d(x, 2) if block < halvings else x
    features = x.relu().sum((2, 3))
    logits = c.linear(last, features)[:, 0]
    return logits if labels is None else logits + (c.weight("l_y")[labels] * features).sum(1)


def mimicry_file(path, tensors):
    """A checkpoint of one network."""
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 2e-4, "params": [0]}]}
    content = {
        "model_state_dict": collections.OrderedDict(tensors),
        "optimizer_state_dict": optimizer,
        "global_step": 100,
    }
    torch.save(content, path)
    return path


# Files that torch.save would not write ----------------------------------------------------------------------------


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Numbers:
    """Pickled as a tensor whose storage lies outside of the pickle."""

    def __init__(self, size, stride=(1,), numel=4, key="0"):
        self.size, self.stride, self.storage = size, stride, Storage(numel, key)

    def __reduce__(self):
        arguments = (self.storage, 0, self.size, self.stride, False, collections.OrderedDict())
        return torch._utils._rebuild_tensor_v2, arguments


class Storage:
    def __init__(self, numel, key):
        self.said = ("storage", torch.FloatStorage, key, "cpu", numel)


class _Pickler(pickle.Pickler):
    def persistent_id(self, given):
        return given.said if isinstance(given, Storage) else None


def pickled(content):
    """As torch.save pickles: of protocol 2, storages by their names."""
    written = io.BytesIO()
    _Pickler(written, protocol=2).dump(content)
    return written.getvalue()


def archive(path, content, *, compression=zipfile.ZIP_STORED, further=(), structure="archive/data.pkl"):
    """A zip as torch.save writes it, with a pickle of one's own."""
    with zipfile.ZipFile(path, "w", compression) as written:
        written.writestr(structure, content)
        written.writestr("archive/version", "3\n")
        written.writestr("archive/byteorder", "little")
        written.writestr("archive/data/0", b"\0" * 16)
        for name, text in further:
            written.writestr(name, text)
    return path


def legacy(path, content):
    """The same of torch before 1.6."""
    numbers = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    parts = [pickle.dumps(number, protocol=2) for number in numbers]
    path.write_bytes(b"".join(parts) + content + pickle.dumps(["0"], protocol=2))
    return path


def two_tables(path, shown, hidden):
    """A zip with two tables of contents: the last record says the place of one, and the other lies just before it."""

    def parts(content, more):
        written = archive(path, content, further=[("archive/more", b"0" * more)]).read_bytes()
        length, start = struct.unpack("<II", written[-10:-2])
        return written[:start], written[start : start + length], written[-22:]

    body, table, end = parts(hidden, 1000 + len(shown))
    further, other, _ = parts(shown, 0)
    moved, at = bytearray(other), 0
    while at < len(moved):  # places of entries, to which `zipfile` adds by how much the table lies further on
        place = struct.unpack_from("<I", moved, at + 42)[0]
        struct.pack_into("<I", moved, at + 42, place + len(body) - len(further))
        at += 46 + sum(struct.unpack_from("<HHH", moved, at + 28))
    path.write_bytes(body + table + further + moved + end[:12] + struct.pack("<II", len(table), len(body)) + end[20:])
    return path
