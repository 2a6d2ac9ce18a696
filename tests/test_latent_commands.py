"""`walk`, `directions`, `project` and what `sample` takes of them, on a tiny generator of styles."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_generators import generator

from gan_lab.runs.checkpoint import describe, weights_sha256, write_snapshot

CHECKPOINT = "checkpoint=g.safetensors"


@pytest.fixture
def snapshot(tmp_path):
    """g.safetensors of a tiny generator of styles."""
    network = {
        "_target_": "gan_lab.networks.stylegan2.StyleGAN2Generator",
        "sample_shape": [1, 8, 8],
        "latent_dim": 6,
        "w_dim": 8,
        "depth": 1,
        "width": 4,
        "max_width": 4,
        "w_average_decay": 0.9,
    }
    model = {"_target_": "gan_lab.models.stylegan2.StyleGAN2", "generator": network, "latent_dim": 6}
    about = describe({"model": model | {"latent_distribution": "normal"}, "data": {}})
    about |= {"images_seen": 1000, "network": "generator", "weights": "ema", "inputs": {}}
    write_snapshot(tmp_path / "g.safetensors", generator("styles").network, about)
    return tmp_path


def assert_marked(place, said):
    """Of these weights; by Pillow, without what gan_lab writes it with."""
    digest = weights_sha256(generator("styles").network)
    with Image.open(place) as picture:
        told = picture.text if picture.format == "PNG" else {"words": picture.getexif()[0x010E]}
    assert any(digest in value for value in told.values()), told
    assert any(value.startswith(said) for value in told.values()), told


def test_a_walk_and_its_frames(snapshot, here):
    words = (CHECKPOINT, "device=cpu", "points=2", "frames=6", "formats=[webp,gif,png]", "enlarge=false")
    done = here("walk", *words)
    assert done.code == 0, done.output
    assert "a loop of 6 frames through 2 w of g.safetensors" in done.output
    with Image.open(snapshot / "walks" / "walk.gif") as moving:
        assert (moving.n_frames, moving.size) == (6, (8, 8))
    assert len(list((snapshot / "walks" / "frames").iterdir())) == 6
    for name in ("walk.webp", "frames/frame000003.png"):
        assert_marked(snapshot / "walks" / name, "made by a generative model")
    again = here("walk", *words)
    assert again.code == 1
    assert "overwrite=true to replace it" in again.output
    assert here("walk", *words, "overwrite=true", "frames=4").code == 0
    assert len(list((snapshot / "walks" / "frames").iterdir())) == 4
    for wrong, said in (
        ("formats=[avi]", "formats must be among webp, gif, mp4, png; got ['avi']"),
        ("fps=60", "fps must be from 1 to 50, got 60.0"),
        ("through=[3]", "through must name 2 pictures or more, got [3]"),
        ("points=1", "points must be 2 or more, got 1"),
    ):
        refused = here("walk", CHECKPOINT, "out=other", "device=cpu", wrong)
        assert refused.code == 1
        assert said in refused.output
    assert not (snapshot / "other").exists()


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("directions", ["strengths=[0,nan]"], "strengths must be finite, got [0.0, nan]"),
        (
            "directions",
            ["file=taken/x.json"],
            "cannot make the folder file=taken: File exists; choose another file=...",
        ),
        ("directions", ["file=folder"], "folder is a folder; name the file of sliders in it"),
        ("directions", ["file=g.json"], "g.json is no file of sliders; make some: python -m gan_lab.directions"),
        ("sample", ["sliders={smile: nan}"], "sliders must be finite numbers, got {'smile': nan}"),
        ("sample", ["sliders={smile: 1}", "sliders_file=taken"], "taken cannot be read as sliders (Expecting value"),
        (
            "project",
            ["sources=mine", "perceptual=foo"],
            "perceptual must be chosen as extractor@perceptual=NAME, got foo",
        ),
    ],
)
def test_what_is_refused_names_key_and_remedy(command, words, said, snapshot, here):
    (snapshot / "taken").write_text("words")
    for folder in ("folder", "mine"):
        (snapshot / folder).mkdir()
    Image.new("L", (8, 8)).save(snapshot / "mine" / "a.png")
    more = ["samples=20", "count=2"] if command == "directions" else []
    refused = here(command, CHECKPOINT, "device=cpu", "out=other", *more, *words)
    assert refused.code == 1, refused.output
    assert said in refused.output
    assert "Traceback" not in refused.output
    assert not (snapshot / "other").exists()


def test_directions_are_sliders_of_sample(snapshot, here):
    done = here("directions", CHECKPOINT, "device=cpu", "samples=60", "count=2", "names={1: slant}")
    assert done.code == 0, done.output
    assert "rows     sefa0, slant" in done.output
    with Image.open(snapshot / "directions" / "sefa.png") as sheet:
        assert sheet.size[0] > 7 * 68
        assert sheet.size[1] == 28 + 2 * 68, "names above, and pictures of 8x8 as 64x64"
    assert_marked(snapshot / "directions" / "sefa.png", "made by a generative model")
    words = ("method=difference", "plus=[1,2]", "minus=[3]", "names={0: smile}")
    assert here("directions", CHECKPOINT, "device=cpu", *words).code == 0
    stored = json.loads((snapshot / "sliders.json").read_text())
    assert list(stored["sliders"]) == ["sefa0", "slant", "smile"]
    for out, slider in (("none", "smile: 0"), ("moved", "smile: 1.0, slant: -2")):
        done = here("sample", CHECKPOINT, f"out={out}", "count=2", "device=cpu", f"sliders={{{slider}}}")
        assert done.code == 0, done.output
    before, after = (np.asarray(Image.open(snapshot / out / "000000.png")) for out in ("none", "moved"))
    assert not np.array_equal(before, after)
    refused = here("sample", CHECKPOINT, "out=x", "device=cpu", "sliders={frown: 1}")
    assert refused.code == 1
    assert "sliders frown are not among those in sliders.json: sefa0, slant, smile" in refused.output
    for wrong, said in (
        ("method=ica", "method must be sefa, pca or difference, got 'ica'"),
        ("method=difference", "plus=[3,17,40] minus=[5,8,9]"),
        ("layers=[2,9]", "layers must be [first,end] with 0 <= first < end <= 4, got [2, 9]"),
        ("names={7: smile}", "names has 7, and directions are numbered from 0 to 1"),
    ):
        refused = here("directions", CHECKPOINT, "device=cpu", "samples=60", "count=2", "out=other", wrong)
        assert refused.code == 1
        assert said in refused.output
    assert not (snapshot / "other").exists()


def test_pictures_are_projected(snapshot, here):
    (snapshot / "mine").mkdir()
    Image.fromarray(np.full((9, 17, 3), 90, np.uint8)).save(snapshot / "mine" / "a.png")
    (snapshot / "mine" / "b.png").write_bytes(b"no picture")
    words = (CHECKPOINT, "sources=mine", "device=cpu", "steps=3", "space=w+", "extractor@perceptual=digitnet")
    done = here("project", *words)
    assert done.code == 1, done.output
    assert "a.png: 17x9, cropped to 9x9 at (4, 0), resized to 8x8; distance" in done.output
    assert "1 of 2 pictures could not be projected: b.png" in done.output
    assert load_file(snapshot / "projected" / "a.safetensors")["w"].shape == (1, 4, 8)
    with Image.open(snapshot / "projected" / "a.png") as beside:
        assert beside.size == (2 * 10 + 2, 10 + 2)
    for name in ("a.png", "a.progress.png"):
        assert_marked(snapshot / "projected" / name, "made by a generative model, of a picture")
    about = json.loads((snapshot / "projected" / "projections.json").read_text())
    assert about["perceptual"]["extractor"] == "digitnet"
    assert [entry["source"] for entry in about["pictures"]] == ["a.png"]
    refused = here("project", CHECKPOINT, "sources=mine", "device=cpu", "out=o", "extractor@perceptual=lpips")
    assert refused.code == 1
    assert "perceptual cannot be computed" in refused.output


def test_further_pictures_of_styles(snapshot, here):
    done = here("sample", CHECKPOINT, "count=1", "device=cpu", "pictures=[mixing,truncation]")
    assert done.code == 0, done.output
    with Image.open(snapshot / "samples" / "mixing.png") as picture:
        assert picture.size == (9 * 10 + 2, 9 * 10 + 2)
    page = torch.from_numpy(np.array(Image.open(snapshot / "samples" / "truncation.png")))[2:, 2:]
    rows = page.unfold(0, 8, 10).unfold(1, 8, 10)
    assert (rows[:, 0] == rows[0, 0]).all(), "psi = 0 is the mean in each row"
    assert not torch.equal(rows[0, -1], rows[1, -1])
