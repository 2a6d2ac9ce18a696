"""Unit vectors of samples, and of the classes that they belong to."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from gan_lab.layers.checks import at_least, one_of
from gan_lab.layers.conditioning import checked_classes
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import spectrally_normalize


class ClassEmbedding(nn.Module):
    """A linear layer on the features of a discriminator, and a vector per class; both scaled to unit length.

    The vectors of the classes begin orthonormal (where there are no more of them than numbers in each), as StudioGAN's
    do. Their length is free, but decides how fast they turn: Adam's steps do not shrink with the gradient, so that
    vectors of torch's N(0, 1), of length sqrt(width), would turn that many times slower.

    Args:
        features: columns of the features, 1 or more.
        width: length of the vectors, 2 or more.
        num_classes: 2 or more.
        normalization: none or spectral, of the linear layer.
        initialization: normal, he, xavier or orthogonal, of the linear layer.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self, features: int, *, width: int, num_classes: int | None, normalization: str, initialization: str
    ) -> None:
        super().__init__()
        classes = checked_classes("embedding", "proxies", num_classes, ("proxies",))
        self.sample = nn.Linear(features, at_least("embedding.width", width, 2))
        self.proxies = nn.Embedding(classes, width)
        initialize(self.sample, initialization, gain=1.0)
        nn.init.orthogonal_(self.proxies.weight)
        if one_of("normalization", normalization, ("none", "spectral")) == "spectral":
            spectrally_normalize(self)

    def forward(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, features) and (B,) int64 -> (B, width) of the samples and (B, width) of their classes."""
        with torch.autocast(features.device.type, enabled=False):
            samples = self.sample(features.to(self.proxies.weight.dtype))
            return normalize(samples, dim=1), normalize(self.proxies(labels), dim=1)
