"""How networks take a condition, such as a label: concatenated, by batch normalization, or by projection."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.layers.checks import one_of


class Conditioned(nn.Module):
    """A layer that is called with (features, condition)."""


class ConditionedSequential(nn.Sequential, Conditioned):
    """Layers in a row; those that are `Conditioned` are given the condition as well."""

    def forward(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B, ...) and the condition of each sample -> (B, ...)."""
        for layer in self:
            features = layer(features, condition) if isinstance(layer, Conditioned) else layer(features)
        return features


class ClassBatchNorm2d(Conditioned):
    """Batch normalization with a scale and an offset for each class (Dumoulin et al. 2017, section 2.2).

    Args:
        channels: of the feature maps.
        num_classes: 2 or more.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.normalization = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Embedding(num_classes, channels)
        self.offset = nn.Embedding(num_classes, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.offset.weight)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """(B, channels, H, W) and (B,) int64 -> (B, channels, H, W)."""
        labels = given(labels)
        scale, offset = self.scale(labels)[..., None, None], self.offset(labels)[..., None, None]
        return scale * self.normalization(features) + offset


class LinearClassBatchNorm2d(Conditioned):
    """Batch normalization whose scale, 1 + W y, and offset, U y, are linear in the one-hot class y.

    They are StudioGAN's. W and U are linear layers like others: a network initializes them, and spectral normalization
    takes hold of them, which bounds how far the scales of classes lie apart (with an orthogonal W of 256 channels they
    begin 0.06 about 1). `ClassBatchNorm2d` has free tables, as SAGAN's authors do.

    Args:
        channels: of the feature maps.
        num_classes: 2 or more.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.normalization = VectorBatchNorm2d(channels, num_classes)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """(B, channels, H, W) and (B,) int64 -> (B, channels, H, W)."""
        return self.normalization(features, F.one_hot(given(labels), self.num_classes).to(features.dtype))


class VectorBatchNorm2d(Conditioned):
    """Batch normalization whose scale and offset are linear in a vector (Brock et al. 2019, appendix B).

    The scale is 1 + W v and the offset U v, without biases.

    Args:
        channels: of the feature maps.
        condition_dim: length of the vector.
    """

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.normalization = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Linear(condition_dim, channels, bias=False)
        self.offset = nn.Linear(condition_dim, channels, bias=False)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(B, channels, H, W) and (B, condition_dim) -> (B, channels, H, W)."""
        scale, offset = 1 + self.scale(condition)[..., None, None], self.offset(condition)[..., None, None]
        return scale * self.normalization(features) + offset


def with_one_hot(values: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    """The labels as further columns or channels, 1 for the class and 0 else (Mirza and Osindero 2014, section 3.2).

    Args:
        values: (B, F) or (B, C, H, W).
        labels: (B,) int64; None where `num_classes` is 0.
        num_classes: 0 for none: `values` as they are.
    Returns:
        (B, F + num_classes) or (B, C + num_classes, H, W).
    """
    if num_classes == 0:
        return values
    hot = F.one_hot(given(labels), num_classes).to(values.dtype)
    hot = hot.view(*hot.shape, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:])
    return torch.cat([values, hot], dim=1)


def with_pictures(
    images: Tensor | None,
    condition: Tensor | None,
    mask: Tensor | None,
    *,
    network: str,
    conditional: bool,
    masked: bool,
) -> Tensor:
    """Images, the source picture and the mask of its holes as channels of one tensor, in this order.

    Args:
        images: (B, C, H, W), what a discriminator judges; None for a generator, which has the source alone.
        condition: (B, C', H, W); None where `conditional` is false.
        mask: (B, 1, H, W), 1 in a hole; None where `masked` is false.
        network: its name in messages, as in `model.<name>.masked`.
        conditional: whether the network was built for a condition.
        masked: whether it was built for a mask.
    Returns:
        (B, C + C' + 1, H, W), without what is not there.
    Raises:
        ValueError: a condition or a mask is missing, or given to a network that was not built for it.
    """
    if conditional != (condition is not None):
        raise ValueError(_unexpected("condition", conditional, f"model.{network}.condition_shape=null"))
    if masked != (mask is not None):
        raise ValueError(_unexpected("mask", masked, f"model.{network}.masked=false"))
    return torch.cat([part for part in (images, condition, mask) if part is not None], dim=1)


def _unexpected(what: str, expected: bool, setting: str) -> str:
    if expected:
        return f"a network that was built for a {what} was given none: choose data that has one, or set {setting}"
    return f"a network with {setting} was given a {what}: build it for one, or choose data without"


def checked_classes(network: str, conditioning: str, num_classes: int | None, choices: tuple[str, ...]) -> int:
    """Number of classes that a network deals with: 0 where it is not conditional.

    Raises:
        ValueError: unknown `conditioning`, or a conditional network without classes.
    """
    one_of(f"{network}.conditioning", conditioning, choices)
    if conditioning == "none":
        return 0
    if num_classes is None or num_classes < 2:
        raise ValueError(
            f"{network}.conditioning={conditioning} needs 2 or more classes, got {num_classes}; choose labelled data, "
            "and set data.num_classes to the number of its classes"
        )
    return num_classes


def given(labels: Tensor | None) -> Tensor:
    """`labels`, if there are any.

    Raises:
        ValueError: there are none.
    """
    if labels is None:
        raise ValueError("a conditional network needs labels: choose a conditional model, such as model=cgan")
    return labels
