"""Parts that a model, or its networks, make no sense of: refused when built or before training, with the reason."""

import pytest
from hydra.utils import instantiate
from omegaconf import open_dict
from test_every_model import chosen_config

from gan_lab.augment.apa import APA
from gan_lab.regularizers.consistency import LatentConsistency, LatentDiversity
from gan_lab.regularizers.orthogonal import Orthogonal
from gan_lab.regularizers.path_length import PathLength


def built(model, **discriminator):
    config = chosen_config(model)
    with open_dict(config):
        config.model.discriminator.update(discriminator)
    return instantiate(config.model, _convert_="all")


def apa():
    return APA(p=0.5, target=None, interval=4, kimg=500, batch_size=2)


@pytest.mark.parametrize("model", ["rpgan", "r3gan"])
def test_a_fake_in_a_reals_place_would_be_compared_with_itself(model):
    with pytest.raises(ValueError, match="compares each real with the fake of its number"):
        apa().check(built(model))


def test_codes_are_no_labels():
    apa().check(built("infogan"))


@pytest.mark.parametrize("kind", [LatentConsistency, LatentDiversity])
def test_neighbours_would_differ_by_noise(kind):
    with pytest.raises(ValueError, match="draws noise of its own for each picture"):
        kind(weight=1.0, every=1, sigma=0.1).check(built("stylegan2"))


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_stored_filters_are_not_those_that_are_used(network):
    with pytest.raises(ValueError, match=f"the {network} scales its filters where it uses them"):
        Orthogonal(weight=1.0, every=1, network=network).check(built("stylegan2"))


def test_points_have_no_pixels():
    module = built("gan")
    module.generator.sample_shape = (2,)
    with pytest.raises(ValueError, match=r"of pictures \(C, H, W\), got samples of shape \(2,\)"):
        PathLength(weight=1.0, every=1, decay=0.9, batch_shrink=1).check(module)


@pytest.mark.parametrize("model", ["cgan", "projection_gan", "sagan", "biggan", "r3gan_conditional"])
def test_labels_that_d_would_not_see(model):
    with pytest.raises(Exception, match=r"judges samples as of a class, and .* is not conditioned on it"):
        built(model, conditioning="none")


@pytest.mark.parametrize(
    "model", ["acgan", "biggan", "cgan", "contragan", "projection_gan", "r3gan_conditional", "reacgan", "sagan"]
)
def test_labels_that_g_would_not_see(model):
    config = chosen_config(model)
    config.model.generator.conditioning = "none"
    with pytest.raises(Exception, match=r"makes samples of a class, and .* is not conditioned on it"):
        instantiate(config.model, _convert_="all")


@pytest.mark.parametrize("model", ["acgan", "contragan", "reacgan"])
def test_a_discriminator_that_is_told_the_class(model):
    with pytest.raises(Exception, match="asks D for the class, and D is conditioned on it"):
        built(model, conditioning="concatenation", num_classes=10)


def test_acgan_takes_a_projection_which_comes_after_the_features():
    assert built("acgan", conditioning="projection", num_classes=10)
    with pytest.raises(Exception, match="asks D for the class, and D is conditioned on it"):
        built("contragan", conditioning="projection", num_classes=10)
