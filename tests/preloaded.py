"""Imported once by the fork server, so that each command under test starts at once."""

import parsed_once
import pytorch_lightning  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch

import gan_lab.train  # noqa: F401
from gan_lab.callbacks import checkpointing, curves, evaluation, interruption, metrics, pictures, progress  # noqa: F401

torch.set_num_threads(1)
parsed_once.install()
