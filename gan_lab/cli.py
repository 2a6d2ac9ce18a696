"""What the commands share: composing a config, saying what went wrong in one message, and --help."""

import os
import re
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.errors import MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from gan_lab.config import refuse_empty, refuse_strays, register, shipped
from gan_lab.distributed.topology import MEETING_POINT, note_failure, rank_among_others
from gan_lab.overrides import no_such_choice, read_words
from gan_lab.terminal import prepare_process

OURS = "GAN_LAB_FULL_ERROR_IS_OURS"


def run_command(
    name: str, task: Callable[[DictConfig], Any], completed: Callable[[list[str]], list[str]] | None = None
) -> None:
    """Run `task` with the config that `conf/<name>.yaml` and the command line make; exit code 1 on any failure.

    Args:
        completed: makes of the words of the command line, overrides before options, those that are composed.
    """
    prepare_process()
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text(name))
        return
    folder = register()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1" and OURS not in os.environ
    if not wants_traceback:  # Hydra then leaves its own errors to this function, too; so in processes started from here
        os.environ |= {"HYDRA_FULL_ERROR": "1", OURS: "1"}

    def fail(error: Exception, debug: bool) -> NoReturn:
        if debug or wants_traceback:
            traceback.print_exception(error)
        rank = rank_among_others()
        if not note_failure(message(error)) or MEETING_POINT not in os.environ:  # our own launcher says it itself
            place = "" if rank is None else f"rank {rank}: "
            print(f"\nError: {place}{message(error)}", file=sys.stderr, flush=True)
        if rank is not None:  # no clean-up that waits for other ranks
            sys.stdout.flush()
            os._exit(1)
        sys.exit(1)

    asked_for: bool | None = None

    def guarded(config: DictConfig) -> Any:
        try:
            if asked_for is not None:
                config.debug = asked_for
            refuse_strays(config)
            refuse_empty(config)
            return task(config)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            os._exit(130)
        except Exception as error:
            fail(error, config.debug)

    guarded.__module__ = f"gan_lab.{name}"
    try:
        sys.argv[1:], asked_for = read_words(sys.argv[1:], Path(folder) / f"{name}.yaml")
        if completed is not None:
            sys.argv[1:] = completed(sys.argv[1:])
        if asked_for:  # as if it stood in the environment, so that processes started from here know it, too
            wants_traceback = True
            os.environ.pop(OURS, None)
        hydra.main(version_base="1.3", config_path=folder, config_name=name)(guarded)()
    except Exception as error:
        fail(error, debug=False)


