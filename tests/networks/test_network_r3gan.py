"""R3GAN's networks: sizes counted by hand, how they begin, gradients, refusals."""

from itertools import pairwise

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn

from gan_lab.config import register
from gan_lab.networks.r3gan import InvertedBottleneck, R3GANDiscriminator, R3GANGenerator
from gan_lab.regularizers.r1 import r1_penalty


def generator(sample_shape, **changes):
    values = {"latent_dim": 5, "width": 4, "multipliers": [2, 1], "blocks": 1, "expansion": 2, "group_width": 4}
    return R3GANGenerator(sample_shape=sample_shape, **(values | changes))


def discriminator(sample_shape, **changes):
    values = {"width": 4, "multipliers": [1, 2], "blocks": 1, "expansion": 2, "group_width": 4, "normalization": "none"}
    return R3GANDiscriminator(sample_shape=sample_shape, **(values | changes))


def awake(network):
    """The same, with random numbers in the layers that begin at 0."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return network


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (32, 32), (64, 64), (32, 64), (48, 16)])
def test_shapes(channels, size):
    shape = (channels, *size)
    with torch.device("meta"):
        samples = generator(shape, multipliers=[4, 2, 1])(torch.randn(2, 5))
        scored = discriminator(shape, multipliers=[1, 2, 4])
        assert samples.shape == (2, *shape)
        assert scored(samples).shape == (2,)
        assert scored.features(samples).shape == (2, scored.feature_dim) == (2, 16)


PUBLISHED = {"blocks": 2, "expansion": 2, "group_width": 16}


@pytest.mark.parametrize(
    ("size", "stages", "millions"),
    [
        (32, [768] * 4, (20.73, 20.68)),  # CIFAR-10
        (64, [768] * 4 + [384], (22.43, 22.38)),  # FFHQ-64
        (256, [768] * 4 + [384, 192, 96], (23.06, 23.01)),  # FFHQ-256
    ],
)
def test_sizes_of_the_published_stages(size, stages, millions):
    """Counted by hand from the published stages (the authors' presets); no count of the paper's is at hand.

    A block: two 1x1 convolutions between c and 2c, a 3x3 one in groups of 16, two biases of 2c. A 1x1 convolution where
    the width changes. G: the basis of 4x4, a linear layer of 64, the last 1x1 convolution; D: mirrored, one logit.
    """
    inside = 2 * sum(2 * c * 2 * c + 2 * c * 16 * 9 + 2 * 2 * c for c in stages)
    between = sum(inputs * outputs for inputs, outputs in pairwise(stages) if inputs != outputs)
    image = 3 * stages[-1]
    multipliers = [c // 96 for c in stages]
    with torch.device("meta"):
        made = generator((3, size, size), latent_dim=64, width=96, multipliers=multipliers, **PUBLISHED)
        scored = discriminator((3, size, size), width=96, multipliers=multipliers[::-1], **PUBLISHED)
    assert parameters(made) == inside + between + image + 16 * 768 + 64 * 768
    assert parameters(scored) == inside + between + image + 16 * 768 + 768
    assert (round(parameters(made) / 1e6, 2), round(parameters(scored) / 1e6, 2)) == millions


def test_a_stage_of_768_has_96_groups():
    with torch.device("meta"):
        block = InvertedBottleneck(768, expansion=2, group_width=16, depth=8)
    assert [layer.groups for layer in block.residual if isinstance(layer, nn.Conv2d)] == [1, 96, 1]


def test_a_block_begins_as_the_identity_with_weights_of_fixup():
    """He's size for a leaky ReLU of 0.2, sqrt(2 / 1.04 / fan_in), times L^(-1/4): L = 16 halves it."""
    torch.manual_seed(0)
    block = InvertedBottleneck(128, expansion=2, group_width=16, depth=16)
    features = torch.randn(2, 128, 3, 3)
    assert torch.equal(block(features), features)
    first, second = (block.residual[index].weight.std().item() for index in (0, 2))
    assert first == pytest.approx(0.5 * (2 / 1.04 / 128) ** 0.5, rel=0.02)
    assert second == pytest.approx(0.5 * (2 / 1.04 / (16 * 9)) ** 0.5, rel=0.02)


def test_the_depth_is_that_of_the_whole_network():
    """Three stages of two blocks against one of six: the same L."""
    torch.manual_seed(0)
    three = generator((1, 16, 16), width=64, multipliers=[1, 1, 1], blocks=2)
    one = generator((1, 16, 16), width=64, multipliers=[1], blocks=6)
    deviations = [
        [block.residual[0].weight.std().item() for block in network.modules() if isinstance(block, InvertedBottleneck)]
        for network in (three, one)
    ]
    assert len(deviations[0]) == len(deviations[1]) == 6
    assert deviations[0] + deviations[1] == pytest.approx([(2 / 1.04 / 64) ** 0.5 * 6**-0.25] * 12, rel=0.05)


def test_a_generator_of_one_stage_begins_linear():
    made = generator((3, 4, 8), multipliers=[2])
    latents = torch.randn(6, 5)
    weights, output = made.weights.weight, made.output.weight[..., 0, 0]
    by_hand = torch.einsum("oc,cl,bl,chw->bohw", output, weights, latents, made.basis)
    assert made.basis.shape == (8, 4, 8)
    assert torch.allclose(made(latents), by_hand, atol=1e-5)


def test_a_discriminator_of_one_stage_begins_linear():
    scored = discriminator((3, 4, 8), multipliers=[2])
    images = torch.randn(6, 3, 4, 8)
    stem, basis, output = scored.stem.weight[..., 0, 0], scored.basis.weight[:, 0], scored.output.weight[0]
    by_hand = torch.einsum("bihw,ci,chw,c->b", images, stem, basis, output)
    assert torch.allclose(scored(images), by_hand, atol=1e-5)


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    made, scored = awake(generator((3, 8, 16), blocks=2)), awake(discriminator((3, 8, 16), blocks=2))
    samples = made(torch.randn(8, 5))
    (samples * torch.randn_like(samples)).sum().backward()
    (scored(torch.randn_like(samples)) * torch.randn(8)).sum().backward()
    for network in (made, scored):
        for name, parameter in network.named_parameters():
            assert parameter.grad.abs().max() > 1e-3, name


def test_critic_is_differentiable_twice():
    torch.manual_seed(0)
    scored = awake(discriminator((1, 4, 4))).double()
    images = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(scored, images)


def test_slopes_in_bfloat16_are_those_in_float32():
    """Which lets R3GAN take its penalties from the logits of its loss, under autocast."""
    torch.manual_seed(0)
    critic = awake(discriminator((3, 32, 32)))
    images = torch.randn(16, 3, 32, 32)
    penalties, gradients = {}, {}
    for half in (False, True):
        critic.zero_grad()
        points = images.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found = r1_penalty(real_images=points, real_logits=critic(points))
        found.mean().backward()
        penalties[half] = found.detach()
        gradients[half] = torch.cat([p.grad.flatten() for p in critic.parameters() if p.grad is not None])
    torch.testing.assert_close(penalties[True], penalties[False], rtol=0.05, atol=0)
    assert penalties[True].mean().item() == pytest.approx(penalties[False].mean().item(), rel=0.01)
    assert torch.cosine_similarity(gradients[True], gradients[False], dim=0) > 0.99


def test_it_can_be_conditional():
    made = generator((1, 8, 8), conditioning="concatenation", num_classes=3)
    scored = discriminator((1, 8, 8), conditioning="projection", num_classes=3)
    latents, labels = torch.randn(3, 5), torch.tensor([0, 1, 2])
    samples = made(latents, labels)
    assert not torch.allclose(samples, made(latents, labels.flip(0)))
    assert not torch.allclose(scored(samples, labels), scored(samples, labels.flip(0)))


EMBEDDED = {"conditioning": "embedding", "num_classes": 3, "embedding_dim": 6}


def test_the_published_network_of_cifar10_has_the_published_size():
    """G: 20,732,160 without classes, 64 more inputs of 768 units, 10 x 64. D: 768 units for the one, 10 x 768.

    Both as in the authors' code, whose D has 21.28 M parameters.
    """
    with initialize_config_dir(version_base="1.3", config_dir=register()):
        model = compose("train", ["experiment=r3gan_cifar10"]).model
    with torch.device("meta"):
        made, scored = instantiate(model.generator), instantiate(model.discriminator)
    assert parameters(made) == 20_732_160 + 64 * 768 + 10 * 64 == 20_781_952
    assert parameters(scored) == 20_683_776 - 768 + 768 * 768 + 10 * 768 == 21_280_512


def test_classes_enter_by_an_embedding():
    """G is linear in the latent joined to e(y); D's score is (W f).e(y)."""
    latents, images, labels = torch.randn(4, 5), torch.randn(4, 3, 4, 8), torch.tensor([0, 2, 1, 2])
    made, scored = (
        generator((3, 4, 8), multipliers=[2], **EMBEDDED),
        discriminator((3, 4, 8), multipliers=[2], **EMBEDDED),
    )
    joined = torch.cat([latents, made.classes.weight[labels]], dim=1)
    weights, output = made.weights.weight, made.output.weight[..., 0, 0]
    by_hand = torch.einsum("oc,cl,bl,chw->bohw", output, weights, joined, made.basis)
    torch.testing.assert_close(made(latents, labels), by_hand, rtol=1e-4, atol=1e-5)
    features = scored.features(images)
    expected = [(scored.output.weight @ f) @ scored.embedding.weight[y] for f, y in zip(features, labels, strict=True)]
    torch.testing.assert_close(scored(images, labels), torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert made.num_classes == 3
    assert scored.feature_dim == 8
    for network, values in ((made, latents), (scored, images)):
        with pytest.raises(ValueError, match="needs labels"):
            network(values)


def test_the_authors_weights_fold_into_the_other_ways_of_conditioning():
    """The one-hot columns of G's first layer are W_e E, D's projection W'e(y), and its unit 0."""
    torch.manual_seed(0)
    made, scored = generator((3, 8, 8), **EMBEDDED).double(), discriminator((3, 8, 8), **EMBEDDED).double()
    others = {"num_classes": 3}
    joined = generator((3, 8, 8), conditioning="concatenation", **others).double()
    projected = discriminator((3, 8, 8), conditioning="projection", **others).double()
    state = {name: value for name, value in made.state_dict().items() if name != "classes.weight"}
    latent, of_class = state["weights.weight"].split([5, 6], dim=1)
    joined.load_state_dict(state | {"weights.weight": torch.cat([latent, of_class @ made.classes.weight.T], dim=1)})
    state = scored.state_dict()
    embedded = state["embedding.weight"] @ state["output.weight"]
    projected.load_state_dict(
        state | {"embedding.weight": embedded, "output.weight": torch.zeros(1, 8, dtype=torch.float64)}
    )
    latents, labels = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 2, 1, 2])
    images = made(latents, labels)
    torch.testing.assert_close(joined(latents, labels), images, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(projected(images, labels), scored(images, labels), rtol=1e-12, atol=1e-12)


def test_vectors_of_classes_begin_as_a_linear_layer_of_one_hot_vectors():
    """Of 10 classes in 64 numbers: N(0, 1/10), whose share of the first layer is sqrt(6.4 / 64) of the latent's."""
    torch.manual_seed(0)
    settings = {"conditioning": "embedding", "num_classes": 10, "embedding_dim": 64}
    made, scored = generator((3, 8, 8), latent_dim=64, width=64, **settings), discriminator((3, 8, 8), **settings)
    assert made.classes.weight.std().item() == pytest.approx(0.1**0.5, rel=0.1)
    assert scored.embedding.weight.std().item() == pytest.approx(0.1**0.5, rel=0.1)
    latents, labels = torch.randn(2000, 64), torch.randint(10, (2000,))
    of_latent = (latents @ made.weights.weight[:, :64].T).std().item()
    of_class = (made.classes.weight[labels] @ made.weights.weight[:, 64:].T).std().item()
    assert of_class / of_latent == pytest.approx(0.1**0.5, rel=0.1)


@pytest.mark.parametrize(("make", "side"), [(generator, "generator"), (discriminator, "discriminator")])
def test_an_embedding_needs_its_length(make, side):
    settings = {"conditioning": "embedding", "num_classes": 3}
    with pytest.raises(ValueError, match=f"{side}.conditioning=embedding needs {side}.embedding_dim"):
        make((3, 8, 8), **settings)
    with pytest.raises(ValueError, match=f"{side}.embedding_dim must be 1 or more; got 0"):
        make((3, 8, 8), embedding_dim=0, **settings)
    with pytest.raises(ValueError, match="needs 2 or more classes, got None"):
        make((3, 8, 8), conditioning="embedding", embedding_dim=4)


@pytest.mark.parametrize("make", [generator, discriminator])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_shape": (3, 30, 31)}, "divisible by 2, from 4 on; data.sample_shape has 30x31; set data.image_size"),
        ({"sample_shape": (3, 2, 32)}, "has 2x32"),
        ({"sample_shape": (2, 32, 32)}, "1, 3 or 4 channels; data.sample_shape has 2"),
        ({"width": 0}, "width must be 1 or more; got 0"),
        ({"blocks": 0}, "blocks must be 1 or more; got 0"),
        ({"expansion": 0}, "expansion must be 1 or more; got 0"),
        ({"group_width": 0}, "group_width must be 1 or more; got 0"),
        ({"multipliers": [1, 0]}, r"got \[1, 0\]"),
        ({"width": 5, "group_width": 3}, "group_width=3 does not divide the (10|20) channels inside a block of (5|10)"),
    ],
)
def test_refusals_name_the_value(make, changes, message):
    arguments = {"sample_shape": (3, 32, 32)} | changes
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_normalization_is_refused():
    with pytest.raises(ValueError, match=r"has no normalization.*got 'layer': set model.discriminator.normalization"):
        discriminator((3, 32, 32), normalization="layer")
