"""Height and width changed by two with the low-pass filter [1, 3, 3, 1], which makes doubling bilinear.

As in Karras et al. 2020, figure 7, and the authors' code; the paper of 2019 has [1, 2, 1].
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.layers.precision import without_autocast

TAPS = (1.0, 3.0, 3.0, 1.0)  # of the filter along height and along width


class _Filtered(nn.Module):
    """Holds the filter, which sums to `total`."""

    kernel: Tensor

    def __init__(self, total: float) -> None:
        super().__init__()
        taps = torch.tensor(TAPS)
        kernel = torch.outer(taps, taps)
        self.register_buffer("kernel", kernel * (total / sum(TAPS) ** 2), persistent=False)


class Blur(_Filtered):
    """(B, C, H, W) -> (B, C, H + 2p - 3, W + 2p - 3): filtered, with p zeros on each side.

    Args:
        padding: p, 0 or more.
        total: what the filter sums to: 1, or 4 behind a transposed convolution of stride 2, three quarters of whose
            inputs are zeros.
    """

    def __init__(self, padding: int, total: float = 1.0) -> None:
        super().__init__(total)
        self.padding = padding

    def forward(self, images: Tensor) -> Tensor:
        return _Convolve.apply(images, self.kernel, 1, self.padding, False)


class FilteredHalving(_Filtered):
    """(B, C, H, W) of even H and W -> (B, C, H/2, W/2): filtered, then each second pixel."""

    def __init__(self) -> None:
        super().__init__(1.0)

    def forward(self, images: Tensor) -> Tensor:
        return _Convolve.apply(images, self.kernel, 2, 1, False)


class FilteredDoubling(_Filtered):
    """(B, C, H, W) -> (B, C, 2H, 2W): zeros between the pixels, then filtered."""

    def __init__(self) -> None:
        super().__init__(4.0)

    def forward(self, images: Tensor) -> Tensor:
        return _Convolve.apply(images, self.kernel, 2, 1, True)


class _Convolve(torch.autograd.Function):
    """Each channel convolved with a fixed, symmetric kernel, or the transpose of that.

    The derivative of either is the other, so there are derivatives of any order, each as cheap as the first: torch's
    own second derivative of a depthwise convolution takes ten times as long. Numbers keep their type under autocast.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, kernel: Tensor, stride: int, padding: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.settings = stride, padding, transposed
        channels = images.shape[1]
        weight = kernel.to(images.dtype).expand(channels, 1, *kernel.shape)
        convolve = F.conv_transpose2d if transposed else F.conv2d
        with without_autocast(images):
            return convolve(images, weight, stride=stride, padding=padding, groups=channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        stride, padding, transposed = ctx.settings
        (kernel,) = ctx.saved_tensors
        return _Convolve.apply(gradients[0], kernel, stride, padding, not transposed), None, None, None, None
