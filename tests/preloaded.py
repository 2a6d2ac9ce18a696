"""Loaded once by the fork server, so that each command under test starts at once: what they all import and read."""

import gc

import parsed_once
import pytorch_lightning  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch
from hydra import compose, initialize_config_dir

import gan_lab.networks.dcgan
import gan_lab.train
import gan_lab.trainer  # noqa: F401
from gan_lab.callbacks import (  # noqa: F401
    checkpointing,
    curves,
    evaluation,
    hang,
    health,
    interruption,
    metrics,
    pictures,
    progress,
    status,
)
from gan_lab.config import register
from gan_lab.data import digits  # noqa: F401
from gan_lab.distributed import strategy  # noqa: F401
from gan_lab.extractors import clip, digitnet, dinov2, inception, lpips, pixels, vgg  # noqa: F401
from gan_lab.metrics import frechet, inception_score, kid  # noqa: F401
from gan_lab.models import dcgan  # noqa: F401

torch.set_num_threads(1)
parsed_once.install()
with initialize_config_dir(version_base="1.3", config_dir=register()):  # reads the plugins, too
    compose("train", ["model.generator.width=4"])

# What is loaded stays: collections in the forked processes neither visit it nor copy its pages.
gc.freeze()
