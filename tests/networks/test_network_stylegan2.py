"""The networks of StyleGAN2: published sizes, styles, noise, pictures of any shape."""

from itertools import pairwise

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from gan_lab.layers.filtered_resampling import FilteredHalving
from gan_lab.networks.stylegan2 import DiscriminatorBlock, MappingNetwork, StyleGAN2Discriminator, StyleGAN2Generator
from gan_lab.regularizers.path_length import path_lengths
from gan_lab.regularizers.r1 import r1_penalty

SHARED = {"sample_shape": (3, 16, 16), "width": 4, "max_width": 8}


def generator_of(**changes):
    torch.manual_seed(0)
    settings = {"latent_dim": 6, "w_dim": 5, "depth": 2, "w_average_decay": 0.5}
    return StyleGAN2Generator(**SHARED | settings | changes)


def discriminator_of(**changes):
    torch.manual_seed(0)
    return StyleGAN2Discriminator(**SHARED | {"architecture": "residual", "minibatch_std": 4} | changes)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


# Published sizes ----------------------------------------------------------------------------------------------------


def published(size, *, width, depth=8):
    shape = {"sample_shape": (3, size, size), "width": width, "max_width": 512}
    with torch.device("meta"):
        generator = StyleGAN2Generator(**shape, latent_dim=512, w_dim=512, depth=depth, w_average_decay=0.995)
        discriminator = StyleGAN2Discriminator(**shape, architecture="residual", minibatch_std=4)
    return generator, discriminator


def test_configuration_f_at_1024_has_the_published_size():
    """What stylegan2-ada-pytorch prints for 1024x1024 (cfg=auto): 28,794,124 with 2 mapping layers, and 29,012,513.

    Its lines: 512 -> 512 convolution 2,622,465 with its style and noise, tRGB 264,195, mapping layer 262,656.
    """
    generator, discriminator = published(1024, width=32, depth=2)
    assert parameters(generator) == 28_794_124
    assert parameters(discriminator) == 29_012_513
    assert parameters(generator.synthesis.convolutions[0]) == 2_622_465
    assert parameters(generator.synthesis.convolutions[-2]) == 51_297
    assert parameters(generator.synthesis.to_image[0]) == 264_195
    assert parameters(generator.mapping.layers[0]) == 262_656
    assert generator.num_layers == 18
    assert parameters(published(1024, width=32)[0]) == 28_794_124 + 6 * 262_656 == 30_370_060


def styled(inputs, outputs, kernel=9):
    """Style 512 -> inputs with bias, weights, bias."""
    return 513 * inputs + kernel * inputs * outputs + outputs


@pytest.mark.parametrize(("name", "size"), [("stylegan2", 32), ("stylegan2_64", 64), ("stylegan2_256", 256)])
def test_configs_have_the_sizes_worked_by_hand(name, size):
    network = OmegaConf.load(f"conf/network/{name}.yaml")
    rest = OmegaConf.create({"latent_dim": 512})
    config = OmegaConf.create({"data": {"sample_shape": [3, size, size]}, "model": OmegaConf.merge(network, rest)})
    with torch.device("meta"):
        generator, discriminator = instantiate(config.model.generator), instantiate(config.model.discriminator)
    depth, residual = {32: (2, False), 64: (2, True), 256: (8, True)}[size]
    channels = {32: [512] * 4, 64: [512] * 4 + [256], 256: [512] * 5 + [256, 128]}[size]
    expected = depth * 513 * 512 + 16 * 512 + styled(512, 512) + 1 + styled(512, 3, 1)
    for inputs, outputs in pairwise(channels):
        expected += styled(inputs, outputs) + 1 + styled(outputs, outputs) + 1 + styled(outputs, 3, 1)
    assert parameters(generator) == expected
    expected = 4 * channels[-1] + 9 * 513 * 512 + 512 + 8192 * 512 + 512 + 513
    for inputs, outputs in pairwise(channels[::-1]):
        expected += 9 * inputs * inputs + inputs + 9 * inputs * outputs + outputs + residual * inputs * outputs
    assert parameters(discriminator) == expected


# Pictures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 16, 32), (3, 48, 24)])
@pytest.mark.parametrize("architecture", ["residual", "orig"])
def test_shapes_and_a_gradient_in_every_parameter(shape, architecture):
    generator = generator_of(sample_shape=shape)
    discriminator = discriminator_of(sample_shape=shape, architecture=architecture)
    images = generator(torch.randn(4, 6))
    assert images.shape == (4, *shape)
    logits = discriminator(images)
    assert logits.shape == (4,)
    logits.square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad.abs().sum() > 0, name


def test_a_picture_is_the_sum_of_all_resolutions():
    """With no weights but tRGB's biases 1, 2 and 4, each doubled into the next, the middle is their sum."""
    generator = generator_of()
    with torch.no_grad():
        for layer, bias in zip(generator.synthesis.to_image, (1.0, 2.0, 4.0), strict=True):
            layer.convolution.weight.zero_()
            layer.bias.fill_(bias)
    images = generator(torch.randn(2, 6))
    torch.testing.assert_close(images[:, :, 6:10, 6:10], torch.full((2, 3, 4, 4), 7.0))


