"""A penalty that keeps D's logits from drifting off (Karras et al. 2018)."""

from typing import Any

from torch import Tensor

from gan_lab.layers.precision import full_precision
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.regularizers.checks import needed, refuse_lazy


def drift_penalty(*, real_logits: Tensor) -> Tensor:
    """D(x)^2 (Karras et al. 2018, appendix A.1).

    Args:
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator.
    Returns:
        penalties in the shape of `real_logits`, unweighted, in float32 at least.
    """
    return full_precision(real_logits).square()


class Drift(Regularizer):
    """epsilon * E[D(x)^2] on reals (Karras et al. 2018, appendix A.1), on the logits of D's step itself.

    Args:
        weight: epsilon, 0 or more, or a schedule of it (paper: 0.001).
        every: 1.
    """

    name = "drift"

    def check(self, module: Any) -> None:
        refuse_lazy(self)

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """Penalties in the shape of the logits."""
        return drift_penalty(real_logits=needed(self, module, phase, "real_logits"))
