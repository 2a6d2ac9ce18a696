"""The shape of the root configs, and where config files and recipes are looked for.

The dataclasses have no values: those stand in `conf/`. They exist so that a stray or misspelt key is refused.
"""

import os
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.plugin import Plugin
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, AnyNode, DictConfig, OmegaConf, StringNode

from gan_lab.sweeps.local_launcher import LocalLauncher
from gan_lab.sweeps.optuna_sweeper import OptunaSweeper

PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """A folder of settings: inside the installed package, or beside it in a checkout."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


@dataclass
class Paths:
    """Where things lie; relative ones belong to the current folder."""

    data_dir: str = MISSING
    runs_dir: str = MISSING
    cache_dir: str = MISSING
    weights_dir: str = MISSING


@dataclass
class Stop:
    """When training ends before `total_kimg`: after `patience_kimg` without a better score; null for never."""

    patience_kimg: float | None = MISSING


@dataclass
class Wandb:
    """Weights & Biases, for `logger=wandb`. Nothing leaves the machine unless mode is online."""

    mode: str = MISSING
    project: str = MISSING
    entity: str | None = MISSING
    group: str | None = MISSING


@dataclass
class Sweep:
    """Where the workers of one search (`hydra/sweeper=optuna`) meet: a file or a database's URL; null for a file."""

    storage: str | None = MISSING


@dataclass
class TrainConfig:
    """Root of `python -m gan_lab.train`."""

    seed: int = MISSING
    total_kimg: float = MISSING
    data: Any = MISSING
    model: Any = MISSING
    evaluation: Any = MISSING
    trainer: Any = MISSING
    callbacks: dict[str, Any] = MISSING
    logger: dict[str, Any] = MISSING
    stop: Stop = MISSING
    wandb: Wandb = MISSING
    sweep: Sweep = MISSING
    paths: Paths = MISSING
    run_dir: str | None = MISSING
    report: str | None = MISSING
    init_from: str | None = MISSING
    on_nonfinite: str = MISSING
    overwrite: bool = MISSING
    channels_last: bool = MISSING
    threads: int | None = MISSING
    debug: bool = MISSING


@dataclass
class SampleConfig:
    """Root of `python -m gan_lab.sample`."""

    checkpoint: str = MISSING
    out: str = MISSING
    count: int = MISSING
    format: str = MISSING
    seed: int = MISSING
    classes: list[int] | None = MISSING
    truncation: float | None = MISSING
    standing_statistics: Any = MISSING
    pictures: list[str] = MISSING
    sliders: Any = MISSING
    sliders_file: str | None = MISSING
    weights: str = MISSING
    device: str = MISSING
    overwrite: bool = MISSING
    trust: list[str] = MISSING
    debug: bool = MISSING


@dataclass
class WalkConfig:
    """Root of `python -m gan_lab.walk`."""

    checkpoint: str = MISSING
    out: str = MISSING
    seed: int = MISSING
    points: int = MISSING
    through: list[int] | None = MISSING
    loop: bool = MISSING
    frames: int = MISSING
    fps: float = MISSING
    formats: list[str] = MISSING
    enlarge: bool = MISSING
    classes: list[int] | None = MISSING
    truncation: float | None = MISSING
    sliders: Any = MISSING
    sliders_file: str | None = MISSING
    weights: str = MISSING
    device: str = MISSING
    overwrite: bool = MISSING
    trust: list[str] = MISSING
    debug: bool = MISSING


@dataclass
class DirectionsConfig:
    """Root of `python -m gan_lab.directions`."""

    checkpoint: str = MISSING
    out: str = MISSING
    method: str = MISSING
    count: int = MISSING
    plus: list[int] | None = MISSING
    minus: list[int] | None = MISSING
    layers: list[int] | None = MISSING
    samples: int = MISSING
    names: Any = MISSING
    file: str | None = MISSING
    strengths: list[float] = MISSING
    at: int = MISSING
    seed: int = MISSING
    classes: list[int] | None = MISSING
    truncation: float | None = MISSING
    weights: str = MISSING
    device: str = MISSING
    overwrite: bool = MISSING
    trust: list[str] = MISSING
    debug: bool = MISSING


@dataclass
class ProjectConfig:
    """Root of `python -m gan_lab.project`."""

    checkpoint: str = MISSING
    sources: str = MISSING
    out: str = MISSING
    space: str | None = MISSING
    framing: str = MISSING
    steps: int = MISSING
    rate: float = MISSING
    noise: float = MISSING
    perceptual: Any = MISSING
    perceptual_weight: float = MISSING
    classes: list[int] | None = MISSING
    seed: int = MISSING
    weights: str = MISSING
    device: str = MISSING
    overwrite: bool = MISSING
    trust: list[str] = MISSING
    paths: Paths = MISSING
    debug: bool = MISSING


