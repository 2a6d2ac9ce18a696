"""Flips, turns and shifts of whole pixels; scaling, rotation and fractional shifts between them."""

import math
from functools import lru_cache
from typing import Any

import pywt
import torch
from torch import Tensor

from gan_lab.augment.pixels import reflect, take, uniforms, uniforms_and_normals
from gan_lab.sampling import Draws, send

# Whole pixels -----------------------------------------------------------------------------------------------------


def blit(images: Tensor, p: Tensor, draws: Draws) -> Tensor:
    """Pixel blitting (Karras et al. 2020, appendix B): each with probability p, pixels are moved and none is changed.

    Mirrored left to right in one case of two; turned by 0, 90, 180 or 270 degrees; shifted by up to an eighth of width
    and height. What comes in from outside is the picture reflected at its outermost pixels.

    In a picture that is not square, a quarter turn leaves out what lies outside, and reflects where there is nothing.
    Where its height is even and its width odd, or the other way round, its turned pixels lie between the old ones, and
    move by half of one, up and to the left.

    Args:
        images: (B, C, H, W).
        p: of no dimension.
        draws: of this moment.
    """
    height, width = images.shape[2:]
    flipping, side, turning, turn, shifting, right, down = uniforms(draws, "ada blit", images, 7)
    mirror = 1 - 2 * ((flipping < p) & (side < 0.5)).long()
    turns = (turning < p) * (4 * turn).floor().long()
    moved = shifting < p
    right, down = ((moved * (0.25 * u - 0.125) * size).round().long() for u, size in ((right, width), (down, height)))
    return move(images, mirror, turns, right, down)


def move(images: Tensor, mirror: Tensor, turns: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Mirror, then turn, then shift.

    Args:
        images: (B, C, H, W).
        mirror: (B, 1, 1, 1) int64, -1 to exchange left and right, else 1; as the others.
        turns: quarter turns counterclockwise, 0 to 3.
        right, down: pixels.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device).view(1, 1, -1, 1) - down
    columns = torch.arange(width, device=images.device).view(1, 1, 1, -1) - right
    # Twice the distance from the middle is a whole number for odd and even sizes.
    y, x = 2 * rows - (height - 1), 2 * columns - (width - 1)
    cos, sin = (turns == 0).long() - (turns == 2).long(), (turns == 1).long() - (turns == 3).long()
    x, y = mirror * (cos * x - sin * y), sin * x + cos * y
    rows, columns = (y + height - 1).div(2, rounding_mode="floor"), (x + width - 1).div(2, rounding_mode="floor")
    return take(images, reflect(rows, height), reflect(columns, width))


# Between pixels ---------------------------------------------------------------------------------------------------


def transform(images: Tensor, p: Tensor, draws: Draws) -> Tensor:
    """General geometric transformations (Karras et al. 2020, appendix B), in this order, about the middle.

    With probability p each, but 1 - sqrt(1 - p) for either rotation, so that the picture is rotated with probability p:
    scaled by 2^(0.2 n) with n normal; rotated by an angle uniform on the circle; stretched in width, and compressed in
    height, by 2^(0.2 n); rotated again; shifted by normal parts of width and height with standard deviation 0.125.
    """
    chances_and_angles, (size, stretch, right, down) = uniforms_and_normals(
        draws, images, uniform=("ada angles", 7), normal=("ada sizes", 4)
    )
    scaling, turning, stretching, turning_again, shifting, angle, angle_again = chances_and_angles
    p_rotation = 1 - (1 - p.clamp(max=1)).sqrt()
    scaled, stretched, shifted = scaling < p, stretching < p, shifting < p
    rotated, rotated_again = turning < p_rotation, turning_again < p_rotation
    size, stretch = torch.exp2(0.2 * size * scaled), torch.exp2(0.2 * stretch * stretched)
    angle, angle_again = math.tau * angle * rotated, math.tau * angle_again * rotated_again
    inverse = _times(_rotation(-angle), (1 / stretch, 0, 0, stretch))
    inverse = _times(_times((1 / size, 0, 0, 1 / size), inverse), _rotation(-angle_again))
    height, width = images.shape[2:]
    warped = resample(images, inverse, 0.125 * width * right * shifted, 0.125 * height * down * shifted)
    return torch.where(scaled | stretched | shifted | rotated | rotated_again, warped, images)


Matrix = tuple[Any, Any, Any, Any]  # (a, b, c, d) of ((a, b), (c, d)), each a number or (B, 1, 1, 1)


def _rotation(angle: Tensor) -> Matrix:
    return angle.cos(), -angle.sin(), angle.sin(), angle.cos()


def _times(left: Matrix, right: Matrix) -> Matrix:
    a, b, c, d = left
    e, f, g, h = right
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


