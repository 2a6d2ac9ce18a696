"""Algorithms defined on vectors learn 8 Gaussians on a ring, and unrolling alone decides how many of them are covered.

As `python -m gan_lab.train data=ring network=mlp evaluation=points` with the settings below, without a run's folder.
"""

from typing import NamedTuple

import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import Callback
from tiny import trainer_of

from gan_lab.callbacks.stop import Stop
from gan_lab.config import register
from gan_lab.metrics.modes import GaussianModes
from gan_lab.sampling import Draws

SEEDS = (0, 1, 2)
POINTS = 2500
SMALL = [f"model.{name}.{size}" for name in ("generator", "discriminator") for size in ("width=128", "depth=2")]
UNNORMALIZED = "model.discriminator.normalization=none"  # a layer's mean and deviation say too little in the plane


class Learned(NamedTuple):
    """What 2,500 points hold: modes with one within 3 standard deviations, and the share of such points."""

    modes: int
    high_quality: float


class Looks(Callback):
    """What the generator has learnt at `count` moments, the last of them the end."""

    def __init__(self, data: DictConfig, *, kimg: int, count: int) -> None:
        self.data, self.found = data, []
        self.due = [1000 * kimg * (look + 1) / count for look in range(count)]

    @torch.no_grad()
    def on_train_batch_end(self, trainer, module, *_) -> None:
        if self.due and module.images_seen >= self.due[0]:
            self.due.pop(0)
            generator = module.averages["generator"] if module.averages else module.generator
            modes = GaussianModes(self.data.centres, self.data.std, extractor=None)
            modes.update(generator(**module.inputs.draw(Draws(0), POINTS)))
            scores = modes.compute()
            self.found.append(Learned(int(scores[""]), scores["_high_quality"]))


def trained(overrides: list[str], *, seed: int, kimg: int, looks: int = 1) -> list[Learned]:
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        ring = ["data=ring", "network=mlp", "evaluation=points", "data.batch_size=256", *SMALL]
        config = compose("train", [*ring, *overrides, f"seed={seed}", f"total_kimg={kimg}"])
    torch.manual_seed(seed)
    module, data = (instantiate(node, _convert_="all") for node in (config.model, config.data))
    course = Looks(config.data, kimg=kimg, count=looks)
    trainer_of([Stop(kimg), course]).fit(module, datamodule=data)
    return course.found


def decaying(rate: float, *, betas: str | None = "[0.5,0.9]") -> list[str]:
    """Latents of the plane's dimension, and a rate that falls to a hundredth."""
    end = "{_target_: gan_lab.schedules.Linear, start_kimg: 0, end_kimg: '${total_kimg}', end_factor: 0.01}"
    overrides = ["model.latent_dim=2", "model.ema_half_life_kimg=20"]
    for name in ("discriminator", "generator"):
        overrides += [f"model.optimizers.{name}.lr={rate}", f"+model.schedules.{name}={end}"]
        if betas is not None:
            overrides.append(f"model.optimizers.{name}.betas={betas}")
    return overrides


PENALTY = ["model.gradient_penalty_weight=0.1", UNNORMALIZED]  # of points so near each other, 10 leaves D no freedom
CLIPPED = [*decaying(5e-3, betas=None), "model.clip_value=0.1"]


# model: overrides, kimg, and what each of the seeds reaches at least
RING = {
    "gan": (decaying(1e-3), 1000, Learned(8, 0.6)),
    "gan_minimax": (decaying(1e-3), 1000, Learned(8, 0.6)),
    "lsgan": (decaying(1e-3), 1000, Learned(4, 0.6)),
    "hinge_gan": (decaying(1e-3), 1000, Learned(8, 0.6)),
    "rpgan": (decaying(1e-3), 1000, Learned(8, 0.6)),
    "ragan": (decaying(1e-3), 1000, Learned(8, 0.5)),
    "r3gan": (decaying(1e-3), 1000, Learned(8, 0.7)),
    "dragan": ([*decaying(1e-3), *PENALTY], 1000, Learned(8, 0.5)),
    "wgan": (CLIPPED, 4000, Learned(7, 0.15)),
    "wgan_gp": ([*decaying(1e-3), *PENALTY], 2000, Learned(8, 0.4)),
    "sngan": (decaying(1e-3), 1000, Learned(8, 0.1)),
    "cgan": (decaying(1e-3), 1000, Learned(8, 0.95)),
    "acgan": (decaying(1e-3), 1000, Learned(8, 0.25)),
    "logan": (decaying(1e-3), 1000, Learned(8, 0.15)),
}


@pytest.mark.slow
@pytest.mark.parametrize("model", RING)
def test_covers_the_ring(model):
    overrides, kimg, least = RING[model]
    found = [trained([f"model={model}", *overrides], seed=seed, kimg=kimg)[-1] for seed in SEEDS]
    assert min(learned.modes for learned in found) >= least.modes, found
    assert min(learned.high_quality for learned in found) >= least.high_quality, found


@pytest.mark.slow
def test_unrolling_covers_more_modes():
    """The authors' G and D: tanh, orthogonal, 256 latents, G ten times as quick as D; k alone differs.

    Without unrolling G leaps from some modes to others for ever, so modes are counted five times in the second half.
    Each seed by itself; k = 0 is `gan_minimax` bit for bit (`test_unrolled_gan`).
    """
    demo = ["model=unrolled_gan", "model.generator_loss=saturating", "model.latent_dim=256"]
    demo += ["model.ema_half_life_kimg=null", "model.optimizers.discriminator.lr=1e-4"]
    demo += ["model.optimizers.generator.lr=1e-3"]
    for name in ("generator", "discriminator"):
        demo += [f"model.{name}.activation=tanh", f"model.{name}.initialization=orthogonal"]
    for seed in SEEDS:
        plain, unrolled = (
            trained([*demo, f"model.unrolled_steps={steps}"], seed=seed, kimg=1000, looks=10)[5:] for steps in (0, 5)
        )
        covered, covered_unrolled = (sum(look.modes for look in looks) for looks in (plain, unrolled))
        assert covered < covered_unrolled, (seed, plain, unrolled)
        assert unrolled[-1].modes == 8, (seed, plain, unrolled)
        assert unrolled[-1].high_quality > plain[-1].high_quality, (seed, plain, unrolled)
