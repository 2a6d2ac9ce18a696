"""Pages of every kind of generator that one can hold, each opened in Chromium: their pictures are the module's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hand_translators import RESNET, UNET, write_translator
from in_browser import assert_nothing_sticks_out, levels_apart, needs_a_browser, needs_a_runtime, shown, wait
from PIL import Image
from tiny_generators import generator

from gan_lab.data.images import to_uint8
from gan_lab.evaluation.generation import block_inputs
from gan_lab.exporting import page as pages
from gan_lab.networks.fastgan import FastGANGenerator
from gan_lab.networks.mlp import MLPGenerator
from gan_lab.networks.stylegan2 import StyleGAN2Generator
from gan_lab.runs.checkpoint import load_generator
from gan_lab.sampling import CodedInputs, Draws, LabelledInputs, LatentInputs
from gan_lab.translation.applying import Translating

# `make test` has one of each family elsewhere; all of them take minutes, and are for `make test-browser`.
pytestmark = [pytest.mark.slow, *needs_a_browser, *needs_a_runtime]
STYLES = {"latent_dim": 6, "w_dim": 8, "depth": 1, "width": 4, "max_width": 4, "w_average_decay": 0.9}
MLP = {"width": 16, "depth": 1, "normalization": "none", "activation": "relu", "initialization": "he"}
COMOD = {
    "_target_": "gan_lab.networks.comodgan.CoModGenerator",
    "latent_dim": 6,
    "w_dim": 8,
    "depth": 1,
    "width": 4,
    "max_width": 8,
    "dropout": 0.5,
}


def fastgan():
    network = FastGANGenerator(sample_shape=(3, 64, 64), latent_dim=6, width=8, initialization="normal")
    return network, LatentInputs(6, "normal")


def conditional_styles():
    network = StyleGAN2Generator(sample_shape=(3, 16, 16), conditioning="concatenation", num_classes=3, **STYLES)
    return network, LabelledInputs(6, "normal", 3, "uniform")


def infogan():
    return MLPGenerator(sample_shape=(1, 8, 8), latent_dim=11, **MLP), CodedInputs(11, "uniform", [3], 2)


def transparent_styles():
    return StyleGAN2Generator(sample_shape=(4, 16, 16), **STYLES), LatentInputs(6, "normal")


def styles_with_constant_noise():
    network = StyleGAN2Generator(sample_shape=(3, 16, 16), constant_noise=True, **STYLES)
    return network, LatentInputs(6, "normal")


def written(loaded, folder, runtime):
    file = folder / "generator.html"
    file.write_text(pages.page_of(loaded, runtime=runtime, tolerance=1e-4), encoding="utf-8")
    return file


@pytest.mark.parametrize("make", [fastgan, conditional_styles, infogan, transparent_styles, styles_with_constant_noise])
def test_a_generator(make, opened, runtime, tmp_path):
    torch.manual_seed(0)
    network, inputs = make()
    if hasattr(network, "synthesis"):
        for convolution in network.synthesis.convolutions:
            convolution.noise_strength.data.fill_(0.3)
    config = {"model": {"_target_": "gan_lab.models.gan.GAN"}, "data": {"name": make.__name__}}
    network = network.eval().requires_grad_(False)
    loaded = replace(generator("latents"), network=network, inputs=inputs, config=config, path=tmp_path / "x.ckpt")
    page = opened(written(loaded, tmp_path, runtime), "9 pictures of seed 0")
    assert_nothing_sticks_out(page)
    page.fill("#seed", "5")
    wait(page, "pictures of seed 5")
    given = {name: values[:9] for name, values in block_inputs(loaded, seed=5, block=0).items()}
    if inputs.num_classes:
        compare(page, network, given)
        page.select_option("#class", "2")
        wait(page, "pictures of seed 5")
        given = {name: values[:9] for name, values in block_inputs(loaded, seed=5, block=0, classes=[2]).items()}
    compare(page, network, given)


def compare(page, network, given):
    """All pictures that are shown are the module's."""
    size = getattr(network, "noise_size", None)
    if size is not None and getattr(network, "constant_noise", None) is None:
        noise = Draws(pages.NOISE_SEED, across_ranks=False).normal("noise", 1, (size,))
        given = given | {"noise": noise.expand(9, -1)}
    made = to_uint8(network(**given)).permute(0, 2, 3, 1).numpy()
    seen = shown(page, "#pictures canvas")
    assert len({one.tobytes() for one in seen}) > 1, "they differ"
    for ours, theirs in zip(made, seen, strict=True):
        colours = ours[..., :3] if ours.shape[2] > 1 else ours.repeat(3, axis=2)
        opaque = theirs[..., 3] == 255  # else a canvas keeps its colours times alpha
        assert levels_apart(colours[opaque], theirs[opaque, :3]) <= 2
        assert levels_apart(ours[..., 3] if ours.shape[2] == 4 else np.full(opaque.shape, 255), theirs[..., 3]) <= 2


