"""Memorization: a hand-worked line of points, copies, twins, noise, and the picture of pairs."""

import numpy as np
import pytest
import torch

from gan_lab.metrics.memorization import GAP, Memorization, authentic
from gan_lab.metrics.reference import Reference, ReferenceStatistics

SIZE = 4


def normal(count: int, columns: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(seed))


def pictures(count: int, channels: int = 1, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, channels, SIZE, SIZE), dtype=torch.uint8, generator=generator)


def fed(real, fake, real_images, fake_images) -> Memorization:
    metric = Memorization(extractor=None)
    metric.set_reference(Reference(ReferenceStatistics.from_features(real), real_images.numpy(), None))
    for block in range(0, len(fake), 7):
        metric.update(fake[block : block + 7], fake_images[block : block + 7])
    return metric


def scored(real: torch.Tensor, fake: torch.Tensor) -> dict[str, float]:
    return fed(real, fake, pictures(len(real)), pictures(len(fake), seed=1)).compute()


def test_hand_worked():
    # The distances of 0, 1, 10 to their nearest are 1, 1, 9. The nearest of 0.5, -2, 19, 20 are 0 or 1, 0, 10, 10, at
    # 0.5, 2, 9, 10: the second and the fourth are farther than that.
    result = scored(torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[0.5], [-2.0], [19.0], [20.0]]))
    assert result == {"": 50.0, "_identical": 0.0, "_distance": pytest.approx((0.5 + 2 + 9 + 10) / 4, abs=1e-12)}


def test_equals_a_plain_double_loop():
    real, fake = normal(60).double(), normal(40, seed=1).double()
    count = 0
    for sample in fake:
        distances = [(sample - point).norm().item() for point in real]
        nearest = int(np.argmin(distances))
        own = min((real[nearest] - point).norm().item() for i, point in enumerate(real) if i != nearest)
        count += distances[nearest] > own
    assert 0 < count < 40
    assert scored(real, fake)[""] == pytest.approx(100 * count / 40, abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_copies_of_training_images_are_not_authentic(offset):
    real = normal(50, 64) + offset
    real = torch.cat([real, real[:5]])  # twins, at distance 0 from each other
    images = pictures(50)
    images = torch.cat([images, images[:5]])
    chosen = torch.arange(30).flip(0)
    result = fed(real, real[chosen], images, images[chosen]).compute()
    assert result == {"": 0.0, "_identical": 100.0, "_distance": 0.0}


def test_fresh_samples_are_between_copies_and_noise():
    real = normal(1000, 2)
    assert scored(real, normal(1000, 2, seed=1))[""] == pytest.approx(40, abs=8)
    assert scored(real, 100 * normal(200, 2, seed=1))[""] > 95
    assert scored(real, real[:200] + 1e-4 * normal(200, 2, seed=1))[""] < 5


def test_identical_is_of_bytes_alone():
    images = pictures(20)
    fakes = images[:8].clone()
    fakes[2, 0, 1, 1] ^= 1
    result = fed(normal(20), normal(8, seed=1), images, fakes).compute()
    assert result["_identical"] == pytest.approx(100 * 7 / 8, abs=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_shows_the_closest_first_beside_their_training_images(channels):
    real = torch.arange(30.0)[:, None].square()
    # By distance over the neighbour's own: sample 19 copies 7, sample 3 is 0.1 of 11 - 10 away from 121 (its own
    # nearest is 21 away), the others are far off.
    fake = torch.full((20, 1), 1e4) + torch.arange(20.0)[:, None]
    fake[19], fake[3] = 49.0, 123.1
    real_images, fake_images = pictures(30, channels), pictures(20, channels, seed=1)
    metric = fed(real, fake, real_images, fake_images)
    metric.compute()
    (name, page), *others = metric.pictures().items()
    assert (name, others, page.dtype) == ("neighbours", [], torch.uint8)
    assert page.shape == (3, 4 * (SIZE + GAP) + GAP, 4 * (2 * SIZE + GAP) + GAP)

    def cell(place: int) -> torch.Tensor:
        return page[:, GAP : GAP + SIZE, GAP + place * SIZE :][:, :, :SIZE]

    assert torch.equal(cell(0), fake_images[19].expand(3, -1, -1))
    assert torch.equal(cell(1), real_images[7].expand(3, -1, -1))
    second = page[:, GAP : GAP + SIZE, 2 * GAP + 2 * SIZE :][:, :, : 2 * SIZE]
    assert torch.equal(second, torch.cat([fake_images[3], real_images[11]], dim=2).expand(3, -1, -1))
    assert page[:, :GAP].eq(255).all()


def test_few_samples_make_a_small_picture():
    metric = fed(normal(9), normal(2, seed=1), pictures(9, 3), pictures(2, 3, seed=1))
    metric.compute()
    assert metric.pictures()["neighbours"].shape == (3, SIZE + 2 * GAP, 2 * (2 * SIZE + GAP) + GAP)


def test_another_reference_is_measured_anew():
    metric = fed(normal(20), normal(10, seed=1), pictures(20), pictures(10, seed=1))
    metric.compute()
    real, images = normal(30, seed=2), pictures(30, seed=2)
    metric.set_reference(Reference(ReferenceStatistics.from_features(real), images.numpy(), None))
    metric.reset()
    metric.update(real[:10], images[:10])
    assert metric.compute() == {"": 0.0, "_identical": 100.0, "_distance": 0.0}


def test_equally_far_is_not_authentic():
    two = torch.tensor([2.0, 2.0, 0.0])
    assert authentic(distances=two, real_distances=torch.tensor([2.0, 1.0, 0.0])).tolist() == [False, True, False]


def test_refuses_images_of_another_shape():
    with pytest.raises(ValueError, match=r"samples are \(1, 4, 4\), images of the reference \(3, 4, 4\)"):
        fed(normal(20), normal(8, seed=1), pictures(20, 3), pictures(8)).compute()
