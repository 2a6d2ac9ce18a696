"""Whether samples look as reals do only once they are augmented: mirrored, turned or tinted. A hint, from few images.

Each measure is a mean over images of a few features. Where a share q of the samples was changed as a change T does, the
mean moves from that of reals towards that of changed reals, by q of the way. So q is that part of the way which lies in
this direction, and it is believed where it stands out of the noise of so few images (`CERTAIN` standard errors), and
where most of what sets samples apart from reals lies in this direction (`MOST`): a generator that has not learnt yet is
off in all directions, or its samples differ less than reals do. Reals that look alike with and without the change say
nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from gan_lab.augment.color import recolor
from gan_lab.data.images import from_uint8, to_uint8
from gan_lab.sampling import Draws

CERTAIN = 4.0  # standard errors
MOST = 0.5  # share of the squared distance of the means
TELLING = 2.0  # how far beyond its own noise, as squared lengths, the direction of a change has to be
SIDE, GRID, DIRECTIONS, SHADES = 32, 8, 16, 5
TINTED = 0.5  # probability of each change of colour in the pictures that samples are compared with


@dataclass(frozen=True)
class Change:
    """A change of reals, as samples are held against it.

    Attributes:
        features: from (N, C, H, W) uint8 to (N, F) float64.
        directions: (2, F) from the mean of reals to that of changed ones, in halves of the reals, scaled.
        scale: (F,) of the features.
        means: (F,) of the scaled features of reals.
        noise: squared length that the means of reals have by chance.
        scores: means and variances (2, 2) of the other half's reals along each direction.
        length: squared length of the direction without what chance adds; 0 or less where reals do not tell.
        reals: how many.
    """

    features: Callable[[Tensor], Tensor]
    directions: Tensor
    scale: Tensor
    means: Tensor
    noise: float
    scores: Tensor
    length: float
    reals: int


def layout(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> (N, 64 + 16): where an image is light, and which way its edges look, each regardless of the
    image's own brightness; edges by their strength, at 32x32 pixels at most."""
    grey = pixels.double().mean(1, keepdim=True) / 255
    small = adaptive_avg_pool2d(grey, (min(SIDE, grey.shape[-2]), min(SIDE, grey.shape[-1])))
    across = (small[..., 1:-1, 2:] - small[..., 1:-1, :-2]).flatten(1)
    down = (small[..., 2:, 1:-1] - small[..., :-2, 1:-1]).flatten(1)
    strength = (across.square() + down.square()).sqrt()
    # Directions lie in the middle of their parts of the circle, so that a mirror moves none across a border.
    part = (torch.atan2(down, across) / (2 * torch.pi) * DIRECTIONS).round().long() % DIRECTIONS
    edges = torch.zeros(len(pixels), DIRECTIONS, dtype=torch.float64).scatter_add_(1, part, strength)
    light = adaptive_avg_pool2d(grey, (GRID, GRID)).flatten(1)
    light = light - light.mean(1, keepdim=True)
    return torch.cat([light, edges / (edges.sum(1, keepdim=True) + 1e-6)], 1)


def colours(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> (N, 3): mean lightness, and the two coordinates of the mean colour across the greys."""
    means = (pixels[:, :3].double() / 255).mean((2, 3))
    if means.shape[1] == 1:
        means = means.expand(-1, 3)
    red, green, blue = means.unbind(1)
    return torch.stack([means.mean(1), red - green, (red + green) / 2 - blue], 1)


def shades_of(reals: Tensor, changed: Tensor) -> Callable[[Tensor], Tensor]:
    """Features that say in which part of all colours the mean colour of an image is: 5 of lightness, 5x5 of hue.

    Args:
        reals, changed: `colours` of both, whose means and deviations set the parts.
    """
    both = torch.cat([reals, changed])
    middle, width = both.mean(0), both.std(0, correction=0) + 1e-6

    def shades(pixels: Tensor) -> Tensor:
        part = ((colours(pixels) - middle) / width).round().clamp(-(SHADES // 2), SHADES // 2).long() + SHADES // 2
        one_hot = torch.nn.functional.one_hot
        light, hue = one_hot(part[:, 0], SHADES), one_hot(part[:, 1] * SHADES + part[:, 2], SHADES**2)
        return torch.cat([light, hue], 1).double()

    return shades


def mirrored(pixels: Tensor) -> list[Tensor]:
    """Left and right exchanged."""
    return [pixels.flip(-1)]


def turned(pixels: Tensor) -> list[Tensor]:
    """By one, two and three right angles; of pictures that are not square, by two."""
    square = pixels.shape[-1] == pixels.shape[-2]
    return [pixels.rot90(turns, (-2, -1)) for turns in ((1, 2, 3) if square else (2,))]


def tinted(pixels: Tensor) -> list[Tensor]:
    """Colours as ADA changes them, each way in half of the images; a function of their number alone."""
    chance = torch.tensor(TINTED, device=pixels.device)
    return [to_uint8(recolor(from_uint8(pixels), chance, Draws(0, across_ranks=False)).clamp(-1, 1))]


CHANGES = {"mirrored": mirrored, "turned": turned, "tinted": tinted}


def change_of(kind: str, reals: Tensor) -> Change:
    """What a change does to reals, (N, C, H, W) uint8 with N of 4 or more.

    Args:
        kind: of `CHANGES`.
    """
    others = CHANGES[kind](reals)
    features = shades_of(colours(reals), colours(torch.cat(others))) if kind == "tinted" else layout
    plain, changed = features(reals), torch.stack([features(other) for other in others]).mean(0)
    least = 0.1 if kind == "tinted" else 0.01  # of deviations: what is rare in few reals is no great thing in samples
    scale = 1 / torch.cat([plain, changed]).std(0, correction=0).clamp(min=least)
    plain, changed = plain * scale, changed * scale
    halves = [slice(0, None, 2), slice(1, None, 2)]
    moves = changed - plain
    directions = torch.stack([moves[half].mean(0) for half in halves])
    along = [plain[halves[1]] @ directions[0], plain[halves[0]] @ directions[1]]
    by_chance = sum(moves[half].var(0).sum().item() / len(moves[half]) for half in halves) / 2
    length = directions.square().sum(1).mean().item()
    return Change(
        features=features,
        directions=directions,
        scale=scale,
        means=plain.mean(0),
        noise=plain.var(0).sum().item() / len(plain),
        scores=torch.stack([torch.stack([values.mean(), values.var()]) for values in along]),
        length=length - by_chance if length > TELLING * by_chance else 0.0,
        reals=len(reals),
    )


def leaked_share(change: Change, samples: Tensor) -> float:
    """Which share of the samples, (N, C, H, W) uint8, looks changed so: 0 where that is not certain, NaN where reals do
    not tell."""
    if change.length <= 0:
        return float("nan")
    values = change.features(samples) * change.scale
    along = values @ change.directions.mT  # of both halves
    way = (along.mean(0) - change.scores[:, 0]).mean().item()
    error = (along.mean(1).var() / len(samples) + change.scores[:, 1].mean() / change.reals).sqrt().item()
    spread = values.var(0).sum().item()
    apart = (values.mean(0) - change.means).square().sum().item()
    apart -= spread / len(samples) + change.noise
    if spread < MOST * change.noise * change.reals:  # noise and a single picture have the means of anything
        return 0.0
    if way < CERTAIN * error or way**2 / change.length < MOST * apart:
        return 0.0
    return way / change.length
