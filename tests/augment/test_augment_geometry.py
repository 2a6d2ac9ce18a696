"""ADA's flips, turns and shifts against NumPy's; its warp against pictures whose every place is known."""

import math

import numpy as np
import pytest
import torch
from augmenting import of_each_sample, pictures
from torch.nn.functional import grid_sample

from gan_lab.augment import geometry
from gan_lab.sampling import Draws

NO = of_each_sample(0.0)


def moved(image, mirror=1, turns=0, right=0, down=0):
    values = (torch.tensor(value).view(1, 1, 1, 1) for value in (mirror, turns, right, down))
    return geometry.move(image, *values)


# Whole pixels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (6, 4)])
def test_a_flip_flips(size):
    image = pictures(2, 3, *size)
    assert torch.equal(moved(image, mirror=-1), image.flip(3))
    assert torch.equal(moved(image), image)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [4, 5])
def test_quarter_turns(turns, size):
    image = pictures(2, 3, size, size)
    assert torch.equal(moved(image, turns=turns), image.rot90(turns, (2, 3)))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_of_a_picture_that_is_not_square(turns):
    """Padded to a square by reflection, turned, and cut."""
    image = pictures(1, 1, 6, 4)
    square = np.pad(image[0, 0].numpy(), ((4, 4), (5, 5)), mode="reflect")
    expected = np.rot90(square, turns)[4:10, 5:9]
    assert np.array_equal(moved(image, turns=turns)[0, 0].numpy(), expected)
    assert moved(pictures(1, 1, 5, 4), turns=turns).shape == (1, 1, 5, 4)


@pytest.mark.parametrize(("right", "down"), [(2, 0), (0, -1), (-3, 2)])
def test_shifts_reflect(right, down):
    image = pictures(1, 1, 7, 5)
    padded = np.pad(image[0, 0].numpy(), 4, mode="reflect")
    expected = padded[4 - down : 11 - down, 4 - right : 9 - right]
    assert np.array_equal(moved(image, right=right, down=down)[0, 0].numpy(), expected)


def test_mirrored_then_turned_then_shifted():
    image = pictures(1, 3, 8, 8)
    expected = moved(moved(moved(image, mirror=-1), turns=1), right=2, down=1)
    assert torch.equal(moved(image, mirror=-1, turns=1, right=2, down=1), expected)
    assert not torch.equal(moved(moved(image, turns=1), mirror=-1), moved(image, mirror=-1, turns=1))


def test_blitting_at_full_probability_prefers_no_side():
    """Over all draws, a pixel's mean place is spread over the eight symmetries and all shifts, each as likely."""
    image = torch.zeros(1, 1, 8, 8)
    image[..., 1, 2] = 1.0
    found = geometry.blit(image.expand(20000, -1, -1, -1), torch.ones(()), Draws(0)).mean(0, keepdim=True)
    shifts = {-1: 0.25, 0: 0.5, 1: 0.25}  # of 8 pixels, by a uniform part in [-1/8, 1/8), rounded
    expected = sum(
        share * other / 8 * moved(image, mirror, turns, right, down)
        for mirror in (1, -1)
        for turns in range(4)
        for right, share in shifts.items()
        for down, other in shifts.items()
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=0.006)


# Between pixels ---------------------------------------------------------------------------------------------------