@pytest.mark.parametrize(
    ("network", "given"),
    [
        (RESNET, {"channels": (1, 3), "size": 32}),
        (UNET, {"channels": (3, 1), "size": 32}),
        (RESNET | {"downsamplings": 1}, {"masked": True, "size": 32}),
        (COMOD, {"masked": True, "size": 32}),
    ],
    ids=["grey_to_colours", "colours_to_grey", "holes", "holes_with_latents"],
)
def test_a_translator(network, given, opened, runtime, tmp_path):
    file = write_translator(tmp_path / "g.safetensors", network, **given)
    loaded = load_generator(file, "live")
    masked = given.get("masked", False)
    if network is COMOD:
        from gan_lab.sampling import SourceLatentInputs

        loaded = replace(loaded, inputs=SourceLatentInputs(loaded.inputs.condition_shape, True, 6, "normal"))
    page = opened(written(loaded, tmp_path, runtime), "Ready")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "own.png")
    page.set_input_files("#file", tmp_path / "own.png")
    hole = None
    if masked:
        wait(page, "Draw over what is to be made anew")
        assert page.locator("#go").is_disabled()
        assert_nothing_sticks_out(page)
        page.locator("#hole").scroll_into_view_if_needed()
        box = page.locator("#hole").bounding_box()
        across = [(box["x"] + share * box["width"], box["y"] + box["height"] / 2) for share in (0.3, 0.7)]
        page.mouse.move(*across[0])
        page.mouse.down()
        page.mouse.move(*across[1], steps=4)
        page.mouse.up()
        hole = shown(page, "#hole")[0][..., 3] > 0
        assert hole[16, 16]
        assert 0.02 < hole.mean() < 0.3
        page.click("#go")
    wait(page, "Made in")
    fill = 127 if masked else None
    translating = Translating(loaded, seed=0, tile=False, tile_size=64, max_megapixels=1, fill=fill)
    source = pixels
    if given.get("channels", (3, 3))[0] == 1:
        source = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    if network is COMOD:  # its noise is the page's
        noise = Draws(pages.NOISE_SEED, across_ranks=False).normal("noise", 1, (loaded.network.noise_size,))
        translating.besides["noise"] = noise
    made = translating(source, hole)
    made = made.repeat(3, axis=2) if made.shape[2] == 1 else made
    (after,) = shown(page, "#after")
    assert levels_apart(made, after[..., :3]) <= 2
    assert_nothing_sticks_out(page)
    if masked:
        assert np.array_equal(after[~hole, :3], pixels[~hole])
        page.click("#clear")
        wait(page, "Draw over")
        assert page.locator("#after").is_hidden()


def test_a_transparent_part_is_the_hole(opened, runtime, tmp_path):
    file = write_translator(tmp_path / "g.safetensors", RESNET | {"downsamplings": 1}, masked=True)
    loaded = load_generator(file, "live")
    page = opened(written(loaded, tmp_path, runtime), "Ready")
    pixels = np.random.default_rng(0).integers(0, 256, (13, 21, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[4:9, 5:12, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "own.png")
    page.set_input_files("#file", tmp_path / "own.png")
    wait(page, "Its transparent part is the hole")
    page.click("#go")
    wait(page, "Made in")
    translating = Translating(loaded, seed=0, tile=False, tile_size=64, max_megapixels=1, fill=127)
    made = translating(pixels[..., :3], pixels[..., 3] == 0)
    (after,) = shown(page, "#after")
    assert levels_apart(made, after[..., :3]) <= 2
