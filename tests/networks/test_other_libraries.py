"""Networks as Mimicry's and StudioGAN's are, against references of our own: see docs/rectified-shortcuts.md."""

import re
from itertools import pairwise

import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from shrunk import shrunk
from test_network_configs import build
from test_network_sagan import configured, parameters, sizes_alone
from torch import nn
from torch.nn import functional as F

from gan_lab.config import register
from gan_lab.layers.conditioning import LinearClassBatchNorm2d
from gan_lab.layers.kinds import LINEAR_MAPS
from gan_lab.networks.base import Discriminator
from gan_lab.networks.biggan import BigGANGenerator
from gan_lab.networks.dcgan import DCGANDiscriminator
from gan_lab.networks.resnet import FirstBlock, ResidualBlock, ResNetDiscriminator, ResNetGenerator
from gan_lab.networks.sagan import SAGANDiscriminator, SAGANGenerator
from gan_lab.regularizers.orthogonal import raw_weight

MIMICRY = (
    "sngan_cifar10",
    "ssgan_cifar10",
    "projection_gan_cifar10",
    "wgan_gp_cifar10",
    "sngan_celeba",
    "ssgan_celeba",
)
STUDIOGAN = (
    *("biggan_cifar10", "contragan_cifar10", "reacgan_cifar10", "sagan_cifar10", "logan_cifar10"),
    *("biggan_babyimagenet", "contragan_babyimagenet", "reacgan_babyimagenet"),
    *("sagan_babyimagenet", "projection_gan_babyimagenet"),
)
DCGANS = ("dcgan_cifar10", "lsgan_cifar10", "hinge_gan_cifar10")


def composed(*overrides: str):
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        return compose("train", [*overrides])


# Rectified shortcuts ------------------------------------------------------------------------------------------


def with_relu_in_place(block, features):
    """What code computes whose ReLU works in place, and whose shortcut reads x after it."""
    x = features.clone()
    h = x
    for layer in block.residual:
        h = F.relu(h, inplace=True) if isinstance(layer, nn.ReLU) else layer(h)
    return h + block.shortcut(x)


def block(**changes):
    values = {"normalization": "none", "initialization": "xavier", "resampling": "halve", "bias": True}
    torch.manual_seed(0)
    return ResidualBlock(2, 3, 3, **(values | changes)).double()


