"""`python -m gan_lab.doctor`: what this machine, shell or allocation offers a run; a line each, or its remedy.

A check is a function from the settings to findings; `CHECKS` names all in order. "Broken" is what would stop a run of
these settings, or a part of the machine that is there and does not work; a "note" is worth knowing and stops nothing.
"""

import argparse
import codecs
import io
import json
import math
import netrc
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import import_module, metadata
from pathlib import Path
from threading import Thread
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gan_lab.config import PACKAGE, refuse_strays, register, shipped
from gan_lab.doors import message

DISTRIBUTION = "gan-lab-platform"
ANSWER_S = 4.0  # for another program
SMI_S = 20.0  # for nvidia-smi, which wakes every GPU up
CHECK_S = 60.0  # for a check: a library on a slow file system takes its time to load
GIB = 2**30
LITTLE_SPACE = 5 * GIB
WRITTEN = 2**20  # bytes that a folder must take, so that a full disk or quota shows
CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
MARKS = {"good": "✓", "note": "!", "broken": "✗"}

State = Literal["good", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        name: of what was looked at.
        state: "good"; "note", which stops nothing; or "broken".
        text: what was found.
        remedy: what to do about it; empty where there is nothing to do.
    """

    name: str
    state: State
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        end = "" if self.text.endswith("?") else "."
        remedy = f"{end} Remedy: {self.remedy}" if self.remedy else ""
        return f"{MARKS[self.state]} {self.name:<20} {self.text}{remedy}"


class SettingsError(ValueError):
    """The settings do not compose; the message says why."""


class Settings:
    """The training config that overrides make, composed when first asked for.

    Args:
        overrides: as for `gan_lab.train`: `group=choice` and `key=value`.
    """

    def __init__(self, overrides: Sequence[str] = ()) -> None:
        self.overrides = tuple(overrides)

    def names(self, *keys: str) -> bool:
        """Whether the command line gives one of these keys or groups."""
        return any(override.partition("=")[0].lstrip("+") in keys for override in self.overrides)

    @cached_property
    def for_any_data(self) -> list[str]:
        """Overrides of `data.` without a choice of data: for whichever sets have these keys, if the default has not."""
        if self.names("data", "experiment"):
            return []
        return [override for override in self.overrides if override.startswith("data.")]

    @cached_property
    def config(self) -> DictConfig:
        """The config, with Hydra's own node; raises SettingsError."""
        return compose([override for override in self.overrides if override not in self.for_any_data])

    @property
    def chosen(self) -> dict[str, str]:
        """The choice of each group."""
        return dict(self.config.hydra.runtime.choices)

    def choices(self, group: str, place: str) -> Iterator[tuple[str, bool, Any]]:
        """Every choice of a group: (name, whether it is the one of these settings, its node or its SettingsError)."""
        paths = [override for override in self.overrides if override.startswith("paths")]
        for file in choice_files(group):
            chosen = file.stem == self.chosen.get(group)
            known = {f"{place}.{key!s}" for key in OmegaConf.load(file)}
            own = [override for override in self.for_any_data if override.partition("=")[0] in known]
            try:
                config = self.config if chosen and not own else compose([f"{group}={file.stem}", *paths, *own])
                yield file.stem, chosen, OmegaConf.select(config, place)
            except SettingsError as error:
                yield file.stem, chosen, error


def choice_files(group: str) -> list[Path]:
    """The files of a group, such as `data` or `extractor@evaluation.extractor`."""
    return sorted((shipped("conf") / group.partition("@")[0]).glob("*.yaml"))


def compose(overrides: Sequence[str]) -> DictConfig:
    """The training config, with Hydra's own node.

    Raises:
        SettingsError: it does not compose.
    """
    import hydra

    try:
        with hydra.initialize_config_dir(register(), version_base="1.3"):
            config = hydra.compose("train", [*overrides], return_hydra_config=True)
            refuse_strays(without_hydra(config))
            return config
    except Exception as error:
        raise SettingsError(one_line(message(error).partition("\nConfig search path")[0])) from error


def without_hydra(config: DictConfig) -> DictConfig:
    """The config without Hydra's node, which no dataclass of ours has."""
    config = config.copy()
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return config


def one_line(text: str) -> str:
    """The text without line breaks."""
    return "; ".join(line.strip() for line in text.strip().splitlines() if line.strip())


def ask(*command: str, limit: float | None = None) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of another program, which is ended with its children when it does not answer.

    127 and 124 are the codes of a program that is not there, and of one that took longer than `limit` seconds.
    """
    limit = ANSWER_S if limit is None else limit
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return 127, "", f"{command[0]}: {error.strerror}"
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its children hold the pipes, too
        process.communicate()
        return 124, "", f"{command[0]} did not answer within {limit:g} s"
    return process.returncode, out, err


def ask_line(command: str | Sequence[str]) -> tuple[int, str, str]:
    """`ask`, as `torch.utils.collect_env` gives its commands."""
    return ask(*(shlex.split(command) if isinstance(command, str) else command))


# the software ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Declared:
    """What the package asks for: the range of Python, its requirements, and those of each extra."""

    python: str
    requirements: list[Requirement]
    extras: dict[str, list[Requirement]]


def checkout() -> Path | None:
    """The folder of the checkout that this package runs from; None for an installed one."""
    file = PACKAGE.parent / "pyproject.toml"
    ours = file.is_file() and tomllib.loads(file.read_text()).get("project", {}).get("name") == DISTRIBUTION
    return file.parent if ours else None


def declared() -> Declared:
    """From the checkout's pyproject.toml, which is newer than what an editable install noted; else as installed."""
    if folder := checkout():
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        extras = {
            name: [Requirement(text) for text in texts] for name, texts in project["optional-dependencies"].items()
        }
        return Declared(project["requires-python"], [Requirement(text) for text in project["dependencies"]], extras)
    about = metadata.metadata(DISTRIBUTION)
    every = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    plain = [each for each in every if each.marker is None or each.marker.evaluate({"extra": ""})]
    extras = {
        name: [each for each in every if each not in plain and each.marker and each.marker.evaluate({"extra": name})]
        for name in about.get_all("Provides-Extra") or []
    }
    return Declared(about["Requires-Python"], plain, extras)


def shortcoming(requirement: Requirement) -> str | None:
    """What is wrong with an installed library; None where nothing is."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} {version} is outside {requirement.specifier}"


def python(settings: Settings) -> Iterator[Finding]:
    """Python's version against the supported range."""
    version, wanted = ".".join(str(part) for part in sys.version_info[:3]), declared().python
    if SpecifierSet(wanted).contains(version, prereleases=True):
        yield Finding("python", "good", f"{version} ({wanted}), {sys.executable}")
    else:
        yield Finding(
            "python", "broken", f"{version} is outside {wanted}", "make the environment with a Python of that range"
        )


def libraries(settings: Settings) -> Iterator[Finding]:
    """PyTorch, torchvision, Lightning and the other libraries against the ranges of the package."""
    others = []
    for requirement in declared().requirements:
        wrong = shortcoming(requirement)
        name, wanted = requirement.name, str(requirement.specifier)
        if name not in ("torch", "torchvision", "pytorch-lightning"):
            others.append((requirement, wrong))
        elif wrong:
            yield Finding(name, "broken", wrong, f"pip install '{name}{wanted}'")
        elif name == "pytorch-lightning":
            yield Finding(name, "good", f"{metadata.version(name)} ({wanted})")
        else:
            yield _loaded(name, wanted)
    remedy = " ".join(f"'{requirement}'" for requirement, wrong in others if wrong)
    if remedy:
        yield Finding("libraries", "broken", "; ".join(w for _, w in others if w), f"pip install {remedy}")
    else:
        yield Finding("libraries", "good", f"the {len(others)} others are in their ranges")


def _loaded(name: str, wanted: str) -> Finding:
    """torch or torchvision, which fail to load where one was replaced without the other."""
    try:
        version = import_module(name).__version__
    except Exception as error:
        remedy = "install both anew, together: pip install --force-reinstall torch torchvision"
        return Finding(name, "broken", f"does not load: {one_line(str(error))}", remedy)
    partner = [Requirement(text) for text in metadata.requires(name) or [] if Requirement(text).name == "torch"]
    if wrong := next((found for found in map(shortcoming, partner) if found), None):
        return Finding(name, "broken", f"{version} was made for another torch: {wrong}", "pip install -U torchvision")
    return Finding(name, "good", f"{version} ({wanted})")


def extras(settings: Settings) -> Iterator[Finding]:
    """The optional libraries, and how to install those that are absent."""
    place = checkout()
    for name, requirements in declared().extras.items():
        if name == "dev":
            continue
        wrong = [found for each in requirements if each.name != DISTRIBUTION and (found := shortcoming(each))]
        if wrong:
            remedy = f"pip install -e '{place}[{name}]'" if place else f"pip install '{DISTRIBUTION}[{name}]'"
            yield Finding(f"extra {name}", "note", "; ".join(wrong), f"where it is wanted, {remedy}")
        else:
            versions = [f"{each.name} {metadata.version(each.name)}" for each in requirements]
            yield Finding(f"extra {name}", "good", ", ".join(versions))


# the machine ----------------------------------------------------------------------------------------------------


def cpu(settings: Settings) -> Iterator[Finding]:
    """The processor, and how many of its cores this process may use."""
    import psutil
    from torch.utils import collect_env

    lines = dict(line.split(":", 1) for line in collect_env.get_cpu_info(ask_line).splitlines() if ":" in line)
    model = lines.get("Model name", "model unknown").strip()
    native = {"avx512_bf16", "amx_bf16"} & set(lines.get("Flags", "").split())
    every = psutil.cpu_count() or 1
    usable = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else every)
    for quota, period in _cpu_quotas():
        usable = min(usable, quota / period)
    bf16 = "bf16 in hardware" if native else "bf16 emulated, slow"
    text = f"{model}; {usable:g} of {every} cores usable; {bf16}"
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) > math.ceil(usable):
        yield Finding(
            "cpu", "note", f"{text}; OMP_NUM_THREADS={threads} is more than that", "unset it, or set threads=..."
        )
    else:
        yield Finding("cpu", "good", text)


