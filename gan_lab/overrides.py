"""The words of a command line as Hydra wants them: in its order, in its grammar, and of groups what groups can be."""

import re
import shlex
import textwrap
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Sweep
from hydra.errors import HydraException
from omegaconf import OmegaConf

WIDTH = 100  # of lines of choices
ALIKE = 0.8  # from which on further names are offered, see `difflib`
KEY = re.compile(r"(\+\+|\+|~)?[\w@./:$-]+")
# Groups whose choices have names of their own in a config, and how one is added there.
ADDED = {
    "augment": "+augment@model.augment.NAME=NAME",
    "regularizer": "+regularizer@model.regularizers.NAME=NAME",
    "metric": "+metric@evaluation.metrics.NAME=NAME",
    "extractor": "extractor@evaluation.extractor=NAME",
}


class CommandLine(NamedTuple):
    """What was typed after the command's name.

    Attributes:
        words: for Hydra: overrides first, then options.
        debug: what `debug=true` or `debug=false` asked for; None without either. Hydra never sees it, as `debug` is
            a group as well.
    """

    words: list[str]
    debug: bool | None


def read_words(words: Sequence[str], root: Path) -> CommandLine:
    """Bring the words of a command line into Hydra's form, or say how each is written.

    Args:
        words: as the shell has passed them on.
        root: the command's config file, whose defaults name its groups; the folders beside it are all that there are.
    Raises:
        ValueError: an option that is not known, a value that needs quotes, or what no group can be.
    """
    known, unknown = get_args_parser().parse_known_intermixed_args(list(words))
    if unknown:
        name, _, value = unknown[0].lstrip("-").replace("-", "_").partition("=")
        example = f"{name}={value or '...'}"
        raise ValueError(f"unknown option {unknown[0]}; settings are written as key=value without dashes: {example}")
    overrides, options = list(known.overrides), list(words)
    for word in overrides:
        options.remove(word)
    sweeping = bool(known.multirun) or any(word.upper() == "HYDRA.MODE=MULTIRUN" for word in overrides)
    groups = groups_of(root)
    parser, debug = OverridesParser.create(), None
    kept: list[str] = []
    for word in overrides:
        override = parsed(parser, word)
        if override.is_sweep_override() and not sweeping:
            raise ValueError(
                f"{word} has several values; --multirun runs each of them in turn. As one text: {quoted(word)}; "
                f"as a list: {listed(word)}"
            )
        key, chosen = override.key_or_group, override.value()
        if key == "debug" and override.package is None and isinstance(chosen, bool):
            debug = chosen
        elif chosen is None and key in groups and groups[key] is None and not override.is_delete():
            continue  # nothing is chosen there anyhow
        else:
            check_group(override, groups, root.parent)
            kept.append(word)
    return CommandLine([*kept, *options], debug)


def groups_of(root: Path) -> dict[str, Any]:
    """Group -> choice by default, of a command's config file."""
    config: Any = OmegaConf.load(root)
    entries = [entry for entry in config.defaults if not isinstance(entry, str)]
    pairs = [(str(key), value) for entry in entries for key, value in entry.items()]
    return {key: value for key, value in pairs if not key.startswith("override ")}


def parsed(parser: OverridesParser, word: str) -> Override:
    """One override.

    Raises:
        ValueError: the grammar does not allow it; the message has a form that it does allow.
    """
    try:
        return parser.parse_override(word)
    except HydraException as error:
        key, sign, value = word.partition("=")
        if not sign:
            raise ValueError(f"{word!r} is no setting: write key=value, without blanks around the =") from error
        if not KEY.fullmatch(key):
            raise ValueError(f"{key!r} in {word!r} is no key: write key=value") from error
        if value == "~" or value.startswith("~/"):  # no shell expands it there, and in quotes none would
            meant = quoted(f"{key}={Path(value).expanduser()}")
            raise ValueError(f"{word}: the shell does not expand ~ after {key}=; write {meant}") from error
        raise ValueError(f"{word}: the value has characters that need quotes; write {quoted(word)}") from error


