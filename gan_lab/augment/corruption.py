"""ADA's corruptions: noise, and holes."""

import torch
from torch import Tensor

from gan_lab.augment.pixels import uniforms, uniforms_and_normals
from gan_lab.sampling import Draws


def add_noise(images: Tensor, p: Tensor, draws: Draws) -> Tensor:
    """With probability p, N(0, sigma^2) at every value, with sigma = 0.1 |n| of the picture, n normal (appendix B)."""
    (chance,), (sigma,) = uniforms_and_normals(
        draws, images, uniform=("ada noise chance", 1), normal=("ada noise sigma", 1)
    )
    noise = draws.normal_by_blocks("ada noise", len(images), images.shape[1:]).to(images.dtype)
    return images + 0.1 * sigma.abs() * (chance < p) * noise


def cut_out(images: Tensor, p: Tensor, draws: Draws) -> Tensor:
    """With probability p, a rectangle of half the height and width is zero; its centre is uniform in the picture."""
    chance, high, left = uniforms(draws, "ada cutout", images, 3)
    height, width = images.shape[2:]
    rows, columns = (
        (torch.arange(size, device=images.device, dtype=images.dtype) + 0.5) / size for size in (height, width)
    )
    hole = ((rows.view(1, 1, -1, 1) - high).abs() < 0.25) & ((columns.view(1, 1, 1, -1) - left).abs() < 0.25)
    return torch.where(hole & (chance < p), 0, images)
