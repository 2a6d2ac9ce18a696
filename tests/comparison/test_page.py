"""The report: what it says, that what comes from runs stays text, and how it stands in a real browser."""

import base64
import io
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from in_browser import needs_a_browser
from markupsafe import Markup
from omegaconf import OmegaConf
from PIL import Image

from gan_lab import report
from gan_lab.comparison import charts, embedded
from gan_lab.comparison.page import breakable
from gan_lab.config import register
from gan_lab.data.pictures import save_png
from gan_lab.evaluation.scores import Scores, append_scores
from gan_lab.runs.records import append_row
from gan_lab.runs.settings import plain

EVIL = "<script>document.title='owned'</script>"


@cache
def composed(*overrides: str) -> str:
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        return OmegaConf.to_yaml(OmegaConf.create(plain(compose("train", list(overrides)))))


def write_run(folder: Path, *overrides: str, pictures: bool = True) -> Path:
    """A finished run of 100 kimg with four evaluations."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(composed(*overrides))
    (folder / "run.json").write_text(json.dumps({"id": "0123abcd", "finished_kimg": 100}))
    (folder / "train.log").write_text(
        "2026-01-01 10:00:00,000 INFO gan_lab: training\n"
        "2026-01-01 10:01:00,000 WARNING gan_lab: health at 10.0 kimg: samples repeat: 40%.\n"
    )
    for i in range(1, 5):
        images = 25_000 * i
        row = {"images_seen": images, "loss/d": 1.0, "loss/g": 2.0 / i, "lr/generator": 2e-4}
        row |= {"health/spread": 0.2 * i, "clock/hours": 0.1 * i, "clock/images_per_s": 70.0}
        append_row(folder / "metrics.csv", row)
        values = {"fd_digitnet2k": 40.0 / i**2, "is_digitnet2k": 1.5 + i, "is_digitnet2k_std": 0.25}
        records = {"aaaa": {"metric": "fd", "fakes": {"count": 2000}}, "bbbb": {"metric": "is"}}
        hashes = {"fd_digitnet2k": "aaaa", "is_digitnet2k": "bbbb", "is_digitnet2k_std": "bbbb"}
        scores = Scores(values, hashes, records, "fd_digitnet2k", False, 1.5)
        scores.intervals = {"fd_digitnet2k": (38.0 / i**2, 42.0 / i**2)}
        scores.intervals_about = {"resamples": 200, "level": 0.995}
        append_scores(folder, images, scores)
    if pictures:
        (folder / "pictures").mkdir()
        for images in range(0, 100_001, 10_000):
            picture = np.full((68, 68), images // 1000, dtype=np.uint8)
            save_png(picture, folder / "pictures" / f"{images:012d}.png")
        wide = np.random.default_rng(0).integers(0, 256, (300, 3000, 3), dtype=np.uint8)
        save_png(wide, folder / "pictures" / "neighbours_digitnet_000000100000.png")
    return folder


def page_of(tmp_path: Path, *places: Path) -> str:
    out = tmp_path / "report.html"
    report.run(report.parse([*map(str, places), "--out", str(out)]))
    return out.read_text()


@pytest.fixture
def undrawn(monkeypatch):
    """Charts without their drawings, which take most of a page's time."""
    monkeypatch.setattr(charts, "chart", lambda heading, lines, **_: charts.Chart(heading, [], Markup("")))


def text_of(page: str) -> str:
    """What a reader sees, without tags."""
    page = page.replace("<wbr>", "")
    body = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


# what it says ----------------------------------------------------------------------------------------------------


def test_one_run(tmp_path):
    page = page_of(tmp_path, write_run(tmp_path / "run"))
    text = text_of(page)
    for said in (
        "finished",
        "100 of 100 kimg",
        "best fd_digitnet2k 2.5 at 100 kimg",
        "health at 10.0 kimg: samples repeat: 40%.",
        "fd_digitnet2k 2.5 2.375 to 2.625 – aaaa",
        "is_digitnet2k 5.5 – ± 0.25 bbbb",
        "lower is better",
        "fakes.count 2000",
        "optimizers.generator.lr 0.0002",
        "in the space of digitnet",
        "99.5% interval",
    ):
        assert said in text, said
    assert "is_digitnet2k_std" not in text, "not a score of its own"
    assert 'id="comparison"' not in page, "nothing to compare with"
    assert page.count("<svg") == 2 + 4, "two scores; losses, samples, learning rates, speed"
    assert page.count("<img") == embedded.MOMENTS + 1
    assert "5 more lie between these" in text


def test_pictures_are_the_first_the_last_and_some_between(tmp_path):
    folder = write_run(tmp_path / "run")
    shown, left_out = embedded.pictures_over_time(folder, [])
    assert [picture["caption"] for picture in shown] == [f"{kimg} kimg" for kimg in (0, 20, 40, 60, 80, 100)]
    assert left_out == 5
    assert embedded.neighbours(folder, [])[0]["width"] == embedded.LONGEST_SIDE


