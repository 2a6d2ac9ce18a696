"""Which process of how many this is, as whoever started it says; and whether that is what the config asks for."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

STRATEGY = "gan_ddp"
MEETING_POINT = "GAN_LAB_MEETING_POINT"  # set for the ranks that `launcher` starts
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"  # where torchrun, too, wants to find why a rank failed
FIRST_PORT, PORTS = 12000, 18000  # below the range from which systems give out ports by themselves


@dataclass(frozen=True)
class Topology:
    """One process among those that train together.

    Attributes:
        rank: 0 .. world - 1.
        world: number of processes.
        local_rank: number on this machine.
        local_world: processes on this machine, the same on each.
        meeting_point: how they find each other, as torch's `init_method`.
        starter: who started them: srun, torchrun (or what sets the same variables), gan_lab; "" for one process.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    meeting_point: str = ""
    starter: str = ""


def find_topology(environ: Mapping[str, str] = os.environ) -> Topology:
    """This process's topology, from the variables of torchrun, of our own launcher, or of a SLURM step.

    Raises:
        ValueError: inside an allocation of several tasks, but not started by srun; or tasks spread unevenly.
    """
    if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= environ.keys():
        rank, world, local_rank = (int(environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        local_world = int(environ.get("LOCAL_WORLD_SIZE", world))
        own = environ.get(MEETING_POINT)
        if world == 1:
            return Topology()
        return Topology(rank, world, local_rank, local_world, own or "env://", "gan_lab" if own else "torchrun")
    tasks = int(environ.get("SLURM_STEP_NUM_TASKS", 1)) if "SLURM_STEP_ID" in environ else 1
    if tasks > 1:
        nodes = int(environ.get("SLURM_STEP_NUM_NODES", environ.get("SLURM_NNODES", 1)))
        if tasks % nodes or "," in environ.get("SLURM_STEP_TASKS_PER_NODE", ""):
            raise ValueError(
                f"{tasks} tasks on {nodes} nodes cannot be spread evenly; ask for --ntasks-per-node=(devices of a node)"
            )
        rank, local_rank = int(environ["SLURM_PROCID"]), int(environ["SLURM_LOCALID"])
        return Topology(rank, tasks, local_rank, tasks // nodes, _slurm_meeting_point(environ), "srun")
    allocated = int(environ.get("SLURM_NTASKS", 1))
    if allocated > 1:
        raise ValueError(
            f"this allocation has {allocated} tasks (SLURM_NTASKS), but this process was not started by srun and would "
            "train alone; start it by `srun python -m gan_lab.train ...`, or by `srun -n1 ...` for one process"
        )
    return Topology()


def rank_among_others(environ: Mapping[str, str] = os.environ) -> int | None:
    """This process's rank; None where it was started alone."""
    if {"RANK", "WORLD_SIZE"} <= environ.keys() and int(environ["WORLD_SIZE"]) > 1:
        return int(environ["RANK"])
    if "SLURM_STEP_ID" in environ and int(environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return int(environ["SLURM_PROCID"])
    return None


def note_failure(text: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell torchrun or our own launcher why this rank fails; False where it was started otherwise, or alone."""
    if rank_among_others(environ) is None or ERROR_FILE not in environ:
        return False
    about = {"message": text, "extraInfo": {"timestamp": str(int(time.time()))}}
    file = Path(environ[ERROR_FILE])
    if not file.exists():  # the first word tells the cause
        file.write_text(json.dumps({"message": about}), encoding="utf-8")
    return True


def _slurm_meeting_point(environ: Mapping[str, str]) -> str:
    """The first node of the step, at a port that follows from job and step, so that two of them can share a node."""
    from pytorch_lightning.plugins.environments import SLURMEnvironment

    nodes = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST") or "127.0.0.1"
    host = environ.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes)
    number = 31 * int(environ.get("SLURM_JOB_ID", 0)) + int(environ.get("SLURM_STEP_ID", 0))
    return f"tcp://{host}:{environ.get('MASTER_PORT') or FIRST_PORT + number % PORTS}"


def devices_wanted(trainer: Mapping[str, Any], topology: Topology) -> int:
    """How many devices of this machine `trainer.devices` means; "auto" are those that were started, or all GPUs.

    Raises:
        ValueError: neither a number of devices, a list of them, nor auto.
    """
    devices = trainer.get("devices", 1)
    if devices in ("auto", -1, "-1"):
        if topology.world > 1:
            return topology.local_world
        import torch

        usable = trainer.get("accelerator") in ("auto", "gpu", "cuda") and trainer.get("strategy") == STRATEGY
        return max(1, torch.cuda.device_count()) if usable else 1
    chosen = devices_named(trainer)
    try:
        count = int(devices) if chosen is None else len(chosen)
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        raise ValueError(f"trainer.devices must be a number of devices, a list of them, or auto; got {devices!r}")
    return count


def devices_named(trainer: Mapping[str, Any]) -> list[int] | None:
    """The numbers of the devices in `trainer.devices`, where it is a list: [2, 3] or "2,3"."""
    devices = trainer.get("devices", 1)
    if isinstance(devices, str) and "," in devices:
        devices = [part for part in devices.split(",") if part.strip()]
    return [int(device) for device in devices] if isinstance(devices, list) else None


def check_topology(settings: Mapping[str, Any], topology: Topology) -> int:
    """The number of processes that this configuration is trained by, on all nodes together.

    Raises:
        ValueError: not as many were started, they cannot be started from here, or the batch cannot be shared out.
    """
    trainer, data = settings["trainer"], settings["data"]
    for key, value, least in (
        ("trainer.num_nodes", trainer.get("num_nodes", 1), 1),
        ("data.batch_size", data.get("batch_size"), 1),
        ("data.micro_batch_size", data.get("micro_batch_size"), 1),
    ):
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not whole and not (value is None and key.startswith("data.")):  # the data set's class knows whether null
            raise ValueError(f"{key} must be a whole number of at least {least}, got {value!r}")
    strategy, nodes = trainer.get("strategy", "auto"), trainer.get("num_nodes", 1)
    if strategy not in ("auto", STRATEGY):
        raise ValueError(f"trainer.strategy={strategy} does not know GANs; several processes train by trainer=ddp")
    devices = devices_wanted(trainer, topology)
    wanted = devices * nodes
    if wanted > 1 and strategy != STRATEGY:
        raise ValueError(
            f"trainer.devices={trainer.get('devices')} on {nodes} nodes are {wanted} processes: trainer=ddp"
        )
    if topology.world > 1 and topology.world != wanted:
        raise ValueError(
            f"{topology.starter} started {topology.world} processes, but trainer.devices={trainer.get('devices')} on "
            f"trainer.num_nodes={nodes} are {wanted}; set both to what was started ({topology.local_world} per node on "
            f"{topology.world // topology.local_world} nodes), with trainer=ddp"
        )
    if topology.starter in ("srun", "torchrun") and devices_named(trainer) is not None:
        raise ValueError(
            f"trainer.devices={trainer['devices']} names devices, but {topology.starter} has given each process its "
            "own; give their number, and choose them by CUDA_VISIBLE_DEVICES"
        )
    if topology.world == 1 and nodes > 1:
        raise ValueError(
            f"trainer.num_nodes={nodes}, but this is one process on one machine: start it on each node by srun "
            "(slurm/train.sbatch), by torchrun, or use hydra/launcher=slurm with --multirun"
        )
    for key in ("batch_size", "micro_batch_size"):
        if data.get(key) is not None and data[key] % wanted:
            raise ValueError(
                f"data.{key}={data[key]} leaves a remainder over {wanted} processes: it counts all of them, give a "
                f"multiple of {wanted}"
            )
    return wanted


def choose_device(name: str) -> Any:
    """The torch device for "auto", "cpu", "cuda" or "mps".

    Raises:
        ValueError: not one of these, or not there.
    """
    import torch

    names = ("auto", "cpu", "cuda", "mps")
    if name.split(":")[0] not in names:
        close = get_close_matches(name, names, 1)
        raise ValueError(
            f"device must be one of {', '.join(names)}, got {name!r}" + (f"; {close[0]}?" if close else "")
        )
    available = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return available or torch.device("cpu")
    if name != "cpu" and (available is None or available.type != name.split(":")[0]):
        raise ValueError(f"device={name} is not there; this machine has {available or 'cpu'}")
    return torch.device(name)