@pytest.mark.parametrize("architecture", ["residual", "orig"])
def test_activations_begin_about_as_large_as_each_other(architecture):
    """Equalized, demodulated, with the leaky ReLU's gain and the residual's 1 / sqrt(2): no layer fades or swells
    (padding and filters take a little)."""
    generator = generator_of(sample_shape=(3, 64, 64), width=64, max_width=64, w_dim=64, latent_dim=64)
    discriminator = discriminator_of(sample_shape=(3, 64, 64), width=64, max_width=64, architecture=architecture)
    sizes = []

    def note(module, arguments, output):
        sizes.append(output.square().mean().sqrt().item())

    for layer in [*generator.synthesis.convolutions, *discriminator.stages[2:]]:
        layer.register_forward_hook(note)
    generator(torch.randn(4, 64))
    discriminator(torch.randn(4, 3, 64, 64))
    assert len(sizes) == 9 + 4
    assert all(0.25 < size < 1.5 for size in sizes), sizes


def test_a_residual_block_is_both_paths_over_the_root_of_two():
    residual, orig = DiscriminatorBlock(4, 6, residual=True), DiscriminatorBlock(4, 6, residual=False)
    orig.load_state_dict(residual.state_dict(), strict=False)
    features = torch.randn(2, 4, 8, 8)
    shortcut = torch.einsum("oi,bihw->bohw", residual.shortcut[1].weight[..., 0, 0] / 2, FilteredHalving()(features))
    torch.testing.assert_close(residual(features), (orig(features) + shortcut) / 2**0.5)


@pytest.mark.parametrize("shape", [(3, 4, 4), (3, 34, 34), (1, 8, 1024), (3, 2048, 2048), (3, 20, 20)])
def test_sizes_that_are_refused(shape):
    if shape[1:] == (20, 20):
        assert generator_of(sample_shape=shape)(torch.randn(1, 6)).shape == (1, *shape), "5 -> 10 -> 20"
        return
    with pytest.raises(ValueError, match=f"data.sample_shape has {shape[1]}x{shape[2]}"):
        generator_of(sample_shape=shape)


def test_other_refusals():
    with pytest.raises(ValueError, match="architecture must be one of residual, orig; got 'skip'"):
        discriminator_of(architecture="skip")
    with pytest.raises(ValueError, match="max_width must be 4 or more; got 2"):
        generator_of(max_width=2)
    with pytest.raises(ValueError, match="depth must be 1 or more; got 0"):
        generator_of(depth=0)
    with pytest.raises(ValueError, match="w_dim must be 1 or more; got 0"):
        generator_of(w_dim=0)


# Styles and noise ---------------------------------------------------------------------------------------------------


def noisy(generator):
    """Noise counts for nothing at the beginning; here it does."""
    for layer in generator.synthesis.convolutions:
        torch.nn.init.constant_(layer.noise_strength, 0.1)
    return generator.eval()


def test_noise_is_drawn_from_the_default_generator_or_given():
    generator, latents = noisy(generator_of()), torch.randn(3, 6)
    torch.manual_seed(1)
    first = generator(latents)
    assert not torch.equal(first, generator(latents))
    torch.manual_seed(1)
    assert torch.equal(first, generator(latents))
    torch.manual_seed(1)
    noise = torch.randn(3, generator.noise_size)
    assert torch.equal(first, generator(latents, noise=noise))
    assert generator.noise_size == 16 + 2 * 64 + 2 * 256


def test_noise_counts_for_nothing_at_the_beginning():
    generator, latents = generator_of().eval(), torch.randn(3, 6)
    assert torch.equal(generator(latents), generator(latents))


def test_noise_is_each_pixels_own_and_one_for_all_channels():
    """A change of the last pixel's noise in the first layer moves all channels there, and nothing beside."""
    generator = generator_of().eval()
    layer = generator.synthesis.convolutions[0]
    torch.nn.init.constant_(layer.noise_strength, 1.0)
    features, w = torch.randn(1, 8, 4, 4), torch.randn(1, 5)
    noise = torch.zeros(1, 1, 4, 4)
    before = layer(features, w, noise)
    noise[..., 3, 3] = 10.0
    moved = layer(features, w, noise) - before
    assert (moved[..., 3, 3] > 0).all()
    assert moved.flatten(2)[..., :-1].abs().max() == 0
    whole = torch.zeros(1, generator.noise_size)
    images = generator(torch.ones(1, 6), noise=whole)
    whole[0, 16:] = 10.0  # of later layers, whose strengths are 0
    assert torch.equal(generator(torch.ones(1, 6), noise=whole), images)
    whole[0, 15] = 10.0
    assert not torch.equal(generator(torch.ones(1, 6), noise=whole), images)