def memory(settings: Settings) -> Iterator[Finding]:
    """Main memory, and the limit of this process's control group."""
    import psutil

    machine = psutil.virtual_memory()
    total = min([machine.total, *_memory_limits()])
    text = f"{total / GIB:.1f} GiB, {min(machine.available, total) / GIB:.1f} GiB free"
    if total < machine.total:
        text += f" (limited by a control group; the machine has {machine.total / GIB:.1f} GiB)"
    if machine.available < 2 * GIB:
        yield Finding("memory", "note", text, "end other programs, or use data.resident=false")
    else:
        yield Finding("memory", "good", text)


def _cgroup_files(controller: str, *names: str) -> Iterator[list[str]]:
    """The words of files of this process's control groups, from its own group up: of version 2, or 1 `controller`s."""
    if not OWN_CGROUPS.is_file():
        return
    for line in OWN_CGROUPS.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = CGROUPS / controller if controllers else CGROUPS
        folder = top / path.lstrip("/")
        for group in (folder, *folder.parents):
            files = [group / name for name in names]
            if all(file.is_file() for file in files):
                yield [word for file in files for word in file.read_text().split()]
            if group == top:
                break


def _cpu_quotas() -> Iterator[tuple[int, int]]:
    found = [*_cgroup_files("cpu", "cpu.max"), *_cgroup_files("cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us")]
    yield from ((int(quota), int(period)) for quota, period in found if quota not in ("max", "-1"))


