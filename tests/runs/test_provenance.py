"""Where a run comes from."""

import json
import subprocess

import pytest
from conftest import SMALL

from gan_lab.runs.provenance import commit_of, machine, origin


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "repository" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "first")
    return folder


def test_the_commit_and_whether_files_differ(package):
    commit = git(package, "rev-parse", "--short", "HEAD").strip()
    assert commit_of(package) == commit
    (package / "untracked.py").write_text("")
    (package.parent / "elsewhere").write_text("")
    assert commit_of(package) == commit
    (package / "__init__.py").write_text("changed = True")
    assert commit_of(package) == f"{commit}+"


def test_what_is_installed_within_another_repository_has_no_commit(package, tmp_path):
    installed = package / ".venv" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert commit_of(installed) is None
    assert commit_of(tmp_path) is None


def test_without_git(package, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit_of(package) is None


def test_a_run_on_the_cpu_names_it_beside_a_gpu(monkeypatch):
    processor = machine()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200")
    assert machine("auto") == origin("gpu")["machine"] == "NVIDIA H200"
    assert machine("cpu") == origin("cpu")["machine"] == processor


def test_a_run_keeps_it(command, tmp_path):
    small = [option for option in SMALL if not option.startswith("evaluation.")]
    ended = command("train", *small, "evaluation=none", "total_kimg=0.032", "run_dir=run")
    assert ended.code == 0, ended.output
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["origin"]
    choices = {"experiment": None, "model": "dcgan", "network": "dcgan_small", "data": "digits"}
    assert kept == json.loads(json.dumps(origin() | {"choices": choices}))
    assert kept["machine"] == machine() != ""
