"""Feature maps for losses: the same network as for scores, a gradient to the images alone, refusals."""

from functools import partial

import pytest
import torch
from lite0_weights import write_lite0
from torch import nn
from windowed_weights import windowed_state

from gan_lab.data.images import from_uint8
from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights
from gan_lab.extractors.classifier import Classifier, ResidualClassifier, save_classifier
from gan_lab.extractors.custom import Custom
from gan_lab.extractors.digitnet import LAST_MAPS, DigitNet
from gan_lab.extractors.efficientnet_lite0 import BLOCKS, LEVELS, MAPS, EfficientNetLite0
from gan_lab.extractors.pixels import continuous, to_channels
from gan_lab.extractors.stacked import StackedDigitNet
from gan_lab.extractors.vgg import UP_TO_CONV5_4, URL_19, VGG19


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of VGG19, EfficientNet-Lite0 and of a classifier of 16x16 colours, with random weights."""
    from torchvision.models import vgg19

    folder = tmp_path_factory.mktemp("weights")
    with torch.device("meta"):
        network = vgg19()
    torch.save(windowed_state(network, seed=0), folder / "vgg19.pth")
    write_lite0(folder / "lite0.pth")
    torch.manual_seed(0)
    classifier = ResidualClassifier(image_size=(16, 16), channels=3, classes=4)
    save_classifier(folder / "classifier.safetensors", classifier, {"name": "mine"})
    return folder


def made(name: str, weights) -> Extractor:
    makers = {
        "digitnet": partial(DigitNet, None),
        "stacked": partial(StackedDigitNet, None),
        "classifier": partial(Classifier, weights / "classifier.safetensors", None),
        "vgg19": partial(VGG19, weights / "vgg19.pth", download=False),
        "lite0": partial(EfficientNetLite0, weights / "lite0.pth"),
        "custom": partial(
            Custom, nn.Flatten(), None, "mine", 3, [16, 16], "bicubic", [0.5, 0.25, 0.0], [0.5, 1.0, 2.0]
        ),
        "custom_bilinear": partial(Custom, nn.Flatten(), None, "mine", 3, [16, 16], "bilinear", [0.0] * 3, [1.0] * 3),
    }
    return makers[name]()


# From maps to what scores are made of.
POOLED = {
    "digitnet": lambda extractor, maps: extractor.network.body[LAST_MAPS:](maps),
    "stacked": lambda extractor, maps: torch.cat(
        [extractor.digitnet.network.body[LAST_MAPS:](one) for one in maps.split(64, dim=1)], dim=1
    ),
    "classifier": lambda extractor, maps: maps.mean(dim=(2, 3)),
    "vgg19": lambda extractor, maps: maps.mean(dim=(2, 3)),
    "lite0": lambda extractor, maps: (
        nn.Sequential(*extractor.network.blocks[BLOCKS[LEVELS[MAPS]] :], extractor.network.head, nn.ReLU6())(maps)
    ).mean(dim=(2, 3)),
    "custom": lambda extractor, maps: maps,
    "custom_bilinear": lambda extractor, maps: maps,
}
OWN_SIZE = {"digitnet": 32, "stacked": 32, "vgg19": 32, "lite0": 224}


@pytest.mark.parametrize("name", POOLED)
def test_maps_are_what_features_are_made_of(name, weights):
    """Of pictures of 256 levels and the network's own size, where nothing is rounded."""
    extractor, images = made(name, weights), noise(3, 3, OWN_SIZE.get(name, 16), OWN_SIZE.get(name, 16))
    features = extractor(images)["features"]
    assert features.std() > 0
    pooled = POOLED[name](extractor, extractor.differentiable(from_uint8(images)))
    torch.testing.assert_close(pooled, features, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", POOLED)
def test_a_gradient_flows_to_the_images_alone(name, weights):
    extractor = made(name, weights).double()
    images = from_uint8(noise(2, 3, 24, 20)).double().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = extractor.differentiable(images)
    assert maps.dtype == torch.float64
    direction = torch.randn(images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    along = torch.randn(maps.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (slope,) = torch.autograd.grad((maps * along).sum(), images)
    step = 1e-6
    with torch.no_grad():
        further, back = (extractor.differentiable(images + sign * step * direction) for sign in (1, -1))
    expected = ((further - back) * along).sum() / (2 * step)
    assert (slope * direction).sum().item() == pytest.approx(expected.item(), rel=1e-3), "rectifiers may turn"
    assert expected.abs() > 1e-6, "nothing is rounded away"
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


@pytest.mark.parametrize(("name", "place"), [("digitnet", -1), ("vgg19", -1), ("lite0", MAPS)])
def test_levels_are_of_the_shapes_that_are_said_and_hold_the_maps(name, place, weights):
    extractor = made(name, weights)
    images = from_uint8(noise(2, 4, 48, 64)).requires_grad_()
    levels = extractor.levels(images)
    assert tuple(tuple(level.shape[1:]) for level in levels) == type(extractor).level_shapes(48, 64)
    torch.testing.assert_close(levels[place], extractor.differentiable(images))
    for level in levels:
        (slope,) = torch.autograd.grad(level.square().sum(), images, retain_graph=True)
        assert slope.abs().sum() > 0


def test_what_gives_no_levels_is_refused_by_name(weights):
    extractor = made("classifier", weights)
    assert extractor.level_shapes(16, 16) == ()
    with pytest.raises(ValueError, match="the extractor mine gives no maps of several resolutions"):
        extractor.levels(torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("given", [1, 3, 4])
def test_channels_are_those_of_scores(given, channels):
    images = noise(2, given, 5, 6)
    found = continuous(from_uint8(images), channels, None)
    torch.testing.assert_close(found, from_uint8(to_channels(images, channels)), atol=1.5 / 127.5, rtol=0)


def test_vgg19_ends_with_its_sixteenth_convolution(weights):
    extractor = made("vgg19", weights)
    assert sum(isinstance(layer, nn.Conv2d) for layer in extractor.convolutions) == 16
    assert isinstance(extractor.convolutions[-1], nn.Conv2d)
    assert extractor.differentiable(torch.zeros(1, 1, 40, 48)).shape == (1, 512, 2, 3)
    assert len(extractor.convolutions) == UP_TO_CONV5_4


def test_vgg19_without_weights_or_with_others(tmp_path):
    path = tmp_path / "vgg19.pth"
    message = VGG19.missing_weights(weights=path, download=False)
    assert all(part in message for part in (str(path), URL_19, "download=true"))
    with pytest.raises(MissingWeights, match="is absent"):
        VGG19(weights=path, download=False)
    torch.save({"features.0.weight": torch.zeros(3)}, path)
    with pytest.raises(DamagedWeights, match=r"vgg19\.pth does not hold VGG19's weights"):
        VGG19(weights=path, download=False)


def test_what_is_no_picture_is_refused():
    with pytest.raises(TypeError, match="digitnet's maps are of floating point"):
        DigitNet(None).differentiable(noise(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"takes \(B, 1 or 3 or 4, H, W\), got \(1, 2, 8, 8\)"):
        DigitNet(None).differentiable(torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match="3 channels, a digit each, got 1"):
        StackedDigitNet(None).differentiable(torch.zeros(1, 1, 8, 8))
