"""Inception and the scores on it: equal to torch-fidelity's and torchmetrics' for the same file and the same images.

The weights are random, in torch-fidelity's own format, with batch norm calibrated so that features keep their spread.
"""

import json
import pickle
import subprocess
import sys
import urllib.error
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from references import reference_of
from torch.nn import functional as F

from gan_lab.extractors.base import DamagedWeights, MissingWeights
from gan_lab.extractors.inception import Inception
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.inception_score import InceptionScore
from gan_lab.metrics.kid import KernelDistance

CONFIG = Path(__file__).parents[2] / "conf" / "extractor" / "inception.yaml"
COUNT = 72  # more than the 64 columns of the layer that is compared
SCORED = 20  # of them pass through the whole network, for the Inception Score


def pictures(count: int, contrast: float, seed: int) -> torch.Tensor:
    """(count, 3, 32, 32) uint8: smooth colours and some grain."""
    generator = torch.Generator().manual_seed(seed)
    smooth = F.interpolate(torch.randn(count, 3, 5, 5, generator=generator), (32, 32), mode="bicubic")
    grain = torch.randn(count, 3, 32, 32, generator=generator)
    return (128 + contrast * smooth + 8 * grain).round().clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A file that torch-fidelity loads."""
    from torch_fidelity import feature_extractor_inceptionv3 as port

    with (
        torch.random.fork_rng(devices=[]),
        patch.object(port, "load_state_dict_from_url"),
        patch.object(port.FeatureExtractorInceptionV3, "load_state_dict"),
    ):
        torch.manual_seed(0)
        network = port.FeatureExtractorInceptionV3("random", ["2048"])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(pictures(8, contrast=50, seed=0))
        network.fc.weight.mul_(10)
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def extractor(weights) -> Inception:
    return Inception(weights=weights, layer="64", resize="legacy", download=False)


@pytest.fixture(scope="module")
def real() -> torch.Tensor:
    return pictures(COUNT, contrast=50, seed=1)


@pytest.fixture(scope="module")
def fake() -> torch.Tensor:
    return pictures(COUNT, contrast=40, seed=2)


def test_levels(extractor, outputs, fake):
    """The first is what the features of layer 64 are means of; pictures of 256 levels, hence of the same values."""
    levels = extractor.levels(fake[:2].float() / 127.5 - 1)
    assert tuple(tuple(level.shape[1:]) for level in levels) == Inception.level_shapes(32, 32)
    torch.testing.assert_close(levels[0].mean((2, 3)), outputs["features"][:2], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def outputs(extractor, fake) -> dict[str, torch.Tensor]:
    """Of the first fakes, by our extractor."""
    return extractor(fake[:SCORED])


@pytest.fixture(scope="module")
def features(weights, real, fake) -> tuple[torch.Tensor, torch.Tensor]:
    """64 columns of reals and of fakes; torch-fidelity's own network stops early and so is quick."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception", ["64"], str(weights))
    return network(real)[0], network(fake)[0]


