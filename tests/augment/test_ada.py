"""ADA: how often it acts, what it leaves alone, its gradients; p by hand, over ranks and after a resume."""

import contextlib
import itertools
import math

import pytest
import torch
from augmenting import over_ranks, pictures
from ranks import started
from tiny import fit, settings
from torch import nn

from gan_lab import collectives
from gan_lab.augment.ada import ADA, GROUPS
from gan_lab.augment.apa import APA
from gan_lab.callbacks.checkpointing import Checkpointing
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.models.lsgan import LSGAN
from gan_lab.models.wgan import WGAN
from gan_lab.sampling import Draws
from gan_lab.schedules import Ramp

ALL = dict.fromkeys(GROUPS, 1.0)


def fixed(p=0.5, groups=ALL) -> ADA:
    return ADA(groups, p=p, target=None, interval=4, kimg=500, batch_size=8)


def adaptive(p=0.0, target=0.6, interval=2, kimg=0.1, batch_size=4) -> ADA:
    """Its p moves by 2 * 4 / 100 = 0.08 after each 8 images."""
    return ADA({"blit": 1.0}, p=p, target=target, interval=interval, kimg=kimg, batch_size=batch_size)


# What comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 1, 8, 8), (12, 3, 9, 16), (12, 4, 6, 5), (12, 3, 1, 2)], ids=str)
def test_nothing_happens_at_zero(shape):
    images = pictures(*shape)
    assert torch.equal(fixed(p=0.0)(images, Draws(0)), images)


@pytest.mark.parametrize("shape", [(12, 1, 8, 8), (12, 3, 9, 16), (12, 4, 6, 5)], ids=str)
def test_everything_happens_at_one(shape):
    images = pictures(*shape)
    out = fixed(p=1.0)(images, Draws(0))
    assert out.shape == images.shape
    assert out.isfinite().all()
    assert (out - images).abs().flatten(1).amax(1).min() > 0.01


RATES = {
    "blit": lambda p: 1 - (1 - p / 2) * (1 - 3 / 4 * p) * (1 - 3 / 4 * p),  # of shifts, a quarter are by nothing
    "geometry": lambda p: 1 - (1 - p) ** 4,
    "color": lambda p: 1 - (1 - p) ** 4 * (1 - p / 2),
    "filter": lambda p: 1 - (1 - p) ** 4,
    "noise": lambda p: p,
    "cutout": lambda p: p,
}


@pytest.mark.parametrize("group", GROUPS)
def test_rates(group):
    """As often as p says, times the group's factor; and those that are left alone are so to the bit."""
    images = pictures(2000, 3, 8, 8)
    for p, factor in ((0.3, 1.0), (0.3, 0.5)):
        out = fixed(p, {group: factor})(images, Draws(0))
        difference = (out - images).abs().flatten(1).amax(1)
        rate = RATES[group](p * factor)
        assert (difference > 1e-4).float().mean().item() == pytest.approx(rate, abs=4 * math.sqrt(0.25 / 2000))
        untouched = (difference == 0).float().mean().item()
        assert untouched == pytest.approx(1 - rate, abs=0.08 if group == "color" else 0.05)


def test_groups_act_in_the_order_of_the_paper():
    images = pictures(16, 3, 8, 8)
    expected = images
    for group in ("blit", "geometry", "color", "filter", "noise", "cutout"):
        expected = fixed(0.7, {group: 1.0})(expected, Draws(0))
    shuffled = dict.fromkeys(("cutout", "color", "blit", "noise", "filter", "geometry"), 1.0)
    assert torch.equal(fixed(0.7, shuffled)(images, Draws(0)), expected)
    assert torch.equal(
        fixed(0.7, {"blit": 1.0, "noise": 0.0})(images, Draws(0)), fixed(0.7, {"blit": 1.0})(images, Draws(0))
    )


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("world", [2, 4])
def test_the_number_of_ranks_does_not_matter(group, world, monkeypatch):
    images, ada = pictures(24, 3, 8, 6, dtype=torch.float64), fixed(0.7, {group: 1.0})
    parts = over_ranks(ada, images, world, monkeypatch)
    torch.testing.assert_close(parts, ada(images, Draws(3)), rtol=0, atol=1e-12)


