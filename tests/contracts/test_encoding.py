"""Kind E, surroundings: every file of text names its encoding, whatever the locale (gphotos-sync#189)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

FILES = sorted((ROOT / "gan_lab").rglob("*.py"))
OF_TEXT = {"read_text", "write_text", "FileHandler", "TextIOWrapper"}
OPENING = {"open", "fdopen"}
BINARY_LIBRARIES = {"Image", "lmdb", "zipfile", "tarfile"}  # whose own `open` knows no text


def unnamed(source: str) -> Iterator[int]:
    """Lines of a program that read or write text and leave the encoding to the locale."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        if "encoding" in named or None in named:
            continue
        if name in OF_TEXT or (name in OPENING and not is_binary(call, named)) or is_true(named, "text"):
            yield call.lineno


def is_binary(call: ast.Call, named: dict[str | None, ast.expr]) -> bool:
    """Whether a call of `open` and the like is of bytes, or of a library that knows nothing else."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if isinstance(owner, ast.Name) and owner.id in BINARY_LIBRARIES:
        return True
    modes = [*call.args, *filter(None, [named.get("mode")])]
    return any(isinstance(mode, ast.Constant) and "b" in str(mode.value) and len(str(mode.value)) < 5 for mode in modes)


def is_true(named: dict[str | None, ast.expr], key: str) -> bool:
    return any(
        isinstance(found := named.get(name), ast.Constant) and found.value for name in (key, "universal_newlines")
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_text_names_its_encoding(file):
    lines = list(unnamed(file.read_text(encoding="utf-8")))
    assert not lines, f"{file.relative_to(ROOT)}, lines {lines}: encoding='utf-8' is missing"


@pytest.mark.parametrize(
    "line",
    ["open(path)", "path.read_text()", "path.open('a', newline='')", "run(command, text=True)", "FileHandler(path)"],
)
def test_what_is_left_to_the_locale_is_found(line):
    assert list(unnamed(f"x = 1\n{line}")) == [2]


@pytest.mark.parametrize(
    "line",
    ["open(path, 'rb')", "path.open('ab+')", "Image.open(path)", "path.write_text(text, encoding='utf-8')"],
)
def test_what_names_it_or_is_of_bytes_is_not(line):
    assert not list(unnamed(line))


def test_there_are_files():
    assert len(FILES) > 100
    assert Path(ROOT / "gan_lab" / "cli.py") in FILES