class Pictures(torch.utils.data.Dataset):
    """As torch-fidelity takes them."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


def scores(metric, values, real=None) -> dict[str, float]:
    if real is not None:
        metric.set_reference(reference_of(real))
    for block in values.split(50):
        metric.update(block)
    return metric.compute()


def fidelity(weights: Path, fake: torch.Tensor, real: torch.Tensor | None = None, **metrics) -> dict[str, float]:
    from torch_fidelity import calculate_metrics

    return calculate_metrics(
        input1=Pictures(fake),
        input2=None if real is None else Pictures(real),
        feature_extractor_weights_path=str(weights),
        feature_layer_fid="64",
        feature_layer_kid="64",
        kid_subset_size=40,
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
        batch_size=24,
        **metrics,
    )


def test_shapes_and_protocol(extractor, outputs):
    assert outputs["features"].shape == (SCORED, extractor.feature_dim) == (SCORED, 64)
    assert outputs["logits"].shape == (SCORED, 1008)
    assert outputs["features"].dtype == outputs["logits"].dtype == torch.float32
    assert json.loads(json.dumps(extractor.protocol())) == extractor.protocol()
    assert extractor.protocol()["layer"] == "64"


def test_features_are_torch_fidelitys(outputs, features):
    assert features[0].std(dim=0).min() > 1e-3, "the test's features are degenerate"
    torch.testing.assert_close(outputs["features"], features[1][:SCORED], rtol=1e-6, atol=1e-6)


def test_fid_and_kid_equal_torch_fidelity(weights, real, fake, features):
    theirs = fidelity(weights, fake, real, fid=True, kid=True)
    assert scores(FrechetDistance(), features[1], features[0])[""] == pytest.approx(
        theirs["frechet_inception_distance"], rel=1e-5
    )
    kid = scores(KernelDistance(subsets=100, subset_size=40, seed=2020, full_limit=0), features[1], features[0])
    # torch-fidelity works in float32: 6 digits of the kernel's mean, which is about 1.
    assert kid[""] == pytest.approx(theirs["kernel_inception_distance_mean"], abs=2e-7, rel=1e-5)
    assert kid["_std"] == pytest.approx(theirs["kernel_inception_distance_std"], abs=2e-7, rel=1e-4)


def test_fid_equals_torch_fidelitys_formula_in_float64(features):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(values.double()) for values in features]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert scores(FrechetDistance(), features[1], features[0])[""] == pytest.approx(theirs, rel=1e-9)


def test_fid_equals_torchmetrics(weights, real, fake, features):
    from torchmetrics.image.fid import FrechetInceptionDistance

    theirs = FrechetInceptionDistance(feature=64, antialias=False, feature_extractor_weights_path=str(weights))
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    ours = scores(FrechetDistance(), features[1], features[0])[""]
    assert ours == pytest.approx(theirs.compute().item(), rel=1e-6)


def test_kid_equals_torchmetrics(features):
    from torchmetrics.image.kid import KernelInceptionDistance

    # With subsets of everything no random number is left in either.
    theirs = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=COUNT)
    theirs.update(features[0], real=True)
    theirs.update(features[1], real=False)
    metric = KernelDistance(subsets=1, subset_size=1000, seed=0, full_limit=1000)
    ours = scores(metric, features[1], features[0])
    assert ours[""] == pytest.approx(theirs.compute()[0].item(), abs=2e-7, rel=1e-5)
    assert ours["_full"] == pytest.approx(ours[""], rel=1e-9)


def test_inception_score_equals_torch_fidelity_and_torchmetrics(weights, fake, outputs):
    from torchmetrics.image.inception import InceptionScore as Theirs

    ours = scores(InceptionScore(splits=10, seed=2020), outputs["logits"])
    assert ours["_1split"] > 1.05, "the test's logits are degenerate"
    theirs = fidelity(weights, fake[:SCORED], isc=True)
    assert ours[""] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert ours["_std"] == pytest.approx(theirs["inception_score_std"], rel=1e-5)
    single = Theirs(feature=torch.nn.Identity(), splits=1)
    single.update(outputs["logits"])
    assert ours["_1split"] == pytest.approx(single.compute()[0].item(), rel=1e-6)


@pytest.mark.slow
def test_end_to_end_with_our_extractor(weights, real, fake, extractor):
    ours_real, ours_fake = extractor(real), extractor(fake)
    theirs = fidelity(weights, fake, real, fid=True, kid=True, isc=True)
    fd = scores(FrechetDistance(), ours_fake["features"], ours_real["features"])
    assert fd[""] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)
    metric = KernelDistance(subsets=100, subset_size=40, seed=2020, full_limit=0)
    kid = scores(metric, ours_fake["features"], ours_real["features"])
    assert kid[""] == pytest.approx(theirs["kernel_inception_distance_mean"], abs=2e-7, rel=1e-5)
    score = scores(InceptionScore(splits=10, seed=2020), ours_fake["logits"])
    assert score[""] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)


def test_batch_size_and_surroundings_are_moot(extractor, fake, outputs):
    plain = extractor(fake[:1])
    torch.testing.assert_close(plain["features"], outputs["features"][:1], rtol=1e-6, atol=1e-6)
    # Another batch size may choose another kernel: logits of size 5 then differ in the fifth decimal.
    torch.testing.assert_close(plain["logits"], outputs["logits"][:1], rtol=1e-4, atol=2e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        surrounded = torch.nn.Sequential(extractor).train()(fake[:1])
    assert torch.equal(surrounded["features"], plain["features"])
    assert torch.equal(surrounded["logits"], plain["logits"])
    assert not surrounded["logits"].requires_grad


def test_channels(extractor, fake):
    grey = fake[:1, :1]
    colours = extractor(grey.expand(-1, 3, -1, -1).contiguous())["features"]
    assert torch.equal(extractor(grey)["features"], colours)
    opaque = torch.cat([grey.expand(-1, 3, -1, -1), torch.full_like(grey, 255)], dim=1)
    assert torch.equal(extractor(opaque)["features"], colours)


def test_building_draws_nothing(weights):
    before = torch.get_rng_state()
    Inception(weights=weights, layer="2048", resize="legacy", download=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_refuses_another_layer(weights):
    with pytest.raises(ValueError, match="layer must be one of 64, 192, 768, 2048, got 'fc'"):
        Inception(weights=weights, layer="fc", resize="legacy", download=False)


def test_absent_weights(tmp_path, monkeypatch):
    path = tmp_path / "inception.pth"
    message = Inception.missing_weights(weights=path, download=False)
    assert str(path) in message
    assert "https://" in message
    assert "download=true" in message
    with pytest.raises(MissingWeights, match="is absent"):
        Inception(weights=path, layer="2048", resize="legacy", download=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert str(tmp_path / "checkpoints") in Inception.missing_weights(weights=None, download=False)


def test_download_is_on_request_and_its_failure_a_message(tmp_path, monkeypatch):
    path = tmp_path / "new" / "inception.pth"
    asked = []

    def unreachable(url, place, hash_prefix):
        asked.append((url, place, hash_prefix))
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    Inception.missing_weights(weights=path, download=False)
    assert asked == []
    assert "no route" in Inception.missing_weights(weights=path, download=True)
    assert asked[0][1:] == (str(path), "6726825d")


class Code:
    """Unpickled, it leaves a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_damaged_weights(tmp_path, weights):
    path = tmp_path / "bad.pth"
    path.write_bytes(weights.read_bytes()[:100_000])
    assert Inception.missing_weights(weights=path, download=False) is None
    with pytest.raises(DamagedWeights, match=r"bad\.pth does not hold InceptionV3's weights"):
        Inception(weights=path, layer="2048", resize="legacy", download=False)
    for content in ({"fc.weight": torch.zeros(3)}, [1, 2], 3):
        torch.save(content, path)
        with pytest.raises(DamagedWeights, match=r"bad\.pth"):
            Inception(weights=path, layer="2048", resize="legacy", download=False)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(DamagedWeights, match=r"bad\.pth"):
        Inception(weights=path, layer="2048", resize="legacy", download=False)


