"""The normalizations that a network can be asked for, by name."""

from torch import nn
from torch.nn.utils import parametrizations

from gan_lab.layers.checks import one_of

NORMALIZATIONS = ("none", "batch", "layer", "instance", "spectral")
FEATURE_NORMALIZATIONS = ("none", "batch", "layer", "spectral")


def normalization_layer(name: str, channels: int) -> nn.Module:
    """The layer that normalizes feature maps (B, channels, H, W); the identity for "none" and "spectral".

    "layer" takes mean and deviation over (C, H, W) of a sample, at any H and W, and has a scale and an offset per
    channel (as the critic of Gulrajani et al. 2017). "spectral" concerns weights: see `spectrally_normalize`.

    Raises:
        ValueError: unknown `name`.
    """
    one_of("normalization", name, NORMALIZATIONS)
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "layer":
        return nn.GroupNorm(1, channels)
    if name == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    return nn.Identity()


def feature_normalization_layer(name: str, features: int) -> nn.Module:
    """As `normalization_layer`, for vectors (B, features); "instance" has no meaning there.

    Raises:
        ValueError: unknown `name`.
    """
    one_of("normalization of a fully connected network", name, FEATURE_NORMALIZATIONS)
    if name == "batch":
        return nn.BatchNorm1d(features)
    if name == "layer":
        return nn.LayerNorm(features)
    return nn.Identity()


def brings_offset(name: str) -> bool:
    """Whether the normalization adds an offset per channel, so that the layer before it needs no bias."""
    return name in ("batch", "layer", "instance")


def removes_channel_mean(name: str) -> bool:
    """Whether a constant added to a channel is gone after the normalization, so that a bias there learns nothing."""
    return name in ("batch", "instance")


def spectrally_normalize(network: nn.Module) -> None:
    """Divide every convolution's and linear layer's weight by its largest singular value (Miyato et al. 2018, 2.1).

    One power iteration per forward in training mode. Initialize the weights before: the singular vectors start here.
    """
    for layer in list(network.modules()):
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            parametrizations.spectral_norm(layer)
