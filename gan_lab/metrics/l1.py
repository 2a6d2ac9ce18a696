"""L1: the mean absolute error of pictures."""

from collections.abc import Sequence

from torch import Tensor

from gan_lab.metrics.paired import PairedMetric, mean_of_picture


class MeanAbsoluteError(PairedMetric):
    """Mean absolute error of pictures in [0, 1]: "" the mean over pictures, "_worst" the highest; see `PairedMetric`.

    Published percentages (of inpainting, say) are 100 times as much.

    Args:
        of, region, shares: see `PairedMetric`.
    """

    name = "l1"
    higher_is_better = False

    def __init__(self, *, of: str, region: str, shares: Sequence[float] | None = None) -> None:
        super().__init__(of=of, region=region, channel="rgb", border=0, shares=shares)

    def measure(self, *, output: Tensor, target: Tensor, region: Tensor | None) -> Tensor:
        """(B,) mean absolute errors; see `PairedMetric`."""
        return mean_of_picture((output - target).abs(), region)
