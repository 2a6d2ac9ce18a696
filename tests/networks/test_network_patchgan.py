"""PatchGAN: fields measured, published parameter counts, what it judges with, refusals."""

import pytest
import torch
from omegaconf import OmegaConf

from gan_lab.layers.normalization import NORMALIZATIONS
from gan_lab.losses import least_squares
from gan_lab.networks.patchgan import PatchDiscriminator


def discriminator(**changes):
    torch.manual_seed(0)
    values = {"sample_shape": (3, 32, 32), "condition_shape": None, "masked": False, "layers": 2, "width": 4}
    values |= {"normalization": "instance_plain", "initialization": "normal"}
    return PatchDiscriminator(**(values | changes))


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("condition_shape", "normalization", "count"),
    [(None, "instance_plain", 2_764_737), ((3, 256, 256), "batch", 2_768_705)],
)
def test_parameter_counts_of_70x70_patchgan(condition_shape, normalization, count):
    """junyanz/pytorch-CycleGAN-and-pix2pix: of CycleGAN, and of pix2pix with source and target. By hand:

    16 * (C*64 + 64*128 + 128*256 + 256*512 + 512) weights; first and last have a bias; 128 + 256 + 512 biases beside
    plain instance normalization, or as many scales and offsets of batch normalization.
    """
    with torch.device("meta"):
        judge = discriminator(
            sample_shape=(3, 256, 256),
            condition_shape=condition_shape,
            layers=3,
            width=64,
            normalization=normalization,
        )
    channels = 6 if condition_shape else 3
    weights = 16 * (channels * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    hidden = (128 + 256 + 512) * (2 if normalization == "batch" else 1)
    assert parameters(judge) == weights + 64 + 1 + hidden == count


def test_layers_of_the_deepest():
    with torch.device("meta"):
        judge = discriminator(sample_shape=(3, 256, 256), layers=6, width=64)
    convolutions = [layer for layer in judge.layers if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 128, 256, 512, 512, 512, 512]
    assert [layer.stride[0] for layer in convolutions] == [2, 2, 2, 2, 2, 2, 1]


@pytest.mark.parametrize(("layers", "field"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286), (6, 574)])
def test_the_field_of_a_logit(layers, field):
    """Measured: the pixels in which the gradient of one logit in the middle is not zero, with weights of 1."""
    size = 10 * 2**layers
    judge = discriminator(sample_shape=(1, size, size), layers=layers, width=1, normalization="none").double()
    for parameter in judge.parameters():
        parameter.data.fill_(1.0 if parameter.ndim > 1 else 0.0)
    images = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(judge(images)[0, 0, 4, 4], images)
    rows, columns = slope[0, 0].nonzero().unbind(1)
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (field, field)
    assert len(rows) == field**2


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("source_channels", [None, 1, 5])
@pytest.mark.parametrize(("layers", "grid"), [(0, (32, 64)), (1, (14, 30)), (2, (6, 14)), (3, (2, 6))])
def test_shapes(layers, grid, source_channels, masked):
    size = (32, 64)
    with torch.device("meta"):
        judge = discriminator(
            sample_shape=OmegaConf.create([3, *size]),
            condition_shape=source_channels and OmegaConf.create([source_channels, *size]),
            layers=layers,
            masked=masked,
        )
        seen = {"condition": torch.randn(2, source_channels, *size)} if source_channels else {}
        seen |= {"mask": torch.randn(2, 1, *size)} if masked else {}
        assert judge(torch.randn(2, 3, *size), **seen).shape == (2, 1, *grid)
    assert judge.judgement == "logits"
    assert judge.condition_shape == (source_channels and (source_channels, *size))


def test_condition_and_mask_are_seen_and_asked_for():
    judge = discriminator(condition_shape=(1, 32, 32), masked=True, initialization="he")
    images, condition, mask = torch.randn(2, 3, 32, 32), torch.randn(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    mask[:, :, 8:24, 8:24] = 1
    logits = judge(images, condition=condition, mask=mask)
    assert not torch.allclose(logits, judge(images, condition=-condition, mask=mask), atol=1e-3)
    assert not torch.allclose(logits, judge(images, condition=condition, mask=1 - mask), atol=1e-3)
    remedy = r"given none: choose data that has one, or set model.discriminator."
    with pytest.raises(ValueError, match=f"for a condition was {remedy}condition_shape=null"):
        judge(images, mask=mask)
    with pytest.raises(ValueError, match=f"for a mask was {remedy}masked=false"):
        judge(images, condition=condition)
    with pytest.raises(ValueError, match=r"model.discriminator.condition_shape=null was given a condition"):
        discriminator()(images, condition=condition)


def test_a_loss_is_the_mean_over_its_logits():
    judge = discriminator(initialization="he")
    real, fake = (judge(torch.randn(2, 3, 32, 32)) for _ in range(2))
    losses = least_squares.discriminator_loss(real_logits=real, fake_logits=fake)
    expected = 0.5 * (real - 1).square().mean((1, 2, 3)) + 0.5 * fake.square().mean((1, 2, 3))
    torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_gradient_reaches_every_parameter(normalization, layers):
    """But biases that a plain instance normalization takes away again, which the published network has."""
    judge = discriminator(normalization=normalization, initialization="he", layers=layers)
    logits = judge(torch.randn(4, 3, 32, 32))
    (logits * torch.randn_like(logits)).sum().backward()
    convolutions = [f"layers.{index}" for index, layer in enumerate(judge.layers) if isinstance(layer, torch.nn.Conv2d)]
    undone = {f"{name}.bias" for name in convolutions[1:]} if normalization == "instance_plain" else set()
    for name, parameter in judge.named_parameters():
        assert (parameter.grad.abs().max() > 1e-3) == (name not in undone), name


def test_an_unconditional_one_judges_samples_alone():
    judge, images = discriminator(normalization="batch").eval(), torch.randn(3, 3, 40, 48)
    torch.testing.assert_close(judge(images)[:1], judge(images[:1]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 7}, "discriminator.layers must be from 0 to 6; got 7"),
        ({"layers": -1}, "got -1"),
        (
            {"layers": 4},
            r"halves pictures 4 times \(discriminator.layers\).* from 48 on; data.sample_shape has 32x32; set",
        ),
        ({"sample_shape": (3, 11, 32)}, "from 12 on; data.sample_shape has 11x32"),
        ({"sample_shape": (2,)}, "patchgan works on images"),
        ({"condition_shape": (3, 16, 32)}, "data.condition_shape has 16x32 and data.sample_shape 32x32"),
        ({"width": 0}, "width must be 1 or more; got 0"),
        ({"normalization": "group"}, "got 'group'"),
        ({"initialization": "zeros"}, "got 'zeros'"),
    ],
)
def test_refusals_name_the_value(changes, message):
    with pytest.raises(ValueError, match=message):
        discriminator(**changes)


@pytest.mark.parametrize(("layers", "smallest"), [(0, 1), (1, 6), (2, 12), (3, 24)])
@pytest.mark.parametrize("normalization", ["none", "instance", "batch"])
def test_the_smallest_picture_is_judged(layers, smallest, normalization):
    if layers == 0 and normalization == "instance":
        smallest = 2  # nothing is left of one pixel
    judge = discriminator(sample_shape=(3, smallest, smallest), layers=layers, normalization=normalization)
    logits = judge(torch.randn(2, 3, smallest, smallest))
    assert logits.shape[2:] == ((1, 1) if layers else (smallest, smallest))
    if layers:
        with pytest.raises(ValueError, match=f"from {smallest} on"):
            discriminator(sample_shape=(3, smallest - 1, smallest), layers=layers)
