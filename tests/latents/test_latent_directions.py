"""Directions against independent computations, and sliders that move what they say and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from tiny_generators import generator
from torch import nn

from gan_lab.evaluation.generation import asked
from gan_lab.latents import sliders
from gan_lab.latents.directions import difference, first_weight, principal, sefa
from gan_lab.latents.sliders import Slider
from gan_lab.latents.space import space_of
from gan_lab.networks.mlp import MLPGenerator
from gan_lab.sample import images
from gan_lab.sampling import LabelledInputs


def aligned(found: torch.Tensor, expected: np.ndarray) -> None:
    """Equal rows, up to the sign of each; ours are positive at their largest value."""
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()
    signs = np.sign((found.numpy() * expected).sum(1, keepdims=True))
    np.testing.assert_allclose(found.numpy(), signs * expected, rtol=1e-4, atol=1e-6)


def test_sefa_of_styles():
    """By singular values of the weights as they are stored; each row as long as the deviation of w along it."""
    space = space_of(generator("styles"))
    state = space.loaded.network.state_dict()
    stored = [state[name].double().numpy() for name in state if name.endswith("style.weight")]
    assert len(stored) == 3 + 2
    samples = space.samples(0, range(200)).positions
    _, _, rows = np.linalg.svd(np.concatenate(stored) / 8**0.5)
    lengths = (samples.numpy() @ rows[:4].T).std(0, ddof=1)
    aligned(sefa(space, count=4, samples=samples), rows[:4] * lengths[:, None])
    # w 0 goes into the first convolution alone; w 1 into the first ToImage and the second convolution.
    first = state["synthesis.convolutions.0.style.weight"].double().numpy()
    _, _, rows = np.linalg.svd(first)
    lengths = (samples.numpy() @ rows[:2].T).std(0, ddof=1)
    aligned(sefa(space, count=2, samples=samples, layers=(0, 1)), rows[:2] * lengths[:, None])


def test_sefa_of_latents_sees_them_and_not_the_labels_beside():
    torch.manual_seed(0)
    given = {"width": 16, "depth": 1, "normalization": "spectral", "activation": "relu", "initialization": "he"}
    network = MLPGenerator(
        sample_shape=(1, 8, 8), latent_dim=6, conditioning="concatenation", num_classes=4, **given
    ).eval()
    inputs = LabelledInputs(6, "normal", 4, "uniform")
    space = space_of(replace(generator("latents"), network=network.requires_grad_(False), inputs=inputs))
    hidden = next(module for module in network.modules() if isinstance(module, nn.Linear))
    np.testing.assert_allclose(first_weight(space).numpy(), hidden.weight[:, :6].numpy(), atol=1e-6)
    samples = space.samples(0, range(100)).positions
    _, _, rows = np.linalg.svd(hidden.weight[:, :6].double().numpy())
    aligned(sefa(space, count=6, samples=samples), rows * (samples.numpy() @ rows.T).std(0, ddof=1)[:, None])


def test_pca_of_styles_is_scikit_learns():
    space = space_of(generator("styles"))
    samples = space.samples(0, range(300)).positions
    fitted = PCA(5).fit(samples.numpy())
    aligned(
        principal(space, count=5, samples=samples),
        fitted.components_ * np.sqrt(fitted.explained_variance_)[:, None],
    )


def test_pca_of_latents_is_the_regression_on_scikit_learns_coordinates():
    """GANSpace's section 2.2, from the first layer's outputs themselves."""
    space = space_of(generator("latents"))
    samples = space.samples(0, range(300)).positions
    first = next(module for module in space.loaded.network.modules() if isinstance(module, nn.Linear))
    outputs = (samples @ first.weight.double().T + first.bias.double()).numpy()
    coordinates = PCA(4).fit_transform(outputs)
    centred = samples.numpy() - samples.numpy().mean(0)
    back = np.linalg.lstsq(coordinates, centred, rcond=None)[0]
    aligned(principal(space, count=4, samples=samples), back * coordinates.std(0, ddof=1)[:, None])


@pytest.mark.parametrize("kind", ["styles", "latents"])
def test_a_slider_moves_one_set_to_the_other(kind, tmp_path):
    """At strength 1 the mean of minus becomes that of plus; stored and read it does so, too, in sample as in a walk."""
    loaded = generator(kind)
    space = space_of(loaded, seed=3)
    plus, minus = (space.samples(3, numbers).positions for numbers in ([1, 2], [5]))
    step = difference(plus=plus, minus=minus)
    torch.testing.assert_close(minus[0] + step[0], plus.mean(0))
    path = tmp_path / "sliders.json"
    sliders.write(path, loaded, {"smile": Slider(step[0].float(), None, {"method": "difference"})}, replacing=False)
    moved = space_of(sliders.moved(loaded, {"smile": 0.5}, path), seed=3)
    point = space.samples(3, [0])
    expected = next(space.pictures(point._replace(positions=point.positions + 0.5 * step)))
    made = next(moved.pictures(point))
    assert (made.int() - expected.int()).abs().max() <= 1
    assert not torch.equal(made, next(space.pictures(point)))
    if kind == "latents":
        assert torch.equal(next(images(moved.loaded, count=1, seed=3)), made)
    assert sliders.moved(loaded, {}, path) is loaded


def test_layers_and_truncation_of_a_slider():
    """Of layers alone, and added after truncation: at psi = 0 the mean is moved by all of the step."""
    loaded = generator("styles")
    network = loaded.network
    step = torch.arange(8.0)
    moved = asked(sliders.shifted(loaded, [(Slider(step, (1, 3), {}), 2.0)]), truncation=0.0, standing_statistics=None)
    noise = torch.zeros(1, network.noise_size)
    w = network.w_average.expand(1, network.num_layers, -1).clone()
    w[:, 1:3] += 2 * step
    made = moved.network(torch.randn(1, 6), noise=noise)
    torch.testing.assert_close(made, network.synthesis(w, noise=noise))


def test_sliders_are_of_one_generators_weights(tmp_path):
    loaded, path = generator("styles"), tmp_path / "sliders.json"
    slider = Slider(torch.ones(8), None, {})
    with pytest.raises(ValueError, match=r"there are no sliders at .*gan_lab.directions"):
        sliders.moved(loaded, {"a": 1.0}, path)
    sliders.write(path, loaded, {"a": slider, "b": slider}, replacing=False)
    sliders.write(path, loaded, {"a": slider}, replacing=False)
    with pytest.raises(ValueError, match=r"sliders c are not among those in .*: a, b"):
        sliders.moved(loaded, {"a": 1.0, "c": 2.0}, path)
    other = Slider(2 * torch.ones(8), None, {})
    with pytest.raises(ValueError, match="has another slider a; overwrite=true replaces it"):
        sliders.write(path, loaded, {"a": other}, replacing=False)
    with pytest.raises(ValueError, match="begins with a letter; got 2a"):
        sliders.write(path, loaded, {"2a": other}, replacing=False)
    sliders.write(path, loaded, {"a": other}, replacing=True)
    assert {name: found.step[0].item() for name, found in sliders.read(path, loaded).items()} == {"a": 2, "b": 1}
    trained = generator("styles")
    trained.network.synthesis.constant.data += 1
    with pytest.raises(ValueError, match=r"are of other weights than x \(ema\); make them anew"):
        sliders.read(path, trained)
    with pytest.raises(ValueError, match="holds sliders of other weights; overwrite=true replaces them"):
        sliders.write(path, trained, {"a": slider}, replacing=False)
    text = path.read_text()
    path.write_text(text.replace("2.0", "NaN", 1))
    with pytest.raises(ValueError, match=r"the slider a in .* is damaged: its step must be 8 finite numbers"):
        sliders.read(path, loaded)
