"""The plumbing under every model: who is stepped, what is counted, averaged, clipped, scheduled and refused."""

import logging
import math
import random
from functools import partial

import numpy as np
import pytest
import torch
from conftest import SMALL
from tiny import LATENTS, REAL, LinearCritic, ScalingGenerator, fit, fix_latents, settings
from torch import nn

from gan_lab import collectives
from gan_lab.augment.apa import APA
from gan_lab.augment.base import Augmentation
from gan_lab.augment.instance_noise import InstanceNoise
from gan_lab.callbacks.stop import Stop
from gan_lab.layers.normalization import spectrally_normalize
from gan_lab.models.averaging import MovingAverage
from gan_lab.models.base import FEW, NonFiniteError, Records, correct_for_further_steps, total_norm
from gan_lab.models.dcgan import DCGAN
from gan_lab.models.gan import GAN
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.models.lsgan import LSGAN
from gan_lab.models.sngan import SNGAN
from gan_lab.models.wgan import WGAN
from gan_lab.networks.stylegan2 import StyleGAN2Discriminator
from gan_lab.regularizers.base import Phase
from gan_lab.regularizers.r1 import R1, R2
from gan_lab.sampling import Draws, reseed_default_generators
from gan_lab.schedules import Linear, Ramp

OWN_SETTINGS = {
    "GAN": {"generator_loss": "non_saturating", "real_target": 1.0},
    "DCGAN": {"real_target": 1.0},
    "WGAN": {"clip_value": 0.5, "warmup_critic": 2, "warmup_iterations": 0, "refresh_every": None},
}


def layered_critic() -> nn.Module:
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Flatten(0))
    spectrally_normalize(layers)
    return layers


def layered_generator() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


# Who is stepped -------------------------------------------------------------------------------------------------


def test_frozen_parameters_stay_frozen():
    module = HingeGAN(**settings(d_lr=0.1, g_lr=0.1, generator=layered_generator(), discriminator=layered_critic()))
    frozen = [module.generator[0].weight, module.discriminator[2].bias]
    for parameter in frozen:
        parameter.requires_grad_(False)
    before = [parameter.clone() for parameter in frozen]
    fit(module, images=8)
    assert all(torch.equal(*pair) for pair in zip(frozen, before, strict=True))
    assert not any(parameter.requires_grad for parameter in frozen)
    assert module.generator[3].weight.requires_grad


def test_an_error_within_a_step_thaws_the_others():
    module = HingeGAN(**settings())
    fit(module, images=2)

    def fail():
        with module.updating("discriminator"):
            assert not module.generator.scale.requires_grad
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert module.generator.scale.requires_grad
    assert module.steps["discriminator"] == 1


# What is counted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "seen"), [(1, 6), (6, 6), (7, 12), (12, 12), (13, 18)])
def test_training_stops_at_the_first_end_of_an_iteration(asked, seen):
    module = HingeGAN(**settings(n_critic=3))
    trainer = fit(module, images=asked)
    assert module.images_seen == seen
    assert trainer.global_step == seen // 6
    assert module.iteration_ended


def test_the_full_length_is_not_reached_within_an_iteration():
    module, stop = HingeGAN(**settings(n_critic=3)), Stop(0.006)
    module.images_seen, module.iteration_ended = 6, False
    assert not stop.reached(module)
    module.iteration_ended = True
    assert stop.reached(module)
    module.images_seen = 4
    assert not stop.reached(module)


def test_images_are_counted_over_all_ranks():
    """`images_seen` grows by the configured global batch, not by what this rank happens to hold."""
    module = HingeGAN(**settings(batch_size=32))
    fit(module, images=64)
    assert module.images_seen == 64
    assert module.steps["discriminator"] == 2


def test_every_step_has_noise_of_its_own():
    module = HingeGAN(**settings(n_critic=2))
    drawn = []
    draw = module.latents
    module.latents = lambda count: drawn.append(draw(count)) or drawn[-1]
    fit(module, images=8)
    assert len(drawn) == 6
    assert len({tuple(latents.flatten().tolist()) for latents in drawn}) == 6


