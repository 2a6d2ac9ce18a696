"""digitnet: its accuracy on digits it has not seen, its one input convention, and what it says of a bad file."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch.nn import functional as F

from gan_lab.data.digits import held_out_fifth
from gan_lab.data.images import resize
from gan_lab.extractors.base import DamagedWeights, MissingWeights
from gan_lab.extractors.digitnet import SHIPPED, DigitNet
from gan_lab.extractors.train_digitnet import DIGITS_ACCURACY, MNIST_ACCURACY, accuracy, digits, mnist, train

ROOT = Path(__file__).parents[2]
MNIST_ROOT = Path(os.environ.get("GAN_LAB_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def extractor() -> DigitNet:
    return DigitNet(weights=None)


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_accuracy_on_held_out_digits(extractor):
    images, labels = digits(held_out=True)
    assert accuracy(extractor.network, images, labels) >= DIGITS_ACCURACY == 0.97


@pytest.mark.skipif(not (MNIST_ROOT / "MNIST" / "raw").is_dir(), reason=f"no MNIST in {MNIST_ROOT}")
def test_accuracy_on_the_test_set_of_mnist(extractor):
    assert accuracy(extractor.network, *mnist(MNIST_ROOT, train=False)) >= MNIST_ACCURACY == 0.99


def test_the_held_out_digits_are_those_of_the_data_set():
    target = load_digits().target
    expected = held_out_fifth(target)
    assert np.array_equal(digits(held_out=True)[1].numpy(), target[expected])
    assert np.array_equal(digits(held_out=False)[1].numpy(), target[~expected])
    assert len(digits(held_out=False)[0]) + len(digits(held_out=True)[0]) == len(target)


def test_the_shipped_file_is_small():
    assert SHIPPED.stat().st_size < 200_000


def test_shapes_and_types(extractor):
    outputs = extractor(noise(3, 1, 32, 32))
    assert outputs["features"].shape == (3, extractor.feature_dim) == (3, 64)
    assert outputs["logits"].shape == (3, 10)
    assert outputs["features"].dtype == outputs["logits"].dtype == torch.float32
    assert not outputs["features"].requires_grad


def test_sizes(extractor):
    small = noise(4, 1, 28, 28)
    same = extractor(resize(small, (32, 32)))["features"]
    assert torch.equal(extractor(small)["features"], same)
    assert not torch.allclose(extractor(F.pad(small, (2, 2, 2, 2)))["features"], same)
    assert extractor(noise(2, 3, 50, 20))["features"].shape == (2, 64)


def test_channels(extractor):
    grey = noise(4, 1, 32, 32)
    features = extractor(grey)["features"]
    torch.testing.assert_close(extractor(grey.expand(-1, 3, -1, -1))["features"], features, rtol=1e-5, atol=1e-5)
    opaque = torch.cat([grey.expand(-1, 3, -1, -1), torch.full_like(grey, 255)], dim=1)
    torch.testing.assert_close(extractor(opaque)["features"], features, rtol=1e-5, atol=1e-5)
    clear = torch.cat([grey.expand(-1, 3, -1, -1), torch.zeros_like(grey)], dim=1)
    white = extractor(torch.full_like(grey, 255))["features"]
    torch.testing.assert_close(extractor(clear)["features"], white, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (torch.zeros(2, 1, 32, 32), TypeError),
        (noise(1, 32, 32), ValueError),
        (noise(2, 2, 32, 32), ValueError),
    ],
)
def test_refuses_other_inputs(extractor, images, error):
    with pytest.raises(error, match="digitnet takes"):
        extractor(images)


def test_batch_size_is_moot(extractor):
    images = noise(20, 1, 32, 32)
    single = torch.cat([extractor(image[None])["features"] for image in images])
    torch.testing.assert_close(single, extractor(images)["features"], rtol=1e-5, atol=1e-5)


def test_surroundings_are_moot(extractor):
    images = noise(4, 1, 32, 32)
    features = extractor(images)["features"]
    parent = torch.nn.Sequential(extractor).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(parent(images)["features"], features)
    assert not any(module.training for module in extractor.modules())
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def test_building_draws_nothing():
    before = torch.get_rng_state()
    DigitNet(weights=None)
    assert torch.equal(torch.get_rng_state(), before)


def test_protocol_names_the_weights(extractor, tmp_path):
    state = load_file(SHIPPED)
    state["head.bias"] = state["head.bias"] + 1
    save_file(state, tmp_path / "other.safetensors")
    other = DigitNet(weights=str(tmp_path / "other.safetensors")).protocol()
    protocol = extractor.protocol()
    assert json.loads(json.dumps(protocol)) == protocol
    assert [field for field in protocol if protocol[field] != other[field]] == ["weights_sha256"]


def test_absent_weights(tmp_path):
    path = tmp_path / "none.safetensors"
    message = DigitNet.missing_weights(weights=path)
    assert str(path) in message
    assert "train_digitnet" in message
    assert DigitNet.missing_weights(weights=None) is None
    with pytest.raises(MissingWeights, match="is absent"):
        DigitNet(weights=path)


def test_damaged_weights(tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(SHIPPED.read_bytes()[:-100])
    assert DigitNet.missing_weights(weights=path) is None
    with pytest.raises(DamagedWeights, match=r"bad\.safetensors"):
        DigitNet(weights=path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(DamagedWeights, match="does not hold digitnet's weights"):
        DigitNet(weights=path)


def test_the_config_builds_the_shipped_network():
    path = ROOT / "conf" / "extractor" / "digitnet.yaml"
    assert path.read_text().startswith("# ")
    assert instantiate(OmegaConf.load(path))().protocol() == DigitNet(weights=None).protocol()


def test_training_is_seeded():
    images, labels = (part[:64] for part in digits(held_out=False))
    first, again, other = (
        train(images, labels, torch.ones(64), epochs=2, batch_size=32, seed=seed).head.weight for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
