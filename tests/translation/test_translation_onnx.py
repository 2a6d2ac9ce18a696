"""A translator as ONNX: any batch, height and width, with the mask as an input."""

import numpy as np
import pytest
import torch
from hand_translators import RESNET, write_translator

from gan_lab.export import export_onnx
from gan_lab.runs.checkpoint import load_generator


def test_height_width_and_batch_are_free(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    settings = RESNET | {"downsamplings": 1, "normalization": "instance_plain"}
    loaded = load_generator(write_translator(tmp_path / "g.safetensors", settings, masked=True), "live")
    assert export_onnx(loaded, tmp_path / "g.onnx", 1e-4) <= 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "g.onnx"), providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["condition", "mask"]
    for shape in ((1, 4, 4), (2, 16, 30), (5, 42, 18)):
        count, *size = shape
        condition = 2 * torch.rand(count, 3, *size) - 1
        mask = (torch.rand(count, 1, *size) < 0.5).float()
        (made,) = session.run(["samples"], {"condition": condition.numpy(), "mask": mask.numpy()})
        assert np.allclose(made, loaded.network(condition=condition, mask=mask).numpy(), atol=1e-4)
