"""Models that fill holes: one step of each by hand, what D sees, what does not go together."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from tiny import Doubled, Same, settings, train_on
from torch import Tensor, nn

from gan_lab.augment.ada import ADA
from gan_lab.losses.holes import squared_in_hole
from gan_lab.models.comodgan import CoModGAN
from gan_lab.models.context_encoder import ContextEncoderGAN
from gan_lab.models.gated_inpainting import GatedInpainting
from gan_lab.regularizers.r1 import R1
from gan_lab.sampling import Draws, SourceLatentInputs

SIDE = (1, 1, 2)  # pictures of two pixels, the right one of which is the hole
REAL = torch.tensor([[1.0, 0.5], [0.0, -1.5]]).view(2, *SIDE)
MASK = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).view(2, *SIDE)
SOURCE = REAL * (1 - MASK)


class Critic(nn.Module):
    """D(y, m) = w.y + v.m, with w = (3, 4) and v = (0, 1)."""

    condition_shape = None
    masked = True

    def __init__(self) -> None:
        super().__init__()
        self.of_images = nn.Parameter(torch.tensor([3.0, 4.0]).view(SIDE))
        self.of_masks = nn.Parameter(torch.tensor([0.0, 1.0]).view(SIDE))

    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        return (images * self.of_images + mask * self.of_masks).flatten(1).sum(1)


class Blind(Critic):
    """D(y) = w.y."""

    masked = False

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        return (images * self.of_images).flatten(1).sum(1)


class Painter(nn.Module):
    """All of both pixels is a in the first stage, and b in the second: (0, 0)."""

    condition_shape = SIDE

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def stages(self, condition: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.first.expand_as(condition), self.second.expand_as(condition)

    def pasted(self, filled: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask > 0.5, filled, condition)

    def forward(self, condition: Tensor, mask: Tensor) -> Tensor:
        return self.pasted(self.stages(condition, mask)[-1], condition, mask)


class Holes(Same):
    """The same pictures with the same holes for ever."""

    condition_shape = SIDE

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return itertools.repeat({"real": REAL, "condition": SOURCE, "mask": MASK})


def sgd(d_lr: float, g_lr: float) -> dict[str, Any]:
    return {group: partial(torch.optim.SGD, lr=lr) for group, lr in (("discriminator", d_lr), ("generator", g_lr))}


def model(kind: Any, **changes: Any) -> Any:
    of_latents = ("latent_dim", "latent_distribution", "n_critic", "generator_batch_size", "top_k")
    common = {key: value for key, value in settings().items() if key not in of_latents}
    own = {"condition_shape": list(SIDE), "masked": True, "adversarial": "wasserstein", "adversarial_weight": 1.0}
    networks = {"generator": Painter(), "discriminator": Critic()}
    return kind(**(common | networks | own | changes))


def gated(**changes: Any) -> GatedInpainting:
    return model(GatedInpainting, **({"distance_weight": 4.0} | changes))


def context_encoder(**changes: Any) -> ContextEncoderGAN:
    own = {"distance_weight": 2.0, "overlap": 0, "overlap_weight": 10.0, "judged": "pasted"}
    return model(ContextEncoderGAN, **(own | changes))


def train(module: Any, steps: int = 1) -> None:
    train_on(module, Holes(REAL), iterations=steps)


def test_a_step_of_gated_inpainting_by_hand():
    """D: pasted fakes are (1, 0) and (0, 0), reals (1, 1/2) and (0, -3/2): mean fakes less mean reals is (0, 1/2), by
    which w = (3, 4) goes down. G, against that D: -3.5 b falls by 3.5; of 4 mean|y - a| with pixels 1, 1/2, 0 and -3/2
    the slope at 0 is 4 * (-1 - 1 + 0 + 1) / 4 = -1 for a, and as much for b."""
    module = gated(optimizers=sgd(1.0, 0.1))
    train(module)
    assert module.discriminator.of_images.flatten().tolist() == pytest.approx([3.0, 3.5])
    assert module.generator.first.item() == pytest.approx(0.1)
    assert module.generator.second.item() == pytest.approx(0.1 + 0.35)
    records = module.take_records()
    assert records["loss/distance_1"] == records["loss/distance_2"] == pytest.approx(0.75)


def test_the_hinge_is_of_every_value():
    """D with two logits per picture, w1 y1 and w2 y2: the hinge is each one's, where their mean would hide it."""

    class TwoLogits(Blind):
        def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
            return (images * self.of_images).flatten(1)

    module = gated(adversarial="hinge", discriminator=TwoLogits())
    train(module)
    real = torch.tensor([[3.0, 2.0], [0.0, -6.0]])
    fake = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
    expected = torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()
    assert module.take_records()["loss/d"] == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("changes", "slope"),
    [
        ({}, -4 + 2 * 1),  # -4 of D; twice the mean of 2 (b - 1/2) and 2 (b + 3/2)
        ({"overlap": 1}, -4 + 2 * ((-1 - 20) / 2 + 3 / 2) / 2),  # each over two pixels, one of which weighs 10: 1 and 0
        ({"judged": "whole"}, -7 + 2 * 1),  # D sees b at both pixels
    ],
)
def test_a_step_of_a_context_encoder_by_hand(changes, slope):
    module = context_encoder(optimizers=sgd(0.0, 0.1), **changes)
    train(module)
    assert module.generator.second.item() == pytest.approx(-0.1 * slope)
    assert module.generator.first.item() == 0


