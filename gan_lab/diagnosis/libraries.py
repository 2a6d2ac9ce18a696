"""Python, the required libraries and the extras."""

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module, metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gan_lab.diagnosis.findings import Finding, one_line
from gan_lab.diagnosis.settings import Settings
from gan_lab.installing import DISTRIBUTION, checkout, install_command


@dataclass(frozen=True)
class Declared:
    """What the package asks for: the range of Python, its requirements, and those of each extra."""

    python: str
    requirements: list[Requirement]
    extras: dict[str, list[Requirement]]


def declared() -> Declared:
    """From the checkout's pyproject.toml, which is newer than what an editable install noted; else as installed."""
    if folder := checkout():
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = {
            name: [Requirement(text) for text in texts] for name, texts in project["optional-dependencies"].items()
        }
        return Declared(project["requires-python"], [Requirement(text) for text in project["dependencies"]], extras)
    about = metadata.metadata(DISTRIBUTION)
    every = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    plain = [each for each in every if each.marker is None or each.marker.evaluate({"extra": ""})]
    extras = {
        name: [each for each in every if each not in plain and each.marker and each.marker.evaluate({"extra": name})]
        for name in about.get_all("Provides-Extra") or []
    }
    return Declared(about["Requires-Python"], plain, extras)


def shortcoming(requirement: Requirement) -> str | None:
    """What is wrong with an installed library; None where nothing is."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} {version} is outside {requirement.specifier}"


def python(settings: Settings) -> Iterator[Finding]:
    """Python's version against the supported range."""
    version, wanted = ".".join(str(part) for part in sys.version_info[:3]), declared().python
    if SpecifierSet(wanted).contains(version, prereleases=True):
        yield Finding("python", "good", f"{version} ({wanted}), {sys.executable}")
    else:
        yield Finding(
            "python", "broken", f"{version} is outside {wanted}", "make the environment with a Python of that range"
        )


def libraries(settings: Settings) -> Iterator[Finding]:
    """PyTorch, torchvision, Lightning and the other libraries against the ranges of the package."""
    others = []
    for requirement in declared().requirements:
        wrong = shortcoming(requirement)
        name, wanted = requirement.name, str(requirement.specifier)
        if name not in ("torch", "torchvision", "pytorch-lightning"):
            others.append((requirement, wrong))
        elif wrong:
            yield Finding(name, "broken", wrong, f"pip install '{name}{wanted}'")
        elif name == "pytorch-lightning":
            yield Finding(name, "good", f"{metadata.version(name)} ({wanted})")
        else:
            yield _loaded(name, wanted)
    remedy = " ".join(f"'{requirement}'" for requirement, wrong in others if wrong)
    if remedy:
        yield Finding("libraries", "broken", "; ".join(w for _, w in others if w), f"pip install {remedy}")
    else:
        yield Finding("libraries", "good", f"the {len(others)} others are in their ranges")


def _loaded(name: str, wanted: str) -> Finding:
    """torch or torchvision, which fail to load where one was replaced without the other."""
    try:
        version = import_module(name).__version__
    except Exception as error:
        remedy = "install both anew, together: pip install --force-reinstall torch torchvision"
        return Finding(name, "broken", f"does not load: {one_line(str(error))}", remedy)
    partner = [Requirement(text) for text in metadata.requires(name) or [] if Requirement(text).name == "torch"]
    if wrong := next((found for found in map(shortcoming, partner) if found), None):
        return Finding(name, "broken", f"{version} was made for another torch: {wrong}", "pip install -U torchvision")
    return Finding(name, "good", f"{version} ({wanted})")


def extras(settings: Settings) -> Iterator[Finding]:
    """The optional libraries, and how to install those that are absent."""
    for name, requirements in declared().extras.items():
        if name == "dev":
            continue
        wrong = [found for each in requirements if each.name != DISTRIBUTION and (found := shortcoming(each))]
        if wrong:
            yield Finding(f"extra {name}", "note", "; ".join(wrong), f"where it is wanted, {install_command(name)}")
        else:
            versions = [f"{each.name} {metadata.version(each.name)}" for each in requirements]
            yield Finding(f"extra {name}", "good", ", ".join(versions))
