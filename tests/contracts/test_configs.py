"""Every YAML file, by glob: it composes, builds (shrunk) and takes real steps through every stage of a run."""

import json

import pytest
import torch
from conftest import ROOT, SMALL
from generated_data import (
    write_celeba,
    write_cifar10,
    write_cifar100,
    write_image_folder,
    write_imagenet,
    write_label_maps,
    write_lsun,
    write_masks,
    write_mnist,
    write_pairs,
    write_pairs_of_two_sizes,
    write_saved_table,
    write_stl10,
    write_svhn,
)
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf
from shrunk import FEATURES, composed, partner, shrunk

from gan_lab import train
from gan_lab.config import register
from gan_lab.runs.settings import plain

GROUPS = sorted(path for path in (ROOT / "conf").glob("*/*.yaml"))
RECIPES = sorted((ROOT / "experiments").glob("*.yaml"))
ROOTS = sorted((ROOT / "conf").glob("*.yaml"))
USUAL = ("frechet", "inception_score", "kid")  # part of every scored run
POINTS = ["network=mlp", "evaluation=points"]  # what data of points want
COLOURED = ["data=cifar10", "extractor@evaluation.extractor=digitnet"]  # for what wants colours
ENLARGING = ["model=srgan", *(word for word in partner("model", "srgan") if not word.startswith("condition="))]
LABEL_MAPS = {"root": "B/train", "source_root": "A/train", "test_root": "B/val", "source_test_root": "A/val"}
BRIEF = [
    "callbacks.evaluation.every_kimg=null",
    "callbacks.curves=null",
    "callbacks.checkpoint.every_kimg=null",
    "callbacks.health.images=32",
    "callbacks.pictures.rows=2",
    "callbacks.pictures.columns=4",
    "trainer.accelerator=cpu",
]


def override_of(path) -> list[str]:
    """The command-line choice that brings in this file."""
    group, name = path.parent.name, path.stem
    nested = {
        "plumbing": [],  # part of every model
        "metric": [] if name in USUAL else [f"+metric@evaluation.metrics.tried={name}", *at_hand(group, name)],
        "data": [f"data={name}", *(wanted_by_data(name) if group == "data" else [])],
        "evaluation": [*(["data=ring", "network=mlp"] if name == "points" else []), f"evaluation={name}"],
        "condition": [*(COLOURED if name == "grey" else []), f"condition={name}", *translating(name)],
        "model": [f"model={name}", *partner("model", name)],
        "network": [f"network={name}", *partner("network", name)],
        "regularizer": [f"+regularizer@model.regularizers.tried={name}", "model.discriminator.normalization=layer"],
        "augment": [f"+augment@model.augment.tried={name}"],
        "extractor": [
            f"+extractor@evaluation.extractors.tried={name}",
            "+metric@evaluation.metrics.tried=precision_recall",
            "evaluation.metrics.tried.extractor=tried",
        ],
    }
    return nested.get(group, [f"{group}={name}"])


def translating(name: str) -> list[str]:
    """A model for data or a condition of that name, which may be of pairs or not."""
    if "unpaired" in name:
        return ["model=cyclegan", "network=resnet_translator"]
    if name == "downsampled":
        return ENLARGING
    return ["model=pix2pix", "network=unet_translator"]


def at_hand(group: str, name: str) -> list[str]:
    """For a metric that these data are refused for: an extractor that is there, or it would be left out before that."""
    path = ROOT / "conf" / group / f"{name}.yaml"
    lacking = group == "metric" and "targets" in instantiate(OmegaConf.load(path)).probe_needs
    return ["evaluation.metrics.tried.extractor=null"] if lacking and "extractor" in OmegaConf.load(path) else []


def wanted_by_data(data: str) -> list[str]:
    """What goes with a data set that is not for a GAN of pictures."""
    if holds_points(data):
        return POINTS
    return translating(data) if brings_sources(data) else []


def brings_sources(data: str) -> bool:
    return "condition_shape" in OmegaConf.load(ROOT / "conf" / "data" / f"{data}.yaml")


def holds_points(data: str) -> bool:
    return len(OmegaConf.load(ROOT / "conf" / "data" / f"{data}.yaml")._get_node("sample_shape")) == 1


