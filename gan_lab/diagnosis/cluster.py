"""Processes: how ranks reach each other, how many would start here, SLURM."""

import os
import shutil
import socket
from collections.abc import Iterator
from typing import Any

from omegaconf import OmegaConf

from gan_lab.diagnosis.findings import Finding, State, ask, last_line, one_line
from gan_lab.diagnosis.settings import Settings


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
    from gan_lab.distributed.topology import find_topology

    here = [name for name in LAUNCHED if name in os.environ]
    odd = [f"{name}={os.environ[name]!r}" for name in here if not os.environ[name].isdecimal()]
    if odd or 0 < len(here) < len(LAUNCHED):
        absent = ", ".join(name for name in LAUNCHED if name not in here)
        text = f"{', '.join(odd)} is no number" if odd else f"{', '.join(here)} set without {absent}"
        text += ": left over from a launcher?"
        yield Finding("world size", "broken", text, f"unset {' '.join(here)}")
        return
    try:
        topology = find_topology()
    except ValueError as error:
        # In the shell of a batch job that is as it should be: the script goes on with srun.
        state: State = "note" if os.environ.get("SLURM_STEP_NUM_TASKS", "1") == "1" else "broken"
        text, _, remedy = str(error).partition("; ")
        yield Finding("world size", state, text, remedy or "look at the SLURM_ variables of this shell")
        return
    job = f" in job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
    if topology.rank >= topology.world:
        text = f"RANK={topology.rank} is not below WORLD_SIZE={topology.world}"
        yield Finding("world size", "broken", text, f"unset {' '.join(LAUNCHED)}, and let torchrun set them")
    elif topology.world > 1:
        text = f"{topology.world} processes by {topology.starter}{job}, this one is rank {topology.rank}"
        yield Finding("world size", "good", text)
    else:
        yield Finding("world size", "good", f"1 process{job or ': a plain shell, no torchrun and no allocation'}")


LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def trainer(settings: Settings) -> Iterator[Finding]:
    """Whether the devices and processes that the settings ask for are here."""
    import torch

    from gan_lab.distributed.topology import Topology, check_topology, devices_wanted, find_topology

    asked: Any = OmegaConf.to_container(settings.config.trainer, resolve=True)
    accelerator, count = asked.get("accelerator"), torch.cuda.device_count() if torch.cuda.is_available() else 0
    # What nobody asked for in so many words is not broken.
    state: State = "broken" if any(override.startswith("trainer") for override in settings.overrides) else "note"
    try:
        topology = find_topology()
    except ValueError:  # told by `world`
        topology = Topology()
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
        number = check_topology({"trainer": asked, "data": settings.config.data}, topology)
    except ValueError as error:
        yield Finding("trainer", state, str(error), "change the settings or the way of starting as it says")
        return
    if topology.world == 1 and count and accelerator != "cpu" and devices_wanted(asked, topology) > count:
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
        yield Finding("slurm", state, f"sinfo gives no answer: {last_line(err, code)}", remedy)
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
        text = f"sacct gives no answer: {last_line(err, code)}"
        yield Finding("slurm accounting", "broken" if wanted else "note", text, remedy)
