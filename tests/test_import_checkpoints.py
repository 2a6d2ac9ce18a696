"""Checkpoints of other libraries: their pictures are those of independent references, and no file runs anything."""

import json
import os
import zipfile

import foreign_checkpoints as foreign
import numpy as np
import pytest
import torch
from foreign_weights import stylegan2_pictures, stylegan2_weights, trained_as_told
from generated_data import write_image_folder
from safetensors.torch import load_file

from gan_lab.checkpoint import load_generator
from gan_lab.import_weights import imported_networks, loaded, training_words
from gan_lab.importing.pickles import RefusedFile
from gan_lab.runs import checkpoint
from gan_lab.runs.checkpoint import licence_of


def draws(*shape, seed=5):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def both_networks(path, beside=None, noise="random"):
    """The networks of files, in eval mode, and what the importer says of them."""
    found = imported_networks(path, beside, noise)
    generator = loaded(found.model["generator"], found.state, path).eval().requires_grad_(False)
    discriminator = None
    if found.discriminator_state is not None:
        discriminator = loaded(found.discriminator, found.discriminator_state, path).eval().requires_grad_(False)
    return generator, discriminator, found


def same(found, expected, tolerance=2e-5):
    """Equal up to float32's rounding, beside the largest value."""
    assert expected.isfinite().all()
    assert expected.std() > 1e-3
    torch.testing.assert_close(found.double(), expected, atol=tolerance * float(expected.abs().max()), rtol=0)


# rosinality's StyleGAN2 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_rosinality_s_networks_compute_what_the_reference_does(legacy, tmp_path):
    tensors, discriminator = stylegan2_weights(latent=5, w=5), foreign.rosinality_discriminator()
    generator, mean = foreign.rosinality_generator(tensors), tensors["mapping.w_avg"]
    file = foreign.rosinality_file(tmp_path / "x.pt", generator, discriminator, mean=mean, legacy=legacy)
    constant, judge, found = both_networks(file, noise="constant")
    z, images = draws(3, 5), draws(4, 3, 16, 16, seed=6)
    same(constant(z), stylegan2_pictures(tensors, z))
    same(judge(images), foreign.rosinality_logits(discriminator, images))
    random, _, _ = both_networks(file)
    noise = draws(3, random.noise_size, seed=7)
    same(random(z, noise=noise), stylegan2_pictures(tensors, z, noise=noise))
    truncated = random.synthesis(random.truncate(random.mapping(z), 0.5), noise=noise)
    same(truncated, stylegan2_pictures(tensors, z, noise=noise, psi=0.5))
    assert found.averaged_styles == 0


def test_rosinality_s_networks_start_a_run(here, tmp_path):
    """A file without the mean of styles, which is then taken of latents; both networks start a run."""
    tensors = stylegan2_weights(latent=5, w=5)
    generator, discriminator = foreign.rosinality_generator(tensors), foreign.rosinality_discriminator()
    foreign.rosinality_file(tmp_path / "net.pt", generator, discriminator)
    done = here("import_weights", "file=net.pt", "licence=mit", "out=net")
    assert done.code == 0, done.output
    assert "StyleGAN2 (rosinality): the averaged generator" in done.output
    loaded_again = load_generator(tmp_path / "net")
    mean = loaded_again.network.mapping(draws(20_000, 5)).mean(0)
    torch.testing.assert_close(loaded_again.network.w_average, mean, atol=0.1, rtol=0)
    about = json.loads((tmp_path / "net" / "generator.json").read_text())
    assert about["imported"]["format"] == "StyleGAN2 (rosinality)"

    trained_as_told(here, done, tmp_path)
    log = (tmp_path / "run" / "train.log").read_text()
    assert "networks.safetensors; all of it matched" in log.replace("\n", " "), log
    assert licence_of(tmp_path / "net" / "networks.safetensors").startswith("MIT")
    assert licence_of(tmp_path / "run").startswith("MIT")
    assert "discriminator.head.1.weight" in load_file(tmp_path / "net" / "networks.safetensors")