def test_learning_rates_follow_images():
    """w moves by lr * factor * (0.5, 0) a step: G stands still, so D's gradient is the same each time."""
    schedules = {"discriminator": Linear(start_kimg=0, end_kimg=0.008, end_factor=0)}
    module = HingeWithoutHinge(**settings(d_lr=1.0, schedules=schedules))
    fix_latents(module)
    fit(module, images=8)
    assert module.discriminator.weight.tolist() == pytest.approx([3 + 0.5 * (1 + 0.75 + 0.5 + 0.25), 4], abs=1e-5)
    assert module.learning_rates() == {"discriminator": 0.0, "generator": 0.0}


class HingeWithoutHinge(WGAN):
    """mean D(G(z)) - mean D(x), and no clipping to speak of."""

    def __init__(self, **given):
        super().__init__(clip_value=1e9, warmup_critic=1, warmup_iterations=0, refresh_every=None, **given)


# Accumulation and clipping --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [DCGAN, GAN, HingeGAN, LSGAN, SNGAN, WGAN], ids=lambda m: m.__name__)
def test_pieces_give_the_gradients_of_the_whole(model):
    """Of models that draw nothing but latents; those that draw per piece have their own tests."""
    generator = torch.Generator().manual_seed(0)
    real, latents = torch.randn(8, 2, generator=generator), torch.randn(8, 2, generator=generator)
    weights, records = [], []
    for micro in (None, 4, 2):
        torch.manual_seed(3)
        given = {"generator": nn.Linear(2, 2), "discriminator": spectral_line()}
        given |= {"batch_size": 8, "generator_batch_size": 8, "micro_batch_size": micro}
        module = model(**settings(d_lr=0.1, g_lr=0.1, **given) | OWN_SETTINGS.get(model.__name__, {}))
        fix_latents(module, latents)
        fit(module, images=24, real=real)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
        records.append(module.take_records())
        assert module.images_seen == 24
    for other, noted in zip(weights[1:], records[1:], strict=True):
        torch.testing.assert_close(other, weights[0], rtol=1e-5, atol=1e-6)
        assert noted == pytest.approx(records[0], rel=1e-4)


def spectral_line() -> nn.Module:
    """A critic without state in its forward pass: one row has its norm at once, whatever the number of passes."""
    layers = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    spectrally_normalize(layers)
    return layers


def test_micro_batches_of_a_generator_step(monkeypatch):
    def module(**given):
        return HingeGAN(**settings(batch_size=8, **given))

    assert module(generator_batch_size=6).generator_micro_batches() == [6]
    assert module(generator_batch_size=6, micro_batch_size=4).generator_micro_batches() == [3, 3]
    assert module(generator_batch_size=2, micro_batch_size=4).generator_micro_batches() == [2]
    with pytest.raises(ValueError, match="generator_batch_size=5 cannot be cut into 2 equal micro-batches on 1 ranks"):
        module(generator_batch_size=5, micro_batch_size=4).generator_micro_batches()
    monkeypatch.setattr(collectives, "world", lambda: 2)
    assert module(generator_batch_size=8, micro_batch_size=4).generator_micro_batches() == [2, 2]
    assert [len(p["real"]) for p in module(micro_batch_size=4).micro_batches({"real": torch.zeros(4, 2)})] == [2, 2]
    with pytest.raises(ValueError, match="on 2 ranks"):
        module(generator_batch_size=3).generator_micro_batches()


