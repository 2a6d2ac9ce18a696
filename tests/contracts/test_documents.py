"""The documents hold together: links lead somewhere, and blocks marked as runnable run."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from documents import ALL, anchors, blocks, broken_links, links

RUNNABLE = [
    pytest.param(block, id=f"{path.name}:{block.line}", marks=[pytest.mark.slow] if "slow" in block.marks else [])
    for path in ALL
    for block in blocks(path)
    if "runnable" in block.marks
]


def test_links_lead_somewhere():
    assert {path.relative_to(ROOT).as_posix(): broken for path in ALL if (broken := broken_links(path))} == {}
    assert sum(len(links(path)) for path in ALL) > 250, "links are found at all"


def test_a_broken_link_is_noticed(tmp_path):
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# One `two`, three!\n\n## Again\n\n## Again\n\n```sh\n# no heading\n```\n")
    assert anchors(other) == {"one-two-three", "again", "again-1"}
    good = "[a](other.md) [b](other.md#again-1) [c](#here) [d](https://example.org/x#y) `[e](code.md)`"
    bad = (
        "[a](gone.md) [b](other.md#again-2) [c](#there) ![d](gone.png)\n\n| x |\n| --- |\n| [e](other.md#no-heading) |"
    )
    page.write_text(f"# Here\n\n{good}\n\n{bad}\n\n```md\n[f](gone.md)\n```\n")
    assert broken_links(page) == ["gone.md", "other.md#again-2", "#there", "gone.png", "other.md#no-heading"]


def test_blocks_are_marked_as_known():
    """A misspelt mark would leave a block unrun."""
    known = {(), ("runnable",), ("runnable", "slow")}
    assert [(path.name, block.line) for path in ALL for block in blocks(path) if block.marks not in known] == []
    wrong = [block for path in ALL for block in blocks(path) if block.marks and block.language != "sh"]
    assert wrong == [], "only sh is run"
    assert {"slow" in block.marks for path in ALL for block in blocks(path) if block.marks} == {False, True}


@pytest.mark.parametrize("block", RUNNABLE)
def test_a_runnable_block_runs(block, command, tmp_path):
    if "slow" in block.marks:
        as_typed(block.text, tmp_path)
    else:
        for line in block.text.splitlines():
            name, *words = shlex.split(line, comments=True)
            if name == "python":
                assert words.pop(0) == "-m"
                name = words.pop(0).replace("gan_lab.", "gan-lab-")
            assert name.startswith("gan-lab-"), f"a fast block has commands of gan_lab alone: {line}"
            done = command(name.removeprefix("gan-lab-").replace("-", "_"), *words)
            assert done.code == 0, f"{line}\n{done.output}"


def as_typed(text: str, folder: Path) -> None:
    """Run a block by bash, in an environment whose `python` is the one of the tests."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    python_path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", text],
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
