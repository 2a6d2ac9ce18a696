"""Minibatch standard deviation: D sees how varied the samples of a group are (Karras et al. 2018, section 3)."""

import math

import torch
from torch import Tensor, nn


class MinibatchStdDev(nn.Module):
    """One more feature map: the mean, over features and pixels, of the deviation within groups of samples.

    Groups are consecutive samples, so that ranks whose slices hold whole groups compute what one process would. In eval
    mode a batch that holds no whole groups is cut into smaller ones.

    Args:
        group_size: samples of a group, 2 or more (published: 4).
    """

    def __init__(self, group_size: int) -> None:
        super().__init__()
        if group_size < 2:
            raise ValueError(f"minibatch_std must be 0 for none, or a group of 2 samples or more, got {group_size}")
        self.group_size = group_size

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + 1, H, W).

        Raises:
            ValueError: in training, B is no multiple of the group's size.
        """
        batch, _, height, width = features.shape
        size = self.group_size
        if batch % size:
            if self.training:
                raise ValueError(
                    f"minibatch_std={size} does not divide the {batch} samples that this process sees at a time; "
                    "choose another group, or another data.batch_size, micro_batch_size or generator_batch_size"
                )
            size = math.gcd(batch, size)
        groups = features.float().unflatten(0, (-1, size))
        deviation = (groups.var(1, correction=0) + 1e-8).sqrt().flatten(1).mean(1)  # of each group
        extra = deviation.repeat_interleave(size).to(features.dtype).view(batch, 1, 1, 1)
        return torch.cat([features, extra.expand(-1, -1, height, width)], dim=1)