def _memory_limits() -> Iterator[int]:
    found = [*_cgroup_files("memory", "memory.max"), *_cgroup_files("memory", "memory.limit_in_bytes")]
    yield from (int(limit) for [limit] in found if limit != "max")


def devices(settings: Settings) -> Iterator[Finding]:
    """Each CUDA or MPS device, tried out, with its memory; or why there is none."""
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    yield from map(_cuda_device, range(count))
    mps = torch.backends.mps.is_available()
    if mps:
        total = torch.mps.recommended_max_memory()
        yield Finding("device mps", "good", f"Apple GPU, {total / GIB:.1f} GiB usable; {_bf16('mps')}")
    if not count and not mps:
        yield _no_device(one_line("; ".join(str(each.message) for each in said)))


def _cuda_device(index: int) -> Finding:
    import torch

    name, place = f"device cuda:{index}", f"cuda:{index}"
    try:
        about = torch.cuda.get_device_properties(index)
        if (torch.ones(2, device=place) + 1).sum().item() != 4:
            raise RuntimeError("1 + 1 is not 2 there")
        free, total = torch.cuda.mem_get_info(index)
    except RuntimeError as error:
        remedy = "see nvidia-smi: in use by another's process, failing, or of a kind that this build of torch lacks"
        return Finding(name, "broken", f"does not compute: {one_line(str(error))}", remedy)
    text = f"{about.name}, {total / GIB:.1f} GiB, {free / GIB:.1f} GiB free; {_bf16(place)}"
    if free < total / 2:
        return Finding(name, "note", text, "nvidia-smi shows who uses it; choose others by CUDA_VISIBLE_DEVICES")
    return Finding(name, "good", text)


