"""`python -m gan_lab.demo`: what it refuses and says, and the page of both kinds of networks in a real browser."""

import io
import os
import socket
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from hand_translators import NEGATIVE, TRUST, write_translator
from hydra import compose, initialize_config_dir
from in_browser import WIDTHS, needs_a_browser, needs_gradio
from omegaconf import OmegaConf
from PIL import Image
from test_latent_commands import snapshot  # noqa: F401
from tiny_generators import generator

from gan_lab import demo
from gan_lab.config import register
from gan_lab.demonstration.training import Training
from gan_lab.installing import install_command
from gan_lab.latents.sliders import Slider, place_of, write
from gan_lab.metrics.picture_neighbors import PictureNeighbors
from gan_lab.runs.checkpoint import load_generator

SETTINGS = {
    "sliders_file": None,
    "neighbours": True,
    "data_root": None,
    "direction": None,
    "fill": None,
    "count": 6,
    "tile_size": 512,
    "max_megapixels": 4,
    "trust": ["hand_translators"],
}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["count=51"], "count must be from 1 to 50, got 51"),
        (["direction=AtoB"], "direction=AtoB is none of"),
        (["fill=3"], "fill=3 is of holes, and this generator is given none; leave it out"),
        (["sliders_file=nowhere.json"], "there are no sliders at nowhere.json"),
        (
            ["neighbours=false", "data_root=x"],
            "data_root=x is of training pictures, and neighbours=false asks for none",
        ),
        (["host=0.0.0.0"], "unknown key host"),
        (["share=true"], "unknown key share"),
    ],
)
def test_what_is_refused(words, said, snapshot, here):  # noqa: F811
    refused = here("demo", "checkpoint=g.safetensors", "device=cpu", *words)
    assert refused.code == 1
    assert said in refused.output


def test_a_translator_refuses_sliders(here, tmp_path):
    write_translator(tmp_path / "g.safetensors", NEGATIVE)
    refused = here("demo", "checkpoint=g.safetensors", "device=cpu", TRUST, "sliders_file=x.json")
    assert refused.code == 1
    assert "sliders_file=x.json is of a generator with latents" in refused.output


def test_without_the_extra(snapshot, here, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "gan_lab.demonstration.page", raising=False)
    refused = here("demo", "checkpoint=g.safetensors", "device=cpu")
    assert refused.code == 1
    assert f"python -m gan_lab.demo needs: {install_command('demo')}" in refused.output


class Shown:
    """What stands in for the module of pages: nothing is served, and Ctrl-C is pressed at once."""

    def serving(self, build, port):
        return nullcontext(f"http://127.0.0.1:{port}/")


def test_what_it_says(snapshot, here, monkeypatch):  # noqa: F811
    """Sliders of other weights are told, and all else works; so is data that is not there."""

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "page", Shown)
    monkeypatch.setattr(demo, "wait", interrupted)
    other = generator("styles")
    other.network.w_average.add_(1)
    write(snapshot / "sliders.json", other, {"smile": Slider(torch.ones(8), None, {})}, replacing=False)
    done = here("demo", "checkpoint=g.safetensors", "device=cpu", "port=7999")
    assert done.code == 0, done.output
    for said in (
        "No sliders: the sliders in sliders.json are of other weights",
        "No nearest training pictures: the run's settings are not with its data",
        "page of g.safetensors (ema, 1.0 kimg)",
        "open    http://127.0.0.1:7999/",
        "ended",
    ):
        assert said in done.output, said


def test_sliders_beside_the_checkpoint_are_found(snapshot):  # noqa: F811
    loaded = load_generator(snapshot / "g.safetensors")
    assert demo.sliders_of(loaded, None)[0] == {}
    write(place_of(loaded), loaded, {"smile": Slider(torch.ones(8), None, {})}, replacing=False)
    assert list(demo.sliders_of(loaded, None)[0]) == ["smile"]


@cache
def composed(*words: str) -> dict:
    """The stored config of a run's data, with nothing else."""
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        config = compose("train", list(words))
    return {"data": OmegaConf.to_container(config.data, resolve=True)}


def test_training_pictures_of_a_run_are_found():
    """Those that were trained on, of data that needs no file."""
    found, remarks = demo.training_of(
        replace(generator("styles"), config=composed("data=digits", "data.image_size=16", "data.limit=20")), [], None
    )
    assert remarks == []
    pictures = found.pictures
    assert len(pictures.images) == 20
    assert pictures.nearest(torch.from_numpy(pictures.images[7:8].copy()), 1) == [[(7, 0.0, False)]]