def test_every_style_counts_and_one_for_all_is_the_same_for_each():
    generator = generator_of().eval()
    w = generator.mapping(torch.randn(2, 6))
    same = w.unsqueeze(1).repeat(1, generator.num_layers, 1)
    assert generator.num_layers == 6
    assert torch.equal(generator.synthesis(w), generator.synthesis(same))
    assert torch.equal(generator.mapping(latents=torch.ones(1, 6)), generator.mapping(torch.ones(1, 6)))
    for layer in range(generator.num_layers):
        other = same.clone()
        other[0, layer] += 1
        images = generator.synthesis(other)
        assert not torch.allclose(images[0], generator.synthesis(w)[0]), layer
        torch.testing.assert_close(images[1], generator.synthesis(w)[1])


def test_mixing():
    generator, first, second = generator_of().eval(), torch.randn(4, 6), torch.randn(4, 6)
    styles = generator.styles(first, second=second, crossover=torch.tensor([0, 2, 5, 6]))
    ones, others = generator.mapping(first), generator.mapping(second)
    for sample, crossover in enumerate((0, 2, 5, 6)):
        for layer in range(6):
            expected = ones[sample] if layer < crossover else others[sample]
            torch.testing.assert_close(styles[sample, layer], expected)
    assert torch.equal(generator.styles(first)[:, 3], ones)
    mixed = generator(first, second=second, crossover=torch.tensor([0, 2, 5, 6]))
    torch.testing.assert_close(mixed, generator.synthesis(styles))


def test_mapping():
    """Latents of any length are one; layers learn with a hundredth of the rate, and begin no smaller for it."""
    torch.manual_seed(0)
    mapping = MappingNetwork(64, 64, 3)
    latents = torch.randn(128, 64)
    w = mapping(latents)
    torch.testing.assert_close(mapping(7 * latents), w)
    assert 0.6 < w.square().mean().sqrt().item() < 1.4
    assert len([layer for layer in mapping.layers if hasattr(layer, "weight")]) == 3
    assert all(layer.bias_scale == pytest.approx(0.01 * 2**0.5) for layer in mapping.layers[::2])


def test_the_mean_of_w_follows_in_training_alone():
    generator, latents = generator_of(), torch.randn(8, 6)
    generator.eval()(latents)
    assert torch.equal(generator.w_average, torch.zeros(5))
    mean = generator.mapping(latents).mean(0)
    generator.train()(latents, second=torch.randn(8, 6), crossover=torch.zeros(8, dtype=torch.int64))
    torch.testing.assert_close(generator.w_average, mean / 2, msg="of the first latents alone, at a decay of 0.5")
    assert "w_mean.running_mean" in generator.state_dict()


def test_truncation():
    generator = generator_of().eval()
    generator.w_average.copy_(torch.arange(5.0))
    w = torch.randn(2, 5)
    torch.testing.assert_close(generator.truncate(w, 1.0), w.unsqueeze(1).expand(-1, 6, -1))
    assert torch.equal(generator.truncate(w, 0.0)[1, 3], torch.arange(5.0))
    half = generator.truncate(w, 0.5, cutoff=2)
    torch.testing.assert_close(half[:, 1], (w + torch.arange(5.0)) / 2)
    assert torch.equal(half[:, 2], w)
    styles = torch.randn(2, 6, 5)
    torch.testing.assert_close(generator.truncate(styles, 0.5), (styles + torch.arange(5.0)) / 2)


# Labels, derivatives ------------------------------------------------------------------------------------------------


def test_labels():
    generator = generator_of(conditioning="concatenation", num_classes=3).eval()
    latents = torch.randn(2, 6)
    zero, one = (generator.mapping(latents, torch.full((2,), label)) for label in (0, 1))
    assert not torch.allclose(zero, one)
    assert generator.mapping.layers[0].in_features == 12
    with pytest.raises(ValueError, match="needs labels"):
        generator(latents)
    with pytest.raises(ValueError, match="needs 2 or more classes"):
        generator_of(conditioning="concatenation")
    images = torch.randn(4, 3, 16, 16)
    for conditioning in ("concatenation", "projection"):
        discriminator = discriminator_of(conditioning=conditioning, num_classes=3)
        logits = [discriminator(images, torch.full((4,), label)) for label in (0, 1)]
        assert not torch.allclose(*logits)
    second = generator.styles(latents, torch.tensor([0, 2]), second=latents, crossover=torch.tensor([0, 0]))
    torch.testing.assert_close(second[:, 0], generator.mapping(latents, torch.tensor([0, 2])))


@pytest.mark.parametrize("half", [False, True])
def test_penalties_reach_the_parameters(half):
    """R1 reaches D's, the path length G's, but for biases that no slope need depend on; finite under autocast too."""
    generator, discriminator = noisy(generator_of()).train(), discriminator_of()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        images = torch.randn(4, 3, 16, 16, requires_grad=True)
        r1_penalty(real_images=images, real_logits=discriminator(images)).mean().backward()
        styles = generator.styles(torch.randn(4, 6))
        made = generator.synthesis(styles)
        assert made.dtype == torch.float32, "pictures are summed in full precision"
        path_lengths(images=made, points=styles, noise=torch.randn_like(made)).mean().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            if not name.endswith("bias"):
                assert parameter.grad.isfinite().all(), name
                assert parameter.grad.abs().sum() > 0, name
