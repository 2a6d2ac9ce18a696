"""StyleGAN2: its losses by hand, and what its pictures are made of."""

import copy

import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from logistic import softplus
from tiny import REAL, LinearCritic, ScalingGenerator, fit, fix_latents, settings

from gan_lab.config import register
from gan_lab.models.base import correct_for_further_steps
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.models.stylegan2 import StyleGAN2
from gan_lab.networks.stylegan2 import StyleGAN2Generator


class StyledScaling(ScalingGenerator):
    """w = z, the same for 4 layers; G(w) = a times the w of the last layer; 3 numbers of noise, which count not."""

    num_layers, noise_size = 4, 3

    def __init__(self):
        super().__init__()
        self.given = []

    def styles(self, latents, *, second=None, crossover=None):
        self.given.append((second, crossover))
        return latents.unsqueeze(1).expand(-1, 4, -1)

    def synthesis(self, styles, *, noise):
        self.given.append(noise)
        return self.scale * styles[:, -1]

    def forward(self, latents, *, second=None, crossover=None, noise):
        return self.synthesis(self.styles(latents, second=second, crossover=crossover), noise=noise)


def module_of(style_mixing=0.0, **changes):
    return StyleGAN2(**settings(**{"generator": StyledScaling()} | changes), style_mixing=style_mixing)


def test_losses():
    """D = 3 and 4 of reals, 7 and -3 of fakes."""
    module = module_of()
    fix_latents(module)
    fit(module, images=2)
    records = module.take_records()
    expected = softplus(-3) + softplus(-4) + softplus(7) + softplus(-3)
    assert records["loss/d"] == pytest.approx(expected / 2, rel=1e-6)
    assert records["loss/g"] == pytest.approx((softplus(-7) + softplus(3)) / 2, rel=1e-6)


def test_without_mixing_there_is_one_latent():
    module = module_of()
    fit(module, images=4)
    assert [entry for entry in module.generator.given if isinstance(entry, tuple)] == 4 * [(None, None)]


@pytest.mark.parametrize("share", [0.9, 0.25, 1.0])
def test_mixing(share):
    """So many images cross, at each inner layer equally often; the others, never."""
    module = module_of(style_mixing=share)
    count = 20_000
    mixing = module.mixing(count)
    crossover = mixing["crossover"]
    assert mixing["second"].shape == (count, 2)
    assert crossover.min() == 1
    frequencies = torch.bincount(crossover, minlength=5) / count
    assert frequencies[4].item() == pytest.approx(1 - share, abs=0.01)
    assert frequencies[1:4].tolist() == pytest.approx([share / 3] * 3, abs=0.01)


def test_every_picture_has_new_noise_and_latents():
    module = module_of(style_mixing=0.5)
    fit(module, images=6, real=REAL)
    noises = [entry for entry in module.generator.given if isinstance(entry, torch.Tensor)]
    seconds = [entry[0] for entry in module.generator.given if isinstance(entry, tuple)]
    for drawn in (torch.cat(noises), torch.cat(seconds)):
        assert len(drawn) == 2 * 6, "of D's and of G's steps"
        assert len(drawn.unique(dim=0)) == len(drawn)
    assert torch.cat(noises).shape[1] == 3


def test_paths_are_fakes_with_their_styles():
    generator = StyleGAN2Generator(
        sample_shape=(1, 8, 8), latent_dim=2, w_dim=4, depth=1, width=4, max_width=4, w_average_decay=0.9
    )
    with torch.no_grad():
        for layer in generator.synthesis.convolutions:
            layer.noise_strength.fill_(1.0)
    module, other = (module_of(style_mixing=0.5, generator=same) for same in (copy.deepcopy(generator), generator))
    latents = torch.randn(16, 2)
    images, styles = module.paths(latents)
    assert styles.shape == (16, 4, 4)
    assert torch.equal(images, other.fakes(latents)), "the same draws at the same moment"
    assert len(styles.unique(dim=1)[0]) > 1, "some are mixed"
    (slopes,) = torch.autograd.grad(images.sum(), styles)
    assert (slopes.abs().sum((0, 2)) > 0).all(), "in every layer"


def test_any_model_gives_the_noise_that_its_generator_asks_for():
    """This rank's slice of what all have drawn, where the generator by itself would draw other noise on each rank."""
    torch.manual_seed(0)
    given = {"w_dim": 8, "depth": 1, "width": 4, "max_width": 4, "w_average_decay": 0.9}
    generator = StyleGAN2Generator(sample_shape=(1, 32, 32), latent_dim=2, **given)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(1.0)
    module = HingeGAN(**settings(generator=generator, ema_half_life_kimg=None))
    moment, latents = module.draws.state_dict(), torch.ones(2, 2)
    first = module.generator(latents)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(module.generator(latents), first), "new at every call"
    torch.manual_seed(1)
    module.draws.load_state_dict(moment)
    assert torch.equal(module.generator(latents), first), "of the module's draws alone"
    module.draws.load_state_dict(moment)
    assert torch.equal(module.generator(latents, noise=module.noise(2)), first)
    moment = module.draws.state_dict()
    module.generator.eval()(latents)
    assert module.draws.state_dict() == moment, "whoever looks on leaves training as it was"


def test_refusals():
    with pytest.raises(ValueError, match=r"style_mixing must be in \[0, 1\], got 1.5"):
        module_of(style_mixing=1.5)
    with pytest.raises(ValueError, match="mixes styles, which ScalingGenerator has not; choose network=stylegan2"):
        module_of(generator=ScalingGenerator(), discriminator=LinearCritic())


def test_the_published_settings():
    """Gamma 1, so weight 1 / 2, each 16th step; path length 2 each 4th; the learning rates that these leave."""
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        model = compose("train", ["model=stylegan2", "network=stylegan2"]).model
    assert (model.regularizers.r1.weight, model.regularizers.r1.every) == (0.5, 16)
    path_length = model.regularizers.path_length
    assert (path_length.weight, path_length.every, path_length.decay, path_length.batch_shrink) == (2.0, 4, 0.99, 2)
    for every, lr, beta in ((16, 0.0025 * 16 / 17, 0.99 ** (16 / 17)), (4, 0.002, 0.99**0.8)):
        optimizer = torch.optim.Adam([torch.zeros(1)], lr=model.optimizers.generator.lr, betas=(0.0, 0.99))
        correct_for_further_steps(optimizer, 1 / every)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(lr)
        assert optimizer.param_groups[0]["betas"] == pytest.approx((0.0, beta))


def test_cifar10_has_the_rates_of_the_authors_code():
    """There G's Adam is corrected for path length, every 4th step, which is off: 4/5. D's for R1, every 16th: 16/17."""
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        model = compose("train", ["experiment=stylegan2_cifar10"]).model
    assert model.regularizers.path_length is None
    steps = {"generator": 0, "discriminator": 1 / model.regularizers.r1.every}
    for group, share in (("generator", 4 / 5), ("discriminator", 16 / 17)):
        optimizer = instantiate(model.optimizers[group])([torch.zeros(1, requires_grad=True)])
        correct_for_further_steps(optimizer, steps[group])
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0025 * share, rel=1e-9)
        assert optimizer.param_groups[0]["betas"] == pytest.approx((0.0, 0.99**share), abs=1e-5)
