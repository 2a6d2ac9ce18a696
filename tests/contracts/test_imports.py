"""Imports point up the table of rooms in CONTRIBUTING.md, and go nowhere else."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT

import gan_lab

HEADER = "| Room | What lives there | May import |"
ALL_ABOVE = "all rooms above"


class Room(NamedTuple):
    """A row of the table.

    Attributes:
        paths: files, or folders with a final slash, below `gan_lab/`.
        allowed: names of rooms (`layers`, `data/images`) and of libraries (`torch`).
        all_above: whether every earlier room may be imported.
    """

    paths: tuple[str, ...]
    allowed: frozenset[str]
    all_above: bool

    @property
    def names(self) -> set[str]:
        return {path.removesuffix("/").removesuffix(".py") for path in self.paths}


def read_rooms(text: str) -> list[Room]:
    """The table's rows about code of the package, in order."""
    lines = iter(text.split(HEADER, 1)[1].splitlines()[2:])
    rooms = []
    for line in lines:
        if not line.startswith("|"):
            break
        places, _, imports = (cell.strip() for cell in line.strip("|").split("|"))
        paths = tuple(path.removeprefix("gan_lab/") for path in quoted(places) if path.startswith("gan_lab/"))
        if paths:
            rooms.append(Room(paths, frozenset(quoted(imports)), ALL_ABOVE in imports))
    return rooms


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def room_of(file: str, rooms: list[Room]) -> Room | None:
    """The room of a file below `gan_lab/`: of all paths that hold it, the longest."""
    holding = [
        (len(path), room)
        for room in rooms
        for path in room.paths
        if file == path or (path.endswith("/") and file.startswith(path))
    ]
    return max(holding, key=lambda pair: pair[0])[1] if holding else None


def imported(source: str, file: str) -> Iterator[str]:
    """Dotted names of all that a file imports, at any depth; `from a import b` gives `a.b`."""
    package = ["gan_lab", *Path(file).parent.parts]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def file_of(name: str, package: Path) -> str:
    """The file below `gan_lab/` that a dotted name leads to; what is no module lies in the one before it."""
    parts = name.split(".")[1:]
    while parts:
        place = package.joinpath(*parts)
        if place.with_suffix(".py").is_file():
            return "/".join(parts) + ".py"
        if place.is_dir():
            return "/".join(parts) + "/__init__.py"
        parts.pop()
    return "__init__.py"


def violations(source: str, file: str, rooms: list[Room], package: Path = ROOT / "gan_lab") -> list[str]:
    """What a file of the package imports against the table."""
    room = room_of(file, rooms)
    if room is None:
        return [f"gan_lab/{file} belongs to no row of the table"]
    above = [other for other in rooms[: rooms.index(room)] if room.all_above or other.names & room.allowed]
    wrong = []
    for name in imported(source, file):
        top = name.split(".")[0]
        if top == "gan_lab":
            permitted = room_of(file_of(name, package), rooms) in (room, *above)
        else:
            permitted = top in sys.stdlib_module_names or top in room.allowed
        if not permitted:
            wrong.append(
                f"gan_lab/{file} imports {name}; its row allows {', '.join(sorted(room.allowed)) or 'nothing'}"
            )
    return wrong


ROOMS = read_rooms((ROOT / "CONTRIBUTING.md").read_text())
FILES = sorted(path.relative_to(ROOT / "gan_lab").as_posix() for path in (ROOT / "gan_lab").rglob("*.py"))


@pytest.mark.parametrize("file", FILES)
def test_imports_point_up(file):
    assert violations((ROOT / "gan_lab" / file).read_text(), file, ROOMS) == []


def test_every_row_names_what_exists_and_only_once():
    paths = [path for room in ROOMS for path in room.paths]
    assert len(paths) == len(set(paths))
    assert [path for path in paths if not (ROOT / "gan_lab" / path).exists()] == []
    assert all((ROOT / "gan_lab" / path).is_dir() == path.endswith("/") for path in paths)


def test_every_row_allows_rooms_above_it_alone():
    for index, room in enumerate(ROOMS):
        below = {name for other in ROOMS[index:] for name in other.names}
        assert not room.allowed & below, f"{room.paths} may not import {room.allowed & below}: no row above it"


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("networks/bad.py", "from gan_lab.models.base import GANModule"),
        ("networks/bad.py", "def draw():\n    import matplotlib.pyplot as plt"),
        ("networks/bad.py", "class Net:\n    def save(self):\n        from gan_lab import checkpoint"),
        ("models/bad.py", "from gan_lab.networks import dcgan"),
        ("models/bad.py", "from ..networks.dcgan import DCGANGenerator"),
        ("losses/bad.py", "import gan_lab.train"),
        ("metrics/bad.py", "if True:\n    import pytorch_lightning"),
        ("runs/bad.py", "from gan_lab.cli import run_command"),
        ("extractors/bad.py", "from gan_lab.data.base import ImageData"),
        ("cellar/bad.py", "import math"),
    ],
)
def test_a_bad_import_is_found(file, source):
    assert len(violations(source, file, ROOMS)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("networks/good.py", "import math\nfrom torch import nn\nfrom gan_lab.layers.checks import at_least"),
        ("models/good.py", "from .base import GANModule\nfrom ..losses import hinge"),
        ("extractors/good.py", "from gan_lab.data.images import resize"),
        ("runs/good.py", "from gan_lab import __version__"),
    ],
)
def test_a_good_import_passes(file, source):
    assert violations(source, file, ROOMS) == []


def imported_at_once(file: str) -> set[str]:
    """The package's files that importing `file` runs: those of imports outside of functions and type checking."""

    def top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
        for node in body:
            if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
                yield from top_level(node.body + node.orelse)
            elif isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef)):
                yield from top_level(node.body) if isinstance(node, ast.ClassDef) else [node]

    tree = ast.parse((ROOT / "gan_lab" / file).read_text())
    names = imported(ast.unparse(ast.Module(list(top_level(tree.body)), [])), file)
    return {file_of(name, ROOT / "gan_lab") for name in names if name.split(".")[0] == "gan_lab"} - {file}


def height(file: str, below: dict[str, set[str]], path: tuple[str, ...] = ()) -> int:
    """Files on the longest way down from `file`; a circle of imports is an AssertionError that names it."""
    assert file not in path, f"a circle of imports: {' -> '.join([*path[path.index(file) :], file])}"
    return 1 + max((height(other, below, (*path, file)) for other in below[file]), default=0)


def test_no_circles():
    below = {file: imported_at_once(file) for file in FILES}
    for file in FILES:
        assert height(file, below) < 20


def test_modules_that_have_moved_are_found_under_their_old_names(monkeypatch):
    for old, new in gan_lab.MOVED.items():
        monkeypatch.delitem(sys.modules, old, raising=False)
        with pytest.deprecated_call(match=re.escape(f"{old} is {new} now")):
            assert importlib.import_module(old) is importlib.import_module(new)
    from gan_lab import checkpoint, comparison, evaluation
    from gan_lab.comparison.rows import compare
    from gan_lab.evaluation.stage import Evaluation
    from gan_lab.runs.checkpoint import load_generator

    assert checkpoint.load_generator is load_generator
    assert evaluation.Evaluation is Evaluation
    assert comparison.compare is compare
    with pytest.raises(AttributeError, match="has no attribute Evaluator"):
        evaluation.Evaluator  # noqa: B018