def test_an_imported_generator_is_scored(here, tmp_path):
    """Against pictures of its size, and with a word about those of another."""
    foreign.rosinality_file(tmp_path / "net.pt", foreign.rosinality_generator(stylegan2_weights(latent=5, w=5)))
    write_image_folder(tmp_path / "pictures", count=20, size=(16, 16))
    assert here("import_weights", "file=net.pt", "licence=mit", "out=net").code == 0
    words = ("evaluate", "checkpoint=net", "device=cpu", "data=folder", "data.root=pictures", "evaluation=default")
    further = ("extractor@evaluation.extractor=digitnet", "num_samples=20", "evaluation.metrics.kid.subset_size=20")
    done = here(*words, *further, "data.image_size=16", "threads=1")
    assert done.code == 0, done.output
    assert "fd_digitnet20" in done.output
    assert "licence MIT" in done.output
    assert "are compared with" not in done.output
    done = here(*words, *further, "data.image_size=8", "threads=1")
    assert done.code == 0, done.output
    assert "pictures of 16x16 pixels and 3 channels are compared with those of 8x8 pixels and 3 channels" in done.output


def test_what_trains_on_a_residual_generator_and_studiogan_s_discriminator_composes(here, tmp_path):
    """The two are of different networks of conf/."""
    made = foreign.studiogan_generator((8, 8, 8, 8), 6, spectral=False)
    file = foreign.studiogan_file(tmp_path / "G.pth", made)
    beside = foreign.studiogan_file(tmp_path / "D.pth", foreign.studiogan_discriminator((8, 8, 8, 8), 2, attention=1))
    words = training_words(imported_networks(file, beside, "random"))
    done = here("train", *words, "--cfg", "job")
    assert done.code == 0, done.output
    assert "_target_: gan_lab.networks.resnet.ResNetGenerator" in done.output
    assert "_target_: gan_lab.networks.sagan.SAGANDiscriminator" in done.output


# StudioGAN --------------------------------------------------------------------------------------------------------

LABELS = torch.tensor([3, 0, 1])
STUDIOGAN = {
    "plain": ((8, 8, 8, 8), {"spectral": False}),
    "spectral, attention": ((8, 8, 8, 8), {"attention": 2}),
    "classes": ((8, 8, 8, 8), {"classes": 4, "attention": 1}),
    "classes, plain weights": ((8, 8, 8, 8), {"classes": 4, "spectral": False}),
    "tables of classes": ((8, 8, 8, 8), {"classes": 4, "old": True}),
    "64 pixels": ((16, 16, 8, 4, 4), {"classes": 4}),
    "big_resnet": ((8, 8, 8, 8), {"kind": "big_resnet", "classes": 4, "attention": 2}),
}


@pytest.mark.parametrize("kind", STUDIOGAN)
def test_studiogan_s_generators_make_the_pictures_of_the_reference(kind, tmp_path):
    channels, settings = STUDIOGAN[kind]
    latent = 12 if settings.get("kind") == "big_resnet" else 6
    tensors = foreign.studiogan_generator(channels, latent, **settings)
    file = foreign.studiogan_file(tmp_path / "model=G_ema-best-weights-step=9.pth", tensors)
    generator, judge, found = both_networks(file)
    z, labels = draws(3, latent), LABELS if "classes" in settings else None
    same(generator(z, labels), foreign.studiogan_pictures(tensors, z, labels))
    assert judge is None
    assert found.averaged
    assert found.format == f"StudioGAN ({settings.get('kind', 'resnet')})"


