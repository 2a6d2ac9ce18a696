"""Self-attention over the places of a feature map."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.layers.initialization import initialize


class SelfAttention2d(nn.Module):
    """Every place looks at all places, and what it finds is added to it (Zhang et al. 2019, section 3.1).

    y_i = x_i + gamma W_v sum_j softmax_j(f(x_i) . g(x_j)) h(x_j), with f, g, h and W_v 1x1 convolutions without biases
    and gamma, which is learnt, 0 at first, so that the layer begins as the identity. f and g have an eighth of the
    channels.

    Departure, with the authors' code (non_local.py) and with BigGAN's: h has half of the channels, not an eighth, and
    keys and values are maxima over 2x2 places, which makes the attention map four times smaller. The last row or column
    of an odd height or width is pooled by itself.

    Args:
        channels: of the feature maps.
        initialization: a name of `gan_lab.layers.initialization`.
    """

    def __init__(self, channels: int, *, initialization: str) -> None:
        super().__init__()
        few, half = max(1, channels // 8), max(1, channels // 2)
        self.query = nn.Conv2d(channels, few, 1, bias=False)
        self.key = nn.Conv2d(channels, few, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.output = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))
        initialize(self, initialization, gain=1.0)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        queries = self.query(features).flatten(2)
        keys, values = (F.max_pool2d(layer(features), 2, ceil_mode=True).flatten(2) for layer in (self.key, self.value))
        weights = (queries.mT @ keys).softmax(2)  # (B, H W, places of keys)
        found = (values @ weights.mT).unflatten(2, features.shape[2:])
        return features + self.gamma * self.output(found)
