"""What experiment=own_pictures chooses, what a person's words leave of it, and how a run keeps it."""

import json

import numpy as np
import pytest
from hydra.errors import HydraException
from PIL import Image

from gan_lab.cli import message
from gan_lab.inspection.choosing import chosen_among, chosen_for, composed, is_scored, split_words


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Twelve pictures of noise, 70 pixels a side."""
    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(draw.integers(0, 256, (70, 70, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)


CHOSEN = [
    "data.image_size=64",
    "evaluation.metrics.kid.subset_size=12",
    "data.batch_size=16",
    "model=r3gan",
    "network=dcgan",
    "model.gamma.first=2.0",
    "model.gamma.last=0.2",
    "model.ema_half_life_kimg=2",
    "model.generator.width=32",
    "model.discriminator.width=32",
    "model.optimizers.generator.lr=0.0005",
    "model.optimizers.discriminator.lr=0.0005",
    "+augment@model.augment.diffaugment=diffaugment",
    "model.augment.diffaugment.policies=[color,translation]",
    "total_kimg=200",
]


def test_all_is_chosen_and_said_before_what_a_person_gives(root):
    given = ["experiment=own_pictures", f"data.root={root}", "seed=3"]
    chosen = chosen_for([*given, "--cfg", "job"])
    assert chosen.words == [*CHOSEN, *given, "--cfg", "job"]
    assert "12 pictures: no GPU" in chosen.text
    assert all(word in chosen.text for word in CHOSEN)
    assert "Warning: 12 pictures are too few to learn from" in chosen.text


@pytest.mark.parametrize(
    ("word", "model"), [("seed=0", "fastgan"), ("trainer=cpu", "r3gan"), ("trainer=gpu", "fastgan")]
)
def test_a_gpu_is_given_what_is_too_slow_without_one(word, model, root, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert f"model={model}" in chosen_for(["experiment=own_pictures", f"data.root={root}", word]).words


def test_what_a_person_gives_is_not_chosen(root):
    given = ["experiment=own_pictures", f"data.root={root}", "data.image_size=32", "total_kimg=5", "data.test_root=x"]
    words = chosen_for(given).words
    assert words[-5:] == given
    assert words[:-5] == [
        "evaluation.reference=test",
        "data.batch_size=16",
        "model=r3gan",
        "network=dcgan",
        *CHOSEN[7:14],
    ]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("total_kmig=10", "unknown key total_kmig; do you mean total_kimg?"),
        ("dta.root=x", "unknown key dta"),
        ("model=fastgann", "there is no model=fastgann; do you mean model=fastgan?"),
    ],
)
def test_mistakes_are_named_before_pictures_are_looked_at(word, said):
    with pytest.raises(HydraException) as refused:
        chosen_for(["experiment=own_pictures", "data.root=nowhere", word])
    assert said in message(refused.value)


@pytest.mark.parametrize("words", [["data.root=nowhere"], ["experiment=fastgan_emoji", "data.root=nowhere"]])
def test_other_runs_are_left_alone(words):
    assert chosen_for(words) == (words, "")


def test_a_command_with_all_choices_in_it_looks_at_nothing():
    """As processes of one run are started by its first."""
    words = ["experiment=own_pictures", "data.root=nowhere", *CHOSEN]
    assert chosen_for(words) == (words, "")


def test_a_run_keeps_its_choice(tmp_path):
    words = ["experiment=own_pictures", f"run_dir={tmp_path}", "data.root=nowhere"]
    stored = chosen_among(["data.image_size=32", "model=r3gan", "seed=3", *words])
    assert stored == ["data.image_size=32", "model=r3gan"]
    (tmp_path / "run.json").write_text(json.dumps({"chosen": stored}))
    chosen = chosen_for(words)
    assert chosen.words == [*stored, *words]
    assert "as when this run began" in chosen.text
    with pytest.raises(FileNotFoundError, match="nowhere"):
        chosen_for([*words, "overwrite=true"])


@pytest.mark.parametrize(
    ("count", "given", "scored", "words"),
    [
        (
            200,
            {},
            True,
            ["data.held_out=20", "evaluation.reference=held_out", "evaluation.metrics.kid.subset_size=20"],
        ),
        (200, {}, False, ["evaluation.metrics.kid.subset_size=200"]),  # nothing would be gained by it
        (199, {}, True, ["evaluation.metrics.kid.subset_size=199"]),
        (50000, {"data.test_root": "there"}, True, ["evaluation.reference=test"]),
        (200, {"data.limit": 100}, True, []),
        (
            200,
            {"data.held_out": 30},
            True,
            ["evaluation.reference=held_out", "evaluation.metrics.kid.subset_size=30"],
        ),
        (200, {"data.held_out": 30, "evaluation.reference": "train"}, True, []),
    ],
)
def test_a_tenth_is_held_out(count, given, scored, words):
    assert split_words(count, given, scored=scored) == words


def test_config_files_of_ones_own_are_left_to_hydra(root):
    words = ["experiment=own_pictures", f"data.root={root}", "model=mine", "network=mine", "--config-dir", "conf"]
    chosen = chosen_for(words).words
    assert chosen[:2] == ["data.image_size=64", "evaluation.metrics.kid.subset_size=12"]
    assert chosen[2:] == words


def test_scores_want_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_LAB_CACHE", str(tmp_path))
    words = ["experiment=own_pictures", "data.root=nowhere"]
    assert not is_scored(composed(words))
    assert is_scored(composed([*words, "extractor@evaluation.extractor=digitnet"]))
    assert not is_scored(composed([*words, "evaluation=none"]))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "data.image_size=512",
            "no settings of an algorithm for data.image_size=512; known are data.image_size=32, 64, 128, 256; give "
            "another size, or say model=... and network=..., too",
        ),
        ("data.image_size=[64,32]", "square pictures"),
        (
            "model=projected_gan",
            "no settings of model=projected_gan for data.image_size=64; say its network=projected_gan or "
            "network=projected_gan_lite, too",
        ),
        ("model=gan", "no settings of model=gan for data.image_size=64; say its network=..., too"),
        ("data.channels=2", "data.channels must be one of 1, 3, 4, got 2"),
    ],
)
def test_what_cannot_be_chosen_is_refused(root, word, message):
    with pytest.raises(ValueError) as refused:
        chosen_for(["experiment=own_pictures", f"data.root={root}", word])
    assert message in str(refused.value)


def test_pictures_are_needed():
    with pytest.raises(ValueError, match=r"data.root=PATH"):
        chosen_for(["experiment=own_pictures"])


def test_a_full_command_without_a_split_is_split(root):
    words = [
        *("experiment=own_pictures", f"data.root={root}", "data.image_size=32", "data.batch_size=8"),
        *("model=dcgan", "network=dcgan", "total_kimg=1"),
    ]
    assert chosen_for([*words, "data.limit=3"]).words == [*words, "data.limit=3"]
    assert chosen_for(words).words != words


@pytest.mark.parametrize("word", ["data.image_size=32,64", "model=gan,r3gan", "data.root=a,b", "data.channels=1,3"])
def test_one_look_is_for_one_value(word, root):
    with pytest.raises(ValueError, match=f"chooses by one value of {word.partition('=')[0]}"):
        chosen_for(["experiment=own_pictures", f"data.root={root}", word])
