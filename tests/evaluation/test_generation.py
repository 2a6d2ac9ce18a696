"""How trained generators are asked: truncation, standing statistics, pictures by class and between latents."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gan_lab.evaluation.generation import BOUNDS, asked, by_class, interpolations, mixtures, truncations
from gan_lab.networks.stylegan2 import StyleGAN2Generator
from gan_lab.runs.checkpoint import LoadedGenerator
from gan_lab.sample import draw_rows
from gan_lab.sampling import CodedInputs, Draws, LabelledInputs, LatentInputs
from gan_lab.sharing.marks import Mark


class Normed(nn.Module):
    """Batch norm of the latents, whose statistics are those of training: mean 5, variance 9."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.norm.running_mean.fill_(5.0)
        self.norm.running_var.fill_(9.0)
        self.eval()

    def forward(self, latents, labels=None):
        return self.norm(latents)


def loaded(network=None, inputs=None) -> LoadedGenerator:
    inputs = inputs or LatentInputs(3, "normal")
    return LoadedGenerator(network or Normed(), inputs, {}, 0, "ema", Path("x"), "generator")


def test_nothing_asked_for_is_nothing_changed():
    before = loaded()
    after = asked(before, truncation=None, standing_statistics=None)
    assert after.asked == {}
    assert after.network is before.network
    assert after.inputs is before.inputs


@pytest.mark.parametrize("bound", [0.5, 2.0])
def test_truncated_latents_are_normal_within_the_bound(bound):
    """The variance of N(0, 1) within (-b, b) is 1 - 2 b phi(b) / (2 Phi(b) - 1)."""
    after = asked(loaded(), truncation=bound, standing_statistics=None)
    latents = after.inputs.latents(Draws(0), 40000)
    assert latents.abs().max() <= bound
    within = math.erf(bound / 2**0.5)
    density = math.exp(-(bound**2) / 2) / (2 * math.pi) ** 0.5
    assert latents.var().item() == pytest.approx(1 - 2 * bound * density / within, rel=0.02)
    assert latents.mean().item() == pytest.approx(0, abs=0.01)
    assert after.asked == {"truncation": bound}
    assert loaded().inputs.bound is None


def test_noise_is_truncated_and_codes_are_not():
    inputs = CodedInputs(6, "normal", [3], 1)
    latents = asked(loaded(inputs=inputs), truncation=0.1, standing_statistics=None).inputs.latents(Draws(0), 500)
    assert latents[:, :2].abs().max() <= 0.1
    assert latents[:, 2:5].sum(1).tolist() == [1.0] * 500
    assert latents[:, 5].abs().max() > 0.5


def test_what_cannot_be_truncated():
    with pytest.raises(ValueError, match="bound of more than 0, got 0"):
        asked(loaded(), truncation=0, standing_statistics=None)
    with pytest.raises(ValueError, match="these are uniform"):
        asked(loaded(inputs=LatentInputs(3, "uniform")), truncation=1.0, standing_statistics=None)


def styled() -> StyleGAN2Generator:
    torch.manual_seed(0)
    given = {"w_dim": 8, "depth": 1, "width": 4, "max_width": 4, "w_average_decay": 0.9}
    network = StyleGAN2Generator(sample_shape=(1, 32, 32), latent_dim=3, **given)
    network.w_average.normal_()
    return network.eval().requires_grad_(False)


def test_styles_are_drawn_towards_their_mean():
    network, latents = styled(), torch.randn(4, 3)
    noise = torch.randn(4, network.noise_size)
    none = asked(loaded(network), truncation=1.0, standing_statistics=None).network(latents, noise=noise)
    torch.testing.assert_close(none, network(latents, noise=noise))
    mean = asked(loaded(network), truncation=0.0, standing_statistics=None).network(
        latents, noise=noise[:1].expand(4, -1)
    )
    torch.testing.assert_close(mean, mean[:1].expand(4, -1, -1, -1), msg="all are the mean picture")
    half = asked(loaded(network), truncation=0.5, standing_statistics=None).network(latents, noise=noise)
    expected = network.synthesis(
        (0.5 * network.w_average + 0.5 * network.mapping(latents))[:, None].expand(-1, network.num_layers, -1),
        noise=noise,
    )
    torch.testing.assert_close(half, expected)
    with pytest.raises(ValueError, match=r"from 0 to 1, got 1\.5"):
        asked(loaded(network), truncation=1.5, standing_statistics=None)


