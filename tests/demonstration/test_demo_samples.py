"""What a page asks of a generator of latents: functions of the request, and those of the commands."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_generators import generator

from gan_lab.demonstration.samples import Request, Samples, Step, Truncation
from gan_lab.demonstration.training import nearest_to
from gan_lab.evaluation.generation import asked
from gan_lab.latents.sliders import Slider, read, shifted, write
from gan_lab.latents.space import space_of
from gan_lab.metrics.picture_neighbors import PictureNeighbors
from gan_lab.networks.stylegan2 import StyleGAN2Generator
from gan_lab.sample import images
from gan_lab.sampling import LabelledInputs, LatentInputs

KINDS = ("styles", "latents")


def session(kind: str, **sliders: Slider) -> Samples:
    return Samples(generator(kind), count=6, sliders=sliders)


def arrays(made: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(one) for one in made])


def test_pictures_are_those_of_sample():
    """Of a generator without noise; and with a bound of latents."""
    loaded = generator("latents")
    for truncation in (None, 0.7):
        sampled = next(images(asked(loaded, truncation=truncation, standing_statistics=None), count=6, seed=4))
        made = session("latents").pictures(Request(seed=4, truncation=truncation))
        assert np.array_equal(arrays(made), sampled[:, 0].numpy())
    assert not np.array_equal(arrays(session("latents").pictures(Request(seed=5))), sampled[:, 0].numpy())


def test_pictures_of_styles_are_those_of_sample_but_for_noise():
    loaded = generator("styles")
    for convolution in loaded.network.synthesis.convolutions:
        convolution.noise_strength.data.fill_(0.0)
    truncated = asked(loaded, truncation=0.5, standing_statistics=None)
    made = Samples(loaded, count=6, sliders={}).pictures(Request(seed=4, truncation=0.5))
    assert np.array_equal(arrays(made), next(images(truncated, count=6, seed=4))[:, 0].numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_request_has_the_same_pictures(kind):
    request = Request(seed=1, steps=(Step((2, 4), 0.3), Step((0,), 0.5)))
    first, again = (arrays(session(kind).pictures(request)) for _ in range(2))
    assert np.array_equal(first, again)
    one_less = arrays(session(kind).pictures(request._replace(steps=request.steps[:1])))
    assert not np.array_equal(first, one_less)


@pytest.mark.parametrize("kind", KINDS)
def test_sliders_are_those_of_the_commands(kind, tmp_path):
    """As `sample` moves it by the same file, layers and truncation included."""
    loaded = generator(kind)
    dim = space_of(loaded).dim
    layers = (0, 2) if kind == "styles" else None
    sliders = {
        "smile": Slider(torch.linspace(-1, 1, dim), layers, {}),
        "turn": Slider(torch.ones(dim), None, {}),
    }
    write(tmp_path / "sliders.json", loaded, sliders, replacing=False)
    stored = read(tmp_path / "sliders.json", loaded)
    made = arrays(
        Samples(loaded, count=6, sliders=stored).pictures(
            Request(seed=3, truncation=0.8, strengths={"smile": 2.0, "turn": 0})
        )
    )
    moved = asked(shifted(loaded, [(sliders["smile"], 2.0)]), truncation=0.8, standing_statistics=None)
    space = space_of(moved, 3)
    expected = torch.cat(list(space.pictures(space.samples(3, range(6)))))
    assert np.array_equal(made, expected[:, 0].numpy())
    still = arrays(Samples(loaded, count=6, sliders=stored).pictures(Request(seed=3, truncation=0.8)))
    assert not np.array_equal(made, still)


@pytest.mark.parametrize("kind", KINDS)
def test_more_like_these_stays_near(kind):
    """Each new place is nearer to its parent, in turn, than to any other picture; the further, the larger the part."""
    asking, parents = session(kind), [1, 4, 1, 4, 1, 4]
    before = asking.positions(Request(seed=2)).positions
    away = []
    for spread in (0.05, 0.2):
        after = asking.positions(Request(seed=2, steps=(Step((1, 4), spread),))).positions
        distances = torch.cdist(after, before)
        assert distances.argmin(dim=1).tolist() == parents
        away.append(distances.gather(1, torch.tensor(parents)[:, None]))
    assert (away[0] > 0).all()
    assert (away[0] < away[1]).all()


def test_more_like_these_of_latents_are_as_long_as_latents_are():
    """On arcs; straight ways would be shorter than both ends."""
    asking = Samples(replace(generator("latents"), inputs=LatentInputs(6, "normal")), count=50, sliders={})
    before = asking.positions(Request(seed=2)).positions.norm(dim=1)
    steps = (Step(tuple(range(50)), 0.5),)
    after = asking.positions(Request(seed=2, steps=steps)).positions.norm(dim=1)
    assert after.min() > 0.9 * before.min()
    assert 0.9 < after.mean() / before.mean() < 1.1


def conditional_styles() -> Samples:
    torch.manual_seed(0)
    given = {"w_dim": 8, "depth": 1, "width": 4, "max_width": 4, "w_average_decay": 0.9, "num_classes": 3}
    network = StyleGAN2Generator(sample_shape=(1, 8, 8), latent_dim=6, **given).eval().requires_grad_(False)
    loaded = replace(generator("styles"), network=network, inputs=LabelledInputs(6, "normal", 3, "uniform"))
    return Samples(loaded, count=6, sliders={})


def test_classes():
    asking = conditional_styles()
    drawn = asking.labels(Request(seed=0))
    assert len(set(drawn)) > 1
    assert asking.labels(Request(seed=0, label=2)) == [2] * 6
    assert asking.labels(Request(seed=0, steps=(Step((3, 0), 0.1),))) == [drawn[3], drawn[0]] * 3
    sampled = asking.positions(Request(seed=0, label=2)).positions
    assert torch.equal(sampled, space_of(asking.loaded).samples(0, range(6), [2]).positions)
    with pytest.raises(ValueError, match=r"classes \[3\] are not among 0 to 2"):
        asking.pictures(Request(seed=0, label=3))
    with pytest.raises(ValueError, match="unconditional"):
        session("styles").pictures(Request(seed=0, label=0))


def test_noise_of_its_own_is_kept():
    """Imported weights may have it; then pictures are those of `sample` to the last level."""
    loaded = generator("styles")
    loaded.network.synthesis.constant_noise = torch.randn(loaded.network.noise_size)
    made = Samples(loaded, count=6, sliders={"smile": Slider(torch.ones(8), None, {})})
    for strengths in ({}, {"smile": 1.0}):
        asking = made.loaded if not strengths else shifted(loaded, [(Slider(torch.ones(8), None, {}), 1.0)])
        asking = asked(asking, truncation=0.5, standing_statistics=None)
        sampled = next(images(asking, count=6, seed=4))[:, 0].numpy()
        ours = made.pictures(Request(seed=4, truncation=0.5, strengths=strengths))
        assert np.array_equal(arrays(ours), sampled)


def test_what_truncation_there_is():
    assert session("styles").truncation == Truncation(0.0, 1.0, styles=True)
    assert session("latents").truncation == Truncation(0.25, 3.0, styles=False)
    uniform = replace(generator("latents"), inputs=LatentInputs(6, "uniform"))
    assert Samples(uniform, count=6, sliders={}).truncation is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_goes_through_the_chosen_ones(kind):
    asking, request = session(kind), Request(seed=7)
    frames = arrays(list(asking.frames(request, [5, 2], 8)))
    made = arrays(asking.pictures(request))
    assert len(frames) == 8
    assert np.array_equal(frames[[0, 4]], made[[5, 2]])
    assert len({frame.tobytes() for frame in frames}) > 2
    of_the_first = arrays(list(asking.frames(request, [], 4)))
    assert np.array_equal(of_the_first, made[:4])
    with pytest.raises(ValueError, match="two pictures or more"):
        list(asking.frames(request, [1], 8))


def test_a_walk_between_classes_is_refused():
    loaded = replace(generator("latents"), inputs=LabelledInputs(6, "normal", 3, "uniform"))
    asking = Samples(loaded, count=6, sliders={})
    labels = asking.labels(Request(seed=0))
    other = next(number for number, label in enumerate(labels) if label != labels[0])
    with pytest.raises(ValueError, match="choose pictures of one class"):
        list(asking.frames(Request(seed=0), [0, other], 8))


def test_files_to_keep():
    asking, request = session("latents"), Request(seed=7)
    made = arrays(asking.pictures(request))
    name, content = asking.file(request, [3])
    assert name == "seed7_000003.png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), made[3])
    told = Image.open(io.BytesIO(content)).text
    assert (told["Description"], told["gan_lab.seed"]) == ("made by a generative model", "7")
    assert told["gan_lab.index"] == "3", "as gan_lab.sample numbers it"
    name, content = asking.file(request._replace(steps=(Step((2,), 0.1),)), [])
    assert name == "seed7_near2.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [f"seed7_near2_{number:06d}.png" for number in range(6)]
        assert "gan_lab.index" not in Image.open(io.BytesIO(archive.read("seed7_near2_000000.png"))).text


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(seed=-1), "seed must be 0 or more, got -1"),
        (Request(seed=0, truncation=1.5), "psi, from 0 to 1, got 1.5"),
        (Request(seed=0, strengths={"frown": 1.0}), "there are no sliders frown; there are smile"),
        (Request(seed=0, steps=(Step((), 0.1),)), "choose at least one picture"),
        (Request(seed=0, steps=(Step((6,), 0.1),)), r"numbered from 0 to 5, got \[6\]"),
        (Request(seed=0, steps=(Step((0,), 0.0),)), "more than 0 and at most 1, got 0.0"),
    ],
)
def test_what_is_refused(request_, said):
    with pytest.raises(ValueError, match=said):
        session("styles", smile=Slider(torch.ones(8), None, {})).pictures(request_)


def test_how_many_are_shown():
    for count in (0, 51):
        with pytest.raises(ValueError, match=f"count must be from 1 to 50, got {count}"):
            Samples(generator("latents"), count=count, sliders={})


def test_nearest_training_pictures():
    """Of 3 of 32x32: black, a gradient to the right, white."""
    images = np.stack([np.zeros((1, 32, 32)), np.tile(np.arange(32) * 8, (1, 32, 1)), np.full((1, 32, 32), 255)])
    images = images.astype(np.uint8)
    plain, mirrored = (PictureNeighbors(images, mirrored=flag) for flag in (False, True))
    grey = Image.fromarray(np.full((32, 32), 200, np.uint8))
    assert nearest_to(grey, plain, 2)[0][1] == (2, 55.0, False)
    assert len(nearest_to(grey, plain, 5)) == 3
    gradient = Image.fromarray(images[1, 0, :, ::-1].copy())
    assert nearest_to(gradient, plain, 1)[0][1].distance > 50
    ((picture, near),) = nearest_to(gradient, mirrored, 1)
    assert near == (1, 0.0, True)
    assert np.array_equal(np.asarray(picture), np.asarray(gradient))