def test_clipping_bounds_the_step_and_notes_the_norm_before_it():
    """D's gradient is (-0.5, 0), G's is -(0, w_2 / 2) = -(0, 2)."""
    free = HingeWithoutHinge(**settings(d_lr=1.0, g_lr=1.0))
    clipped = HingeWithoutHinge(**settings(d_lr=1.0, g_lr=1.0, clip_norm={"discriminator": 0.1, "generator": 0.5}))
    loose = HingeWithoutHinge(**settings(d_lr=1.0, g_lr=1.0, clip_norm={"discriminator": 10, "generator": 10}))
    for module in (free, clipped, loose):
        fix_latents(module)
        fit(module, images=2)
        records = module.take_records()
        assert records["grad_norm/discriminator"] == pytest.approx(0.5)
        assert records["grad_norm/generator"] == pytest.approx(2.0)
    for module in (free, loose):
        assert module.discriminator.weight.tolist() == pytest.approx([3.5, 4])
        assert module.generator.scale.tolist() == pytest.approx([1, 3])
    assert clipped.discriminator.weight.tolist() == pytest.approx([3.1, 4], abs=1e-5)
    assert clipped.generator.scale.tolist() == pytest.approx([1, 1.5], abs=1e-5)


# The moving average ---------------------------------------------------------------------------------------------


def test_decay_is_a_half_life_in_images():
    average = MovingAverage(ScalingGenerator(), half_life_kimg=1, warmup=None)
    assert average.decay(images=1000, images_seen=5000) == pytest.approx(0.5)
    assert average.decay(images=3000, images_seen=5000) == pytest.approx(0.125)
    assert average.decay(images=500, images_seen=0) == pytest.approx(math.sqrt(0.5))


def test_warm_up_shortens_the_half_life():
    average = MovingAverage(ScalingGenerator(), half_life_kimg=1, warmup=0.05)
    assert average.decay(images=100, images_seen=2000) == pytest.approx(0.5), "min(1000, 0.05 * 2000) = 100"
    assert average.decay(images=1000, images_seen=20000) == pytest.approx(0.5)
    assert average.decay(images=1000, images_seen=40000) == pytest.approx(0.5), "the full half-life at most"


def test_following():
    live = nn.BatchNorm1d(2)
    average = MovingAverage(live, half_life_kimg=1, warmup=None)
    with torch.no_grad():
        live.weight.fill_(5)
        live.running_mean.fill_(8)
        live.running_var.fill_(3)
        live.num_batches_tracked.fill_(7)
    average.follow(live, images=2000, images_seen=2000)
    assert average.module.weight.tolist() == [4, 4], "3/4 of the way from 1 to 5"
    assert average.module.running_mean.tolist() == [6, 6]
    assert average.module.running_var.tolist() == [2.5, 2.5]
    assert average.module.num_batches_tracked == 7
    assert live.weight.tolist() == [5, 5]
    assert not any(parameter.requires_grad for parameter in average.parameters())
    average.restart(live)
    assert average.module.weight.tolist() == [5, 5]


def test_the_average_follows_at_the_end_of_an_iteration():
    """Six images an iteration and a half-life of six: each iteration the average goes half of the way."""
    module = HingeWithoutHinge(**settings(d_lr=0.0, g_lr=1.0, n_critic=3, ema_half_life_kimg=0.006))
    fix_latents(module)
    fit(module, images=12)
    assert module.generator.scale.tolist() == pytest.approx([1, 5]), "two steps of (0, 2)"
    assert module.averages["generator"].module.scale.tolist() == pytest.approx([1, 3.5]), "1 -> 2 -> 3.5"
    assert module.network_for_samples() is module.averages["generator"].module
    assert module.network_for_samples("live") is module.generator
    assert module.weights_for_samples == "ema"


def test_no_average():
    module = HingeGAN(**settings(ema_half_life_kimg=None))
    fit(module, images=2)
    assert module.network_for_samples() is module.generator
    assert module.weights_for_samples == "live"
    with pytest.raises(ValueError, match="got 'best'"):
        module.network_for_samples("best")


# Parts that every algorithm takes -------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [R1, R2])
def test_a_regularizer_is_added_with_its_weight(extra):
    """|w|^2 = 25 at every sample; its gradient 2 w times 0.1 joins the (-0.5, 0) of the loss."""
    module = HingeWithoutHinge(**settings(d_lr=1.0, regularizers={"extra": extra(weight=0.1, every=1)}))
    fix_latents(module)
    fit(module, images=2)
    records = module.take_records()
    assert records[f"reg/{extra.name}"] == pytest.approx(25.0)
    assert records["loss/d"] == pytest.approx(-1.5), "the curve of the loss is the adversarial part"
    assert module.discriminator.weight.tolist() == pytest.approx([3 + 0.5 - 0.6, 4 - 0.8])


