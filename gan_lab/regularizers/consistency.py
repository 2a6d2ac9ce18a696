"""Consistency of D under small changes of its samples (Zhang et al. 2020) and of latents (Zhao et al. 2021).

The passes run without autocast: half precision would drown differences as small as these.
"""

from typing import Any

import torch
from torch import Tensor

from gan_lab.layers.moving import moved_together
from gan_lab.layers.precision import full_precision, without_autocast
from gan_lab.losses.reduction import per_sample
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.regularizers.checks import needed, needs_latents
from gan_lab.schedules import Schedule

Inputs = dict[str, Tensor]


def flip_and_shift(images: Tensor, *, flips: Tensor, shifts: Tensor) -> Tensor:
    """Each image mirrored left to right or not, then moved; what a border uncovers is filled by reflection.

    Args:
        images: (B, C, H, W).
        flips: (B,) bool.
        shifts: (B, 2) int64 pixels up and to the left, less than H and W in size; negative for down and right.
    Returns:
        (B, C, H, W): values of `images` at other places, with derivatives of any order.
    """
    batch, channels, height, width = images.shape
    every, kind = (torch.arange(count, device=images.device) for count in (batch, channels))
    rows = _reflected(torch.arange(height, device=images.device) + shifts[:, :1], height)
    columns = _reflected(torch.arange(width, device=images.device) + shifts[:, 1:], width)
    columns = torch.where(flips[:, None], width - 1 - columns, columns)
    return images[every[:, None, None, None], kind[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def _reflected(places: Tensor, size: int) -> Tensor:
    places = places.abs()
    return torch.where(places < size, places, 2 * (size - 1) - places)


def squared_difference(first: Tensor, second: Tensor) -> Tensor:
    """(first - second)^2 elementwise, in float32 at least."""
    return (full_precision(first) - full_precision(second)).square()


class _OfImages(Regularizer):
    """What consistency under flips and shifts shares.

    Sources and masks that D sees beside its samples move with them.

    Args:
        flip: whether half of the samples are mirrored.
        max_shift: the most pixels that a sample is moved by, each way, 0 or more.
    """

    def __init__(self, weight: float | Schedule, every: int, flip: bool, max_shift: int) -> None:
        super().__init__(weight, every)
        if max_shift < 0 or (max_shift == 0 and not flip):
            raise ValueError(
                f"regularizer {self.name} must change its samples: max_shift must be 0 or more, and more where flip is "
                f"false; got max_shift={max_shift}, flip={flip}"
            )
        self.flip, self.max_shift = flip, max_shift

    def difference(self, module: Any, phase: Phase, side: str) -> Tensor:
        """(B,) squared differences of D's logits of "real" or "fake" samples, and of the same flipped and shifted.

        Where D has a logit for each place, of their means: each is of another place once the sample has moved.
        """
        images, beside = module.augmented_together(needed(self, module, phase, side), **phase.beside(side))
        images = full_precision(images.detach())
        pictures = {name: full_precision(beside[name]) for name in module.sees if name in beside}
        changed, moved = moved_together(lambda together: self._changed(module, together), images, pictures)
        with without_autocast(images):
            logits = [
                per_sample(module.logits(changed, **{**beside, **moved})),
                per_sample(module.logits(images, **{**beside, **pictures})),
            ]
        return squared_difference(*logits)

    def _changed(self, module: Any, images: Tensor) -> Tensor:
        if images.ndim != 4 or min(images.shape[2:]) <= self.max_shift:
            raise ValueError(
                f"regularizer {self.name} flips and shifts images whose sides are longer than "
                f"max_shift={self.max_shift}, and samples here have the shape {tuple(images.shape[1:])}; leave it out"
            )
        count, span, draws = len(images), 2 * self.max_shift + 1, module.draws.on_cpu()
        flips = draws.integers("consistency flip", count, 2)
        shifts = [draws.integers("consistency shift", count, span) - self.max_shift for _ in range(2)]
        drawn = module.draws.send(torch.stack([flips, *shifts], dim=1))
        return flip_and_shift(images, flips=drawn[:, 0].bool() & self.flip, shifts=drawn[:, 1:])


class Consistency(_OfImages):
    """CR: lambda * |D(x) - D(T(x))|^2 on reals, with flips and shifts T (Zhang et al. 2020).

    T comes after the model's augmentation, which both sides share. D(x) is a pass of its own: with an augmentation, the
    step's logits are of another picture.

    Args:
        weight: lambda, 0 or more, or a schedule of it (paper: 10).
        every: see `Regularizer`.
        flip, max_shift: see `flip_and_shift` (paper: flips, and shifts by a few pixels).
    """

    name = "cr"

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) penalties."""
        return self.difference(module, phase, "real")


class BalancedConsistency(_OfImages):
    """bCR: lambda * (|D(x) - D(T(x))|^2 + |D(G(z)) - D(T(G(z)))|^2) (Zhao et al. 2021).

    Args:
        weight: lambda of reals and of fakes alike, 0 or more, or a schedule of it (StudioGAN: 10).
        every, flip, max_shift: see `Consistency`.
    """

    name = "bcr"

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) penalties."""
        return self.difference(module, phase, "real") + self.difference(module, phase, "fake")


class _OfLatents(Regularizer):
    """What consistency of latents shares: z and z + sigma * N(0, I), drawn for this term alone.

    Args:
        sigma: standard deviation of the noise on latents, more than 0.
    """

    def __init__(self, weight: float | Schedule, every: int, sigma: float) -> None:
        super().__init__(weight, every)
        if sigma <= 0:
            raise ValueError(f"regularizer {self.name}: sigma must be more than 0, got {sigma}")
        self.sigma = sigma

    def check(self, module: Any) -> None:
        needs_latents(self, module)
        if hasattr(module.generator, "noise_size"):
            raise ValueError(
                f"regularizer {self.name} compares what two latents make, and {type(module.generator).__name__} draws "
                "noise of its own for each picture; leave the regularizer out, or choose another network"
            )

    def neighbours(self, module: Any, count: int) -> tuple[Inputs, Inputs]:
        """G's inputs for `count` samples, twice: the same but for the noise on latents."""
        inputs = module.inputs.draw(module.draws, count)
        noise = module.draws.normal("latent consistency", count, inputs["latents"].shape[1:])
        noise[:, getattr(module.inputs, "noise", module.inputs).latent_dim :] = 0  # codes stay what they are
        moved = {**inputs, "latents": inputs["latents"] + self.sigma * noise}
        return inputs, moved


def _made(module: Any, inputs: Inputs) -> Tensor:
    others = {name: value for name, value in inputs.items() if name != "latents"}
    return module.generator(inputs["latents"], **others)


class LatentConsistency(_OfLatents):
    """zCR, D's part: lambda_dis * |D(G(z)) - D(G(z + noise))|^2 (Zhao et al. 2021).

    Departure: fakes of its own, since D's step does not hand on its latents. Both are seen through one augmentation.

    Args:
        weight: lambda_dis, 0 or more, or a schedule of it (StudioGAN: 20).
        every: see `Regularizer`.
        sigma: see `_OfLatents` (StudioGAN: 0.05).
    """

    name = "zcr_discriminator"

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) penalties."""
        here, near = self.neighbours(module, len(needed(self, module, phase, "fake")))
        with torch.no_grad():
            fake, moved = _made(module, here), _made(module, near)
            moment = module.draws.state_dict()
            fake = module.augmented(fake)
            module.draws.load_state_dict(moment)  # the draws of the other's augmentation, once more
            moved = module.augmented(moved)
        labels = here.get("labels")
        with without_autocast(fake):
            return squared_difference(*(module.logits(full_precision(images), labels) for images in (moved, fake)))


class LatentDiversity(_OfLatents):
    """zCR, G's part: -lambda_gen * |G(z) - G(z + noise)|^2, so that G heeds its latents (Zhao et al. 2021).

    The norm is a mean over a sample's values, so that the weight does not depend on the size of samples.

    Args:
        weight: lambda_gen, 0 or more, or a schedule of it (StudioGAN: 0.5).
        every: see `Regularizer`.
        sigma: see `_OfLatents` (StudioGAN: 0.05).
    """

    name = "zcr_generator"
    group = "generator"

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B,) negative penalties."""
        here, near = self.neighbours(module, len(needed(self, module, phase, "fake")))
        with without_autocast(here["latents"]):
            return -squared_difference(_made(module, near), _made(module, here)).flatten(1).mean(1)
