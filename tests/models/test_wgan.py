"""WGAN, worked by hand: logits 3, 4 of reals and 7, -3 of fakes, with w = (3, 4) and a = (1, 1)."""

import pytest
from tiny import fit, fix_latents, settings, watch

from gan_lab.models.wgan import WGAN

PLAIN = {"clip_value": 100.0, "warmup_critic": 1, "warmup_iterations": 0, "refresh_every": None}


def test_losses():
    module = WGAN(**settings(), **PLAIN)
    fix_latents(module)
    fit(module, images=2)
    records = module.take_records()
    assert records["loss/d"] == pytest.approx(2 - 3.5)
    assert records["loss/g"] == pytest.approx(-2.0)


def test_steps():
    """D: mean g - mean x = (-0.5, 0), so w = (3.5, 4), clipped to (3.2, 3.2); then G's slope is -(0, 1.6)."""
    module = WGAN(**settings(d_lr=1.0, g_lr=1.0), **PLAIN | {"clip_value": 3.2})
    fix_latents(module)
    fit(module, images=2)
    assert module.discriminator.weight.tolist() == pytest.approx([3.2, 3.2])
    assert module.generator.scale.tolist() == pytest.approx([1, 2.6])
    assert module.take_records()["loss/g"] == pytest.approx(-(6.4 - 3.2) / 2)


def test_frozen_weights_are_not_clipped():
    module = WGAN(**settings(), **PLAIN | {"clip_value": 0.25})
    module.discriminator.weight.requires_grad_(False)
    module.clip_weights()
    assert module.discriminator.weight.tolist() == [3.0, 4.0]


def test_both_sides_are_clipped_after_every_critic_step():
    module = WGAN(**settings(d_lr=1.0, n_critic=3), **PLAIN | {"clip_value": 0.25})
    fix_latents(module)
    module.latents = lambda count, latents=module.latents: -4 * latents(count)  # mean g = (0, -2)
    largest = []
    clip = module.clip_weights
    module.clip_weights = lambda: clip() or largest.append(module.discriminator.weight.tolist())
    fit(module, images=6)
    assert largest == [[0.25, 0.25]] * 3
    module.discriminator.weight.data.fill_(-3.0)
    module.clip_weights()
    assert module.discriminator.weight.tolist() == [-0.25, -0.25]


def critic_steps(iterations: int, **given) -> list[int]:
    """D steps before each of the first G steps."""
    module = WGAN(**settings(n_critic=2), **PLAIN | given)
    seen = watch(module)
    counts: list[int] = []
    while len(counts) < iterations:
        fit(module, images=module.images_seen + 1)
        groups = "".join(entry["group"][0] for entry in seen)
        counts = [len(part) for part in groups.split("g")[:-1]]
    return counts


def test_the_critic_catches_up_at_first_and_from_time_to_time():
    """5 for the first 3 iterations, then for every 4th (counted from 0: the authors' gen_iterations % 500 == 0)."""
    counts = critic_steps(10, warmup_critic=5, warmup_iterations=3, refresh_every=4)
    assert counts == [5, 5, 5, 2, 5, 2, 2, 2, 5, 2]


def test_without_refresh_the_paper_s_own_count():
    assert critic_steps(5, warmup_critic=5, warmup_iterations=0, refresh_every=None) == [2] * 5
    assert critic_steps(4, warmup_critic=5, warmup_iterations=2, refresh_every=None) == [5, 5, 2, 2]


def test_the_published_counts():
    module = WGAN(
        **settings(n_critic=5), **PLAIN | {"warmup_critic": 100, "warmup_iterations": 25, "refresh_every": 500}
    )
    asked = {}
    for done in (0, 24, 25, 499, 500, 501, 1000):
        module.steps["generator"] = done
        asked[done] = module.n_critic_now()
    assert asked == {0: 100, 24: 100, 25: 5, 499: 5, 500: 100, 501: 5, 1000: 100}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clip_value": 0}, "clip_value must be more than 0, got 0"),
        ({"warmup_critic": 0}, "got 0, 0 and None"),
        ({"warmup_iterations": -1}, "got 1, -1 and None"),
        ({"refresh_every": 0}, "got 1, 0 and 0"),
    ],
)
def test_bad_values(given, message):
    with pytest.raises(ValueError, match=message):
        WGAN(**settings(), **PLAIN | given)