def test_training_pictures_that_are_gone(tmp_path):
    config = composed("data=folder", f"data.root={tmp_path / 'gone'}", "data.image_size=16")
    found, (remark,) = demo.training_of(replace(generator("styles"), config=config), [], None)
    assert found is None
    assert remark.startswith("No nearest training pictures: ")
    assert "gone" in remark
    assert "data_root=PATH" in remark
    for name in ("cats", "dogs"):
        (tmp_path / "moved" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (20, 20), (90 * number, 0, 0)).save(tmp_path / "moved" / name / f"{number}.png")
    loaded = replace(generator("styles"), config=config)
    found, remarks = demo.training_of(loaded, [], str(tmp_path / "moved"))
    assert remarks == []
    assert (len(found.pictures.images), found.class_names) == (6, ("cats", "dogs"))
    with pytest.raises(ValueError, match=r"other.*data_root=PATH"):
        demo.training_of(loaded, [], str(tmp_path / "other"))


# in a browser ----------------------------------------------------------------------------------------------------


class Opened:
    """A page in the browser, and what it complained of or asked of others."""

    def __init__(self, browser, address: str, width: int) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.complaints: list[str] = []
        self.page.on("console", lambda told: self.complaints.append(told.text) if told.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda asked: self._note(asked.url, address))
        self.page.goto(address)

    def _note(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.complaints.append(url)

    def picture(self, selector: str) -> np.ndarray:
        """The levels of the picture that is shown."""
        place = self.page.locator(f"{selector} img").first.get_attribute("src")
        with Image.open(io.BytesIO(self.page.request.get(place).body())) as image:
            return np.asarray(image)

    def wait_for_another(self, selector: str, earlier: str) -> None:
        self.page.wait_for_function(
            "([place, earlier]) => { const image = document.querySelector(place + ' img');"
            " return image && image.complete && image.src !== earlier; }",
            arg=[selector, earlier],
        )

    def close(self) -> None:
        assert self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        self.page.close()
        assert self.complaints == []


class TestInBrowser:
    pytestmark = [*needs_a_browser, needs_gradio]

    def test_a_generator(self, chromium, tmp_path):
        from gan_lab.demonstration.page import serving
        from gan_lab.demonstration.samples import Request, Samples

        sliders = {"smile": Slider(torch.ones(8), None, {})}
        session = Samples(generator("styles"), count=6, sliders=sliders)
        build = lambda folder: demo.page().page_of_samples(session, None, ["<b>a remark</b>"], folder)  # noqa: E731
        before = dict(os.environ)
        with serving(build, 0) as address:
            for width in WIDTHS:
                opened = Opened(chromium, address, width)
                opened.page.wait_for_selector("#pictures img")
                assert np.array_equal(opened.picture("#pictures"), np.asarray(session.pictures(Request(seed=0))[0]))
                assert opened.page.get_by_text("<b>a remark</b>").is_visible()
                earlier = opened.page.locator("#pictures img").first.evaluate("image => image.src")
                opened.page.click("button#another")
                opened.wait_for_another("#pictures", earlier)
                seed = int(opened.page.locator("#seed input").input_value())
                assert np.array_equal(opened.picture("#pictures"), np.asarray(session.pictures(Request(seed=seed))[0]))
                earlier = opened.page.locator("#pictures img").first.evaluate("image => image.src")
                opened.page.get_by_label("number input for smile").fill("2")
                opened.wait_for_another("#pictures", earlier)
                moved = session.pictures(Request(seed=seed, strengths={"smile": 2.0}))[0]
                assert np.array_equal(opened.picture("#pictures"), np.asarray(moved))
                opened.close()
            with socket.socket() as elsewhere:  # another address of this machine
                elsewhere.settimeout(1)
                assert elsewhere.connect_ex(("127.0.0.2", int(address.rstrip("/").rpartition(":")[2]))) != 0
            folder = Path(os.environ["GRADIO_TEMP_DIR"])
            assert folder.is_dir()
        assert not folder.exists()
        assert os.environ == before

    def test_what_is_refused_leaves_the_page_as_it_is(self, chromium, tmp_path, capfd):
        """And what is told of pictures goes with them: borders, neighbours."""
        from gan_lab.demonstration.page import serving
        from gan_lab.demonstration.samples import Samples

        session = Samples(generator("styles"), count=6, sliders={"smile": Slider(torch.ones(8), None, {})})
        reals = np.random.default_rng(0).integers(0, 255, (20, 1, 8, 8), dtype=np.uint8)
        training = Training(PictureNeighbors(reals, mirrored=False), None)
        build = lambda folder: demo.page().page_of_samples(session, training, [], folder)  # noqa: E731
        with serving(build, 0) as address:
            opened = Opened(chromium, address, 390)
            page = opened.page
            page.wait_for_selector("#pictures img")
            before = opened.picture("#pictures")

            def told(said: str) -> None:
                page.get_by_text(said).wait_for()
                assert page.locator("#pictures .error, #chosen .error").count() == 0
                assert np.array_equal(opened.picture("#pictures"), before)

            page.click("button#more")
            told("choose at least one picture")
            for typed, got in (("-3", "-3"), ("1e30", "1e+30"), ("0.5", "0.5"), ("", "nothing")):
                page.locator("#seed input").fill(typed)
                page.locator("#seed input").press("Enter")
                told(f"Seed must be a whole number from 0 to 9007199254740992, got {got}")
            page.get_by_label("number input for Truncation").fill("2")
            told("Truncation must be from 0 to 1, got 2")
            page.get_by_label("number input for Truncation").fill("1")

            bordered = (
                "all => all.map(each => getComputedStyle(each))"
                ".map(style => style.outlineStyle === 'solid' || style.boxShadow !== 'none')"
            )
            page.locator("#pictures img").nth(3).click()
            page.wait_for_function("document.querySelectorAll('#chosen input:checked').length === 1")
            assert page.locator("#pictures .thumbnail-item").evaluate_all(bordered) == [
                number == 3 for number in range(6)
            ]
            page.click("button#more")
            page.wait_for_function("document.querySelectorAll('#chosen input:checked').length === 0")
            assert not any(page.locator("#pictures .thumbnail-item").evaluate_all(bordered))

            page.click("button#alike")
            page.get_by_text("None is chosen, so this is picture 0").wait_for()
            page.wait_for_selector("#neighbours img")
            page.mouse.wheel(0, 2000)
            page.wait_for_function("scrollY > 300")
            assert page.locator("#pictures").evaluate("each => each.getBoundingClientRect().top") == 0, (
                "below the sliders"
            )
            page.locator("#seed input").fill("7")
            page.locator("#seed input").press("Enter")
            page.locator("#neighbours").wait_for(state="hidden")
            opened.close()
        assert "Traceback" not in "".join(capfd.readouterr())

    def test_a_hole_is_drawn_and_filled(self, chromium, tmp_path):
        from gan_lab.demonstration.page import serving

        write_translator(tmp_path / "g.safetensors", NEGATIVE, masked=True)
        pixels = np.random.default_rng(0).integers(0, 100, (120, 160, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "mine.png")
        loaded = load_generator(tmp_path / "g.safetensors", trust=["hand_translators"])
        with serving(demo.translations(loaded, SETTINGS), 0) as address:
            opened = Opened(chromium, address, 1280)
            opened.page.locator("#source input[type=file]").set_input_files(tmp_path / "mine.png")
            opened.page.wait_for_selector("#editor canvas")
            for _ in range(12):  # until the editor has laid the picture out, which it does not tell
                opened.page.wait_for_timeout(1000)
                box = opened.page.locator("#editor canvas").first.bounding_box()
                middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
                opened.page.mouse.move(*middle)
                opened.page.mouse.down()
                opened.page.mouse.move(middle[0] + 5, middle[1], steps=3)
                opened.page.mouse.up()
                opened.page.click("button#go")
                opened.page.wait_for_timeout(2000)
                if opened.page.locator("#result img").count():
                    break
            made = opened.picture("#result")
            hole = (made != pixels).any(axis=2)
            assert (made[hole] == 128).all()
            assert hole[60, 80]
            assert 0 < hole.mean() < 0.2, "and the rest is as it was"
            opened.close()


@pytest.mark.browser  # not opened, but made of what make test-browser has
@needs_gradio
def test_what_is_typed():
    from gan_lab.demonstration.page import left_out, seed_of, within

    assert [seed_of(number) for number in (0, 7.0, 2**53)] == [0, 7, 2**53]
    for wrong in (-3, 0.5, 1e30, float("nan"), float("inf"), None, "words", True, [1]):
        with pytest.raises(ValueError, match="Seed must be a whole number from 0 to 9007199254740992, got"):
            seed_of(wrong)
    assert within("Truncation", 1, 0.0, 1.0) == 1
    for wrong in (1.1, -0.1, float("nan"), None, "words"):
        with pytest.raises(ValueError, match="Truncation must be from 0 to 1, got"):
            within("Truncation", wrong, 0.0, 1.0)
    assert left_out([2]) == []
    assert left_out([0, 1, 2, 3, 4]) == ["Of the 5 that are chosen the first 4"]


@pytest.mark.browser
@needs_gradio
def test_a_port_that_is_taken():
    from gan_lab.demonstration.page import free_port

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ValueError, match=r"port=\d+ cannot be had .*port=0"):
            free_port(taken.getsockname()[1])
    with pytest.raises(ValueError, match="port must be from 0 to 65535, got 65536"):
        free_port(65536)
