"""Translators: sizes, published parameter counts, where there is dropout, independence of the batch, refusals."""

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from gan_lab.layers.normalization import NORMALIZATIONS
from gan_lab.layers.upsampling import UPSAMPLINGS
from gan_lab.networks.translators import ResidualTranslator, ResNetTranslator, UNetTranslator

COMMON = {
    "sample_shape": (3, 16, 16),
    "condition_shape": (3, 16, 16),
    "masked": False,
    "width": 4,
    "normalization": "instance",
    "dropout": 0.0,
    "upsampling": "transposed",
    "initialization": "normal",
}


def resnet(**changes):
    torch.manual_seed(0)
    return ResNetTranslator(**({**COMMON, "blocks": 2, "downsamplings": 2} | changes))


def unet(**changes):
    torch.manual_seed(0)
    return UNetTranslator(**({**COMMON, "depth": 3} | changes))


def residual(**changes):
    torch.manual_seed(0)
    return ResidualTranslator(**({**COMMON, "blocks": 2, "downsamplings": 2} | changes))


BOTH = pytest.mark.parametrize("make", [resnet, unet])


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize(("channels", "source_channels", "masked"), [(1, 3, False), (3, 1, True), (4, 7, True)])
@BOTH
def test_shapes(make, channels, source_channels, masked, upsampling):
    shape, source = OmegaConf.create([channels, 16, 32]), OmegaConf.create([source_channels, 16, 32])
    with torch.device("meta"):
        made = make(sample_shape=shape, condition_shape=source, masked=masked, upsampling=upsampling)
        mask = torch.ones(2, 1, 16, 32) if masked else None
        assert made(condition=torch.randn(2, source_channels, 16, 32), mask=mask).shape == (2, channels, 16, 32)
    assert made.sample_shape == (channels, 16, 32)
    assert made.condition_shape == (source_channels, 16, 32)
    assert made.masked is masked


@pytest.mark.parametrize(
    ("make", "changes", "multiple", "smallest"),
    [
        (resnet, {"downsamplings": 1}, 2, 4),
        (resnet, {"downsamplings": 2}, 4, 8),
        (resnet, {"downsamplings": 3}, 8, 16),
        (unet, {"depth": 2}, 4, 4),
        (unet, {"depth": 4}, 16, 16),
    ],
)
def test_any_multiple_of_size_multiple_is_taken_and_no_other_size(make, changes, multiple, smallest):
    made = make(**changes)
    assert (made.size_multiple, made.smallest_size) == (multiple, smallest)
    for size in [(smallest, smallest), (smallest, smallest + 3 * multiple), (smallest + 2 * multiple, smallest)]:
        assert made(pictures(2, 3, *size)).shape == (2, 3, *size)
    wrong = smallest + multiple - 1
    with pytest.raises(ValueError, match=f"multiples of {multiple}, from {smallest} on; the source has {wrong}x"):
        made(pictures(1, 3, wrong, smallest))
    with pytest.raises(ValueError, match=f"from {smallest} on; the source has {smallest}x{smallest - multiple}; pad"):
        made(pictures(1, 3, smallest, smallest - multiple))


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
@pytest.mark.parametrize(("blocks", "count"), [(9, 11_378_179), (6, 7_837_699)])
def test_parameter_counts_of_cyclegan(blocks, count, upsampling):
    """junyanz/pytorch-CycleGAN-and-pix2pix, resnet_9blocks and resnet_6blocks (CUT's antialiased: as many). By hand:

    the ends 3*64*49 + 64 and 64*3*49 + 3; down 64*128*9 + 128 and 128*256*9 + 256; up 256*128*9 + 128 and
    128*64*9 + 64; each block 2 * (256*256*9 + 256).
    """
    shape = (3, 256, 256)
    settings = {"sample_shape": shape, "condition_shape": shape, "normalization": "instance_plain"}
    with torch.device("meta"):
        made = resnet(blocks=blocks, width=64, upsampling=upsampling, **settings)
    ends = 2 * 3 * 64 * 49 + 64 + 3
    between = 2 * (64 * 128 + 128 * 256) * 9 + 2 * 128 + 256 + 64
    assert parameters(made) == ends + between + blocks * 2 * (256 * 256 * 9 + 256) == count