def made_folder(out: Path, key: str = "out") -> Path:
    """`out`, made where it is missing.

    Args:
        out: the folder.
        key: how a person names it, or a file in it.
    Raises:
        ValueError: it cannot be.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {key}={out}: {error.strerror}; choose another {key}=...") from error
    return out


def message(error: BaseException) -> str:
    """One message that names the value, the place and the remedy, from the exception closest to the cause."""
    place = ""
    while isinstance(error, hydra.errors.InstantiationException) and error.__cause__ is not None:
        lines = str(error).splitlines()
        place = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), place)
        error = error.__cause__
    if isinstance(error, hydra.errors.InstantiationException):
        *told, last = str(error).splitlines()
        return f"{last.removeprefix('full_key: ')}: {' '.join(told)}" if told else last
    if isinstance(error, hydra.errors.HydraException):
        return composition_message(error)
    text = str(error).strip() or type(error).__name__
    if isinstance(error, TypeError) and "unexpected keyword argument" in text:
        unknown = text.split(" got ")[-1].replace("an unexpected keyword argument", "unknown key")
        text = f"{unknown}; misspelt, or meant for another choice?"
    if isinstance(error, TypeError) and (lacking := re.search(r"missing \d+ required .*arguments?: (.*)", text)):
        text = f"lacks {lacking[1]}, which another choice may bring"
    if isinstance(error, UnicodeEncodeError):  # of a file's name: what is in files, or printed, is never in its way
        text = f"this locale has no characters for {error.object!r}; set PYTHONUTF8=1, or LC_ALL=C.UTF-8"
    if "out of memory" in text.lower():
        text = (
            f"the device is out of memory; lower data.batch_size or set data.micro_batch_size ({text.splitlines()[0]})"
        )
    known = (ValueError, OSError, RuntimeError, ImportError, TypeError, YAMLError)
    if not isinstance(error, known) or isinstance(error, (KeyError, AttributeError)):
        text = f"{type(error).__name__}: {text}"
    if not place or re.match(rf"{place.partition('.')[0]}\.[\w.]+ ", text):  # it names the key itself
        return text
    return f"{place}.{text}" if re.match(r"[a-z]\w* must be ", text) else f"{place}: {text}"


MISTYPED = {  # what OmegaConf says -> what a person is told
    r"could not be converted to Integer": "{key} must be {one}whole number{many}, got {value}",
    r"could not be converted to Float": "{key} must be {one}number{many}, got {value}",
    r"is not a valid bool": "{key} must be true or false, got {value}",
    r"^Cannot convert .* to string": "{key} must be one text, such as a path or a name, got {value}",
    r"is not Optional|Incompatible value 'None'": "{key} cannot be null; leave it out, or give it a value",
    r"is not a ListConfig": "{key} must be a list, {key}=[...], got {value}",
    r"^Cannot merge DictConfig with|not a subclass of": "{key} has keys, {key}.NAME=VALUE; it is not {value}",
}


def composition_message(error: BaseException) -> str:
    """What is wrong with the command line or a config file; a misspelt key or choice comes with the nearest one."""
    cause = error.__cause__ or error.__context__
    first, *rest = str(error).strip().splitlines()
    place = first.partition(": ")[0] + ": " if first.startswith("In ") else ""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        if group.startswith("experiment/"):
            return in_recipe(group.removeprefix("experiment/"), choice)
        return no_such_choice(group, choice, error.options)
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and cause.parent_node is not None:
        before, _, key = str(cause.full_key).rpartition(".")
        close = get_close_matches(key, [str(known) for known in cause.parent_node], 1)
        near = ".".join(part for part in (before, *close) if part)
        remedy = f"; do you mean {near}?" if close else ""
        if before and not len(cause.parent_node):
            remedy = f"; first choose one: {before}=NAME"
        return f"{place}unknown key {cause.full_key}{remedy}"
    if found := re.search(r"Could not override 'experiment/(\w+)|Multiple values for (\w+)\.", first):
        return in_recipe(found[1] or found[2], "NAME")
    if isinstance(cause, OmegaConfBaseException):
        return mistyped(first, place, cause) or f"{first}: {str(cause).splitlines()[0]}"
    return "\n".join([first, *rest]).partition("\nConfig search path:")[0].rstrip()


def in_recipe(group: str, choice: str) -> str:
    """How a recipe chooses of a group."""
    return f"{group} is chosen twice, or not by its place: a recipe writes defaults: [{{override /{group}: {choice}}}]"


def mistyped(first: str, place: str, cause: OmegaConfBaseException) -> str | None:
    """Key, what it must be, and the value, where a value's type is wrong; None where something else is."""
    text = str(cause).splitlines()[0]
    told = next((form for pattern, form in MISTYPED.items() if re.search(pattern, text)), None)
    if told is None:
        return None
    key, sign, value = first.removeprefix("Error merging override ").partition("=")
    listed = str(cause.full_key).endswith("]")  # an element is wrong, not the list
    amount = {"one": "a list of " if listed else "a ", "many": "s" if listed else ""}
    if sign and " " not in key:
        return told.format(key=key.lstrip("+"), value=value or repr(""), **amount)
    if cause.full_key is None:
        return None
    found = re.search(r"[Vv]alue:? '(.*?)'(?: of type .*| is not .*| \(type .*)?$", text)
    return place + told.format(key=cause.full_key, value=found[1] if found else "another value", one="a ", many="")


def help_text(name: str) -> str:
    """The choices of every group and the keys of the root config, each with the line that explains it."""
    lines = [f"python -m gan_lab.{name} [group=choice ...] [key=value ...]", ""]
    root = shipped("conf") / f"{name}.yaml"
    lines += [_first_comment(root), ""]
    groups = [
        line.split(":")[0].strip("- ")
        for line in root.read_text(encoding="utf-8").splitlines()
        if line.startswith("  - ")
    ]
    for group in groups:
        if (
            ":" in group
            or group.startswith("override")
            or (not (shipped("conf") / group).is_dir() and group != "experiment")
        ):
            continue
        folders = [shipped("conf") / group]
        if group == "experiment":
            folders = list(dict.fromkeys([shipped("experiments"), Path.cwd() / "experiments"]))
        lines.append(f"{group}=")
        for path in sorted(path for folder in folders for path in folder.glob("*.yaml")):
            lines.append(f"    {path.stem:<22} {_first_comment(path)}")
        lines.append("")
    lines += ["keys of the root (others: --cfg job --resolve)"]
    comment = ""
    for line in root.read_text(encoding="utf-8").split("\n\n", 1)[-1].splitlines():
        if line.startswith("# "):
            comment = line[2:]
        elif line and line[0].isalpha() and not line.startswith("hydra"):
            lines.append(f"    {line:<34} {comment}".rstrip())
            comment = ""
    lines += [
        "",
        "--multirun model=a,b seed=0,1   every combination, each in processes of its own; further",
        "    hydra/launcher=slurm        each as a job of SLURM",
        "    hydra/sweeper=optuna        a search; key='interval(a,b)', choice(...), tag(log, ...)",
        "--cfg job --resolve             print the config and stop",
        "HYDRA_FULL_ERROR=1              full tracebacks",
    ]
    return "\n".join(lines)


def _first_comment(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not line.startswith("# @package"):
            return line[2:]
    return ""