def _bf16(place: str) -> str:
    import torch

    if place.startswith("cuda"):
        with torch.cuda.device(place):
            return "bf16 in hardware" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16"
    try:
        torch.ones(1, device=place, dtype=torch.bfloat16).add_(1)
        return "bf16"
    except (RuntimeError, TypeError):
        return "no bf16"


def _no_device(said: str) -> Finding:
    """Why PyTorch sees no device: there is none, it is hidden, or driver and build do not go together."""
    import torch
    from torch.utils import collect_env

    smi = ask(*shlex.split(collect_env.get_nvidia_smi()), limit=SMI_S)
    if smi[0] == 127:
        return Finding("devices", "good", "CPU only: small images train in minutes to hours, large ones need a GPU")
    if smi[0] != 0:
        text = f"CPU only, but nvidia-smi is here and fails: {_last_line(smi[2] or smi[1], smi[0])}"
        return Finding("devices", "note", text, "if this machine has GPUs, reboot it or install its driver anew")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and (not hidden or hidden.startswith("-")):
        text = f"the GPUs of this machine are hidden by CUDA_VISIBLE_DEVICES={hidden!r}"
        return Finding("devices", "note", text, "unset it to use them")
    driver = collect_env.get_nvidia_driver_version(lambda _: smi)
    most = collect_env.run_and_parse_first_match(lambda _: smi, "", r"CUDA Version: (\S+)")
    if torch.version.cuda is None:
        text = f"NVIDIA driver {driver} is here, but torch {torch.__version__} is a build without CUDA"
        remedy = f"install torch and torchvision for CUDA {most} or lower (https://pytorch.org/get-started)"
        return Finding("devices", "broken", text, remedy)
    text = f"NVIDIA driver {driver} (CUDA {most} at most) does not work with torch for CUDA {torch.version.cuda}"
    remedy = f"a newer driver, or torch and torchvision for CUDA {most} or lower (https://pytorch.org/get-started)"
    return Finding("devices", "broken", f"{text}: {said}" if said else text, remedy)


# several processes ----------------------------------------------------------------------------------------------