def test_truncated_styles_are_those_of_their_path_length():
    """`space=w` walks between outputs of `mapping`, which `synthesis` truncates."""
    network, latents = styled(), torch.randn(4, 3)
    noise = torch.randn(4, network.noise_size)
    half = asked(loaded(network), truncation=0.5, standing_statistics=None).network
    torch.testing.assert_close(half.synthesis(half.mapping(latents), noise=noise), half(latents, noise=noise))
    torch.testing.assert_close(half.mapping(latents), network.mapping(latents))


def test_standing_statistics_are_those_of_many_samples():
    before = loaded()
    after = asked(before, truncation=None, standing_statistics={"batches": 200, "batch_size": 50})
    norm = after.network.norm
    assert norm.running_mean.tolist() == pytest.approx([0.0] * 3, abs=0.03)
    assert norm.running_var.tolist() == pytest.approx([1.0] * 3, abs=0.04)
    assert norm.momentum == 0.1
    assert not norm.training
    assert after.asked == {"standing_statistics": {"batches": 200, "batch_size": 50}}
    again = asked(loaded(), truncation=None, standing_statistics={"batches": 200, "batch_size": 50}).network.norm
    assert torch.equal(again.running_mean, norm.running_mean), "the same for the same command"


def test_standing_statistics_are_exact():
    """Without TF32 and autocast, whatever the process has; random states stay."""
    seen, state = [], torch.get_rng_state()

    class Asking(Normed):
        def forward(self, latents, labels=None):
            seen.append((torch.get_float32_matmul_precision(), torch.is_autocast_enabled("cpu")))
            return super().forward(latents)

    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu"):
            asked(loaded(Asking()), truncation=None, standing_statistics={"batches": 1, "batch_size": 2})
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == [("highest", False)]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("settings", [{"batches": 0, "batch_size": 4}, {"batches": 3, "batch_size": 1}])
def test_bad_standing_statistics(settings):
    with pytest.raises(ValueError, match="batches >= 1 and batch_size >= 2"):
        asked(loaded(), truncation=None, standing_statistics=settings)


def test_standing_statistics_of_no_batch_norm():
    with pytest.raises(ValueError, match="batch normalization, which this generator has not"):
        asked(loaded(nn.Linear(3, 3)), truncation=None, standing_statistics={"batches": 1, "batch_size": 2})


def test_dropout_goes_on_where_it_is_asked_for():
    """A third of the values is left out and the others grow by a half, in eval mode, anew at each call."""
    network = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Dropout(1 / 3), nn.Dropout(0.0))).eval()
    after = asked(loaded(network), truncation=None, standing_statistics=None, dropout=True)
    assert after.asked == {"dropout": True}
    values = torch.ones(6000)
    with torch.no_grad():
        first, second = (after.network.eval()[1](values) for _ in range(2))
    assert (first == 0).float().mean() == pytest.approx(1 / 3, abs=0.03)
    assert first.unique().tolist() == [0, pytest.approx(1.5)]
    assert not torch.equal(first, second)
    with pytest.raises(ValueError, match="dropout=true is of networks with dropout, and this generator has none"):
        asked(loaded(nn.Sequential(nn.Dropout(0.0))), truncation=None, standing_statistics=None, dropout=True)


def test_rows_of_classes_share_their_latents():
    rows = by_class(loaded(inputs=LabelledInputs(3, "normal", 4, "uniform")), seed=1)
    assert [row["labels"].unique().tolist() for row in rows] == [[0], [1], [2], [3]]
    assert all(torch.equal(row["latents"], rows[0]["latents"]) for row in rows)
    coded = by_class(loaded(inputs=CodedInputs(6, "normal", [3], 1)), seed=1)
    assert [row["latents"][:, 2:5].argmax(1).unique().tolist() for row in coded] == [[0], [1], [2]]
    assert all(torch.equal(row["latents"][:, :2], coded[0]["latents"][:, :2]) for row in coded)
    with pytest.raises(ValueError, match="needs a conditional generator"):
        by_class(loaded(), seed=0)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_rows_lead_from_latent_to_latent(distribution):
    inputs = LabelledInputs(5, distribution, 4, "uniform")
    ends = inputs.draw(Draws(2, across_ranks=False), 16)
    rows = interpolations(loaded(inputs=inputs), seed=2)
    assert len(rows) == 8
    for index, row in enumerate(rows):
        torch.testing.assert_close(row["latents"][0], ends["latents"][2 * index])
        torch.testing.assert_close(row["latents"][-1], ends["latents"][2 * index + 1])
        assert row["labels"].tolist() == [ends["labels"][2 * index].item()] * 9
        middle = row["latents"][4]
        first, last = row["latents"][0], row["latents"][-1]
        if distribution == "uniform":
            torch.testing.assert_close(middle, (first + last) / 2)
        else:
            assert middle.norm().item() == pytest.approx(((first.norm() + last.norm()) / 2).item(), rel=1e-5)