@pytest.mark.parametrize(
    ("channels", "halvings", "generator", "attention"),
    [((8, 8, 8, 8), 2, (8, 8, 8, 8), 1), ((8, 8, 16, 16, 24), 4, (16, 16, 8, 4, 4), 0)],
    ids=["32", "64"],
)
def test_studiogan_s_discriminators_judge_as_the_reference(channels, halvings, generator, attention, tmp_path):
    """With a projection, beside numbers of numpy; and with a head of another loss, which is left behind."""
    tensors = foreign.studiogan_discriminator(channels, halvings, classes=4, attention=attention)
    made = foreign.studiogan_generator(generator, 6, classes=4)
    file = foreign.studiogan_file(tmp_path / "model=G-best-weights-step=9.pth", made)
    further = {"best_fid": np.float64(9.5), "run_name": "x", "seed": 1, "ada_p": 0.0, "epoch": 3}
    beside = foreign.studiogan_file(tmp_path / "D.pth", tensors, **further)
    _, judge, found = both_networks(file, beside)
    size = 4 * 2 ** (len(generator) - 1)
    images = 10 * draws(3, 3, size, size, seed=6)
    same(judge(images, LABELS), foreign.studiogan_logits(tensors, images, halvings, LABELS))
    assert not found.averaged
    tensors = foreign.studiogan_discriminator(channels, halvings, classes=4, attention=attention, head=True)
    _, judge, found = both_networks(file, foreign.studiogan_file(tmp_path / "D.pth", tensors))
    same(judge(images), foreign.studiogan_logits(tensors, images, halvings))
    assert [line.split(",")[0] for line in found.left_behind] == [
        "the discriminator's linear2",
        "the discriminator's embedding",
    ]


# Mimicry ----------------------------------------------------------------------------------------------------------

MIMICRY = {32: ((8, 8, 8, 8), 4), 48: ((16, 8, 4, 4), 6), 64: ((16, 8, 8, 4, 4), 4), 128: ((8, 8, 8, 4, 4, 4), 4)}
JUDGES = {32: ((8, 8, 8, 8), 2), 48: ((4, 4, 8, 8, 16), 4), 64: ((4, 4, 8, 8, 16), 5), 128: ((4, 4, 4, 8, 8, 8), 5)}


@pytest.mark.parametrize("size", MIMICRY)
def test_mimicry_s_networks_compute_what_the_reference_does(size, tmp_path):
    (channels, grid), (judged, halvings) = MIMICRY[size], JUDGES[size]
    tensors, discriminator = (
        foreign.mimicry_generator(channels, grid=grid),
        foreign.mimicry_discriminator(judged, halvings),
    )
    if size in (48, 128):  # as the release has it, by torch's spectral normalization
        discriminator = foreign.mimicry_discriminator(judged, halvings, spectral="studiogan")
    file = foreign.mimicry_file(tmp_path / "netG_100_steps.pth", tensors)
    beside = foreign.mimicry_file(tmp_path / "netD_100_steps.pth", discriminator)
    generator, judge, found = both_networks(file, beside)
    z, images = draws(2, 5), 10 * draws(2, 3, size, size, seed=6)
    same(generator(z), foreign.mimicry_pictures(tensors, z, grid))
    names = [f"block{number}" for number in range(1, len(judged) + 1)]
    same(judge(images), foreign.mimicry_logits(discriminator, images, halvings, names, f"l{len(judged) + 1}"))
    assert not found.left_behind


def test_mimicry_s_other_models(tmp_path):
    """cGAN-PD's classes; the heads of InfoMax-GAN and SSGAN, which are left behind."""
    tensors = foreign.mimicry_generator((8, 8, 8, 8), classes=4)
    file = foreign.mimicry_file(tmp_path / "G.pth", tensors)
    z, images = draws(3, 5), draws(3, 3, 32, 32, seed=6)
    names = [f"block{number}" for number in range(1, 5)]
    projection = foreign.mimicry_discriminator((8, 8, 8, 8), 2, further=[("l_y", 4, False)])
    generator, judge, _ = both_networks(file, foreign.mimicry_file(tmp_path / "D.pth", projection))
    same(generator(z, LABELS), foreign.mimicry_pictures(tensors, z, labels=LABELS))
    same(judge(images, LABELS), foreign.mimicry_logits(projection, images, 2, names, "l5", LABELS))
    parts = [*(f"local_feat_blocks.{k}" for k in range(3)), "global_feat_blocks.0"]
    for name, others in {
        "l_y": {"further": [("l_y", 4, True)]},
        "local_nrkhs_a": {"names": parts, "last": "linear", "further": [("local_nrkhs_a", 8, True)]},
    }.items():
        headed = foreign.mimicry_discriminator((8, 8, 8, 8), 2, **others)
        _, judge, found = both_networks(file, foreign.mimicry_file(tmp_path / "D.pth", headed))
        expected = foreign.mimicry_logits(headed, images, 2, others.get("names", names), others.get("last", "l5"))
        same(judge(images), expected)
        assert [name in line for line in found.left_behind] == [True]


