"""The Trainer that the config asks for."""

import os

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.profilers import SimpleProfiler

from gan_lab.trainer import Unprofiled, build_trainer

NODE = {
    "_target_": "pytorch_lightning.Trainer",
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "profiler": None,
    "hang_minutes": 30,
}


def test_a_profiler_that_costs_nothing_stands_in_for_none():
    trainer = build_trainer(OmegaConf.create(NODE))
    assert isinstance(trainer.profiler, Unprofiled)
    with trainer.profiler.profile("a step"), trainer.profiler.profile("a part of it"):
        pass
    assert isinstance(build_trainer(OmegaConf.create({**NODE, "profiler": "simple"})).profiler, SimpleProfiler)


def test_a_profiler_may_be_a_node():
    node = {"_target_": "pytorch_lightning.profilers.SimpleProfiler", "filename": "steps"}
    assert build_trainer(OmegaConf.create({**NODE, "profiler": node})).profiler.filename == "steps"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device to ask for")
def test_optimizers_do_not_look_for_nvml(monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    build_trainer(OmegaConf.create(NODE))
    assert "PYTORCH_NVML_BASED_CUDA_CHECK" not in os.environ
