"""The doctor as a command, and each of its checks in faked surroundings."""

import errno
import io
import json
import os
import re
import socket
import stat
import sys
import time
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import psutil
import pytest
import torch
from conftest import ROOT
from generated_data import write_image_folder, write_mnist

from gan_lab import doctor, installing
from gan_lab.diagnosis import checks, cluster, data, findings, libraries, loggers, machine, settings, weights
from gan_lab.diagnosis.checks import examine
from gan_lab.diagnosis.findings import Finding
from gan_lab.diagnosis.settings import Settings

OURS = re.compile(r"^(SLURM|WANDB|GLOO|CUDA|NETRC|RANK$|LOCAL_RANK$|WORLD_SIZE$|OMP_NUM_THREADS$)")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """A shell in an empty folder, without SLURM, torchrun, drivers or keys; PATH is the folder `bin` there."""
    for name in filter(OURS.match, list(os.environ)):
        monkeypatch.delenv(name)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GAN_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(check, *overrides: str) -> dict[str, Finding]:
    """What a check finds, by name."""
    return {finding.name: finding for finding in examine(check, Settings(overrides))}


def stub(folder: Path, name: str, script: str) -> None:
    """A program of that name on PATH."""
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


# the command ----------------------------------------------------------------------------------------------------


def test_the_command_says_the_same_as_text_and_as_json(command, bare):
    as_json = command("doctor", "--json", "paths.data_dir=elsewhere")
    assert as_json.code == 0, as_json.output
    said = json.loads(as_json.output)
    assert said["broken"] == 0
    names = [finding["name"] for finding in said["findings"]]
    wanted = ["python", "torch", "torchvision", "pytorch-lightning", "libraries", "extra onnx", "extra tensorboard"]
    wanted += ["cpu", "memory", "trainer", "gloo", "host name", "world size", "slurm", "settings", "wandb"]
    wanted += [f"paths.{key}" for key in ("data_dir", "runs_dir", "cache_dir", "weights_dir")]
    wanted += [f"data {path.stem}" for path in (ROOT / "conf/data").glob("*.yaml")]
    wanted += [f"extractor {path.stem}" for path in (ROOT / "conf/extractor").glob("*.yaml")]
    assert sorted(set(wanted) - set(names)) == []
    assert all(finding["remedy"] for finding in said["findings"] if finding["state"] != "good")
    assert said["notes"] == sum(finding["state"] == "note" for finding in said["findings"])
    assert str(bare / "elsewhere") in as_json.output
    assert not (bare / "elsewhere").exists(), "looking makes nothing"

    text = command("doctor", "paths.data_dir=elsewhere")
    assert text.code == 0, text.output
    [*lines, _, last] = text.output.splitlines()
    assert [line[0] in "✓!✗" for line in lines] == [True] * len(names)
    assert last.startswith(f"{len(names)} looked at: 0 broken")
    for line in lines:
        assert line[0] == "✓" or "Remedy: " in line, line


def test_what_is_broken_makes_the_exit_code(command, bare):
    (bare / "file").write_text("")
    done = command("doctor", f"paths.runs_dir={bare}/file/runs")
    assert done.code == 1
    assert re.search(rf"✗ paths.runs_dir +{bare}/file is a file. Remedy: paths.runs_dir=", done.output), done.output
    assert done.output.rstrip().splitlines()[-1].split(":")[1].startswith(" 1 broken")


def test_own_pictures_are_seen_with_what_is_chosen_for_them(tmp_path):
    write_image_folder(tmp_path / "set", count=2)
    words = ["experiment=own_pictures", f"data.root={tmp_path / 'set'}"]
    assert "model=r3gan" in doctor.chosen(words)
    assert doctor.chosen(["experiment=own_pictures", "data.root=nowhere"]) == [
        "experiment=own_pictures",
        "data.root=nowhere",
    ]


def test_settings_that_do_not_compose_spare_the_other_checks(command):
    done = command("doctor", "paths.dta_dir=/x")
    assert done.code == 1
    assert re.search(r"✗ settings +unknown key paths.dta_dir; do you mean paths.data_dir\? Remedy", done.output)
    assert re.search(r"! data sets +not looked at further", done.output)
    assert "✓ gloo" in done.output
    assert "Traceback" not in done.output


