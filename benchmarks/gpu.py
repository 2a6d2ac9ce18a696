"""What one GPU does with gan_lab, in at most 8 minutes: python benchmarks/gpu.py [--cifar FOLDER_OR_ZIP] [--out DIR]

In this order: the tests marked `gpu`; images/s and memory of five models beside the same training step in a bare loop,
in float32 and bfloat16; the training loop under `torch.cuda.set_sync_debug_mode("error")`, where any wait for the
device is an error; memory over 200 steps; a resumed run beside an unbroken one, bit for bit; a short run on CIFAR-10,
scored in the space of a classifier that is fitted there. What has no time left is left out, and said. Writes `gpu.md`,
a table, and `gpu.json`. `--device cpu --small` goes through all of it without a GPU, to see that it works.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pytorch_lightning import Callback, Trainer

from gan_lab.config import register
from gan_lab.trainer import build_trainer

ROOT = Path(__file__).resolve().parent.parent
ADA = ["+augment@model.augment.ada=ada", "model.augment.ada.p=0.2"]
CASES = {
    "dcgan": ["model=dcgan", "network=dcgan", "data.image_size=32"],
    "sngan, resnet": ["model=sngan", "network=resnet", "data.image_size=32"],
    "biggan": ["model=biggan", "network=biggan", "data.image_size=32"],
    "stylegan2, 64 px, ADA": ["model=stylegan2", "network=stylegan2_64", "data.image_size=64", *ADA],
    "r3gan": ["model=r3gan", "network=r3gan", "data.image_size=32"],
}
PRECISIONS = ("32-true", "bf16-mixed")
QUIET = ("evaluation", "pictures", "curves", "checkpoint", "metrics")


@dataclass
class Report:
    """What was measured, and what was left out."""

    device: str
    about: dict[str, Any]
    speed: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, str]] = field(default_factory=list)

    def check(self, name: str, outcome: str) -> None:
        self.checks.append({"check": name, "outcome": outcome})
        print(f"{name}: {outcome}", flush=True)

    def markdown(self) -> str:
        lines = [f"{self.device}, " + ", ".join(f"{key} {value}" for key, value in self.about.items()), ""]
        lines += [
            "| Model | Precision | images/s | bare loop | ratio | range | GiB |",
            "| --- | --- " + "| ---: " * 5 + "|",
        ]
        for row in self.speed:
            lines.append(
                f"| {row['model']} | {row['precision']} | {row['images_per_s']:.0f} | {row['bare_images_per_s']:.0f} | "
                f"{row['ratio']:.3f} | {row['lowest']:.3f} to {row['highest']:.3f} | {row['gib']:.2f} |"
            )
        lines += ["", "| Check | Outcome |", "| --- | --- |"]
        lines += [f"| {row['check']} | {row['outcome']} |" for row in self.checks]
        return "\n".join(lines) + "\n"


class Setting:
    """Sizes of everything, and the device.

    Attributes:
        cases: the models that are measured.
        deadline: of the whole benchmark, as `time.monotonic()` has it.
    """

    def __init__(self, device: str, small: bool, minutes: float, cases: Sequence[str]) -> None:
        self.device, self.small = torch.device(device), small
        self.cases = {name: CASES[name] for name in cases}
        self.batch = 8 if small else 64
        self.rounds, self.iterations = (2, 1) if small else (8, 20)
        self.deadline = time.monotonic() + 60 * minutes

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def synchronize(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def trainer(self) -> list[str]:
        return ["trainer=gpu" if self.cuda else "trainer=cpu"]

    def shrunk(self, overrides: list[str]) -> list[str]:
        """The overrides, and in a small setting those that make networks narrow."""
        if not self.small:
            return overrides
        narrow = ["model.generator.width=4", "model.discriminator.width=4"]
        stylegan = ["network=stylegan2", "data.image_size=32"] if "model=stylegan2" in overrides else []
        grouped = ["model.discriminator.minibatch_std=4"] if "model=stylegan2" in overrides else []
        return [*overrides, *stylegan, *narrow, *grouped]


def composed(overrides: list[str]) -> Any:
    with initialize_config_dir(version_base="1.3", config_dir=register()):
        return compose("train", overrides)


def trained_by_lightning(setting: Setting, overrides: list[str], precision: str, callbacks: list[Callback]) -> Any:
    """Train on random pictures with the platform's own loop until one of `callbacks` stops it; the module."""
    fixed = [f"data.batch_size={setting.batch}", "total_kimg=1e6", "evaluation=none", f"trainer.precision={precision}"]
    fixed += [f"callbacks.{name}.every_kimg=null" for name in QUIET]
    config = composed([*setting.shrunk(overrides), *setting.trainer(), *fixed])
    data = instantiate(config.data, _convert_="all")
    model = instantiate(config.model, _convert_="all")
    model = model.to(memory_format=torch.channels_last)
    own = [instantiate(config.callbacks[name], _convert_="all") for name in ("stop", "metrics", "interruption")]
    trainer = build_trainer(
        config.trainer,
        default_root_dir=tempfile.mkdtemp(),
        callbacks=[*own, *callbacks],
        logger=False,
    )
    trainer.fit(model, datamodule=data)
    return model


