"""What tests of pages in a browser share. As a program: has the runtime of pages fetched, as a user gets it."""

import base64
import importlib.util
import io
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_lab.exporting.web_runtime import PACKAGE, VERSION, web_runtime

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Before the tests give themselves a cache of their own.
CACHE = Path(os.environ.get("GAN_LAB_CACHE", Path.home() / ".cache" / "gan_lab"))
WIDTHS = (1280, 390)


def is_there(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


needs_a_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(not is_there("playwright"), reason="Playwright is missing: pip install it"),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium"),
]
needs_gradio = pytest.mark.skipif(not is_there("gradio"), reason="Gradio is missing: make test-browser has it")
needs_a_runtime = [
    pytest.mark.skipif(not is_there("onnxscript"), reason="the extra onnx is missing"),
    pytest.mark.skipif(
        not (CACHE / f"{PACKAGE}-{VERSION}").is_dir(),
        reason=f"{PACKAGE} {VERSION} is not in the cache: any export with page=true puts it there",
    ),
]


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def runtime():
    return web_runtime(None, CACHE)


@pytest.fixture
def opened(chromium):
    """Opens an exported page offline; afterwards, nothing may have been complained of or asked for."""
    contexts, complaints = [], []

    def open_at(file: Path, until: str):
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        contexts.append(context)
        page = context.new_page()

        def decide(route) -> None:
            if route.request.url == file.as_uri():
                return route.continue_()
            complaints.append(route.request.url)
            return route.abort()

        page.route("**", decide)
        page.on("request", lambda made: made.url[:5] in ("file:", "blob:", "data:") or complaints.append(made.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        wait(page, until)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert complaints == []


def wait(page, said: str) -> None:
    """Until an exported page says it."""
    page.locator("#status", has_text=re.compile(said)).wait_for(timeout=60_000)


def assert_nothing_sticks_out(page) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def shown(page, place: str) -> list[np.ndarray]:
    """(H, W, 4) of each canvas."""
    coded = page.locator(place).evaluate_all("all => all.map(canvas => canvas.toDataURL('image/png'))")
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2]))).convert("RGBA")) for text in coded
    ]


def levels_apart(ours: np.ndarray, theirs: np.ndarray) -> int:
    assert ours.shape == theirs.shape
    return int(np.abs(ours.astype(int) - theirs.astype(int)).max())


if __name__ == "__main__":
    web_runtime(None, CACHE)
    print(f"{PACKAGE} {VERSION} is in {CACHE}")
