"""Latents of given pictures, found by gradient descent (Karras et al. 2020, appendix D)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gan_lab.data.images import from_uint8, to_uint8
from gan_lab.evaluation.generation import has_styles
from gan_lab.latents.space import Points, Space
from gan_lab.losses.features import feature_distance
from gan_lab.sampling import normal_of_samples

SPACES = ("w", "w+", "z")
FRAMINGS = ("crop", "squeeze")
SMALLEST = 4  # pixels of the shorter side at the coarsest level that is compared
RAMP_UP, RAMP_DOWN, NOISE_RAMP = 0.05, 0.25, 0.75  # shares of the steps, as published
AVERAGED = 10000  # samples of the mean and deviation that a search begins with, as published


@dataclass(frozen=True)
class Search:
    """How long and how fast latents are searched for.

    Args:
        steps: of Adam, 1 or more (published: 1000).
        rate: of Adam at its highest (0.1): it grows over the first twentieth of the steps, and falls by a cosine over
            the last quarter.
        noise: deviation, of that of latents, of what is added to them at the start (0.05); it falls as the square of
            what is left of the first three quarters.
    Raises:
        ValueError: a value out of range.
    """

    steps: int
    rate: float
    noise: float

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be 1 or more, got {self.steps}")
        if not self.rate > 0:
            raise ValueError(f"rate must be more than 0, got {self.rate}")
        if not self.noise >= 0:
            raise ValueError(f"noise must be 0 or more, got {self.noise}")

    def rate_at(self, step: int) -> float:
        """Of Adam at this step, from 0 on."""
        done = step / self.steps
        down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - done) / RAMP_DOWN))
        return self.rate * down * min(1.0, (step + 1) / (RAMP_UP * self.steps))

    def noise_at(self, step: int) -> float:
        """Deviation of what is added at this step, of that of latents."""
        return self.noise * max(0.0, 1 - step / self.steps / NOISE_RAMP) ** 2


class Projection(NamedTuple):
    """What was found.

    Attributes:
        points: one, of the space that was searched; of w+ (1, num_layers, dim).
        picture: (1, C, H, W) uint8, the generator's.
        first: distance of where the search began, of which `last` is what is left: see `Distance`.
        last: distance of `picture`'s latents.
        progress: (N, C, H, W) uint8, on the way there.
    """

    points: Points
    picture: Tensor
    first: float
    last: float
    progress: Tensor


class Distance:
    """Of pictures: mean squared error at each level of a pyramid, averaged over levels; and of feature maps.

    The pyramid halves by means of 2x2 pixels until the shorter side would have fewer than 4.

    Args:
        extractor: see `gan_lab.extractors.base.Extractor.differentiable`; None for pixels alone.
        weight: of mean |F(x) - F(y)| beside the error in pixels, 0 or more.
    """

    def __init__(self, extractor: Any, weight: float) -> None:
        if not weight >= 0:
            raise ValueError(f"perceptual_weight must be 0 or more, got {weight}")
        self.extractor, self.weight = extractor, weight

    def __call__(self, made: Tensor, target: Tensor) -> Tensor:
        """(B,) of (B, C, H, W) in [-1, 1]."""
        levels, one, other = [], made, target
        while True:
            levels.append((one - other).square().flatten(1).mean(1))
            if min(one.shape[2:]) < 2 * SMALLEST:
                break
            one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
        distance = torch.stack(levels).mean(dim=0)
        if self.extractor is None:
            return distance
        with torch.no_grad():
            real_maps = self.extractor.differentiable(target)
        maps = feature_distance(real_maps=real_maps, fake_maps=self.extractor.differentiable(made))
        return distance + self.weight * maps


def framed(pixels: np.ndarray, image_size: tuple[int, int], framing: str) -> tuple[np.ndarray, str]:
    """A picture of the generator's size, and what was done for that.

    Args:
        pixels: (H, W, C) uint8.
        image_size: (height, width).
        framing: crop, the largest part around the centre with the generator's proportions; or squeeze, all of it.
    Returns:
        (height, width, C) uint8, resized by Lanczos.
    """
    height, width = pixels.shape[:2]
    said = [f"{width}x{height}"]
    if framing == "crop":
        scale = min(height / image_size[0], width / image_size[1])
        kept = max(1, round(scale * image_size[0])), max(1, round(scale * image_size[1]))
        top, left = (height - kept[0]) // 2, (width - kept[1]) // 2
        pixels = pixels[top : top + kept[0], left : left + kept[1]]
        if kept != (height, width):
            said.append(f"cropped to {kept[1]}x{kept[0]} at ({left}, {top})")
    if pixels.shape[:2] != tuple(image_size):
        flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        image = Image.fromarray(np.ascontiguousarray(flat))
        pixels = np.asarray(image.resize((image_size[1], image_size[0]), Image.Resampling.LANCZOS))
        said.append(f"resized to {image_size[1]}x{image_size[0]}")
    return pixels.reshape(*image_size, -1), ", ".join(said)


def checked_space(name: str | None, space: Space) -> str:
    """Which latents are searched for: `name`, or where it is None "w" of a generator with styles and else "z".

    Raises:
        ValueError: the generator has none of these.
    """
    styled = has_styles(space.loaded.network)
    if name is None:
        return "w" if styled else "z"
    if name not in SPACES:
        raise ValueError(f"space must be w, w+ or z, got {name!r}")
    if (name == "z") == styled:
        other = "w or w+" if styled else "z"
        raise ValueError(f"space={name} is not of {type(space.loaded.network).__name__}: choose {other}")
    return name


class Projector:
    """Finds latents of pictures, each alone, so that what is projected beside it does not matter.

    The search begins at the mean of 10,000 samples' w; of latents, at the one of the first 100 whose picture is
    nearest, since nearly none lies near their mean. The generator's noise, if any, is one and the same throughout, and
    not searched for as it is in the published code: a generator here is given new noise with each picture.

    Args:
        space: of a generator without truncation or sliders.
        kind: w, one for all layers; w+, one for each; or z. See `checked_space`.
        distance: of pictures.
        search: see there.
        classes: whose latents are averaged, or searched; one of them for a conditional generator of latents.
    Raises:
        ValueError: a conditional generator of latents, and not one class.
    """

    def __init__(
        self,
        space: Space,
        *,
        kind: str,
        distance: Callable[[Tensor, Tensor], Tensor],
        search: Search,
        classes: list[int] | None = None,
    ) -> None:
        self.space, self.kind, self.distance, self.search = space, kind, distance, search
        # Deviations are of the seed's samples, so that another seed is another search.
        samples = space.samples(space.seed, range(AVERAGED if kind != "z" else 100), classes)
        if samples.labels is not None and len(samples.labels.unique()) > 1:
            raise ValueError(
                "this generator has no styles, and what it makes depends on the class as well: name the picture's, "
                "classes=[3] for example"
            )
        self.labels = None if samples.labels is None else samples.labels[:1]
        mean = samples.positions.mean(dim=0)
        self.deviation = (samples.positions - mean).square().sum(dim=1).mean().sqrt().item()
        self.starts = samples.positions if kind == "z" else mean[None]
        network: Any = space.loaded.network
        if kind == "w+":
            self.starts = mean.expand(1, network.num_layers, -1)
        self.bound = 1.0 if getattr(space.loaded.inputs, "distribution", None) == "uniform" else math.inf

    def __call__(self, pixels: Tensor, shown: int = 8) -> Projection:
        """The latents of a picture.

        Args:
            pixels: (C, H, W) uint8, of the generator's size.
            shown: how many pictures of the way there are kept.
        """
        device, search = self.space.device, self.search
        target = from_uint8(pixels)[None].to(device)
        start, first = self._nearest(target)
        position = start.float().to(device).requires_grad_()
        optimizer = torch.optim.Adam([position], lr=search.rate, betas=(0.9, 0.999))
        at = {round(number * (search.steps - 1) / max(shown - 1, 1)) for number in range(shown)}
        progress = []
        for step in range(search.steps):
            optimizer.param_groups[0]["lr"] = search.rate_at(step)
            drawn = normal_of_samples(self.space.seed, "projection", [step], position.shape[1:])
            added = drawn * self.deviation * search.noise_at(step)
            made = self._made(position + added.to(device))
            if step in at:
                progress.append(to_uint8(made.detach()).cpu())
            optimizer.zero_grad()
            self.distance(made, target).sum().backward()
            optimizer.step()
            if self.bound < math.inf:
                position.data.clamp_(-self.bound, self.bound)
        found = position.detach()
        with torch.no_grad():
            made = self._made(found)
            last = self.distance(made, target).item()
        points = Points(found.double().cpu(), self.labels)
        return Projection(points, to_uint8(made).cpu(), first, last, torch.cat(progress))

    def _nearest(self, target: Tensor) -> tuple[Tensor, float]:
        """The start whose picture is nearest, and its distance."""
        with torch.no_grad():
            distances = [
                self.distance(self._made(start[None].float().to(self.space.device)), target).item()
                for start in self.starts
            ]
        best = int(np.argmin(distances))
        return self.starts[best : best + 1], distances[best]

    def _made(self, positions: Tensor) -> Tensor:
        return self.space.make(positions, None if self.labels is None else self.labels.to(self.space.device))