def test_neighbours_are_those_of_the_run_or_of_its_watcher_the_newest_first(tmp_path):
    places = tmp_path / "pictures", tmp_path / "watch" / "pictures"
    for place, images, value in ((0, 9000, 1), (1, 20000, 2), (1, 100000, 3), (0, 20000, 4)):
        places[place].mkdir(parents=True, exist_ok=True)
        save_png(np.full((4, 4), value, np.uint8), places[place] / f"neighbours_dinov2_l_{images:012d}.png")
    shown = embedded.neighbours(tmp_path, [])
    sources = [io.BytesIO(base64.b64decode(picture["source"].partition(",")[2])) for picture in shown]
    assert [int(np.asarray(Image.open(source)).flat[0]) for source in sources] == [3, 4, 1]
    assert "in the space of dinov2_l, at 100 kimg" in shown[0]["caption"]


def test_it_asks_for_nothing_from_elsewhere(tmp_path):
    page = page_of(tmp_path, write_run(tmp_path / "run"))
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)([^"']*)""", page) == []
    assert not re.search(r"url\((?!#)|@import|<script|<link (?!rel=.icon)", page)
    assert "default-src 'none'" in page


def test_several_runs_are_compared(tmp_path):
    for seed in range(2):
        write_run(tmp_path / "runs" / f"a{seed}", f"seed={seed}")
    write_run(tmp_path / "runs" / "b", "model.optimizers.generator.lr=0.001")
    page = page_of(tmp_path, tmp_path / "runs")
    text = text_of(page)
    assert "3 runs" in text
    assert "2.5 ± 0" in text, "of two seeds"
    assert "model.optimizers.generator.lr" in text
    assert [text.count(f" {name} ") > 1 for name in ("a0", "a1", "b")] == [True] * 3
    assert page.index('id="comparison"') < page.index('id="run1"') < page.index('id="run3"')


def test_runs_of_several_protocols_are_not_ranked(undrawn, tmp_path):
    for name in "ab":
        write_run(tmp_path / "runs" / name, f"seed={ord(name)}")
    scores = tmp_path / "runs" / "b" / "scores.jsonl"
    scores.write_text(scores.read_text().replace("aaaa", "cccc"))
    page = page_of(tmp_path, tmp_path / "runs")
    assert "not ranked across the tables" in text_of(page)
    assert 'class="best"' not in page[: page.index('id="run1"')]


# what is missing or damaged --------------------------------------------------------------------------------------


def test_a_run_that_has_nothing_yet(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(composed())
    text = text_of(page_of(tmp_path, folder))
    for said in (
        "unfinished",
        "This run has no scores",
        "there are no curves",
        "no pictures of samples",
        "no pictures of nearest neighbours",
    ):
        assert said in text, said


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("scores.jsonl", b"{broken\n", "scores.jsonl is damaged"),
        ("scores.jsonl", b'{"images_seen": 5, "scores": {"fd": "x"}, "protocols": {}, "monitored": "fd"}\n', "damaged"),
        ("scores.jsonl", b"[1, 2]\n", "scores.jsonl is damaged"),
        ("metrics.csv", b"images_seen,loss/d\n1000,what\n2000,3\n", "1 cells of"),
        ("metrics.csv", b"\xff\xfe\x00", "metrics.csv is damaged"),
        ("protocols.json", b"{", "protocols.json is damaged"),
        ("run.json", b"[]", "run.json is damaged"),
        ("pictures/000000000000.png", b"not a picture", "000000000000.png is damaged"),
        ("pictures/neighbours_digitnet_000000100000.png", b"\x89PNG\r\n\x1a\n", "000000100000.png is damaged"),
        ("train.log", b"\xff\xfe WARNING", "finished"),
    ],
)
def test_damage_is_said_in_words(file, content, said, undrawn, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / file).write_bytes(content)
    text = text_of(page_of(tmp_path, folder))
    assert said in text
    assert "Configuration" in text
    assert text.count("scores.jsonl is damaged") <= 1


def test_a_damaged_run_among_others(undrawn, tmp_path):
    for name in "ab":
        write_run(tmp_path / "runs" / name, f"seed={ord(name)}")
    (tmp_path / "runs" / "b" / "config.yaml").write_text("a: [")
    assert "b/config.yaml is damaged" in text_of(page_of(tmp_path, tmp_path / "runs"))


