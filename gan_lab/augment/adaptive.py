"""A probability that rises while D overfits, and falls when it does not."""

from typing import Any

import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.augment.base import Augmentation
from gan_lab.sampling import Draws
from gan_lab.schedules import Schedule, as_schedule


class AdaptiveAugmentation(Augmentation):
    """Augmentation with a probability p that follows r_t = E[sign(D(real))] (Karras et al. 2020, section 3.1).

    Every `interval` steps of D, p rises if r_t over these steps was above `target`, and falls if it was below, by what
    takes it from 0 to 1 in `kimg`. It stays in [0, p_max]. (In the paper it may exceed 1, where it does no more than at
    1, but has further to come down.) From about 0.8 on augmentations may leak into samples (section 2.2).

    The signs are those of D's logits less the model's `boundary`. They are summed as integers, over all ranks, and p is
    kept as a number of images, p * 1000 * kimg: nothing is rounded, and any number of ranks adapts alike.

    Args:
        p: the probability in [0, 1] at the start; where `target` is None, it stays, or is a schedule.
        target: of r_t, in (-1, 1); None for a p that does not adapt.
        interval: steps of D between two changes of p, 1 or more.
        kimg: thousands of images in which p can rise from 0 to 1, more than 0.
        batch_size: global batch of reals.
        p_max: the most that p adapts to, more than 0 and at most 1.
    """

    strength: Tensor
    signs: Tensor
    judged: Tensor
    shown: Tensor

    def __init__(
        self,
        p: float | Schedule,
        target: float | None,
        interval: int,
        kimg: float,
        batch_size: int,
        p_max: float = 1.0,
    ) -> None:
        super().__init__()
        if not callable(p) and not 0 <= p <= 1:
            raise ValueError(f"p must be in [0, 1], got {p}")
        if target is not None and not -1 < target < 1:
            raise ValueError(f"target must be in (-1, 1), or null for a p that does not adapt, got {target}")
        if target is not None and callable(p):
            raise ValueError(f"p follows either its schedule or target={target}; set target=null for the schedule")
        if interval < 1 or kimg <= 0 or batch_size < 1:
            raise ValueError(
                f"adapting p needs interval >= 1, kimg > 0 and batch_size >= 1, got {interval}, {kimg}, {batch_size}"
            )
        if not 0 < p_max <= 1:
            raise ValueError(f"p_max must be more than 0 and at most 1, got {p_max}")
        if target is None and p_max < 1:
            raise ValueError(f"p_max={p_max} bounds a p that adapts, and target is null; set p itself, and p_max=1")
        self.schedule, self.target, self.kimg, self.p_max = as_schedule(p), target, kimg, p_max
        if target is not None and self.schedule(0) > p_max:
            raise ValueError(f"p must start at p_max={p_max} or below, got {p}")
        self.every, self.length = interval * batch_size, round(1000 * kimg)
        self.boundary = 0.0
        if target is not None:
            self.register_buffer("strength", torch.tensor(round(self.schedule(0) * self.length)))
            for name in ("signs", "judged", "shown"):  # of logits, number of logits, number of images since p changed
                self.register_buffer(name, torch.tensor(0))

    def check(self, module: Any) -> None:
        """See `Augmentation`; and adapting takes a D whose logits have two sides."""
        super().check(module)
        boundary = getattr(module, "boundary", None)
        if self.target is not None and boundary is None:
            raise ValueError(
                f"{type(self).__name__} adapts to the share of reals that D takes for real, and the logits of "
                f"{type(module).__name__} have no boundary between real and fake; set target=null and a fixed p"
            )
        self.boundary = self.boundary if boundary is None else boundary

    def probability(self, draws: Draws, images: Tensor) -> Tensor:
        """p of this moment, of no dimension, of the type and on the device of `images`."""
        if self.target is None:
            return images.new_full((), self.schedule(draws.images_seen))
        return (self.strength / self.length).to(images.dtype)

    @torch.no_grad()
    def observe(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        """Count the signs of this step's reals, and change p at the end of an interval; no value leaves the device."""
        if self.target is None:
            return
        signs = (real_logits > self.boundary).sum() - (real_logits < self.boundary).sum()
        self.signs += collectives.gather(signs.reshape(1)).sum()
        self.judged += real_logits.numel() * collectives.world()
        self.shown += len(real_logits) * collectives.world()
        due = (self.shown >= self.every).long()
        direction = (self.signs / self.judged - self.target).sign().long()
        self.strength.add_(due * direction * self.every).clamp_(0, round(self.p_max * self.length))
        for count in (self.signs, self.judged, self.shown):
            count.mul_(1 - due)

    def curves(self) -> dict[str, Tensor]:
        """p, where it adapts."""
        return {} if self.target is None else {"p": self.strength / self.length}