def test_the_distance_in_a_hole_by_hand():
    """A hole of one pixel of three, and no hole: 2 channels with errors 1 and 3 there, 2 beside it."""
    mask = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]).view(2, 1, 1, 3)
    filled = torch.tensor([[2.0, 1.0, 2.0], [2.0, 3.0, 2.0]]).view(1, 2, 1, 3).expand(2, -1, -1, -1)
    given = {"real": torch.zeros(2, 2, 1, 3), "filled": filled, "mask": mask}
    assert squared_in_hole(**given, band=0, band_weight=10.0).tolist() == [(1 + 9) / 2, 0]
    assert squared_in_hole(**given, band=1, band_weight=10.0).tolist() == pytest.approx([(1 + 9 + 10 * 4 * 4) / 6, 0])


@pytest.mark.parametrize("make", [gated, context_encoder])
def test_micro_batches_give_the_step_of_the_whole(make):
    def ends(**changes: Any) -> list[float]:
        module = make(optimizers=sgd(0.1, 0.01), adversarial="non_saturating", **changes)
        train(module, 3)
        return [
            module.generator.first.item(),
            module.generator.second.item(),
            *module.discriminator.of_images.flatten().tolist(),
        ]

    assert ends(micro_batch_size=1) == pytest.approx(ends())


def test_penalties_on_slopes_are_given_the_mask_that_d_sees():
    for critic in (Critic(), Blind()):
        module = gated(discriminator=critic, regularizers={"r1": R1(1.0, 1)})
        train(module)
        assert module.take_records()["reg/r1"] == 25


class Reference(nn.Module):
    """G of a source and a latent: z everywhere, and noise, of which it takes note of what it was given."""

    condition_shape = SIDE
    noise_size, num_layers, vector_dim = 2, 4, 3

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.given = nn.Parameter(torch.ones(())), []
        self.encoder = nn.Module()
        self.encoder.dropout = 0.5

    def pasted(self, filled: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask > 0.5, filled, condition)

    def forward(self, condition: Tensor, mask: Tensor, latents: Tensor, **others: Tensor) -> Tensor:
        self.given.append({"latents": latents, **others})
        return self.pasted((self.scale * latents).view(-1, 1, 1, 1).expand_as(condition), condition, mask)


def test_a_step_of_comodgan_by_hand():
    """-mean D(y) of the second latents falls by 4 mean(z) for the scale; noise, dropout and mixing are drawn."""
    generator = Reference()
    common = {key: value for key, value in settings(optimizers=sgd(0.0, 0.1)).items() if key != "latent_dim"}
    for key in ("latent_distribution", "n_critic", "generator_batch_size", "top_k"):
        del common[key]
    module = CoModGAN(
        **(common | {"generator": generator, "discriminator": Critic()}),
        condition_shape=list(SIDE),
        masked=True,
        adversarial="wasserstein",
        latent_dim=1,
        style_mixing=1.0,
    )
    train(module)
    first, second = generator.given
    assert not torch.equal(first["latents"], second["latents"])
    assert module.generator.scale.item() == pytest.approx(1 + 0.1 * 4 * second["latents"].mean().item())
    assert second["noise"].shape == (2, 2)
    assert second["kept"].shape == (2, 3)
    assert second["kept"].dtype == torch.bool
    assert set(second["crossover"].tolist()) <= {1, 2, 3}
    assert not torch.equal(second["second"], second["latents"])


def test_sources_with_latents():
    inputs = SourceLatentInputs([1, 4, 4], True, 3, "normal")
    drawn = inputs.example(Draws(0), 2)
    assert {name: tuple(value.shape) for name, value in drawn.items()} == {
        "condition": (2, 1, 4, 4),
        "mask": (2, 1, 4, 4),
        "latents": (2, 3),
    }
    sources = {"condition": drawn["condition"]}
    assert torch.equal(inputs.completed(Draws(0), sources)["latents"], drawn["latents"])
    assert inputs.truncated(0.1).completed(Draws(0), sources)["latents"].abs().max() <= 0.1


@pytest.mark.parametrize("make", [gated, context_encoder])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generator": nn.Identity()}, "needs a generator that is given pictures"),
        ({"distance_weight": -1}, "model.distance_weight must be 0 or more, got -1"),
    ],
)
def test_what_does_not_go_together(make, changes, said):
    with pytest.raises(ValueError, match=said):
        make(**changes)


def test_a_translator_is_no_inpainter():
    translator = nn.Identity()
    translator.condition_shape = SIDE
    with pytest.raises(
        ValueError, match="gatedinpainting needs another generator that fills holes than Identity; choose network=gated"
    ):
        gated(generator=translator)


def test_a_mask_moves_with_its_picture():
    """Where D sees a mask of what is light; both are mirrored or not."""
    module = gated(augment={"ada": ADA({"blit": 1.0}, p=1.0, target=None, interval=4, kimg=500, batch_size=2)})
    pictures = torch.tensor([-1.0, 1.0]).expand(64, *SIDE)
    shown, beside = module.augmented_together(pictures, condition=pictures, mask=(pictures > 0).float())
    assert 16 < (shown != pictures).flatten(1).any(1).sum() < 48
    assert torch.equal(beside["mask"], (shown > 0).float())
    assert beside["condition"] is pictures, "D does not see it"


def test_augmentation_of_a_d_that_sees_pictures_alone():
    module = gated(discriminator=Blind(), augment={"doubled": Doubled()})
    assert module.sees == ()
    train(module)


def test_judged_must_be_known():
    with pytest.raises(ValueError, match=r"model\.judged must be one of pasted, whole; got 'half'"):
        context_encoder(judged="half")
