"""The settings that a diagnosis is for: composed as a training command composes them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab.cli import message
from gan_lab.config import refuse_strays, register, shipped
from gan_lab.diagnosis.findings import Finding, SettingsError, one_line


class Settings:
    """The training config that overrides make, composed when first asked for.

    Args:
        overrides: as for `gan_lab.train`: `group=choice` and `key=value`.
    """

    def __init__(self, overrides: Sequence[str] = ()) -> None:
        self.overrides = tuple(overrides)

    def names(self, *keys: str) -> bool:
        """Whether the command line gives one of these keys or groups."""
        return any(override.partition("=")[0].lstrip("+") in keys for override in self.overrides)

    @cached_property
    def for_any_data(self) -> list[str]:
        """Overrides of `data.` without a choice of data: for whichever sets have these keys, if the default has not."""
        if self.names("data", "experiment"):
            return []
        return [override for override in self.overrides if override.startswith("data.")]

    @cached_property
    def config(self) -> DictConfig:
        """The config, with Hydra's own node; raises SettingsError."""
        return compose([override for override in self.overrides if override not in self.for_any_data])

    @property
    def chosen(self) -> dict[str, str]:
        """The choice of each group."""
        return dict(self.config.hydra.runtime.choices)

    def choices(self, group: str, place: str) -> Iterator[tuple[str, bool, Any]]:
        """Every choice of a group: (name, whether it is the one of these settings, its node or its SettingsError)."""
        paths = [override for override in self.overrides if override.startswith("paths")]
        for file in choice_files(group):
            chosen = file.stem == self.chosen.get(group)
            known = {f"{place}.{key!s}" for key in OmegaConf.load(file)}
            own = [override for override in self.for_any_data if override.partition("=")[0] in known]
            try:
                config = self.config if chosen and not own else compose([f"{group}={file.stem}", *paths, *own])
                yield file.stem, chosen, OmegaConf.select(config, place)
            except SettingsError as error:
                yield file.stem, chosen, error


def choice_files(group: str) -> list[Path]:
    """The files of a group, such as `data` or `extractor@evaluation.extractor`."""
    return sorted((shipped("conf") / group.partition("@")[0]).glob("*.yaml"))


def compose(overrides: Sequence[str]) -> DictConfig:
    """The training config, with Hydra's own node.

    Raises:
        SettingsError: it does not compose.
    """
    import hydra

    try:
        with hydra.initialize_config_dir(register(), version_base="1.3"):
            config = hydra.compose("train", [*overrides], return_hydra_config=True)
            refuse_strays(without_hydra(config))
            return config
    except Exception as error:
        raise SettingsError(one_line(message(error).partition("\nConfig search path")[0])) from error


def without_hydra(config: DictConfig) -> DictConfig:
    """The config without Hydra's node, which no dataclass of ours has."""
    config = config.copy()
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return config


def composition(settings: Settings) -> Iterator[Finding]:
    """Whether the settings compose."""
    chosen = settings.chosen
    text = ", ".join(f"{group}={chosen[group]}" for group in ("model", "network", "data", "trainer"))
    yield Finding("settings", "good", f"compose: {text}")
