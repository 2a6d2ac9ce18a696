"""Perceptual path length: linear generators, arcs and straight lines, whose speeds are known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gan_lab.data.images import from_uint8, to_uint8
from gan_lab.metrics.base import Block
from gan_lab.metrics.path_length import PathLength, as_seen, without_tails
from gan_lab.sampling import Draws, linear, spherical


class Squares:
    """Squared distance, averaged over the channels and summed over pixels; it wants three channels in floats."""

    name = "squares"

    def distances(self, first, second):
        assert first.is_floating_point()
        assert first.shape[1] == 3
        return (first - second).square().mean(dim=1).sum(dim=(1, 2))


class Rounded(Squares):
    """The trap: through the 256 levels of a file."""

    def distances(self, first, second):
        return super().distances(from_uint8(to_uint8(first)), from_uint8(to_uint8(second)))


class Linear(nn.Module):
    """G(z) = scale z as a grey picture of 2x2; by class, where there are labels."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale, self.seen = scale, []

    def forward(self, latents, labels=None):
        self.seen.append(labels)
        by_class = 1 if labels is None else (1 + labels)[:, None]
        return (self.scale * by_class * latents).unflatten(1, (1, 2, 2))


class Mapped(Linear):
    """G(z) = synthesis(mapping(z)), mapping a doubling and a shift, synthesis the picture plus the noise."""

    def mapping(self, latents):
        return 2 * latents + 1

    def synthesis(self, w, noise=0.0):
        return self.scale * w.unflatten(1, (1, 2, 2)) + noise

    def forward(self, latents, **others):
        return self.synthesis(self.mapping(latents), **others)


def latents(count: int = 8, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(0)).to(dtype)


def block_of(network, arguments, *, count=None, extractor=None, index: int = 0) -> Block:
    draws = Draws(0, across_ranks=False)
    draws.move_to(index)
    size = len(next(iter(arguments.values()), ()))
    images = torch.zeros(size, 1, 2, 2, dtype=torch.uint8)
    return Block(
        network, arguments, draws, None, images, count or size, torch.device("cpu"), extractor=extractor or Squares()
    )


def made(space: str, endpoints: str = "end", epsilon: float = 1e-4) -> PathLength:
    return PathLength(space=space, endpoints=endpoints, epsilon=epsilon, extractor="squares")


def next_of(values: torch.Tensor) -> torch.Tensor:
    return torch.cat([values[1:], values[:1]])


@pytest.mark.parametrize("endpoints", ["end", "full"])
def test_straight_lines_in_w(endpoints):
    # |d/dt scale (w + t (w' - w))|^2 = scale^2 |w' - w|^2 at any t, and w' - w = 2 (z' - z).
    z = latents()
    expected = (0.5 * 2) ** 2 * (next_of(z) - z).square().sum(dim=1)
    metric = made("w", endpoints)
    metric.update(metric.probe(block_of(Mapped(0.5), {"latents": z})))
    assert metric.values("probe").tolist() == pytest.approx(expected.tolist(), rel=1e-9)
    assert metric.compute() == pytest.approx({"": expected.mean().item(), "_mean": expected.mean().item()}, rel=1e-9)


@pytest.mark.parametrize("endpoints", ["end", "full"])
def test_arcs_of_equal_lengths_in_z(endpoints):
    z = 3 * torch.eye(4, dtype=torch.float64)  # a quarter turn to the next, at radius 3: speed 3 pi / 2
    lengths = made("z", endpoints).probe(block_of(Linear(0.5), {"latents": z}))
    assert lengths.tolist() == pytest.approx(4 * [(0.5 * 3 * math.pi / 2) ** 2], rel=1e-6)


def test_arcs_of_different_lengths_in_z():
    # From radius 1 to radius 3 and back, a sixth of a turn: speed^2 (3 - 1)^2 + (radius pi / 3)^2.
    z = torch.tensor([[1.0, 0, 0, 0], [1.5, 1.5 * 3**0.5, 0, 0]], dtype=torch.float64)
    lengths = made("z").probe(block_of(Linear(), {"latents": z}))
    assert lengths.tolist() == pytest.approx([4 + (math.pi / 3) ** 2, 4 + math.pi**2], rel=1e-3)


def test_the_arc_itself():
    first, second = latents(5), next_of(latents(5))
    t = torch.full((5,), 0.25, dtype=torch.float64)
    ends = [spherical(first, second, torch.full((5,), float(end)).double()) for end in (0, 1)]
    assert torch.allclose(ends[0], first, rtol=0, atol=1e-12)
    assert torch.allclose(ends[1], second, rtol=0, atol=1e-12)
    point = spherical(first, second, t)
    angle = torch.acos(torch.cosine_similarity(first, second))
    assert torch.allclose(torch.acos(torch.cosine_similarity(first, point)), angle / 4, atol=1e-9)
    assert torch.allclose(point.norm(dim=1), 0.75 * first.norm(dim=1) + 0.25 * second.norm(dim=1))
    assert torch.allclose(linear(first, second, t), 0.75 * first + 0.25 * second)
    assert torch.allclose(spherical(first, first, t), first, atol=1e-6)  # parallel: no direction across


def test_float_latents_are_good_for_a_thousandth_and_levels_are_off_by_two_orders():
    z = latents(4096, torch.float32)
    network = Mapped(0.05)
    expected = 0.1**2 * (next_of(z) - z).square().sum(dim=1).mean().item()
    in_floats = made("w", "full").probe(block_of(network, {"latents": z})).mean().item()
    assert in_floats == pytest.approx(expected, rel=0.01)
    rounded = made("w", "full").probe(block_of(network, {"latents": z}, extractor=Rounded())).mean().item()
    assert rounded > 100 * expected  # few pixels change their level, and they are all there is


