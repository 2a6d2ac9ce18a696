"""Changing height and width by two, without parameters."""

from torch import nn


def halving() -> nn.Module:
    """(B, C, H, W) -> (B, C, H/2, W/2): the mean of 2x2 pixels."""
    return nn.AvgPool2d(2)


def doubling() -> nn.Module:
    """(B, C, H, W) -> (B, C, 2H, 2W): each pixel four times."""
    return nn.Upsample(scale_factor=2, mode="nearest")