def test_a_file_with_code_runs_none(tmp_path):
    path, trace = tmp_path / "code.pth", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Code(trace)))
    with pytest.raises(DamagedWeights, match=r"code\.pth"):
        Inception(weights=path, layer="2048", resize="legacy", download=False)
    assert not trace.exists()


def test_the_config_builds(weights, extractor):
    assert CONFIG.read_text().startswith("# ")
    config = OmegaConf.merge({"paths": {"weights_dir": "/nowhere"}}, {"extractor": OmegaConf.load(CONFIG)})
    assert config.extractor.weights.startswith("/nowhere/weights-inception-2015-12-05-6726825d.pth")
    config.extractor.weights = str(weights)
    built = instantiate(config.extractor)()
    assert built.feature_dim == 2048
    assert built.protocol() == {**extractor.protocol(), "extractor": "inception", "layer": "2048"}
    assert [built.label(stem) for stem in ("fd", "is", "kid", "pr")] == ["fid", "is", "kid", "pr_inception"]


@pytest.fixture(scope="module")
def clean(weights) -> Inception:
    return Inception(weights=weights, layer="64", resize="clean", download=False)


def test_no_other_layer_or_resize_is_called_fid(extractor, clean, weights):
    assert [extractor.label(stem) for stem in ("fd", "is")] == ["fd_inception64d", "is_inception64d"]
    assert clean.label("fd") == "fd_inception64d_clean"
    config = OmegaConf.load(CONFIG.with_name("inception_clean.yaml"))
    config.weights = str(weights)
    built = instantiate(config)()
    assert [built.label(stem) for stem in ("fd", "kid", "pr")] == ["fid_clean", "kid_clean", "pr_inception_clean"]
    differing = [key for key, value in clean.protocol().items() if value != extractor.protocol()[key]]
    assert differing == ["extractor", "resize"]


def test_images_of_the_networks_own_size_are_not_resized(extractor, clean):
    # Both ways must leave 299 pixels bit for bit as they are; and ours through the network is the network's own.
    images = torch.randint(256, (2, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    legacy, ours = extractor(images), clean(images)
    assert torch.equal(legacy["features"], ours["features"])
    assert torch.equal(legacy["logits"], ours["logits"])


def test_the_clean_resize_differs_from_the_legacy_one(extractor, clean, outputs, fake):
    features = clean(fake[:2])["features"]
    assert not torch.allclose(features, outputs["features"][:2], rtol=1e-3)


def test_refuses_another_resize(weights):
    with pytest.raises(ValueError, match="resize must be one of legacy, clean, got 'bicubic'"):
        Inception(weights=weights, layer="2048", resize="bicubic", download=False)


def test_torch_fidelity_is_imported_only_when_used():
    code = "import sys, gan_lab.extractors.inception; sys.exit('torch_fidelity' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
