"""The Markdown that people read here: its links, its anchors and its blocks of code, read without Sphinx."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from conftest import ROOT
from markdown_it import MarkdownIt
from markdown_it.token import Token

GUIDES = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "slurm/README.md", "experiments/README.md")
] + sorted((ROOT / "docs").glob("*.md"))
RECORDS = sorted((ROOT / "experiments").glob("*_*.md"))
ALL = [*GUIDES, *RECORDS, ROOT / "CHANGELOG.md"]


class Block(NamedTuple):
    """A fenced block of code.

    Attributes:
        line: number of its first line in the file, from 1.
        language: first word after the fence, or "".
        marks: the other words: `runnable`, and perhaps `slow`.
    """

    line: int
    language: str
    marks: tuple[str, ...]
    text: str


@cache
def tokens(path: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))


def blocks(path: Path) -> list[Block]:
    found = []
    for token in tokens(path):
        if token.type == "fence":
            language, *marks = token.info.split() or [""]
            found.append(Block(token.map[0] + 1, language, tuple(marks), token.content))
    return found


def links(path: Path) -> list[str]:
    """What links and pictures lead to, code aside."""
    inline = [child for token in tokens(path) for child in token.children or []]
    return [str(child.attrs[key]) for child in inline for key in ("href", "src") if key in child.attrs]


@cache
def anchors(path: Path) -> frozenset[str]:
    """What `#...` may follow the name of the file: its headings as GitHub and MyST name them."""
    found: dict[str, int] = {}
    names = set()
    for heading, inline in zip(tokens(path), tokens(path)[1:], strict=False):
        if heading.type == "heading_open":
            text = "".join(child.content for child in inline.children if child.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            names.add(f"{slug}-{found[slug]}" if slug in found else slug)
            found[slug] = found.get(slug, 0) + 1
    return frozenset(names)


def broken_links(path: Path) -> list[str]:
    """The links of a file that lead to no file of the repository, or to no heading of one."""
    broken = []
    for link in links(path):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and (target.suffix != ".md" or anchor not in anchors(target))):
            broken.append(link)
    return broken