@dataclass
class TranslateConfig:
    """Root of `python -m gan_lab.translate`."""

    checkpoint: str = MISSING
    sources: str = MISSING
    out: str = MISSING
    direction: str | None = MISSING
    masks: str | None = MISSING
    fill: int | None = MISSING
    size: str = MISSING
    seed: int = MISSING
    tile: str = MISSING
    tile_size: int = MISSING
    max_megapixels: float = MISSING
    weights: str = MISSING
    device: str = MISSING
    overwrite: bool = MISSING
    trust: list[str] = MISSING
    debug: bool = MISSING


@dataclass
class EvaluateConfig:
    """Root of `python -m gan_lab.evaluate`."""

    checkpoint: str | None = MISSING
    images: str | None = MISSING
    against: str | None = MISSING
    run: str | None = MISSING
    watch: str | None = MISSING
    data: Any = MISSING
    evaluation: Any = MISSING
    paths: Paths = MISSING
    out: str | None = MISSING
    num_samples: int | None = MISSING
    seed: int | None = MISSING
    weights: str = MISSING
    direction: str | None = MISSING
    truncation: float | None = MISSING
    standing_statistics: Any = MISSING
    dropout: bool = MISSING
    image_size: Any = MISSING
    data_root: str | None = MISSING
    extractor_weights: str | None = MISSING
    device: str = MISSING
    devices: Any = MISSING
    threads: int | None = MISSING
    poll_seconds: float = MISSING
    trust: list[str] = MISSING
    debug: bool = MISSING


@dataclass
class ExportConfig:
    """Root of `python -m gan_lab.export`."""

    checkpoint: str = MISSING
    out: str = MISSING
    weights: str = MISSING
    direction: str | None = MISSING
    onnx: bool = MISSING
    page: bool = MISSING
    runtime: str | None = MISSING
    tolerance: float = MISSING
    trust: list[str] = MISSING
    paths: Paths = MISSING
    debug: bool = MISSING


@dataclass
class ShareConfig:
    """Root of `python -m gan_lab.share`."""

    checkpoint: str = MISSING
    out: str = MISSING
    licence: str | None = MISSING
    title: str | None = MISSING
    seed: int = MISSING
    neighbours: bool = MISSING
    page: bool = MISSING
    runtime: str | None = MISSING
    tolerance: float = MISSING
    paths: Paths = MISSING
    hub: str | None = MISSING
    hub_private: bool = MISSING
    direction: str | None = MISSING
    device: str = MISSING
    overwrite: bool = MISSING
    trust: list[str] = MISSING
    debug: bool = MISSING


@dataclass
class DemoConfig:
    """Root of `python -m gan_lab.demo`."""

    checkpoint: str = MISSING
    port: int = MISSING
    count: int = MISSING
    sliders_file: str | None = MISSING
    neighbours: bool = MISSING
    data_root: str | None = MISSING
    direction: str | None = MISSING
    fill: int | None = MISSING
    tile_size: int = MISSING
    max_megapixels: float = MISSING
    weights: str = MISSING
    device: str = MISSING
    trust: list[str] = MISSING
    debug: bool = MISSING


@dataclass
class FitExtractorConfig:
    """Root of `python -m gan_lab.fit_extractor`."""

    seed: int = MISSING
    data: Any = MISSING
    evaluation: Any = MISSING  # the data sets' configs name their extractor there; not used here
    paths: Paths = MISSING
    out: str = MISSING
    name: str | None = MISSING
    test_root: str | None = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING
    lr: float = MISSING
    shift: float = MISSING
    device: str = MISSING
    threads: int | None = MISSING
    overwrite: bool = MISSING
    debug: bool = MISSING


@dataclass
class ImportWeightsConfig:
    """Root of `python -m gan_lab.import_weights`."""

    file: str = MISSING
    discriminator: str | None = MISSING
    licence: str | None = MISSING
    noise: str = MISSING
    out: str = MISSING
    overwrite: bool = MISSING
    debug: bool = MISSING


@dataclass
class LookData:
    """Whose pictures, and how training would see them; as `gan_lab.data.folder.Folder`."""

    root: str = MISSING
    image_size: int | None = MISSING
    channels: int = MISSING
    center_crop: bool = MISSING


@dataclass
class LookConfig:
    """Root of `python -m gan_lab.look`."""

    data: LookData = MISSING
    paths: Paths = MISSING
    page: str | None = MISSING
    json: str | None = MISSING
    classes: bool = MISSING
    time: bool = MISSING
    debug: bool = MISSING


ROOTS = {
    "train": TrainConfig,
    "sample": SampleConfig,
    "walk": WalkConfig,
    "directions": DirectionsConfig,
    "project": ProjectConfig,
    "translate": TranslateConfig,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
    "share": ShareConfig,
    "demo": DemoConfig,
    "fit_extractor": FitExtractorConfig,
    "import_weights": ImportWeightsConfig,
    "look": LookConfig,
}


