"""What data parallelism costs: our strategy beside Lightning's `ddp_find_unused_parameters_true`, on 2 gloo ranks.

    python benchmarks/ddp.py [--rounds 7] [--iterations 8]

Prints for n_critic 1 and 5 the bytes that each strategy sends per iteration beside the formula (ours: n_critic D + G,
theirs: (n_critic + 1)(G + D), in bytes of parameters), and the ratio of step times with its spread. Both train the same
model by the same Trainer, round by round in turn in one run; networks without batch norm, since theirs does not
synchronize it.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningDataModule, Trainer
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed as dist
from torch.distributed import GradBucket, group
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from gan_lab import collectives
from gan_lab.callbacks.stop import Stop
from gan_lab.distributed.environment import Joined, joined, take_signals_from
from gan_lab.distributed.launcher import run_ranks
from gan_lab.distributed.strategy import PhaseStrategy
from gan_lab.distributed.topology import find_topology
from gan_lab.models.base import OneProcess
from gan_lab.models.dcgan import DCGAN
from gan_lab.networks.dcgan import DCGANDiscriminator, DCGANGenerator

RANKS, BATCH, WARM = 2, 32, 2
CRITIC_STEPS = (1, 5)


class FindUnused(DDPStrategy, OneProcess):
    """Lightning's recommendation for GANs: the whole module in one `DistributedDataParallel`."""

    def __init__(self, counting: bool) -> None:
        super().__init__(find_unused_parameters=True)
        self.sent, self._counting = 0, counting  # counting takes time, so the rounds that are timed do without

    def configure_ddp(self) -> None:
        super().configure_ddp()
        if self._counting:
            self.model.register_comm_hook(None, self._count)  # type: ignore[operator, union-attr]

    def _count(self, state: Any, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
        self.sent += bucket.buffer().nbytes
        return allreduce_hook(group.WORLD, bucket)


class Ours(PhaseStrategy):
    """Our strategy; counts all that it, or anything else in the process, sends by all-reduce or broadcast."""

    def __init__(self, counting: bool) -> None:
        super().__init__()
        self.sent, self._counting = 0, counting

    def configure_ddp(self) -> None:
        super().configure_ddp()
        if self._counting:
            for name in ("all_reduce", "broadcast"):
                setattr(dist, name, self._counted(getattr(dist, name)))

    def teardown(self) -> None:
        super().teardown()
        for name in ("all_reduce", "broadcast"):
            function = getattr(dist, name)
            setattr(dist, name, getattr(function, "uncounted", function))

    def _counted(self, function: Any) -> Any:
        def counted(tensor: torch.Tensor, *rest: Any, **options: Any) -> Any:
            self.sent += tensor.nbytes
            return function(tensor, *rest, **options)

        counted.uncounted = function  # type: ignore[attr-defined]
        return counted


KINDS = {"ours": Ours, "theirs": FindUnused}


class Clock(Callback):
    """Seconds and bytes of each iteration."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.bytes: list[int] = []

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._last, self._sent = time.perf_counter(), 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *rest: Any) -> None:
        if pl_module.iteration_ended:
            now, sent = time.perf_counter(), trainer.strategy.sent  # type: ignore[attr-defined]
            self.seconds.append(now - self._last)
            self.bytes.append(sent - self._sent)
            self._last, self._sent = now, sent


class Reals(LightningDataModule):
    """The same batch for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.batch = {"real": torch.rand(BATCH // RANKS, 3, 32, 32) * 2 - 1}

    def train_dataloader(self) -> Any:
        return self

    def __iter__(self) -> Any:
        while True:
            yield self.batch

    def __len__(self) -> int:
        return 2**40


def model(n_critic: int) -> DCGAN:
    torch.manual_seed(0)
    shape = {"sample_shape": (3, 32, 32), "max_width": 512, "normalization": "none", "initialization": "he"}
    adam = partial(torch.optim.Adam, lr=1e-4)
    return DCGAN(
        real_target=1.0,
        generator=DCGANGenerator(latent_dim=100, width=96, **shape),
        discriminator=DCGANDiscriminator(width=32, **shape),
        latent_dim=100,
        latent_distribution="normal",
        n_critic=n_critic,
        generator_batch_size=BATCH,
        top_k=None,
        optimizers={"discriminator": adam, "generator": adam},
        schedules={},
        beta2={},
        clip_norm={},
        freeze=[],
        ema_half_life_kimg=None,
        ema_warmup=None,
        augment={},
        regularizers={},
        batch_size=BATCH,
        micro_batch_size=None,
        seed=0,
    )


def one_round(strategy: Any, n_critic: int, iterations: int) -> Clock:
    clock = Clock()
    trainer = Trainer(
        accelerator="cpu",
        devices=RANKS,
        strategy=strategy,
        plugins=[Joined(find_topology())],
        max_epochs=-1,
        callbacks=[Stop((WARM + iterations) * n_critic * BATCH / 1000), clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    take_signals_from(trainer)
    trainer.fit(model(n_critic), datamodule=Reals())
    return clock


def as_rank(rounds: int, iterations: int, out: Path) -> None:
    torch.set_num_threads(1)
    with joined(find_topology(), "cpu"):
        found: dict[str, Any] = {}
        for n_critic in CRITIC_STEPS:
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(one_round(Ours(counting=False), n_critic, iterations))
                theirs.append(one_round(FindUnused(counting=False), n_critic, iterations))
            counted = {name: one_round(kind(True), n_critic, 1) for name, kind in KINDS.items()}
            found[str(n_critic)] = {
                name: {"bytes": bytes_sent, "seconds": [statistics.median(clock.seconds[WARM:]) for clock in done]}
                for name, done, bytes_sent in (
                    ("ours", ours, counted["ours"].bytes[-1]),
                    ("theirs", theirs, counted["theirs"].bytes[-1]),
                )
            }
        if collectives.rank() == 0:
            out.write_text(json.dumps(found))


def show(found: dict[str, Any]) -> bool:
    """Print the figures; whether the bytes are those of the formulas, within 1 %."""
    networks = model(1)
    g, d = (sum(p.nbytes for p in network.parameters()) for network in (networks.generator, networks.discriminator))
    print(f"G {g:,} bytes, D {d:,} bytes; {RANKS} ranks, one thread each, batch {BATCH}, gloo")
    right = True
    for n_critic in CRITIC_STEPS:
        ours, theirs = found[str(n_critic)]["ours"], found[str(n_critic)]["theirs"]
        for name, sent, formula in (
            ("ours", ours["bytes"], n_critic * d + g),
            ("theirs", theirs["bytes"], (n_critic + 1) * (g + d)),
        ):
            right = right and abs(sent / formula - 1) < 0.01
            print(f"bytes n_critic={n_critic} {name:<6} {sent:>12,.0f}  formula {formula:>12,}  {sent / formula:.4f}")
        ratios = sorted(a / b for a, b in zip(ours["seconds"], theirs["seconds"], strict=True))
        print(
            f"ratio step_time_n_critic{n_critic} {statistics.median(ratios):.3f}  "
            f"({ratios[0]:.3f} to {ratios[-1]:.3f}; ours {1e3 * statistics.median(ours['seconds']):.1f} ms)"
        )
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.out is not None:
        as_rank(chosen.rounds, chosen.iterations, chosen.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        arguments = ["--rounds", str(chosen.rounds), "--iterations", str(chosen.iterations), "--out", str(out)]
        run_ranks("benchmarks.ddp", arguments, RANKS)
        sys.exit(0 if show(json.loads(out.read_text())) else 1)


if __name__ == "__main__":
    main()
