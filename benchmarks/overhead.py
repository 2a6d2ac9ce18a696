"""gan_lab's training loop beside a bare PyTorch loop: python benchmarks/overhead.py

Both train the same networks with the same optimizer, moving average, memory layout, resident data, batch and updates,
in one process, in turn, a few iterations each. Prints `ratio NAME VALUE` (images/s of gan_lab over the bare loop's;
median and range over the rounds) and, for a tiny MLP, the milliseconds per iteration that gan_lab adds; then the time
from the command to the first update on digits, and what it is spent on.
"""

import argparse
import contextlib
import copy
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bare_translation import BareCycleGAN, BarePix2Pix
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pytorch_lightning import Callback, Trainer
from torch.nn import functional as F

from gan_lab.config import register
from gan_lab.data.images import from_uint8
from gan_lab.trainer import build_trainer

BATCH = 64
SMALL = ["model.generator.width=16", "model.discriminator.width=16"]
AT_64 = ["data.image_size=64", "data.batch_size=4", "model.ema_half_life_kimg=null"]
CASES = {
    "dcgan32": ["model=dcgan", "network=dcgan"],
    "wgan_gp32": ["model=wgan_gp", "network=dcgan"],
    "pix2pix64": ["model=pix2pix", "network=unet_translator", "condition=outline", *AT_64],
    "cyclegan64": [
        *("model=cyclegan", "network=resnet_translator", "condition=inverted_unpaired", "model.identity_weight=0"),
        *("model.generator.blocks=6", *AT_64, *SMALL),
    ],
    "tiny_mlp": ["model=gan", "network=mlp", *SMALL],
}
ITERATIONS = {"tiny_mlp": 300, "dcgan32": 3, "pix2pix64": 2}  # of a turn; others take one


class Bare:
    """What a person would write by hand: one iteration of a GAN, without any library around it."""

    def __init__(self, model, data) -> None:
        self.generator, self.discriminator = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
        self.average = copy.deepcopy(self.generator)
        self.optimizers = {
            name: model.optimizer_factories[name](list(network.parameters()))
            for name, network in (("discriminator", self.discriminator), ("generator", self.generator))
        }
        self.images = torch.from_numpy(data.reference("train").images)
        self.latent_dim, self.n_critic = model.inputs.latent_dim, model.n_critic
        self.penalized = hasattr(model, "gradient_penalty_weight")
        averaged = [b for n, b in self.average.named_buffers() if "running" in n]
        live = [b for n, b in self.generator.named_buffers() if "running" in n]
        self.averaged = [*self.average.parameters(), *averaged]
        self.live = [*self.generator.parameters(), *live]

    def iteration(self) -> None:
        for _ in range(self.n_critic):
            self.discriminator_step()
        self.generator_step()
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.live, 0.005)

    def discriminator_step(self) -> None:
        chosen = torch.randint(len(self.images), (BATCH,))
        real = from_uint8(self.images.index_select(0, chosen))
        with torch.no_grad():
            fake = self.generator(torch.randn(BATCH, self.latent_dim))
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        if self.penalized:
            mix = torch.rand(BATCH, 1, 1, 1)
            points = (mix * real + (1 - mix) * fake).requires_grad_()
            (gradient,) = torch.autograd.grad(self.discriminator(points).sum(), points, create_graph=True)
            penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
            loss = fake_logits.mean() - real_logits.mean() + 10 * penalty
        else:
            loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        self.optimizers["discriminator"].zero_grad()
        loss.backward()
        self.optimizers["discriminator"].step()

    def generator_step(self) -> None:
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(self.generator(torch.randn(BATCH, self.latent_dim)))
        loss = -logits.mean() if self.penalized else F.softplus(-logits).mean()
        self.optimizers["generator"].zero_grad()
        loss.backward()
        self.optimizers["generator"].step()
        self.discriminator.requires_grad_(True)


BARE = {"pix2pix64": BarePix2Pix, "cyclegan64": BareCycleGAN}


class InTurn(Callback):
    """Stops the clock of gan_lab's loop after every `iterations`, and lets the bare loop run as many."""

    def __init__(self, bare: Callable[[], None], *, iterations: int, rounds: int) -> None:
        self.bare, self.iterations, self.rounds = bare, iterations, rounds
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.count, self.start = 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module, *_) -> None:
        self.count += pl_module.iteration_ended
        if not pl_module.iteration_ended or self.count % self.iterations:
            return
        now = time.perf_counter()
        self.ours.append((now - self.start) / self.iterations)
        start = time.perf_counter()
        for _ in range(self.iterations):
            self.bare()
        self.theirs.append((time.perf_counter() - start) / self.iterations)
        trainer.should_stop = len(self.ours) > self.rounds
        self.start = time.perf_counter()