def test_a_lazy_regularizer_takes_steps_of_its_own():
    """Every second step of D is followed by one down 2 * 0.1 * |w|^2; the learning rate is corrected by 2 / 3."""
    module = HingeWithoutHinge(**settings(d_lr=0.3, regularizers={"r1": R1(weight=0.1, every=2)}))
    fix_latents(module)
    expected = torch.tensor([3.0, 4.0])
    for index in range(4):
        expected = expected - 0.2 * torch.tensor([-0.5, 0.0])
        if index % 2 == 0:
            expected = expected - 0.2 * 2 * 0.1 * 2 * expected
    fit(module, images=8)
    assert module.discriminator.weight.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert module.steps == {"discriminator": 4, "generator": 4}
    assert module.images_seen == 8, "a lazy step sees no reals"
    records = module.take_records()
    assert {"grad_norm/discriminator", "grad_norm/r1", "reg/r1"} <= records.keys()


def test_a_lazy_regularizer_in_pieces_is_that_of_the_whole():
    weights = []
    for micro in (None, 2):
        module = HingeWithoutHinge(
            **settings(d_lr=0.3, batch_size=4, micro_batch_size=micro, regularizers={"r1": R1(weight=0.1, every=2)})
        )
        fix_latents(module)
        fit(module, images=16, real=REAL.repeat(2, 1))
        weights.append(module.discriminator.weight.tolist())
    assert weights[0] == pytest.approx(weights[1], rel=1e-5)


def test_the_correction_of_adam():
    """c = 16 / 17 for one lazy step in 16 (Karras et al. 2020, appendix B)."""
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=0.0017, betas=(0.0, 0.99))
    correct_for_further_steps(optimizer, 1 / 16)
    (group,) = optimizer.param_groups
    assert group["lr"] == pytest.approx(0.0016)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))


def test_names_that_torch_has_taken():
    with pytest.raises(ValueError, match="a part of model cannot be called 'double'"):
        HingeGAN(**settings(augment={"double": InstanceNoise(sigma=1, until_kimg=1)}))


class OnVAEs(R1):
    group = "encoder"


class Picky(R1):
    def check(self, module):
        raise ValueError("r1 makes no sense here")


class PickyNoise(InstanceNoise):
    def check(self, module):
        raise ValueError("noise makes no sense here")


def test_regularizers_that_do_not_go_with_a_model():
    message = "model.regularizers.mine is a term of the encoder phase, and the groups here are discriminator, generator"
    with pytest.raises(ValueError, match=message):
        HingeGAN(**settings(regularizers={"mine": OnVAEs(weight=1, every=1)}))
    module = HingeGAN(**settings(regularizers={"mine": Picky(weight=1, every=1)}))
    with pytest.raises(ValueError, match="r1 makes no sense here"):
        fit(module, images=2)
    module = HingeGAN(**settings(augment={"mine": PickyNoise(sigma=1, until_kimg=1)}))
    with pytest.raises(ValueError, match="noise makes no sense here"):
        fit(module, images=2)


def test_a_weight_may_follow_a_schedule():
    """0.1 until 2 images are seen, then 0: D's first step feels it, the second does not."""
    weight = Ramp(0.1, 0.0, 0, 0.001, "linear")
    module = HingeWithoutHinge(**settings(d_lr=1.0, regularizers={"r1": R1(weight=weight, every=1)}))
    fix_latents(module)
    fit(module, images=2)
    before = module.discriminator.weight.clone()
    assert before.tolist() == pytest.approx([3 + 0.5 - 0.6, 4 - 0.8])
    module.images_seen = 5000
    assert module._weighted(module.regularizers["r1"], Phase(real=REAL)).item() == 0.0


