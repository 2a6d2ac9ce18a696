"""Golden files: what earlier commits wrote and computed, which later ones still read, continue and equal.

`python tests/contracts/golden.py [weights] [names] [runs]` writes them anew, into `golden/` beside this file. That is
right only where a change of numbers or formats is meant, and then its CHANGELOG entry under "Numbers" names the models.
The run folders are never written anew: they are the formats of the commit in `golden/runs/commit.txt`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GOLDEN = HERE / "golden"
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from distributed.test_ranks_equal_one_process import AUGMENTED, SPECIAL, fit, settings_of  # noqa: E402
from hydra import compose, initialize_config_dir  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from shrunk import makes_pictures_of_pictures, partner  # noqa: E402

MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
ITERATIONS = 3


def trainings() -> dict[str, list[str]]:
    """Name -> overrides: every model, and models with every augmentation and regularizer."""
    found = {model: [f"model={model}", *partner("model", model), *SPECIAL.get(model, [])] for model in MODELS}
    smooth = ["model=dcgan", "model.discriminator.normalization=none"]
    for path in sorted((ROOT / "conf" / "regularizer").glob("*.yaml")):
        added = [f"+regularizer@model.regularizers.tried={path.stem}"]
        if path.stem == "path_length":
            added += ["model=stylegan2", "network=stylegan2", "model.regularizers.path_length=null"]
        found[f"regularizer {path.stem}"] = [*smooth[: 2 if path.stem != "path_length" else 0], *added]
    diffaugment = ["+augment@model.augment.diff=diffaugment", "+augment@model.augment.noise=instance_noise"]
    found["augment"] = ["model=dcgan", *AUGMENTED, *diffaugment]
    found["micro-batches"] = ["model=wgan_gp", "data.micro_batch_size=12", "model.generator_batch_size=48"]
    return found


def final_weights(overrides: list[str], folder: Path) -> dict[str, list[float]]:
    """The sums of the networks after three iterations of training."""
    fit(settings_of(overrides, folder, ITERATIONS), str(folder))
    return sums_of(torch.load(folder / "witness0.pt", weights_only=True)["state"])


def sums_of(state: dict[str, torch.Tensor]) -> dict[str, list[float]]:
    """Network -> sum and weighted sum of its parameters and buffers, in float64."""
    sums: dict[str, list[float]] = {}
    for name, tensor in state.items():
        network = name.partition(".")[0]
        values = tensor.double().flatten()
        weights = torch.cos(torch.arange(len(values), dtype=torch.float64))
        total = sums.setdefault(network, [0.0, 0.0])
        total[0] += values.sum().item()
        total[1] += (values * weights).sum().item()
    return sums


def commands() -> list[list[str]]:
    """Choices whose run folders keep their names."""
    translates = {model: makes_pictures_of_pictures("model", model) for model in MODELS}
    models = [[f"model={model}", *(partner("model", model) if translates[model] else [])] for model in MODELS]
    data = [[f"data={path.stem}", *needed(path.stem)] for path in sorted((ROOT / "conf" / "data").glob("*.yaml"))]
    recipes = [[f"experiment={path.stem}"] for path in sorted((ROOT / "experiments").glob("*.yaml"))]
    others = [
        ["+augment@model.augment.ada=ada", "+regularizer@model.regularizers.r1=r1"],
        ["evaluation=suite"],
        ["evaluation=none", "total_kimg=7", "seed=3"],
    ]
    return [*models, *data, *recipes, *others]


def needed(data: str) -> list[str]:
    points = ["network=mlp", "evaluation=points"]
    return {
        "ring": points,
        "grid": points,
        "folder": ["data.root=pictures"],
        "crops": ["data.root=pictures"],
        "paired": ["data.root=pairs"],
        "masked": ["data.root=pictures", "data.condition.masks.root=masks"],
        "huggingface": ["data.path=table"],
        "lsun": ["data.root=lsun"],
        "imagenet": ["data.root=imagenet"],
        "unpaired": ["data.folder=pictures", "model=cyclegan", "network=resnet_translator"],
    }.get(data, [])


def composed(overrides: list[str], cache: str = "cache") -> tuple[dict[str, Any], Any]:
    """The resolved settings of a command and its choices, with the cache in a place that is the same everywhere."""
    from gan_lab.config import register

    elsewhere = patch.dict(os.environ, GAN_LAB_CACHE=cache)
    with elsewhere, initialize_config_dir(version_base="1.3", config_dir=register()):
        config: Any = compose("train", overrides, return_hydra_config=True)
        choices = config.hydra.runtime.choices
        settings: Any = OmegaConf.to_container(
            OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]), resolve=True
        )
    return settings, choices


def run_names() -> dict[str, str]:
    """Command -> name of its run."""
    from gan_lab.runs.settings import run_name

    return {" ".join(overrides): run_name(*composed(overrides)) for overrides in commands()}


RUN = [
    "data.image_size=16",
    "data.batch_size=32",
    "data.limit=200",
    "trainer=cpu",
    "threads=1",
    "evaluation.num_samples=60",
    "evaluation.block_size=20",
    "evaluation.metrics.kid.subset_size=30",
    "callbacks.evaluation.every_kimg=0.32",
    "callbacks.metrics.every_kimg=0.064",
    "callbacks.pictures.every_kimg=0.32",
    "callbacks.pictures.rows=2",
    "callbacks.pictures.columns=4",
    "callbacks.health=null",
    "callbacks.checkpoint.every_kimg=0.32",
    "callbacks.checkpoint.keep=1",
    "model.generator.width=4",
    "model.discriminator.width=4",
]
# A run with all that a checkpoint can hold: ADA's p, LeCam's means, labels as in the data, n_critic, schedules.
RICH = [
    "model=projection_gan",
    "model.n_critic=2",
    "model.label_distribution=data",
    "model.latent_dim=8",
    "+augment@model.augment.ada=ada",
    "+regularizer@model.regularizers.lecam=lecam",
    "model.regularizers.lecam.start_kimg=0.1",
    "+model.schedules.generator={_target_: gan_lab.schedules.Linear, start_kimg: 0.1, end_kimg: 1, end_factor: 0.1}",
]
PLAIN = ["model=dcgan", "model.latent_dim=8"]


def train(folder: Path, *overrides: str) -> int:
    """`python -m gan_lab.train` of this checkout, in `folder`."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "GAN_LAB_CACHE": "cache",
    }
    command = [sys.executable, "-m", "gan_lab.train", *RUN, *overrides]
    return subprocess.run(command, cwd=folder, env=environment).returncode