def test_a_terminal_without_the_marks(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    findings = [Finding(name, state, "ä") for name, state in (("a", "good"), ("b", "note"), ("c", "broken"))]
    monkeypatch.setattr(sys, "argv", ["doctor"])
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(doctor, "CHECKS", (lambda settings: findings,))
    with pytest.raises(SystemExit) as ended:
        doctor.main()
    assert ended.value.code == 1
    terminal.flush()
    lines = terminal.buffer.getvalue().decode().splitlines()
    assert [line.split() for line in lines[:3]] == [["+", "a", "\\xe4"], ["!", "b", "\\xe4"], ["x", "c", "\\xe4"]]


def test_help_names_every_check(command):
    done = command("doctor", "--help")
    assert done.code == 0
    for check in doctor.CHECKS:
        assert re.search(rf"^  {check.__name__} +\w.*\.$", done.output, re.MULTILINE), check.__name__


def test_a_failing_check_is_a_line(monkeypatch):
    def odd(settings):
        yield Finding("one", "good", "seen")
        raise KeyError("two\nlines")

    first, second = examine(odd, Settings())
    assert first.text == "seen"
    assert second.state == "broken"
    assert "KeyError" in second.text
    assert "\n" not in str(second)


def test_a_check_without_end_is_a_line(monkeypatch):
    monkeypatch.setattr(checks, "CHECK_S", 0.1)

    def endless(settings):
        yield Finding("one", "good", "seen")
        time.sleep(3)

    first, second = examine(endless, Settings())
    assert (first.name, second.name, second.state) == ("one", "endless", "broken")
    assert "0.1 s" in second.text


def test_a_program_that_hangs_is_ended_with_its_children(bare):
    stub(bare, "slow", "sleep 5")
    start = time.monotonic()
    assert findings.ask("slow", limit=0.2) == (124, "", "slow did not answer within 0.2 s")
    assert time.monotonic() - start < 3
    assert findings.ask("absent")[0] == 127


# the software ---------------------------------------------------------------------------------------------------


def versions(monkeypatch, **faked: str | None) -> None:
    """Let libraries (with _ for -) have another version, or be absent."""
    real = metadata.version

    def version(name: str) -> str:
        key = name.replace("-", "_")
        if key in faked and faked[key] is None:
            raise metadata.PackageNotFoundError(name)
        return faked.get(key) or real(name)

    monkeypatch.setattr(metadata, "version", version)


def test_python_outside_its_range(monkeypatch):
    assert found(libraries.python)["python"].state == "good"
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    finding = found(libraries.python)["python"]
    assert finding.state == "broken"
    assert "3.9.1" in finding.text
    assert ">=3.11" in finding.text


def test_libraries_of_other_versions(monkeypatch):
    assert {finding.state for finding in found(libraries.libraries).values()} == {"good"}
    versions(monkeypatch, torch="2.0.1+cpu", pytorch_lightning=None, numpy="1.20", wandb=None)
    findings = found(libraries.libraries)
    assert findings["torch"].state == findings["pytorch-lightning"].state == findings["libraries"].state == "broken"
    assert "2.0.1+cpu" in findings["torch"].text
    assert findings["torch"].remedy.startswith("pip install 'torch>=2.")
    assert "pytorch-lightning is not installed" in findings["pytorch-lightning"].text
    assert "numpy 1.20" in findings["libraries"].text
    assert "wandb is not installed" in findings["libraries"].text
    assert re.search(r"pip install '?numpy.* '?wandb", findings["libraries"].remedy)


def test_a_torchvision_made_for_another_torch(monkeypatch):
    real = metadata.requires
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch==1.0"] if name == "torchvision" else real(name))
    findings = found(libraries.libraries)
    assert findings["torch"].state == "good"
    assert findings["torchvision"].state == "broken"
    assert "made for another torch" in findings["torchvision"].text


def test_a_library_that_does_not_load(monkeypatch):
    def fail(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(libraries, "import_module", fail)
    finding = found(libraries.libraries)["torchvision"]
    assert finding.state == "broken"
    assert "nms" in finding.text
    assert "together" in finding.remedy


def test_extras_come_with_the_command_that_installs_them(monkeypatch):
    versions(monkeypatch, onnxscript=None, tensorboard="2.19")
    findings = found(libraries.extras)
    assert findings["extra tensorboard"].text == "tensorboard 2.19"
    assert findings["extra onnx"].state == "note"
    assert findings["extra onnx"].text == "onnxscript is not installed"
    assert f"pip install -e '{ROOT}[onnx]'" in findings["extra onnx"].remedy
    assert "extra dev" not in findings


def test_an_installed_package_is_read_from_its_metadata(monkeypatch, tmp_path):
    folder = tmp_path / "site" / "gan_lab_platform-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: gan-lab-platform\nVersion: 1.0\nRequires-Python: <3.14,>=3.11\n"
        "Provides-Extra: light\nProvides-Extra: dev\n"
        "Requires-Dist: torch>=99\nRequires-Dist: nowhere>=1; extra == 'light'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(installing, "PACKAGE", tmp_path / "site" / "gan_lab")
    assert found(libraries.python)["python"].state == "good"
    findings = found(libraries.libraries)
    assert findings["torch"].state == "broken"
    assert ">=99" in findings["torch"].text
    assert "the 0 others" in findings["libraries"].text
    [extra] = found(libraries.extras).values()
    assert extra.name == "extra light"
    assert "pip install 'gan-lab-platform[light]'" in extra.remedy


def test_nobody_is_told_to_install_somebody_elses_package(monkeypatch):
    for place in (ROOT, None):
        monkeypatch.setattr(installing, "checkout", lambda place=place: place)
        monkeypatch.setattr(libraries, "declared", lambda: libraries.Declared(">=3", [], {"x": [MISSING]}))
        [finding] = found(libraries.extras).values()
        assert not re.search(r"install '?gan[-_]lab(?!-platform)", finding.remedy)


MISSING = libraries.Requirement("not-to-be-found-anywhere>=1")


# the machine ----------------------------------------------------------------------------------------------------


def groups(monkeypatch, folder: Path, lines: str, files: dict[str, str]) -> None:
    """This process in control groups, with files of limits."""
    for name, text in files.items():
        (folder / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "groups" / name).write_text(text)
    (folder / "own").write_text(lines)
    monkeypatch.setattr(machine, "CGROUPS", folder / "groups")
    monkeypatch.setattr(machine, "OWN_CGROUPS", folder / "own")


def test_cores_are_those_of_this_process(monkeypatch, bare):
    stub(bare, "lscpu", "echo 'Model name:   Fake 9000'; echo 'Flags: avx2 avx512_bf16'")
    groups(monkeypatch, bare, "", {})
    monkeypatch.setattr(psutil, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert found(machine.cpu)["cpu"].text == "Fake 9000; 6 of 64 cores usable; bf16 in hardware"
    two = {"job/cpu.max": "200000 100000\n", "job/step/cpu.max": "max 100000\n"}
    groups(monkeypatch, bare, "0::/job/step\n", two)
    assert "; 2 of 64 cores usable" in found(machine.cpu)["cpu"].text
    groups(monkeypatch, bare, "3:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100"})
    assert "; 6 of 64 cores usable" in found(machine.cpu)["cpu"].text
    groups(monkeypatch, bare, "3:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "150"})
    assert "; 1.5 of 64 cores usable" in found(machine.cpu)["cpu"].text
    stub(bare, "lscpu", "echo 'Model name:   Fake 9000'; echo 'Flags: avx512_bf16 amx_bf16'")
    assert "trainer.precision=bf16-mixed" in found(machine.cpu)["cpu"].text
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert found(machine.cpu)["cpu"].state == "note"


def test_a_machine_without_lscpu():
    finding = found(machine.cpu)["cpu"]
    assert finding.state == "good"
    assert "model unknown" in finding.text


def test_memory_is_limited_by_the_control_group(monkeypatch, bare):
    memory = namedtuple("memory", "total available")(64 * 2**30, 60 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    groups(monkeypatch, bare, "", {})
    assert found(machine.memory)["memory"].text == "64.0 GiB, 60.0 GiB free"
    limits = {"job/memory.max": str(8 * 2**30), "job/step/memory.max": "max"}
    groups(monkeypatch, bare, "0::/job/step\n", limits)
    assert found(machine.memory)["memory"].text.startswith("8.0 GiB, 8.0 GiB free (limited")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=2**30))
    assert found(machine.memory)["memory"].state == "note"


SMI = "echo '| NVIDIA-SMI 470.1    Driver Version: 470.1    CUDA Version: 11.4     |'"


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_devices_that_are_not_there(monkeypatch, bare):
    findings = found(machine.devices)
    assert findings["devices"].state == "good"
    assert findings["devices"].text.startswith("CPU only: ")

    stub(bare, "nvidia-smi", "echo 'Driver/library version mismatch' >&2; exit 18")
    finding = found(machine.devices)["devices"]
    assert finding.state == "note"
    assert "Driver/library version mismatch" in finding.text

    stub(bare, "nvidia-smi", SMI)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    finding = found(machine.devices)["devices"]
    assert finding.state == "broken"
    assert "NVIDIA driver 470.1 (CUDA 11.4 at most) does not work with torch for CUDA 13.2" in finding.text
    monkeypatch.setattr(torch.version, "cuda", None)
    finding = found(machine.devices)["devices"]
    assert finding.state == "broken"
    assert "build without CUDA" in finding.text
    assert "CUDA 11.4 or lower" in finding.remedy
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    finding = found(machine.devices)["devices"]
    assert finding.state == "note"
    assert "hidden by CUDA_VISIBLE_DEVICES=''" in finding.text


@pytest.mark.usefixtures("no_gpu")
def test_the_reason_that_torch_gives_is_told(monkeypatch, bare):
    import warnings

    def unavailable():
        warnings.warn("The NVIDIA driver on your system is too old")
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    stub(bare, "nvidia-smi", SMI)
    assert found(machine.devices)["devices"].text.endswith(": The NVIDIA driver on your system is too old")


@pytest.mark.usefixtures("no_gpu")
def test_a_driver_that_hangs(monkeypatch, bare):
    monkeypatch.setattr(machine, "SMI_S", 0.2)
    stub(bare, "nvidia-smi", "sleep 5")
    finding = found(machine.devices)["devices"]
    assert finding.state == "note"
    assert "did not answer within 0.2 s" in finding.text


def test_a_device_that_does_not_compute(monkeypatch):
    def fail(index):
        raise RuntimeError("no kernel image is available for execution on the device")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", fail)
    finding = found(machine.devices)["device cuda:0"]
    assert finding.state == "broken"
    assert "no kernel image" in finding.text


@pytest.mark.gpu
def test_a_device_that_is_there():
    finding = found(machine.devices)["device cuda:0"]
    assert finding.state in ("good", "note")
    assert torch.cuda.get_device_name(0) in finding.text
    assert re.search(r"\d+\.\d GiB, \d+\.\d GiB free; (no )?bf16", finding.text)


# several processes ----------------------------------------------------------------------------------------------


def test_gloo_is_tried(monkeypatch):
    findings = found(cluster.communication)
    assert findings["gloo"].state == "good"
    assert not torch.distributed.is_initialized()
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nosuch0")
    finding = found(cluster.communication)["gloo"]
    assert finding.state == "broken"
    assert "GLOO_SOCKET_IFNAME=nosuch0" in finding.text
    up = [name for name, state in psutil.net_if_stats().items() if state.isup]
    assert all(name in finding.remedy for name in up)


def test_a_host_name_without_an_address(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "no-such-host.invalid")
    finding = found(cluster.communication)["host name"]
    assert finding.state == "note"
    assert "no-such-host.invalid does not resolve" in finding.text
    assert "export GLOO_SOCKET_IFNAME=" in finding.remedy


def test_an_address_that_other_nodes_cannot_reach(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(2, 1, 6, "", ("127.0.1.1", 0))])
    assert found(cluster.communication)["host name"].state == "good"
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    finding = found(cluster.communication)["host name"]
    assert finding.state == "note"
    assert "127.0.1.1, which the other nodes" in finding.text


RANKS = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
JOB = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}
STEP = {**JOB, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "0"}
STEP |= {"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "node[1-2]"}


@pytest.mark.parametrize(
    ("variables", "state", "text"),
    [
        ({}, "good", "1 process: a plain shell"),
        (RANKS, "good", "4 processes by torchrun, this one is rank 1"),
        ({"WORLD_SIZE": "4"}, "broken", "WORLD_SIZE set without RANK, LOCAL_RANK: left"),
        ({**RANKS, "RANK": "4"}, "broken", "RANK=4 is not below WORLD_SIZE=4"),
        ({**RANKS, "RANK": "x"}, "broken", "RANK='x' is no number"),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"}, "good", "1 process in job 7"),
        (JOB, "note", "this allocation has 4 tasks"),
        ({**JOB, "SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"}, "note", "this allocation has 4 tasks"),
        (STEP, "good", "4 processes by srun in job 7, this one is rank 2"),
        ({**STEP, "SLURM_STEP_NUM_NODES": "3"}, "broken", "4 tasks on 3 nodes cannot be spread evenly"),
    ],
)
def test_world_size(variables, state, text, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    [finding] = found(cluster.world).values()
    assert finding.state == state
    assert text in finding.text
    assert bool(finding.remedy) == (state != "good")
    if "allocation has" in text:
        assert "`srun python -m gan_lab.train" in finding.remedy


@pytest.mark.usefixtures("no_gpu")
def test_a_trainer_that_cannot_be(monkeypatch):
    assert found(cluster.trainer)["trainer"].text == "accelerator auto, 1 process: possible here"
    assert found(cluster.trainer, "trainer=ddp", "trainer.devices=2")["trainer"].text.endswith(
        "2 processes: possible here"
    )
    gpu = found(cluster.trainer, "trainer=gpu")["trainer"]
    assert gpu.state == "broken"
    assert gpu.remedy.startswith("trainer=cpu")
    odd = found(cluster.trainer, "trainer=ddp", "trainer.devices=3")["trainer"]
    assert odd.state == "broken"
    assert "leaves a remainder over 3 processes" in odd.text
    for name, value in RANKS.items():
        monkeypatch.setenv(name, value)
    assert found(cluster.trainer)["trainer"].state == "note", "nobody asked for one process"
    refused = found(cluster.trainer, "trainer=ddp", "trainer.devices=2")["trainer"]
    assert refused.state == "broken"
    assert "torchrun started 4 processes" in refused.text
    assert found(cluster.trainer, "trainer=ddp", "trainer.devices=4")["trainer"].state == "good"


def test_more_devices_than_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert found(cluster.trainer, "trainer=gpu")["trainer"].state == "good"
    assert found(cluster.trainer, "trainer=ddp")["trainer"].text == "accelerator auto, 2 processes: possible here"
    finding = found(cluster.trainer, "trainer=ddp", "trainer.devices=4")["trainer"]
    assert finding.state == "broken"
    assert "trainer.devices=4, and 2 are here" in finding.text
    assert (
        found(cluster.trainer, "trainer=ddp", "trainer.devices=4", "trainer.accelerator=cpu")["trainer"].state == "good"
    )


def test_no_slurm():
    assert found(cluster.slurm)["slurm"].state == "good"
    asked = Settings()
    asked.overrides = ("hydra/launcher=slurm",)
    [finding] = examine(cluster.slurm, asked)
    assert finding.state == "broken"
    assert "sbatch" in finding.text


@pytest.fixture
def slurm(bare):
    """A SLURM that answers; `slurm(sinfo=..., sacct=...)` replaces its programs' scripts."""

    def make(**scripts: str) -> None:
        for name, script in scripts.items():
            stub(bare, name, script)

    make(sbatch="exit 0", srun="exit 0", sacct="exit 0", sinfo="echo 'main*|up|2|1/1/0/2'; echo 'urgent|up|4|0/3/1/4'")
    return make


def test_slurm_answers(slurm):
    findings = found(cluster.slurm)
    assert findings["slurm"].text == "answers; partitions main* (2 nodes, 1 idle, up), urgent (4 nodes, 3 idle, up)"
    assert findings["slurm accounting"].state == "good"


def test_slurm_without_accounting(slurm):
    slurm(sacct="echo 'Slurm accounting storage is disabled' >&2; exit 1")
    findings = found(cluster.slurm)
    assert findings["slurm"].state == "good"
    assert findings["slurm accounting"].state == "note"
    assert "accounting storage is disabled" in findings["slurm accounting"].text
    assert "submitit" in findings["slurm accounting"].remedy


@pytest.mark.parametrize(
    ("sinfo", "text"),
    [
        ("echo 'sinfo: error: twice' >&2; echo 'sinfo: fatal: no configuration source' >&2; exit 1", "fatal: no conf"),
        ("sleep 5", "sinfo did not answer within 0.2 s"),
    ],
)
def test_slurm_does_not_answer(sinfo, text, slurm, monkeypatch):
    monkeypatch.setattr(findings, "ANSWER_S", 0.2)
    slurm(sinfo=sinfo)
    [finding] = found(cluster.slurm).values()
    assert finding.state == "note", "a machine of one's own can well have the programs installed"
    assert text in finding.text
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert found(cluster.slurm)["slurm"].state == "broken"


# what a run reads and writes ------------------------------------------------------------------------------------


def test_folders_are_tried_and_left_alone(bare):
    (bare / "runs").mkdir()
    findings = found(data.folders)
    assert {finding.state for finding in findings.values()} <= {"good", "note"}
    assert f"{bare}/runs is writable" in findings["paths.runs_dir"].text
    assert f"{bare}/data can be made" in findings["paths.data_dir"].text
    assert f"{bare}/cache/weights can be made" in findings["paths.weights_dir"].text
    assert list((bare / "runs").iterdir()) == []
    assert not (bare / "cache").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_folders_that_take_no_file(number, monkeypatch):
    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    findings = found(data.folders)
    assert {name: finding.state for name, finding in findings.items()} == {
        "paths.data_dir": "note",
        "paths.runs_dir": "broken",
        "paths.cache_dir": "broken",
        "paths.weights_dir": "note",
    }
    assert os.strerror(number) in findings["paths.runs_dir"].text
    assert "paths.runs_dir=..." in findings["paths.runs_dir"].remedy


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs Linux's /proc, which nobody can write to")
def test_a_folder_that_nobody_can_make():
    finding = found(data.folders, "paths.runs_dir=/proc/runs")["paths.runs_dir"]
    assert finding.state == "broken"
    assert "/proc/runs cannot be written" in finding.text


def test_little_space(monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(psutil, "disk_usage", lambda _: usage(5 * 2**30))
    assert found(data.folders)["paths.runs_dir"].state == "good"
    monkeypatch.setattr(psutil, "disk_usage", lambda _: usage(5 * 2**30 - 1))
    finding = found(data.folders)["paths.runs_dir"]
    assert finding.state == "note"
    assert "5 GiB" in finding.remedy


@pytest.fixture
def few_data_sets(monkeypatch):
    """Of all choices, those that the tests below look at: each costs a composed config."""
    names = ("digits", "mnist", "fashion_mnist", "cifar10", "folder")
    files = [ROOT / "conf" / "data" / f"{name}.yaml" for name in names]
    for module in (data, settings):
        monkeypatch.setattr(module, "choice_files", lambda group: files)


@pytest.mark.usefixtures("few_data_sets")
def test_data_sets_are_found_where_they_are(bare):
    findings = found(data.data_sets)
    assert findings["data digits"].state == "good"
    assert findings["data mnist"].state == "note"
    assert f"not complete under {bare}/data" in findings["data mnist"].text
    assert "data=mnist data.download=true" in findings["data mnist"].remedy
    assert "data=folder data.root=PATH" in findings["data folder"].remedy
    write_mnist(bare / "data")
    findings = found(data.data_sets)
    assert findings["data mnist"].state == "good"
    assert findings["data fashion_mnist"].state == "note"
    (bare / "data" / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"cut")
    assert found(data.data_sets)["data mnist"].state == "note"


@pytest.mark.usefixtures("few_data_sets")
def test_data_sets_of_other_places(bare):
    write_mnist(bare / "shared")
    assert found(data.data_sets, f"paths.data_dir={bare}/shared")["data mnist"].state == "good"
    by_root = found(data.data_sets, f"data.root={bare}/shared")
    assert by_root["data mnist"].state == by_root["data folder"].state == "good"
    assert f"under {bare}/shared" in by_root["data cifar10"].text
    chosen = found(data.data_sets, "data=folder", f"data.root={bare}/shared")
    assert chosen["data folder"].state == "good"
    assert f"under {bare}/data" in chosen["data mnist"].text, "the root of another set"


@pytest.mark.usefixtures("few_data_sets")
def test_a_chosen_data_set_must_be_there(bare):
    assert found(data.data_sets, "data=cifar10")["data cifar10"].state == "broken"
    assert found(data.data_sets, "data=cifar10", "data.download=true")["data cifar10"].state == "note"
    assert found(data.data_sets, "data=folder")["data folder"].state == "broken"
    (bare / "empty").mkdir()
    assert found(data.data_sets, "data=folder", "data.root=empty")["data folder"].state == "broken"


def test_a_misspelt_key_of_data():
    finding = found(data.data_sets, "data.rot=/x")["data"]
    assert finding.state == "broken"
    assert "data.rot" in finding.text


def test_extractors_say_where_they_look(bare):
    findings = found(weights.extractors)
    assert findings["extractor digitnet"].state == "good"
    inception = findings["extractor inception"]
    assert inception.state == "note"
    assert f"{bare}/cache/weights/weights-inception" in inception.text
    assert "https://" in inception.remedy
    assert "unscored" not in inception.text
    assert "train unscored" in found(weights.extractors, "data=cifar10")["extractor inception"].text
    (bare / "mine.pth").write_text("weights")
    mine = found(weights.extractors, "data=cifar10", f"evaluation.extractor.weights={bare}/mine.pth")
    assert mine["extractor inception"].state == "good"
    assert "mine.pth" in mine["extractor inception"].text


def test_nothing_is_downloaded(monkeypatch):
    monkeypatch.setattr(socket, "create_connection", None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    asked = ("data=cifar10", "data.download=true", "evaluation.extractor.download=true")
    findings = {**found(data.data_sets, *asked), **found(weights.extractors, *asked)}
    assert findings["data cifar10"].state == findings["extractor inception"].state == "note"


def test_wandb_tells_no_secret(monkeypatch, bare):
    online = ("logger=wandb", "wandb.mode=online")
    assert found(loggers.wandb)["wandb"].state == "good"
    assert "mode offline, no key" in found(loggers.wandb)["wandb"].text
    assert found(loggers.wandb, *online)["wandb"].state == "broken"
    assert found(loggers.wandb, "wandb.mode=online")["wandb"].state == "note"
    (bare / "home").mkdir()
    (bare / "home" / ".netrc").write_text("machine api.wandb.ai login user password s3cr3t\n")
    (bare / "home" / ".netrc").chmod(0o600)
    by_file = found(loggers.wandb, *online)["wandb"]
    assert by_file.state == "good"
    assert f"key in {bare}/home/.netrc" in by_file.text
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert found(loggers.wandb, *online)["wandb"].state == "broken", "the key of another server"
    monkeypatch.setenv("WANDB_API_KEY", "s3cr3t")
    by_variable = found(loggers.wandb, *online)["wandb"]
    assert by_variable.state == "good"
    assert "s3cr3t" not in str(by_file) + str(by_variable)
    versions(monkeypatch, wandb=None)
    assert found(loggers.wandb)["wandb"].state == "note"
