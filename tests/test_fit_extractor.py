"""The command fit_extractor: digits end to end, folders with and without classes, and what it holds out."""

import json

import numpy as np
import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from PIL import Image
from safetensors import safe_open
from sklearn.datasets import load_digits

from gan_lab import fit_extractor
from gan_lab.config import register
from gan_lab.data.digits import held_out_fifth
from gan_lab.extractors.classifier import KEY, Classifier, accuracy
from gan_lab.runs.settings import plain

QUICK = ["threads=1", "device=cpu", "data.image_size=8"]


def settings_of(*overrides: str) -> dict:
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        return plain(compose("fit_extractor", ["out=unused", *QUICK, *overrides]))


def write_classes(root, count: int, names=("dark", "light"), seed: int = 0) -> None:
    """`count` grey pictures in each of the folders `names`, the later the lighter."""
    generator = np.random.default_rng(seed)
    for place, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = generator.integers(0, 100, (16, 16, 3)) + 150 * place // max(1, len(names) - 1)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{index:03d}.png")


def test_digits(command, tmp_path):
    ended = command("fit_extractor", "out=net.safetensors", "epochs=6", *QUICK)
    assert ended.code == 0, ended.output
    assert "images/s" in ended.output
    assert "extractor@evaluation.extractor=classifier evaluation.extractor.weights=net.safetensors" in ended.output
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        about = json.loads(file.metadata()[KEY])
    assert about["accuracy"] > 0.9
    assert f"{about['accuracy']:.4f} on 355 images" in ended.output
    assert (about["name"], about["data"], about["num_classes"]) == ("digitsnet", "digits", 10)
    assert (about["count"], about["held_out_count"]) == (1442, 355)
    assert about["training"]["flip"] is False
    extractor = Classifier(weights=tmp_path / "net.safetensors", name=None)
    assert extractor.label("fd") == "fd_digitsnet"
    _, held_out = fit_extractor.parts(settings_of())
    assert accuracy(extractor.network, held_out.images, held_out.labels) == about["accuracy"]

    again = command("fit_extractor", "out=net.safetensors", *QUICK)
    assert again.code == 1
    assert "net.safetensors is there already" in again.output


def test_the_held_out_fifth_is_not_trained_on():
    target = load_digits().target
    left_out = held_out_fifth(target)
    training, held_out = fit_extractor.parts(settings_of())
    assert np.array_equal(training.labels.numpy(), target[~left_out])
    assert np.array_equal(held_out.labels.numpy(), target[left_out])
    whole = torch.cat([training.images, held_out.images]).flatten(1)
    assert len(whole) == len(target)
    assert len(whole.unique(dim=0)) == len(target)


def test_the_test_split_is_taken_where_there_is_one(tmp_path, monkeypatch):
    from generated_data import write_cifar10

    write_cifar10(tmp_path, monkeypatch)
    training, held_out = fit_extractor.parts(settings_of("data=cifar10", f"paths.data_dir={tmp_path}"))
    data = fit_extractor.made(settings_of("data=cifar10", f"paths.data_dir={tmp_path}")["data"])
    assert (training.split, held_out.split) == ("train", "test")
    assert np.array_equal(training.images.numpy(), data.reference("train").images)
    assert np.array_equal(held_out.images.numpy(), data.reference("test").images)
    assert training.digest == data.reference("train").digest


def test_a_folder_with_images_to_test_on(tmp_path):
    write_classes(tmp_path / "train", 6)
    write_classes(tmp_path / "test", 3, seed=1)
    chosen = ["data=folder", f"data.root={tmp_path / 'train'}", f"paths.cache_dir={tmp_path / 'cache'}"]
    training, held_out = fit_extractor.parts(settings_of(*chosen, f"test_root={tmp_path / 'test'}"))
    assert (len(training.images), len(held_out.images)) == (12, 6)
    assert training.class_names == ["dark", "light"]
    training, held_out = fit_extractor.parts(settings_of(*chosen))
    assert (len(training.images), len(held_out.images)) == (10, 2)
    write_classes(tmp_path / "other", 3, names=("dark", "grey"))
    with pytest.raises(ValueError, match="has the classes dark, grey, the training images dark, light"):
        fit_extractor.parts(settings_of(*chosen, f"test_root={tmp_path / 'other'}"))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda root: write_classes(root, 6, names=(".",)), "has no labels.*images of each class into a subfolder"),
        (lambda root: write_classes(root, 3), "fewer than 5 images of each class"),
    ],
)
def test_refuses_data_that_cannot_teach(write, message, tmp_path):
    root = tmp_path / "images"
    write(root)
    with pytest.raises(ValueError, match=message):
        fit_extractor.parts(settings_of("data=folder", f"data.root={root}", f"paths.cache_dir={tmp_path / 'cache'}"))


def test_refuses_a_single_class():
    with pytest.raises(ValueError, match="holds a single class"):
        fit_extractor.parts(settings_of("data.limit=1"))


def test_refuses_a_test_folder_for_a_set_without_folders():
    with pytest.raises(ValueError, match="test_root is for data=folder"):
        fit_extractor.parts(settings_of("test_root=somewhere"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("name=net2", "a letter at either end, got 'net2'"),
        ("shift=1", "shift is a share"),
        ("epochs=0", "epochs must be"),
    ],
)
def test_refuses_other_values(override, message, command):
    ended = command("fit_extractor", "out=net.safetensors", *QUICK, override)
    assert ended.code == 1
    assert message in ended.output
