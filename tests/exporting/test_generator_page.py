"""A page with the generator inside: what it holds, what is refused, and that Chromium makes the module's pictures."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hand_translators import RESNET, write_translator
from in_browser import assert_nothing_sticks_out, levels_apart, needs_a_browser, needs_a_runtime, shown, wait
from PIL import Image
from tiny_generators import generator

from gan_lab.data.images import to_uint8
from gan_lab.evaluation.generation import asked, block_inputs
from gan_lab.exporting import page as pages
from gan_lab.exporting.web_runtime import FILES
from gan_lab.latents.sliders import Slider, moved, place_of, write
from gan_lab.runs.checkpoint import load_generator, weights_sha256
from gan_lab.sampling import CodedInputs, Draws
from gan_lab.translation.applying import Translating

EVIL = "</script><b>run"
NO_RUNTIME = dict.fromkeys(FILES, b"")


def loaded_generator(kind: str, folder: Path, **changes):
    """One of a run whose data set has an evil name."""
    config = {"model": {"_target_": "gan_lab.models.gan.GAN"}, "data": {"name": EVIL}}
    return replace(generator(kind), config=config, path=folder / "x.ckpt", **changes)


def with_slider(loaded):
    """The generator, with a slider of two of its layers beside it."""
    step = torch.linspace(-1, 1, 8)
    write(place_of(loaded), loaded, {"smile": Slider(step, (1, 3), {})}, replacing=False)
    return loaded


def held(page: str, name: str) -> str:
    return re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', page, re.DOTALL)[1]


# what it holds ---------------------------------------------------------------------------------------------------


@pytest.fixture
def structure(monkeypatch, tmp_path):
    """Makes a page without a network or a runtime."""
    monkeypatch.setattr(pages, "model", lambda *_: b"the model")
    return lambda loaded: pages.page_of(loaded, runtime=NO_RUNTIME, tolerance=1e-4)


def test_it_holds_the_latents_of_its_seeds(structure, tmp_path):
    loaded = loaded_generator("styles", tmp_path)
    page = structure(loaded)
    packed = gzip.decompress(base64.b64decode(held(page, "latents")))
    latents = np.frombuffer(packed, dtype="<f4").reshape(pages.SEEDS, pages.PICTURES, 6)
    for seed in (0, 5, pages.SEEDS - 1):
        drawn = block_inputs(loaded, seed=seed, block=0)["latents"]
        assert np.array_equal(latents[seed], drawn[: pages.PICTURES].numpy())
    assert gzip.decompress(base64.b64decode(held(page, "model"))) == b"the model"


def test_it_may_ask_for_nothing(structure, tmp_path):
    """The policy forbids all but this one script and what that makes itself; what a run is called stays text."""
    page = structure(loaded_generator("latents", tmp_path))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert allowed["default-src"] == "'none'"
    assert allowed["script-src"] == f"'sha256-{digest}' blob: 'wasm-unsafe-eval'"
    assert "connect-src" not in allowed
    named = json.loads(held(page, "about"))["texts"]["XML:com.adobe.xmp"]  # of namespaces
    assert not re.search(r"https?:|\bsrc=|@import", page.replace(json.dumps(named)[1:-1].replace("<", "\\u003c"), ""))
    assert EVIL not in page
    assert "GAN on &lt;/script&gt;&lt;b&gt;run" in page


def test_every_input_has_a_label(structure, tmp_path):
    page = structure(with_slider(loaded_generator("styles", tmp_path)))
    named = set(re.findall(r'<label[^>]* for="(\w+)"', page))
    inputs = set(re.findall(r'<(?:input|select)[^>]* id="(\w+)"', page))
    assert inputs == named == {"seed", "count", "truncation", "slider0"}
    assert json.loads(held(page, "about"))["sliders"][0]["layers"] == [1, 3]


def test_sliders_of_codes_and_of_latents(tmp_path):
    loaded = loaded_generator("latents", tmp_path)
    columns = [slider["column"] for slider in pages.sliders(loaded)]
    assert columns == [0, 1, 2, 3, 4, 5]
    coded = replace(loaded, inputs=CodedInputs(6, "normal", [2], 2))
    assert [(slider["name"], slider["column"]) for slider in pages.sliders(coded)] == [("Code 1", 4), ("Code 2", 5)]


# what is refused -------------------------------------------------------------------------------------------------


def test_what_does_not_suit_a_page(monkeypatch, tmp_path):
    pytest.importorskip("onnxscript")
    loaded = loaded_generator("latents", tmp_path)
    pages.check_suits_a_page(loaded)
    with monkeypatch.context() as patch:
        patch.setattr(pages, "MOST_MEGABYTES", 0.001)
        with pytest.raises(ValueError, match=r"weights take 0 MB, and a page at most 0.001"):
            pages.check_suits_a_page(loaded)
    loaded.network.sample_shape = (2,)
    with pytest.raises(ValueError, match=r"makes samples of shape \[2\]; leave it out: onnx=true suits it"):
        pages.check_suits_a_page(loaded)
    unknown = {"data": {"condition": {}}, "masked": True}
    masked = load_generator(write_translator(tmp_path / "m.safetensors", RESNET, **unknown), "live")
    with pytest.raises(ValueError, match=r"does not say what level holes had.*gan_lab.translate .*fill=LEVEL"):
        pages.check_suits_a_page(masked)
    ids = {"source_labels": 3, "unlabelled_ids": []}
    maps = load_generator(write_translator(tmp_path / "l.safetensors", RESNET, data=ids), "live")
    with pytest.raises(ValueError, match=r"reads pictures, and ResNetTranslator is given label maps"):
        pages.check_suits_a_page(maps)
    alpha = load_generator(write_translator(tmp_path / "a.safetensors", RESNET, channels=(4, 3)), "live")
    with pytest.raises(ValueError, match=r"pictures of 1 or 3 channels, and ResNetTranslator is given 4"):
        pages.check_suits_a_page(alpha)


# in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def styles(tmp_path_factory, runtime):
    """A generator with a slider, and its page."""
    folder = tmp_path_factory.mktemp("styles")
    loaded = with_slider(loaded_generator("styles", folder))
    (folder / "generator.html").write_text(pages.page_of(loaded, runtime=runtime, tolerance=1e-4), encoding="utf-8")
    return loaded, folder / "generator.html"


@pytest.fixture(scope="module")
def translator(tmp_path_factory, runtime):
    """A translator of multiples of 2, and its page."""
    folder = tmp_path_factory.mktemp("translator")
    settings = RESNET | {"downsamplings": 1, "normalization": "instance_plain"}
    loaded = load_generator(write_translator(folder / "g.safetensors", settings), "live")
    (folder / "generator.html").write_text(pages.page_of(loaded, runtime=runtime, tolerance=1e-4), encoding="utf-8")
    return loaded, folder / "generator.html"


def by_module(loaded, seed: int, count: int) -> list[np.ndarray]:
    """(H, W, 1) of the first pictures of a seed, with the page's noise."""
    latents = block_inputs(loaded, seed=seed, block=0)["latents"][:count]
    noise = Draws(pages.NOISE_SEED, across_ranks=False).normal("noise", 1, (loaded.network.noise_size,))
    made = loaded.network(latents, noise=noise.expand(count, -1))
    return list(to_uint8(made).permute(0, 2, 3, 1).numpy())


