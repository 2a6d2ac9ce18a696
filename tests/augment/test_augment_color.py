"""ADA's colours against the matrices of the paper, its filters against SciPy's, its noise and holes by counting."""

import math

import numpy as np
import pytest
import torch
from augmenting import of_each_sample, pictures
from scipy.ndimage import convolve1d
from scipy.spatial.transform import Rotation

from gan_lab.augment import color, corruption, filtering
from gan_lab.sampling import Draws

V = np.ones(3) / math.sqrt(3)


def adjusted(images, *, brightness=0.0, contrast=1.0, luma=1.0, angle=0.0, saturation=1.0):
    given = {"brightness": brightness, "contrast": contrast, "luma": luma, "angle": angle, "saturation": saturation}
    return color.adjust(images, **{name: of_each_sample(value, dtype=images.dtype) for name, value in given.items()})


def pixel(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)


# Colours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, [0.1, 0.2, 0.6]),
        ({"brightness": 0.3}, [0.4, 0.5, 0.9]),
        ({"contrast": 2.0}, [0.2, 0.4, 1.2]),
        ({"luma": -1.0}, [-0.5, -0.4, 0.0]),  # less twice the mean, 0.3
        ({"angle": 2 * math.pi / 3}, [0.6, 0.1, 0.2]),
        ({"saturation": 2.0}, [-0.1, 0.1, 0.9]),
        ({"saturation": 0.0}, [0.3, 0.3, 0.3]),
    ],
    ids=str,
)
def test_one_colour(change, expected):
    assert adjusted(pixel(0.1, 0.2, 0.6), **change).flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"brightness": 0.25, "contrast": 2.0}, 1.0), ({"luma": -1.0}, -0.25), ({"angle": 2.0, "saturation": 3.0}, 0.25)],
)
def test_grey(change, expected):
    """As three equal channels: those of a grey picture stay equal, and are what becomes of the one channel."""
    assert adjusted(pixel(0.25), **change).flatten().tolist() == pytest.approx([expected])
    assert adjusted(pixel(0.25, 0.25, 0.25), **change).flatten().tolist() == pytest.approx([expected] * 3, abs=1e-6)


def test_the_order_of_colours():
    """Homogeneous matrices, multiplied as in appendix B: brightness first, saturation last."""
    shift, scale = np.eye(4), np.diag([1.7, 1.7, 1.7, 1])
    shift[:3, 3] = 0.2
    flip, turn, saturate = np.eye(4), np.eye(4), np.eye(4)
    flip[:3, :3] -= 2 * np.outer(V, V)
    turn[:3, :3] = Rotation.from_rotvec(0.9 * V).as_matrix()
    saturate[:3, :3] = np.outer(V, V) + 0.6 * (np.eye(3) - np.outer(V, V))
    matrix = saturate @ turn @ flip @ scale @ shift
    images = pictures(1, 3, 2, 2, dtype=torch.float64)
    points = np.concatenate([images[0].flatten(1).numpy(), np.ones((1, 4))])
    found = adjusted(images, brightness=0.2, contrast=1.7, luma=-1.0, angle=0.9, saturation=0.6)
    np.testing.assert_allclose(found[0].flatten(1).numpy(), (matrix @ points)[:3], atol=1e-12)


def test_spreads_of_colours():
    """Of grey pictures, one value each: 0.2 n at black tells brightness, the slope 2^(0.5 n) contrast."""
    black = torch.zeros(20000, 1, 1, 1)
    shift = color.recolor(black, torch.tensor(0.02), Draws(0))
    assert (shift != 0).float().mean().item() == pytest.approx(0.02, abs=0.003)
    assert shift[shift != 0].square().mean().sqrt().item() == pytest.approx(0.2, rel=0.1)
    pair = torch.tensor([-0.5, 0.5]).view(1, 1, 2, 1).expand(20000, -1, -1, -1)
    slope = color.recolor(pair, torch.ones(()), Draws(0)).diff(dim=2).flatten()
    assert (slope < 0).float().mean().item() == pytest.approx(0.5, abs=0.02), "a luma flip in one case of two"
    assert slope.abs().log2().std().item() == pytest.approx(0.5, rel=0.03)
    assert slope.abs().log2().mean().item() == pytest.approx(0.0, abs=0.02)


def test_hue_has_no_preferred_direction_and_saturation_its_spread():
    red = pixel(1.0, 0.0, 0.0).expand(20000, -1, -1, -1)
    out = color.recolor(red, torch.ones(()), Draws(0)).flatten(1)
    across = out - out.mean(1, keepdim=True)
    assert (across / across.norm(dim=1, keepdim=True)).mean(0).tolist() == pytest.approx([0, 0, 0], abs=0.02)
    spread = across.norm(dim=1).log2().std().item()
    assert spread == pytest.approx(math.hypot(1.0, 0.5), rel=0.03), "of saturation, and of contrast"


def test_alpha_stays():
    images = pictures(20, 4, 3, 3)
    out = color.recolor(images, torch.ones(()), Draws(0))
    assert torch.equal(out[:, 3], images[:, 3])
    assert torch.equal(out[:, :3], color.recolor(images[:, :3], torch.ones(()), Draws(0)))
    with pytest.raises(ValueError, match="pictures of 1, 3 or 4 channels, got 6"):
        color.recolor(pictures(1, 6, 3, 3), torch.ones(()), Draws(0))


