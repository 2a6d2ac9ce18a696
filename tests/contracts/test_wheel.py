"""The wheel holds what a run needs, and nothing else; installed, it runs from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from hatchling.builders.wheel import WheelBuilder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    [path] = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(path)


@pytest.fixture(scope="module")
def names(wheel) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel in it, as pip unpacks it; its libraries are those of this environment."""
    pytest.importorskip("pip", reason="pip is not in this environment, and it is pip's work that is tested")
    folder = tmp_path_factory.mktemp("installed")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        str(folder),
        str(wheel),
    ]
    subprocess.run(pip, check=True)
    return folder


def run(installed: Path, folder: Path, *command: str) -> str:
    """The output of a command that finds gan_lab in `installed`, before the checkout."""
    surroundings = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_has_every_setting(names):
    files = [path for suffix in ("yaml", "md") for path in (ROOT / "experiments").glob(f"*.{suffix}")]
    files += (ROOT / "conf").rglob("*.yaml")
    wanted = {f"gan_lab/{path.relative_to(ROOT).as_posix()}" for path in files}
    assert sorted((wanted | {"gan_lab/extractors/digitnet.safetensors"}) - set(names)) == []


def test_it_has_nothing_else(names):
    ours = [name for name in names if ".dist-info/" not in name]
    assert [name for name in ours if not name.startswith("gan_lab/")] == []
    for folder, suffixes in {"conf": {".yaml"}, "experiments": {".yaml", ".md", ".csv", ".png"}}.items():
        found = [name for name in ours if name.startswith(f"gan_lab/{folder}/")]
        assert [name for name in found if Path(name).suffix not in suffixes] == []
    code = [name for name in ours if not name.startswith(("gan_lab/conf/", "gan_lab/experiments/"))]
    assert sorted(name for name in code if not name.endswith(".py")) == [
        "gan_lab/comparison/page.html.jinja",
        "gan_lab/exporting/page.html.jinja",
        "gan_lab/exporting/page.js",
        "gan_lab/extractors/digitnet.safetensors",
        "gan_lab/inspection/page.html.jinja",
    ]


def test_it_trains_from_another_folder(installed, tmp_path):
    place = run(installed, tmp_path, sys.executable, "-c", "import gan_lab; print(gan_lab.__file__)")
    assert Path(place.strip()).is_relative_to(installed)
    config = run(installed, tmp_path, sys.executable, "-m", "gan_lab.train", "--cfg", "job")
    assert "_target_: gan_lab.models.dcgan.DCGAN" in config


@pytest.mark.parametrize("name", ["train", "sample", "evaluate", "export", "compare", "doctor"])
def test_its_console_commands_answer(name, installed, tmp_path):
    assert f"python -m gan_lab.{name}" in run(installed, tmp_path, str(installed / "bin" / f"gan-lab-{name}"), "--help")