def test_only_the_best_fakes_count():
    """Logits 7 and -3: the best half is the first, whose loss -7 alone pulls G's scale up by its latent times w."""
    module = HingeGAN(**settings(g_lr=1.0, top_k=lambda images_seen: 0.5))
    fix_latents(module)
    fit(module, images=2)
    assert module.take_records()["loss/g"] == pytest.approx(-7.0)
    assert module.generator.scale.tolist() == pytest.approx([1 + 3.0, 1 + 4.0])
    all_of_them = HingeGAN(**settings(top_k=lambda images_seen: 1.0))
    fix_latents(all_of_them)
    fit(all_of_them, images=2)
    assert all_of_them.take_records()["loss/g"] == pytest.approx(-2.0)


def test_parts_can_be_frozen():
    module = HingeGAN(**settings(d_lr=0.1, discriminator=layered_critic(), freeze=["discriminator.0"]))
    frozen = [parameter.clone() for parameter in module.discriminator[0].parameters()]
    moving = module.discriminator[2].weight.clone()
    fit(module, images=8)
    assert all(torch.equal(*pair) for pair in zip(frozen, module.discriminator[0].parameters(), strict=True))
    assert not torch.equal(moving, module.discriminator[2].weight)
    with pytest.raises(ValueError, match=r"model.freeze names 'discriminator.9', which is no part of the networks"):
        fit(HingeGAN(**settings(discriminator=layered_critic(), freeze=["discriminator.9"])), images=2)
    with pytest.raises(
        ValueError, match=r"model.freeze=\['discriminator'\] leaves nothing of the discriminator to train"
    ):
        fit(HingeGAN(**settings(freeze=["discriminator"])), images=2)


def image_critic():
    settings = {"sample_shape": (1, 16, 16), "width": 4, "max_width": 8}
    return StyleGAN2Discriminator(**settings, architecture="residual", minibatch_std=2)


def test_layers_are_counted_from_the_image(caplog):
    """As StyleGAN's authors count: from_image; then of each block both convolutions and the shortcut."""
    critic = image_critic()
    named = [
        f"stages.{block}.{part}" for block in (2, 3) for part in ("convolutions.0", "convolutions.2", "shortcut.1")
    ]
    assert list(critic.layers_from_image()) == ["stages.0", *named, "head.1", "head.4", "output"]
    spectrally_normalize(critic)
    assert list(critic.layers_from_image())[:7] == ["stages.0", *named], "however weights are kept"
    module = HingeGAN(**settings(discriminator=image_critic(), freeze=["discriminator:5"]))
    with caplog.at_level(logging.INFO, "gan_lab"):
        module._freeze()
    frozen = {name for name, parameter in module.discriminator.named_parameters() if not parameter.requires_grad}
    layers = ["stages.0", "stages.2.convolutions.0", "stages.2.convolutions.2", "stages.3.convolutions.0"]
    assert frozen == {f"{name}.{kind}" for name in layers for kind in ("weight", "bias")} | {
        "stages.2.shortcut.1.weight"
    }
    assert "the first 5 of the 10 layers of the discriminator from the image on: stages.0, stages.2." in caplog.text


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("discriminator:10", "of the 10 layers of the discriminator, from 1 to 9 can be frozen; .* stages.0, stages.2"),
        ("discriminator:0", "from 1 to 9"),
        ("discriminator:half", "from 1 to 9"),
        ("critic:1", "names no network; those here are discriminator, generator"),
        ("generator:1", "ScalingGenerator does not say in which order its layers are; name parts of it"),
    ],
)
def test_layers_that_cannot_be_counted(freeze, message):
    module = HingeGAN(**settings(discriminator=image_critic(), freeze=[freeze]))
    with pytest.raises(ValueError, match=f"model.freeze={freeze}.*{message}"):
        module._freeze()


def test_parts_that_a_recipe_leaves_out():
    module = HingeGAN(**settings(regularizers={"r1": None}, augment={"noise": None}))
    fit(module, images=2)
    assert not module.regularizers
    assert not module.augment


