"""A generator that draws noise as ONNX: noise is an input, and the batch is free."""

import numpy as np
import pytest
import torch
from tiny_generators import generator

from gan_lab.export import export_onnx


def test_stylegan2_at_any_batch(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    loaded = generator("styles")
    assert export_onnx(loaded, tmp_path / "g.onnx", 1e-4) <= 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "g.onnx"), providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["latents", "noise"]
    torch.manual_seed(1)
    for count in (1, 4, 11):
        given = {"latents": torch.randn(count, 6), "noise": torch.randn(count, loaded.network.noise_size)}
        (made,) = session.run(["samples"], {name: values.numpy() for name, values in given.items()})
        assert made.shape == (count, 1, 8, 8)
        assert np.abs(made - loaded.network(**given).numpy()).max() < 1e-4
        without = loaded.network(given["latents"], noise=0 * given["noise"]).numpy()
        assert np.abs(made - without).max() > 0.01, "noise is not left out"
