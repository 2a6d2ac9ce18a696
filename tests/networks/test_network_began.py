"""BEGAN's networks: shapes, channels of figure 1, parameter counts by hand, gradients, refusals."""

import pytest
import torch
from torch import nn

from gan_lab.networks.began import BEGANDiscriminator, BEGANGenerator


def generator(shape, **changes):
    return BEGANGenerator(
        **({"sample_shape": shape, "latent_dim": 5, "width": 4, "repeats": 2, "initialization": "xavier"} | changes)
    )


def discriminator(shape, **changes):
    return BEGANDiscriminator(
        **({"sample_shape": shape, "code_dim": 6, "width": 4, "repeats": 2, "initialization": "xavier"} | changes)
    )


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 32, 32), (4, 64, 64), (3, 128, 64), (1, 28, 28), (3, 48, 40)])
def test_shapes(shape):
    with torch.device("meta"):
        samples = generator(shape)(torch.randn(2, 5))
        assert samples.shape == discriminator(shape)(samples).shape == (2, *shape)


@pytest.mark.parametrize(
    ("size", "grid"), [((16, 16), (8, 8)), ((64, 64), (8, 8)), ((32, 64), (8, 16)), ((28, 28), (14, 14))]
)
def test_grid_comes_from_the_shorter_side(size, grid):
    assert generator((3, *size)).stem(torch.randn(2, 5)).shape[2:] == grid


def test_channels_grow_linearly_in_the_encoder_alone():
    """64x64: n, n, n, then 2n, 3n and 4n, three times each of which the first halves; n throughout the decoder."""
    made = discriminator((3, 64, 64))
    channels = [layer.out_channels for layer in made.encoder.modules() if isinstance(layer, nn.Conv2d)]
    assert channels == [4, 4, 4, 8, 8, 8, 12, 12, 12, 16, 16, 16]
    strides = [layer.stride[0] for layer in made.encoder.modules() if isinstance(layer, nn.Conv2d)]
    assert strides == [1, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1]
    decoder = [layer.out_channels for layer in made.decoder.modules() if isinstance(layer, nn.Conv2d)]
    assert decoder == [4] * 8 + [3]


def test_parameter_counts_by_hand():
    """32x32, n = 64: a 3x3 convolution from a to b channels has 9ab + b."""
    with torch.device("meta"):
        made, auto_encoder = (
            generator((3, 32, 32), latent_dim=64, width=64),
            discriminator((3, 32, 32), code_dim=64, width=64),
        )

    def convolution(inputs, outputs):
        return 9 * inputs * outputs + outputs

    decoder = 64 * 4096 + 4096 + 6 * convolution(64, 64) + convolution(64, 3)
    encoder = convolution(3, 64) + 2 * convolution(64, 64)
    encoder += convolution(64, 128) + 2 * convolution(128, 128) + convolution(128, 192) + 2 * convolution(192, 192)
    assert sum(p.numel() for p in made.parameters()) == decoder
    assert sum(p.numel() for p in auto_encoder.parameters()) == encoder + 64 * 192 * 64 + 64 + decoder


def kinds(network):
    return [type(layer) for layer in network.modules() if not isinstance(layer, nn.Sequential)]


def test_neither_code_nor_image_is_bent():
    """The code is linear in the last features, and the image in the last ones of the decoder (no ELU, no tanh)."""
    made = discriminator((1, 16, 16))
    assert isinstance(made.code, nn.Linear)
    assert not any(isinstance(layer, nn.ELU) for layer in made.decoder.stem)
    assert kinds(made.encoder) == [nn.Conv2d, nn.ELU] * 6
    assert kinds(made.decoder.stages) == [nn.Conv2d, nn.ELU] * 2 + [nn.Upsample] + [nn.Conv2d, nn.ELU] * 2
    assert isinstance(made.decoder.output, nn.Conv2d)
    assert generator((1, 16, 16))(1e3 * torch.randn(2, 5)).abs().max() > 1


@pytest.mark.parametrize("initialization", ["he", "xavier"])
def test_gradient_reaches_every_parameter(initialization):
    torch.manual_seed(0)
    networks = nn.Sequential(
        generator((1, 16, 32), initialization=initialization), discriminator((1, 16, 32), initialization=initialization)
    )
    made = networks(torch.randn(8, 5))
    (made * torch.randn_like(made)).sum().backward()
    for name, parameter in networks.named_parameters():
        assert parameter.grad.abs().max() > 1e-6, name


@pytest.mark.parametrize(
    ("build", "shape", "changes", "message"),
    [
        (generator, (1, 17, 32), {}, "even, from 16 on; data.sample_shape has 17x32; set data.image_size"),
        (discriminator, (1, 8, 8), {}, "even, from 16 on; data.sample_shape has 8x8"),
        (generator, (2,), {}, "began works on images"),
        (generator, (1, 32, 32), {"latent_dim": 0}, "latent_dim must be 1 or more; got 0"),
        (generator, (1, 32, 32), {"width": 0}, "width must be 1 or more; got 0"),
        (discriminator, (1, 32, 32), {"repeats": 0}, "repeats must be 1 or more; got 0"),
        (discriminator, (1, 32, 32), {"code_dim": 0}, "code_dim must be 1 or more; got 0"),
    ],
)
def test_refusals(build, shape, changes, message):
    with pytest.raises(ValueError, match=message):
        build(shape, **changes)
