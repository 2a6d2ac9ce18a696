"""Models that learn without pairs: the pool, CycleGAN's and CUT's steps by hand, and what goes with what."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from models.test_translation import pix2pix
from tiny import Same, settings, train_on
from torch import Tensor, nn

from gan_lab.losses.patch_contrast import patch_contrast
from gan_lab.models.cut import CUT
from gan_lab.models.cyclegan import CycleGAN
from gan_lab.models.pool import ImagePool, replayed
from gan_lab.networks.projections import PatchProjections
from gan_lab.networks.translators import ResNetTranslator
from gan_lab.regularizers.r1 import R1
from gan_lab.sampling import Draws

TARGET = torch.tensor([[2.0, 0.0], [0.0, 2.0]])  # b
SOURCE = torch.tensor([[1.0, 1.0], [1.0, 3.0]])  # a


# The pool -------------------------------------------------------------------------------------------------------------


def test_what_a_pool_shows_by_hand():
    """Of 2 places: two new images fill it, and the third takes the place of the second, which is shown; the fourth is
    shown itself; the fifth takes the place of the third."""
    shown, held = replayed([3, 0, 1, 2, 1], size=2, before=0)
    assert shown == [2, 3, 3, 5, 4], "numbers from 2 on are new"
    assert held == [2, 6]


def test_a_pool_goes_on_where_it_stood():
    """In one go or image by image, whatever the batches are cut into."""
    decisions = [int(number) for number in torch.randint(8, (30,), generator=torch.Generator().manual_seed(1))]
    whole, _ = replayed(decisions, size=4, before=0)
    images, seen = [f"empty {place}" for place in range(4)], []
    for number, decision in enumerate(decisions):
        shown, held = replayed([decision], size=4, before=number)
        candidates = [*images, number]
        seen.append(candidates[shown[0]])
        images = [candidates[place] for place in held]
    assert seen == [number - 4 for number in whole]


def test_half_of_the_fakes_are_earlier_ones_once_the_pool_is_full():
    pool, draws, earlier = ImagePool("pool", size=50, shape=(1,)), Draws(0), 0
    for step in range(100):
        draws.move_to(10 * step)
        fakes = torch.full((10, 1), float(step))
        shown = pool.exchange(fakes, decisions=pool.decisions(10, draws), before=10 * step, draws=draws)
        assert (shown == step).all() or step >= 5, "it fills first"
        earlier += int((shown < step).sum())
    assert earlier / 950 == pytest.approx(0.5, abs=0.05)
    assert pool.images.max() == 99


def test_a_pool_of_none_lets_all_pass():
    fakes = torch.rand(3, 2)
    pool, draws = ImagePool("pool", size=0, shape=(2,)), Draws(0)
    assert pool.exchange(fakes, decisions=pool.decisions(3, draws), before=7, draws=draws) is fakes
    with pytest.raises(ValueError, match=r"model.pool_size must be 0 or more, got -1"):
        ImagePool("pool", size=-1, shape=(2,))


# CycleGAN -------------------------------------------------------------------------------------------------------------


class Scaling(nn.Module):
    """x -> a * x elementwise, with a = (s, s)."""

    condition_shape = (2,)
    sample_shape = (2,)

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((2,), scale))

    def forward(self, condition: Tensor) -> Tensor:
        return self.scale * condition


class Critic(nn.Module):
    """w.x"""

    condition_shape = None

    def __init__(self, first: float, second: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([first, second]))

    def forward(self, images: Tensor) -> Tensor:
        return images @ self.weight


class Unpaired(Same):
    """The same targets and sources for ever."""

    condition_shape = (2,)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return itertools.repeat({"real": TARGET, "condition": SOURCE})


def plumbing(**changes: Any) -> dict[str, Any]:
    of_latents = ("latent_dim", "latent_distribution", "n_critic", "generator_batch_size", "top_k")
    common = {key: value for key, value in settings(**changes).items() if key not in of_latents}
    return common | {"condition_shape": [2], "masked": False, "adversarial": "wasserstein"}


def cyclegan(**changes: Any) -> CycleGAN:
    networks = {
        "generator": Scaling(1.0),
        "generator_back": Scaling(2.0),
        "discriminator": Critic(1.0, 0.0),
        "discriminator_back": Critic(0.0, 1.0),
    }
    own = {"cycle_weight": 2.0, "identity_weight": 0.5, "pool_size": 0}
    sgd = {group: partial(torch.optim.SGD, lr=0.5) for group in ("generator", "discriminator")}
    return CycleGAN(**(plumbing(optimizers=sgd) | networks | own | changes))


def train(module: Any, steps: int = 1) -> None:
    train_on(module, Unpaired(TARGET), iterations=steps)


def test_two_steps_of_cyclegan_by_hand():
    """With G(a) = g a, F(b) = f b, g = (1, 1), f = (2, 2), D_B = (1, 0), D_A = (0, 1); means of a (1, 2), of b (1, 1).

    Of g: adversarial -(1, 0) (1, 2) = (-1, 0). Cycle 2 [|f g a - a| + |g f b - b|]: half of 2 (f (1, 2) + f (1, 1)) =
    (4, 6), as a mean over two values each. Identity (0.5 * 2) |g b - b| = 0, at its kink. So g falls by half of (3, 6).
    Of f: adversarial -(0, 1) (1, 1) = (0, -1). Cycle half of 2 ((1, 2) + (1, 1)) = (2, 3). Identity |f a - a|:
    (1/2, 1). So f falls by half of (2.5, 3).
    D_B, of the fakes made before: half of (mean fake - mean real) = ((1, 2) - (1, 1)) / 2; D_A: ((2, 2) - (1, 2)) / 2.
    """
    module = cyclegan()
    train(module)
    assert module.generator.scale.tolist() == pytest.approx([1 - 1.5, 1 - 3])
    assert module.generator_back.scale.tolist() == pytest.approx([2 - 1.25, 2 - 1.5])
    assert module.discriminator.weight.tolist() == pytest.approx([1.0, -0.25])
    assert module.discriminator_back.weight.tolist() == pytest.approx([-0.25, 1.0])


def test_micro_batches_give_the_step_of_the_whole_pool_included():
    def ends(**changes: Any) -> list[float]:
        module = cyclegan(pool_size=3, **changes)
        train(module, 4)
        return [value for parameter in module.parameters() for value in parameter.flatten().tolist()]

    torch.testing.assert_close(ends(micro_batch_size=1)[:4], ends()[:4], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("every", [1, 2])
def test_penalties_are_of_both_discriminators(every):
    """R1 pulls D_B = (1, 0) and D_A = (0, 1) each to the origin, though neither tells reals from fakes."""
    module = cyclegan(regularizers={"r1": R1(0.2, every)}, generator=Scaling(1.0))
    still = {"generator": partial(torch.optim.SGD, lr=0.0), "discriminator": partial(torch.optim.SGD, lr=0.5)}
    module.optimizer_factories = still
    module.adversarial = module.adversarial._replace(
        discriminator=lambda *, real_logits, fake_logits: 0 * (real_logits + fake_logits)
    )
    train(module)
    shrunk = {1: 0.8, 2: 1 - 0.4 * 2 / 3}[every]  # half as often, twice as heavy, with 2/3 of the rate
    assert module.discriminator.weight.tolist() == pytest.approx([shrunk, 0.0])
    assert module.discriminator_back.weight.tolist() == pytest.approx([0.0, shrunk])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"masked": True}, "data.masked is true; choose a condition of no holes"),
        ({"cycle_weight": -1.0}, "model.cycle_weight must be 0 or more, got -1"),
        ({"identity_weight": -1.0}, "model.identity_weight must be 0 or more, got -1"),
        ({"pool_size": -1}, "model.pool_size must be 0 or more, got -1"),
    ],
)
def test_what_cyclegan_refuses(changes, said):
    with pytest.raises(ValueError, match=said):
        cyclegan(**changes)


def test_domains_of_other_shapes_have_no_identity():
    other = Scaling(1.0)
    other.sample_shape = (3,)  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"they are \(2,\) and \(3,\); set model.identity_weight=0"):
        cyclegan(generator_back=other)
    cyclegan(generator_back=other, identity_weight=0.0)


def test_discriminators_of_cyclegan_see_no_sources():
    paired = Critic(1.0, 0.0)
    paired.condition_shape = (2,)  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"set model.discriminator.condition_shape=null"):
        cyclegan(discriminator=paired)


# CUT ------------------------------------------------------------------------------------------------------------------


def test_patches_are_found_among_all_of_their_picture():
    """Two places with orthogonal vectors, temperature 1: -log(e / (e + 1)) where they agree, -log(1 / (1 + e)) where
    they are exchanged."""
    keys = torch.eye(2)[None]
    queries = torch.cat([keys, keys.flip(1)])
    expected = [torch.log1p(torch.exp(torch.tensor(-1.0))), torch.log1p(torch.exp(torch.tensor(1.0)))]
    found = patch_contrast(queries, keys.expand(2, 2, 2), temperature=1.0)
    assert found.tolist() == pytest.approx([value.item() for value in expected])


def translator(**changes: Any) -> ResNetTranslator:
    usual = {"sample_shape": [3, 16, 16], "condition_shape": [3, 16, 16], "masked": False, "width": 4, "blocks": 3}
    usual |= {"downsamplings": 2, "normalization": "instance_plain", "dropout": 0.0, "upsampling": "transposed"}
    return ResNetTranslator(**(usual | {"initialization": "normal"} | changes))


def test_projections_of_the_published_network_have_its_parameters():
    """The authors' five networks, on 3, 128 and thrice 256 channels."""
    with torch.device("meta"):
        generator = translator(width=64, blocks=9, sample_shape=[3, 256, 256], condition_shape=[3, 256, 256])
        features = PatchProjections(channels=generator.feature_channels, width=256)
    assert generator.feature_channels == [3, 128, 256, 256, 256]
    assert sum(parameter.numel() for parameter in features.parameters()) == 560_384


