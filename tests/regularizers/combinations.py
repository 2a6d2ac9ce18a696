"""Which regularizer goes with which model: every pair is tried, and docs/COMBINATIONS.md written.

Models train on small digits, fully connected where they allow it: so D has no batch normalization unless the model's
own network brings it.
"""

import json
import logging
import math
import re
from collections.abc import Iterator
from typing import Any

import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from shrunk import makes_pictures_of_pictures, partner, shrunk
from tiny import train_on

from gan_lab.config import register

PAGE = ROOT / "docs" / "COMBINATIONS.md"
COMMAND = "PYTHONPATH=tests python tests/regularizers/combinations.py"
MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
REGULARIZERS = sorted(path.stem for path in (ROOT / "conf" / "regularizer").glob("*.yaml"))
DATA: dict[str, Any] = {}
SOON = {"lecam": {"start_kimg": 0}}  # what begins later than the few steps here
BRIEF = {"n_critic": 1, "warmup_critic": 1, "warmup_iterations": 0, "ema_half_life_kimg": None}
INTRODUCTION = f"""# Which regularizers go with which models

Any `conf/regularizer/*.yaml` can be added to any model by `+regularizer@model.regularizers.<name>=<name>`, several
at once. Here each pair was trained for two iterations: `yes`, or the number of the reason, listed below, for which it
is refused before training. Where a model leaves the choice of its networks, these were fully connected ones; with a D
that has batch normalization, `gradient_penalty`, `dragan`, `r1` and `r2` are refused for every model. `stylegan2` has
`r1` and `path_length` of its own: there change `model.regularizers.r1.weight` and the like. This page is written by
`{COMMAND}`, and a test compares it with what happens.
"""


def column(model: str) -> dict[str, str | None]:
    """For each regularizer why it does not go with the model; None where it does."""
    config = config_of(model)
    return {name: refusal(config, name) for name in REGULARIZERS}


def config_of(model: str) -> DictConfig:
    """The model with fully connected networks, or with its own, or the usual, where it cannot be built with those."""
    register()
    chosen = [f"model={model}", *partner("model", model)]
    if makes_pictures_of_pictures("model", model):
        return composed([*chosen, *shrunk(chosen)])
    config = composed([f"model={model}", "network=mlp", "data.image_size=16"])
    for node in config.model.values():
        if OmegaConf.is_dict(node) and "width" in node:
            node.width = 4
    try:
        train_on(built(config), data_of(config), iterations=1)
    except Exception:  # whatever it is: this is not the network for it
        return composed([*chosen, *shrunk(chosen)])
    return config


def composed(overrides: list[str]) -> DictConfig:
    """A small, brief run."""
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        config = compose("train", overrides)
    config.data.batch_size = 8
    config.model.update({key: value for key, value in BRIEF.items() if key in config.model})
    return config


def data_of(config: DictConfig) -> Any:
    """The data set, read once for all who want it so."""
    settings = json.dumps(OmegaConf.to_container(config.data, resolve=True), sort_keys=True)
    if settings not in DATA:
        DATA[settings] = instantiate(config.data, _convert_="all")
    return DATA[settings]


def built(config: DictConfig, name: str | None = None) -> Any:
    """The module, with this regularizer."""
    config = config.copy()
    if name is not None:
        node = OmegaConf.load(ROOT / "conf" / "regularizer" / f"{name}.yaml")
        with open_dict(config):
            config.model.regularizers[name] = OmegaConf.merge(node, SOON.get(name, {}))
    torch.manual_seed(0)
    return instantiate(config.model, _convert_="all")


def refusal(config: DictConfig, name: str) -> str | None:
    """Train the pair for two iterations; the reason, if it is refused."""
    try:
        module = built(config, name)
        train_on(module, data_of(config), iterations=2)
    except Exception as error:
        reasons = [link for link in chain(error) if isinstance(link, ValueError)]
        if not reasons:
            raise
        return reason(str(reasons[-1]), name)
    records = module.take_records()
    assert any(key.startswith("reg/") for key in records), f"{name} took no part"
    assert all(math.isfinite(value) for value in records.values()), records
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__


def reason(message: str, name: str) -> str:
    """A message without what is particular to the regularizer or the network."""
    message = re.sub(rf"(model\.regularizers\.|regularizer )?\b{name}\b", "it", " ".join(message.split()), count=1)
    return re.sub(r"discriminator\.[\w.]+ is batch", "a layer of D is batch", message)


def page(columns: dict[str, dict[str, str | None]]) -> str:
    """The page of all columns."""
    names = sorted({name for cells in columns.values() for name in cells})
    reasons = list(dict.fromkeys(cells[name] for name in names for cells in columns.values() if cells[name]))
    lines = [f"| | {' | '.join(columns)} |", "| --- |" + " :-: |" * len(columns)]
    for name in names:
        cells = ["yes" if why[name] is None else str(1 + reasons.index(why[name])) for why in columns.values()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    listed = [f"{number}. {text}" for number, text in enumerate(reasons, start=1)]
    return "\n".join([INTRODUCTION, *lines, *(["", *listed] if listed else [])]) + "\n"


def read(text: str) -> dict[str, dict[str, str | None]]:
    """The columns of a page."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    reasons = dict(re.findall(r"^(\d+)\. (.*)$", text, flags=re.MULTILINE))
    models, columns = rows[0][1:], {}
    for index, model in enumerate(models, start=1):
        columns[model] = {row[0].strip("`"): reasons.get(row[index]) for row in rows[2:]}
    return columns


if __name__ == "__main__":
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    PAGE.write_text(page({model: column(model) for model in MODELS}))