# What is refused --------------------------------------------------------------------------------------------------


def refusal(path, *others, noise="random"):
    """The one message of a refusal, which names the file and is short."""
    with pytest.raises(RefusedFile) as caught:
        both_networks(path, *others, noise=noise)
    told = str(caught.value)
    assert path.name in told
    assert len(told) < 700
    assert "\n" not in told
    return told


CALLS = {
    "os.system": (lambda mark: foreign.Calls(os.system, f"touch {mark}"), "system'"),
    "eval": (lambda mark: {"g_ema": foreign.Calls(eval, f"open({mark!r}, 'w')")}, "names '__builtin__.eval'"),
    "getattr": (lambda mark: foreign.Calls(getattr, "os", "system"), "names '__builtin__.getattr'"),
    "torch.load": (lambda mark: {"g_ema": foreign.Calls(torch.load, mark)}, "names 'torch.serialization.load'"),
    "bytearray": (lambda mark: foreign.Calls(bytearray, 10**12), "names '__builtin__.bytearray'"),
    "a tensor's hook": (
        lambda mark: {"g_ema": foreign.Calls(torch._utils._rebuild_device_tensor_from_numpy, mark)},
        "names 'torch._utils._rebuild_device_tensor_from_numpy'",
    ),
}


@pytest.mark.parametrize("write", [foreign.archive, foreign.legacy])
@pytest.mark.parametrize("kind", CALLS)
def test_a_call_in_a_file_is_refused_by_its_name(kind, write, tmp_path):
    make, said = CALLS[kind]
    told = refusal(write(tmp_path / "x.pt", foreign.pickled(make(str(tmp_path / "mark")))))
    assert said in told
    assert "Nothing in it was run" in told
    assert not (tmp_path / "mark").exists()