def small_data(name: str, folder, monkeypatch) -> list[str]:
    """Generated files in the real format of the data set `name`, and the overrides that point there."""
    root = folder / "data"
    here, there = [f"paths.data_dir={root}"], [f"data.root={root}"]
    writers = {
        "mnist": (lambda: write_mnist(root), here),
        "fashion_mnist": (lambda: write_mnist(root, name="FashionMNIST"), here),
        "stacked_mnist": (lambda: write_mnist(root), [*here, "data.count=40"]),
        "cifar10": (lambda: write_cifar10(root, monkeypatch), here),
        "cifar100": (lambda: write_cifar100(root, monkeypatch), here),
        "svhn": (lambda: write_svhn(root, monkeypatch), here),
        "stl10": (lambda: write_stl10(root), here),
        "celeba": (lambda: write_celeba(root), here),
        "lsun": (lambda: write_lsun(root), there),
        "imagenet": (lambda: write_imagenet(root), [*there, "data.num_classes=2"]),
        "folder": (lambda: write_image_folder(root, count=20), there),
        "crops": (lambda: write_image_folder(root, count=20, size=(48, 40)), there),
        "unpaired": (lambda: write_two_domains(root), [f"data.folder={root}"]),
        "paired": (lambda: write_pairs(root, count=20), there),
        "masked": (lambda: write_masked(root), [f"data.root={root}", f"data.condition.masks.root={root}"]),
        "label_maps": (
            lambda: write_label_maps(root, count=20),
            [f"data.{key}={root}/{place}" for key, place in LABEL_MAPS.items()],
        ),
        "pairs_of_two_sizes": (
            lambda: write_pairs_of_two_sizes(root, count=20),
            [f"data.root={root}/B", f"data.source_root={root}/A"],
        ),
        "huggingface": (lambda: write_saved_table(root), [f"data.path={root}", "data.label_column=kind"]),
    }
    if name not in writers:
        return []
    write, overrides = writers[name]
    write()
    return overrides


def write_masked(root) -> None:
    """Pictures and a mask beside each."""
    write_image_folder(root, count=20)
    write_masks(root, names=[f"{number:03}_mask" for number in range(20)])


def small_masks(condition: str | None, folder) -> list[str]:
    """Masks for a condition of files, and the override that points there."""
    if condition != "masked_files":
        return []
    write_masks(folder / "masks", names=["a", "b", "c"])
    return [f"data.condition.masks.root={folder / 'masks'}"]


def kind_of_pairs(config) -> str | None:
    """What other files than pictures of one size data=paired is asked for; None for none."""
    if config.data.get("source_labels") is not None:
        return "label_maps"
    return "pairs_of_two_sizes" if config.data.get("factor", 1) > 1 else None


def write_two_domains(root) -> None:
    """As many sources as are scored, of either split."""
    for name in ("trainA", "trainB", "testA", "testB"):
        write_image_folder(root / name, count=20)


def train_small(overrides: list[str], folder, monkeypatch, last: list[str] | None = None) -> None:
    """Run the train command's own function in this process, shrunk; `last` overrides the shrinking."""
    chosen = composed(*overrides)
    HydraConfig.instance().set_config(chosen)
    data, condition = (chosen.hydra.runtime.choices.get(group) for group in ("data", "condition"))
    data = kind_of_pairs(chosen) or data
    evaluated = chosen.hydra.runtime.choices["evaluation"] != "none"
    small = [*shrunk(overrides), "threads=1", *BRIEF]
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        if evaluated:
            small += [option for option in SMALL if option.startswith("evaluation.")]
            if "kid" not in chosen.evaluation.metrics:
                small = [option for option in small if ".kid." not in option]
        if "warmup_critic" in chosen.model:
            small += ["model.warmup_critic=2"]
        small += [*small_data(data, folder, monkeypatch), *small_masks(condition, folder)]
        config = compose("train", [*overrides, *small, *(last or []), f"run_dir={folder / 'run'}"])
        config.callbacks.stop.total_kimg = 2 * config.data.batch_size / 1000
        settings = plain(config)
        train.check(settings)
    (folder / "run").mkdir()
    train.fit(settings, folder / "run", {"id": "test"})


