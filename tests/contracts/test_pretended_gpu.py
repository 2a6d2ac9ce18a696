"""Every model trains, is scored, saved and resumed on a pretended GPU as on the CPU, its loop never waits for it, and
sends no more than is stated here; with its network, ADA, and all regularizers that go with it.

See `pretend_gpu.py` for what it can tell and what not.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pretend_gpu
import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from ranks import process_apart
from regularizers.combinations import PAGE, read
from shrunk import makes_pictures_of_pictures, partner, shrunk

from gan_lab import train
from gan_lab.augment.ada import GROUPS
from gan_lab.config import register
from gan_lab.models.base import GenerativeModule
from gan_lab.runs.checkpoint import newest_sound
from gan_lab.sampling import CodedInputs, Draws, LabelledInputs, LatentInputs

pytestmark = pytest.mark.skipif(
    not pretend_gpu.SUPPORTED,
    reason=f"the pretended GPU stands on private parts of torch {', '.join(pretend_gpu.RELEASES)}*, and this is "
    f"{torch.__version__}: see RELEASES in tests/pretend_gpu.py",
)

MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
GOES_WITH = read(PAGE.read_text())  # model -> regularizer -> why it does not
OFFSET = [f"model.{network}.normalization=instance" for network in ("generator", "discriminator")]  # no idle biases
SPECIAL = {"wgan": ["model.warmup_critic=3", "model.warmup_iterations=1"]}
SPECIAL |= {model: [*OFFSET] for model in ("cut", "fastcut", "cyclegan")}
for model in ("cut", "fastcut"):  # so sharp a contrast makes much of rounding
    SPECIAL[model] += ["model.temperature=1", "+model.optimizers.generator.eps=1e-3"]
LACKING = {"ssgan": ("blit", "geometry")}  # groups of ADA that a model refuses
BROKEN_AT, ITERATIONS, BATCH = 2, 3, 8
RUN = [
    f"data.batch_size={BATCH}",
    "trainer=cpu",
    "callbacks.curves=null",
    "model.ema_half_life_kimg=0.05",
    "logger={}",
]
SCORED = [
    "evaluation.num_samples=20",
    "evaluation.block_size=10",
    "evaluation.metrics.kid.subset_size=10",
    "callbacks.health.images=16",
    "callbacks.pictures.rows=2",
    "callbacks.pictures.columns=4",
]
UNSCORED = ["evaluation=none", "callbacks.health=null", "callbacks.pictures=null"]

# The copies to the device that a step may take, by group of networks: latents, and where there are any labels, numbers
# for what a paper mixes, moves or reconstructs. Large noise is made where it is wanted.
LATENTS = {"discriminator": 1, "generator": 1}
AND_LABELS = {"discriminator": 2, "generator": 2}
OWN = {
    **dict.fromkeys(("acgan", "biggan", "cgan", "contragan", "projection_gan", "reacgan", "sagan"), AND_LABELS),
    **{model: {"generator": 1} for model in ("cut", "fastcut")},  # places
    "cyclegan": {"discriminator": 4},  # of each pool, which fakes it shows and which it keeps
    "comodgan": {"discriminator": 4, "generator": 4},  # latents, who is mixed and where, with which, what is dropped
    "fastgan": {"discriminator": 2, "generator": 1},  # latents, margins
    "logan": {"discriminator": 2, "generator": 2},
    "stylegan2": {"discriminator": 3, "generator": 5},  # latents, who is mixed and where, with which; again for paths
    "vae": {"autoencoder": 1},
    "vaegan": {"discriminator": 2, "encoder": 1, "generator": 2},
    "wgan_gp": {"discriminator": 2, "generator": 1},
}
# Those of a regularizer in each step of its group; with labels, zCR sends them too.
OF_REGULARIZERS = {
    "discriminator": {"bcr": 2, "cr": 1, "gradient_penalty": 1, "zcr_discriminator": 2},
    "generator": {"zcr_generator": 2},
}
MATRICES = 3  # of ADA's filters, for each size of picture, once
SIZES = {"fastgan": 2}  # of pictures that D is shown
STARTS = 2  # of a run that is broken once
OF_A_PASS = 2  # order and flips of the reals


def everything(model: str) -> list[str]:
    """The overrides of a model with its network, ADA, and all regularizers that go with it."""
    chosen = [f"model={model}", *partner("model", model), *SPECIAL.get(model, [])]
    with initialize_config_dir(version_base="1.3", config_dir=register()):
        config = compose("train", chosen).model
    if OmegaConf.select(config, "discriminator.normalization") == "batch":
        chosen.append("model.discriminator.normalization=none")  # penalties on D's slope refuse it
    if config.get("n_critic", 1) > 2:
        chosen.append("model.n_critic=2")
    for name, why in GOES_WITH[model].items():
        if why is None and name not in config.regularizers:
            chosen.append(f"+regularizer@model.regularizers.{name}={name}")
    if GOES_WITH[model]["lecam"] is None:
        chosen.append("model.regularizers.lecam.start_kimg=0")
    kind = get_class(config._target_)
    sees_pictures = any(config.get("discriminator", {}).get(key) for key in ("condition_shape", "masked"))
    if "discriminator" in kind.groups and (sees_pictures or not makes_pictures_of_pictures("model", model)):
        factors = ", ".join(f"{group}: {int(group not in LACKING.get(model, ()))}" for group in GROUPS)
        chosen += ["+augment@model.augment.ada=ada", "model.augment.ada.p=0.5"]
        chosen.append(f"model.augment.ada.groups={{{factors}}}")
        chosen += [f"model.augment.{name}=null" for name in config.get("augment") or {}]  # its own, tried by itself
        if kind.boundary is None:
            chosen.append("model.augment.ada.target=null")
    return chosen


# In a process of its own --------------------------------------------------------------------------------------------


@cache
def composed(*overrides: str) -> DictConfig:
    """The config of the trainings with these overrides, but for their folders."""
    small = [option for option in shrunk(list(overrides)) if not option.startswith("data.batch_size")]
    witness = "+callbacks.witness={_target_: witness.Witness, folder: '${run_dir}'}"
    with initialize_config_dir(version_base="1.3", config_dir=register()):
        return compose("train", [*small, *RUN, *overrides, witness])


def fit(overrides: list[str], folder: Path, iterations: int, *, on_gpu: bool) -> None:
    """The train command's work."""
    folder.mkdir(exist_ok=True)
    config = composed(*overrides).copy()
    config.run_dir = str(folder)
    settings: Any = OmegaConf.to_container(config, resolve=True)
    steps = iterations * settings["model"].get("n_critic", 1)
    settings["total_kimg"] = settings["callbacks"]["stop"]["total_kimg"] = steps * BATCH / 1000
    train.check(settings)
    if on_gpu:
        settings["trainer"]["_target_"] = "pretend_gpu.trainer_on_gpu"
    train.fit(settings, folder, {"id": "test"}, newest_sound(folder / "checkpoints"))


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How many steps each group takes inside, and how often D is shown something ("shown")."""
    seen: Counter[str] = Counter()
    count, shown = GenerativeModule._count, GenerativeModule.augmented_together

    def counting(module: Any, group: str) -> None:
        seen[group] += 1
        count(module, group)

    def showing(module: Any, *given: Any, **named: Any) -> Any:
        seen["shown"] += 1
        return shown(module, *given, **named)

    with (
        patch.object(GenerativeModule, "_count", counting),
        patch.object(GenerativeModule, "augmented_together", showing),
    ):
        yield seen


def on_both(overrides: list[str], place: str) -> dict[str, Any]:
    """Train on the CPU, and on the pretended GPU with an end and a resumption in between: what came out, and how."""
    pretend_gpu.register()  # before the first backward pass, which asks how many devices there are
    folder = Path(place)
    fit(overrides, folder / "cpu", ITERATIONS, on_gpu=False)
    with counted() as seen, pretend_gpu.Pretended() as gpu:
        for iterations in (BROKEN_AT, ITERATIONS):
            fit(overrides, folder / "gpu", iterations, on_gpu=True)
    ends = {name: torch.load(folder / name / "witness0.pt") for name in ("cpu", "gpu")}
    lines = {name: (folder / name / "scores.jsonl").read_text().splitlines() for name in ("cpu", "gpu")}
    scores = {name: [json.loads(line) for line in of] for name, of in lines.items()}
    return {"ends": ends, "scores": scores, "waits": gpu.waits, "copies": gpu.copies, "steps": seen}


def drawn(on_cpu: bool) -> dict[str, Any]:
    """Draws of each kind, for a device or for the CPU."""
    kinds = {
        "normal": lambda draws: draws.normal("a", 3, (2,)),
        "uniform": lambda draws: draws.uniform("a", 3, (2,)),
        "integers": lambda draws: draws.integers("a", 3, 10),
        "blocks": lambda draws: draws.normal_by_blocks("a", 20, (2,)),
        "uniform latents": lambda draws: LatentInputs(2, "uniform").draw(draws, 3)["latents"],
        "truncated latents": lambda draws: LatentInputs(2, "normal").truncated(1.0).draw(draws, 3)["latents"],
        "codes": lambda draws: CodedInputs(6, "normal", [3], 2).draw(draws, 3)["latents"],
        "labels": lambda draws: counted_labels().draw(draws, 3)["labels"],
        "given labels": lambda draws: counted_labels().draw(draws, 3, torch.tensor([1, 2, 0]))["labels"],
    }
    found = {}
    for name, kind in kinds.items():
        with pretend_gpu.Pretended() as gpu:
            device = torch.device("cpu") if on_cpu else pretend_gpu.GPU
            with gpu.counting():
                made = kind(Draws(0, device=device))
            found[name] = (str(made.device), made.cpu(), dict(gpu.copies), dict(gpu.waits))
    return found


def counted_labels() -> LabelledInputs:
    inputs = LabelledInputs(2, "normal", 3, "data")
    inputs.learn([0, 0, 1, 2])
    return inputs


def on_gpu(overrides: list[str], place: str) -> dict[str, Any]:
    """One iteration on the pretended GPU."""
    with pretend_gpu.Pretended() as gpu:
        fit(overrides, Path(place), 1, on_gpu=True)
    return {"waits": gpu.waits, "copies": gpu.copies}


# In the tests' process ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere(forkserver, tmp_path_factory):
    """Runs functions of this file where a device may be registered for good."""
    with process_apart(tmp_path_factory.mktemp("pretended"), forkserver) as run:
        yield run


def budget(model: str, overrides: list[str], steps: Counter[str]) -> dict[str, int]:
    """Folder of gan_lab -> copies that its lines may take in so many steps."""
    labels = int(OWN.get(model) is AND_LABELS or model == "r3gan_conditional")
    of_regularizers = 0
    for group, terms in OF_REGULARIZERS.items():
        for name, copies in terms.items():
            if f"+regularizer@model.regularizers.{name}={name}" in overrides:
                of_regularizers += steps[group] * (copies + labels * name.startswith("zcr"))
    kind = get_class(OmegaConf.load(ROOT / "conf" / "model" / f"{model}.yaml")._target_)
    sets = 2 if any(override.endswith("_unpaired") for override in overrides) else 1
    masks = any(override.startswith("condition=masked") for override in overrides) * (steps["discriminator"] + STARTS)
    return {
        "data": STARTS * OF_A_PASS * sets + masks,  # a start is the beginning of a pass, and reads a batch ahead
        "models": sum(steps[group] * copies for group, copies in OWN.get(model, LATENTS).items()),
        "augment": MATRICES * SIZES.get(model, 1) + steps["shown"] * (len(GROUPS) - len(LACKING.get(model, ()))),
        "regularizers": of_regularizers * max(1, len(kind.directions)),  # with a discriminator for each
    }


def assert_equal(*, cpu: dict[str, Any], gpu: dict[str, Any]) -> None:
    """Both ended with the same, to rounding: the second derivative of a convolution adds in another order.

    Adam turns a gradient that is zero but for rounding into a whole step, so one weight of 10,000 may be apart.
    """
    assert cpu["state"].keys() == gpu["state"].keys()
    weights, apart = 0, []
    for name, value in cpu["state"].items():
        close = torch.isclose(gpu["state"][name], value, rtol=1e-5, atol=1e-6)
        if name in cpu["parameters"] or name.startswith("averages."):
            weights += close.numel()
            apart += [name] * int((~close).sum())
        else:
            assert close.all(), name
    assert len(apart) <= weights / 10_000, Counter(apart)


@pytest.mark.parametrize("model", MODELS)
def test_as_on_the_cpu(model, elsewhere, tmp_path):
    overrides = everything(model)
    found = elsewhere(on_both, [*overrides, *SCORED], str(tmp_path))
    assert found["waits"] == {}
    spent: Counter[str] = Counter()
    for place, copies in found["copies"].items():
        spent[place.partition("/")[0]] += copies
    allowed = budget(model, overrides, found["steps"])
    assert spent.keys() <= allowed.keys(), found["copies"]
    assert all(copies <= allowed[folder] for folder, copies in spent.items()), (allowed, found["copies"])
    assert_equal(**found["ends"])
    broken, resumed = found["scores"]["gpu"]
    (unbroken,) = found["scores"]["cpu"]
    assert broken["images_seen"] < resumed["images_seen"] == unbroken["images_seen"]
    assert resumed["protocols"] == unbroken["protocols"]
    assert resumed["scores"] == pytest.approx(unbroken["scores"], rel=1e-3)


def test_draws_are_made_where_they_should_be(elsewhere):
    """Small ones on the CPU, with the same bits for every device, sent in one copy; large ones over there."""
    here, there = elsewhere(drawn, True), elsewhere(drawn, False)
    for name, (device, made, copies, waits) in there.items():
        assert device == "gpu:0", name
        assert here[name][0] == "cpu"
        assert torch.equal(made, here[name][1]), name
        assert sum(copies.values()) == (0 if name == "blocks" else 1 + (name in ("labels", "given labels"))), name
        assert waits == {}, name
        assert here[name][2:] == ({}, {})


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=dcgan", "data.resident=false", "data.workers=0"],
        ["model=wgan_gp", "network=mlp", "data=ring", "model.n_critic=1"],
        ["model=unrolled_gan", "model.optimizers.discriminator.fused=false"],  # which counts its steps on the CPU
        ["model=hinge_gan", "+augment@model.augment.noise=instance_noise", "+augment@model.augment.apa=apa"],
        ["model=hinge_gan", "+augment@model.augment.diff=diffaugment", "model.top_k=0.5"],
        [
            "model=wgan_gp",
            "data.micro_batch_size=4",
            "+model.clip_norm={generator: 1.0}",
            "model.freeze=[generator.stem]",
        ],
    ],
    ids=[
        "from_disk",
        "points",
        "steps_on_the_cpu",
        "apa_and_noise",
        "diffaugment_and_top_k",
        "micro_batches_and_clipping",
    ],
)
def test_other_settings_do_not_wait(overrides, elsewhere, tmp_path):
    assert elsewhere(on_gpu, [*overrides, *UNSCORED], str(tmp_path))["waits"] == {}


def test_the_table_names_models_that_are_there():
    assert OWN.keys() <= set(MODELS)
    assert {name for terms in OF_REGULARIZERS.values() for name in terms} <= GOES_WITH["dcgan"].keys()


MISTAKES = {
    "ReadsAValue": "_local_scalar_dense",
    "AsksATensor": "_local_scalar_dense",
    "ListsValues": "a copy to the CPU",
    "BringsHome": "a copy to the CPU",
    "IndexesByMask": "a mask as an index",
    "WritesByMask": "a mask as an index",
    "CountsPlaces": "nonzero",
    "SendsOrdinaryMemory": "a copy of memory that is not page-locked",
    "MakesOfNumbers": "a copy of memory that is not page-locked",
    "IndexesFromTheCPU": "a copy of memory that is not page-locked",
}
PLAIN = ["model=dcgan", *UNSCORED]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wait_is_found(mistake, elsewhere, tmp_path):
    found = elsewhere(on_gpu, [*PLAIN, f"model._target_=mistakes.{mistake}"], str(tmp_path))
    assert {(what, place.partition(":")[0]) for what, place in found["waits"]} == {
        (MISTAKES[mistake], "tests/mistakes.py")
    }


def test_a_mixture_of_devices_is_refused(elsewhere, tmp_path):
    with pytest.raises(AssertionError, match=r"same device, but found at least two devices, gpu:0 and cpu.*mistakes"):
        elsewhere(on_gpu, [*PLAIN, "model._target_=mistakes.MixesDevices"], str(tmp_path))


def test_copies_are_counted_where_they_are_asked_for(elsewhere, tmp_path):
    found = elsewhere(on_gpu, [*PLAIN, "model._target_=mistakes.CopiesTooOften"], str(tmp_path))
    counts = {place.partition(":")[0]: copies for place, copies in found["copies"].items()}
    assert counts == {"data/stream.py": OF_A_PASS // 2, "models/adversarial.py": 2, "tests/mistakes.py": 8}
    assert found["waits"] == {}
