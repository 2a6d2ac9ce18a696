"""Earlier fakes for a discriminator to see once more."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_lab import collectives
from gan_lab.sampling import Draws


class ImagePool(nn.Module):
    """The last fakes that were not seen once more yet (Shrivastava et al. 2017, section 2.3; Zhu et al. 2017: 50).

    It fills first. Then each fake is, with probability 1/2, put in the place of a stored one, which is seen instead.

    One pool of all ranks: each of them holds it and replays the same decisions for the fakes of all, in the order of
    the global batch, so that the fakes that are seen do not depend on the number of ranks.

    Args:
        name: of the pool, in the purpose of its draws.
        size: most images, 0 or more; 0 lets all pass.
        shape: of an image.
    """

    images: Tensor

    def __init__(self, name: str, *, size: int, shape: Sequence[int]) -> None:
        super().__init__()
        if size < 0:
            raise ValueError(f"model.pool_size must be 0 or more, got {size}")
        self.name, self.size = name, size
        self.register_buffer("images", torch.zeros(size, *shape))

    def decisions(self, count: int, draws: Draws) -> list[int]:
        """For so many fakes over all ranks; drawn for a batch at once, whatever micro-batches it is cut into."""
        return draws.decisions(self.name, count, 2 * self.size) if self.size else []

    @torch.no_grad()
    def exchange(self, fakes: Tensor, *, decisions: Sequence[int], before: int, draws: Draws) -> Tensor:
        """(B, *shape) fakes to show instead of these, which may be some of these.

        Args:
            fakes: (B, *shape) this rank's.
            decisions: one for each fake of all ranks.
            before: global number of fakes that have been exchanged before.
            draws: of this moment.
        """
        if self.size == 0:
            return fakes
        shown, held = replayed(decisions, size=self.size, before=before)
        candidates = torch.cat([self.images, collectives.gather(fakes).to(self.images.dtype)])
        first = collectives.rank() * len(fakes)
        chosen = draws.send(torch.tensor(shown[first : first + len(fakes)], device="cpu"))
        self.images = candidates.index_select(0, draws.send(torch.tensor(held, device="cpu")))
        return candidates.index_select(0, chosen).to(fakes.dtype)


def replayed(decisions: Sequence[int], *, size: int, before: int) -> tuple[list[int], list[int]]:
    """What a pool of `size` shows for each new image, and what it holds in the end.

    Args:
        decisions: one for each new image, uniform on 0 .. 2 * size - 1: a place of the pool to exchange it with, or,
            from `size` on, to show it.
        size: of the pool.
        before: number of images that came before.
    Returns:
        Numbers of images: 0 .. size - 1 are those that the pool held, from `size` on the new ones.
    """
    held = list(range(size))
    shown = []
    for number, decision in enumerate(decisions):
        image = size + number
        if before + number < size:
            held[before + number] = image
            shown.append(image)
        elif decision < size:
            shown.append(held[decision])
            held[decision] = image
        else:
            shown.append(image)
    return shown, held
