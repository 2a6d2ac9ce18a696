"""Changing height and width by two, without parameters."""

from torch import nn

from gan_lab.layers.checks import one_of

DOUBLINGS = ("nearest", "bilinear")


def halving() -> nn.Module:
    """(B, C, H, W) -> (B, C, H/2, W/2): the mean of 2x2 pixels."""
    return nn.AvgPool2d(2)


def doubling(how: str = "nearest") -> nn.Module:
    """(B, C, H, W) -> (B, C, 2H, 2W): each pixel four times; or "bilinear", with corners that are not aligned.

    Raises:
        ValueError: unknown `how`.
    """
    return nn.Upsample(scale_factor=2, mode=one_of("doubling", how, DOUBLINGS))