@pytest.mark.parametrize("share", [0, 1.5, -1])
def test_top_k_is_a_share(share):
    with pytest.raises(ValueError, match="top_k is a share, more than 0 and at most 1; got"):
        HingeGAN(**settings(top_k=share))


def test_numbers_stand_for_schedules_that_never_change():
    module = HingeGAN(**settings(top_k=0.5, beta2={"generator": 0.9}))
    assert module.top_k(0) == module.top_k(10**9) == 0.5
    assert module.beta2["generator"](10**9) == 0.9


def test_a_factor_on_a_learning_rate_is_a_schedule():
    with pytest.raises(ValueError, match=r"model.schedules.generator must be a schedule, .*Linear.* got 0.5"):
        HingeGAN(**settings(schedules={"generator": 0.5}))


def test_beta2_of_an_optimizer_without():
    with pytest.raises(ValueError, match=r"model.optimizers.generator is SGD, which has no betas; leave it out"):
        fit(HingeGAN(**settings(beta2={"generator": 0.9})), images=2)


def test_a_network_that_is_missing_or_too_much():
    with pytest.raises(ValueError, match=r"needs a discriminator, and the chosen network=... has none"):
        HingeGAN(**settings(discriminator={"normalization": "spectral"}))
    with pytest.raises(ValueError, match=r"has no encoder, and the chosen network=... brings one"):
        HingeGAN(**settings(encoder=LinearCritic()))


def test_beta2_follows_its_schedule():
    optimizers = {"discriminator": partial(torch.optim.SGD, lr=0.0)}
    optimizers["generator"] = partial(torch.optim.Adam, lr=0.1, betas=(0.0, 0.5))
    module = HingeGAN(
        **settings(
            optimizers=optimizers, beta2={"generator": Ramp(0.9, 0.99, 0, 0.008, "linear")}, ema_half_life_kimg=None
        )
    )
    seen = []
    count = module._count
    module._count = lambda group: (seen.append(module._optimizers["generator"].param_groups[0]["betas"]), count(group))
    fit(module, images=8)
    assert seen[0] == (0.0, 0.9), "from the first step on"
    assert module._optimizers["generator"].param_groups[0]["betas"] == pytest.approx((0.0, 0.99))


def test_a_half_life_may_follow_a_schedule():
    average = MovingAverage(nn.Linear(1, 1), half_life_kimg=Ramp(0, 1, 0, 1, "linear"), warmup=None)
    assert average.decay(images=100, images_seen=0) == 0.0, "no memory at all"
    assert average.decay(images=500, images_seen=500) == pytest.approx(0.5)
    assert average.decay(images=500, images_seen=9000) == pytest.approx(0.5**0.5)


class Doubling(Augmentation):
    def forward(self, images, draws):
        return 2 * images


def test_what_stands_in_for_reals_is_changed_too():
    apa = APA(p=1.0, target=None, interval=4, kimg=500, batch_size=2)
    module = HingeGAN(**settings(augment={"doubling": Doubling(), "apa": apa}))
    assert torch.equal(module.augmented(REAL, instead=LATENTS), 2 * LATENTS)


def test_instance_noise_fades():
    noise, draws, images = InstanceNoise(sigma=2.0, until_kimg=1), Draws(0), torch.zeros(4000, 4)
    spread = {}
    for seen in (0, 500, 999, 1000, 5000):
        draws.move_to(seen)
        spread[seen] = noise(images, draws).std().item()
    assert spread[0] == pytest.approx(2.0, rel=0.02)
    assert spread[500] == pytest.approx(1.0, rel=0.02)
    assert spread[999] == pytest.approx(0.002, rel=0.02)
    assert spread[1000] == spread[5000] == 0.0


