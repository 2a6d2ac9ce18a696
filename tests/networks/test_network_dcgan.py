"""DCGAN: sizes, published parameter counts, gradients, refusals."""

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from gan_lab.networks.dcgan import DCGANDiscriminator, DCGANGenerator


def generator(sample_shape, **changes):
    values = {"latent_dim": 5, "width": 4, "max_width": 8, "normalization": "batch", "initialization": "normal"}
    return DCGANGenerator(sample_shape=sample_shape, **(values | changes))


def discriminator(sample_shape, **changes):
    values = {"width": 4, "max_width": 8, "normalization": "batch", "initialization": "normal"} | changes
    return DCGANDiscriminator(sample_shape=sample_shape, **values)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (32, 32), (64, 64), (128, 128), (256, 256), (32, 64), (64, 16), (48, 80)])
def test_shapes(channels, size):
    shape = (channels, *size)
    with torch.device("meta"):
        made, scored = generator(OmegaConf.create(list(shape))), discriminator(OmegaConf.create(list(shape)))
        samples = made(torch.randn(2, 5))
        assert samples.shape == (2, *shape)
        assert scored(samples).shape == (2,)
    assert made.sample_shape == shape
    assert made.latent_dim == 5


@pytest.mark.parametrize(
    ("size", "grid"), [((64, 64), (4, 4)), ((32, 64), (4, 8)), ((48, 48), (6, 6)), ((16, 48), (4, 12))]
)
def test_grid_comes_from_the_shorter_side(size, grid):
    assert generator((3, *size)).stem(torch.randn(2, 5)).shape[2:] == grid


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_of_pytorch_dcgan_example():
    """64x64, nz = 100, ngf = ndf = 64 (pytorch/examples, dcgan/main.py), no biases, by hand:

    G: 100*512*16 + 512*256*16 + 256*128*16 + 128*64*16 + 64*3*16 weights, 2*(512 + 256 + 128 + 64) of batch norm.
    D: 3*64*16 + 64*128*16 + 128*256*16 + 256*512*16 + 512*16 weights, 2*(128 + 256 + 512) of batch norm.
    """
    with torch.device("meta"):
        made = generator((3, 64, 64), latent_dim=100, width=64, max_width=512)
        scored = discriminator((3, 64, 64), width=64, max_width=512)
    assert parameters(made) == 3_576_704
    assert parameters(scored) == 2_765_568


def test_widths_of_figure_1():
    """Radford et al. 2015, figure 1: 1024 channels at 4x4, then 512, 256, 128, and the image at 64x64."""
    with torch.device("meta"):
        made = generator((3, 64, 64), latent_dim=100, width=128, max_width=1024)
    assert made.stem(torch.randn(2, 100, device="meta")).shape == (2, 1024, 4, 4)
    assert [layer.out_channels for layer in made.stages if isinstance(layer, nn.ConvTranspose2d)] == [512, 256, 128]


def test_no_normalization_at_the_image():
    normalizations = [layer for layer in discriminator((3, 32, 32)).stages if isinstance(layer, nn.BatchNorm2d)]
    assert [layer.num_features for layer in normalizations] == [8, 8]
    assert isinstance(discriminator((3, 32, 32)).stages[1], nn.LeakyReLU)


@pytest.mark.parametrize("normalization", ["none", "batch", "layer", "instance", "spectral"])
def test_gradient_reaches_every_parameter(normalization):
    torch.manual_seed(0)
    # "he", since at 4 channels N(0, 0.02) makes gradients too small to tell from rounding.
    made = generator((3, 16, 32), normalization=normalization, initialization="he")
    scored = discriminator((3, 16, 32), normalization=normalization, initialization="he")
    samples = made(torch.randn(8, 5))
    (samples * torch.randn_like(samples)).sum().backward()
    (scored(torch.randn_like(samples)) * torch.randn(8)).sum().backward()
    for network in (made, scored):
        for name, parameter in network.named_parameters():
            assert parameter.grad.abs().max() > 1e-3, name


def test_images_lie_in_the_unit_range():
    made = generator((1, 16, 16), normalization="none", initialization="he")
    latents = torch.randn(4, 5) * 1000
    assert made.output(made.stages(made.stem(latents))).abs().max() > 1
    assert made(latents).abs().max() <= 1


def test_weights_begin_at_002():
    torch.manual_seed(0)
    made = generator((1, 16, 16), width=64, max_width=128)
    assert made.stages[0].weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("make", [generator, discriminator])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_shape": (3, 30, 32)}, r"divisible by 16, from 16 to 256.*has 30x32; set data.image_size"),
        ({"sample_shape": (3, 28, 28)}, "28x28"),
        ({"sample_shape": (3, 512, 512)}, "512x512"),
        ({"sample_shape": (2, 32, 32)}, "1, 3 or 4 channels; data.sample_shape has 2"),
        ({"sample_shape": (2,)}, r"data.sample_shape is \(2,\); choose network=mlp"),
        ({"width": 0}, "width must be 1 or more; got 0"),
        ({"max_width": 3}, "max_width must be 4 or more; got 3"),
        ({"normalization": "group"}, "got 'group'"),
    ],
)
def test_refusals_name_the_value(make, changes, message):
    arguments = {"sample_shape": (3, 32, 32)} | changes
    with pytest.raises(ValueError, match=message):
        make(**arguments)
