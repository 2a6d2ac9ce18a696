"""The examples of CONTRIBUTING.md work as they stand: added to the package and a copy of its settings, they train."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, SMALL
from hydra import compose, initialize_config_dir
from test_imports import ROOMS, violations

import gan_lab
from gan_lab import train
from gan_lab.config import register
from gan_lab.runs.settings import plain

BLOCK = re.compile(r"^```(?:python|yaml)\n# (?P<path>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = {match["path"]: match["text"] for match in BLOCK.finditer((ROOT / "CONTRIBUTING.md").read_text())}
SETTINGS = ["threads=1", "total_kimg=0.048", "callbacks.checkpoint.every_kimg=0.016"]


@pytest.fixture
def overlay(tmp_path, monkeypatch) -> Path:
    """A folder with a copy of conf/ and all examples, whose modules are importable as parts of gan_lab."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for folder in (tmp_path / "gan_lab").iterdir():
        package = importlib.import_module(f"gan_lab.{folder.name}")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            package, _, stem = name.rpartition(".")
            del sys.modules[name]
            if package:
                delattr(sys.modules[package], stem)


def fit(overlay: Path, *overrides: str) -> dict:
    """Train three batches; returns the last checkpoint, with the last scores under "scores"."""
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(overlay / "conf")):
        config = compose("train", [*overrides, *SMALL, *SETTINGS])
    settings = plain(config)
    train.check(settings)
    run = overlay / "run"
    run.mkdir()
    train.fit(settings, run, {"id": "test"})
    checkpoint = torch.load(max((run / "checkpoints").glob("[0-9]*.ckpt")), weights_only=True)
    checkpoint["scores"] = json.loads((run / "scores.jsonl").read_text().splitlines()[-1])["scores"]
    return checkpoint


def test_there_is_an_example_of_every_kind():
    for kind in ("gan_lab/models", "gan_lab/networks", "gan_lab/data", "gan_lab/metrics", "experiments"):
        assert any(path.startswith(f"{kind}/") for path in FILES), kind
    assert [path for path in FILES if (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("override", "target"),
    [
        ("model=my_gan", "gan_lab.models.my_gan.MyGAN"),
        ("network=my_net", "gan_lab.networks.my_net.MyGenerator"),
        ("data=my_discs", "gan_lab.data.my_discs.Discs"),
        ("+metric@evaluation.metrics.my_distance=my_distance", "gan_lab.metrics.my_distance.MeanDistance"),
        ("experiment=my_gan_my_discs", "gan_lab.models.my_gan.MyGAN"),
    ],
)
def test_an_example_takes_real_steps(override, target, overlay):
    checkpoint = fit(overlay, override)
    assert f"'_target_': '{target}'" in str(checkpoint["config"])
    assert checkpoint["counters"]["steps"] == {"discriminator": 3, "generator": 3}
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint["state_dict"].values())
    assert ("my_distance_digitnet20" in checkpoint["scores"]) == ("my_distance" in override)


def test_the_tests_among_them_pass(overlay):
    tests = [path for path in FILES if path.startswith("tests/")]
    assert len(tests) >= 2
    for path in tests:
        found = {}
        exec(compile(FILES[path], path, "exec"), found)
        for name, function in found.items():
            if name.startswith("test_"):
                function()


@pytest.mark.parametrize("path", [path for path in FILES if path.endswith(".py")])
def test_they_keep_the_habits(path):
    ours = ["--config", "lint.isort.known-first-party = ['gan_lab']"]  # ruff looks for a file, which is not there
    for command in (["format", "--check"], ["check"]):
        ruff = [sys.executable, "-m", "ruff", *command, *ours, "--stdin-filename", path]
        done = subprocess.run(ruff, cwd=ROOT, input=FILES[path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    if path.startswith("gan_lab/"):
        assert violations(FILES[path], path.removeprefix("gan_lab/"), ROOMS) == []


def test_the_overlay_leaves_nothing_behind():
    assert not hasattr(gan_lab.models, "my_gan")
    assert "gan_lab.models.my_gan" not in sys.modules