@pytest.mark.parametrize(("depth", "count"), [(8, 54_413_955), (7, 41_828_995)])
def test_parameter_counts_of_pix2pix(depth, count):
    """The same repository's unet_256 and unet_128, with batch normalization."""
    shape = (3, 2**depth, 2**depth)
    with torch.device("meta"):
        made = unet(
            sample_shape=shape, condition_shape=shape, depth=depth, width=64, normalization="batch", dropout=0.5
        )
    assert parameters(made) == count


def test_a_mask_is_one_channel_more():
    with torch.device("meta"):
        for make, taps in ((resnet, 49), (unet, 16)):
            assert parameters(make(masked=True)) - parameters(make()) == COMMON["width"] * taps


def test_a_residual_network_sees_its_input_mirrored_at_the_border():
    """Of a flat picture the parts that keep the size make flat ones, up to the border."""
    made = resnet(normalization="none", initialization="he")
    for part, inputs in ((made.down[:4], 3), (made.blocks, 16), (made.output, 4)):
        flat = part(torch.ones(1, inputs, 8, 8))
        assert flat.abs().max() > 0.1
        torch.testing.assert_close(flat, flat[:, :, 4:5, 4:5].expand_as(flat))


def test_residual_blocks_add_to_what_they_are_given():
    made = resnet(blocks=3)
    for block in made.blocks:
        block.residual.register_forward_hook(lambda module, inputs, output: torch.ones_like(output))
    features = pictures(2, 16, 4, 4)
    torch.testing.assert_close(made.blocks(features), features + 3)


