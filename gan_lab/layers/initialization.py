"""How weights begin, by name."""

import math

from torch import nn

from gan_lab.layers.checks import one_of
from gan_lab.layers.kinds import LINEAR_MAPS, NORMALIZATIONS, TRANSPOSED_CONVOLUTIONS, refuse_unknown_weights

INITIALIZATIONS = ("normal", "he", "xavier", "orthogonal")
RELU_GAIN = 2**0.5


def initialize(module: nn.Module, name: str, *, gain: float) -> None:
    """Draw the weights of all convolutions and linear layers in `module`; their biases begin at 0.

    Tables, such as those of a class batch normalization, stay as whoever made them has drawn them.

    "normal": N(0, 0.02) (Radford et al. 2015, section 4), and N(1, 0.02) for the scales of normalizations (as
    PyTorch's DCGAN example).
    "he": N(0, gain / sqrt(fan_in)) (He et al. 2015, section 2.2, with gain sqrt(2)).
    "xavier": uniform of deviation gain * sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010, equation 16).
    "orthogonal": all singular values of the weight, as a matrix with a row per output, are `gain` (Saxe et al. 2014); a
    transposed convolution's has a row per input.

    Args:
        gain: sqrt(2) for layers beside a ReLU, 1 for a linear path; "normal" has none. BigGAN's authors, and
            StudioGAN, take 1 beside a ReLU, too: networks have it as a setting. Spectral normalization hides the gain
            from the function, but not from Adam, whose steps are by so much smaller beside the weights.
    Raises:
        ValueError: unknown `name`, or a module with weights of another kind.
    """
    one_of("initialization", name, INITIALIZATIONS)
    refuse_unknown_weights(module, f"initialization={name}")
    for layer in module.modules():
        if isinstance(layer, LINEAR_MAPS):
            if name == "normal":
                nn.init.normal_(layer.weight, std=0.02)
            elif name == "he":
                nn.init.normal_(layer.weight, std=gain / _fan_in(layer) ** 0.5)
            elif name == "xavier":
                nn.init.xavier_uniform_(layer.weight, gain=gain)
            else:
                nn.init.orthogonal_(layer.weight, gain=gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif name == "normal" and isinstance(layer, NORMALIZATIONS) and layer.weight is not None:
            nn.init.normal_(layer.weight, mean=1.0, std=0.02)


def _fan_in(layer: nn.Module) -> int:
    """Inputs that are summed into one output; a transposed convolution's stride spreads its kernel over outputs."""
    if isinstance(layer, TRANSPOSED_CONVOLUTIONS):
        taps = math.prod(layer.kernel_size) // math.prod(layer.stride)
        return layer.in_channels // layer.groups * taps
    return layer.weight[0].numel()  # type: ignore[index]