@pytest.mark.parametrize("world", [2, 4])
def test_instance_noise_does_not_know_the_number_of_ranks(world, monkeypatch):
    noise, images = InstanceNoise(sigma=1.0, until_kimg=1), torch.randn(40, 3)
    whole = noise(images, Draws(0))
    parts = []
    monkeypatch.setattr(collectives, "world", lambda: world)
    for rank, part in enumerate(images.chunk(world)):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        parts.append(noise(part, Draws(0)))
    assert torch.equal(torch.cat(parts), whole)


# What is noted --------------------------------------------------------------------------------------------------


def test_records_are_means_since_they_were_taken():
    module = HingeGAN(**settings())
    module.record("a", torch.tensor([1.0, 3.0]))
    module.record("a", torch.tensor(5.0, requires_grad=True))
    module.record("b", torch.tensor(1, dtype=torch.int64))
    assert module.take_records() == {"a": 3.5, "b": 1.0}
    assert module.take_records() == {}


def test_records_add_up_alike_however_often_they_are_asked_for():
    values = torch.randn(3 * Records.WAITING + 7, generator=torch.Generator().manual_seed(0))
    once, often, total = Records(), Records(), torch.zeros(())
    for place, value in enumerate(values):
        total = total + value
        once.add("a", value)
        often.add("a", value)
        if place % 5 == 0:
            often = Records(often.totals())  # as a resumed run does
    assert once.totals() == often.totals() == {"a": (total, len(values))}


def test_every_default_generator_begins_a_training_step_by_its_counters():
    def drawn():
        return torch.rand(3).tolist(), np.random.random(3).tolist(), [random.random() for _ in range(3)]

    module = HingeGAN(**settings())
    fit(module, images=4)
    left = drawn()
    reseed_default_generators(module.seed, module.images_seen, sum(module.steps.values()), 0)
    assert drawn() == left


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_gradients_are_noticed(value):
    module = HingeGAN(**settings(d_lr=0.1, g_lr=0.1))
    fit(module, images=2)
    module.check_finite()
    module.discriminator.weight.data.fill_(value)
    fit(module, images=4)
    with pytest.raises(NonFiniteError, match="at or before 4 images"):
        module.check_finite()


def test_one_bad_step_among_good_ones_is_noticed():
    module = HingeWithoutHinge(**settings())
    fit(module, images=2)
    for loss in (1.0, float("nan"), 1.0):
        with module.updating("discriminator") as step:
            step((module.discriminator.weight * loss).sum())
    with pytest.raises(NonFiniteError):
        module.check_finite()
    module.check_finite()  # said once


def test_the_norm_of_all_gradients_together():
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in ((2,), (1, 1), (), (5,))]
    assert total_norm(parameters) == 0
    for parameter, gradient in zip(parameters, ([3.0, 0.0], [[4.0]], 12.0), strict=False):
        parameter.grad = torch.tensor(gradient)
    assert total_norm(parameters) == 13


@pytest.mark.parametrize("numbers", [FEW - 5, FEW + 5])
def test_the_norm_of_few_and_of_many_numbers(numbers):
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in ((numbers - 4,), (2, 2))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(numbers))
    expected = torch.cat([parameter.grad.double().flatten() for parameter in parameters]).norm()
    assert total_norm(parameters).item() == pytest.approx(expected.item(), rel=2e-6)


def test_plain_attributes_are_assigned_as_torch_assigns_them():
    module = HingeGAN(**settings())
    module.images_seen = 3
    assert module.images_seen == 3
    module.generator = None  # of a module: stays among them
    assert module.generator is None
    assert "generator" in module._modules
    module.note = "new"
    assert vars(module)["note"] == "new"
    module.register_buffer("level", torch.zeros(()))
    with pytest.raises(TypeError, match="cannot assign"):
        module.level = 1.0


def test_nan_ends_a_run_and_leaves_no_checkpoint_of_it(command, tmp_path):
    every = ["callbacks.checkpoint.every_kimg=0.016", "callbacks.checkpoint.keep=100"]
    ended = command("train", *SMALL, "total_kimg=0.32", "run_dir=run", "model.optimizers.generator.lr=1e30", *every)
    assert ended.code == 1, ended.output
    assert "NaN or infinite" in ended.output
    assert "+model.clip_norm.generator=1" in ended.output
    assert "Traceback" not in ended.output
    for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt"):
        state = torch.load(path, weights_only=True)["state_dict"]
        assert all(torch.isfinite(tensor).all() for tensor in state.values()), path


