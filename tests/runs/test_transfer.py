"""Starting from a network of another size: parts go by resolution, and what is new or does not fit is said."""

from types import SimpleNamespace

import pytest
import torch
from hydra.utils import instantiate

from gan_lab.runs.checkpoint import FORMAT, CheckpointError, initialize


def shaped(size, kind, **settings):
    return {"_target_": f"gan_lab.networks.{kind}", "sample_shape": [3, size, size], **settings}


def stylegan2(size, width, **changes):
    settings = {"width": width, "max_width": 8}
    mapping = {"latent_dim": 4, "w_dim": 4, "depth": 2, "w_average_decay": 0.9}
    critic = {"architecture": "residual", "minibatch_std": 2}
    return {
        "generator": shaped(size, "stylegan2.StyleGAN2Generator", **settings, **mapping, **changes),
        "discriminator": shaped(size, "stylegan2.StyleGAN2Discriminator", **settings, **critic, **changes),
    }


def dcgan(size, width):
    settings = {"width": width, "max_width": 8, "normalization": "batch", "initialization": "normal"}
    return {
        "generator": shaped(size, "dcgan.DCGANGenerator", latent_dim=4, **settings),
        "discriminator": shaped(size, "dcgan.DCGANDiscriminator", minibatch_std=2, **settings),
    }


def r3gan(size, width):
    stages = [2] * (size // 16) if size < 64 else [2, 2, 1]
    settings = {"width": 4, "blocks": 1, "expansion": 2, "group_width": 4}
    return {
        "generator": shaped(size, "r3gan.R3GANGenerator", latent_dim=4, multipliers=stages, **settings),
        "discriminator": shaped(
            size, "r3gan.R3GANDiscriminator", multipliers=stages[::-1], normalization="none", **settings
        ),
    }


def biggan(size, width):
    blocks = {32: 3, 64: 4}[size]
    settings = {"width": 8, "initialization": "orthogonal"}
    return {
        "generator": shaped(
            size,
            "biggan.BigGANGenerator",
            latent_dim=4 * (blocks + 1),
            embedding_dim=2,
            multipliers=[1] * (blocks + 1),
            attention=2,
            **settings,
        ),
        "discriminator": shaped(
            size,
            "sagan.SAGANDiscriminator",
            multipliers=[1] * (blocks + 1),
            halvings=blocks,
            attention=blocks - 2,
            normalization="spectral",
            minibatch_std=2,
            **settings,
        ),
    }


def resnet(size, width):
    blocks = {32: 3, 64: 4}[size]
    settings = {"width": 8, "initialization": "xavier"}
    return {
        "generator": shaped(
            size,
            "resnet.ResNetGenerator",
            latent_dim=4,
            multipliers=[1] * (blocks + 1),
            normalization="batch",
            **settings,
        ),
        "discriminator": shaped(
            size,
            "resnet.ResNetDiscriminator",
            multipliers=[1] * (blocks + 1),
            halvings=blocks,
            stem="block",
            pooling="sum",
            normalization="spectral",
            **settings,
        ),
    }


KINDS = {kind.__name__: kind for kind in (stylegan2, dcgan, r3gan, biggan, resnet)}


def module_of(nodes, seed=0):
    torch.manual_seed(seed)
    networks = {name: instantiate(node, _convert_="all") for name, node in nodes.items()}
    return SimpleNamespace(
        groups={name: (name,) for name in networks}, sampled_network="generator", averages={}, **networks
    )


def saved(tmp_path, nodes, seed=1):
    module = module_of(nodes, seed)
    state = {f"{n}.{key}": value for n in nodes for key, value in getattr(module, n).state_dict().items()}
    torch.save({"format": FORMAT, "state_dict": state, "config": {"model": nodes}}, tmp_path / "a.ckpt")
    return module, tmp_path / "a.ckpt"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [32, 64])
