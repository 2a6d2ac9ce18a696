"""Fully connected networks, for points and small images."""

import math
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from gan_lab.layers.checks import at_least, one_of
from gan_lab.layers.conditioning import checked_classes, with_one_hot
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.normalization import brings_offset, feature_normalization_layer, spectrally_normalize
from gan_lab.networks.base import Discriminator

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "tanh": nn.Tanh,
}


class MLPGenerator(nn.Module):
    """`depth` hidden layers of `width` units (the kind of network of Goodfellow et al. 2014, section 5).

    Args:
        sample_shape: (C, H, W) of images, made in [-1, 1] by tanh; or (D,) of points, made by a linear layer.
        latent_dim: length of a latent, 1 or more.
        width: units of a hidden layer, 1 or more.
        depth: number of hidden layers, 1 or more.
        normalization: of the hidden layers: none, batch, layer or spectral.
        initialization: normal, he, xavier or orthogonal.
        activation: relu, leaky_relu (slope 0.2 below zero) or tanh.
        conditioning: none; or concatenation of latent and label.
        num_classes: of the labels, where there is conditioning.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        latent_dim: int,
        width: int,
        depth: int,
        normalization: str,
        initialization: str,
        activation: str = "relu",
        conditioning: str = "none",
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.sample_shape = _checked_shape(sample_shape)
        self.latent_dim = at_least("latent_dim", latent_dim, 1)
        self.num_classes = checked_classes("generator", conditioning, num_classes, ("none", "concatenation"))
        hidden = _hidden_layers(latent_dim + self.num_classes, width, depth, normalization, activation)
        output = nn.Linear(width, math.prod(self.sample_shape))
        initialize(hidden, initialization, gain=RELU_GAIN)
        initialize(output, initialization, gain=1.0)
        self.layers = nn.Sequential(hidden, output)
        if len(self.sample_shape) == 3:
            self.layers.append(nn.Tanh())
        if normalization == "spectral":
            spectrally_normalize(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_dim), and (B,) int64 of a conditional one -> (B, *sample_shape)."""
        return self.layers(with_one_hot(latents, labels, self.num_classes)).unflatten(1, self.sample_shape)


class MLPDiscriminator(Discriminator):
    """`depth` hidden layers of `width` units on the flattened sample.

    Args:
        sample_shape: (C, H, W) of images or (D,) of points.
        width: units of a hidden layer, 1 or more.
        depth: number of hidden layers, 1 or more.
        normalization: of the hidden layers: none, batch, layer or spectral (spectral: of the output layer, too).
        initialization: normal, he, xavier or orthogonal.
        activation: relu, leaky_relu (slope 0.2 below zero) or tanh.
        conditioning, num_classes: see `Discriminator`.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        width: int,
        depth: int,
        normalization: str,
        initialization: str,
        activation: str = "leaky_relu",
        conditioning: str = "none",
        num_classes: int | None = None,
    ) -> None:
        super().__init__(conditioning, num_classes)
        self.sample_shape = _checked_shape(sample_shape)
        hidden = _hidden_layers(
            math.prod(self.sample_shape) + self.label_channels, width, depth, normalization, activation
        )
        output = nn.Linear(width, 1)
        initialize(hidden, initialization, gain=RELU_GAIN)
        initialize(output, initialization, gain=1.0)
        self.layers = nn.Sequential(nn.Flatten(), hidden, output)
        self.embed_classes(initialization)
        if normalization == "spectral":
            spectrally_normalize(self)

    @property
    def output(self) -> nn.Linear:  # type: ignore[override]
        """See `Discriminator`."""
        return self.layers[2]  # type: ignore[return-value]

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, *sample_shape) -> (B, width)."""
        flatten, hidden, _ = self.layers
        return hidden(with_one_hot(flatten(samples), labels, self.label_channels))


def _checked_shape(sample_shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(sample_shape)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ValueError(
            f"mlp works on points (D,) and images (channels, height, width); data.sample_shape is {shape}; "
            "choose a data set of one of these"
        )
    return shape


def _hidden_layers(inputs: int, width: int, depth: int, normalization: str, activation: str) -> nn.Sequential:
    at_least("width", width, 1)
    at_least("depth", depth, 1)
    one_of("activation", activation, tuple(ACTIVATIONS))
    layers = nn.Sequential()
    for _ in range(depth):
        layers.append(nn.Linear(inputs, width, bias=not brings_offset(normalization)))
        layers.append(feature_normalization_layer(normalization, width))
        layers.append(ACTIVATIONS[activation]())
        inputs = width
    return layers
