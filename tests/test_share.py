"""`share`: a folder for others, and what pictures say of their making.

A run's folder is written by hand, with a checkpoint whose live and averaged weights differ.
"""

import hashlib
import json
import shutil
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from tiny_generators import generator

from gan_lab.importing.licences import KNOWN
from gan_lab.installing import install_command
from gan_lab.runs.checkpoint import CheckpointError, describe, load_generator, write_snapshot
from gan_lab.share import title_of
from gan_lab.sharing.card import licence_for, plain_text
from gan_lab.sharing.config import shareable
from gan_lab.sharing.hub import hub_for, push

MADE_BY_A_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SHARE = ("checkpoint=run", "device=cpu")
LICENCE = "licence=cc-by-4.0"


def config_at(place) -> dict:
    """Of a run on a person's own pictures below `place`."""
    network = {
        "_target_": "gan_lab.networks.mlp.MLPGenerator",
        "sample_shape": [1, 8, 8],
        "latent_dim": 6,
        "width": 16,
        "depth": 1,
        "normalization": "none",
        "activation": "relu",
        "initialization": "he",
    }
    model = {"_target_": "gan_lab.models.gan.GAN", "generator": network, "latent_dim": 6}
    data = {
        "_target_": "gan_lab.data.folder.Folder",
        "name": "holiday",
        "root": f"{place}/private",
        "test_root": "private/too",
        "sample_shape": [1, 8, 8],
        "cache_dir": f"{place}/cache",
    }
    return {
        "model": model | {"latent_distribution": "normal"},
        "data": data,
        "evaluation": {"extractor": {"weights": f"{place}/weights/net.pth"}},
        "paths": {"data_dir": f"{place}/data"},
        "run_dir": f"{place}/run",
        "init_from": f"{place}/other.ckpt",
        "wandb": {"entity": "somebody"},
    }


@pytest.fixture
def run(tmp_path):
    """tmp_path/run, scored once with 1,000 images seen."""
    live, averaged = generator("latents").network, generator("latents").network
    for value in live.parameters():
        value.add_(1.0)
    state = {f"generator.{k}": v for k, v in live.state_dict().items()}
    state |= {f"averages.generator.module.{k}": v for k, v in averaged.state_dict().items()}
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    checkpoint = describe(config_at(tmp_path)) | {"state_dict": state, "counters": {"images_seen": 1000}}
    torch.save(checkpoint, folder / "checkpoints" / "000000001000.ckpt")
    (folder / "run.json").write_text("{}")
    names = {"fd_net500": "aa", "authpct_net500": "bb", "authpct_net500_identical": "bb", "fd_live": "cc"}
    values = {"fd_net500": 12.5, "authpct_net500": 61.0, "authpct_net500_identical": 1.5, "fd_live": 99.25}
    line = {"images_seen": 1000, "scores": values, "protocols": names, "monitored": "fd_net500"}
    earlier = line | {"images_seen": 500, "scores": {**values, "fd_net500": 77.75}}
    (folder / "scores.jsonl").write_text(f"{json.dumps(earlier)}\n{json.dumps(line)}\n")
    reference = {"data": "holiday", "split": "train", "count": 1234, "content": "c0ffee"}
    protocol = {"fakes": {"count": 500, "weights": "ema"}, "reference": reference}
    other = protocol | {"fakes": {"count": 500, "weights": "live"}}
    (folder / "protocols.json").write_text(json.dumps({"aa": protocol, "bb": protocol, "cc": other}))
    return folder


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def card_of(folder):
    """Its front matter, and its text."""
    _, matter, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(matter), text


# The folder -----------------------------------------------------------------------------------------------------


