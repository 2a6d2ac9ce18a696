"""The U-Net discriminator: shapes, what each of its two judgements sees, gradients, refusals."""

import pytest
import torch
from omegaconf import OmegaConf

from gan_lab.losses import hinge
from gan_lab.networks.unet import UNetDiscriminator


def discriminator(sample_shape=(1, 16, 16), **changes):
    torch.manual_seed(0)
    values = {"width": 4, "multipliers": [1, 2, 2], "normalization": "none", "initialization": "orthogonal"}
    return UNetDiscriminator(sample_shape=sample_shape, **(values | changes))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (32, 32), (128, 128), (32, 64), (48, 16)])
def test_shapes(channels, size):
    shape = (channels, *size)
    with torch.device("meta"):
        scored = discriminator(OmegaConf.create(list(shape)), multipliers=OmegaConf.create([1, 2, 2]))
        assert scored(torch.randn(2, *shape)).shape == (2, 2, *size)


def test_parameter_count_by_hand():
    """Width 1, two levels, grey, no normalization: 3x3 and 1x1 convolutions with biases."""
    first = (9 + 1) + (9 + 1) + (1 + 1)
    down = (9 + 1) + (9 * 2 + 2) + (2 + 2)
    up = (2 * 9 + 1) + (9 + 1) + (2 + 1)  # from 2 channels to 1; then from 1 and the skipped 1 to 1
    pixels = (2 * 9 + 1) + (9 + 1) + (2 + 1)
    outputs = (2 + 1) + (1 + 1)
    scored = discriminator(width=1, multipliers=[1, 2])
    assert sum(p.numel() for p in scored.parameters()) == first + down + up + pixels + outputs


def test_the_image_has_one_judgement_and_each_pixel_its_own():
    logits = discriminator()(torch.randn(3, 1, 16, 16))
    assert (logits[:, 0] == logits[:, 0, :1, :1]).all()
    assert logits[:, 1].flatten(1).std(dim=1).min() > 0


def test_the_way_up_sees_each_level_of_the_way_down():
    """Pixels still see the image with the lowest level silenced, and with the one above it; then nothing is left."""
    scored = discriminator()
    images = torch.randn(2, 1, 16, 16, requires_grad=True)
    seen = []
    for level in (scored.down[1], scored.down[0], scored.first):
        level.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
        logits = scored(images)
        assert torch.allclose(logits[:, 0], scored.image_output.bias), "the image is judged by the lowest level alone"
        (slope,) = torch.autograd.grad(logits[:, 1].sum(), images, allow_unused=True)
        seen.append(slope is not None and bool(slope.abs().max() > 0))
    assert seen == [True, True, False]


def test_a_loss_over_its_logits_is_half_the_sum_of_both():
    real, fake = (discriminator()(torch.randn(3, 1, 16, 16)) for _ in range(2))
    whole = hinge.discriminator_loss(real_logits=real, fake_logits=fake)
    image = hinge.discriminator_loss(real_logits=real[:, 0, 0, 0], fake_logits=fake[:, 0, 0, 0])
    pixels = hinge.discriminator_loss(real_logits=real[:, 1], fake_logits=fake[:, 1])
    torch.testing.assert_close(whole, (image + pixels) / 2)


@pytest.mark.parametrize("normalization", ["none", "batch", "layer", "instance", "spectral"])
def test_gradient_reaches_every_parameter(normalization):
    scored = discriminator(normalization=normalization)
    (scored(torch.randn(8, 1, 16, 16)) * torch.randn(8, 2, 16, 16)).sum().backward()
    for name, parameter in scored.named_parameters():
        assert parameter.grad.abs().max() > 1e-3, name


def test_labels_are_seen():
    scored = discriminator(conditioning="concatenation", num_classes=3)
    images = torch.randn(1, 1, 16, 16).expand(3, -1, -1, -1)
    logits = scored(images, torch.tensor([0, 1, 2]))
    assert not torch.allclose(logits[0], logits[1])
    assert not torch.allclose(logits[1], logits[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width must be 1 or more; got 0"),
        ({"multipliers": [1]}, "multipliers must be two or more numbers from 1 on; got"),
        ({"sample_shape": (1, 12, 16)}, "discriminator.multipliers"),
        ({"sample_shape": (2,)}, "unet_discriminator"),
        ({"normalization": "groups"}, "got 'groups'"),
        ({"initialization": "zeros"}, "got 'zeros'"),
        ({"conditioning": "projection"}, "must be one of none, concatenation; got 'projection'"),
    ],
)
def test_refusals_name_the_value(changes, message):
    with pytest.raises(ValueError, match=message):
        discriminator(**changes)
