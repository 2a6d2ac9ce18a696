"""The process group that joins the ranks, and what Lightning is told of them; `topology` finds out which they are."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from pytorch_lightning import Trainer
from pytorch_lightning.plugins.environments import ClusterEnvironment

from gan_lab import collectives
from gan_lab.distributed.topology import Topology

PATIENCE = timedelta(days=1)  # ranks may wait long for an evaluation; that one is dead is noticed by who started it


class Joined(ClusterEnvironment):
    """Tells Lightning what is known already, so that it neither guesses nor starts or requeues anything."""

    def __init__(self, topology: Topology) -> None:
        super().__init__()
        self._topology = topology

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return os.environ.get("MASTER_ADDR", "127.0.0.1")

    @property
    def main_port(self) -> int:
        return int(os.environ.get("MASTER_PORT", 0))

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._topology.world

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self._topology.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self._topology.local_rank

    def node_rank(self) -> int:
        return self._topology.rank // self._topology.local_world


def take_signals_from(trainer: Trainer) -> None:
    """Leave signals to `preemption`: Lightning's handler of TERM speaks to the other ranks inside the handler, and its
    loop asks them, and waits for the device, at every step."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


@contextmanager
def joined(topology: Topology, accelerator: str) -> Iterator[None]:
    """Inside, the ranks are one process group: NCCL where each has a GPU, else gloo.

    Raises:
        RuntimeError: this rank has no GPU of its own where others have.
    """
    if topology.world == 1:
        yield
        return
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    if gpu:
        if torch.cuda.device_count() <= topology.local_rank:
            raise RuntimeError(
                f"rank {topology.rank} is number {topology.local_rank} on its machine and sees "
                f"{torch.cuda.device_count()} GPUs; start one process per GPU, each seeing all of them"
            )
        torch.cuda.set_device(topology.local_rank)
    if topology.starter == "gan_lab":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    dist.init_process_group(
        "nccl" if gpu else "gloo",
        init_method=topology.meeting_point,
        rank=topology.rank,
        world_size=topology.world,
        timeout=PATIENCE,
    )
    with collectives.side_group(PATIENCE):
        yield
    dist.destroy_process_group()  # not after an error: it would wait for ranks that do not come, or fail them first