# Bands ------------------------------------------------------------------------------------------------------------


def test_bands_share_the_spectrum():
    filters = np.stack(filtering.band_filters())
    assert filters.shape == (4, 43)
    np.testing.assert_allclose(filters, filters[:, ::-1], atol=1e-15)
    np.testing.assert_allclose(filters.sum(0), np.eye(43)[21], atol=1e-15)
    frequencies = np.array([0.0, 3 / 32, 3 / 16, 3 / 8, 0.5])  # of 0, and where bands are at home, of the Nyquist
    response = filters @ np.cos(2 * math.pi * np.outer(np.arange(43) - 21, frequencies))
    np.testing.assert_allclose(response[:, 0], [1, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(response[:, 4], [0, 0, 0, 1], atol=1e-12)
    assert response[1:, 1:4].argmax(0).tolist() == [0, 1, 2]
    assert response.min() > -1e-12


@pytest.mark.parametrize("size", [(24, 16), (5, 40), (1, 2)])
def test_equalizing_is_a_separable_convolution(size):
    images, gains = pictures(2, 3, *size, dtype=torch.float64), [[0.5, 2.0, 1.0, 3.0], [1.0, 1.0, 1.0, 1.0]]
    found = filtering.equalize(images, torch.tensor(gains, dtype=torch.float64).view(2, 4, 1, 1))
    kernel = np.array(gains[0]) @ np.stack(filtering.band_filters())
    expected = convolve1d(convolve1d(images[0].numpy(), kernel, axis=1, mode="mirror"), kernel, axis=2, mode="mirror")
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-12)
    torch.testing.assert_close(found[1], images[1], rtol=0, atol=1e-14)


def test_gains_keep_the_power_of_a_natural_picture(monkeypatch):
    """Band 2 alone by 2^1: t^2 = 4, all divided by sqrt(1 + 3 / 13)."""
    seen = []
    normal = [of_each_sample(n) for n in (-2.0, 1.0, 3.0, 0.5)]

    def draw(*chances: float) -> None:
        uniform = [of_each_sample(u) for u in chances]
        monkeypatch.setattr(filtering, "uniforms_and_normals", lambda *_, **__: (uniform, normal))

    draw(0.9, 0.1, 0.9, 0.9)
    monkeypatch.setattr(filtering, "equalize", lambda images, gains: seen.append(gains.flatten()) or images)
    filtering.amplify(pictures(1, 3, 4, 4), torch.tensor(0.5), Draws(0))
    scale = 1 / math.sqrt(1 + 3 / 13)
    assert seen[0].tolist() == pytest.approx([scale, 2 * scale, scale, scale])
    assert (seen[0].square() * torch.tensor([10.0, 1, 1, 1]) / 13).sum().item() == pytest.approx(1.0)
    draw(0.1, 0.9, 0.9, 0.1)
    filtering.amplify(pictures(1, 3, 4, 4), torch.tensor(0.5), Draws(0))
    first, last = 2**-2, 2**0.5  # one after the other, each with a scale of its own
    scale = 1 / math.sqrt((1 + 10 / 13 * (first**2 - 1)) * (1 + 1 / 13 * (last**2 - 1)))
    assert seen[1].tolist() == pytest.approx([first * scale, scale, scale, last * scale])


# Corruptions ------------------------------------------------------------------------------------------------------


def test_noise():
    images = torch.zeros(2000, 1, 6, 6)
    out = corruption.add_noise(images, torch.tensor(0.4), Draws(0))
    noisy = (out != 0).flatten(1).any(1)
    assert noisy.float().mean().item() == pytest.approx(0.4, abs=0.03)
    assert torch.equal(out[~noisy], images[~noisy])
    sigma = out[noisy].flatten(1).std(1)
    assert sigma.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.06), "|n| / 10, with E n^2 = 1"
    assert sigma.mean().item() == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.06)


def test_holes():
    """Half the height and width where they lie inside; centres are uniform, which says how often each pixel is hit."""
    images = torch.ones(20000, 1, 8, 16)
    out = corruption.cut_out(images, torch.ones(()), Draws(0))
    assert set(out.unique().tolist()) == {0.0, 1.0}
    areas = (out == 0).flatten(1).sum(1)
    assert areas.max() == 32
    assert areas.min() >= 8
    near = [min(1.0, 0.25 + (i + 0.5) / 8) - max(0.0, (i + 0.5) / 8 - 0.25) for i in range(8)]
    wide = [min(1.0, 0.25 + (i + 0.5) / 16) - max(0.0, (i + 0.5) / 16 - 0.25) for i in range(16)]
    expected = torch.tensor(near).view(-1, 1) * torch.tensor([min(w, 0.5) for w in wide])
    torch.testing.assert_close((out == 0).float().mean((0, 1)), expected, rtol=0, atol=0.015)
    some = corruption.cut_out(images, torch.tensor(0.3), Draws(0))
    assert (some == 0).flatten(1).any(1).float().mean().item() == pytest.approx(0.3, abs=0.01)
