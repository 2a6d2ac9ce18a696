"""Processor, memory and accelerators."""

import math
import os
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path

from gan_lab.diagnosis.findings import Finding, ask, ask_line, last_line, one_line
from gan_lab.diagnosis.settings import Settings

SMI_S = 20.0  # for nvidia-smi, which wakes every GPU up
GIB = 2**30
CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cpu(settings: Settings) -> Iterator[Finding]:
    """The processor, and how many of its cores this process may use."""
    import psutil
    from torch.utils import collect_env

    lines = dict(line.split(":", 1) for line in collect_env.get_cpu_info(ask_line).splitlines() if ":" in line)
    model = lines.get("Model name", "model unknown").strip()
    flags = set(lines.get("Flags", "").split())
    native = {"avx512_bf16", "amx_bf16"} & flags
    every = psutil.cpu_count() or 1
    usable = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else every)
    for quota, period in _cpu_quotas():
        usable = min(usable, quota / period)
    bf16 = "bf16 in hardware" if native else "bf16 emulated, slow"
    if "amx_bf16" in flags:  # measured with DCGAN on one thread
        bf16 = "bf16 in hardware with AMX: trainer.precision=bf16-mixed trains convolutions up to 1.8 times faster"
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
    for line in OWN_CGROUPS.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = CGROUPS / controller if controllers else CGROUPS
        folder = top / path.lstrip("/")
        for group in (folder, *folder.parents):
            files = [group / name for name in names]
            if all(file.is_file() for file in files):
                yield [word for file in files for word in file.read_text(encoding="utf-8").split()]
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
        text = f"CPU only, but nvidia-smi is here and fails: {last_line(smi[2] or smi[1], smi[0])}"
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