NAN_AT_128 = [
    "+model.regularizers.nan={_target_: tiny.NaNPenalty, images: 128}",
    "callbacks.checkpoint.every_kimg=0.064",
    "callbacks.metrics.every_kimg=0.032",
    "on_nonfinite=rollback",
    "run_dir=run",
]


def test_a_run_that_rolls_back_takes_another_way(command, tmp_path):
    done = command("train", *SMALL, "total_kimg=0.256", *NAN_AT_128)
    assert done.code == 0, done.output
    assert "Rolling back, 1 of 3 times" in done.output
    assert "Rolling back, 2" not in done.output
    assert "going on from 000000000128.ckpt" in done.output
    newest = torch.load(tmp_path / "run" / "checkpoints" / "000000000256.ckpt", weights_only=True)
    assert all(torch.isfinite(tensor).all() for tensor in newest["state_dict"].values())


def test_three_rollbacks_and_no_more(command, tmp_path):
    ended = command("train", *SMALL, "total_kimg=0.256", *NAN_AT_128[1:], "model.optimizers.generator.lr=1e30")
    assert ended.code == 1, ended.output
    assert [f"Rolling back, {n} of 3 times" in ended.output for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert "Error: the gradients became NaN" in ended.output


# What is refused ------------------------------------------------------------------------------------------------


def test_a_missing_key_is_named():
    given = settings()
    del given["seed"], given["augment"]
    with pytest.raises(ValueError, match="model lacks augment, seed"):
        HingeGAN(**given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"clip_norm": {"critic": 1.0}},
            "model.clip_norm names 'critic'; the groups here are discriminator, generator",
        ),
        ({"schedules": {"g": Linear(0, 1, 0)}}, "model.schedules names 'g'"),
        ({"optimizers": {"discriminator": partial(torch.optim.SGD, lr=1)}}, "model.optimizers lacks 'generator'"),
        (
            {"optimizers": {name: partial(torch.optim.SGD, lr=1) for name in ("discriminator", "generator", "all")}},
            "model.optimizers names 'all'",
        ),
        ({"clip_norm": {"generator": 0}}, "model.clip_norm.generator must be more than 0, got 0"),
        ({"n_critic": 0}, "n_critic must be 1 or more, got 0"),
        ({"generator_batch_size": 0}, "generator_batch_size must be 1 or more, got 0"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"micro_batch_size": 3, "batch_size": 8}, "micro_batch_size must divide batch_size=8, got 3"),
        ({"ema_half_life_kimg": 0}, "ema_half_life_kimg must be more than 0"),
        ({"ema_warmup": -1}, "ema_warmup must be more than 0"),
        ({"latent_dim": 0}, "latent_dim must be 1 or more, got 0"),
        ({"latent_distribution": "cauchy"}, "got 'cauchy'"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_bad_values(changes, message):
    with pytest.raises(ValueError, match=message):
        HingeGAN(**settings(**changes))


def test_bad_extras():
    with pytest.raises(ValueError, match="weight of regularizer r1 must be 0 or more, got -1"):
        R1(weight=-1, every=1)
    with pytest.raises(ValueError, match="regularizer r1: every must be 1 or more, got 0"):
        R1(weight=1, every=0)
    with pytest.raises(ValueError, match="got -1 and 1"):
        InstanceNoise(sigma=-1, until_kimg=1)
    with pytest.raises(ValueError, match="got 1 and 0"):
        InstanceNoise(sigma=1, until_kimg=0)


def test_tiny_networks_are_what_they_say():
    assert LinearCritic()(REAL).tolist() == [3, 4]
    assert LinearCritic()(ScalingGenerator()(LATENTS)).tolist() == [7, -3]