def test_a_folder_is_all_that_others_need(run, here, tmp_path):
    done = here("share", *SHARE, "out=shared", LICENCE)
    assert done.code == 0, done.output
    shared = tmp_path / "shared"
    assert sorted(path.name for path in shared.iterdir()) == [
        "README.md",
        "generator.json",
        "generator.safetensors",
        "grid.png",
        "manifest.json",
    ]
    digests = json.loads((shared / "manifest.json").read_text())["sha256"]
    for name in ("README.md", "generator.json", "generator.safetensors", "grid.png"):
        assert digests[name] == hashlib.sha256((shared / name).read_bytes()).hexdigest()
    for path in shared.iterdir():
        content = path.read_bytes()
        for secret in (str(tmp_path), "private", "somebody"):
            assert secret.encode() not in content, (path, secret)

    loaded, original = load_generator(shared), generator("latents").network
    latents = torch.randn(3, 6)
    assert torch.equal(loaded.network(latents), original(latents)), "the averaged weights"
    assert (loaded.images_seen, loaded.weights, loaded.licence) == (1000, "ema", KNOWN["cc-by-4.0"])
    with pytest.raises(CheckpointError, match="averaged weights alone"):
        load_generator(shared, "live")
    digest = hashlib.sha256()
    with safe_open(shared / "generator.safetensors", framework="np") as file:
        assert file.metadata() == {"licence": KNOWN["cc-by-4.0"]}
        for name in sorted(file.keys()):
            array = file.get_tensor(name)
            digest.update(json.dumps([name, f"torch.{array.dtype}", list(array.shape)]).encode() + array.tobytes())

    for source in ("run", "shared"):
        assert here("sample", f"checkpoint={source}", f"out=of_{source}", "count=3", "device=cpu").code == 0
    for name in ("000000.png", "000002.png", "grid.png"):
        ours, theirs = (Image.open(tmp_path / f"of_{source}" / name) for source in ("run", "shared"))
        assert ours.tobytes() == theirs.tobytes()
        assert ours.text | {"gan_lab.generator_licence": KNOWN["cc-by-4.0"]} == theirs.text
        assert ours.text["gan_lab.generator_sha256"] == digest.hexdigest()
    assert Image.open(shared / "grid.png").text["gan_lab.generator_sha256"] == digest.hexdigest()
    assert pixels(shared / "grid.png").shape == (8 * 10 + 2, 8 * 10 + 2)
    assert np.array_equal(pixels(shared / "grid.png")[2:10, 2:10], pixels(tmp_path / "of_run" / "000000.png"))


def test_the_card(run, here, tmp_path):
    assert here("share", *SHARE, "out=shared", LICENCE, "title='My <b>gulls</b>'").code == 0
    matter, text = card_of(tmp_path / "shared")
    assert matter == {
        "license": "cc-by-4.0",
        "library_name": "gan_lab",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["gan", "gan_lab"],
    }
    assert "# My &lt;b\\>gulls&lt;/b\\>" in text
    assert "1 thousand images seen in training, from other weights on; its weights averaged" in text
    assert "| fd_net500 | 12.5 | 500 | 1,234 of holiday, train | aa |" in text
    assert "77.75" not in text, "of another length of training"
    assert "99.25" not in text, "of the live weights"
    assert "- pictures: 1,234" in text
    assert "- size: 8x8, 1 channels" in text
    assert "`c0ffee`" in text
    assert "1.5 % of the samples equal a picture of it in all pixels" in text
    about = json.loads((tmp_path / "shared" / "generator.json").read_text())
    assert about["protocols"]["aa"]["fakes"] == {"count": 500, "weights": "ema"}


def test_training_pictures_only_where_asked_for(run, here, tmp_path):
    refused = here("share", *SHARE, "out=shared", LICENCE, "neighbours=true")
    assert refused.code == 1
    assert "has drawn no nearest training pictures" in refused.output
    assert not (tmp_path / "shared").exists()
    (run / "pictures").mkdir()
    Image.new("L", (4, 4), 9).save(run / "pictures" / "neighbours_000000001000.png")  # of what it is scored against
    Image.new("L", (4, 4), 7).save(run / "pictures" / "neighbours_pixels_000000001000.png")
    assert here("share", *SHARE, "out=without", LICENCE).code == 0
    assert not (tmp_path / "without" / "neighbours.png").exists()
    assert here("share", *SHARE, "out=shared", LICENCE, "neighbours=true").code == 0
    assert pixels(tmp_path / "shared" / "neighbours.png").max() == 7
    assert "neighbours.png" in json.loads((tmp_path / "shared" / "manifest.json").read_text())["sha256"]
    assert "(neighbours.png)" in card_of(tmp_path / "shared")[1]
    assert "(neighbours.png)" not in card_of(tmp_path / "without")[1]
    (run / "scores.jsonl").unlink()  # a run that is not scored draws them, too
    assert here("share", *SHARE, "out=unscored", LICENCE, "neighbours=true").code == 0
    assert "no score says whether" in card_of(tmp_path / "unscored")[1]
    assert "(neighbours.png)" in card_of(tmp_path / "unscored")[1]