def measure(name: str, overrides: list[str], *, iterations: int, rounds: int) -> None:
    """Print the line of one case; the first round warms up and does not count."""
    folder = Path(tempfile.mkdtemp())
    intervals = [f"callbacks.{key}.every_kimg=null" for key in ("evaluation", "pictures", "curves", "checkpoint")]
    chosen = ["data=digits", f"data.batch_size={BATCH}", *overrides, *intervals, "total_kimg=1e6", "evaluation=none"]
    with initialize_config_dir(version_base="1.3", config_dir=register()):
        config = compose("train", [*chosen, "trainer=cpu"])
    data = instantiate(config.data, _convert_="all")
    data.setup()
    model = instantiate(config.model, _convert_="all").to(memory_format=torch.channels_last)
    names = ("stop", "metrics", "interruption", "progress")
    bare = BARE.get(name, Bare)(model, data)
    in_turn = InTurn(bare.iteration, iterations=iterations, rounds=rounds)
    callbacks = [*(instantiate(config.callbacks[key], _convert_="all") for key in names), in_turn]
    trainer = build_trainer(
        config.trainer,
        default_root_dir=str(folder),
        callbacks=callbacks,
        logger=False,
    )
    with contextlib.redirect_stdout(io.StringIO()):  # its lines of progress
        trainer.fit(model, datamodule=data)
    ours, theirs = in_turn.ours[1:], in_turn.theirs[1:]
    ratios = sorted(bare / lab for lab, bare in zip(ours, theirs, strict=True))
    ratio = statistics.median(ratios)
    print(f"ratio {name} {ratio:.3f}  (range {ratios[0]:.3f} to {ratios[-1]:.3f}, {len(ratios)} rounds)", flush=True)
    added = sorted(1000 * (lab - bare) for lab, bare in zip(ours, theirs, strict=True))
    speed = getattr(model, "n_critic", 1) * data.batch_size / statistics.median(ours)
    print(
        f"  added {name} {statistics.median(added):.2f} ms per iteration (range {added[0]:.2f} to {added[-1]:.2f}) "
        f"on {1000 * statistics.median(theirs):.2f} ms; {speed:.0f} images/s",
        flush=True,
    )


FIRST_UPDATE = """
import sys, time
started = float(sys.argv.pop(1))
marks = [("interpreter", time.time())]
import torch; marks.append(("import torch", time.time()))
import gan_lab, pytorch_lightning; marks.append(("import Lightning", time.time()))  # in the order of the command
import hydra
from gan_lab import train
marks.append(("import Hydra and gan_lab", time.time()))
fit, prepared = train.fit, train.prepared_evaluation
def timed_fit(*arguments):
    marks.append(("compose the config", time.time()))
    return fit(*arguments)
def timed_preparation(*arguments):
    marks.append(("data, networks, Trainer", time.time()))
    made = prepared(*arguments)
    marks.append(("extractor and reference", time.time()))
    return made
class FirstUpdate(pytorch_lightning.Callback):
    def on_train_start(self, trainer, module):
        marks.append(("start of fit, first picture", time.time()))
    def on_train_batch_end(self, trainer, *_):
        marks.append(("first update", time.time()))
        before = started
        for name, at in marks:
            print(f"  {name:<28} {at - before:6.2f} s", file=sys.stderr)
            before = at
        print(f"first_update {marks[-1][1] - started:.2f} s", file=sys.stderr)
        trainer.should_stop = True
trainer_init = pytorch_lightning.Trainer.__init__
def with_first_update(self, *arguments, callbacks, **settings):
    trainer_init(self, *arguments, callbacks=[*callbacks, FirstUpdate()], **settings)
pytorch_lightning.Trainer.__init__ = with_first_update
train.fit, train.prepared_evaluation = timed_fit, timed_preparation
train.main()
"""


def first_update() -> None:
    """Print how long `python -m gan_lab.train` takes to its first update, with warm file caches."""
    with tempfile.TemporaryDirectory() as folder:
        for attempt in ("cold", "warm"):
            command = [sys.executable, "-c", FIRST_UPDATE, str(time.time()), f"run_dir={folder}/{attempt}"]
            done = subprocess.run(command, capture_output=True, text=True, env=os.environ, cwd=folder, check=False)
        lines = [line for line in done.stderr.splitlines() if line.startswith(("  ", "first_update"))]
        print("\n".join(["time to the first update (second start):", *lines]) if lines else done.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="timed turns of each loop")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--only", choices=[*CASES, "first_update"], help="one case alone")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {BATCH}")
    for name, overrides in CASES.items():
        if chosen.only in (None, name):
            measure(name, overrides, iterations=ITERATIONS.get(name, 1), rounds=chosen.rounds)
    if chosen.only in (None, "first_update"):
        first_update()


if __name__ == "__main__":
    main()
