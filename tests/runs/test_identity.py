"""Kind B: a run is what its settings and data are, by whatever name they are called, and wherever they lie."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from gan_lab import train
from gan_lab.runs.folder import find_folder, refuse_other_settings
from gan_lab.runs.settings import digest, place_of, same_results, settings_of

CHOICES = {"model": "dcgan", "data": "folder"}


def settings(root="pics", *, weights=None, download=None, init_from=None, **data):
    extractor = {"_target_": "gan_lab.extractors.classifier.Classifier", "weights": weights}
    if download is not None:
        extractor["download"] = download
    return {
        "seed": 0,
        "total_kimg": 1.0,
        "run_dir": None,
        "init_from": init_from,
        "paths": {"runs_dir": "runs"},
        "model": {"n_critic": 1},
        "data": {"_target_": "gan_lab.data.folder.Folder", "root": root, "cache_dir": "cache", "batch_size": 4} | data,
        "evaluation": {"extractor": extractor},
        "trainer": {"precision": "32-true"},
        "callbacks": {},
    }


def stored(folder, config, **about):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "run.json").write_text(json.dumps({"id": "abc"} | about))
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with pictures and a link to them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pics").mkdir()
    os.symlink("pics", tmp_path / "link")
    return tmp_path


@pytest.mark.parametrize("root", ["pics/", "./pics", "pics/../pics", "link", "~/pics", "absolute"])
def test_all_names_of_a_folder_name_one_run(root, here):
    """`data.root=pics/` began a second run beside that of `pics` (raster-vision#756)."""
    root = str(here / "pics") if root == "absolute" else root
    assert digest(settings(root)) == digest(settings("pics"))
    assert digest(settings("others")) != digest(settings("pics"))
    begun = settings(init_from=root)
    assert digest(begun) == digest(settings(init_from="pics")) != digest(settings())


def test_a_place_outside_of_the_current_folder(here):
    assert place_of("/some/where/") == "/some/where"
    assert place_of(".") == "."


def test_equal_content_is_one_run_wherever_it_lies(here):
    one, two = settings("pics"), settings("/scratch/job7/pics")
    assert digest(one, "c0ffee") == digest(two, "c0ffee") != digest(one, "decaf")
    assert digest(one) != digest(two)
    path = {"root": None, "path": "table"}
    assert digest(settings(**path), "c0ffee") == digest(settings(**path | {"path": "/scratch/table"}), "c0ffee")


@pytest.mark.parametrize("root", ["pics", "pics/", "link", "absolute"])
def test_the_folder_of_an_earlier_name_is_gone_on_with(root, here):
    """Named by the path as it was typed then; its run.json knows nothing of content."""
    root = str(here / "pics") if root == "absolute" else root
    earlier = stored(Path("runs/dcgan_folder/01234567/seed0"), settings(root))
    assert find_folder(settings("./pics"), CHOICES, "c0ffee") == earlier
    assert find_folder(settings("others"), CHOICES, "c0ffee") != earlier
    assert find_folder(settings("./pics") | {"seed": 1}, CHOICES, "c0ffee") != earlier
    assert find_folder(settings("./pics", batch_size=8), CHOICES, "c0ffee") != earlier


def test_content_that_is_known_outdoes_the_place(here):
    """The pictures at a place were exchanged: another run. The pictures were moved: the same."""
    earlier = stored(Path("runs/dcgan_folder/01234567/seed0"), settings("pics"), content="c0ffee")
    assert (
        find_folder(settings("pics"), CHOICES, "decaf")
        == Path("runs/dcgan_folder") / digest(settings("pics"), "decaf") / "seed0"
    )
    assert find_folder(settings("/scratch/pics"), CHOICES, "c0ffee") == earlier
    assert find_folder(settings("pics"), CHOICES, None) == earlier, "whose data cannot be read just now"


def test_a_folder_of_this_name_comes_first(here):
    stored(Path("runs/dcgan_folder/00000000/seed0"), settings("pics"))
    own = stored(Path("runs/dcgan_folder") / digest(settings("pics"), "c0ffee") / "seed0", settings("pics"))
    assert find_folder(settings("pics"), CHOICES, "c0ffee") == own


def test_a_chosen_folder_is_taken_as_it_is(here):
    assert find_folder(settings() | {"run_dir": "mine"}, CHOICES, None) == Path("mine")
    assert find_folder(settings() | {"run_dir": "~/mine"}, CHOICES, None) == here / "mine"


def test_a_run_goes_on_in_a_chosen_folder_from_data_elsewhere(here):
    """What they are is compared when they are read: the checkpoint holds their digest."""
    run = stored(here / "run", settings("pics"))
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "000000000004.ckpt").touch()
    refuse_other_settings(run, settings("/scratch/job7/pics"))
    with pytest.raises(ValueError, match="of other settings"):
        refuse_other_settings(run, settings("/scratch/job7/pics", batch_size=8))


# Weights of the extractor ---------------------------------------------------------------------------------------------


def test_weights_that_can_be_downloaded_are_known_by_name(here):
    """Another HOME, or cache, named another run of data=cifar10."""
    names = {
        digest(settings(weights=f"/{home}/weights.pth", download=asked)) for home in "ab" for asked in (True, False)
    }
    assert len(names) == 1


def test_weights_of_one_s_own_are_known_by_their_content(here):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (here / name).mkdir()
        (here / name / "mine.safetensors").write_bytes(content)
    one, same, other = (digest(settings(weights=f"{name}/mine.safetensors")) for name in "abc")
    assert one == same != other
    assert digest(settings(weights="gone/mine.safetensors")) not in (one, other)


