"""The small classifier: same bits for the same arguments, whatever surrounds it; and its file as an extractor."""

import json
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.nn import functional as F

from gan_lab.data.images import resize
from gan_lab.extractors.base import DamagedWeights, MissingWeights
from gan_lab.extractors.classifier import (
    Classifier,
    ResidualClassifier,
    accuracy,
    augmented,
    fit_classifier,
    save_classifier,
)

CONFIG = Path(__file__).parents[2] / "conf" / "extractor" / "classifier.yaml"
SETTINGS = {"classes": 3, "epochs": 4, "batch_size": 16, "lr": 5e-3, "shift": 1, "flip": True, "seed": 0}


def bars(count: int, seed: int, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """(count, channels, 16, 16) noise with a bright bar, whose direction is the label: none, across or down."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 120, (count, channels, 16, 16), generator=generator)
    labels = torch.arange(count) % 3
    places = torch.randint(3, 12, (count,), generator=generator)
    for image, label, place in zip(images, labels, places, strict=True):
        if label == 1:
            image[:, place : place + 2] += 130
        elif label == 2:
            image[:, :, place : place + 2] += 130
    return images.to(torch.uint8), labels


@pytest.fixture(scope="module")
def fitted() -> ResidualClassifier:
    return fit_classifier(*bars(144, seed=0), **SETTINGS)


@pytest.fixture(scope="module")
def file(fitted, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("classifier") / "bars.safetensors"
    save_classifier(path, fitted, {"name": "bars", "class_names": ["none", "across", "down"], "accuracy": 1.0})
    return path


def test_learns(fitted):
    assert accuracy(fitted, *bars(60, seed=1)) > 0.9
    images, labels = bars(60, seed=1)
    assert accuracy(fitted, images, (labels + 1) % 3) < 0.1
    assert not fitted.training
    assert not any(weight.requires_grad for weight in fitted.parameters())


def test_same_arguments_same_bits_in_other_surroundings(fitted):
    torch.manual_seed(7)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        again = fit_classifier(*bars(144, seed=0), **SETTINGS, threads=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    expected = fitted.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())
    other = fit_classifier(*bars(144, seed=0), **{**SETTINGS, "epochs": 1, "seed": 1})
    assert not torch.equal(
        other.head.weight, fit_classifier(*bars(144, seed=0), **{**SETTINGS, "epochs": 1}).head.weight
    )


def test_threads_are_put_back_after_an_error():
    threads = torch.get_num_threads()

    def stop(done, total):
        assert torch.get_num_threads() == threads + 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_classifier(*bars(32, seed=0), **SETTINGS, threads=threads + 1, progress=stop)
    assert torch.get_num_threads() == threads


def test_progress_counts_images():
    seen = []
    fit_classifier(*bars(40, seed=0), **{**SETTINGS, "epochs": 2}, progress=lambda *told: seen.append(told))
    assert seen == [(16, 64), (32, 64), (48, 64), (64, 64)]  # 40 = 2 * 16 + 8, and the 8 are left out


@pytest.mark.parametrize(("size", "channels"), [((8, 8), 1), ((28, 28), 3), ((32, 48), 4), ((128, 128), 3)])
def test_shapes(size, channels):
    network = ResidualClassifier(image_size=size, channels=channels, classes=5)
    assert 3e5 < sum(weight.numel() for weight in network.parameters()) < 4e5
    features, logits = network(torch.randn(2, channels, *size))
    assert features.shape == (2, network.feature_dim) == (2, 96)
    assert logits.shape == (2, 5)
    logits.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_augmented_moves_and_mirrors():
    images = torch.arange(25.0).view(1, 1, 5, 5).expand(200, -1, -1, -1)
    moved = augmented(images, shift=1, flip=True, generator=torch.Generator().manual_seed(0))
    padded = F.pad(images[:1], (1, 1, 1, 1), mode="replicate")[0, 0]
    windows = [padded[row : row + 5, column : column + 5] for row in range(3) for column in range(3)]
    expected = {tuple(window.flatten().tolist()) for window in windows + [window.flip(1) for window in windows]}
    assert {tuple(image.flatten().tolist()) for image in moved} == expected
    assert torch.equal(augmented(images, shift=0, flip=False, generator=torch.Generator()), images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 2}, r"labels must lie in 0 \.\. 1, got 0 \.\. 2"),
        ({"classes": 1}, "classes must be 2 or more, got 1"),
        ({"epochs": 0}, "epochs must be 1 or more, got 0"),
        ({"batch_size": 1}, "batch_size must be 2 or more, got 1"),
        ({"shift": -1}, "shift must be 0 or more, got -1"),
    ],
)
def test_refuses_other_values(change, message):
    with pytest.raises(ValueError, match=message):
        fit_classifier(*bars(12, seed=0), **{**SETTINGS, **change})


def test_refuses_other_images():
    images, labels = bars(12, seed=0)
    with pytest.raises(ValueError, match="uint8"):
        fit_classifier(images.float(), labels, **SETTINGS)
    with pytest.raises(ValueError, match=r"labels must be \(12,\) int64"):
        fit_classifier(images, labels[:5], **SETTINGS)
    with pytest.raises(ValueError, match="at least 2 images"):
        fit_classifier(images[:1], labels[:1], **SETTINGS)


def test_a_diverging_loss_is_an_error():
    with pytest.raises(FloatingPointError, match="lower lr=1e"):
        fit_classifier(*bars(48, seed=0), **{**SETTINGS, "lr": 1e30})


def test_extractor(file, fitted):
    extractor = Classifier(weights=file, name=None)
    images, _ = bars(6, seed=2)
    outputs = extractor(images)
    assert outputs["features"].shape == (6, extractor.feature_dim) == (6, 96)
    torch.testing.assert_close(outputs["logits"], fitted(images.float() / 127.5 - 1)[1], rtol=1e-4, atol=1e-4)
    assert (extractor.label("fd"), extractor.about["class_names"][2]) == ("fd_bars", "down")
    assert Classifier(weights=file, name="sticks").label("fd") == "fd_sticks"
    assert json.loads(json.dumps(extractor.protocol())) == extractor.protocol()
    parent = torch.nn.Sequential(extractor).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(parent(images)["features"], outputs["features"])


def test_extractor_takes_other_sizes_and_channels(file):
    extractor = Classifier(weights=file, name=None)
    images, _ = bars(4, seed=2)
    features = extractor(images)["features"]
    assert torch.equal(extractor(images.expand(-1, 3, -1, -1))["features"], features)
    large = resize(images, (40, 24))
    assert torch.equal(extractor(large)["features"], extractor(resize(large, (16, 16)))["features"])


def test_names(file, fitted, tmp_path):
    for name in ("net2", "2net", "fd-net", "", "net_"):
        with pytest.raises(ValueError, match="a letter at either end"):
            Classifier(weights=file, name=name)
        with pytest.raises(ValueError, match="a letter at either end"):
            save_classifier(tmp_path / "bad.safetensors", fitted, {"name": name})


def test_absent_and_damaged_files(file, tmp_path):
    path = tmp_path / "none.safetensors"
    assert "python -m gan_lab.fit_extractor" in Classifier.missing_weights(weights=path)
    with pytest.raises(MissingWeights, match=r"none\.safetensors is absent"):
        Classifier(weights=path, name=None)
    path.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(DamagedWeights, match="not written by"):
        Classifier(weights=path, name=None)
    path.write_bytes((CONFIG.parents[2] / "gan_lab" / "extractors" / "digitnet.safetensors").read_bytes())
    with pytest.raises(DamagedWeights, match="not written by"):
        Classifier(weights=path, name=None)


def test_the_config_builds(file):
    config = OmegaConf.load(CONFIG)
    config.weights = str(file)
    assert instantiate(config)().name == "bars"