def communication(settings: Settings) -> Iterator[Finding]:
    """NCCL in this build; gloo, tried by a group of one process; and whether this host's name has an address."""
    import torch
    import torch.distributed as dist

    if not dist.is_available():
        yield Finding(
            "gloo", "broken", "this build of torch has no torch.distributed", "install a build from pytorch.org"
        )
        return
    if dist.is_nccl_available():
        yield Finding("nccl", "good", ".".join(str(part) for part in torch.cuda.nccl.version()))
    elif torch.cuda.is_available():
        yield Finding("nccl", "note", "not in this build: several GPUs train over gloo, slowly", "a build with NCCL")
    else:
        yield Finding("nccl", "good", "not in this build, and there is no GPU that needs it")
    interface = os.environ.get("GLOO_SOCKET_IFNAME")
    try:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        try:
            dist.all_reduce(torch.ones(1))
        finally:
            dist.destroy_process_group()
        over = f" over GLOO_SOCKET_IFNAME={interface}" if interface else ""
        yield Finding("gloo", "good", f"a group of one process works{over}")
    except (RuntimeError, ValueError) as error:
        over = f"GLOO_SOCKET_IFNAME={interface}" if interface else "no GLOO_SOCKET_IFNAME"
        yield Finding("gloo", "broken", f"no group with {over}: {one_line(str(error))}", _interface_remedy())
    yield _host_name(interface)


def _host_name(interface: str | None) -> Finding:
    """Gloo listens on the address of the host's name unless it is told an interface."""
    name = socket.gethostname()
    try:
        addresses = sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None)})
    except OSError as error:
        text = f"{name} does not resolve ({error.strerror or error}): ranks cannot find one another over gloo"
        return Finding("host name", "good" if interface else "note", text, "" if interface else _interface_remedy())
    text = f"{name} is {', '.join(addresses)}"
    nodes = os.environ.get("SLURM_JOB_NUM_NODES", "1")
    if nodes != "1" and not interface and all(each.startswith("127.") or each == "::1" for each in addresses):
        text += f", which the other nodes of this allocation ({nodes} in all) cannot reach"
        return Finding("host name", "note", text, _interface_remedy())
    return Finding("host name", "good", text)


def _interface_remedy() -> str:
    import psutil

    names = ", ".join(name for name, state in psutil.net_if_stats().items() if state.isup)
    return f"export GLOO_SOCKET_IFNAME=... with one of this machine's interfaces: {names} (lo: within this machine)"


def world(settings: Settings) -> Iterator[Finding]:
    """How many processes a training started here would be, by the variables of torchrun or SLURM."""
    from gan_lab.distributed.place import find_place

    here = [name for name in LAUNCHED if name in os.environ]
    odd = [f"{name}={os.environ[name]!r}" for name in here if not os.environ[name].isdecimal()]
    if odd or 0 < len(here) < len(LAUNCHED):
        absent = ", ".join(name for name in LAUNCHED if name not in here)
        text = f"{', '.join(odd)} is no number" if odd else f"{', '.join(here)} set without {absent}"
        text += ": left over from a launcher?"
        yield Finding("world size", "broken", text, f"unset {' '.join(here)}")
        return
    try:
        place = find_place()
    except ValueError as error:
        # In the shell of a batch job that is as it should be: the script goes on with srun.
        state: State = "note" if os.environ.get("SLURM_STEP_NUM_TASKS", "1") == "1" else "broken"
        text, _, remedy = str(error).partition("; ")
        yield Finding("world size", state, text, remedy or "look at the SLURM_ variables of this shell")
        return
    job = f" in job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
    if place.rank >= place.world:
        text = f"RANK={place.rank} is not below WORLD_SIZE={place.world}"
        yield Finding("world size", "broken", text, f"unset {' '.join(LAUNCHED)}, and let torchrun set them")
    elif place.world > 1:
        text = f"{place.world} processes by {place.starter}{job}, this one is rank {place.rank}"
        yield Finding("world size", "good", text)
    else:
        yield Finding("world size", "good", f"1 process{job or ': a plain shell, no torchrun and no allocation'}")


LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def trainer(settings: Settings) -> Iterator[Finding]:
    """Whether the devices and processes that the settings ask for are here."""
    import torch

    from gan_lab.distributed.place import Place, check_place, devices_wanted, find_place

    asked: Any = OmegaConf.to_container(settings.config.trainer, resolve=True)
    accelerator, count = asked.get("accelerator"), torch.cuda.device_count() if torch.cuda.is_available() else 0
    # What nobody asked for in so many words is not broken.
    state: State = "broken" if any(override.startswith("trainer") for override in settings.overrides) else "note"
    try:
        place = find_place()
    except ValueError:  # told by `world`
        place = Place()
    mps = torch.backends.mps.is_available()
    if (
        accelerator in ("gpu", "cuda", "mps")
        and not (count and accelerator != "mps")
        and not (mps and accelerator != "cuda")
    ):
        remedy = "trainer=cpu, or run where there is one (in an allocation: ask SLURM for it with --gpus-per-node)"
        yield Finding("trainer", state, f"trainer.accelerator={accelerator}, and no such device is here", remedy)
        return
    try:
        number = check_place({"trainer": asked, "data": settings.config.data}, place)
    except ValueError as error:
        yield Finding("trainer", state, str(error), "change the settings or the way of starting as it says")
        return
    if place.world == 1 and count and accelerator != "cpu" and devices_wanted(asked, place) > count:
        text = f"trainer.devices={asked['devices']}, and {count} are here"
        yield Finding("trainer", state, text, f"trainer.devices={count}, or run where there are more")
        return
    yield Finding(
        "trainer", "good", f"accelerator {accelerator}, {number} process{'es' if number > 1 else ''}: possible here"
    )


def slurm(settings: Settings) -> Iterator[Finding]:
    """Whether SLURM is here and answers, its partitions, and its accounting, which submitit needs."""
    wanted = "hydra/launcher=slurm" in settings.overrides
    absent = [name for name in ("sinfo", "sbatch", "srun") if shutil.which(name) is None]
    if len(absent) == 3 and not wanted:
        yield Finding("slurm", "good", "not here, and not needed on a machine of one's own")
        return
    if absent:
        text = f"{', '.join(absent)} not found on PATH"
        yield Finding(
            "slurm", "broken" if wanted else "note", text, "on a cluster: module load slurm, or ask its admins"
        )
        return
    code, out, err = ask("sinfo", "--noheader", "--format=%P|%a|%D|%F")
    if code != 0:
        state: State = "broken" if wanted or "SLURM_JOB_ID" in os.environ else "note"
        remedy = "on a cluster: set SLURM_CONF or ask its admins; elsewhere nothing, only hydra/launcher=slurm needs it"
        yield Finding("slurm", state, f"sinfo gives no answer: {_last_line(err, code)}", remedy)
        return
    rows = [line.split("|") for line in out.splitlines() if line.count("|") == 3]
    partitions = [f"{name} ({nodes} nodes, {used.split('/')[1]} idle, {up})" for name, up, nodes, used in rows]
    yield Finding("slurm", "good", f"answers; partitions {', '.join(partitions) or 'none'}")
    code, _, err = ask("sacct", "--noheader", "--allocations", "--starttime=now", "--format=JobID")
    if code == 0:
        yield Finding("slurm accounting", "good", "sacct answers")
    else:
        remedy = (
            "use slurm/*.sbatch, which need none, or ask the admins: submitit never notices a cancelled job without"
        )
        text = f"sacct gives no answer: {_last_line(err, code)}"
        yield Finding("slurm accounting", "broken" if wanted else "note", text, remedy)


def _last_line(err: str, code: int) -> str:
    return (err.strip().splitlines() or [f"exit code {code}"])[-1]


# what a run reads and writes ------------------------------------------------------------------------------------


def composition(settings: Settings) -> Iterator[Finding]:
    """Whether the settings compose."""
    chosen = settings.chosen
    text = ", ".join(f"{group}={chosen[group]}" for group in ("model", "network", "data", "trainer"))
    yield Finding("settings", "good", f"compose: {text}")


def folders(settings: Settings) -> Iterator[Finding]:
    """The folders of `paths`: writable, and with space."""
    for key in settings.config.paths:
        # Shared data and weights may well be there for reading alone.
        yield _folder(str(key), Path(settings.config.paths[key]), read_only="note" if key in READABLE else "broken")


READABLE = ("data_dir", "weights_dir")


