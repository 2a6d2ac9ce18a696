"""How a network of pictures doubles height and width, by name: with weights, from some channels to others."""

import torch
from torch import Tensor, nn

from gan_lab.layers.checks import one_of
from gan_lab.layers.filtered_resampling import Blur
from gan_lab.layers.resampling import doubling

UPSAMPLINGS = ("transposed", "nearest", "bilinear", "blur")


def upsampling_layer(how: str, inputs: int, outputs: int, *, kernel_size: int, bias: bool) -> nn.Module:
    """(B, inputs, H, W) -> (B, outputs, 2H, 2W).

    "transposed": a transposed convolution of stride 2, as in pix2pix and CycleGAN. Neighbouring pixels are sums over
    different weights, and with a kernel of 3 over differently many, which shows as a checkerboard (Odena et al. 2016).
    "nearest", "bilinear": resized, then a 3x3 convolution (the remedy there). Bilinear is the antialiased upsampling of
    CUT's code: zeros between the pixels, filtered with [1, 3, 3, 1], which is the same but for rounding.
    "blur": `BlurredTransposedConvolution`, in which the weights come before the filter.

    Args:
        kernel_size: of "transposed", 3 or 4; all others have 3x3 weights.
        bias: whether there is one per output channel.
    Raises:
        ValueError: unknown `how`, or another `kernel_size`.
    """
    one_of("upsampling", how, UPSAMPLINGS)
    if kernel_size not in (3, 4):
        raise ValueError(f"kernel_size must be 3 or 4, so that size is doubled exactly; got {kernel_size}")
    if how == "transposed":
        return nn.ConvTranspose2d(
            inputs, outputs, kernel_size, stride=2, padding=1, output_padding=4 - kernel_size, bias=bias
        )
    if how == "blur":
        return BlurredTransposedConvolution(inputs, outputs, bias=bias)
    return nn.Sequential(doubling(how), nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))


class BlurredTransposedConvolution(nn.Module):
    """A transposed 3x3 convolution of stride 2, then the filter [1, 3, 3, 1], then a bias (as StyleGAN2's doubling).

    The filter removes the frequency of a checkerboard whatever the weights. It sums to 4, so that a flat picture is
    multiplied by the sum of the weights, as by a convolution of stride 1: of four pixels that it averages over, one has
    four of the weights, two have two and one has one.

    Args:
        bias: whether there is one per output channel; it begins at 0.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, bias=False)
        self.blur = Blur(1, total=4.0)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, 2H, 2W)."""
        doubled = self.blur(self.convolution(features))
        return doubled if self.bias is None else doubled + self.bias.to(doubled.dtype)[:, None, None]