@pytest.mark.parametrize("blocks", [1, 3])
def test_feature_maps_are_what_the_generator_computes_on_its_way(blocks):
    generator = translator(blocks=blocks)
    picture = torch.rand(2, 3, 16, 16)
    maps = generator.feature_maps(picture)
    assert [len(features[0]) for features in maps] == generator.feature_channels
    assert [features[0, 0].numel() for features in maps] == generator.feature_sizes(16, 16)
    later = generator.blocks[(blocks + 1) // 2 :](maps[-1])
    assert torch.equal(generator.output(generator.up(later)).tanh(), generator(condition=picture))


class Pictures(Same):
    """One batch of pictures of both domains for ever."""

    condition_shape = (3, 16, 16)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        random = torch.Generator().manual_seed(0)
        real, condition = torch.rand(2, 4, 3, 16, 16, generator=random) - 0.5
        return itertools.repeat({"real": real, "condition": condition})


class MeanCritic(nn.Module):
    condition_shape = None

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.weight * images.flatten(1).mean(1)


def cut(**changes: Any) -> CUT:
    torch.manual_seed(0)
    own = {"generator": translator(), "discriminator": MeanCritic(), "contrast_weight": 1.0, "identity": True}
    own |= {"features": partial(PatchProjections, width=8)}
    own |= {"flips": False, "temperature": 0.07, "patches": 16, "condition_shape": [3, 16, 16]}
    adam = {group: partial(torch.optim.Adam, lr=2e-3) for group in ("generator", "discriminator")}
    return CUT(**(plumbing(optimizers=adam) | own | {"batch_size": 4} | changes))


@pytest.mark.parametrize("flips", [False, True])
def test_cut_learns_to_keep_what_patches_show(flips):
    module = cut(flips=flips, identity=not flips)
    train_on(module, Pictures(torch.zeros(4, 3, 16, 16)), iterations=1)
    first = module.take_records()["loss/contrast"]
    train_on(module, Pictures(torch.zeros(4, 3, 16, 16)), iterations=15)
    assert module.take_records()["loss/contrast"] < 0.8 * first


def test_mirrored_batches_are_compared_mirrored_back(monkeypatch):
    """With a generator that leaves pictures as they are, sources are compared with themselves in either case."""
    module = cut(flips=True, identity=False, batch_size=4)
    module.generator.translate = lambda pictures: pictures.atanh()  # forward ends with tanh
    compared = []
    bias = module.features.heads[0][0].bias.sum()

    def noted(pictures, made, places):
        compared.append(made - pictures)
        return bias

    monkeypatch.setattr(module, "contrast", noted)
    monkeypatch.setattr(module, "optimizer_factories", {g: partial(torch.optim.SGD, lr=0.0) for g in module.groups})
    coins = iter([[0], [1]])
    monkeypatch.setattr(module.draws, "decisions", lambda *_: next(coins))
    train_on(module, Pictures(torch.zeros(4, 3, 16, 16)), iterations=2)
    assert len(compared) == 2
    assert all(difference.abs().max() < 1e-5 for difference in compared)


def test_the_identity_alone_asks_for_targets_like_sources():
    grey = {"generator": translator(condition_shape=[1, 16, 16]), "condition_shape": [1, 16, 16]}
    with pytest.raises(ValueError, match=r"takes \(1, 16, 16\), and they are \(3, 16, 16\); set model.identity=false"):
        cut(**grey)
    cut(**grey, identity=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generator": Scaling(1.0)}, "Scaling shows none; choose network=resnet_translator"),
        ({"contrast_weight": -1.0}, "model.contrast_weight must be 0 or more, got -1"),
        ({"temperature": 0.0}, "model.temperature must be more than 0, got 0"),
        ({"patches": 0}, "model.patches must be 1 or more, got 0"),
        ({"masked": True}, "data.masked is true"),
    ],
)
def test_what_cut_refuses(changes, said):
    with pytest.raises(ValueError, match=said):
        cut(**changes)


def test_a_model_of_pairs_refuses_others():
    class Others(Unpaired):
        paired = False

    train_on(cyclegan(), Others(TARGET), iterations=1)
    with pytest.raises(ValueError, match=r"pix2pix learns from pairs .* choose model=cyclegan or model=cut"):
        train_on(pix2pix(), Others(TARGET), iterations=1)