def test_t_is_uniform_and_a_function_of_the_block_alone():
    # G(z) = z^2 on a line from 0 to 1 in each pixel: speed^2 = 4 (2 t)^2, whose mean over t is 16 / 3.
    class Square(Mapped):
        def mapping(self, latents):
            return latents

        def synthesis(self, w):
            return w.unflatten(1, (1, 2, 2)) ** 2

    z = (
        torch.cat([torch.zeros(4000, 4), torch.ones(4000, 4)])
        .double()
        .view(2, 4000, 4)
        .transpose(0, 1)
        .reshape(8000, 4)
    )
    metric, network = made("w", "full"), Square()
    first = metric.probe(block_of(network, {"latents": z}))
    assert first.mean().item() == pytest.approx(16 / 3, rel=0.05)
    assert made("w", "end").probe(block_of(network, {"latents": z}))[::2].mean().item() == pytest.approx(0, abs=1e-6)
    used = block_of(network, {"latents": z})
    used.draws.uniform("pplx_other t", 3, ())
    used.draws.uniform("ppl_wfull t", 3, ())  # the same metric in another space of features
    torch.rand(3)
    again = made("w", "full").probe(block_of(network, {"latents": z}))
    assert torch.equal(first, again)
    assert not torch.equal(first, metric.probe(block_of(network, {"latents": z}, index=1)))


def test_two_metrics_of_one_name_see_the_same_paths():
    z, network = latents(), Mapped()
    shared = block_of(Mapped(), {"latents": z})
    assert torch.equal(made("w", "full").probe(shared), made("w", "full").probe(shared))
    assert shared.draws.state_dict() == block_of(network, {"latents": z}).draws.state_dict()


def test_labels_are_the_samples_own_at_both_ends():
    z, labels, network = 3 * torch.eye(4, dtype=torch.float64), torch.tensor([0, 1, 0, 2]), Linear()
    lengths = made("z", "full").probe(block_of(network, {"latents": z, "labels": labels}))
    assert all(torch.equal(seen, labels) for seen in network.seen)
    assert lengths.tolist() == pytest.approx([(by * 3 * math.pi / 2) ** 2 for by in (1, 2, 1, 3)], rel=1e-6)


def test_noise_is_the_same_at_both_ends():
    class Noisy(Linear):
        def forward(self, latents):
            return super().forward(latents) + torch.randn(len(latents), 1, 2, 2)

    z = 3 * torch.eye(4, dtype=torch.float64)
    assert made("z").probe(block_of(Noisy(), {"latents": z})).max().item() == pytest.approx(
        (1.5 * math.pi) ** 2, rel=1e-6
    )
    given = {"latents": latents(), "noise": latents().view(8, 1, 2, 2)}
    expected = made("w").probe(block_of(Mapped(), {"latents": latents()}))
    assert torch.allclose(made("w").probe(block_of(Mapped(), given)), expected, rtol=1e-6)


def test_rows_that_count():
    z = latents()
    every = made("z", "full").probe(block_of(Linear(), {"latents": z}))
    assert torch.equal(made("z", "full").probe(block_of(Linear(), {"latents": z}, count=3)), every[:3])


def test_tails():
    values = np.random.RandomState(0).permutation(201).astype(float)
    assert sorted(without_tails(values)) == list(range(2, 199))  # 1 % of the 200 steps between the ends is 2
    values = np.random.RandomState(0).permutation(151).astype(float)
    assert sorted(without_tails(values)) == list(range(1, 150))  # 1.5: the next lower; 148.5: the next higher
    assert len(without_tails(np.arange(100.0))) == 100
    metric = made("z")
    metric.update(torch.cat([torch.ones(200), torch.tensor([1e6])]).double())
    assert metric.compute() == {"": 1.0, "_mean": pytest.approx((200 + 1e6) / 201)}


def test_large_images_are_averaged_by_whole_factors():
    image = torch.arange(512.0 * 512).view(1, 1, 512, 512)
    seen = as_seen(image)
    assert seen.shape == (1, 3, 256, 256)
    assert seen[0, 2, 0, 0] == (0 + 1 + 512 + 513) / 4
    assert as_seen(torch.zeros(1, 3, 511, 600)).shape == (1, 3, 511, 600)


def test_protocols_and_names():
    assert made("z", "full").name == "ppl_zfull"
    assert made("w", "end").name == "ppl_wend"
    assert made("w", "end").protocol() != made("w", "full").protocol()


def test_refusals():
    with pytest.raises(ValueError, match="got 'x'"):
        made("x")
    with pytest.raises(ValueError, match="got 'middle'"):
        made("z", "middle")
    with pytest.raises(ValueError, match="got 0"):
        made("z", epsilon=0)
    z = {"latents": latents()}
    with pytest.raises(ValueError, match="`mapping` and `synthesis`, which Linear has not"):
        made("w").probe(block_of(Linear(), z))
    with pytest.raises(ValueError, match="images of files"):
        made("z").probe(block_of(None, {}))
    with pytest.raises(ValueError, match="block_size must be 2"):
        made("z").probe(block_of(Linear(), {"latents": latents(1)}))
    with pytest.raises(ValueError, match="an extractor with distances"):
        made("z").probe(block_of(Linear(), z, extractor=nn.Identity()))
    with pytest.raises(ValueError, match=r"the generator made \(8, 4\)"):
        made("z").probe(block_of(Points(), z))
    metric = made("z")
    metric.update(torch.tensor([1.0, math.nan]))
    with pytest.raises(ValueError, match="1 of 2 rows of path lengths"):
        metric.compute()


class Points(nn.Module):
    def forward(self, latents):
        return latents