@contextlib.contextmanager
def without_bookkeeping(model: Any) -> Iterator[None]:
    """The model's own training step with plain PyTorch around it: no norms, curves, image counts, seeds or checks.

    Latents come from the device's default generator. The moving average is one fused operation for each step of G.
    """
    averaged = [(average.module, getattr(model, name)) for name, average in model.averages.items()]
    optimizers = {group: optimizer.optimizer for group, optimizer in model._optimizers.items()}

    @contextlib.contextmanager
    def updating(group: str) -> Iterator[Callable[[torch.Tensor], None]]:
        frozen = [p for p in model._others[group] if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        optimizers[group].zero_grad(set_to_none=True)
        yield lambda loss: loss.backward()
        optimizers[group].step()
        for parameter in frozen:
            parameter.requires_grad_(True)
        model.steps[group] += 1
        model.critic_steps = 0 if group == model.closing_group else model.critic_steps + 1
        for regularizer, phases in model._lazy.items():
            optimizers[group].zero_grad(set_to_none=True)
            for phase in phases:
                (regularizer.weight(model.images_seen) * regularizer(model, phase).mean()).backward()
            optimizers[group].step()
        model._lazy = {}
        if group == model.closing_group:
            with torch.no_grad():
                for average, live in averaged:
                    torch._foreach_lerp_(list(average.parameters()), list(live.parameters()), 0.005)

    def latents(count: int) -> torch.Tensor:
        return torch.randn(count, model.inputs.latent_dim, device=model.device)

    replaced = {"updating": updating, "record": lambda *_: None, "latents": latents}
    for name, function in replaced.items():
        setattr(model, name, function)
    try:
        yield
    finally:
        for name in replaced:
            delattr(model, name)


class InTurn(Callback):
    """Stops the clock of gan_lab's loop after some iterations, and lets a bare loop run as many on the same model.

    Attributes:
        ours, bare: seconds per iteration, a value per round; the first round warms up and is left out.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.ours: list[float] = []
        self.bare: list[float] = []
        self._count, self._start = 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._count += pl_module.iteration_ended
        if not pl_module.iteration_ended or self._count % self.setting.iterations:
            return
        self.setting.synchronize()
        self.ours.append((time.perf_counter() - self._start) / self.setting.iterations)
        self.bare.append(self._bare_iterations(trainer, pl_module) / self.setting.iterations)
        late = self.setting.seconds_left() < 0
        if len(self.ours) > self.setting.rounds or (late and len(self.ours) > 1):
            self.ours, self.bare = self.ours[1:], self.bare[1:]
            trainer.should_stop = True
        self.setting.synchronize()
        self._start = time.perf_counter()

    def _bare_iterations(self, trainer: Trainer, model: Any) -> float:
        precision = trainer.precision_plugin
        with without_bookkeeping(model), precision.forward_context():
            self.setting.synchronize()
            start = time.perf_counter()
            for _ in range(self.setting.iterations):
                done = model.steps[model.closing_group]
                while model.steps[model.closing_group] == done:
                    batch = trainer.datamodule.take(self.setting.batch)  # type: ignore[attr-defined]
                    model.training_step(precision.convert_input(batch), 0)
            self.setting.synchronize()
            return time.perf_counter() - start


def speed(setting: Setting, report: Report) -> None:
    """images/s and peak memory of each case in each precision, beside the bare loop."""
    for name, overrides in setting.cases.items():
        for precision in PRECISIONS if setting.cuda else PRECISIONS[:1]:
            if setting.seconds_left() < 0:
                report.check(f"speed of {name}, {precision}", "left out: no time")
                continue
            if setting.cuda:
                torch.cuda.reset_peak_memory_stats()
            in_turn = InTurn(setting)
            model = trained_by_lightning(setting, overrides, precision, [in_turn])
            images = setting.batch * model.n_critic
            ratios = sorted(bare / ours for ours, bare in zip(in_turn.ours, in_turn.bare, strict=True))
            row = {
                "model": name,
                "precision": precision,
                "images_per_s": images / statistics.median(in_turn.ours),
                "bare_images_per_s": images / statistics.median(in_turn.bare),
                "ratio": statistics.median(ratios),
                "lowest": ratios[0],
                "highest": ratios[-1],
                "gib": torch.cuda.max_memory_allocated() / 2**30 if setting.cuda else 0.0,
            }
            report.speed.append(row)
            print(f"{name}, {precision}: {row['images_per_s']:.0f} images/s, ratio {row['ratio']:.3f}", flush=True)


class NoWaits(Callback):
    """From the third step on, any wait for the device is an error; memory is noted as steps go by."""

    def __init__(self, setting: Setting, steps: int) -> None:
        self.setting, self.steps = setting, steps
        self.memory: dict[int, int] = {}

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.setting.cuda and batch_idx >= 2:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.setting.cuda:
            torch.cuda.set_sync_debug_mode("default")
            self.memory[batch_idx] = torch.cuda.memory_allocated()
        trainer.should_stop = batch_idx >= self.steps


def waits_and_memory(setting: Setting, report: Report) -> None:
    """No wait in the loop; as much memory after 200 steps as after 20."""
    steps = 4 if setting.small else 200
    for name, overrides in setting.cases.items():
        if setting.seconds_left() < 0:
            report.check(f"waits and memory of {name}", "left out: no time")
            continue
        watched = NoWaits(setting, steps)
        try:
            trained_by_lightning(setting, overrides, PRECISIONS[0], [watched])
        except RuntimeError as error:
            report.check(f"waits and memory of {name}", f"FAILED: {str(error).splitlines()[0]}")
            continue
        finally:
            if setting.cuda:
                torch.cuda.set_sync_debug_mode("default")
        grown = watched.memory[steps] - watched.memory[20] if setting.cuda else 0
        text = (
            f"no wait in {steps} steps, memory grew by {grown} bytes" if setting.cuda else f"{steps} steps went through"
        )
        report.check(f"waits and memory of {name}", text)


def command(arguments: list[str], folder: Path) -> str:
    """What `python -m gan_lab.<arguments>` said.

    Raises:
        RuntimeError: it failed.
    """
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-m", f"gan_lab.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(words, cwd=folder, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        )
    return done.stdout


def resume(setting: Setting, report: Report) -> None:
    """Killed and resumed beside unbroken: the same bits."""
    step = setting.batch / 1000
    run = ["train", "model=wgan_gp", "network=dcgan", "data.image_size=32", "evaluation=none", *setting.trainer()]
    run += [
        f"data.batch_size={setting.batch}",
        f"total_kimg={40 * step}",
        f"callbacks.checkpoint.every_kimg={15 * step}",
    ]
    run += ["callbacks.health=null", "callbacks.curves=null", "callbacks.pictures.every_kimg=null"]
    run = [run[0], *setting.shrunk(run[1:])]
    kill = f"+callbacks.kill={{_target_: killing.KillAt, images: {25 * setting.batch}}}"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command([*run, "run_dir=unbroken"], folder)
        with contextlib.suppress(RuntimeError):
            command([*run, "run_dir=broken", kill], folder)
        command([*run, "run_dir=broken"], folder)
        states = [
            torch.load(max((folder / name / "checkpoints").glob("[0-9]*.ckpt")), weights_only=True)["state_dict"]
            for name in ("unbroken", "broken")
        ]
    differing = [name for name, value in states[0].items() if not torch.equal(value, states[1][name])]
    text = (
        "the same bits"
        if not differing
        else f"{len(differing)} of {len(states[0])} tensors differ, first {differing[0]}"
    )
    report.check("resumed run beside an unbroken one", text)


def cifar(setting: Setting, report: Report, root: Path | None) -> None:
    """A short run on CIFAR-10, scored in the space of a classifier fitted there."""
    if root is None:
        report.check("CIFAR-10", "left out: give a folder or zip with a subfolder per class as --cifar")
        return
    data = ["data=folder", f"data.root={root.absolute()}", "data.image_size=32"]
    device = f"device={setting.device.type}"
    evaluated = ["extractor@evaluation.extractor=classifier", "evaluation.extractor.weights=net.safetensors"]
    kimg, epochs, samples = (0.1, 1, 60) if setting.small else (200, 3, 5000)
    length = [f"total_kimg={kimg}", f"callbacks.evaluation.every_kimg={kimg}", f"evaluation.num_samples={samples}"]
    length += ["evaluation.metrics.kid.subset_size=30"] if setting.small else []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        fitted = command(["fit_extractor", *data, "out=net.safetensors", f"epochs={epochs}", device], folder)
        model = ["train", "model=r3gan_conditional", "network=dcgan", *data, "data.num_classes=10", *setting.trainer()]
        command([model[0], *setting.shrunk(model[1:]), *evaluated, *length, "run_dir=run"], folder)
        last = json.loads((folder / "run" / "scores.jsonl").read_text().splitlines()[-1])
    accuracy = next((line for line in fitted.splitlines() if "accuracy" in line), "")
    report.check(
        "CIFAR-10", f"{last['monitored']} = {last['scores'][last['monitored']]:.4g} at {kimg} kimg; {accuracy}"
    )


def gpu_tests(setting: Setting, report: Report) -> None:
    """The tests marked `gpu`."""
    if not setting.cuda:
        report.check("tests marked gpu", "left out: no GPU")
        return
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--no-header", "-p", "no:cacheprovider"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    report.check("tests marked gpu", done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu")
    parser.add_argument("--small", action="store_true", help="narrow networks and few steps")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="some of the models alone")
    parser.add_argument("--minutes", type=float, default=7.0, help="after which no further part begins")
    parser.add_argument("--cifar", type=Path, help="CIFAR-10 as a folder or zip with a subfolder per class")
    parser.add_argument("--out", type=Path, default=Path(), help="where gpu.md and gpu.json go")
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu --small goes through all of it without one")
    setting = Setting(chosen.device, chosen.small, chosen.minutes, chosen.cases)
    name = torch.cuda.get_device_name() if setting.cuda else f"{platform.machine()} CPU"
    about = {"torch": str(torch.__version__), "Python": platform.python_version(), "batch": setting.batch}
    report = Report(name, about)
    for part in (gpu_tests, speed, waits_and_memory, resume):
        if setting.seconds_left() < 0:
            report.check(part.__name__.replace("_", " "), "left out: no time")
            continue
        part(setting, report)
    cifar(setting, report, chosen.cifar if setting.seconds_left() > 0 else None)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "gpu.md").write_text(report.markdown(), encoding="utf-8")
    content = {"device": report.device, "about": report.about, "speed": report.speed, "checks": report.checks}
    (chosen.out / "gpu.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    print("\n" + report.markdown())


if __name__ == "__main__":
    main()
