"""What experiment=own_pictures chooses, what a person's words leave of it, and how a run keeps it."""

import json

import numpy as np
import pytest
from PIL import Image

from gan_lab.inspection.choosing import chosen_among, chosen_for, split_words


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Twelve pictures of noise, 70 pixels a side."""
    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(draw.integers(0, 256, (70, 70, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


CHOICES = {
    "model": ["dcgan", "fastgan", "gan", "r3gan", "stylegan2"],
    "network": ["dcgan", "fastgan", "fastgan256", "stylegan2", "stylegan2_64"],
}
CHOSEN = [
    "data.image_size=64",
    "evaluation.metrics.kid.subset_size=12",
    "data.batch_size=32",
    "model=stylegan2",
    "network=stylegan2_64",
    "model.regularizers.r1.weight=0.0128",
    "+augment@model.augment.ada=ada",
    "+augment@model.augment.diffaugment=diffaugment",
    "total_kimg=1000",
]


def test_all_is_chosen_and_said_before_what_a_person_gives(root):
    given = ["experiment=own_pictures", f"data.root={root}", "seed=3"]
    chosen = chosen_for([*given, "--cfg", "job"], CHOICES)
    assert chosen.words == [*CHOSEN, *given, "--cfg", "job"]
    assert "12 pictures" in chosen.text
    assert all(word in chosen.text for word in CHOSEN)


def test_what_a_person_gives_is_not_chosen(root):
    given = ["experiment=own_pictures", f"data.root={root}", "data.image_size=32", "total_kimg=5", "data.test_root=x"]
    words = chosen_for(given, CHOICES).words
    assert words[-5:] == given
    assert words[:-5] == [
        "evaluation.reference=test",
        "data.batch_size=32",
        "model=stylegan2",
        "network=stylegan2",
        "model.regularizers.r1.weight=0.0032",
        *CHOSEN[6:8],
    ]


@pytest.mark.parametrize("words", [["data.root=nowhere"], ["experiment=fastgan_emoji", "data.root=nowhere"]])
def test_other_runs_are_left_alone(words):
    assert chosen_for(words, CHOICES) == (words, "")


def test_a_command_with_all_choices_in_it_looks_at_nothing():
    """As processes of one run are started by its first."""
    words = ["experiment=own_pictures", "data.root=nowhere", *CHOSEN]
    assert chosen_for(words, CHOICES) == (words, "")


def test_a_run_keeps_its_choice(tmp_path):
    words = ["experiment=own_pictures", f"run_dir={tmp_path}", "data.root=nowhere"]
    stored = chosen_among(["data.image_size=32", "model=r3gan", "seed=3", *words])
    assert stored == ["data.image_size=32", "model=r3gan"]
    (tmp_path / "run.json").write_text(json.dumps({"chosen": stored}))
    chosen = chosen_for(words, CHOICES)
    assert chosen.words == [*stored, *words]
    assert "as when this run began" in chosen.text
    with pytest.raises(FileNotFoundError, match="nowhere"):
        chosen_for([*words, "overwrite=true"], CHOICES)


@pytest.mark.parametrize(
    ("count", "given", "words"),
    [
        (
            200,
            {},
            ["data.limit=180", "evaluation.reference='train[180:]'", "evaluation.metrics.kid.subset_size=20"],
        ),
        (199, {}, ["evaluation.metrics.kid.subset_size=199"]),
        (50000, {"data.test_root": "there"}, ["evaluation.reference=test"]),
        (200, {"data.limit": 100}, []),
    ],
)
def test_a_tenth_is_held_out(count, given, words):
    assert split_words(count, given) == words


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
            "model=fastgan",
            "no settings of model=fastgan for data.image_size=64; say its network=fastgan or network=fastgan256, too",
        ),
        ("model=gan", "no settings of model=gan for data.image_size=64; say its network=..., too"),
        ("model=fastgann", "there is no model=fastgann; do you mean model=fastgan?\n  choices of model:\n  dcgan, fas"),
        ("network=stylegan2_63", "there is no network=stylegan2_63; do you mean network=stylegan2_64 or network=styl"),
        ("data.channels=2", "data.channels must be one of 1, 3, 4, got 2"),
    ],
)
def test_what_cannot_be_chosen_is_refused(root, word, message):
    with pytest.raises(ValueError) as refused:
        chosen_for(["experiment=own_pictures", f"data.root={root}", word], CHOICES)
    assert message in str(refused.value)


def test_pictures_are_needed():
    with pytest.raises(ValueError, match=r"data.root=PATH"):
        chosen_for(["experiment=own_pictures"], CHOICES)


def test_a_full_command_without_a_split_is_split(root):
    words = [
        *("experiment=own_pictures", f"data.root={root}", "data.image_size=32", "data.batch_size=8"),
        *("model=dcgan", "network=dcgan", "total_kimg=1"),
    ]
    assert chosen_for([*words, "data.limit=3"], CHOICES).words == [*words, "data.limit=3"]
    assert chosen_for(words, CHOICES).words != words


@pytest.mark.parametrize("word", ["data.image_size=32,64", "model=gan,r3gan", "data.root=a,b", "data.channels=1,3"])
def test_one_look_is_for_one_value(word, root):
    with pytest.raises(ValueError, match=f"chooses by one value of {word.partition('=')[0]}"):
        chosen_for(["experiment=own_pictures", f"data.root={root}", word], CHOICES)
