"""SRGAN's and ESRGAN's terms by hand, what their weights mean, and the extractor that looks on."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from conftest import ROOT
from models.test_translation import REAL, Pairs, Scaling, UnpairedCritic
from omegaconf import OmegaConf
from tiny import Doubled, Same, settings, train_on
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from gan_lab.extractors.base import MissingWeights
from gan_lab.extractors.digitnet import DigitNet
from gan_lab.extractors.vgg import VGG19
from gan_lab.losses.adversarial import LOSSES
from gan_lab.models.srgan import SRGAN
from gan_lab.networks.enlargers import SRResNet
from gan_lab.networks.vgg_discriminator import VGGDiscriminator
from gan_lab.regularizers.r1 import R1

SGD = {"discriminator": partial(torch.optim.SGD, lr=1.0), "generator": partial(torch.optim.SGD, lr=0.1)}


class Tripled(nn.Module):
    """F(x) = 3 x."""

    def differentiable(self, images: Tensor) -> Tensor:
        return 3 * images


class ScalingOfTwo(Scaling):
    sample_shape = (2,)


def srgan(**changes: Any) -> SRGAN:
    of_latents = ("latent_dim", "latent_distribution", "n_critic", "generator_batch_size", "top_k")
    common = {key: value for key, value in settings(optimizers=SGD).items() if key not in of_latents}
    own = {
        "condition_shape": [2],
        "masked": False,
        "adversarial": "wasserstein",
        "pixel_weight": 8.0,
        "perceptual": Tripled,
        "perceptual_weight": 2.0,
        "adversarial_weight": 0.5,
    }
    networks = {"generator": ScalingOfTwo(), "discriminator": UnpairedCritic()}
    return SRGAN(**(common | networks | own | changes))


def test_two_steps_by_hand():
    """D: mean of fakes - mean of reals moves w by (1/2, 0). G, against that D: mean|y - a x| / 2 rises by (1, 1) / 8
    for a, mean|3 y - 3 a x| by (3, 3) / 4, -mean D by (0, -2): with their weights by (1 + 3/2, 1 + 3/2 - 1)."""
    module = srgan()
    train_on(module, Pairs(REAL), iterations=1)
    assert module.discriminator.of_images.tolist() == pytest.approx([3.5, 4.0])
    assert module.generator.scale.tolist() == pytest.approx([0.75, 0.85])
    records = module.take_records()
    assert records["loss/pixels"] == pytest.approx(0.375)
    assert records["loss/perceptual"] == pytest.approx(3 * 0.75)
    assert records["loss/g"] == pytest.approx(-(0.0 + 4.0 * 0.5))


def test_micro_batches_give_the_step_of_the_whole():
    def ends(**changes: Any) -> list[float]:
        module = srgan(**changes)
        train_on(module, Pairs(REAL), iterations=3)
        return [*module.generator.scale.tolist(), *module.discriminator.of_images.tolist()]

    assert ends(micro_batch_size=1) == pytest.approx(ends())


def test_without_a_game_d_takes_no_step():
    module = srgan(adversarial_weight=0, perceptual=None)
    train_on(module, Pairs(REAL), iterations=3)
    assert module.discriminator.of_images.tolist() == [3, 4]
    assert module.steps == {"discriminator": 0, "generator": 3}
    assert module.images_seen == 6
    assert module.generator.scale.tolist() == pytest.approx([0.9, 0.7]), "of a_1, the slopes cancel from .9 on"


@pytest.mark.parametrize("name", ["srgan", "esrgan"])
def test_the_weights_mean_what_basicsr_s_do(name):
    """.005 of the cross-entropy of fakes as real; of half of both sides of the relativistic one."""
    node = OmegaConf.load(ROOT / "conf" / "model" / f"{name}.yaml")
    real, fake = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([-3.0, 0.25, 1.0])
    ours = node.adversarial_weight * LOSSES[node.adversarial].generator(real_logits=real, fake_logits=fake).mean()
    zeros, ones = torch.zeros(3), torch.ones(3)
    if name == "srgan":
        theirs = bce(fake, ones)
    else:
        theirs = (bce(real - fake.mean(), zeros) + bce(fake - real.mean(), ones)) / 2
    assert ours.item() == pytest.approx(5e-3 * theirs.item())
    assert (node.pixel_weight, node.perceptual_weight) == (1e-2, 1.0)


# The extractor --------------------------------------------------------------------------------------------------------


class Enlarging(Same):
    """The same pictures of 16x16 pixels with their sources of 8x8."""

    condition_shape = (1, 8, 8)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        real = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return itertools.repeat({"real": real, "condition": real[:, :, ::2, ::2]})


def of_pictures(**changes: Any) -> SRGAN:
    torch.manual_seed(0)
    shapes = {"sample_shape": (1, 16, 16), "initialization": "he", "width": 4}
    generator = SRResNet(condition_shape=(1, 8, 8), masked=False, blocks=1, **shapes)
    discriminator = VGGDiscriminator(depth=2, hidden=4, normalization="none", **shapes)
    own = {"condition_shape": [1, 8, 8], "pixel_weight": 0.0, "perceptual_weight": 1.0, "adversarial_weight": 0.0}
    return srgan(**{"generator": generator, "discriminator": discriminator, **own, **changes})


def test_the_perceptual_gradient_reaches_g_and_not_the_extractor():
    made = []

    def extractor() -> DigitNet:
        made.append(DigitNet(None))
        return made[-1]

    module = of_pictures(perceptual=extractor)
    assert made == [], "a model is built without its extractor"
    before = {name: value.clone() for name, value in module.generator.named_parameters()}
    train_on(module, Enlarging(REAL), iterations=1)
    assert not any(torch.equal(value, before[name]) for name, value in module.generator.named_parameters())
    [looked_on] = made
    fresh = DigitNet(None).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in looked_on.state_dict().items())
    assert all(parameter.grad is None for parameter in looked_on.parameters())
    assert {key.split(".")[0] for key in module.state_dict()} <= {"generator", "discriminator", "averages"}


def test_missing_weights_are_said_before_training_with_the_remedy(tmp_path):
    module = of_pictures(perceptual=partial(VGG19, weights=tmp_path / "vgg19.pth", download=False))
    with pytest.raises(
        ValueError, match=r"VGG19's weights file .* is absent: fetch https.*model\.perceptual=null"
    ) as e:
        train_on(module, Enlarging(REAL), iterations=1)
    assert isinstance(e.value.__cause__, MissingWeights)
    assert module.images_seen == 0


class ForScores(DigitNet):
    """An extractor without maps."""

    def maps(self, images: Tensor) -> Tensor:
        return super(DigitNet, self).maps(images)


def test_an_extractor_that_has_no_maps_is_refused_before_training():
    with pytest.raises(ValueError, match=r"the extractor digitnet is made for scores: .* extractor@model.perceptual="):
        train_on(of_pictures(perceptual=partial(ForScores, None)), Enlarging(REAL), iterations=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pixel_weight": -1}, "model.pixel_weight must be 0 or more, got -1"),
        ({"perceptual": "vgg19"}, "model.perceptual must be a node with _target_ .* got 'vgg19'"),
        (
            {"pixel_weight": 0, "adversarial_weight": 0, "perceptual": None},
            "G minimizes nothing: set model.pixel_weight",
        ),
        ({"adversarial_weight": 0, "regularizers": {"r1": R1(1.0, 1)}}, "leaves D without a loss; leave r1 out"),
        ({"adversarial_weight": 0, "augment": {"doubled": Doubled()}}, "leave doubled out, or set it to more"),
    ],
)
def test_what_does_not_go_together(changes, said):
    with pytest.raises(ValueError, match=said):
        srgan(**changes)