def resample(images: Tensor, inverse: Matrix, right: Tensor, down: Tensor) -> Tensor:
    """The picture under a linear map about its middle and a shift, reflected at its outermost pixels.

    It is doubled in height and width with the low-pass filter of the wavelet sym6, read bilinearly, and halved with the
    same filter (appendix B). The filter is orthonormal: halving is the transpose of doubling and undoes it.

    Departures from the paper's implementation: it pads as far as the batch at hand asks for, and here the reflected
    picture, which repeats itself after 2 (n - 1) pixels, is doubled for one period and read anywhere; and sym6 delays
    by 5.1 places, not by a symmetric filter's 5.5, which the places allow for: else all would turn about a point that
    is not the middle.

    Args:
        images: (B, C, H, W).
        inverse: of the map, from places in the result, (x to the right, y down), to places in the picture.
        right, down: (B, 1, 1, 1) pixels by which the mapped picture is shifted.
    """
    size, delay = images.shape[2:], _delay()
    doubling_y, doubling_x = (_doubling(n, images.device, images.dtype) for n in size)
    halving_y, halving_x = (_halving(n, images.device, images.dtype) for n in size)
    y, x = (
        (torch.arange(len(halving), device=images.device, dtype=images.dtype) - delay) / 2 - (n - 1) / 2
        for halving, n in ((halving_y, size[0]), (halving_x, size[1]))
    )
    a, b, c, d = (entry.view(-1, 1, 1) for entry in inverse)
    x, y = x.view(1, 1, -1) - right.view(-1, 1, 1), y.view(1, -1, 1) - down.view(-1, 1, 1)
    from_x, from_y = a * x + b * y + (size[1] - 1) / 2, c * x + d * y + (size[0] - 1) / 2
    # Pixel k lies at 2 k + delay of the doubled picture, whose first and last places, at -1 and 1, are the same.
    turns = torch.stack(
        [(2 * from_x + delay) / (len(doubling_x) - 1), (2 * from_y + delay) / (len(doubling_y) - 1)], -1
    )
    grid = 2 * (turns - turns.floor()) - 1
    return halving_y.mT @ warp(doubling_y @ images @ doubling_x.mT, grid) @ halving_x


@lru_cache(maxsize=1)
def _low_pass() -> tuple[float, ...]:
    return tuple(pywt.Wavelet("sym6").dec_lo)


def _delay() -> float:
    """Of low frequencies by the filter: the mean place of its weights."""
    return sum(place * weight for place, weight in enumerate(_low_pass())) / sum(_low_pass())


@lru_cache(maxsize=16)
def _doubling(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(4 (size - 1) + 1, size): one period of the doubled signal, and its first place again."""
    period = max(2 * (size - 1), 1)
    with torch.inference_mode(False):
        matrix = torch.zeros(2 * period + 1, size, dtype=torch.float64)
        for place in range(2 * period + 1):
            for tap in range(place % 2, len(_low_pass()), 2):
                pixel = reflect(torch.tensor((place - tap) // 2), size)
                matrix[place, pixel] += _low_pass()[tap]
        return send(matrix.to(dtype), device)


@lru_cache(maxsize=16)
def _halving(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(2 size + 10, size): the weight of each place of the doubled signal in each pixel."""
    taps = torch.tensor(_low_pass(), dtype=torch.float64)
    with torch.inference_mode(False):
        matrix = torch.zeros(2 * size - 2 + len(taps), size, dtype=torch.float64)
        for pixel in range(size):
            matrix[2 * pixel : 2 * pixel + len(taps), pixel] = taps
        return send(matrix.to(dtype), device)


# grid_sample, which has no second derivative of its own ---------------------------------------------------------


def warp(images: Tensor, grid: Tensor) -> Tensor:
    """`torch.nn.functional.grid_sample`, bilinear, with corners aligned, whose gradients have gradients.

    It is linear in the images: its derivative is its transpose, and the derivative of that is itself. There is no
    gradient with respect to the grid.

    Args:
        images: (B, C, H, W).
        grid: (B, h, w, 2), (x, y) of which (-1, -1) is the first pixel and (1, 1) the last.
    Returns:
        (B, C, h, w).
    """
    return _Warp.apply(images, grid)


class _Warp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return torch.nn.functional.grid_sample(images, grid, align_corners=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _WarpTransposed.apply(gradients[0], grid, ctx.shape), None


class _WarpTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        images = values.new_zeros(()).expand(shape)  # only its shape matters where no gradient of the grid is asked for
        backward = torch.ops.aten.grid_sampler_2d_backward
        return backward(values, images, grid, 0, 0, True, [True, False])[0]  # bilinear, zeros outside, corners aligned

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Warp.apply(gradients[0], grid), None, None
