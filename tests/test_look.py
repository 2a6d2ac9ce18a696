"""The command look: all oddities of hostile files are named with their remedies, and the page needs nothing else."""

import base64
import html
import io
import json
import re
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import _run_command
from generated_data import write_image_folder, write_image_zip
from hostile_pictures import GOOD, blots, saved, write_hostile
from PIL import Image, ImageOps

from gan_lab.data.image_files import Shape, decode
from gan_lab.inspection.plan import plan_for
from gan_lab.inspection.shown import box_of, lost
from gan_lab.inspection.speed import MEMORY, SPEED, Measured, duration, measure
from gan_lab.runs.records import append_row


@pytest.fixture(scope="module")
def looked(forkserver, tmp_path_factory):
    """What a look at the hostile folder has said, its page and its JSON, and what it must name."""
    folder = tmp_path_factory.mktemp("look")
    said = write_hostile(folder / "pictures")
    process = forkserver.Process(
        target=_run_command,
        args=("gan_lab.look", ["data.root=pictures", "json=look.json"], str(folder), str(folder / "out")),
    )
    process.start()
    process.join(120)
    output = (folder / "out").read_text()
    assert process.exitcode == 0, output
    about = json.loads((folder / "look.json").read_text())
    return output, (folder / "look.html").read_text(), about, said


def test_every_hostile_file_is_named_with_its_remedy(looked):
    output, _, about, said = looked
    assert "Traceback" not in output
    assert len(said) > 40
    for name, text in said.items():
        lines = [
            f"{finding['what']} {own} {finding['remedy']}"
            for finding in about["findings"]
            for own in (finding["names"] or [""])
            if name in f"{finding['what']} {own}"
        ]
        assert any(text in line for line in lines), f"{name}: {text!r} is not in {lines}"
    assert all(finding["remedy"] for finding in about["findings"])


def test_nothing_is_said_of_good_pictures(looked):
    _, _, about, _ = looked
    text = json.dumps([finding for finding in about["findings"] if "differ by case" not in finding["what"]])
    for number in {*range(GOOD)} - {1, 2, 3}:  # of which there are copies
        assert f"good{number:02}.png" not in text


def test_doubles_of_the_corpus(looked):
    groups = sorted(sorted(group) for group in looked[2]["doubles"])
    assert groups == [["compressed.jpg", "good03.png"], ["copy.png", "good01.png"], ["good02.png", "resized.png"]]


def test_the_terminal_and_the_page_name_what_the_file_does(looked):
    output, page, about, _ = looked
    for text in (output, html.unescape(page)):
        squeezed = "".join(text.split())  # a terminal wraps its lines
        for finding in about["findings"]:
            for part in (finding["what"], *finding["names"][:10]):
                spoken = [
                    part,
                    part.encode("ascii", "backslashreplace").decode(),
                ]  # where the locale has no such letters
                assert any("".join(form.split()) in squeezed for form in spoken), part


def test_the_page_needs_nothing_else(looked):
    page = looked[1]
    assert not re.search(r"https?:|//|<script|@import|url\(", re.sub(r"data:image/png;base64,[\w+/=]*", "", page))
    assert {source[:21] for source in re.findall(r'src="([^"]*)"', page)} == {"data:image/png;base64"}
    assert "<b>bold" not in page
    for part in ("facts", "plan", "findings", "unreadable", "doubles", "crops", "sheet"):
        assert f'<section id="{part}">' in page


def test_the_contact_sheet_is_what_training_sees(command, tmp_path):
    """Its first picture, to the bit, in grey."""
    (tmp_path / "set").mkdir()
    blots(0, (90, 50)).save(tmp_path / "set" / "a.png")
    done = command("look", "data.root=set", "data.channels=1", "data.image_size=32")
    assert done.code == 0, done.output
    sheet = (tmp_path / "look.html").read_text().partition('<section id="sheet">')[2].partition("</section>")[0]
    (content,) = re.findall(r'src="data:image/png;base64,([^"]*)"', sheet)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    trained = decode((tmp_path / "set" / "a.png").read_bytes(), Shape((32, 32), 1, True)).pixels
    assert np.array_equal(shown, trained[0])
    assert "1 pictures are too few" in done.output


