"""The mean of what went by, the newest counting most."""

import torch
from torch import Tensor, nn

from gan_lab import collectives


class RunningMean(nn.Module):
    """Follows the mean of vectors, over the samples of all ranks, which have equally many.

    The moving average of a network averages its buffer `running_mean`, as it does a batch normalization's: the mean of
    averaged weights is then near the averaged mean. (StyleGAN2's authors copy it.)

    Args:
        features: length of a vector.
        decay: share of the old mean that stays at each update, in [0, 1).
    """

    running_mean: Tensor

    def __init__(self, features: int, decay: float) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of a running mean must be in [0, 1), got {decay}")
        self.decay = decay
        self.register_buffer("running_mean", torch.zeros(features))

    @torch.no_grad()
    def follow(self, values: Tensor) -> None:
        """Take in (B, features) more."""
        self.running_mean.lerp_(collectives.mean(values.detach().mean(0)).to(self.running_mean.dtype), 1 - self.decay)
