"""Convolution whose weights a style scales, per input channel and sample (Karras et al. 2020, section 2.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.layers.filtered_resampling import Blur
from gan_lab.layers.precision import without_autocast

EPSILON = 1e-8


class ModulatedConv2d(nn.Module):
    """w'_ijk = s_i w_ijk, then w''_ijk = w'_ijk / sqrt(sum_ik w'_ijk^2) (equations 1 and 3), at an equalized rate.

    Not the weights are scaled but the inputs by s and the outputs by that root's inverse, which gives the same numbers
    by one convolution for all samples instead of one for each.

    Args:
        inputs, outputs: channels.
        kernel_size: 1 or 3.
        demodulate: whether the outputs are scaled (equation 3); the layers that make pictures leave that out.
        gain: factor on the outputs, see `EqualizedLinear`.
        doubling: double height and width, by a transposed convolution and the filter of `filtered_resampling`.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, *, demodulate: bool, gain: float, doubling: bool
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        self.scale = (1.0 if demodulate else gain) / (inputs * kernel_size**2) ** 0.5
        self.demodulate, self.gain, self.doubling = demodulate, gain, doubling
        self.blur = Blur(kernel_size // 2, total=4.0) if doubling else nn.Identity()

    def forward(self, features: Tensor, styles: Tensor) -> Tensor:
        """(B, inputs, H, W) and styles (B, inputs) -> (B, outputs, H', W')."""
        weight = self.weight * self.scale
        features = features * styles.to(features.dtype)[..., None, None]
        if self.doubling:
            features = self.blur(F.conv_transpose2d(features, weight.transpose(0, 1), stride=2))
        else:
            features = F.conv2d(features, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            features = features * self._demodulation(weight, styles).to(features.dtype)[..., None, None]
        return features

    def _demodulation(self, weight: Tensor, styles: Tensor) -> Tensor:
        """(B, outputs): gain / sqrt(sum over inputs and pixels of (s w)^2), without autocast."""
        with without_autocast(weight):
            return self.gain * (styles.square() @ weight.square().sum((2, 3)).T + EPSILON).rsqrt()