def test_each_sample_is_changed_by_itself():
    images = pictures(8, 3, 8, 8, dtype=torch.float64)
    other = images.clone()
    other[3] = 0.5
    out, changed = (fixed(0.8)(batch, Draws(0)) for batch in (images, other))
    keep = torch.arange(8) != 3
    torch.testing.assert_close(changed[keep], out[keep], rtol=0, atol=1e-12)


@pytest.mark.parametrize("group", GROUPS)
def test_gradients_of_gradients(group):
    images = pictures(2, 3, 4, 3, dtype=torch.float64).requires_grad_()
    ada = fixed(1.0, {group: 1.0})
    assert torch.autograd.gradcheck(lambda x: ada(x, Draws(1)), images)
    assert torch.autograd.gradgradcheck(lambda x: ada(x, Draws(1)).pow(3), images)


class OnMeta(Draws):
    """Draws on a device that has no generators."""

    def send(self, drawn):
        return drawn.to("meta")

    def normal_by_blocks(self, *given, **named):
        return super().normal_by_blocks(*given, **named).to("meta")


def test_no_value_leaves_the_device(monkeypatch):
    """A tensor on the device `meta` has no values: whatever asked for one would fail."""
    monkeypatch.setattr(torch, "autocast", lambda device, enabled: contextlib.nullcontext())  # knows no `meta`
    ada = adaptive()
    ada.groups = dict.fromkeys(GROUPS, 1.0)
    ada.to("meta")
    images = torch.zeros(4, 3, 8, 8, device="meta")
    assert ada(images, OnMeta(0)).shape == images.shape
    ada.observe(torch.zeros(4, device="meta"), torch.zeros(4, device="meta"))


