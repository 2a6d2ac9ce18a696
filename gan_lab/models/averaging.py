"""The exponential moving average of a network, with a half-life counted in images."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from gan_lab.schedules import Schedule, as_schedule


class MovingAverage(AveragedModel):
    """A copy of a network that follows it: parameters and batch-norm statistics averaged, other buffers copied.

    decay = 2^(-images / h) per update, with h = min(half-life, warm-up * images_seen): in the beginning the average
    forgets the initialization as fast as training leaves it (Karras et al. 2020, ADA, appendix C).

    Args:
        network: the network to follow; the copy begins as its equal.
        half_life_kimg: thousands of images after which a weight counts half, more than 0; or a schedule of it, whose 0
            means no memory.
        warmup: the half-life at most in parts of the images seen, more than 0; None for the full half-life at once.
    """

    def __init__(self, network: nn.Module, *, half_life_kimg: float | Schedule, warmup: float | None) -> None:
        super().__init__(network)
        if not callable(half_life_kimg) and half_life_kimg <= 0:
            raise ValueError(f"ema_half_life_kimg must be more than 0 (or null for no average), got {half_life_kimg}")
        if warmup is not None and warmup <= 0:
            raise ValueError(f"ema_warmup must be more than 0 (or null for none), got {warmup}")
        self.requires_grad_(False)
        self.half_life_kimg, self.warmup = as_schedule(half_life_kimg), warmup
        self._pairs: tuple[nn.Module, list[list[Tensor]]] | None = None

    def decay(self, *, images: int, images_seen: int) -> float:
        """The factor on the old average when `images` more have been seen, `images_seen` in all."""
        half_life = 1000 * self.half_life_kimg(images_seen)
        if self.warmup is not None:
            half_life = min(half_life, self.warmup * images_seen)
        return 0.5 ** (images / half_life) if half_life > 0 else 0.0

    @torch.no_grad()
    def follow(self, network: nn.Module, *, images: int, images_seen: int) -> None:
        """Take in the network as it is after `images` more images."""
        if self._pairs is None or self._pairs[0] is not network:
            self._pairs = network, [*_split(self.module), *_split(network)]
        averaged, copied, live_averaged, live_copied = self._pairs[1]
        torch._foreach_lerp_(averaged, live_averaged, 1.0 - self.decay(images=images, images_seen=images_seen))
        if copied:
            torch._foreach_copy_(copied, live_copied)
        self.n_averaged += 1

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "MovingAverage":
        self._pairs = None  # a move to another device or layout makes new tensors
        return super()._apply(fn, recurse)

    @torch.no_grad()
    def restart(self, network: nn.Module) -> None:
        """Equal `network` again, as after loading other weights into it."""
        self.module.load_state_dict(network.state_dict())


def _split(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors that are averaged (parameters, running statistics) and those that are copied (all other buffers)."""
    averaged: list[Tensor] = list(network.parameters())
    copied: list[Tensor] = []
    for name, buffer in network.named_buffers():
        statistic = name.rpartition(".")[2] in ("running_mean", "running_var")
        (averaged if statistic else copied).append(buffer)
    return averaged, copied