def quoted(word: str) -> str:
    """The word with its value as one text: in quotes for Hydra, and these in quotes for a POSIX shell."""
    key, _, value = word.partition("=")
    value = re.sub(r'(\\*)"', r'\1\1\\"', value)  # backslashes count where a quote follows
    value = re.sub(r"(\\*)\Z", r"\1\1", value)
    value = value.replace("${", "\\${")
    return shlex.quote(f'{key}="{value}"')


def listed(word: str) -> str:
    """The word with its comma-separated values as a list, for a POSIX shell."""
    key, _, value = word.partition("=")
    return shlex.quote(f"{key}=[{value}]")


def check_group(override: Override, groups: dict[str, Any], folder: Path) -> None:
    """Refuse what Hydra would take for a choice and fail on without a name.

    Raises:
        ValueError: the key is a group that this command does not choose from, or the value is no name of a choice.
    """
    group, value = override.key_or_group, override.value()
    known = group in groups or (folder / group).is_dir()
    if not known or group.startswith("hydra/") or isinstance(value, dict) or override.is_delete():
        return
    choices = choices_of(folder, group)
    if group not in groups and override.package is None:
        if group == "debug":
            raise ValueError(f"debug must be true or false, got {value}")
        if group in ADDED:
            raise ValueError(f"{override.input_line}: write {with_name(ADDED[group], value)}")
        near = get_close_matches(group, groups, 1)
        hint = f"; do you mean {near[0]}?" if near else ""
        raise ValueError(f"{override.input_line}: this command has no group {group}{hint} (--help lists what there is)")
    chosen = value.list if isinstance(value, ChoiceSweep) else value if isinstance(value, list) else [value]
    if override.is_sweep_override() and not isinstance(value, ChoiceSweep):
        return
    if not all(isinstance(name, str) or hasattr(name, "with_quotes") for name in chosen) or "" in chosen:
        further = "true, false or " if group == "debug" else ""
        raise ValueError(
            f"{override.input_line}: {group} must be {further}one of {', '.join(choices) or 'the recipes of --help'}"
        )


def choices_of(folder: Path, group: str) -> list[str]:
    """The choices of a group, of the config files in a folder."""
    return sorted(path.stem for path in (folder / group).glob("*.yaml"))


def no_such_choice(group: str, choice: str, choices: Sequence[str]) -> str:
    """What a person is told who has chosen what is not there: those of nearly this name, then all."""
    near = get_close_matches(choice, choices, 1) or [name for name in choices if choice and choice in name][:1]
    near += [name for name in get_close_matches(choice, choices, 3, cutoff=ALIKE) if name not in near]
    *others, last = [f"{group}={name}" for name in near] or [""]
    meant = f"; do you mean {', '.join(others)}{' or ' if others else ''}{last}?" if near else ""
    lines = textwrap.wrap(", ".join(choices), WIDTH, break_on_hyphens=False)
    return "\n  ".join([f"there is no {group}={choice}{meant}", f"choices of {group}:", *lines])


def with_name(form: str, value: Any) -> str:
    """The form of an override with the name of what was asked for."""
    return form.replace("NAME", value) if isinstance(value, str) else form


def values_of(words: Sequence[str]) -> dict[str, Any]:
    """Key -> value of overrides that the grammar allows; a later one of the same key counts."""
    parser = OverridesParser.create()
    return {key_of(word): parser.parse_override(word).value() for word in words}


def is_sweep(value: Any) -> bool:
    """Whether a value of `values_of` stands for several, as a,b,c does."""
    return isinstance(value, Sweep)


def key_of(word: str) -> str:
    """What an override sets; `group@package` where it is a choice for a place of its own."""
    return word.partition("=")[0].lstrip("+~")