class TestInBrowser:
    pytestmark = [*needs_a_browser, *needs_a_runtime]

    def test_the_pictures_of_a_seed_are_the_modules(self, opened, styles):
        loaded, file = styles
        page = opened(file, "9 pictures of seed 0")
        assert_nothing_sticks_out(page)
        page.fill("#seed", "3")
        wait(page, "9 pictures of seed 3")
        plain = shown(page, "#pictures canvas")
        for ours, theirs in zip(by_module(loaded, 3, 9), plain, strict=True):
            assert levels_apart(np.repeat(ours, 3, axis=2), theirs[..., :3]) <= 2
        page.select_option("#count", "4")
        page.fill("#truncation", "0.5")
        page.fill("#slider0", "1.5")
        wait(page, "4 pictures of seed 3")
        steered = shown(page, "#pictures canvas")
        changed = moved(loaded, {"smile": 1.5}, place_of(loaded))
        changed = asked(changed, truncation=0.5, standing_statistics=None)
        for ours, theirs in zip(by_module(changed, 3, 4), steered, strict=True):
            assert levels_apart(np.repeat(ours, 3, axis=2), theirs[..., :3]) <= 2
        assert levels_apart(plain[0], steered[0]) > 20

    def test_seeds_that_it_draws_itself(self, opened, styles):
        """They are the same again; a sheet of all and single pictures are saved as they are shown."""
        page = opened(styles[1], "pictures of seed 0")
        seen = {}
        for seed in ("1000", "1001", "1000"):
            page.fill("#seed", seed)
            wait(page, f"pictures of seed {seed}")
            made = shown(page, "#pictures canvas")
            assert all(np.array_equal(*pair) for pair in zip(made, seen.get(seed, made), strict=True))
            seen[seed] = made
        assert levels_apart(seen["1000"][0], seen["1001"][0]) > 20
        with page.expect_download() as saving:
            page.click("#save")
        with Image.open(saving.value.path()) as sheet:
            assert sheet.text["Description"] == "made by a generative model"
            assert sheet.text["gan_lab.generator_sha256"] == weights_sha256(styles[0].network)
            assert sheet.text["gan_lab.page_seed"] == "1000"
            assert b"/trainedAlgorithmicMedia" in sheet.info["xmp"]
            assert sheet.size == (24, 24)
            assert np.array_equal(np.asarray(sheet.convert("RGBA"))[8:16, :8], seen["1000"][3])
        with page.expect_download() as saving:
            page.locator("#pictures button").nth(2).click()
        assert saving.value.suggested_filename == "seed1000_2.png"
        page.fill("#seed", "-1")
        wait(page, "must be a whole number from 0")
        page.click("#new")
        wait(page, r"pictures of seed \d+, in")

    def test_a_picture_is_translated_as_by_the_module(self, opened, translator, tmp_path):
        loaded, file = translator
        page = opened(file, "Ready")
        pixels = np.random.default_rng(0).integers(0, 256, (13, 21, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "own.png")
        page.set_input_files("#file", tmp_path / "own.png")
        wait(page, "Made in")
        translated = Translating(loaded, seed=0, tile=False, tile_size=64, max_megapixels=1, fill=None)(pixels)
        (before,), (after,) = shown(page, "#before"), shown(page, "#after")
        assert np.array_equal(before[..., :3], pixels)
        assert levels_apart(translated, after[..., :3]) <= 2
        assert_nothing_sticks_out(page)
        with page.expect_download() as saving:
            page.click("#save")
        assert saving.value.suggested_filename == "own_translated.png"
        with Image.open(saving.value.path()) as picture:
            assert picture.text["Description"] == "made by a generative model, of a picture"
        Image.fromarray(pixels).resize((700, 350)).save(tmp_path / "large.png")
        page.set_input_files("#file", tmp_path / "large.png")
        page.locator("#before-caption", has_text="512x256 pixels, resized from 700x350").wait_for()
        (tmp_path / "no.png").write_text("no picture")
        page.set_input_files("#file", tmp_path / "no.png")
        wait(page, "no.png is no picture that this browser reads")