@pytest.mark.parametrize(("size", "image_size"), [((90, 50), (32, 32)), ((50, 90), (32, 64)), ((64, 64), (16, 16))])
def test_what_is_said_to_be_cut_away_is(size, image_size):
    """Pillow resizes the box alone to the very pixels of training."""
    picture = blots(0, size)
    height, width = image_size
    kept = picture.resize((width, height), Image.Resampling.LANCZOS, box=box_of(size, image_size))
    assert np.array_equal(
        np.asarray(kept), np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS))
    )
    assert lost((90, 50), (32, 32)) == pytest.approx(4 / 9)


def test_a_zip_and_a_folder_in_it_are_looked_at(command, tmp_path):
    write_image_folder(tmp_path / "set", classes=("cat", "dog"), count=3)
    packed = write_image_zip(tmp_path / "set.zip", tmp_path / "set")
    with zipfile.ZipFile(packed, "a") as archive:
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("cat/000.png", saved(blots(0), "PNG"))
        archive.writestr("cat/a.heic", b"ftypheic")
    done = command("look", "data.root=set.zip", "classes=true", "page=null")
    assert done.code == 0, done.output
    for said in ("2 classes by the folders cat, dog", "pack the zip anew", "heif-convert"):
        assert said in done.output.lower()
    assert not (tmp_path / "look.html").exists()
    done = command("look", "data.root=set.zip/dog")
    assert re.search(r"pictures +3\n", done.output), done.output


def test_where_nothing_can_be_read_nothing_is_proposed(command, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(b"?")
    done = command("look", "data.root=set")
    assert done.code == 0, done.output
    assert "no training fits" in done.output
    assert "a.png (not an image)" in done.output
    assert "Files that cannot be read" in (tmp_path / "look.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.root=nowhere"], "data.root=nowhere does not exist: give a folder, or a zip, of images"),
        (["data.root=empty"], "no images in"),
        (["data.root=text.zip"], "is not a readable zip"),
        (["data.root=empty", "page=empty"], "page=empty is a folder"),
        (["data.root=empty", "json=none/look.json"], "there is no folder none"),
        (["data.root=empty", "data.channels=2"], "data.channels must be one of 1, 3, 4, got 2"),
        ([], "data.root has no value"),
    ],
)
def test_what_is_wrong_is_said_in_one_message(words, said, command, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("none")
    done = command("look", *words)
    assert done.code == 1
    assert said in done.output.replace(f"{tmp_path}/", "")
    assert done.output.count("Error:") == 1
    assert "Traceback" not in done.output


def test_durations_are_of_the_whole_training():
    """1,000,000 pictures at 100 a second are 10,000 seconds."""
    plan = plan_for("set", count=2000, image_size=64, channels=3, center_crop=True, skipping=False, gpu=True)
    text = duration(plan, Measured(100.0, None, 32))
    assert "100 images per second: about 3 hours for total_kimg=1000" in text
    assert "MiB" not in text
    assert "micro" not in text
    assert "about 83 minutes" in duration(plan, Measured(200.0, None, 32))
    told = duration(plan, Measured(200.0, 7654.3, 8))
    assert "7,654 MiB of the GPU's memory are used" in told
    assert "data.micro_batch_size=8" in told


def test_fewer_pictures_at_once_until_memory_holds_them(monkeypatch):
    """A device that holds ten: 32 and 16 are refused as by CUDA, 8 is measured; other errors are a person's to read."""
    plan = plan_for("set", count=2000, image_size=64, channels=3, center_crop=True, skipping=False, gpu=True)
    tried = []

    def run(words, **_):
        given = [int(word.partition("=")[2]) for word in words if word.startswith("data.micro_batch_size=")]
        tried.append(given[0] if given else plan.batch_size)
        if tried[-1] > 10:
            return subprocess.CompletedProcess(
                words, 1, "", "Error: the device is out of memory; lower data.batch_size\n"
            )
        folder = next(word.partition("=")[2] for word in words if word.startswith("run_dir="))
        Path(folder).mkdir()
        append_row(Path(folder) / "metrics.csv", {"images_seen": 32, SPEED: 50.0, MEMORY: 900.0})
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert measure(plan, []) == Measured(50.0, 900.0, 8)
    assert tried == [32, 16, 8]
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "Error: no such thing\n", "")
    )
    with pytest.raises(ValueError, match="a few steps of training failed: Error: no such thing"):
        measure(plan, [])
