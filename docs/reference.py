"""The site's pages about commands, settings and modules, made from the sources whenever the site is built.

`write` puts Markdown (commands, settings) and reStructuredText (modules) below `docs/reference/`, which git ignores. It
needs no Sphinx. Nothing is listed here: a new command of pyproject.toml, a file below `conf/` or a module has its place
in the site by being there.
"""

import argparse
import contextlib
import importlib
import inspect
import io
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"


def write(folder: Path) -> None:
    """Write all pages below `folder`; one that would not change is left as it is, one that is no longer due goes."""
    pages = dict(all_pages())
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in pages:
            path.unlink()


def all_pages() -> Iterator[tuple[str, str]]:
    """(path below the folder, text) of every page."""
    yield "commands.md", commands_page()
    roots, groups = settings_files()
    yield "settings.md", settings_page(roots, groups)
    for group, files in groups.items():
        yield f"settings/{page_name(group)}.md", group_page(group, files)
    yield "records.md", records_page()
    packages = modules()
    yield "modules.rst", modules_page(list(packages))
    for package, members in packages.items():
        yield f"modules/{package}.rst", package_page(package, members)


# Commands ---------------------------------------------------------------------------------------------------------


def commands() -> dict[str, str]:
    """Module below `gan_lab` -> console script, of every command, in the order of pyproject.toml."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    return {target.split(":")[0].removeprefix("gan_lab."): script for script, target in scripts.items()}


def help_of(name: str) -> str:
    """What `python -m gan_lab.<name> --help` prints, 100 characters wide."""
    module = importlib.import_module(f"gan_lab.{name}")
    printed = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [f"gan_lab.{name}", "--help"]),
        mock.patch.dict("os.environ", {"COLUMNS": "100"}),
        mock.patch.object(argparse.ArgumentParser, "exit", side_effect=SystemExit),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    return printed.getvalue().rstrip()


def commands_page() -> str:
    """Every command with its `--help`."""
    parts = [
        "# Commands",
        "`python -m gan_lab.NAME` and the script beside it are the same. This page is made of their `--help`; "
        "[settings](settings.md) has all keys of those that take `key=value`.",
    ]
    for name, script in commands().items():
        module = importlib.import_module(f"gan_lab.{name}")
        about = (module.__doc__ or "").strip().splitlines()[0].split(": ", 1)[-1]
        parts += [f"## {name}", f"`{script}`: {about}", fenced("text", help_of(name))]
    return joined(parts)


# Settings ---------------------------------------------------------------------------------------------------------


def settings_files() -> tuple[list[Path], dict[str, list[Path]]]:
    """Files of commands, right below `conf/`, and those of each group: its path below `conf/` -> its choices."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(CONF.rglob("*.yaml")):
        groups.setdefault(path.parent.relative_to(CONF).as_posix(), []).append(path)
    return groups.pop("."), groups


def page_name(group: str) -> str:
    """`hydra-launcher` of the group `hydra/launcher`."""
    return group.replace("/", "-")


def settings_page(roots: list[Path], groups: dict[str, list[Path]]) -> str:
    """The keys of every command's root, and the way to the groups."""
    parts = [
        "# Settings",
        "What a command can be told, made of the files below `conf/`. `group=choice` takes a whole file, `key=value` "
        "changes a key, also one of a chosen file (`model.latent_dim=64`), and `+key=value` adds one that no file "
        "states. `python -m gan_lab.train --cfg job --resolve` prints all that a command line comes to, and stops.",
        "## Groups",
        "\n".join(
            f"- [`{group}=`](settings/{page_name(group)}.md): {', '.join(f'`{path.stem}`' for path in files)}"
            for group, files in groups.items()
        ),
    ]
    for path in roots:
        parts += [f"## Keys of {path.stem}", described(path)]
    hidden = "\n".join(f"settings/{page_name(group)}" for group in groups)
    parts += [f"```{{toctree}}\n:hidden:\n\n{hidden}\n```"]
    return joined(parts)


def group_page(group: str, files: list[Path]) -> str:
    """Every choice of a group: its file, and what its keys mean where its class says so."""
    parts = [f"# {group}=", f"Each choice is a file below `conf/{group}/`, shown in full."]
    for path in files:
        parts += [f"## {group}={path.stem}", described(path)]
    return joined(parts)


def described(path: Path) -> str:
    """The file in full; before it what it makes, after it what the keys mean where a class of ours says so."""
    text = path.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    made = list(targets(content))
    parts = [f"{f'`{place}` makes' if place else 'Makes'} {{py:obj}}`{node['_target_']}`." for place, node in made]
    parts = [" ".join(parts), fenced("yaml", text.rstrip())]
    meanings = []
    for place, node in made:
        told = arguments_of(node["_target_"])
        meanings += [(f"{place}.{key}".lstrip("."), told[key]) for key in map(str, node) if key in told]
    parts.append("\n".join(f"- `{key}`: {as_markdown(meaning)}" for key, meaning in meanings))
    return "\n\n".join(part for part in parts if part)


