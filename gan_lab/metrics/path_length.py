"""Perceptual path length: how far an image moves for a small step of the latent (Karras et al. 2019, section 4.1)."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gan_lab.metrics.base import Block, BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.sampling import linear, spherical

SIDE = 256  # larger images are averaged down towards it, as published


def without_tails(distances: np.ndarray) -> np.ndarray:
    """Those from the 1 % to the 99 % percentile, ends included; of 100 or fewer, all.

    Percentiles are distances that are there: the next lower one for 1 %, the next higher one for 99 % (NumPy's methods
    "lower" and "higher"), as in the published code.
    """
    low = np.percentile(distances, 1, method="lower")
    high = np.percentile(distances, 99, method="higher")
    return distances[(low <= distances) & (distances <= high)]


def as_seen(images: Tensor) -> Tensor:
    """(B, 3, h, w) float images: of sides above 512 averaged down by the whole factor that leaves 256 or more; grey
    repeated."""
    factor = min(images.shape[2:]) // SIDE
    if factor > 1:
        images = avg_pool2d(images, factor)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


class PathLength(BlockMetric):
    """Mean of d(G(path(t)), G(path(t + epsilon))) / epsilon^2: "" without the tails, "_mean" of all. Lower is smoother.

    d is the extractor's `distances`. Images stay in floating point from the generator to the distance: after
    rounding, a pixel moves by nothing or by a whole grey level, and either is divided by epsilon^2.

    A path leads from a sample's latent to that of the next sample in the block. (The published code draws both ends
    anew; here every pair has the same distribution as there, whatever that of latents is, but neighbours share an end.)
    Classes, noise and all other inputs of the generator are the sample's own, the same at both ends.

    Args:
        space: "z" along the sphere; "w" straight, between outputs of the network's `mapping`, which are fed to its
            `synthesis` (both take the network's inputs by keyword: `latents` and `labels` the one, the rest the other).
        endpoints: "full" for t uniform in [0, 1), "end" for t = 0 (Karras et al. 2020, appendix A, reports w, "end").
        epsilon: the step of t, in (0, 1) (published: 1e-4).
        extractor: see `BlockMetric`; one with `distances(first, second)`, (B, 3, H, W) in [-1, 1] twice -> (B,).
    """

    higher_is_better = False
    needs = ("probe",)
    needs_network = True
    uses_reference = False
    intervals = True

    def __init__(self, *, space: str, endpoints: str, epsilon: float, extractor: str | None = None) -> None:
        super().__init__(extractor)
        if space not in ("z", "w"):
            raise ValueError(f"space must be 'z' or 'w', got {space!r}")
        if endpoints not in ("full", "end"):
            raise ValueError(f"endpoints must be 'full' or 'end', got {endpoints!r}")
        if not 0 < epsilon < 1:
            raise ValueError(f"epsilon must be in (0, 1), got {epsilon}")
        self.space, self.endpoints, self.epsilon = space, endpoints, epsilon
        self.name = f"ppl_{space}{endpoints}"

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "metric": self.name,
            "epsilon": self.epsilon,
            "images": f"float, averaged down by whole factors to {SIDE} pixels or more",
            "tails": "outside of the percentiles 1 (lower) and 99 (higher)",
            "paths": "to the next latent of the block",
        }

    @torch.no_grad()
    def probe(self, block: Block) -> Tensor:
        """(count,) float64 squared speeds, one per sample.

        Raises:
            ValueError: images of files; latents that are not there, or only one; a generator without `mapping` and
                `synthesis` for w; samples that are no images; an extractor without distances.
        """
        network, arguments = block.network, block.arguments
        if network is None or "latents" not in arguments:
            raise ValueError(f"{self.name} needs a generator of latents: leave it out for images of files")
        if len(arguments["latents"]) < 2:
            raise ValueError(
                f"{self.name} goes from latent to latent of a block: evaluation.block_size must be 2 or more"
            )
        if not hasattr(block.extractor, "distances"):
            name = getattr(block.extractor, "name", None)
            raise ValueError(f"{self.name} needs an extractor with distances, such as lpips, got {name}")
        size = len(arguments["latents"])
        # A copy, so that what another metric draws of this block changes nothing here.
        draws = copy.deepcopy(block.draws)
        t = torch.zeros(size) if self.endpoints == "end" else draws.uniform(f"{self.name} t", size, ())
        images = []
        for step in (0.0, self.epsilon):
            # Both calls find the default generators alike, should the generator draw noise from them.
            with torch.random.fork_rng([block.device] if block.device.type == "cuda" else []):
                images.append(self._images(block, t.double() + step))
        distances = block.extractor.distances(*images)[: block.count]
        return distances.cpu().double() / self.epsilon**2

    def _images(self, block: Block, t: Tensor) -> Tensor:
        """What the network makes of the points `t` of all paths."""
        network: Any = block.network
        if self.space == "z":
            latents = _between(spherical, block.arguments["latents"], t)
            images = network(**block.arguments | {"latents": latents})
        else:
            if not (hasattr(network, "mapping") and hasattr(network, "synthesis")):
                raise ValueError(
                    f"{self.name} needs a generator with `mapping` and `synthesis`, which {type(network).__name__} has "
                    "not: choose space=z"
                )
            mapped = {name: value for name, value in block.arguments.items() if name in ("latents", "labels")}
            others = {name: value for name, value in block.arguments.items() if name not in mapped}
            images = network.synthesis(_between(linear, network.mapping(**mapped), t), **others)
        if images.dim() != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"{self.name} needs images (B, 1 or 3, H, W), the generator made {tuple(images.shape)}")
        return as_seen(images)

    def compute(self) -> dict[str, float]:
        """Of all samples so far."""
        distances = finite_matrix(self.values("probe")[:, None], "path lengths")[:, 0].numpy()
        return {"": float(without_tails(distances).mean()), "_mean": float(distances.mean())}


def _between(path: Any, ends: Tensor, t: Tensor) -> Tensor:
    """Points between each row of `ends` and the next, on the CPU in float64: the step is near float32's last digits."""
    ends_64 = ends.cpu().double()
    return path(ends_64, ends_64.roll(-1, dims=0), t).to(ends)