def test_rows_between_codes_stay_within_their_range():
    inputs = CodedInputs(6, "normal", [3], 1)
    ends = inputs.draw(Draws(2, across_ranks=False), 16)["latents"]
    for index, row in enumerate(interpolations(loaded(inputs=inputs), seed=2)):
        torch.testing.assert_close(row["latents"][4, 2:], (ends[2 * index, 2:] + ends[2 * index + 1, 2:]) / 2)
        lengths = (ends[2 * index, :2].norm() + ends[2 * index + 1, :2].norm()) / 2
        assert row["latents"][4, :2].norm().item() == pytest.approx(lengths.item(), rel=1e-5)


@pytest.mark.parametrize("truncation", [None, 0.5])
def test_a_row_between_styles_has_one_noise(truncation):
    network = styled()
    rows = interpolations(asked(loaded(network), truncation=truncation, standing_statistics=None), seed=2)
    noises = [row["noise"] for row in rows]
    assert all(
        noise.shape == (9, network.noise_size) and torch.equal(noise, noise[:1].expand(9, -1)) for noise in noises
    )
    assert not torch.equal(noises[0][0], noises[1][0])


class OwnNoise(nn.Module):
    """Pictures of two latents, with noise of its own that nobody can give it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, latents):
        return (latents[:, :2].view(-1, 1, 1, 2).tanh() + 0.3 * torch.randn(len(latents), 1, 4, 2)) * self.weight


def strip(network, tmp_path, monkeypatch):
    """(rows, columns, H, W) pixels of a strip whose latents stand still, as the command draws it."""
    monkeypatch.setattr(LatentInputs, "between", lambda self, first, second, t: first)
    draw_rows(loaded(network), interpolations(loaded(network), seed=2), tmp_path / "strip.png", Mark("", 2))
    page = torch.from_numpy(np.array(Image.open(tmp_path / "strip.png"))).float()
    height, width = ((side - 2) // count for side, count in zip(page.shape[:2], (8, 9), strict=True))
    return page[2:, 2:].unfold(0, height - 2, height).unfold(1, width - 2, width)


@pytest.mark.parametrize("kind", ["given", "own"])
def test_noise_stands_still_along_a_strip(kind, tmp_path, monkeypatch):
    """What moves from column to column is the latent alone: where it stands still, so does the picture."""
    network = OwnNoise()
    if kind == "given":
        network = styled()
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                nn.init.constant_(parameter, 1.0)
    pixels = strip(network, tmp_path, monkeypatch)
    assert all(torch.equal(pixels[row], pixels[row, :1].expand_as(pixels[row])) for row in range(8))
    assert not torch.equal(pixels[0, 0], pixels[1, 0])
    assert pixels[0, 0].std() > 0


def test_styles_are_mixed_by_rows_and_columns():
    """Coarse layers of the row's w and fine ones of the column's; each latent's own on the diagonal."""
    network = styled()
    rows = mixtures(loaded(network), seed=2)
    w = network.mapping(Draws(2, across_ranks=False).normal("latents", 9, (3,)))
    half = network.num_layers // 2
    for row, arguments in enumerate(rows):
        assert arguments["w"].shape == (9, network.num_layers, 8)
        assert torch.equal(arguments["w"][:, :half], w[row].expand(9, half, -1))
        assert torch.equal(arguments["w"][:, half:], w[:, None].expand(-1, network.num_layers - half, -1))
        assert torch.equal(arguments["noise"], rows[0]["noise"])
    with pytest.raises(ValueError, match=r"pictures=\[mixing\] mixes styles, and Normed has none"):
        mixtures(loaded(), seed=0)


def test_truncation_grows_along_a_row():
    network = styled()
    rows = truncations(loaded(network), seed=2)
    for row in rows:
        away = row["w"] - network.w_average
        torch.testing.assert_close(away, torch.linspace(0, 1, 9)[:, None, None] * away[-1])
    latents = truncations(loaded(inputs=LabelledInputs(3, "normal", 4, "uniform")), seed=2)[5]
    assert (latents["latents"].abs().amax(1) <= torch.tensor(BOUNDS)).all()
    assert (latents["latents"].abs().diff(dim=0) > 0).all()
    assert len(latents["labels"].unique()) == 1
    with pytest.raises(ValueError, match=r"leave truncation=\.\.\. out"):
        truncations(asked(loaded(network), truncation=0.5, standing_statistics=None), seed=2)
