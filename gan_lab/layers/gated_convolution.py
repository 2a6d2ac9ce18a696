"""Gated convolution: each place decides how much of what was found there goes on (Yu et al. 2019, section 3.1)."""

from torch import Tensor, nn

# sqrt(1 / E[(ELU(x) sigmoid(y))^2]) of independent standard normal x and y: with it, He's initialization keeps the
# mean square of features from layer to layer, which the gates would else lower by four fifths in each.
GATED_GAIN = 2.3


class GatedConv2d(nn.Module):
    """activation(x) * sigmoid(y), where x and y are the two halves of one convolution's maps.

    Zeros surround the picture, so that a convolution of stride 1 keeps height and width, and one of stride 2 halves
    even ones.

    Args:
        inputs: channels of what comes in.
        maps: of the convolution, an even number of 2 or more; half as many channels go out.
        kernel_size: odd.
        stride: 1 or 2.
        dilation: distance between the pixels that the kernel sees, 1 or more.
        activation: of x; the paper's is ELU.
    """

    def __init__(
        self,
        inputs: int,
        maps: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        activation: type[nn.Module] = nn.ELU,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.convolution = nn.Conv2d(inputs, maps, kernel_size, stride, padding, dilation)
        self.activation = activation()

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, maps / 2, H, W), or halved."""
        values, gates = self.convolution(features).chunk(2, dim=1)
        return self.activation(values) * gates.sigmoid()
