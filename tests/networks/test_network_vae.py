"""The encoder of VAEs: shapes, parameter count by hand, gradients, refusals."""

import pytest
import torch

from gan_lab.networks.vae import DCGANEncoder


def encoder(sample_shape, **changes):
    values = {"latent_dim": 5, "width": 4, "max_width": 8, "normalization": "batch", "initialization": "he"}
    return DCGANEncoder(sample_shape=sample_shape, **(values | changes))


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 32, 32), (4, 64, 64), (3, 32, 64), (1, 48, 80), (3, 256, 256)])
def test_shapes(shape):
    with torch.device("meta"):
        made = encoder(shape)
        mean, log_variance = made(torch.randn(2, *shape))
    assert mean.shape == log_variance.shape == (2, 5)
    assert made.sample_shape == shape


def test_parameter_count_by_hand():
    """64x64, width 64: DCGAN's four convolutions, 3*64*16 + 64*128*16 + 128*256*16 + 256*512*16, without biases,

    with 2*(128 + 256 + 512) of batch norm; then 8192*256 + 256 to mean and log variance of 128 numbers.
    """
    with torch.device("meta"):
        made = encoder((3, 64, 64), latent_dim=128, width=64, max_width=512)
    assert sum(p.numel() for p in made.parameters()) == 2_752_512 + 3_072 + 1_792 + 8192 * 256 + 256


@pytest.mark.parametrize("normalization", ["none", "batch", "layer", "instance", "spectral"])
def test_gradient_reaches_every_parameter(normalization):
    torch.manual_seed(0)
    made = encoder((1, 16, 16), normalization=normalization)
    mean, log_variance = made(torch.randn(8, 1, 16, 16))
    (mean * torch.randn_like(mean) + log_variance * torch.randn_like(mean)).sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad.abs().max() > 1e-6, name


def test_spectral_normalization_is_of_every_layer():
    made = encoder((1, 16, 16), normalization="spectral")
    assert sum(hasattr(layer, "parametrizations") for layer in made.modules()) == 3
    made.train()
    for _ in range(30):
        made(torch.randn(2, 1, 16, 16))
    assert torch.linalg.matrix_norm(made.output.weight, 2).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("shape", "changes", "message"),
    [
        ((1, 28, 28), {}, "divisible by 16, from 16 to 256; data.sample_shape has 28x28"),
        ((2,), {}, "works on images"),
        ((1, 32, 32), {"latent_dim": 0}, "latent_dim must be 1 or more; got 0"),
    ],
)
def test_refusals(shape, changes, message):
    with pytest.raises(ValueError, match=message):
        encoder(shape, **changes)