def _folder(key: str, place: Path, *, read_only: State) -> Finding:
    """A folder, or the one in which it would be made, after writing a file to it that is gone afterwards."""
    import psutil

    name, place, remedy = f"paths.{key}", place.expanduser().absolute(), f"paths.{key}=... to another folder"
    try:
        nearest = next(folder for folder in (place, *place.parents) if folder.exists())
        if not nearest.is_dir():
            return Finding(name, "broken", f"{nearest} is a file", remedy)
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(bytes(WRITTEN))
            file.flush()
            os.fsync(file.fileno())
        free = psutil.disk_usage(str(nearest)).free
    except OSError as error:
        text = f"{place} cannot be written: {error.strerror or error}"
        return Finding(name, read_only, text, f"make room or allow it, or {remedy}")
    text = f"{place} {'is writable' if nearest == place else 'can be made'}, {free / GIB:.1f} GiB free"
    if free < LITTLE_SPACE:
        return Finding(name, "note", text, f"make room: runs and data sets need {LITTLE_SPACE // GIB} GiB, or {remedy}")
    return Finding(name, "good", text)


def data_sets(settings: Settings) -> Iterator[Finding]:
    """Every data set of `conf/data`: found, or where to put it. Nothing is downloaded."""
    known = {f"data.{key!s}" for file in choice_files("data") for key in OmegaConf.load(file)}
    for key in (override.partition("=")[0] for override in settings.for_any_data):
        if key not in known:
            yield Finding("data", "broken", f"unknown key {key}: no data set has it", "see conf/data/*.yaml")
    for name, chosen, node in settings.choices("data", "data"):
        if isinstance(node, SettingsError):
            yield Finding(f"data {name}", "broken", str(node), f"see conf/data/{name}.yaml")
        else:
            yield _data_set(name, chosen, node)


def _data_set(name: str, chosen: bool, node: Any) -> Finding:
    from hydra.utils import instantiate

    from gan_lab.data.decoded import DecodedImages

    line = f"data {name}"
    state: State = "broken" if chosen else "note"
    if OmegaConf.is_missing(node, "root"):
        return Finding(line, state, "lies wherever you say", f"data={name} data.root=PATH")
    if "root" not in node:
        return Finding(line, "good", "needs no files")
    root = Path(node.root).expanduser().absolute()
    fetched = "download" in node
    try:
        if fetched:
            data = instantiate(OmegaConf.merge(node, {"download": False}), _convert_="all")
            (data.source if isinstance(data, DecodedImages) else data.reference)("train")
            return Finding(line, "good", f"complete under {root}")
        if root.is_file() or any(root.iterdir()):
            return Finding(line, "good", f"found: {root}")
    except OSError:
        pass
    if node.get("download"):
        return Finding(line, "note", f"not complete under {root}; the run will download it")
    remedy = f"put it there, say where it is with data={name} data.root=PATH"
    if fetched:
        remedy += f", or fetch it with data={name} data.download=true"
    return Finding(line, state, f"not {'complete' if fetched else 'found'} under {root}", remedy)


def extractors(settings: Settings) -> Iterator[Finding]:
    """Every extractor of `conf/extractor`: its weights, or where they are looked for."""
    from hydra.utils import get_class

    for name, chosen, node in settings.choices("extractor@evaluation.extractor", "evaluation.extractor"):
        if isinstance(node, SettingsError):
            yield Finding(f"extractor {name}", "broken", str(node), f"see conf/extractor/{name}.yaml")
            continue
        arguments = {str(key): node[key] for key in node if not str(key).startswith("_")}
        if "download" in arguments:
            arguments["download"] = False
        kind: Any = get_class(node._target_)
        missing = kind.missing_weights(**arguments)
        if missing is None:
            place = arguments.get("weights") or "where it looks by itself"
            yield Finding(f"extractor {name}", "good", f"weights found: {place}")
        else:
            text, _, remedy = missing.partition(": ")
            text += "; runs of these settings train unscored" if chosen else ""
            yield Finding(f"extractor {name}", "note", text, remedy)