def test_the_page_is_shared_on_request(run, here, tmp_path, monkeypatch):
    """Under the licence of the folder, and by no runtime that was not asked for."""
    given = {}

    def page_of(loaded, *, runtime, tolerance):
        given.update(licence=loaded.licence, runtime=runtime, tolerance=tolerance)
        return "<!doctype html>"

    monkeypatch.setattr("gan_lab.exporting.page.page_of", page_of)
    monkeypatch.setattr("gan_lab.exporting.page.check_suits_a_page", lambda loaded: None)
    monkeypatch.setattr("gan_lab.exporting.web_runtime.web_runtime", lambda place, cache: {"from": str(place).encode()})
    assert here("share", *SHARE, "out=without", LICENCE).code == 0
    assert not (tmp_path / "without" / "generator.html").exists()
    done = here("share", *SHARE, "out=shared", LICENCE, "page=true", "runtime=there.tgz")
    assert done.code == 0, done.output
    assert given == {"licence": KNOWN["cc-by-4.0"], "runtime": {"from": b"there.tgz"}, "tolerance": 1e-4}
    assert (tmp_path / "shared" / "generator.html").read_text() == "<!doctype html>"
    assert "generator.html" in json.loads((tmp_path / "shared" / "manifest.json").read_text())["sha256"]
    assert "(generator.html)" in card_of(tmp_path / "shared")[1]
    assert "(generator.html)" not in card_of(tmp_path / "without")[1]
    refused = here("share", *SHARE, "out=other", LICENCE, "page=true", "tolerance=0")
    assert refused.code == 1
    assert "tolerance must be more than 0" in refused.output
    assert not (tmp_path / "other").exists()


def test_scores_against_other_pictures_say_nothing_of_copies(run, here, tmp_path):
    held_out = (run / "protocols.json").read_text().replace('"split": "train"', '"split": "train[1000:]"')
    (run / "protocols.json").write_text(held_out)
    assert here("share", *SHARE, "out=shared", LICENCE).code == 0
    text = card_of(tmp_path / "shared")[1]
    assert "in all pixels" not in text
    assert "no score says whether" in text
    assert "| authpct_net500 | 61 |" in text


def test_sharing_what_was_shared_keeps_what_is_known(run, here, tmp_path):
    assert here("share", *SHARE, "out=shared", LICENCE).code == 0
    assert here("share", "checkpoint=shared", "out=again", "device=cpu").code == 0
    for name in ("README.md", "generator.json"):
        assert (tmp_path / "again" / name).read_text() == (tmp_path / "shared" / name).read_text()


def test_weights_of_others_are_not_called_trained_here(tmp_path, here):
    about = describe({"model": config_at(tmp_path)["model"]})
    about |= {"images_seen": 0, "network": "generator", "weights": "ema", "inputs": {}, "licence": KNOWN["nvidia"]}
    (tmp_path / "imported").mkdir()
    write_snapshot(tmp_path / "imported" / "generator.safetensors", generator("latents").network, about)
    assert here("share", "checkpoint=imported", "out=shared", "device=cpu").code == 0
    text = card_of(tmp_path / "shared")[1]
    assert "whose weights were trained elsewhere" in text
    assert "images seen in training" not in text


def test_fewer_pictures_than_the_set_has(run, here, tmp_path):
    path = run / "checkpoints" / "000000001000.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["config"]["data"]["limit"] = 100
    torch.save(checkpoint, path)
    assert here("share", *SHARE, "out=shared", LICENCE).code == 0
    assert "- pictures: 100\n" in card_of(tmp_path / "shared")[1]


def test_what_lies_there_already(run, here, tmp_path):
    words = (*SHARE, "out=shared", LICENCE)
    assert here("share", *words).code == 0
    (tmp_path / "shared" / "notes.txt").write_text("mine")
    again = here("share", *words)
    assert again.code == 1
    assert "shared is not empty; choose another out=..., or overwrite=true" in again.output
    assert here("share", *words, "overwrite=true", "title=Gulls").code == 0
    assert (tmp_path / "shared" / "notes.txt").read_text() == "mine"
    assert "notes.txt" not in (tmp_path / "shared" / "manifest.json").read_text()
    assert "# Gulls" in card_of(tmp_path / "shared")[1]
    (tmp_path / "shared" / "README.md").write_text("written by hand")
    refused = here("share", *words, "overwrite=true")
    assert refused.code == 1
    assert "shared holds README.md, not as an earlier share left them" in refused.output
    assert (tmp_path / "shared" / "README.md").read_text() == "written by hand"


# Licences -------------------------------------------------------------------------------------------------------


