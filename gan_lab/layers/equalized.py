"""Layers at an equalized learning rate: N(0, 1) weights, scaled where they are used (Karras et al. 2018, section 4.1).

Adam moves every weight equally fast, whatever its fan-in, for the scale that He's initialization would draw is applied
in the forward pass.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.layers.filtered_resampling import Blur
from gan_lab.layers.precision import without_autocast

LEAKY_GAIN = 2**0.5  # what the published networks multiply a leaky ReLU's output by


class EqualizedLinear(nn.Linear):
    """A linear layer at an equalized learning rate. It leaves autocast aside: it is small, and much depends on it.

    Args:
        inputs, outputs: 1 or more.
        gain: factor on the outputs: a leaky ReLU after it has its own here, for it commutes with positive factors.
        lr_multiplier: how fast it learns beside other layers, more than 0 (the mapping network: 0.01).
        bias_init: the bias that it begins with.
    """

    def __init__(
        self, inputs: int, outputs: int, *, gain: float = 1.0, lr_multiplier: float = 1.0, bias_init: float = 0.0
    ) -> None:
        super().__init__(inputs, outputs)
        self.weight_scale = gain * lr_multiplier / inputs**0.5
        self.bias_scale = gain * lr_multiplier
        nn.init.normal_(self.weight, std=1 / lr_multiplier)
        nn.init.constant_(self.bias, bias_init / lr_multiplier)

    def forward(self, input: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs), of the weights' type."""
        with without_autocast(input):
            values = input.to(self.weight.dtype)
            return F.linear(values, self.weight * self.weight_scale, self.bias * self.bias_scale)


class EqualizedConv2d(nn.Conv2d):
    """A convolution at an equalized learning rate that keeps height and width, or blurs and halves them.

    Args:
        inputs, outputs: channels.
        kernel_size: 1 or 3.
        gain: see `EqualizedLinear`.
        bias: whether it has one, beginning at 0.
        halving: low-pass filter first, then stride 2 (Zhang 2019), of even sides.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        *,
        gain: float = 1.0,
        bias: bool = True,
        halving: bool = False,
    ) -> None:
        padding = kernel_size // 2
        super().__init__(inputs, outputs, kernel_size, stride=1 + halving, padding=0 if halving else padding, bias=bias)
        self.blur = Blur(padding + 1) if halving else nn.Identity()
        self.gain = gain
        self.weight_scale = gain / (inputs * kernel_size**2) ** 0.5
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W), or (B, outputs, H/2, W/2)."""
        bias = None if self.bias is None else self.bias * self.gain
        return F.conv2d(self.blur(input), self.weight * self.weight_scale, bias, self.stride, self.padding)