def unsound(kind, path):
    """A file that takes the machine's memory or time, or is not whole."""
    state = foreign.rosinality_generator(stylegan2_weights(latent=5, w=5))
    pickle_of = foreign.pickled
    deep = b"\x80\x02}" + b")" + b"\x85" * 30_000 + b"Ns."
    if kind == "deep key":
        return foreign.archive(path, deep)
    if kind == "compressed":
        return foreign.archive(path, pickle_of({}) + b"\0" * 10**6, compression=zipfile.ZIP_DEFLATED)
    if kind == "two structures":
        return foreign.archive(path, pickle_of({}), further=[("other/data.pkl", b"")])
    if kind == "no structure":
        return foreign.archive(path, pickle_of({}), structure="archive/some.pkl")
    if kind == "TorchScript":
        return foreign.archive(path, pickle_of({}), further=[("archive/code/__torch__.py", "")])
    if kind == "storage too small":
        return foreign.archive(path, pickle_of({"g_ema": {"input.input": foreign.Numbers((400,), numel=400)}}))
    if kind.endswith("storage too large"):
        write = foreign.legacy if kind.startswith("legacy") else foreign.archive
        return write(path, pickle_of({"g_ema": {"input.input": foreign.Numbers((4,), numel=2**20)}}))
    if kind == "size beyond the storage":
        return foreign.archive(path, pickle_of({"g_ema": {"input.input": foreign.Numbers((2**34,))}}))
    if kind == "storage of nothing":
        return foreign.archive(path, pickle_of({"g_ema": {"input.input": foreign.Numbers((4,), key="../../x")}}))
    if kind == "huge by strides":
        huge = torch.zeros(1).expand(2**20, 2**20, 4, 4)
        return foreign.rosinality_file(path, state | {"input.input": huge})
    if kind == "one storage many times":
        weights = dict.fromkeys((f"style.{number}.weight" for number in range(1, 200)), torch.zeros(100, 100))
        biases = dict.fromkeys((f"style.{number}.bias" for number in range(1, 200)), torch.zeros(100))
        torch.save({"g_ema": state | weights | biases}, path)
        return path
    if kind == "two tables of contents":
        return foreign.two_tables(path, pickle_of({"state_dict": {}}), pickle_of(foreign.Calls(bytearray, 10)))
    if kind == "something behind it":
        foreign.archive(path, pickle_of({}))
        path.write_bytes(path.read_bytes()[:-2] + b"\5\0" + b"words")
        return path
    if kind == "names that differ in case":
        return foreign.archive(path, pickle_of({}), further=[("archive/VERSION", "")])
    if kind == "structures that differ in case":
        return foreign.archive(path, pickle_of({}), further=[("other/DATA.PKL", "")])
    foreign.rosinality_file(path, state, legacy=kind == "legacy cut")
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-300], "legacy cut": content[:-300], "begun": content[:40]}[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("deep key", "neither text nor a number"),
        ("compressed", "torch.save compresses nothing"),
        ("two structures", "it has 2 data.pkl"),
        ("no structure", "it has no data.pkl"),
        ("TorchScript", "it is of TorchScript, which is code"),
        ("storage too small", "damaged"),
        ("storage too large", "a storage of 1048576 numbers, which the file has no room for"),
        ("legacy storage too large", "a storage of 1048576 numbers, which the file has no room for"),
        ("size beyond the storage", "damaged"),
        ("storage of nothing", "damaged"),
        ("huge by strides", "more than is in the file"),
        ("one storage many times", "more than is in the file"),
        ("two tables of contents", "readers of such would disagree"),
        ("something behind it", "readers of such would disagree"),
        ("names that differ in case", "readers of such would disagree"),
        ("structures that differ in case", "it has 2 data.pkl"),
        ("cut", "damaged"),
        ("legacy cut", "damaged"),
        ("begun", "damaged"),
    ],
)
def test_a_file_that_is_not_sound_is_refused(kind, said, tmp_path):
    assert said in refusal(unsound(kind, tmp_path / "x.pt"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.ones(1)], "it holds a list, and not a dict of networks"),
        ({"weight": torch.ones(1)}, "it holds 'weight'; read are files of rosinality's"),
        ({"GAN": {"weight": torch.ones(1)}}, "lucidrains'"),
        ({}, "it holds nothing"),
        ({"g": {"input.input": torch.ones(1)}}, "no averaged generator g_ema"),
        ({"g_ema": {"input.input": torch.ones(1), "x": 3}}, "g_ema in it is no dict of tensors"),
        ({"g_ema": {"input.input": torch.ones(1).to_sparse()}}, "names 'torch._utils._rebuild_sparse_tensor'"),
    ],
)
def test_what_is_no_file_of_these_libraries_is_refused_with_what_it_holds(content, said, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    assert said in refusal(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"conv1.conv.weight": None}, "g_ema has no conv1.conv.weight"),
        ({"extra": torch.ones(2)}, "g_ema has 'extra', which gan_lab's has not"),
        ({"conv1.conv.weight": torch.ones(8, 8, 3, 3)}, "conv1.conv.weight has the shape [8, 8, 3, 3]"),
        ({"conv1.activate.bias": torch.full((8,), torch.nan)}, "conv1.activate.bias has values that are not finite"),
        ({"conv1.activate.bias": torch.ones(7)}, "settings and its tensors disagree"),
        ({"conv1.noise.weight": torch.ones(2)}, "conv1.noise.weight has 2 numbers, and not one"),
        ({"convs.0.conv.blur.kernel": torch.ones(4, 4)}, "convs.0.conv.blur.kernel is another filter"),
        ({"input.input": torch.ones(1, 8, 5, 5)}, "g_ema doubles a grid of 5x5 2 times"),
        ({"style.1.weight": None}, "g_ema has no layers style.1"),
        ({"noises.noise_1": None}, "settings and its tensors disagree"),
        ({"convs.3.conv.weight": torch.ones(1, 3, 4, 3, 3)}, "settings and its tensors disagree"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_rosinality_s_networks_of_other_layers_are_refused(changes, said, tmp_path):
    state = foreign.rosinality_generator(stylegan2_weights(latent=5, w=5)) | changes
    state = {key: value for key, value in state.items() if value is not None}
    foreign.rosinality_file(tmp_path / "x.pt", state)
    assert said in refusal(tmp_path / "x.pt", noise="constant")


def test_no_network_is_made_of_sizes_that_the_tensors_have_not(tmp_path, monkeypatch):
    """Of the width that one small tensor says, others would have a thousand times the file's bytes."""
    state = foreign.rosinality_generator(stylegan2_weights(latent=5, w=5))
    foreign.rosinality_file(tmp_path / "x.pt", state | {"convs.3.conv.weight": torch.ones(1, 1000, 1, 1, 1)})
    made_on, build = [], checkpoint.build

    def noted(*given, **named):
        made_on.append(torch.empty(0).device.type)
        return build(*given, **named)

    monkeypatch.setattr(checkpoint, "build", noted)
    assert "settings and its tensors disagree" in refusal(tmp_path / "x.pt")
    assert made_on == ["meta"]
    long = foreign.rosinality_generator(stylegan2_weights(latent=5, w=5))
    foreign.rosinality_file(tmp_path / "y.pt", long | {"style.1.weight": torch.ones(5, 10_000)})
    assert "latents of 10000 numbers, more than 8192" in refusal(tmp_path / "y.pt")


def test_a_discriminator_of_another_size_is_refused(tmp_path):
    state = foreign.rosinality_generator(stylegan2_weights(latent=5, w=5))
    foreign.rosinality_file(tmp_path / "x.pt", state, foreign.rosinality_discriminator((4, 8)))
    assert "settings and its tensors disagree" in refusal(tmp_path / "x.pt")


# file=, discriminator=: the networks' tensors by keys that are changed, None for left out; what is said
CHANGED = {
    "deep": ("studiogan", {"blocks.0.0.conv2d4.weight": torch.ones(1)}, "StudioGAN's big_resnet_deep"),
    "deep_conv": ("studiogan", {"blocks.0.0.deconv0.weight": torch.ones(1)}, "StudioGAN's deep_conv"),
    "stylegan2": ("studiogan", {"mapping.w_avg": torch.ones(1)}, "StudioGAN's stylegan2"),
    "left over": ("studiogan", {"info_mix.weight": torch.ones(1)}, "has 'info_mix.weight', which gan_lab's has not"),
    "no vector": ("studiogan", {"linear0.weight_u": None}, "the generator has no linear0.weight_u"),
    "no block": ("studiogan", {"blocks.2.0.conv2d1.bias": None}, "the generator has no blocks.2.0.conv2d1.bias"),
    "infinite": ("studiogan", {"conv2d5.bias": torch.full((3,), torch.inf)}, "values that are not finite"),
    "wrong grid": ("studiogan", {"linear0.bias": torch.ones(100)}, "disagree"),
    "scalar": ("studiogan", {"linear0.weight_orig": torch.ones(())}, "linear0.weight_orig has the shape []"),
    "huge": ("studiogan", {"conv2d5.bias": torch.zeros(1).expand(2**40)}, "more than is in the file"),
    "mixed": ("studiogan", {"linear0.weight_orig": None, "l1.weight": torch.ones(1)}, "it holds a discriminator"),
    "SAGAN": ("mimicry", {"l1.sn_u": torch.ones(1, 1)}, "Mimicry's SAGAN"),
    "other size": (
        "mimicry",
        {"l1.bias": torch.ones(8 * 25), "l1.weight": torch.ones(200, 5)},
        "a grid of 5x5 3 times",
    ),
    "attention": ("mimicry", {"attn_block.theta.weight": torch.ones(1)}, "has 'attn_block.theta.weight'"),
    "no block of it": ("mimicry", {"block3.c1.weight": None}, "the generator has no b3.running_mean"),
    "widths": ("mimicry", {"block3.b1.weight": torch.ones(3)}, "settings and its tensors disagree"),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_a_generator_of_other_layers_is_refused(kind, tmp_path):
    library, changes, said = CHANGED[kind]
    made = (
        foreign.studiogan_generator((8, 8, 8, 8), 6) if library == "studiogan" else foreign.mimicry_generator((8,) * 4)
    )
    state = {key: value for key, value in (made | changes).items() if value is not None}
    getattr(foreign, f"{library}_file")(tmp_path / "x.pth", state)
    assert said in refusal(tmp_path / "x.pth")


def test_networks_that_gan_lab_does_not_compute_are_refused_by_name(tmp_path):
    write, made = foreign.studiogan_file, foreign.studiogan_generator
    write(tmp_path / "x.pth", made((8, 8, 8, 8), 6, spectral=False, attention=1))
    assert "attention without spectral normalization" in refusal(tmp_path / "x.pth")
    write(tmp_path / "x.pth", made((8, 8, 8, 8), 12, kind="big_resnet", classes=4, spectral=False))
    assert "its big_resnet has no spectral normalization" in refusal(tmp_path / "x.pth")


def test_a_discriminator_that_does_not_fit_is_refused(tmp_path):
    studiogan = foreign.studiogan_file(tmp_path / "G.pth", foreign.studiogan_generator((8, 8, 8, 8), 6))
    mimicry = foreign.mimicry_file(tmp_path / "netG.pth", foreign.mimicry_generator((8, 8, 8, 8)))
    judge = foreign.studiogan_discriminator((8, 8, 8, 8), 2)
    beside = foreign.studiogan_file(tmp_path / "D.pth", judge)

    def told(file, other):
        with pytest.raises(ValueError) as caught:
            both_networks(file, other)
        return str(caught.value)

    assert "give the generator's checkpoint as file=" in told(beside, studiogan)
    assert "it holds no discriminator" in told(studiogan, studiogan)
    assert "D.pth was refused: it is of StudioGAN, and" in told(mimicry, beside)
    batch = {key.replace("weight_orig", "weight"): value for key, value in judge.items()}
    assert "has batch normalization" in told(studiogan, foreign.studiogan_file(tmp_path / "D.pth", batch))
    larger = foreign.studiogan_discriminator((8, 8, 8, 8, 8), 4)
    assert "disagree" in told(studiogan, foreign.studiogan_file(tmp_path / "D.pth", larger))
    plain = foreign.mimicry_discriminator((8, 8, 8, 8), 2, spectral=None)
    assert "DCGAN's" in told(mimicry, foreign.mimicry_file(tmp_path / "netD.pth", plain))
    rosinality = foreign.rosinality_file(
        tmp_path / "x.pt", foreign.rosinality_generator(stylegan2_weights(latent=5, w=5))
    )
    assert "leave discriminator= out" in told(rosinality, beside)
    with pytest.raises(ValueError, match="noise=constant is of StyleGAN2"):
        both_networks(mimicry, noise="constant")


def test_a_file_of_two_libraries_is_refused(tmp_path):
    made = {"state_dict": foreign.studiogan_generator((8, 8, 8, 8), 6)}
    torch.save(made | {"model_state_dict": foreign.mimicry_generator((8, 8, 8, 8))}, tmp_path / "x.pth")
    assert "it has the keys of StudioGAN and of Mimicry" in refusal(tmp_path / "x.pth")


def test_the_command_says_a_refusal_in_one_message(here, tmp_path):
    foreign.archive(tmp_path / "x.pt", foreign.pickled(CALLS["os.system"][0](str(tmp_path / "mark"))))
    done = here("import_weights", "file=x.pt", "licence=own")
    assert done.code == 1
    assert done.output.count("Error:") == 1
    assert "Traceback" not in done.output
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "imported").exists()
