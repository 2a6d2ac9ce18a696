"""Models whose generator is given pictures: pix2pix's two steps by hand, and what goes with what."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from tiny import Doubled, Same, ScalingGenerator, settings, train_on
from torch import Tensor, nn

from gan_lab.augment.ada import ADA
from gan_lab.augment.apa import APA
from gan_lab.losses.adversarial import LOSSES
from gan_lab.models.gan import GAN
from gan_lab.models.pix2pix import Pix2Pix
from gan_lab.regularizers.consistency import BalancedConsistency
from gan_lab.regularizers.gradient_penalty import GradientPenalty
from gan_lab.regularizers.r1 import R1, R2
from gan_lab.sampling import Draws, SourceInputs

REAL = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # targets y
SOURCE = torch.tensor([[1.0, 1.0], [-1.0, 0.0]])  # sources x, and outputs G(x) with a = (1, 1)


class PairedCritic(nn.Module):
    """D(x, y) = w.y + v.x, with w = (3, 4) and v = (1, 0)."""

    condition_shape = (2,)

    def __init__(self) -> None:
        super().__init__()
        self.of_images = nn.Parameter(torch.tensor([3.0, 4.0]))
        self.of_sources = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        return images @ self.of_images + condition @ self.of_sources


class UnpairedCritic(PairedCritic):
    """D(y) = w.y."""

    condition_shape = None

    def forward(self, images: Tensor) -> Tensor:
        return images @ self.of_images


class Scaling(nn.Module):
    """G(x) = a * x elementwise, with a = (1, 1)."""

    condition_shape = (2,)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, condition: Tensor) -> Tensor:
        return self.scale * condition


class Pairs(Same):
    """The same targets with the same sources for ever."""

    condition_shape = (2,)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return itertools.repeat({"real": REAL, "condition": SOURCE})


def pix2pix(**changes: Any) -> Pix2Pix:
    of_latents = ("latent_dim", "latent_distribution", "n_critic", "generator_batch_size", "top_k")
    common = {key: value for key, value in settings(**changes).items() if key not in of_latents}
    own = {"condition_shape": [2], "masked": False, "adversarial": "wasserstein", "distance_weight": 4.0}
    networks = {"generator": Scaling(), "discriminator": PairedCritic()}
    return Pix2Pix(**(common | networks | own | changes))


def train(module: Any, steps: int = 1) -> None:
    train_on(module, Pairs(REAL), iterations=steps)


def test_two_steps_of_pix2pix_by_hand():
    """D: (mean of fakes - mean of reals) / 2 moves w by (1/4, 0). G, against that D: mean D falls by (0, 2) for a, and
    4 mean|y - a x| rises by (1, 1)."""
    module = pix2pix(
        optimizers={
            group: partial(torch.optim.SGD, lr=lr) for group, lr in (("discriminator", 1.0), ("generator", 0.1))
        }
    )
    train(module)
    assert module.discriminator.of_images.tolist() == pytest.approx([3.25, 4.0])
    assert module.discriminator.of_sources.tolist() == pytest.approx([1.0, 0.0])
    assert module.generator.scale.tolist() == pytest.approx([0.9, 1.1])


def test_micro_batches_give_the_step_of_the_whole():
    def ends(**changes: Any) -> list[float]:
        optimizers = {group: partial(torch.optim.SGD, lr=0.1) for group in ("discriminator", "generator")}
        module = pix2pix(optimizers=optimizers, **changes)
        train(module, 3)
        return [*module.generator.scale.tolist(), *module.discriminator.of_images.tolist()]

    assert ends(micro_batch_size=1) == pytest.approx(ends())


@pytest.mark.parametrize("name", LOSSES)
def test_any_game_of_two_trains_it(name):
    optimizers = {group: partial(torch.optim.SGD, lr=0.1) for group in ("discriminator", "generator")}
    module = pix2pix(adversarial=name, optimizers=optimizers, regularizers={"r1": R1(0.5, 1)})
    train(module, 2)
    assert not torch.equal(module.generator.scale, torch.ones(2))
    assert module.boundary == LOSSES[name].boundary


def test_d_may_see_targets_alone():
    optimizers = {group: partial(torch.optim.SGD, lr=1.0) for group in ("discriminator", "generator")}
    module = pix2pix(discriminator=UnpairedCritic(), optimizers=optimizers)
    train(module)
    assert module.discriminator.of_images.tolist() == pytest.approx([3.25, 4.0])


def test_penalties_on_slopes_know_the_sources():
    """|w|^2 = 25 at reals, whatever the sources."""
    module = pix2pix(regularizers={"r1": R1(1.0, 1)})
    train(module)
    assert module.take_records()["reg/r1"] == 25


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generator": ScalingGenerator()}, "needs a generator that is given pictures, and ScalingGenerator is not"),
        ({"adversarial": "hing"}, "model.adversarial must be one of non_saturating, least_squares, .* got 'hing'"),
        ({"distance_weight": -1}, "model.distance_weight must be 0 or more, got -1"),
    ],
)
def test_what_does_not_go_together(changes, said):
    with pytest.raises(ValueError, match=said):
        pix2pix(**changes)


# A D that sees the sources, and what moves pictures -----------------------------------------------------------------

ROW = (1, 4, 4)
PATTERN = 0.5 * (1 - 2 * (torch.arange(2 * 16).view(2, *ROW).square() % 7 % 2).float())  # values 1/2 and -1/2


class ApartCritic(nn.Module):
    """D(x, y) = s * mean|y - x| with s = 1."""

    condition_shape = ROW

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        return self.scale * (images - condition).abs().flatten(1).mean(1)


class SquareCritic(ApartCritic):
    """D(x, y) = s * |y - x|^2."""

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        return self.scale * (images - condition).square().flatten(1).sum(1)


class Enlarging(Scaling):
    """G(x) = a * x, with a = 2."""

    condition_shape = ROW

    def __init__(self, scale: float = 2.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))


class EqualPairs(Pairs):
    """Targets that are their sources."""

    condition_shape = ROW

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return itertools.repeat({"real": PATTERN, "condition": PATTERN})


MOVING = {
    "ada": lambda: ADA({"blit": 1.0, "color": 1.0}, p=1.0, target=None, interval=4, kimg=500, batch_size=2),
    "apa": lambda: APA(p=1.0, target=None, interval=4, kimg=500, batch_size=2),
}


def of_equal_pairs(**changes: Any) -> Pix2Pix:
    own = {"generator": Enlarging(), "discriminator": ApartCritic(), "condition_shape": list(ROW)}
    module = pix2pix(**(own | {"distance_weight": 0.0} | changes))
    train_on(module, EqualPairs(PATTERN), iterations=1)
    return module


def test_both_pictures_of_a_pair_are_moved_by_one_draw():
    """Reals are their sources however both are turned: D says 0. Fakes are twice theirs: 1/2, which falls in G's step
    by 0.1 * 1/2 for the scale."""
    optimizers = {group: partial(torch.optim.SGD, lr=lr) for group, lr in (("discriminator", 0.0), ("generator", 0.1))}
    module = of_equal_pairs(augment={"ada": MOVING["ada"]()}, optimizers=optimizers)
    records = module.take_records()
    assert records["logits/real"] == 0.0
    assert records["logits/fake"] == 0.5
    assert module.generator.scale.item() == pytest.approx(2.05)


def test_a_fake_in_a_reals_place_has_that_reals_source():
    module = of_equal_pairs(augment={name: make() for name, make in MOVING.items()})
    assert module.take_records()["logits/real"] == 0.5


def test_consistency_moves_both_pictures():
    """What D says of a pair does not change when both are mirrored and moved."""
    term = {"weight": 1.0, "every": 1, "flip": True, "max_shift": 2}
    module = of_equal_pairs(regularizers={"bcr": BalancedConsistency(**term)}, augment={"ada": MOVING["ada"]()})
    assert module.take_records()["reg/bcr"] == 0.0


@pytest.mark.parametrize("term", [GradientPenalty(1.0, 1, target=1.0, one_sided=False), R1(1.0, 1), R2(1.0, 1)])
def test_slopes_are_taken_beside_the_source_as_it_was_moved(term):
    """|y - x|^2 has none where both are the same: fakes are their sources, too, and so is what lies in between."""
    module = of_equal_pairs(
        generator=Enlarging(1.0),
        discriminator=SquareCritic(),
        regularizers={"term": term},
        augment={"ada": MOVING["ada"]()},
    )
    expected = 1.0 if isinstance(term, GradientPenalty) else 0.0
    assert module.take_records()[f"reg/{term.name}"] == expected


def test_an_augmentation_that_knows_no_sources():
    with pytest.raises(ValueError, match="Doubled changes images alone, and D of pix2pix sees the condition beside"):
        train(pix2pix(augment={"doubled": Doubled()}))


def test_a_fake_would_be_compared_with_itself():
    with pytest.raises(ValueError, match="Pix2Pix compares each real with the fake of its number"):
        of_equal_pairs(adversarial="relativistic", augment={"apa": MOVING["apa"]()})


def test_data_without_sources():
    with pytest.raises(ValueError, match=r"pix2pix needs sources beside the targets.* condition=grey"):
        train_on(pix2pix(), Same(REAL), iterations=1)


def test_sources_for_a_generator_of_latents():
    with pytest.raises(ValueError, match=r"that of gan is given none; leave condition out, or choose model=pix2pix"):
        train_on(GAN(**settings(), generator_loss="non_saturating", real_target=1.0), Pairs(REAL), iterations=1)


# The inputs -----------------------------------------------------------------------------------------------------------


class Numbers:
    """Sources that say their number."""

    def inputs(self, first: int, count: int) -> dict[str, Tensor]:
        return {"condition": torch.arange(first, first + count, dtype=torch.float32)}


def test_sources_go_by_number():
    inputs = SourceInputs([1], masked=False)
    draws = Draws(0)
    with pytest.raises(RuntimeError, match="bind them"):
        inputs.draw(draws, 2)
    bound = inputs.bound_to(Numbers())
    assert bound.draw(draws, 2, first=6)["condition"].tolist() == [6, 7]
    assert bound.draw(draws, 1)["condition"].tolist() == [0]
    with pytest.raises(ValueError, match="cannot make given classes"):
        bound.draw(draws, 2, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="truncation is of latents"):
        bound.truncated(1.0)


def test_examples_have_the_shapes_of_sources():
    drawn = SourceInputs([3, 4, 5], masked=True).example(Draws(0), 50)
    assert drawn["condition"].shape == (50, 3, 4, 5)
    assert drawn["condition"].abs().max() <= 1
    assert drawn["mask"].shape == (50, 1, 4, 5)
    assert drawn["mask"].unique().tolist() == [0, 1]