@pytest.mark.parametrize("resampling", ["none", "halve"])
def test_a_rectified_shortcut_is_that_of_a_relu_in_place(resampling):
    features = torch.randn(4, 2, 4, 6, dtype=torch.float64)
    plain, rectified = block(resampling=resampling), block(resampling=resampling, shortcut="rectified")
    expected = with_relu_in_place(plain, features)
    torch.testing.assert_close(rectified(features), expected, rtol=1e-14, atol=1e-14)
    off = (plain(features) - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert off > 0.1, "of the same weights the papers' block makes other numbers"


def test_a_rectified_shortcut_by_hand():
    """Without its residual part the block is its shortcut: x, or max(0, x)."""
    features = torch.tensor([-2.0, 3.0]).view(1, 1, 1, 2)
    for shortcut, expected in (("plain", [-2.0, 3.0]), ("rectified", [0.0, 3.0])):
        settings = {"normalization": "none", "initialization": "xavier", "resampling": "none", "bias": True}
        made = ResidualBlock(1, 1, 1, shortcut=shortcut, **settings)
        for parameter in made.parameters():
            nn.init.zeros_(parameter)
        assert made(features).flatten().tolist() == expected
    assert features.flatten().tolist() == [-2.0, 3.0], "ours overwrites nothing"


CRITICS = {
    "resnet": (
        ResNetDiscriminator,
        {"width": 4, "multipliers": [1, 2, 2], "halvings": 2, "stem": "block", "pooling": "sum"},
    ),
    "sagan": (SAGANDiscriminator, {"width": 4, "multipliers": [1, 2, 2], "halvings": 2, "attention": 1}),
}


@pytest.mark.parametrize("normalization", ["none", "spectral"])
@pytest.mark.parametrize("kind", CRITICS)
def test_a_discriminator_of_rectified_shortcuts(kind, normalization):
    """Every block but the first, which begins with a convolution of the image."""
    make, settings = CRITICS[kind]
    settings = settings | {"sample_shape": (3, 16, 16), "normalization": normalization, "initialization": "orthogonal"}
    torch.manual_seed(0)
    critic = make(**settings, shortcut="rectified").double().eval()
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    rows = [critic.stem, *critic.blocks] if kind == "resnet" else list(critic.blocks)
    assert [type(row) for row in rows].count(FirstBlock) == 1
    features = images
    for row in rows:
        features = with_relu_in_place(row, features) if isinstance(row, ResidualBlock) else row(features)
    expected = critic.output(features.relu().sum((2, 3))).squeeze(1)
    torch.testing.assert_close(critic(images), expected, rtol=1e-12, atol=1e-12)
    plain = make(**settings).double().eval()
    plain.load_state_dict(critic.state_dict())
    assert (plain(images) - expected).abs().max() > 0.01


def test_where_a_normalization_stands_before_the_relu_it_is_refused():
    with pytest.raises(ValueError, match=r"normalization=layer stands between; set normalization=none or spectral"):
        block(normalization="layer", shortcut="rectified")
    with pytest.raises(ValueError, match="shortcut must be one of plain, rectified; got 'relu'"):
        block(shortcut="relu")


# Generators ---------------------------------------------------------------------------------------------------

RESNET = {"sample_shape": (3, 16, 16), "latent_dim": 5, "width": 4, "multipliers": [2, 2, 1]}


def test_a_generator_that_doubles_bilinearly():
    settings = {**RESNET, "normalization": "batch", "initialization": "xavier"}
    made = ResNetGenerator(**settings, doubling="bilinear")
    doublings = [layer for layer in made.modules() if isinstance(layer, nn.Upsample)]
    assert [layer.mode for layer in doublings] == ["bilinear"] * 4
    assert {layer.mode for layer in ResNetGenerator(**settings).modules() if isinstance(layer, nn.Upsample)} == {
        "nearest"
    }
    with pytest.raises(ValueError, match="doubling must be one of nearest, bilinear; got 'bicubic'"):
        ResNetGenerator(**settings, doubling="bicubic")


def test_the_shortcut_at_low_resolution_equals_the_bilinear_one_before_the_convolution():
    made = block(resampling="double", doubling_by="bilinear")
    features = torch.randn(2, 2, 4, 6, dtype=torch.float64)
    convolution, _ = made.shortcut
    doubled = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(made.shortcut(features), convolution(doubled), rtol=1e-12, atol=1e-12)


def test_with_biases_generators_have_the_published_sizes():
    """Counts as in `test_network_configs`, `test_network_biggan` and `test_network_sagan`, nothing left out."""
    network, _ = build("resnet", [3, 32, 32], generator={"bias": True})
    assert parameters(network) == 4_276_739
    with_bias = {"bias": True}
    made, _ = configured("biggan", [3, 32, 32], latent_dim=80, generator={"num_classes": 10, **with_bias})
    assert parameters(made) == 9_416_196
    made, _ = configured("biggan128", [3, 128, 128], latent_dim=120, generator=with_bias)
    assert parameters(made) == 70_433_988
    made, _ = configured("sagan128", [3, 128, 128], generator={"attention": 4, **with_bias})
    assert parameters(made) == 42_017_412


def test_a_bias_before_a_batch_norm_changes_nothing():
    """Which is why the default has none: with the other weights alike, samples are."""
    settings = {**RESNET, "normalization": "batch", "initialization": "xavier"}
    plain, biased = ResNetGenerator(**settings), ResNetGenerator(**settings, bias=True)
    biased.load_state_dict(plain.state_dict(), strict=False)
    for layer in biased.blocks.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.bias)
    latents = torch.randn(6, 5)
    torch.testing.assert_close(biased(latents), plain(latents), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [ResNetGenerator, SAGANGenerator])
