"""LeCam regularization, for little data (Tseng et al. 2021)."""

from typing import Any

import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.layers.precision import full_precision
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.regularizers.checks import needed, refuse_lazy
from gan_lab.schedules import Schedule, images_of


def lecam_penalty(*, real_logits: Tensor, fake_logits: Tensor, real_anchor: Tensor, fake_anchor: Tensor) -> Tensor:
    """E[(D(x) - a_F)^2] + E[(D(G(z)) - a_R)^2] (Tseng et al. 2021, the equation of R_LC).

    Reals are held to the average of fakes and the other way round. Departure of the authors' code, not followed here:
    it counts only reals above a_F and fakes below a_R.

    Args:
        real_logits: (B,) raw scores, or (B, ...) of a patch discriminator.
        fake_logits: as `real_logits`.
        real_anchor, fake_anchor: a_R and a_F, scalars: averages of earlier logits.
    Returns:
        a scalar, unweighted, in float32 at least.
    """
    to_fakes = full_precision(real_logits) - fake_anchor
    to_reals = full_precision(fake_logits) - real_anchor
    return to_fakes.square().mean() + to_reals.square().mean()


class LeCam(Regularizer):
    """lambda * R_LC, with moving averages of D's mean logits as anchors (Tseng et al. 2021).

    The averages are those of all ranks, and the step's own logits are in them already, as in the authors' code. Until
    more than `start_kimg` are seen they equal the newest means, and nothing is penalized. A step in micro-batches ages
    them once in all.

    Args:
        weight: lambda, 0 or more, or a schedule of it (BigGAN on CIFAR-10: 0.3).
        every: 1.
        decay: of the averages per step of D, in [0, 1) (0.99).
        start_kimg: thousands of images before it begins, 0 or more (StudioGAN: 320, 1,000 steps of G, each with 5
            of D at batch 64).
    """

    name = "lecam"
    real_anchor: Tensor
    fake_anchor: Tensor

    def __init__(self, weight: float | Schedule, every: int, decay: float, start_kimg: float) -> None:
        super().__init__(weight, every)
        if not 0 <= decay < 1:
            raise ValueError(f"regularizer lecam: decay must be in [0, 1), got {decay}")
        if start_kimg < 0:
            raise ValueError(f"regularizer lecam: start_kimg must be 0 or more, got {start_kimg}")
        self.decay, self.start = decay, images_of(start_kimg)
        self.register_buffer("real_anchor", torch.zeros(()))
        self.register_buffer("fake_anchor", torch.zeros(()))

    def check(self, module: Any) -> None:
        refuse_lazy(self)
        if module.directions:
            raise ValueError(
                f"regularizer {self.name} keeps averages of one discriminator, and {type(module).__name__.lower()} has "
                "one for each direction; leave it out"
            )

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """The penalty of these logits, one number."""
        logits = {name: needed(self, module, phase, name) for name in ("real_logits", "fake_logits")}
        begun = module.images_seen > self.start
        share = len(logits["real_logits"]) * collectives.world() / module.batch_size
        self._follow(**logits, decay=self.decay**share if begun else 0.0)
        if not begun:
            return logits["real_logits"].new_zeros(())
        return lecam_penalty(**logits, real_anchor=self.real_anchor, fake_anchor=self.fake_anchor)

    @torch.no_grad()
    def _follow(self, *, real_logits: Tensor, fake_logits: Tensor, decay: float) -> None:
        means = collectives.mean(torch.stack([full_precision(real_logits).mean(), full_precision(fake_logits).mean()]))
        for anchor, mean in zip((self.real_anchor, self.fake_anchor), means, strict=True):
            anchor.lerp_(mean.to(anchor.dtype), 1 - decay)