class Recipes(FileConfigSource):
    """`experiments/<name>.yaml` as the config group `experiment`."""

    @staticmethod
    def scheme() -> str:
        return "recipes"

    def available(self) -> bool:
        return os.path.isdir(self.path)

    def load_config(self, config_path: str) -> Any:
        name = config_path.removeprefix("experiment/")
        result = super().load_config(name)
        refuse_choices_as_keys(result.config, Path(self.path) / f"{name.removesuffix('.yaml')}.yaml")
        return result

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in ("", "experiment")

    def is_config(self, config_path: str) -> bool:
        return config_path.startswith("experiment/") and super().is_config(config_path.removeprefix("experiment/"))

    def list(self, config_path: str, results_filter: Any) -> list[str]:
        if config_path.strip("/") == "experiment":
            return sorted(path.stem for path in Path(self.path).glob("*.yaml"))
        return ["experiment"]


def refuse_empty(config: DictConfig) -> None:
    """No key of a root means anything by an empty text: as a path, it would be the current folder.

    Raises:
        ValueError: one is empty.
    """
    for key in map(str, config):
        node = config._get_node(key)
        if isinstance(node, StringNode) and node._value() == "":
            raise ValueError(f"{key} is empty; give it a value, or leave it out")


def refuse_choices_as_keys(recipe: Any, file: Path) -> None:
    """Refuse `model: wgan_gp` in a recipe, which would replace all of the model's settings by a name.

    Raises:
        ValueError: a group is given a name, where its settings belong.
    """
    if not isinstance(recipe, DictConfig):
        return
    for key in map(str, recipe):
        value = None if OmegaConf.is_missing(recipe, key) else recipe._get_node(key)
        value = value._value() if isinstance(value, AnyNode) else None
        if isinstance(value, str) and not OmegaConf.is_interpolation(recipe, key) and (shipped("conf") / key).is_dir():
            raise ValueError(
                f"{file}: {key}: {value} gives a name where the settings of {key} belong; a choice is made in the "
                f"recipe's defaults: [{{override /{key}: {value}}}]"
            )


class RecipeFolders(SearchPathPlugin):
    """Looks for recipes in `./experiments` first, then among the shipped ones."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        own, ours = Path.cwd() / "experiments", shipped("experiments")
        for folder in [own] if own == ours else [own, ours]:
            if folder.is_dir():
                search_path.append(provider="gan_lab", path=f"recipes://{folder}")


def refuse_strays(config: DictConfig, place: str = "") -> None:
    """Hold a composed config against its dataclasses: Hydra lets `+key=value` in without asking them.

    Raises:
        ValueError: a key that no dataclass has.
    """
    kind = OmegaConf.get_type(config)
    known = [field.name for field in fields(kind)] if is_dataclass(kind) else [str(key) for key in config]
    for key in config:
        if key not in known:
            close = get_close_matches(str(key), known, 1)
            raise ValueError(f"unknown key {place}{key!s}" + (f"; do you mean {place}{close[0]}?" if close else ""))
        node = config._get_node(key)
        if isinstance(node, DictConfig) and is_dataclass(OmegaConf.get_type(node)):
            refuse_strays(node, f"{place}{key}.")


def turned(network: DictConfig, sample_shape: Any, condition_shape: Any) -> DictConfig:
    """The settings of a network for the other way of a translation: its shapes are these."""
    settings = dict(OmegaConf.to_container(network, resolve=True))  # type: ignore[arg-type]
    settings["sample_shape"] = list(sample_shape)
    if settings.get("condition_shape") is not None:
        settings["condition_shape"] = list(condition_shape)
    return OmegaConf.create(settings)


def register() -> str:
    """Make the roots and recipes known to Hydra; returns the absolute folder of the config files."""
    OmegaConf.register_new_resolver("quotient", lambda whole, part: int(whole) // int(part), replace=True)
    OmegaConf.register_new_resolver("first_of", lambda one, other: other if one is None else one, replace=True)
    OmegaConf.register_new_resolver("turned", turned, replace=True)
    store = ConfigStore.instance()
    for name, root in ROOTS.items():
        store.store(name=f"{name}_schema", node=root)
    Plugins.instance().register(Recipes)
    Plugins.instance().register(RecipeFolders)
    register_for_sweeps(LocalLauncher)
    register_for_sweeps(OptunaSweeper)
    return str(shipped("conf"))


def register_for_sweeps(plugin: type[Plugin]) -> None:
    """Make a launcher or sweeper known as `hydra_plugins.<its module>.<its name>`: Hydra makes no others."""
    Plugins.instance().class_name_to_class[f"hydra_plugins.{plugin.__module__}.{plugin.__name__}"] = plugin