def targets(node: Any, place: str = "") -> Iterator[tuple[str, dict[Any, Any]]]:
    """(dotted place, mapping) of all that makes something of gan_lab, at any depth."""
    if not isinstance(node, dict):
        return
    if str(node.get("_target_", "")).startswith("gan_lab."):
        yield place, node
    for key, value in node.items():
        yield from targets(value, f"{place}.{key}".lstrip("."))


def arguments_of(target: str) -> dict[str, str]:
    """Argument -> what the docstring says of it: that of the class or function, else those of its bases."""
    module, _, name = target.rpartition(".")
    made = getattr(importlib.import_module(module), name)
    told: dict[str, str] = {}
    for kind in inspect.getmro(made) if inspect.isclass(made) else (made,):
        if kind.__module__.startswith("gan_lab."):
            told = arguments_in(inspect.cleandoc(kind.__doc__ or "")) | told
    return told


def arguments_in(docstring: str) -> dict[str, str]:
    """Argument -> its text, of a section `Args:`; `a, b: ...` are two."""
    section = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", docstring, re.MULTILINE)
    found: dict[str, str] = {}
    for entry in re.findall(r"^[ ]{4}(\S.*(?:\n[ ]{8}.*)*)", section[1] if section else "", re.MULTILINE):
        names, sign, text = entry.partition(": ")
        if sign:
            found |= dict.fromkeys(re.split(r",\s*", names), " ".join(text.split()))
    return found


def as_markdown(text: str) -> str:
    """A docstring's text, in which backticks alone mean something, as Markdown."""
    return escaped(text, r"[\\*_\[\]<|]")


def records_page() -> str:
    """The way to the record of every recipe; the table of all is experiments/README.md."""
    records = sorted(path.stem for path in (ROOT / "experiments").glob("*.md") if path.stem != "README")
    entries = "\n".join(f"../../experiments/{record}" for record in records)
    about = "In the order of the alphabet; [the table](../../experiments/README.md) has their scores."
    return joined(["# Records", about, f"```{{toctree}}\n{entries}\n```"])


# Modules ----------------------------------------------------------------------------------------------------------


def modules() -> dict[str, list[str]]:
    """Package -> its modules without those of its packages, in full dotted names; nothing of gan_lab is left out."""
    packages: dict[str, list[str]] = {}
    for path in sorted((ROOT / "gan_lab").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            packages.setdefault(".".join(parts[:-1]), [])
        else:
            packages.setdefault(".".join(parts[:-1]), []).append(".".join(parts))
    return packages


def modules_page(packages: list[str]) -> str:
    """The way to the packages."""
    entries = "\n".join(f"   modules/{package}" for package in packages)
    about = "Made of the docstrings. What lives where is in the table of rooms of :doc:`../../CONTRIBUTING`."
    return f"Modules\n=======\n\n{about}\n\n.. toctree::\n   :maxdepth: 1\n\n{entries}\n"


def package_page(package: str, members: list[str]) -> str:
    """A package and all of its modules, each with all that it documents."""
    parts = [package, "=" * len(package), "", f".. automodule:: {package}", ""]
    for module in members:
        title = module.removeprefix(f"{package}.")
        parts += [title, "-" * len(title), "", f".. automodule:: {module}", ""]
    return "\n".join(parts)


# Text -------------------------------------------------------------------------------------------------------------

SPAN = re.compile(r"`[^`]+`")


def as_rest(docstring: str) -> str:
    """A docstring as reStructuredText that shows what a reader of the source sees.

    Docstrings here are plain text: backticks mark code, `Args:` and the like are sections, lists and blocks stand
    between blank lines, and nothing else is markup, so that |grad D(x)|^2 and a * b stand in formulas as they are.
    Dotted names of gan_lab become links.
    """

    def literal(match: re.Match[str]) -> str:
        code = " ".join(match[0].strip("`").split())
        before, after = docstring[: match.start()][-1:], docstring[match.end() :][:1]
        shown = f":py:obj:`{code}`" if re.fullmatch(r"gan_lab(\.\w+)+", code) else f"``{code}``"
        return (r"\ " if before.isalnum() else "") + shown + (r"\ " if after.isalnum() else "")

    return escaped(docstring, r"[\\*|]|_(?!\w)", literal)


def escaped(text: str, special: str, code: Any = lambda match: match[0]) -> str:
    """A backslash before whatever matches `special` beside spans of code; of those what `code` makes of a match."""
    parts, end = [], 0
    for match in SPAN.finditer(text):
        parts += [re.sub(special, r"\\\g<0>", text[end : match.start()]), code(match)]
        end = match.end()
    return "".join([*parts, re.sub(special, r"\\\g<0>", text[end:])])


def fenced(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text}\n```"


def joined(parts: Any) -> str:
    """Paragraphs, and a line feed at the end."""
    return "\n\n".join(parts) + "\n"