def test_class_scales_linear_in_the_class(make):
    own = {"normalization": "batch"} if make is ResNetGenerator else {"attention": 1}
    settings = {**RESNET, "initialization": "orthogonal", "gain": 1.0, "num_classes": 3, **own}
    made = make(**settings, conditioning="linear_batch_norm")
    layers = [layer for layer in made.modules() if isinstance(layer, LinearClassBatchNorm2d)]
    assert len(layers) == 4
    for layer in layers:
        values = torch.linalg.svdvals(layer.normalization.scale.weight)
        torch.testing.assert_close(values, torch.ones_like(values), rtol=1e-4, atol=1e-4)
    assert made.num_classes == 3
    latents, labels = torch.randn(3, 5), torch.tensor([0, 1, 2])
    assert not torch.allclose(made(latents, labels), made(latents, labels.flip(0)))
    with pytest.raises(ValueError, match="needs labels"):
        made(latents)


def test_spectral_normalization_bounds_the_class_scales():
    """W is as any other layer's weight: however large it is trained, 1 + W y stays within 1 of 1."""
    torch.manual_seed(0)
    settings = {**RESNET, "attention": 1, "initialization": "orthogonal", "num_classes": 3}
    made = SAGANGenerator(**settings, conditioning="linear_batch_norm")
    layer = next(layer for layer in made.modules() if isinstance(layer, LinearClassBatchNorm2d))
    raw_weight(layer.normalization.scale).data.mul_(100)
    for _ in range(20):
        made(torch.randn(3, 5), torch.tensor([0, 1, 2]))
    assert torch.linalg.matrix_norm(layer.normalization.scale.weight, 2).item() == pytest.approx(1, abs=0.01)


# How they begin -----------------------------------------------------------------------------------------------


def networks_of(config):
    """The networks of a model, with the head that makes embeddings."""
    found = [instantiate(config.generator), instantiate(config.discriminator)]
    if "embedding" in config:
        found.append(instantiate(config.embedding)(found[1].feature_dim))
    return found


@pytest.mark.parametrize("name", [*STUDIOGAN, *DCGANS])
def test_recipes_with_studiogans_settings_begin_as_it_does(name):
    """Orthogonal with gain 1, in every layer and embedding; biases at 0. Tables of class scales are the authors'."""
    overrides = [f"experiment={name}"]
    config = composed(*overrides, *shrunk(overrides)).model
    checked = 0
    for network in networks_of(config):
        tables = [
            layer
            for path, layer in network.named_modules()
            if isinstance(layer, nn.Embedding) and not path.endswith(("scale", "offset"))
        ]
        for layer in [*tables, *(layer for layer in network.modules() if isinstance(layer, LINEAR_MAPS))]:
            values = torch.linalg.svdvals(raw_weight(layer).flatten(1))
            torch.testing.assert_close(values, torch.ones_like(values), rtol=1e-4, atol=1e-4)
            assert getattr(layer, "bias", None) is None or not layer.bias.any()
            checked += 1
    assert checked >= 6


@pytest.mark.parametrize("gain", [1.0, 3.0])
@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (ResNetGenerator, {**RESNET, "normalization": "batch"}),
        (SAGANGenerator, {**RESNET, "attention": 1}),
        (BigGANGenerator, {**RESNET, "attention": 1, "embedding_dim": 3}),
        *((make, {"sample_shape": (3, 16, 16), "normalization": "none", **own}) for make, own in CRITICS.values()),
        (DCGANDiscriminator, {"sample_shape": (3, 16, 16), "width": 4, "max_width": 8, "normalization": "none"}),
    ],
)
def test_the_gain_is_that_of_layers_beside_a_relu(make, settings, gain):
    """Those that no ReLU follows or precedes, such as shortcuts, attention and output, keep 1."""
    made = make(**settings, initialization="orthogonal", gain=gain)
    found = {
        path: torch.linalg.svdvals(raw_weight(layer).flatten(1))[0].item()
        for path, layer in made.named_modules()
        if isinstance(layer, LINEAR_MAPS)
    }
    beside = {path: value for path, value in found.items() if "residual" in path or path.startswith("stages.")}
    if make is BigGANGenerator:
        beside = {path: value for path, value in found.items() if "residual" in path}
    assert len(beside) >= 2
    assert list(beside.values()) == pytest.approx([gain] * len(beside), rel=1e-4)
    rest = [value for path, value in found.items() if path not in beside]
    assert rest == pytest.approx([1.0] * len(rest), rel=1e-4)