@pytest.mark.parametrize("place", ["none", "empty", "file.txt", "damaged"])
def test_what_is_no_run_is_one_error(place, monkeypatch, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.yaml").write_text("a: [")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path / place)])
    with pytest.raises(SystemExit) as stop:
        report.main()
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (1, "")
    assert err.startswith("Error: ")
    assert str(tmp_path / place) in err
    assert err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_a_place_that_cannot_be_written(undrawn, monkeypatch, capsys, tmp_path):
    out = tmp_path / "missing" / "report.html"
    monkeypatch.setattr(sys, "argv", ["report", str(write_run(tmp_path / "run")), "--out", str(out)])
    with pytest.raises(SystemExit):
        report.main()
    assert capsys.readouterr().err == f"Error: cannot write {out}: No such file or directory\n"


# what comes from runs stays text ---------------------------------------------------------------------------------


def write_evil_run(folder: Path) -> Path:
    """A run with markup wherever a run can have text."""
    write_run(folder, f"data.name={EVIL!r}", f"run_dir={EVIL!r}")
    for file in ("metrics.csv", "scores.jsonl", "protocols.json"):
        path = folder / file
        path.write_text(path.read_text().replace("is_digitnet2k", EVIL).replace("loss/g", f"loss/{EVIL}"))
        path.write_text(path.read_text().replace("bbbb", EVIL))
    (folder / "train.log").write_text(f"2026-01-01 10:01:00,000 WARNING gan_lab: {EVIL}\n")
    picture = folder / "pictures" / "neighbours_digitnet_000000100000.png"
    picture.rename(picture.with_name("neighbours_<img src=x onerror=alert(1)>_1.png"))
    return folder


def test_markup_in_a_run_is_shown_and_not_run(tmp_path):
    page = page_of(tmp_path, write_evil_run(tmp_path / "<b>run"), write_run(tmp_path / "other", "seed=1"))
    assert "<script" not in page
    assert "<b>run" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;script&gt;") > 8


def test_long_words_break_and_stay_text():
    assert breakable("a.b_c@<i>") == "a.<wbr>b_<wbr>c@<wbr>&lt;i&gt;"
    assert breakable("") == ""


def test_a_formula_in_a_name_is_no_formula(tmp_path):
    folder = write_run(tmp_path / "run")
    path = folder / "scores.jsonl"
    path.write_text(path.read_text().replace("is_digitnet2k", r"$\\frac{$"))
    assert r"$\frac{$" in text_of(page_of(tmp_path, folder))


# in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """A report of two runs, one of them evil."""
    folder = tmp_path_factory.mktemp("report")
    write_evil_run(folder / "runs" / ("<b>run" + "_of_a_long_name" * 6))
    write_run(folder / "runs" / "other", "model.optimizers.generator.lr=0.001")
    page_of(folder, folder / "runs")
    return folder / "report.html"


@pytest.fixture(params=[(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def page(request, chromium, file):
    """The report, opened; afterwards, nothing may have been complained of or asked for."""
    width, scheme = request.param
    opened = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda asked: None if asked.url[:5] in ("file:", "data:") else complaints.append(asked.url))
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert complaints == []


class TestInBrowser:
    pytestmark = needs_a_browser

    def test_nothing_sticks_out(self, page):
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        for summary in page.locator("summary").all():
            summary.click()
        assert page.locator("details:not([open])").count() == 0
        assert page.locator("details td:visible").count() > 50
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "with all details open"

    def test_it_fits_on_paper(self, page):
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 794, "height": 1123})  # A4
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.locator("details:not([open]) td").first.is_visible()

    def test_headings_and_pictures_are_there(self, page):
        headings = page.locator("h2:visible, h3:visible").all_inner_texts()
        wanted = ["Scores", "Curves", "Samples over time", "Nearest neighbours", "Configuration"]
        assert headings[0] == "Comparison"
        assert [name for name in headings if name in wanted] == 2 * wanted
        widths = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
        assert len(widths) == 2 * (embedded.MOMENTS + 1)
        assert min(widths) > 0
        sizes = page.evaluate("[...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect().height)")
        assert min(sizes) > 100

    def test_no_script_of_a_run_has_run(self, page):
        assert page.title() == "2 runs – gan_lab"
        assert page.locator("script").count() == 0
        assert EVIL in page.locator("main").inner_text()

    def test_curves_have_the_ink_of_the_page(self, page):
        ink = "getComputedStyle({}).{}"
        drawn = page.evaluate(ink.format("document.querySelector('svg text')", "fill"))
        assert drawn == page.evaluate(ink.format("document.body", "color"))

    def test_links_lead_to_runs(self, page):
        links = page.locator("nav a")
        targets = [link.get_attribute("href") for link in links.all()]
        assert targets == ["#comparison", "#run1", "#run2"]
        links.nth(2).click()
        assert abs(page.evaluate("document.querySelector('#run2').getBoundingClientRect().top")) < 900


# the command -----------------------------------------------------------------------------------------------------


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        report.parse(["--help"])
    assert stop.value.code == 0
    assert "python -m gan_lab.report runs --out all.html" in capsys.readouterr().out


def test_it_starts_without_heavy_libraries():
    code = "import sys, gan_lab.report; print(sorted({'torch', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_picture_is_embedded_as_it_is(tmp_path):
    save_png(np.arange(64, dtype=np.uint8).reshape(8, 8), tmp_path / "000000000000.png")
    made = embedded.embedded(tmp_path / "000000000000.png", "caption", "words")
    with Image.open(io.BytesIO(base64.b64decode(made["source"].partition(",")[2]))) as picture:
        assert np.array_equal(np.asarray(picture), np.arange(64).reshape(8, 8))
    assert (made["width"], made["small"]) == (8, True)
