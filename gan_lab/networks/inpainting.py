"""What networks share that fill holes: what is known of a picture stays, to the bit."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_lab.networks.translators import Translator


class Inpainter(Translator):
    """A picture with a hole and the mask of it come in, the whole picture goes out: known pixels are the source's own.

    A subclass sees zeros in the hole, whatever the source has there (`known`): mid-grey.

    Args:
        name, sample_shape, size_multiple, smallest_size, argument: see `Translator`.
        condition_shape: that of the samples, since what is known is copied.
        masked: true: there is a hole to fill.
    Raises:
        ValueError: there are no masks, or sources of another shape; and see `Translator`.
    """

    def __init__(
        self,
        name: str,
        *,
        sample_shape: Sequence[int],
        condition_shape: Sequence[int] | None,
        masked: bool,
        size_multiple: int,
        smallest_size: int,
        argument: str,
    ) -> None:
        super().__init__(
            name,
            sample_shape=sample_shape,
            condition_shape=condition_shape,
            masked=masked,
            size_multiple=size_multiple,
            smallest_size=smallest_size,
            argument=argument,
        )
        if not masked:
            raise ValueError(
                f"{name} fills holes, and data.masked is false; choose what makes some, such as condition=masked_centre"
            )
        if self.condition_shape != self.sample_shape:
            raise ValueError(
                f"{name} copies what is known of the source, so data.condition_shape={list(self.condition_shape)} must "
                f"be data.sample_shape={list(self.sample_shape)}; choose a condition that leaves the picture as it is "
                "beside the hole, such as condition=masked_centre"
            )

    def pasted(self, filled: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        """See `pasted`: for models, which know networks by their methods alone."""
        return pasted(filled, condition, mask)

    def checked_mask(self, condition: Tensor, mask: Tensor | None) -> Tensor:
        """The mask.

        Raises:
            ValueError: there is none, or the source has a size that is not allowed.
        """
        height, width = condition.shape[2:]
        self._check_size(height, width, f"the source has {height}x{width}; pad or resize it")
        if mask is None:
            raise ValueError(f"{type(self).__name__} fills holes and was given no mask: (B, 1, H, W), 1 in the hole")
        return mask


class StagedInpainter(Inpainter):
    """One of which losses want the pictures that are not pasted yet; a subclass has `stages`.

    Args:
        as `Inpainter`.
    """

    def stages(self, condition: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """The pictures that the network makes, before anything is pasted: for losses.

        Args:
            condition: (B, C, H, W) in [-1, 1], of any values in the hole.
            mask: (B, 1, H, W), 1 in the hole.
        Returns:
            One (B, C, H, W) in [-1, 1] of each stage; what the last one has in the hole is the sample's.
        """
        raise NotImplementedError

    def forward(self, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [-1, 1] and (B, 1, H, W), 1 in the hole -> (B, C, H, W) in [-1, 1].

        Raises:
            ValueError: a size that is not allowed, or no mask.
        """
        mask = self.checked_mask(condition, mask)
        return pasted(self.stages(condition, mask)[-1], condition, mask)


def pasted(filled: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
    """(B, C, H, W): `filled` in the hole, the source's own pixels elsewhere, to the bit.

    Args:
        filled: (B, C, H, W), of any values where the mask is 0.
        condition: (B, C, H, W), of any values where it is 1.
        mask: (B, 1, H, W), 1 in the hole.
    """
    return torch.where(mask > 0.5, filled, condition)


def known(condition: Tensor, mask: Tensor) -> Tensor:
    """(B, C, H, W): the source with zeros in the hole, whatever it has there."""
    return torch.where(mask > 0.5, torch.zeros_like(condition), condition)