def normalized(network):
    return [layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


def test_what_a_u_net_normalizes():
    """Channels 4, 8, 16, 32, 32: all on the way down but the first and the lowest, all on the way up but the last."""
    with torch.device("meta"):
        made = unet(depth=5, normalization="batch", sample_shape=(3, 32, 32), condition_shape=(3, 32, 32))
    assert normalized(made.down) == [8, 16, 32]
    assert normalized(made.up) == [32, 16, 8, 4]
    assert normalized(made.output) == []


def test_a_u_net_sees_one_picture_at_its_lowest_level():
    """At a batch of one, in training mode, a normalization of 1x1 would make zeros of it (or raise an error)."""
    made = unet(depth=4, normalization="batch", initialization="he")
    low = []
    made.down[-1].register_forward_hook(lambda module, inputs, output: low.append(output))
    made(pictures(1, 3, 16, 16))
    assert low[0].shape == (1, 32, 1, 1)
    assert low[0].abs().min() > 1e-4


def test_each_level_of_a_u_net_comes_back_in():
    """With all levels below silenced, each level is still seen; with itself silenced, too, the picture is flat."""
    made = unet(normalization="none", initialization="he")
    source = pictures(1, 3, 16, 16)
    for silenced in range(len(made.down)):
        hooks = [
            step.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
            for step in made.down[silenced:]
        ]
        differs = not torch.allclose(made(source), made(source.flip(3)), atol=1e-6)
        assert differs == (silenced > 0)
        for hook in hooks:
            hook.remove()


def dropped_sizes(network, source):
    sizes = []
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
    network(source)
    return sizes


def test_where_a_u_net_drops():
    """As the authors' PyTorch code at 256x256: in the steps from 2 to 4, from 4 to 8 and from 8 to 16."""
    with torch.device("meta"):
        shape = (3, 256, 256)
        made = unet(sample_shape=shape, condition_shape=shape, depth=8, dropout=0.5)
        assert dropped_sizes(made, torch.randn(1, *shape)) == [4, 8, 16]


@pytest.mark.parametrize(
    ("make", "changes"),
    [(resnet, {}), (unet, {"depth": 6, "sample_shape": (3, 64, 64), "condition_shape": (3, 64, 64)})],
)
def test_dropout_is_for_training(make, changes):
    made, source = make(dropout=0.5, initialization="he", **changes), pictures(2, 3, 64, 64)
    assert not torch.equal(made(source), made(source))
    torch.manual_seed(3)
    first = made(source)
    torch.manual_seed(3)
    assert torch.equal(made(source), first), "its draws are those of torch's default generator"
    made.eval()
    assert torch.equal(made(source), made(source))
    without = make(dropout=0.0, initialization="he", **changes)
    assert torch.equal(made(source), without.eval()(source))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@BOTH
def test_a_picture_does_not_depend_on_its_batch(make, normalization):
    made, source = make(normalization=normalization, initialization="he").double(), pictures(3, 3, 16, 24).double()
    made(source)  # running statistics have moved
    made.eval()
    together = made(source)
    for index in range(3):
        torch.testing.assert_close(made(source[index : index + 1])[0], together[index], atol=1e-12, rtol=0)
    made.train()
    differs = not torch.allclose(made(source[:1])[0], together[0], atol=1e-3)
    assert differs == (normalization == "batch"), "all others do the same in training"


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@BOTH
def test_gradient_reaches_every_parameter(make, normalization, upsampling):
    """But biases that a plain instance normalization takes away again, which the published networks have."""
    made = make(normalization=normalization, upsampling=upsampling, initialization="he", masked=True)
    mask = (pictures(4, 1, 16, 32) > 0).float()
    translated = made(pictures(4, 3, 16, 32), mask)
    (translated * pictures(*translated.shape)).sum().backward()
    for name, parameter in made.named_parameters():
        if normalization == "instance_plain" and name.endswith("bias"):
            continue
        assert parameter.grad.abs().max() > 1e-3, name


@BOTH
def test_pictures_lie_in_the_unit_range(make):
    made = make(normalization="none", initialization="he")
    source = pictures(2, 3, 16, 16) * 1000
    assert made.translate(source).abs().max() > 1
    assert made(source).abs().max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_the_residual_network_begins_as_its_source_and_adds_to_it(channels):
    made, source = residual(condition_shape=(channels, 16, 16)), pictures(2, channels, 16, 16)
    assert made(source).equal(source.expand(2, 3, 16, 16))
    made(source).sum().backward()
    assert made.output[-1].weight.grad.abs().sum() > 0
    nn.init.constant_(made.output[-1].bias, 0.25)
    assert made(source).equal(source.expand(2, 3, 16, 16) + 0.25)


@BOTH
def test_a_mask_is_seen_and_asked_for(make):
    made, source = make(masked=True, initialization="he"), pictures(1, 3, 16, 16)
    hole = torch.zeros(1, 1, 16, 16)
    hole[..., 4:8, 4:8] = 1
    assert not torch.allclose(made(source, mask=hole), made(source, mask=torch.zeros_like(hole)), atol=1e-3)
    with pytest.raises(ValueError, match=r"built for a mask was given none: .* set model.generator.masked=false"):
        made(source)
    with pytest.raises(ValueError, match=r"model.generator.masked=false was given a mask: build it for one"):
        make()(source, hole)


@BOTH
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_shape": (3, 30, 32), "condition_shape": (3, 30, 32)}, r"has 30x32; set data.image_size to .* change"),
        ({"sample_shape": (2, 32, 32)}, "1, 3 or 4 channels; data.sample_shape has 2"),
        ({"condition_shape": None}, "data.condition_shape is null; choose data that has a source"),
        ({"condition_shape": (3, 16)}, r"data.condition_shape is \(3, 16\)"),
        ({"condition_shape": (3, 8, 16)}, "data.condition_shape has 8x16 and data.sample_shape 16x16"),
        ({"width": 0}, "width must be 1 or more; got 0"),
        ({"dropout": 1.0}, "generator.dropout is a share, from 0 to below 1; got 1.0"),
        ({"dropout": -0.1}, "got -0.1"),
        ({"normalization": "group"}, "got 'group'"),
        ({"upsampling": "bicubic"}, "got 'bicubic'"),
        ({"initialization": "zeros"}, "got 'zeros'"),
    ],
)
def test_refusals_name_the_value(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (resnet, {"blocks": 0}, "blocks must be 1 or more; got 0"),
        (resnet, {"downsamplings": 0}, "downsamplings must be 1 or more; got 0"),
        (resnet, {"downsamplings": 4}, "resnet_translator takes .* multiples of 16, from 32 on; .* 16x16;"),
        (residual, {"downsamplings": 4}, "residual_translator takes .* multiples of 16"),
        (
            residual,
            {"condition_shape": (4, 16, 16)},
            r"condition_shape=\[4, 16, 16\] has neither one channel nor the 3",
        ),
        (residual, {"normalization": "spectral"}, "weights of 0, .* set generator.normalization=instance_plain"),
        (unet, {"depth": 1}, "depth must be 2 or more; got 1"),
        (unet, {"depth": 5}, "unet_translator takes .* multiples of 32, from 32 on; .* change generator.depth"),
        (
            unet,
            {"depth": 4, "dropout": 0.5},
            r"generator.depth=4 has none; set generator.dropout=0, or generator.depth=6",
        ),
    ],
)
def test_refusals_of_each(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