def test_declared_sides_are_those_of_the_maps(kind, size):
    """Hooks see what each part takes and gives: the larger of both is its resolution."""
    module, seen = module_of(KINDS[kind](size, 4)), {}

    def note(name):
        def hook(part, inputs, output):
            seen[name] = max(min(values.shape[-2:]) for values in (inputs[0], output) if values.ndim == 4)

        return hook

    images = torch.zeros(2, 3, size, size)
    for network, given in (
        (module.generator, torch.zeros(2, module.generator.latent_dim)),
        (module.discriminator, images),
    ):
        seen.clear()
        places = network.places()
        for name in places:
            network.get_submodule(name).register_forward_hook(note(name))
        network(given)
        assert seen == {name: side for name, (_, side) in places.items()}
        weights = [name for name, p in network.named_parameters() if p.ndim == 4]
        within = [name for name in weights if any(name.startswith(f"{part}.") for part in places)]
        assert len(within) >= 0.7 * len(weights), "convolutions are at a resolution"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("theirs", "here"), [(64, 32), (32, 64)])
def test_layers_of_equal_resolution_are_taken(kind, theirs, here, tmp_path):
    source, path = saved(tmp_path, KINDS[kind](theirs, 4 * 64 // theirs))
    target = module_of(KINDS[kind](here, 4 * 64 // here))
    initialize(target, path)
    for name in ("generator", "discriminator"):
        own, other = getattr(target, name), getattr(source, name)
        by_place = {place: part for part, place in other.places().items()}
        shared = 0
        for part, place in own.places().items():
            mine, before = own.get_submodule(part).state_dict(), module_of(KINDS[kind](here, 4 * 64 // here))
            fresh = getattr(before, name).get_submodule(part).state_dict()
            counterpart = by_place.get(place)
            expected = fresh if counterpart is None else other.get_submodule(counterpart).state_dict()
            for key, value in mine.items():
                fits = key in expected and expected[key].shape == value.shape
                shared += fits and counterpart is not None and value.ndim == 4
                assert torch.equal(value, expected[key] if fits else fresh[key]), (name, part, key)
        assert shared >= 2, name


def test_what_is_said_of_another_size(tmp_path):
    """D's blocks have other names, as they count from the image; equal `width` makes other channels."""
    _, path = saved(tmp_path, stylegan2(64, 4))
    lines = initialize(module_of(stylegan2(32, 4)), path)
    said = "\n".join(lines)
    assert "discriminator: layers of equal resolution, which have other names here: stages.3 -> stages.2, " in said
    assert "discriminator.stages.2.convolutions.0.weight: (8, 8, 3, 3) in the file, (4, 4, 3, 3) here" in said
    assert "discriminator: 2 of 23 tensors are not in the file, and begin anew: stages.0.weight, stages.0.bias" in said
    assert "generator: 14 tensors are in the file alone: " in said
    assert " and 9 more" in said


def test_networks_that_know_no_resolutions_go_by_name_aloud(tmp_path):
    mlp = {"width": 8, "depth": 1, "normalization": "none", "initialization": "he"}
    nodes = [
        {
            "generator": shaped(size, "mlp.MLPGenerator", latent_dim=4, **mlp),
            "discriminator": shaped(size, "mlp.MLPDiscriminator", **mlp),
        }
        for size in (4, 8)
    ]
    _, path = saved(tmp_path, nodes[0])
    assert "MLPGenerator does not say which layer is of which resolution" in "\n".join(
        initialize(module_of(nodes[1]), path)
    )


def test_other_classes_take_all_but_what_depends_on_them(tmp_path):
    def classes(count):
        nodes = stylegan2(32, 4, num_classes=count)
        nodes["generator"]["conditioning"], nodes["discriminator"]["conditioning"] = "concatenation", "projection"
        return nodes

    _, path = saved(tmp_path, classes(3))
    lines = initialize(module_of(classes(5)), path)
    assert lines == [
        "discriminator: 3 classes in the file, 5 here; what depends on them is new",
        "discriminator.embedding.weight: (3, 8) in the file, (5, 8) here",
        "generator: 3 classes in the file, 5 here; what depends on them is new",
        "generator.mapping.embedding.weight: (4, 3) in the file, (4, 5) here",
    ]


def test_a_bias_and_a_mean_alone_are_no_fit(tmp_path):
    """Of networks of another width only noise strengths, output biases and the like agree."""
    nodes = stylegan2(32, 4)
    others = stylegan2(32, 4)
    for node in others.values():
        node |= {"width": 6, "max_width": 6}
    others["generator"] |= {"latent_dim": 6, "w_dim": 6}
    _, path = saved(tmp_path, nodes)
    with pytest.raises(CheckpointError, match=r"nothing in .*a.ckpt fits the networks discriminator, generator"):
        initialize(module_of(others), path)
