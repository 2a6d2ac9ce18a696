"""The networks that take labels: each way changes what it should, and the logit of a projection is the paper's."""

import pytest
import torch
from hydra.utils import get_class

from gan_lab.networks.dcgan import DCGANDiscriminator
from gan_lab.networks.heads import LinearHead
from gan_lab.networks.mlp import MLPDiscriminator

G = {
    "dcgan": {"width": 4, "max_width": 8, "normalization": "batch", "initialization": "normal"},
    "resnet": {"width": 4, "multipliers": [1, 1, 1], "normalization": "batch", "initialization": "xavier"},
    "mlp": {"width": 8, "depth": 2, "normalization": "none", "initialization": "he"},
}
D = {
    "dcgan": {"width": 4, "max_width": 8, "normalization": "none", "initialization": "normal"},
    "resnet": {
        "width": 4,
        "multipliers": [1, 1, 1],
        "halvings": 2,
        "stem": "block",
        "pooling": "sum",
        "normalization": "none",
        "initialization": "xavier",
    },
    "mlp": {"width": 8, "depth": 2, "normalization": "none", "initialization": "he"},
}
NAMES = {"dcgan": "DCGAN", "resnet": "ResNet", "mlp": "MLP"}
SHAPE, CLASSES = (1, 16, 16), 3
LABELS, OTHERS = torch.tensor([0, 1, 2, 1]), torch.tensor([1, 1, 0, 2])


def network(kind: str, side: str, conditioning: str, **changes):
    target = get_class(f"gan_lab.networks.{kind}.{NAMES[kind]}{side}")
    given = {"Generator": G, "Discriminator": D}[side][kind] | ({"latent_dim": 5} if side == "Generator" else {})
    torch.manual_seed(0)
    return target(sample_shape=SHAPE, conditioning=conditioning, num_classes=CLASSES, **given | changes)


@pytest.mark.parametrize("conditioning", ["concatenation", "batch_norm"])
@pytest.mark.parametrize("kind", list(G))
def test_a_generator_that_knows_labels(kind, conditioning):
    if (kind, conditioning) == ("mlp", "batch_norm"):
        with pytest.raises(ValueError, match="must be one of none, concatenation"):
            network(kind, "Generator", conditioning)
        return
    generator, latents = network(kind, "Generator", conditioning), torch.randn(4, 5)
    for name, parameter in generator.named_parameters():
        if "scale" in name or "offset" in name:  # as after some steps; they begin alike for all classes
            torch.nn.init.normal_(parameter)
    generator.eval()
    made, other = generator(latents, LABELS), generator(latents, OTHERS)
    assert made.shape == (4, *SHAPE)
    same = [torch.equal(*pair) for pair in zip(made, other, strict=True)]
    assert same == [False, True, False, False]
    made.sum().backward()
    assert all(p.grad is not None for p in generator.parameters())
    with pytest.raises(ValueError, match="needs labels"):
        generator(latents)


@pytest.mark.parametrize("conditioning", ["concatenation", "projection"])
@pytest.mark.parametrize("kind", list(D))
def test_a_discriminator_that_knows_labels(kind, conditioning):
    discriminator, images = network(kind, "Discriminator", conditioning), torch.randn(4, *SHAPE)
    logits, others = discriminator(images, LABELS), discriminator(images, OTHERS)
    assert logits.shape == (4,)
    assert (logits == others).tolist() == [False, True, False, False]
    assert discriminator.features(images, LABELS).shape == (4, discriminator.feature_dim)
    with pytest.raises(ValueError, match="needs labels"):
        discriminator(images)


@pytest.mark.parametrize("kind", list(D))
def test_a_projection(kind):
    """The linear unit, and the inner product of features and class embedding (Miyato and Koyama 2018, equation 3)."""
    discriminator, images = network(kind, "Discriminator", "projection"), torch.randn(4, *SHAPE)
    features = discriminator.features(images)
    plain = features @ discriminator.output.weight[0]
    plain = plain if discriminator.output.bias is None else plain + discriminator.output.bias
    expected = plain + torch.stack(
        [f @ discriminator.embedding.weight[y] for f, y in zip(features, LABELS, strict=True)]
    )
    torch.testing.assert_close(discriminator(images, LABELS), expected)


def test_the_embedding_of_a_projection_is_spectrally_normalized_too():
    discriminator = network("dcgan", "Discriminator", "projection", normalization="spectral")
    discriminator(torch.randn(4, *SHAPE), LABELS)
    assert torch.linalg.matrix_norm(discriminator.embedding.weight, 2) < 1.5
    assert "embedding.parametrizations.weight.original" in discriminator.state_dict()


def test_without_labels_nothing_is_added():
    discriminator = MLPDiscriminator(sample_shape=SHAPE, **D["mlp"])
    assert discriminator.embedding is None
    assert discriminator(torch.randn(2, *SHAPE)).shape == (2,)


@pytest.mark.parametrize("kind", ["dcgan", "resnet"])
def test_minibatch_standard_deviation_joins_the_features(kind):
    plain, with_it = (network(kind, "Discriminator", "none", minibatch_std=group) for group in (0, 2))
    assert with_it.feature_dim > plain.feature_dim
    images = torch.randn(2, *SHAPE)
    same, varied = images[:1].repeat(2, 1, 1, 1), images
    alone = with_it(same)
    assert torch.equal(alone[0], alone[1])
    assert with_it(varied)[0] != alone[0], "the neighbour decides"
    torch.testing.assert_close(plain(varied)[:1], plain(same)[:1])


def test_a_head():
    head = LinearHead(6, outputs=4, normalization="spectral", initialization="xavier")
    assert head(torch.randn(3, 6)).shape == (3, 4)
    with pytest.raises(ValueError, match=r"set data.num_classes"):
        LinearHead(6, outputs=None, normalization="none", initialization="xavier")
    assert DCGANDiscriminator(sample_shape=SHAPE, **D["dcgan"]).feature_dim == 8 * 16