def assert_trained(run, scored: bool) -> None:
    newest = max((run / "checkpoints").glob("[0-9]*.ckpt"))
    checkpoint = torch.load(newest, weights_only=True)
    idle = ["discriminator"] if checkpoint["config"]["model"].get("adversarial_weight") == 0 else []
    assert all(count >= 1 for group, count in checkpoint["counters"]["steps"].items() if group not in idle)
    assert all(torch.isfinite(t).all() for t in checkpoint["state_dict"].values())
    assert (run / "pictures" / "latest.png").is_file()
    if scored:
        assert json.loads((run / "scores.jsonl").read_text().splitlines()[-1])["scores"]


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_choice_takes_real_steps(path, tmp_path, monkeypatch):
    overrides = override_of(path)
    scored = path.stem not in ("none", "watch")
    judged_by_digitnet = ("digits", "mnist", "stacked_mnist")
    if path.parent.name == "data" and path.stem not in judged_by_digitnet and not holds_points(path.stem):
        overrides.append("extractor@evaluation.extractor=digitnet")
    last = enough_samples(path)
    if (refusal := refusal_of(path)) is not None:
        with pytest.raises(Exception, match=refusal):
            train_small(overrides, tmp_path, monkeypatch, last)
        assert not list((tmp_path / "run" / "checkpoints").glob("*")), "it was said before training"
        return
    train_small(overrides, tmp_path, monkeypatch, last)  # extractors without weights here: left out, aloud
    assert_trained(tmp_path / "run", scored)


def enough_samples(path) -> list[str]:
    """For metrics, and sets of them, that want more than the shrunk run has."""
    if path.parent.name == "metric":
        return [f"evaluation.num_samples={max(20, instantiate(OmegaConf.load(path)).minimum_in(64))}"]  # of digitnet
    return {"suite": ["evaluation.num_samples=100"], "full": ["evaluation.num_samples=1280"]}.get(path.stem, [])


def refusal_of(path) -> str | None:
    """What is said of a choice that cannot score an unconditional GAN of grey pictures."""
    if path.parent.name == "metric":
        metric = instantiate(OmegaConf.load(path))
        if "labels" in metric.needs:
            return "metric tried needs labels, which these samples do not have"
        if "network_back" in metric.probe_needs:
            return "metric tried sends outputs back to where they came from, and this model goes one way"
        for need in ("targets", "sources"):
            if need in metric.probe_needs:
                return f"metric tried needs {need}, which these samples do not have: choose data with a condition"
    return {
        "modes_grid": r"metric tried: the centres are points of 2 numbers, the samples of shape \(1, 16, 16\)",
        "modes_ring": r"metric tried: the centres are points of 2 numbers, the samples of shape \(1, 16, 16\)",
        "modes_stacked": "metric tried: 10 logits are not of 3 groups of one size",
        "stacked_digitnet": "stacked_digitnet takes images of 3 channels, a digit each, got 1",
    }.get(path.stem)


def test_pairs_of_two_sizes_take_real_steps(tmp_path, monkeypatch):
    digitnet = "extractor@evaluation.extractor=digitnet"
    metrics = ["+metric@evaluation.metrics.psnr=psnr", "+metric@evaluation.metrics.copy=psnr"]
    asked = ["data=paired", "data.factor=2", "data.source_suffix=x2", *metrics, "evaluation.metrics.copy.of=source"]
    train_small([*ENLARGING, *asked, digitnet], tmp_path, monkeypatch, ["data.load_size=40"])
    assert_trained(tmp_path / "run", True)
    scores = json.loads((tmp_path / "run" / "scores.jsonl").read_text().splitlines()[-1])["scores"]
    assert {"psnr20", "psnr_copy20"} <= scores.keys()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_takes_real_steps(path, tmp_path, monkeypatch):
    overrides = [f"experiment={path.stem}"]
    if "digitnet" not in path.read_text() and "mnist" not in path.stem and "digits" not in path.stem:
        overrides.append("extractor@evaluation.extractor=digitnet")
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        model = compose("train", overrides).model
        if model.get("perceptual") is not None:
            overrides.append("extractor@model.perceptual=digitnet")  # whose weights are at hand
        if "features" in (model.get("discriminator") or {}):
            overrides.append(FEATURES)
    train_small(overrides, tmp_path, monkeypatch)
    assert_trained(tmp_path / "run", True)
    assert path.with_suffix(".md").is_file(), "a recipe has its record beside it"


@pytest.mark.parametrize("path", ROOTS, ids=lambda path: path.stem)
def test_every_root_composes(path):
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        assert compose(path.stem)


def test_first_line_of_every_choice_says_what_it_is():
    for path in GROUPS:
        lines = [line for line in path.read_text().splitlines() if not line.startswith("# @package")]
        assert lines[0].startswith("# "), path
