"""The encoder of variational auto-encoders (Kingma and Welling 2014, section 3), convolutional."""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_lab.layers.checks import at_least
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import spectrally_normalize
from gan_lab.networks.dcgan import DCGANDiscriminator


class DCGANEncoder(nn.Module):
    """The convolutions of DCGAN's discriminator, then one linear layer to mean and log variance of the latents.

    It mirrors `DCGANGenerator` as the decoder. Departure from appendix C of the paper, whose networks have one hidden
    layer of 500 tanh units: those are for grey pictures of 28x28.

    Args:
        sample_shape, width, max_width, normalization, initialization: see `DCGANDiscriminator`.
        latent_dim: length of a latent, 1 or more.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        latent_dim: int,
        width: int,
        max_width: int,
        normalization: str,
        initialization: str,
    ) -> None:
        super().__init__()
        self.latent_dim = at_least("latent_dim", latent_dim, 1)
        trunk = DCGANDiscriminator(
            sample_shape=sample_shape,
            width=width,
            max_width=max_width,
            normalization=normalization,
            initialization=initialization,
        )
        self.sample_shape, self.stages = trunk.sample_shape, trunk.stages
        self.output = nn.Linear(trunk.feature_dim, 2 * latent_dim)
        initialize(self.output, initialization, gain=1.0)
        if normalization == "spectral":
            spectrally_normalize(self.output)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> mean and log variance, each (B, latent_dim)."""
        mean, log_variance = self.output(self.stages(samples).flatten(1)).chunk(2, dim=1)
        return mean, log_variance
