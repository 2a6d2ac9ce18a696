"""A penalty that gives G's steps in latent space one length in pictures (Karras et al. 2020, section 3.2)."""

from typing import Any

import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.layers.precision import without_autocast
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.regularizers.checks import needs_latents
from gan_lab.schedules import Schedule


def path_lengths(*, images: Tensor, points: Tensor, noise: Tensor) -> Tensor:
    """|J^T y| of G's Jacobian J at `points`, for one random picture y each (equation 4).

    Args:
        images: (B, C, H, W) made of `points`, with their graph.
        points: (B, d), or (B, L, d) for one of each layer; the squared lengths of layers are then averaged, as in the
            authors' code.
        noise: (B, C, H, W) standard normal; y is that over sqrt(H W), so that the length does not grow with the
            picture (the authors' code).
    Returns:
        (B,) lengths with a graph; their gradient is finite where they are 0.
    Raises:
        RuntimeError: `images` do not depend on `points`.
    """
    y = noise / (images.shape[-2] * images.shape[-1]) ** 0.5
    (slopes,) = torch.autograd.grad((images * y).sum(), points, create_graph=True)
    layers = points.shape[1] if points.ndim == 3 else 1
    return torch.linalg.vector_norm(slopes.flatten(1), dim=1) / layers**0.5


class PathLength(Regularizer):
    """(|J^T y| - a)^2, where a is a running mean of these lengths (equation 4); without autocast.

    A model that has `paths(latents) -> (images, points)` says in which space (StyleGAN2: in the w of each layer). For
    any other one it is that of latents, of which the paper says nothing.

    Departure: a is a number here, as the target that it stands for in equation 4. In the authors' PyTorch code (and
    StudioGAN's) the newest mean, of which 1 - `decay` is this batch's, is differentiated as well, which takes 1 % of
    the mean of the gradients of the lengths off: the penalty's gradient is about 1 % smaller there while all lengths
    lie on one side of a.

    Args:
        weight, every: see `Regularizer` (the authors' code: 2, every 4th step; as y is divided by r and squares are
            averaged over 2 log2(r) - 2 layers, that is appendix B's ln 2 / (r^2 (ln r - ln 2)) for r x r pixels).
        decay: share of the old mean that stays at each update, in [0, 1) (the authors' code: 0.99); with micro-batches
            each of them is one.
        batch_shrink: each so-manieth of G's samples counts, which saves memory (the authors' code: 2).
    """

    group = "generator"
    name = "path_length"
    mean_length: Tensor

    def __init__(self, *, weight: float | Schedule, every: int, decay: float, batch_shrink: int) -> None:
        super().__init__(weight, every)
        if not 0 <= decay < 1:
            raise ValueError(f"regularizer path_length: decay must be in [0, 1), got {decay}")
        if batch_shrink < 1:
            raise ValueError(f"regularizer path_length: batch_shrink must be 1 or more, got {batch_shrink}")
        self.decay, self.batch_shrink = decay, batch_shrink
        self.register_buffer("mean_length", torch.zeros(()))

    def check(self, module: Any) -> None:
        """Raise ValueError without latents, for points, and where G's micro-batches cannot be shrunk on all ranks."""
        needs_latents(self, module)
        shape = tuple(getattr(module.generator, "sample_shape", (1, 1, 1)))
        if len(shape) != 3:
            raise ValueError(
                f"regularizer path_length is of pictures (C, H, W), got samples of shape {shape}; leave it out"
            )
        for count in module.generator_micro_batches():
            if count % self.batch_shrink:
                raise ValueError(
                    f"regularizer path_length: batch_shrink={self.batch_shrink} does not divide the {count} samples "
                    "that a process makes at a time in G's step; choose another one, or another "
                    "model.generator_batch_size"
                )

    def forward(self, module: Any, phase: Phase) -> Tensor:
        """(B / batch_shrink,) penalties."""
        assert phase.latents is not None
        chosen = slice(None, None, self.batch_shrink)
        latents = phase.latents[chosen]
        labels = None if phase.fake_labels is None else phase.fake_labels[chosen]
        with without_autocast(latents):
            if hasattr(module, "paths"):
                images, points = module.paths(latents)
            else:
                points = latents.detach().requires_grad_()
                images = module.generator(points) if labels is None else module.generator(points, labels)
            noise = module.draws.normal_by_blocks("path length", len(images), images.shape[1:]).to(images.dtype)
            lengths = path_lengths(images=images, points=points, noise=noise)
        with torch.no_grad():
            self.mean_length.lerp_(collectives.mean(lengths.detach().mean()).to(self.mean_length.dtype), 1 - self.decay)
        return (lengths - self.mean_length).square()
