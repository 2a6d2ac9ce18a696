"""The judge of stacked digits is digitnet on each channel, and nothing else."""

import json

import pytest
import torch

from gan_lab.extractors.digitnet import DigitNet
from gan_lab.extractors.stacked import StackedDigitNet


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [28, 32])
def test_each_channel_alone(size):
    images = noise(5, 3, size, size)
    outputs = StackedDigitNet(weights=None)(images)
    digitnet = DigitNet(weights=None)
    for channel in range(3):
        alone = digitnet(images[:, channel : channel + 1])
        for name, width in (("features", 64), ("logits", 10)):
            part = outputs[name][:, channel * width : (channel + 1) * width]
            torch.testing.assert_close(part, alone[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4])
def test_refuses_other_channels(channels):
    with pytest.raises(ValueError, match=f"3 channels, a digit each, got {channels}"):
        StackedDigitNet(weights=None)(noise(2, channels, 32, 32))


def test_protocol_and_weights(tmp_path):
    protocol = StackedDigitNet(weights=None).protocol()
    assert json.loads(json.dumps(protocol)) == protocol
    assert protocol["extractor"] == StackedDigitNet.name == "stacked_digitnet"
    assert protocol["weights_sha256"] == DigitNet(weights=None).protocol()["weights_sha256"]
    assert StackedDigitNet.missing_weights(weights=None) is None
    assert "is absent" in StackedDigitNet.missing_weights(weights=tmp_path / "none")