def test_weights_that_have_moved_since(here):
    run, now = settings(weights="old/mine.safetensors"), settings(weights="new/mine.safetensors")
    (here / "new").mkdir()
    (here / "new" / "mine.safetensors").write_bytes(b"one")
    assert same_results(run, now, stored_content=None, content=None)
    assert not same_results(run, settings(weights="new/other.safetensors"), stored_content=None, content=None)


def test_weights_of_a_term_of_the_loss_are_known_likewise(here):
    def looking_on(weights, **others):
        return settings() | {"model": {"n_critic": 1, "perceptual": {"weights": weights} | others}}

    (here / "new").mkdir()
    (here / "new" / "mine.safetensors").write_bytes(b"one")
    assert digest(looking_on("a/vgg19.pth", download=False)) == digest(looking_on("b/vgg19.pth", download=True))
    run, now = looking_on("old/mine.safetensors"), looking_on("new/mine.safetensors")
    assert digest(now) != digest(looking_on("new/other.safetensors"))
    assert same_results(run, now, stored_content=None, content=None)
    assert same_results(settings(), settings() | {"model": {"n_critic": 1}}, stored_content=None, content=None)


# Keys that came later (kind F) ----------------------------------------------------------------------------------------


def test_a_run_from_before_a_key_existed(here):
    """`data.subset` has a default for stored configs; with it, its run was one of other settings."""
    now = settings(subset=None, subset_seed=0)
    assert same_results(settings(), now, stored_content=None, content=None)
    assert not same_results(settings(), settings(subset=10, subset_seed=0), stored_content=None, content=None)
    assert not same_results(settings(), settings(unheard_of=None), stored_content=None, content=None), "has no default"
    assert not same_results(now | {"model": {"n_critic": 1, "gone": 3}}, now, stored_content=None, content=None)
    earlier = stored(Path("runs/dcgan_folder/01234567/seed0"), settings())
    assert find_folder(now, CHOICES, None) == earlier


def test_a_file_of_something_else_is_no_run(here):
    stored(Path("runs/dcgan_folder/01234567/seed0"), {"model": 1, "data": 2, "total_kimg": 3, "seed": 0})
    (here / "runs/dcgan_folder/89abcdef/seed0").mkdir(parents=True)
    (here / "runs/dcgan_folder/89abcdef/seed0/config.yaml").write_text("a: [")
    assert find_folder(settings(), CHOICES, None).parent.name == digest(settings())


# The command and the table --------------------------------------------------------------------------------------------


def data_that(answer):
    def identity():
        if isinstance(answer, Exception):
            raise answer
        return answer

    return SimpleNamespace(identity=identity) if answer != "has none" else SimpleNamespace()


@pytest.mark.parametrize("answer", ["c0ffee", None, "has none"])
def test_the_command_asks_the_data_what_they_are(answer, here, monkeypatch):
    monkeypatch.setattr("hydra.utils.instantiate", lambda *_, **__: data_that(answer))
    content = "c0ffee" if answer == "c0ffee" else None
    folder = Path("runs/dcgan_folder") / digest(settings(), content) / "seed0"
    assert train.located(settings(), CHOICES) == (folder, content)


def test_named_sets_are_not_looked_at(here):
    cifar = settings(download=None)
    cifar["data"] = {"_target_": "none.of.ours", "root": "data", "download": False}
    assert train.located(cifar, CHOICES)[1] is None


def masked(root, *, cache="cache", **data):
    """CIFAR-10 with masks from files."""
    masks = {"root": root, "test_root": None, "hole": "white", "cache_dir": cache, "seed": 0}
    config = settings(None, **data)
    config["data"] |= {"download": False, "condition": {"masks": masks, "fill": 127}}
    return config


def test_masks_of_a_named_set_are_known_by_their_content_and_otherwise_by_their_place(here, monkeypatch):
    assert digest(masked("pics", cache="elsewhere")) == digest(masked("link")) != digest(masked("others"))
    assert digest(masked("pics"), "c0ffee") == digest(masked("others"), "c0ffee") != digest(masked("pics"), "decaf")
    assert masked("pics")["data"]["condition"]["masks"]["root"] == "pics", "left as it is"
    other = masked("pics")
    other["data"]["condition"]["masks"]["seed"] = 1
    assert digest(other, "c0ffee") != digest(masked("pics"), "c0ffee")
    monkeypatch.setattr("hydra.utils.instantiate", lambda *_, **__: data_that("c0ffee"))
    assert train.located(masked("pics"), CHOICES)[1] == "c0ffee"


def test_a_finished_run_is_found_without_its_data(here, monkeypatch):
    monkeypatch.setattr("hydra.utils.instantiate", lambda *_, **__: data_that(FileNotFoundError("data.root=pics")))
    with pytest.raises(FileNotFoundError, match=r"data\.root=pics"):
        train.located(settings(), CHOICES)
    earlier = stored(Path("runs/dcgan_folder/01234567/seed0"), settings("pics/"), content="c0ffee")
    assert train.located(settings(), CHOICES) == (earlier, None)


def test_seeds_over_one_content_are_one_row():
    one, two = settings_of(settings("pics"), "c0ffee"), settings_of(settings("/scratch/7/pics"), "c0ffee")
    assert one == two
    assert one["data.content"] == "c0ffee"
