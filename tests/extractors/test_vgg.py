"""VGG16's features equal torch-fidelity's, LPIPS equals torchmetrics', for one file of random weights."""

import json
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from windowed_weights import windowed_state

from gan_lab.extractors.base import DamagedWeights, MissingWeights
from gan_lab.extractors.lpips import LPIPS, heads_path
from gan_lab.extractors.vgg import VGG16

CONF = Path(__file__).parents[2] / "conf" / "extractor"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A file in torchvision's format, with random weights."""
    from torchvision.models import vgg16

    with torch.device("meta"):
        network = vgg16()
    path = tmp_path_factory.mktemp("vgg") / "vgg16-random.pth"
    torch.save(windowed_state(network, seed=0), path)
    return path


@pytest.fixture(scope="module")
def lpips(weights) -> LPIPS:
    return LPIPS(weights=weights, download=False)


def pairs(channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    first = torch.rand(3, channels, 40, 48, generator=generator) * 2 - 1
    return first, (first + 0.3 * torch.randn(first.shape, generator=generator)).clamp(-1, 1)


def test_features_equal_torch_fidelity(weights):
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    images = torch.randint(256, (2, 3, 30, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    extractor = VGG16(weights=weights, download=False)
    outputs = extractor(images)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(outputs) == list(extractor.outputs) == ["features"]
    assert outputs["features"].shape == (2, extractor.feature_dim) == (2, 4096)
    with torch.random.fork_rng(devices=[]):
        theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"], str(weights))(images)[0]
    assert theirs.std() > 0.01
    torch.testing.assert_close(outputs["features"], theirs, rtol=1e-4, atol=1e-5)
    assert extractor.label("pr") == "pr_vgg"
    images = torch.zeros(1, 3, 40, 48)
    levels = extractor.levels(images)
    assert tuple(tuple(level.shape[1:]) for level in levels) == VGG16.level_shapes(40, 48)
    assert torch.equal(levels[-1], extractor.differentiable(images))
    assert json.loads(json.dumps(extractor.protocol())) == extractor.protocol()


@pytest.mark.parametrize("spatial", [False, True])
def test_distances_and_their_maps_equal_torchmetrics(spatial, lpips, weights):
    from torchmetrics.functional.image.lpips import _LPIPS

    with torch.random.fork_rng(devices=[]):
        theirs = _LPIPS(pretrained=True, net="vgg", pnet_rand=True, spatial=spatial)
    slices = [layer for name, part in theirs.net.named_children() if name.startswith("slice") for layer in part]
    state = torch.load(weights, weights_only=True)
    own = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
    torch.nn.Sequential(*slices).load_state_dict(own)
    first, second = pairs()
    expected = theirs(first, second) if spatial else theirs(first, second).flatten()
    assert expected.std() > 1e-5
    found = (lpips.distance_maps if spatial else lpips.distances)(first, second)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_distances(lpips):
    first, second = pairs()
    distances = lpips.distances(first, second)
    assert distances.shape == (3,)
    assert distances.dtype == torch.float32
    assert lpips.distances(first, first).tolist() == [0, 0, 0]
    assert torch.equal(lpips.distances(second, first), distances)
    assert not lpips.distances(first.requires_grad_(), second).requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(lpips.distances(first, second), distances)


def test_distances_are_not_quantized(lpips):
    # A thousandth of a grey level: rounding to 256 levels would give 0, or a whole level's distance.
    first, _ = pairs()
    step = torch.full_like(first, 1e-5)
    assert (lpips.distances(first, first + step) > 0).all()
    assert (lpips.distances(first, first + step) < 1e-3 * lpips.distances(first, first + 100 * step)).all()


def test_grey_pairs(lpips):
    first, second = pairs(channels=1)
    expected = lpips.distances(first.expand(-1, 3, -1, -1), second.expand(-1, 3, -1, -1))
    assert torch.equal(lpips.distances(first, second), expected)


def test_refuses_other_pairs(lpips):
    first, second = pairs()
    with pytest.raises(ValueError, match=r"two \(B, 1 or 3, H, W\)"):
        lpips.distances(first, second[:2])
    with pytest.raises(TypeError, match="floating point"):
        lpips.distances(first.to(torch.uint8), second.to(torch.uint8))
    with pytest.raises(ValueError, match="16 pixels or more"):
        lpips.distances(first[..., :8], second[..., :8])


def test_lpips_has_no_features(lpips):
    assert lpips.outputs == ()
    assert lpips(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)) == {}
    assert json.loads(json.dumps(lpips.protocol())) == lpips.protocol()
    assert heads_path().stat().st_size < 20_000


@pytest.mark.parametrize("kind", [VGG16, LPIPS])
def test_absent_and_damaged_weights(kind, tmp_path, monkeypatch):
    path = tmp_path / "vgg.pth"
    message = kind.missing_weights(weights=path, download=False)
    assert all(part in message for part in (str(path), "https://", "download=true"))
    with pytest.raises(MissingWeights, match="is absent"):
        kind(weights=path, download=False)
    torch.save({"features.0.weight": torch.zeros(3)}, path)
    with pytest.raises(DamagedWeights, match=r"vgg\.pth does not hold VGG16's weights"):
        kind(weights=path, download=False)
    torch.save([1, 2], path)
    with pytest.raises(DamagedWeights, match="no table of tensors"):
        kind(weights=path, download=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert str(tmp_path / "checkpoints") in kind.missing_weights(weights=None, download=False)


@pytest.mark.parametrize(("name", "kind"), [("vgg", VGG16), ("lpips", LPIPS)])
def test_the_config_builds(name, kind, weights):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    config.weights = str(weights)
    assert isinstance(instantiate(config)(), kind)
