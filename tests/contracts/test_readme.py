"""What the documents tell a reader to type works."""

import re
import shlex
import subprocess
from itertools import product
from pathlib import Path

import pytest
from conftest import ROOT, SMALL
from documents import GUIDES, RECORDS, links
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from gan_lab import compare, report
from gan_lab.config import register
from gan_lab.runs.settings import plain

EXAMPLES = ("my_gan", "my_distance")  # of CONTRIBUTING.md, which has a test of its own
FLAGS = {"--multirun", "--resolve", "--help"}
COMMAND = re.compile(r"(?:python -m gan_lab\.|\bgan-lab-(?!platform))([\w-]+)([^`\n#]*)")
WITH_OPTIONS = {"compare": compare.parse, "report": report.parse}


def commands(paths: list[Path]) -> list[tuple[str, str]]:
    """(name, arguments) of every command in these documents; a command's bare name in the text is none."""
    texts = [path.read_text().replace("\\\n", " ") for path in paths]
    found = [match.groups() for text in texts for match in COMMAND.finditer(text)]
    found = [
        (name.replace("-", "_"), rest.strip())
        for name, rest in found
        if not any(example in rest for example in EXAMPLES)
    ]
    return sorted({(name, rest) for name, rest in found if rest})


def composed(name: str, arguments: str) -> list[dict]:
    """The resolved config of a command; one for each combination of a sweep, of an interval both ends."""
    words = [word for word in shlex.split(arguments) if word not in FLAGS and word not in ("--cfg", "job")]
    choices = [
        [f"{override.get_key_element()}={value}" for value in swept(override)]
        if override.is_sweep_override()
        else [word]
        for word, override in zip(words, OverridesParser.create().parse_overrides(words), strict=True)
    ]
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        return [plain(compose(name, list(combination))) for combination in product(*choices)]


def swept(override) -> list:
    sweep = override.value()
    return [sweep.start, sweep.end] if override.is_interval_sweep() else list(override.sweep_string_iterator())


@pytest.mark.parametrize(("name", "arguments"), commands(GUIDES))
def test_every_command_composes(name, arguments):
    if name in WITH_OPTIONS:
        assert WITH_OPTIONS[name](shlex.split(arguments))
    else:
        assert composed("train" if name == "doctor" else name, arguments)


@pytest.mark.slow
def test_every_command_of_a_record_composes():
    found = commands(RECORDS)
    assert len(found) > 80
    for name, arguments in found:
        assert composed(name, arguments), arguments


def test_a_sweep_is_every_combination():
    configs = composed("train", "--multirun model=dcgan,lsgan seed=0,1")
    assert [(config["model"]["_target_"].rpartition(".")[2], config["seed"]) for config in configs] == [
        ("DCGAN", 0),
        ("DCGAN", 1),
        ("LSGAN", 0),
        ("LSGAN", 1),
    ]


def test_a_generator_is_loaded_as_documented(command, tmp_path):
    run = tmp_path / "run"
    done = command("train", *SMALL, "total_kimg=0.032", "callbacks.curves.every_kimg=null", f"run_dir={run}")
    assert done.code == 0, done.output
    [block] = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/generators.md").read_text(), re.MULTILINE | re.DOTALL)
    assert '"PATH"' in block
    names = {}
    exec(block.replace('"PATH"', repr(str(run))), names)
    assert names["images"].shape == (16, 1, 16, 16)


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in GUIDES:
        blocks = re.findall(r"^```sh\n(.*?)^```$|`([^`\n]+)`", path.read_text(), re.MULTILINE | re.DOTALL)
        wanted = re.findall(r"^make ([a-z-]+)", "\n".join("".join(pair) for pair in blocks), re.MULTILINE)
        assert set(wanted) <= targets, path


def test_no_document_installs_somebody_elses_package():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so which files are documents is not known")
    wrong = re.compile(r"pip3? install[^\n]*[\s'\"]gan[-_]lab(?![-\w])")
    names = [name for name in listed.stdout.splitlines() if not name.startswith("tests/")]
    texts = [ROOT / name for name in names if name.endswith((".md", ".py", ".yaml", ".toml", ".yml"))]
    assert [path for path in texts if path.is_file() and wrong.search(path.read_text())] == []
    assert wrong.search("pip install gan-lab")
    assert wrong.search("pip install -U 'gan_lab' now")
    assert not wrong.search("pip install 'gan-lab-platform[onnx]'")


def test_every_page_is_linked_from_the_readme():
    linked = led_to(ROOT / "README.md")
    reached = linked.union(*(led_to(page) for page in linked if page.suffix == ".md"))
    assert [page for page in GUIDES[1:] if page not in reached] == []


def led_to(page: Path) -> set[Path]:
    return {(page.parent / link.partition("#")[0]).resolve() for link in links(page) if not link.startswith("http")}
