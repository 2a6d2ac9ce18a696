"""benchmarks/gpu.py goes through all of its parts on a machine without a GPU, in a small setting.

With all models it is a command; with one, a function, whose commands are forked.
"""

import json
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, run_command

from benchmarks import gpu

WORDS = ["gpu.py", "--device", "cpu", "--small", "--out", "out"]


def outcome(tmp_path) -> tuple[dict, str]:
    """What the benchmark wrote: gpu.json and gpu.md."""
    return json.loads((tmp_path / "out" / "gpu.json").read_text()), (tmp_path / "out" / "gpu.md").read_text()


def test_one_model(forkserver, tmp_path, monkeypatch):
    def command(arguments, folder):
        done = run_command(forkserver, folder, *arguments)
        if done.code:
            raise RuntimeError(done.output)
        return done.output

    monkeypatch.setattr(gpu, "command", command)
    monkeypatch.setattr(sys, "argv", [*WORDS, "--cases", "dcgan"])
    monkeypatch.chdir(tmp_path)
    gpu.main()
    found, table = outcome(tmp_path)
    [row] = found["speed"]
    assert (row["model"], row["precision"]) == ("dcgan", "32-true")
    assert row["ratio"] > 0
    assert row["lowest"] <= row["ratio"] <= row["highest"]
    said = {line["check"]: line["outcome"] for line in found["checks"]}
    assert said["waits and memory of dcgan"] == "4 steps went through"
    assert said["resumed run beside an unbroken one"] == "the same bits"
    assert "no GPU" in said["tests marked gpu"]
    assert "--cifar" in said["CIFAR-10"]
    assert "| dcgan | 32-true |" in table


@pytest.mark.slow
def test_every_model(tmp_path):
    words = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *WORDS[1:]]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found, _ = outcome(tmp_path)
    assert len(found["speed"]) == 5
    assert all("went through" in line["outcome"] for line in found["checks"] if line["check"].startswith("waits"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2
    assert "--device cpu --small" in capsys.readouterr().err
