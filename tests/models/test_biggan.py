"""BigGAN, worked by hand: see `labelled.py`."""

import pytest
from labelled import assert_regularizers_are_told, module_of, step_once
from tiny import settings
from torch import nn

from gan_lab.layers.normalization import spectrally_normalize
from gan_lab.models.biggan import BigGAN


def test_losses_are_of_samples_with_their_classes():
    module = module_of(BigGAN)
    assert_regularizers_are_told(step_once(module))
    records = module.take_records()
    assert records["loss/d"] == pytest.approx((0.7 + 0 + 7 + 0.7) / 2), "the second real alone is beyond the margin"
    assert records["loss/g"] == pytest.approx(-(6 - 0.3) / 2)


def test_the_step_of_d():
    """By w: -0.1 of the first real, 2 and -0.1 of the fakes, all along the first axis; by s_y: w.x, with its sign."""
    module = module_of(BigGAN, d_lr=1.0)
    step_once(module)
    assert module.discriminator.weight.tolist() == pytest.approx([3 - (-0.1 + 2 - 0.1) / 2, 4])
    assert module.discriminator.factors.tolist() == pytest.approx([0.1 + (3 + 3) / 2, 2 - 3 / 2])


def test_the_step_of_g():
    """By b_y: -s_y w / 2."""
    module = module_of(BigGAN, g_lr=1.0)
    step_once(module)
    assert module.generator.shift.tolist() == [pytest.approx([0.15, 0.2]), pytest.approx([3, 4 - 1])]


@pytest.mark.parametrize("network", ["generator", "discriminator"])
@pytest.mark.parametrize("layer", [nn.Linear(2, 2), nn.Conv2d(1, 1, 3), nn.ConvTranspose2d(1, 1, 3)])
def test_a_layer_without_spectral_normalization_is_refused(network, layer):
    classes = {"num_classes": 2, "label_distribution": "uniform"}
    normalized = nn.Sequential(nn.Linear(2, 2))
    spectrally_normalize(normalized)
    BigGAN(**settings(**{network: normalized}), **classes)
    with pytest.raises(ValueError, match=rf"biggan needs spectral .* {network}\.1 has none; choose network=biggan"):
        BigGAN(**settings(**{network: nn.Sequential(normalized, layer)}), **classes)