@pytest.mark.parametrize("initialization", ["orthogonal", "xavier"])
def test_the_embedding_of_a_projection_begins_as_the_other_layers(initialization):
    """5 classes in 16 numbers: orthonormal rows, or U(-a, a) of a^2 = 6 / 21."""
    settings = {**CRITICS["sagan"][1], "width": 8, "normalization": "none", "conditioning": "projection"}
    critic = SAGANDiscriminator(sample_shape=(3, 16, 16), initialization=initialization, num_classes=5, **settings)
    assert isinstance(critic, Discriminator)
    weight = critic.embedding.weight.detach()
    if initialization == "orthogonal":
        torch.testing.assert_close(weight @ weight.T, torch.eye(5), rtol=1e-4, atol=1e-4)
    else:
        assert 0.4 < weight.abs().max() < (6 / 21) ** 0.5


# Recipes and records ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MIMICRY, *STUDIOGAN])
def test_a_record_has_the_command_of_the_published_networks(name):
    """It says what is published, and its second command builds those networks."""
    record = (ROOT / "experiments" / f"{name}.md").read_text()
    assert "(../docs/rectified-shortcuts.md)" in record
    _, command = re.findall(r"^    python -m gan_lab\.train (.+)$", record, re.MULTILINE)
    words = command.split()
    assert words[0] == f"experiment={name}"
    config = composed(*words).model
    with sizes_alone():
        made, critic = instantiate(config.generator), instantiate(config.discriminator)
    blocks = [layer for layer in critic.modules() if isinstance(layer, ResidualBlock)]
    assert blocks
    assert all(layer.rectified for layer in blocks)
    convolutions = [
        layer for path, layer in made.named_modules() if isinstance(layer, nn.Conv2d) and "residual" in path
    ]
    assert convolutions
    assert all(layer.bias is not None for layer in convolutions)
    modes = {layer.mode for layer in made.modules() if isinstance(layer, nn.Upsample)}
    assert modes == ({"bilinear"} if name in MIMICRY else {"nearest"})
    linear = any(isinstance(layer, LinearClassBatchNorm2d) for layer in made.modules())
    assert linear == name.startswith(("sagan", "projection_gan_baby"))
    if name in STUDIOGAN:
        assert "one split" in record
        assert "standing statistics" in record


@pytest.mark.parametrize("name", ["biggan", "contragan", "reacgan"])
def test_baby_imagenet_has_studiogans_generator(name):
    """17.3 M at 80 channels by 16, 8, 4, 2, 1, with biases, 100 classes; by hand:

    20*20480 + 20480 (linear), blocks of 9ab + 9b^2 + ab and 3b with 2 * 148 * (a + b) for scales and offsets,
    5/4 * 160^2 + 1 (attention), 100 * 128 (embedding), 160 (batch norm), 80*27 + 3 (output).
    """
    config = composed(f"experiment={name}_babyimagenet", "data.root=x", "+model.generator.bias=true").model
    with sizes_alone():
        made = instantiate(config.generator)
    stages = [1280, 640, 320, 160, 80]
    blocks = sum(10 * a * b + 9 * b * b + 3 * b + 2 * 148 * (a + b) for a, b in pairwise(stages))
    by_hand = 21 * 20480 + blocks + 5 * 160**2 // 4 + 1 + 100 * 128 + 160 + 80 * 27 + 3
    assert parameters(made) == by_hand
    assert round(by_hand / 1e6, 1) == 17.3
    if name != "biggan":
        assert config.embedding.width == 768


def test_the_page_about_it_is_true():
    """Its code runs, its command composes, and it names the records that say the same."""
    page = (ROOT / "docs" / "rectified-shortcuts.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec(code, names := {})
    assert (names["difference"] != 0).float().mean().item() == pytest.approx(0.5, abs=0.05), "where x is below 0"
    (command,) = re.findall(r"^    python -m gan_lab\.train (.+)$", page, re.MULTILINE)
    assert composed(*command.split()).model.discriminator.shortcut == "rectified"
    assert set(re.findall(r"`(\w+_(?:cifar10|celeba|babyimagenet))`", page)) == {*MIMICRY, *STUDIOGAN}
