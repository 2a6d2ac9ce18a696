"""SNGAN, worked by hand: w = (3, 4) divided by its norm gives logits 0.6, 0.8 of reals and 1.4, -0.6 of fakes."""

import pytest
import torch
from tiny import fit, fix_latents, settings
from torch import nn

from gan_lab.layers.normalization import spectrally_normalize
from gan_lab.models.sngan import SNGAN


def critic() -> nn.Module:
    line = nn.Linear(2, 1, bias=False)
    line.weight.data = torch.tensor([[3.0, 4.0]])
    layers = nn.Sequential(line, nn.Flatten(0))
    spectrally_normalize(layers)
    return layers


def test_losses():
    module = SNGAN(**settings(discriminator=critic()))
    fix_latents(module)
    fit(module, images=2)
    records = module.take_records()
    assert records["loss/d"] == pytest.approx(((0.4 + 2.4) + (0.2 + 0.4)) / 2)
    assert records["loss/g"] == pytest.approx(-(1.4 - 0.6) / 2)


def test_steps():
    """All four are inside the margin: D's slope by the normalized weight is (-0.5, 0), across w it is a fifth of it."""
    module = SNGAN(**settings(discriminator=critic(), d_lr=1.0))
    fix_latents(module)
    fit(module, images=2)
    slope, along = torch.tensor([-0.5, 0.0]), torch.tensor([0.6, 0.8])
    expected = torch.tensor([3.0, 4.0]) - (slope - (slope @ along) * along) / 5
    original = module.discriminator[0].parametrizations.weight.original[0]
    torch.testing.assert_close(original.detach(), expected)
    torch.testing.assert_close(module.discriminator[0].weight.norm(), torch.tensor(1.0))


@pytest.mark.parametrize("layer", [nn.Linear(2, 2), nn.Conv2d(1, 1, 3)])
def test_a_layer_without_normalization_is_refused(layer):
    layers = nn.Sequential(critic(), layer)
    with pytest.raises(ValueError, match=r"discriminator\.1 has none; set model.discriminator.normalization=spectral"):
        SNGAN(**settings(discriminator=layers))
