"""Lightning's Trainer as gan_lab uses it: what gan_lab does itself is switched off, and so is what costs every step."""

import contextlib
import os
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.profilers import PassThroughProfiler

NOTHING = contextlib.nullcontext()
SWITCHED_OFF = {
    "max_epochs": -1,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
}


class Unprofiled(PassThroughProfiler):
    """Measures nothing. Lightning asks its profiler about fifty times in an iteration; this one answers faster."""

    def profile(self, action_name: str) -> contextlib.AbstractContextManager:  # type: ignore[override]
        return NOTHING


def build_trainer(node: DictConfig, **arguments: Any) -> Trainer:
    """The Trainer of the config's `trainer` node.

    Args:
        node: its `_target_` and arguments, and `hang_minutes`, which is gan_lab's own.
        **arguments: further ones, such as callbacks.
    """
    settings = node.copy()  # messages of Hydra name where it stands in the config
    OmegaConf.set_struct(settings, False)
    settings.pop("hang_minutes", None)
    if settings.get("profiler") is None:
        arguments["profiler"] = Unprofiled()
    if not torch.cuda.is_available():
        # Lightning has torch ask NVML for devices, so that processes can still be forked; every step of an optimizer
        # asks, and a machine without NVML looks for the library each time (40 microseconds).
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    return instantiate(settings, **SWITCHED_OFF, **arguments)