def wandb(settings: Settings) -> Iterator[Finding]:
    """Weights & Biases: installed, its mode, and whether a key is at hand (which is not shown)."""
    try:
        version = metadata.version("wandb")
    except metadata.PackageNotFoundError:
        yield Finding("wandb", "note", "not installed", "where it is wanted, pip install wandb")
        return
    mode, used = settings.config.wandb.mode, "wandb" in settings.config.logger
    key = _wandb_key()
    text = f"{version}, {'on' if used else 'off (logger=wandb)'}, mode {mode}, {key or 'no key'}"
    if mode == "online" and key is None:
        state: State = "broken" if used else "note"
        yield Finding("wandb", state, text, "wandb login, or WANDB_API_KEY in the environment, or wandb.mode=offline")
    else:
        yield Finding("wandb", "good", text)


def _wandb_key() -> str | None:
    """Where a key for W&B's server is; None where there is none."""
    if os.environ.get("WANDB_API_KEY"):
        return "key in WANDB_API_KEY"
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").partition("://")[2].split("/")[0]
    own = os.environ.get("NETRC")
    for file in [Path(own)] if own else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            if file.is_file() and netrc.netrc(file).authenticators(host):
                return f"key in {file}"
        except netrc.NetrcParseError:
            return None
    return None


# the door -------------------------------------------------------------------------------------------------------

Check = Callable[[Settings], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    python,
    libraries,
    extras,
    cpu,
    memory,
    devices,
    communication,
    world,
    trainer,
    slurm,
    composition,
    folders,
    data_sets,
    extractors,
    wandb,
)


def examine(check: Check, settings: Settings) -> list[Finding]:
    """The findings of one check; one that fails, or does not come to an end, is a finding, too."""
    found: list[Finding] = []
    name = check.__name__.replace("_", " ")

    def look() -> None:
        try:
            for finding in check(settings):
                found.append(finding)
        except SettingsError as error:
            if check is composition:
                found.append(Finding("settings", "broken", str(error), "mend the command line, or conf/"))
            else:
                found.append(Finding(name, "note", "not looked at further: the settings do not compose"))
        except BaseException as error:
            text = one_line(f"could not be looked at: {type(error).__name__}: {error}")
            found.append(Finding(name, "broken", text, "mend what it names"))

    thread = Thread(target=look, daemon=True)
    thread.start()
    thread.join(CHECK_S)
    if thread.is_alive():
        text = f"no answer within {CHECK_S:g} s"
        return [*found, Finding(name, "broken", text, "look for a file system or a name server that does not answer")]
    return found


def in_ascii(error: UnicodeError) -> tuple[str, int]:
    """For a terminal without ✓ and ✗: signs that stay apart."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join({"✓": "+", "✗": "x"}.get(sign, "?") for sign in text), error.end


def main() -> None:
    """The command."""
    codecs.register_error("gan_lab.doctor", in_ascii)
    lines = "\n".join(f"  {check.__name__:<15} {(check.__doc__ or '-').splitlines()[0]}" for check in CHECKS)
    parser = argparse.ArgumentParser(
        prog="python -m gan_lab.doctor",
        description="Look at all that a run needs, and print a line each: ✓ good, ! worth knowing, ✗ broken.",
        epilog=f"{lines}\n\nexit code: 0, or 1 if anything is broken",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    parser.add_argument("settings", nargs="*", help="as for gan_lab.train: paths.data_dir=/x data=cifar10 ...")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="gan_lab.doctor")
    arguments = parser.parse_intermixed_args()
    settings = Settings(arguments.settings)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what gloo would warn of has a line of its own
    found: list[Finding] = []
    for check in CHECKS:
        for finding in examine(check, settings):
            found.append(finding)
            if not arguments.json:
                print(finding, flush=True)
    broken = sum(finding.state == "broken" for finding in found)
    notes = sum(finding.state == "note" for finding in found)
    if arguments.json:
        print(
            json.dumps({"broken": broken, "notes": notes, "findings": [asdict(finding) for finding in found]}, indent=1)
        )
    else:
        print(f"\n{len(found)} looked at: {broken} broken, {notes} worth knowing")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
