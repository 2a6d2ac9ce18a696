"""Networks so small that a step can be worked by hand, and what it takes to train them."""

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningDataModule, Trainer
from torch import Tensor, nn

from gan_lab.augment.base import Augmentation
from gan_lab.callbacks.stop import Stop
from gan_lab.data.images import to_uint8
from gan_lab.data.pictures import grid
from gan_lab.distributed.preemption import signals
from gan_lab.evaluation.scores import Scores
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.runs.checkpoint import CheckpointIO
from gan_lab.sampling import Draws, LabelledInputs

REAL = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # D = 3 and 4 with w = (3, 4)
LATENTS = torch.tensor([[1.0, 1.0], [-1.0, 0.0]])  # D(G) = 7 and -3


class LinearCritic(nn.Module):
    """D(x) = w.x, with w = (3, 4): its slope has norm 5."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, 4.0]))

    def forward(self, samples: Tensor) -> Tensor:
        return samples @ self.weight


class Doubled(Augmentation):
    """Twice the sample, so that D's slope at it is twice that at what D is shown."""

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        return 2 * images


class ScalingGenerator(nn.Module):
    """G(z) = a * z elementwise, with a = (1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, latents: Tensor) -> Tensor:
        return self.scale * latents


def settings(*, d_lr: float = 0.0, g_lr: float = 0.0, **changes: Any) -> dict[str, Any]:
    """The keyword arguments of a GAN with these networks, plain SGD and batches of two."""
    return {
        "generator": ScalingGenerator(),
        "discriminator": LinearCritic(),
        "latent_dim": 2,
        "latent_distribution": "normal",
        "n_critic": 1,
        "generator_batch_size": 2,
        "top_k": None,
        "optimizers": {
            "discriminator": partial(torch.optim.SGD, lr=d_lr),
            "generator": partial(torch.optim.SGD, lr=g_lr),
        },
        "schedules": {},
        "beta2": {},
        "clip_norm": {},
        "freeze": [],
        "ema_half_life_kimg": 10,
        "ema_warmup": None,
        "augment": {},
        "regularizers": {},
        "batch_size": 2,
        "micro_batch_size": None,
        "seed": 0,
    } | changes


class Same(LightningDataModule):
    """The same batch for ever."""

    picture_samples = None
    condition_shape = source_data = None

    def __init__(self, real: Tensor) -> None:
        super().__init__()
        self.real = real

    def train_dataloader(self) -> "Same":
        return self

    def render(self, samples: Tensor) -> Tensor:
        return to_uint8(samples)

    def condition_of(self, samples: Any) -> None:
        """There are no sources."""

    def picture(self, samples: Tensor, columns: int) -> Any:
        return grid(self.render(samples), columns)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return itertools.repeat({"real": self.real})

    def __len__(self) -> int:
        return 2**40


def fix_latents(module: Any, latents: Tensor = LATENTS) -> None:
    """Let every draw give the next rows of `latents`, from its first row again after its last."""
    rows = itertools.cycle(latents)
    module.latents = lambda count: torch.stack(list(itertools.islice(rows, count)))


def fit(
    module: Any,
    *,
    images: int,
    real: Tensor = REAL,
    callbacks: Sequence[Callback] = (),
    folder: Path | None = None,
    resume: Path | None = None,
) -> Trainer:
    """Train until `images` are seen, as the train command does; only what `callbacks` write goes to `folder`."""
    trainer = trainer_of([Stop(images / 1000), *callbacks], folder)
    trainer.fit(module, datamodule=Same(real), ckpt_path=resume, weights_only=True)
    return trainer


class Iterations(Callback):
    """Ends training after so many updates of all networks."""

    def __init__(self, count: int) -> None:
        self.count = count

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        trainer.should_stop = pl_module.steps[pl_module.closing_group] >= self.count


def train_on(module: Any, data: Any, *, iterations: int) -> Trainer:
    """Train on a data set for some iterations."""
    trainer = trainer_of([Iterations(iterations)])
    trainer.fit(module, datamodule=data)
    return trainer


def trainer_of(callbacks: Sequence[Callback], folder: Path | None = None) -> Trainer:
    """One on the CPU that does nothing by itself."""
    return Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        logger=False,
        callbacks=list(callbacks),
        plugins=[CheckpointIO()],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def watch(module: Any) -> list[dict[str, Any]]:
    """A list that grows by an entry per update: its group, the names of what it changed, and the counters after it."""
    seen: list[dict[str, Any]] = []
    updating, count = module.updating, module._count
    before: dict[str, Tensor] = {}

    def values() -> dict[str, Tensor]:
        return {name: value.clone() for name, value in module.state_dict().items()}

    def differing(left: dict[str, Tensor], right: dict[str, Tensor]) -> set[str]:
        return {name for name in left if not torch.equal(left[name], right[name])}

    @contextlib.contextmanager
    def watched(group: str) -> Iterator[Any]:
        before.update(values())
        with updating(group) as step:
            yield step

    def noted(group: str) -> None:
        stepped = values()
        count(group)
        changed, averaged = differing(before, stepped), differing(stepped, values())
        seen.append({"group": group, "changed": changed, "averaged": averaged, "images_seen": module.images_seen})

    module.updating, module._count = watched, noted
    return seen


class ScriptedEvaluation:
    """A stage that gives the next of `values` at each call."""

    def __init__(self, values: Sequence[float], *, higher_is_better: bool = False, protocol: str = "p") -> None:
        self.values, self.higher_is_better, self.protocol = iter(values), higher_is_better, protocol

    def rehearse(self, network: Any, inputs: Any, data: Any, **given: Any) -> None:
        """Nothing to see."""

    def score(self, network: Any, inputs: Any, data: Any, **given: Any) -> Scores:
        value, protocol = next(self.values), self.protocol
        return Scores({"fd9": value}, {"fd9": protocol}, {protocol: {}}, "fd9", self.higher_is_better, 0.0)


# For runs of the train command ----------------------------------------------------------------------------------


class NaNPenalty(Regularizer):
    """A regularizer that becomes NaN at `images`, on the way that the run takes before its first rollback."""

    name = "nan"

    def __init__(self, images: int) -> None:
        super().__init__(1.0, 1)
        self.images = images

    def forward(self, module: Any, phase: Phase) -> Tensor:
        broken = module.images_seen >= self.images and module.draws.detour == 0
        return module.discriminator(phase.real) * (float("nan") if broken else 0.0)


class Dropping(Augmentation):
    """An augmentation that draws from the default generator, as dropout in a network does."""

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        return nn.functional.dropout(images, 0.3)


class Pause(Callback):
    """Once in a run's life, at `images`: says so by a file `paused` in the run's folder and waits for a signal."""

    def __init__(self, images: int) -> None:
        self.images = images

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        mark = Path(trainer.default_root_dir) / "paused"
        if pl_module.images_seen < self.images or mark.exists():
            return
        mark.touch()
        deadline = time.monotonic() + 60
        while signals.received is None and time.monotonic() < deadline:
            time.sleep(0.01)


# A conditional model ---------------------------------------------------------------------------------------------


def labelled_inputs() -> LabelledInputs:
    """Latents of two numbers, and labels of three classes."""
    return LabelledInputs(2, "normal", 3, "uniform")


class LabelPainter(nn.Module):
    """Pictures of one pixel whose upper levels tell the label, and whose lowest bits the latent."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        levels = 100 * labels + self.scale * torch.sigmoid(latents[:, 0])
        return (levels / 127.5 - 1).view(-1, 1, 1, 1)