def test_low_precision_is_left_to_the_networks():
    images = pictures(6, 3, 8, 8)
    expected = fixed(0.8)(images, Draws(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(fixed(0.8)(images, Draws(0)), expected)
        assert fixed(0.8)(images.bfloat16(), Draws(0)).dtype == torch.float32


# p ----------------------------------------------------------------------------------------------------------------


def p_of(ada) -> float:
    return ada.probability(Draws(0), torch.zeros(1)).item()


def observe(ada, *real: float) -> None:
    logits = torch.tensor(real)
    ada.observe(logits, torch.zeros_like(logits))


def test_p_by_hand():
    ada = adaptive()
    observe(ada, 3.0, 2.0, 1.0, 0.5)
    assert p_of(ada) == 0.0, "not before the second step"
    observe(ada, 3.0, 2.0, 1.0, -0.5)
    assert p_of(ada) == pytest.approx(0.08), "r = (7 - 1) / 8 = 0.75 > 0.6"
    assert ada.curves()["p"].item() == pytest.approx(0.08)
    observe(ada, 1.0, 1.0, 1.0, 1.0)
    observe(ada, 1.0, 1.0, 1.0, 1.0)
    assert p_of(ada) == pytest.approx(0.16), "r = 1"
    observe(ada, 100.0, 1.0, 1.0, -0.1)
    observe(ada, 100.0, 1.0, 1.0, -0.1)
    assert p_of(ada) == pytest.approx(0.08), "r = (6 - 2) / 8 = 0.5 < 0.6"
    for _ in range(4):
        observe(ada, -1.0, -1.0, -1.0, -1.0)
    assert p_of(ada) == 0.0, "not below 0"
    for _ in range(2 * 12):
        observe(ada, 1.0, 1.0, 1.0, 1.0)
    assert p_of(ada) == pytest.approx(0.96)
    for _ in range(2 * 3):
        observe(ada, 1.0, 1.0, 1.0, 1.0)
    assert p_of(ada) == 1.0, "not above 1"
    observe(ada, -1.0, -1.0, -1.0, -1.0)
    observe(ada, -1.0, -1.0, -1.0, -1.0)
    assert p_of(ada) == pytest.approx(0.92)


def test_on_target_p_stays():
    """A logit on the boundary counts for neither side."""
    ada = adaptive(p=0.5, interval=1, batch_size=5)
    observe(ada, 1.0, 1.0, 1.0, 0.0, 0.0)
    assert p_of(ada) == 0.5
    observe(ada, 1.0, 1.0, 1.0, 1.0, 0.0)
    assert p_of(ada) == pytest.approx(0.55)


def test_the_pace_of_the_paper():
    """From 0 to 1 in 500 thousand images: each 4 steps of 64 images by 256 / 500000."""
    ada = adaptive(interval=4, kimg=500, batch_size=64)
    for _ in range(4):
        observe(ada, *[1.0] * 64)
    assert p_of(ada) == pytest.approx(256 / 500_000)


def test_steps_in_pieces_and_patches_of_logits():
    """Two pieces of two make a step of four; each of six logits of a sample counts."""
    whole, pieces, patches = adaptive(), adaptive(), adaptive()
    logits = torch.tensor([[1.0, 1.0, 1.0, -1.0], [1.0, 1.0, 1.0, 1.0]])
    for row in logits:
        observe(whole, *row.tolist())
        observe(pieces, *row[:2].tolist())
        observe(pieces, *row[2:].tolist())
        patches.observe(row.view(4, 1, 1, 1).expand(4, 1, 2, 3), row)
    assert p_of(whole) == p_of(pieces) == p_of(patches) == pytest.approx(0.08)
    for _ in range(2):
        patches.observe(torch.tensor([1.0, 1.0, 1.0, -1.0]).view(4, 1, 1).expand(4, 2, 3), torch.zeros(4))
    assert p_of(patches) == 0.0, "r = 0.5 < 0.6"


def test_the_boundary_is_the_models():
    module = LSGAN(**settings())
    ada = adaptive(interval=1)
    ada.check(module)
    observe(ada, 0.4, 0.3, 0.4, 0.2)  # on the side of the fakes, where the targets are 0 and 1
    assert p_of(ada) == 0.0
    observe(ada, 0.6, 0.7, 0.9, 0.8)
    assert p_of(ada) == pytest.approx(0.04)
    observe(ada, 0.6, 0.7, 0.9, 0.4)
    assert p_of(ada) == 0.0, "r = 0.5 < 0.6"


def test_a_critic_has_no_sides():
    own = {"clip_value": 0.5, "warmup_critic": 2, "warmup_iterations": 0, "refresh_every": None}
    module = WGAN(**settings(augment={"ada": adaptive()}) | own)
    with pytest.raises(ValueError, match=r"ADA adapts .* WGAN have no boundary .* set target=null and a fixed p"):
        fit(module, images=2)
    fixed().check(module)


def test_p_as_a_schedule():
    ada, draws, like = fixed(p=Ramp(0.0, 0.4, 0, 1, "linear")), Draws(0), torch.zeros(1)
    for seen, p in ((0, 0.0), (500, 0.2), (2000, 0.4)):
        draws.move_to(seen)
        assert ada.probability(draws, like).item() == pytest.approx(p)
    assert list(ada.buffers()) == []
    observe(ada, 1.0)
    assert ada.curves() == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"groups": {"colour": 1}}, "the groups of ADA are blit, geometry, color, filter, noise, cutout, got 'colour'"),
        ({"groups": {"blit": -1}}, "the factor of ADA's group blit must be 0 or more, got -1"),
        ({"groups": {"blit": 0}}, "ADA needs a group with a factor of more than 0"),
        ({"p": 1.5}, r"p must be in \[0, 1\], got 1.5"),
        ({"target": 1.0}, r"target must be in \(-1, 1\), or null for a p that does not adapt, got 1.0"),
        ({"p": Ramp(0.0, 0.4, 0, 1, "linear")}, "p follows either its schedule or target=0.6"),
        ({"interval": 0}, "interval >= 1, kimg > 0 and batch_size >= 1, got 0, 500, 8"),
        ({"p_max": 1.5}, "p_max must be more than 0 and at most 1, got 1.5"),
        ({"p_max": 0.5, "p": 0.6}, "p must start at p_max=0.5 or below, got 0.6"),
        ({"p_max": 0.5, "target": None}, "p_max=0.5 bounds a p that adapts, and target is null"),
        ({"kimg": 0}, "interval >= 1, kimg > 0 and batch_size >= 1, got 4, 0, 8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_refused(given, message):
    with pytest.raises(ValueError, match=message):
        ADA(**{"groups": ALL, "p": 0, "target": 0.6, "interval": 4, "kimg": 500, "batch_size": 8} | given)


def test_p_stays_at_its_cap():
    ada = ADA({"blit": 1.0}, p=0.0, target=0.6, interval=2, kimg=0.1, batch_size=4, p_max=0.2)
    seen = []
    for _ in range(8):
        observe(ada, 1.0, 1.0, 1.0, 1.0)
        seen.append(ada.curves()["p"].item())
    assert seen == pytest.approx([0, 0.08, 0.08, 0.16, 0.16, 0.2, 0.2, 0.2])


def test_points_are_no_pictures():
    with pytest.raises(ValueError, match=r"pictures of shape \(B, C, H, W\), got \(5, 2\)"):
        fixed()(torch.zeros(5, 2), Draws(0))


# Over ranks and after a resume ------------------------------------------------------------------------------------


def strengths() -> list[int]:
    """p after each of 40 steps of D, in images, with this rank's share of logits that do not depend on the ranks."""
    augment = adaptive(target=0.1, interval=2, kimg=0.2, batch_size=8)
    generator, found = torch.Generator().manual_seed(5), []
    for _ in range(40):
        logits = (torch.randn(8, generator=generator) + 0.2).chunk(collectives.world())[collectives.rank()]
        augment.observe(logits, logits)
        found.append(augment.strength.item())
    return found


def test_two_ranks_adapt_as_one(pair):
    alone = strengths()
    assert {after - before for before, after in itertools.pairwise(alone)} == {-16, 0, 16}
    assert pair(strengths) == [alone] * 2


def test_four_ranks_adapt_as_one(forkserver, tmp_path):
    with started(4, tmp_path, forkserver) as ranks:
        assert ranks(strengths) == [strengths()] * 4


def small_gan(**augment) -> HingeGAN:
    torch.manual_seed(0)
    return HingeGAN(
        **settings(
            d_lr=0.05,
            g_lr=0.05,
            generator=nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8))),
            discriminator=nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0)),
            batch_size=4,
            generator_batch_size=4,
            augment=augment,
        )
    )