def write_runs(target: Path) -> None:
    """Two finished runs that differ in their seed; one that was killed after its first checkpoint, and its end."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for seed in (0, 1):
            assert train(folder, *PLAIN, f"seed={seed}", "total_kimg=0.64") == 0
        kill = "+callbacks.kill={_target_: killing.KillAt, images: 448}"
        assert train(folder, *RICH, "total_kimg=0.64", kill, "run_dir=broken") != 0
        assert train(folder, *RICH, "total_kimg=0.64", "run_dir=unbroken") == 0
        for name in ("runs", "broken", "unbroken"):
            (folder / name).rename(target / name)
    for path in [*target.rglob("*.png"), *target.rglob("*.lock"), *target.rglob("train.log")]:
        path.unlink()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    (target / "commit.txt").write_text(commit.stdout)


def main(parts: list[str]) -> None:
    torch.set_num_threads(1)
    GOLDEN.mkdir(exist_ok=True)
    if "weights" in parts:
        found = {}
        for name, overrides in trainings().items():
            with tempfile.TemporaryDirectory() as folder:
                found[name] = final_weights(overrides, Path(folder))
        (GOLDEN / "weights.json").write_text(json.dumps(found, indent=1) + "\n")
    if "names" in parts:  # names_by_place.json stays: those of before, when the places of data and weights counted
        (GOLDEN / "names.json").write_text(json.dumps(run_names(), indent=1) + "\n")
    if "runs" in parts:
        (GOLDEN / "runs").mkdir()
        write_runs(GOLDEN / "runs")


if __name__ == "__main__":
    main(sys.argv[1:])
