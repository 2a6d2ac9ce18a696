"""Further outputs of a discriminator: class logits, rotations, codes."""

from torch import Tensor, nn

from gan_lab.layers.checks import at_least, one_of
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import spectrally_normalize


class LinearHead(nn.Module):
    """One linear layer on the features of a discriminator.

    Args:
        features: columns of the features, 1 or more.
        outputs: 1 or more.
        normalization: none or spectral.
        initialization: normal, he, xavier or orthogonal.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(self, features: int, *, outputs: int | None, normalization: str, initialization: str) -> None:
        super().__init__()
        if outputs is None:
            raise ValueError("a head needs to know its number of outputs; set data.num_classes to that of the classes")
        self.output = nn.Linear(features, at_least("outputs", outputs, 1))
        initialize(self.output, initialization, gain=1.0)
        if one_of("normalization", normalization, ("none", "spectral")) == "spectral":
            spectrally_normalize(self)

    def forward(self, features: Tensor) -> Tensor:
        """(B, features) -> (B, outputs)."""
        return self.output(features)