def moving() -> dict:
    return {
        "apa": APA(p=0.2, target=0.0, interval=3, kimg=0.2, batch_size=4),
        "ada": ADA(ALL, p=0.3, target=0.0, interval=3, kimg=0.2, batch_size=4),
    }


def test_resumed_equals_unbroken(tmp_path):
    """Broken after 7 steps, in the middle of an interval of 3."""
    real = pictures(4, 1, 8, 8)
    unbroken = small_gan(**moving())
    fit(unbroken, images=15 * 4, real=real)
    broken = small_gan(**moving())
    saving = Checkpointing(every_kimg=None, keep=1, keep_snapshots=None)
    fit(broken, images=7 * 4, real=real, callbacks=[saving], folder=tmp_path)
    assert broken.augment["ada"].shown.item() == 4
    resumed = small_gan(**moving())
    fit(resumed, images=15 * 4, real=real, resume=tmp_path / "checkpoints" / "000000000028.ckpt")
    left, right = unbroken.state_dict(), resumed.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert unbroken.augment["ada"].strength != round(0.3 * 200)
    assert unbroken.augment["ada"].strength != broken.augment["ada"].strength


@pytest.mark.parametrize("group", GROUPS)
def test_a_penalty_on_what_comes_before_the_augmentation(group):
    """d|d D(T(x)) / dx|^2 / d theta, twice through the warp, against finite differences."""
    ada, images = fixed(1.0, {group: 1.0}), pictures(2, 1, 4, 4, dtype=torch.float64)

    def penalty(weight):
        x = images.clone().requires_grad_()
        logits = torch.tanh(ada(x, Draws(2)).flatten(1)) @ weight
        return torch.autograd.grad(logits.sum(), x, create_graph=True)[0].square().sum()

    weight = pictures(16, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(penalty, weight)