def test_an_inherited_licence_stays():
    nvidia, mit = KNOWN["nvidia"], KNOWN["mit"]
    assert licence_for(None, nvidia) == nvidia
    assert licence_for("nvidia", nvidia) == nvidia
    assert licence_for("mit", None) == mit
    assert licence_for("mit", KNOWN["own"]) == mit
    for asked, inherited, said in (
        ("mit", nvidia, "licence=mit would replace"),
        ("mit", KNOWN["unknown"], "licence=mit would replace"),
        (None, None, "licence=... is needed"),
        (None, KNOWN["own"], "licence=... is needed"),
        ("own", None, "licence=own tells others nothing"),
    ):
        with pytest.raises(ValueError, match=said):
            licence_for(asked, inherited)


def test_a_licence_goes_on_from_a_shared_folder(run, here, tmp_path):
    assert here("share", *SHARE, "out=one", "licence=nvidia").code == 0
    assert card_of(tmp_path / "one")[0]["license"] == "other"
    assert card_of(tmp_path / "one")[0]["license_name"] == "nvidia"
    refused = here("share", "checkpoint=one", "device=cpu", "out=two", "licence=mit")
    assert refused.code == 1
    assert f"what is made of them keeps it: {KNOWN['nvidia']}" in refused.output
    assert here("share", "checkpoint=one", "device=cpu", "out=two").code == 0
    assert load_generator(tmp_path / "two").licence == KNOWN["nvidia"]


# Pictures -------------------------------------------------------------------------------------------------------


def test_pictures_say_what_made_them(run, here, tmp_path):
    done = here("sample", "checkpoint=run", "out=s", "count=2", "seed=5", "device=cpu", "pictures=[interpolation]")
    assert done.code == 0, done.output
    for name, index in (("000000.png", "0"), ("000001.png", "1"), ("grid.png", None), ("interpolation.png", None)):
        picture = Image.open(tmp_path / "s" / name)
        assert (picture.text["gan_lab.seed"], picture.text.get("gan_lab.index")) == ("5", index)
        assert picture.text["Software"].startswith("gan_lab ")
        root = ElementTree.fromstring(picture.text["XML:com.adobe.xmp"].encode())
        (description,) = root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
        iptc = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
        assert description.get(iptc) == MADE_BY_A_MODEL


def test_a_bounded_sample_names_the_weights_it_comes_of(run, here, tmp_path):
    for out, *words in (("plain",), ("bounded", "truncation=0.5")):
        assert here("sample", "checkpoint=run", f"out={out}", "count=1", "device=cpu", *words).code == 0
    plain, bounded = (Image.open(tmp_path / out / "000000.png") for out in ("plain", "bounded"))
    assert plain.tobytes() != bounded.tobytes()
    assert plain.text["gan_lab.generator_sha256"] == bounded.text["gan_lab.generator_sha256"]


# What is refused ------------------------------------------------------------------------------------------------


def test_what_is_no_generator_is_refused(run, here, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "untrained" / "checkpoints").mkdir(parents=True)
    (tmp_path / "untrained" / "run.json").write_text("{}")
    assert here("share", *SHARE, "out=cut", LICENCE).code == 0
    for name in ("other", "lone"):
        shutil.copytree(tmp_path / "cut", tmp_path / name)
    weights = tmp_path / "cut" / "generator.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    about = json.loads((tmp_path / "other" / "generator.json").read_text())
    about["config"]["model"]["generator"]["_target_"] = "os.system"
    (tmp_path / "other" / "generator.json").write_text(json.dumps(about))
    (tmp_path / "lone" / "generator.json").unlink()
    for name, said in (
        ("empty", "empty holds no checkpoint (looked in its folder checkpoints/) and no generator.safetensors; give"),
        ("untrained", "untrained is of a run that has saved no checkpoint yet; wait for its first"),
        ("nowhere", "there is no checkpoint at nowhere"),
        ("cut", "cut/generator.safetensors is damaged"),
        ("other", "asks to run 'os.system', which is not a class of gan_lab"),
        ("lone", "needs its description generator.json beside it"),
    ):
        refused = here("share", f"checkpoint={name}", "device=cpu", "out=shared", LICENCE)
        assert refused.code == 1
        assert said in refused.output, refused.output
        assert "Traceback" not in refused.output
    assert not (tmp_path / "shared").exists()
    refused = here("share", *SHARE, "out=shared")
    assert refused.code == 1
    assert "licence=... is needed: what you allow others to do with these weights" in refused.output


@pytest.mark.parametrize(
    ("data", "title"),
    [({"name": "folder"}, "DCGAN of a folder of pictures"), ({"name": "x"}, "DCGAN of x"), ({}, "DCGAN")],
)
def test_titles(data, title):
    assert title_of({"model": {"_target_": "gan_lab.models.dcgan.DCGAN"}, "data": data}) == title