def wave(rows: torch.Tensor, columns: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Equal to its reflection at the outermost pixels, hence known at every place."""
    y, x = math.pi * rows / (height - 1), math.pi * columns / (width - 1)
    return 0.5 * torch.cos(3 * x) * torch.cos(y) + 0.3 * torch.cos(2 * y) - 0.2 * torch.cos(x)


def wave_under(inverse: np.ndarray, right: float, down: float, height: int, width: int) -> torch.Tensor:
    """(H, W): the wave after a map about the middle and a shift."""
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    places = torch.stack([x, y], -1) - middle - torch.tensor([right, down], dtype=torch.float64)
    read = places @ torch.tensor(inverse, dtype=torch.float64).T + middle
    return wave(read[..., 1], read[..., 0], height, width)


def rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def still_wave(height, width):
    return wave_under(np.eye(2), 0, 0, height, width).view(1, 1, height, width)


@pytest.mark.parametrize("size", [(32, 32), (24, 37)])
@pytest.mark.parametrize(
    "inverse",
    [np.eye(2), rotation(math.pi), rotation(0.7), 1.3 * np.eye(2), np.diag([0.8, 1.25]) @ rotation(-2.0)],
    ids=["still", "half_turn", "turned", "smaller", "stretched"],
)
@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.5, -3.25)])
def test_a_wave_is_where_it_should_be(size, inverse, shift):
    given = [of_each_sample(value, dtype=torch.float64) for value in inverse.flatten()]
    right, down = (of_each_sample(value, dtype=torch.float64) for value in shift)
    found = geometry.resample(still_wave(*size), tuple(given), right, down)[0, 0]
    torch.testing.assert_close(found, wave_under(inverse, *shift, *size), rtol=0, atol=0.01)


@pytest.mark.parametrize("size", [(9, 12), (4, 4), (1, 3), (2, 1)])
def test_what_is_doubled_and_halved_is_the_same(size):
    """And shifts by whole pixels are exact, at the edges too."""
    image = pictures(1, 3, *size, dtype=torch.float64)
    still = tuple(of_each_sample(value, dtype=torch.float64) for value in (1, 0, 0, 1))
    for right, down in ((0, 0), (2, -3)):
        shift = (of_each_sample(value, dtype=torch.float64) for value in (right, down))
        found = geometry.resample(image, still, *shift)
        torch.testing.assert_close(found, moved(image, right=right, down=down), rtol=0, atol=1e-9)


def test_transformations_in_their_order(monkeypatch):
    """Scaled by 2^0.2, turned by 36 degrees, stretched by 2^-0.1, turned by 72, shifted by parts of both sizes."""
    height, width = 24, 32
    uniform, normal = (0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.2), (1.0, -0.5, 0.5, -1.0)
    drawn = tuple([of_each_sample(value, dtype=torch.float64) for value in values] for values in (uniform, normal))
    monkeypatch.setattr(geometry, "uniforms_and_normals", lambda *_, **__: drawn)
    found = geometry.transform(still_wave(height, width), torch.tensor(0.5), Draws(0))[0, 0]
    stretch = np.diag([2**-0.1, 2**0.1])
    forward = rotation(0.4 * math.pi) @ stretch @ rotation(0.2 * math.pi) @ (2**0.2 * np.eye(2))
    expected = wave_under(np.linalg.inv(forward), 0.5 * 0.125 * width, -0.125 * height, height, width)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.01)


def test_a_rotation_in_all_has_the_probability_of_the_others(monkeypatch):
    """1 - (1 - p_rot)^2 = p, of pictures for which nothing else was drawn."""
    chance = torch.linspace(0, 1, 10001)[:-1].view(-1, 1, 1, 1)
    never, angle = torch.full_like(chance, 1.0), torch.full_like(chance, 0.25)
    first = [never, chance, never, never, never, angle, angle]
    none = [torch.zeros_like(chance)] * 4
    monkeypatch.setattr(geometry, "uniforms_and_normals", lambda *_, **__: (first, none))
    images = pictures(10000, 1, 4, 4)
    turned = (geometry.transform(images, torch.tensor(0.36), Draws(0)) != images).any(3).any(2).any(1)
    assert turned.float().mean().item() == pytest.approx(0.2, abs=1e-3), "1 - sqrt(1 - 0.36)"


# The warp itself --------------------------------------------------------------------------------------------------


def some_grid(*shape):
    return 1.2 * pictures(*shape, 2, dtype=torch.float64)


def test_the_warp_is_grid_sample():
    images, grid = pictures(2, 3, 5, 6, dtype=torch.float64).requires_grad_(), some_grid(2, 4, 7)
    ours, torchs = geometry.warp(images, grid), grid_sample(images, grid, align_corners=True)
    assert torch.equal(ours, torchs)
    weights = torch.randn_like(ours)
    pair = [torch.autograd.grad((values * weights).sum(), images)[0] for values in (ours, torchs)]
    assert torch.equal(*pair)


def test_the_warp_has_derivatives_of_any_order():
    images, grid = pictures(2, 2, 3, 4, dtype=torch.float64).requires_grad_(), some_grid(2, 3, 3)
    weights = pictures(2, 2, 3, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: geometry.warp(x, grid), images)
    assert torch.autograd.gradgradcheck(lambda x: geometry.warp(x, grid).pow(3), images)
    assert torch.autograd.gradcheck(lambda values: geometry._WarpTransposed.apply(values, grid, images.shape), weights)
    assert torch.autograd.gradgradcheck(
        lambda values: geometry._WarpTransposed.apply(values, grid, images.shape).pow(3), weights
    )