def test_no_place_of_this_machine_is_left():
    config = config_at("/home/me") | {"trainer": {"x": "/home/me"}}
    config["data"]["source_data"] = {"download": True, "root": "/home/me/data", "folder": "train"}
    config["model"]["perceptual"] = {"weights": "C:\\Users\\me\\net.pth", "levels": ["~/x/y", 3, None]}
    config["data"]["condition"] = {"masks": {"root": "/home/me/masks", "test_root": "alpha"}}
    kept = shareable(config)
    assert set(kept) == {"model", "data", "evaluation"}
    assert (kept["data"]["root"], kept["data"]["test_root"]) == ("FOLDER", "FOLDER_test_root")
    assert kept["data"]["condition"]["masks"] == {"root": "FOLDER_condition_masks_root", "test_root": "alpha"}
    unpaired = shareable({"data": {"folder": "/home/me/a", "root": "/home/me/b", "path": "user/name"}})["data"]
    assert unpaired == {"folder": "FOLDER", "root": "FOLDER_root", "path": "user/name"}
    assert kept["data"]["source_data"] == {"download": True, "root": "data", "folder": "train"}
    assert kept["data"]["cache_dir"] == "cache"
    assert kept["evaluation"]["extractor"]["weights"] == "net.pth"
    assert kept["model"]["perceptual"] == {"weights": "net.pth", "levels": ["y", 3, None]}
    assert plain_text("a|b\n`c` [d](e) *f*") == "a\\|b \\`c\\` \\[d\\](e) \\*f\\*"


# The Hub --------------------------------------------------------------------------------------------------------


class StandIn:
    """Takes what the Hub would be sent."""

    def __init__(self, broken: str | None = None, private: bool = True) -> None:
        self.calls, self.broken, self.private = [], broken, private

    def create_repo(self, repository, **given):
        self.calls.append(("create_repo", repository, given))

    def repo_info(self, repository, **given):
        return SimpleNamespace(private=self.private)

    def upload_folder(self, **given):
        if self.broken is not None:
            raise RuntimeError(self.broken)
        self.calls.append(("upload_folder", given))


def test_a_folder_on_the_hub(run, here, tmp_path, monkeypatch):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "notes.txt").write_text("mine")
    words = (*SHARE, "out=shared", LICENCE, "overwrite=true", "hub=me/gulls")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    done = here("share", *words)
    assert done.code == 1
    assert install_command("hub") in done.output
    api = StandIn()
    library = SimpleNamespace(get_token=lambda: None, HfApi=lambda: api)
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    done = here("share", *words)
    assert done.code == 1
    assert "hub=me/gulls needs a login" in done.output
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["notes.txt"]
    library.get_token = lambda: "a token"
    done = here("share", *words)
    assert done.code == 0, done.output
    assert "https://huggingface.co/me/gulls" in done.output
    (made, name, given), (uploaded, sent) = api.calls
    assert (made, name, given["private"], given["exist_ok"]) == ("create_repo", "me/gulls", True, True)
    assert uploaded == "upload_folder"
    assert sent["repo_id"] == "me/gulls"
    assert "notes.txt" not in sent["allow_patterns"]
    assert {"README.md", "generator.safetensors", "manifest.json"} <= set(sent["allow_patterns"])
    assert "neighbours.png" in sent["delete_patterns"], "of an earlier upload"
    assert not set(sent["delete_patterns"]) & set(sent["allow_patterns"])
    with pytest.raises(ValueError, match="is there and public: hub_private=false"):
        push(public := StandIn(private=False), "shared", ["README.md"], "me/gulls", private=True)
    assert [call[0] for call in public.calls] == ["create_repo"]
    with pytest.raises(OSError, match=r"hub=me/gulls: no room. shared is whole"):
        push(StandIn("no room"), "shared", ["README.md"], "me/gulls", private=True)
    for name in ("gulls", "me/", "me/gulls/more", "me/../x", "https://huggingface.co/me/gulls"):
        with pytest.raises(ValueError, match="hub must be user/name"):
            hub_for(name)


def test_an_export_is_loaded_by_its_folder(tmp_path):
    about = describe(config_at(tmp_path)) | {"images_seen": 1, "network": "generator", "weights": "ema", "inputs": {}}
    write_snapshot(tmp_path / "generator.safetensors", generator("latents").network, about)
    assert load_generator(tmp_path).path == tmp_path / "generator.safetensors"
