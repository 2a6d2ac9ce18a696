"""The classification accuracy score: which set is trained on and which is tested on, and the ways it falls."""

import pytest
import torch

from gan_lab.metrics import classification_accuracy
from gan_lab.metrics.classification_accuracy import ClassificationAccuracy
from gan_lab.metrics.reference import Reference

SETTINGS = {"epochs": 6, "batch_size": 16, "lr": 0.01, "shift": 0, "flip": False, "seed": 0, "threads": 1}
COUNT = 96


def images_of(labels: torch.Tensor, seed: int) -> torch.Tensor:
    """(N, 1, 8, 8) uint8: class 0 is bright above, 1 below, 2 to the left."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(len(labels), 1, 8, 8, generator=generator) * 100
    rows, columns = torch.arange(8)[:, None], torch.arange(8)[None, :]
    bright = torch.stack([(rows < 4).expand(8, 8), (rows >= 4).expand(8, 8), (columns < 4).expand(8, 8)])
    return (pixels + 120 * bright[labels][:, None]).to(torch.uint8)


def labels_of(classes: int = 3) -> torch.Tensor:
    return torch.arange(COUNT) % classes


def reference_of(images: torch.Tensor, labels: torch.Tensor | None) -> Reference:
    return Reference(None, images.numpy(), labels)


def made(**settings) -> ClassificationAccuracy:
    return ClassificationAccuracy(**SETTINGS | settings)


def scored(real_labels, fake_images, fake_labels, *, real_images=None, size: int = 50) -> dict[str, float]:
    metric = made()
    metric.set_reference(reference_of(images_of(real_labels, 0) if real_images is None else real_images, real_labels))
    for images, labels in zip(fake_images.split(size), fake_labels.split(size), strict=True):
        metric.update(images, labels)
    return metric.compute()


def test_a_good_generator():
    result = scored(labels_of(), images_of(labels_of(), 1), labels_of())
    assert set(result) == {"", "_test"}
    assert min(result.values()) > 0.95


def test_each_classifier_is_tested_on_the_other_set():
    # Generated classes are swapped: learnt perfectly by each classifier on its own set, and wrong on the other one. An
    # accuracy on the set trained on, StudioGAN's slip, would be 1.
    labels = labels_of(2)
    result = scored(labels, images_of(1 - labels, 1), labels)
    assert max(result.values()) < 0.05


def test_which_sets_are_passed(monkeypatch):
    calls = []

    def fit(images, labels, **settings):
        calls.append(("fit", images, labels, settings))
        return len(calls)

    def accuracy(network, images, labels, *, threads):
        calls.append(("accuracy", images, labels, {"threads": threads}))
        return network / 10

    monkeypatch.setattr(classification_accuracy, "fit", fit)
    monkeypatch.setattr(classification_accuracy, "accuracy", accuracy)
    real, fake = images_of(labels_of(), 0), images_of(labels_of(), 1)
    assert scored(labels_of(), fake, labels_of()) == {"": 0.1, "_test": 0.2}  # of the first fit and of the second
    for (what, images, labels, settings), (name, expected) in zip(
        calls, [("fit", fake), ("fit", real), ("accuracy", real), ("accuracy", fake)], strict=True
    ):
        assert what == name
        assert torch.equal(images, expected)
        assert torch.equal(labels, labels_of())
        assert settings == (SETTINGS | {"classes": 3} if what == "fit" else {"threads": 1})


def test_a_class_never_made_lowers_the_main_value_alone():
    fake_labels = labels_of(2)
    result = scored(labels_of(3), images_of(fake_labels, 1), fake_labels)
    assert result[""] == pytest.approx(2 / 3, abs=0.05)
    assert result["_test"] > 0.95


def test_a_class_made_wrong_lowers_both():
    shown = labels_of() % 2  # class 2 looks like class 0
    result = scored(labels_of(), images_of(shown, 1), labels_of())
    assert result["_test"] == pytest.approx(2 / 3, abs=0.05)
    assert result[""] < 0.75


def test_deterministic_whatever_the_surroundings():
    fake = images_of(labels_of(), 1)
    torch.manual_seed(0)
    before = torch.get_num_threads()
    first = scored(labels_of(), fake, labels_of())
    state = torch.get_rng_state()
    torch.manual_seed(1)
    with torch.inference_mode():
        assert scored(labels_of(), fake, labels_of(), size=7) == first
    torch.manual_seed(0)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == before


def test_the_reference_is_learnt_once(monkeypatch):
    fits = []

    def fit(images, labels, **settings):
        fits.append(images)
        return "network"

    monkeypatch.setattr(classification_accuracy, "fit", fit)
    monkeypatch.setattr(classification_accuracy, "accuracy", lambda *sets, threads: 0.5)
    metric, reference = made(), reference_of(images_of(labels_of(), 0), labels_of())
    for _ in range(2):
        metric.set_reference(reference)
        metric.update(images_of(labels_of(), 1), labels_of())
        metric.compute()
        metric.reset()
    assert len(fits) == 3
    assert not metric.state_dict()
    metric.set_reference(reference_of(images_of(labels_of(), 2), labels_of()))
    metric.update(images_of(labels_of(), 1), labels_of())
    metric.compute()
    assert len(fits) == 5


def test_every_setting_is_in_the_protocol():
    protocol = made().protocol()
    assert protocol["metric"] == "cas"
    assert SETTINGS.items() <= protocol.items()


def test_refusals():
    fake = images_of(labels_of(), 1)
    with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
        made(threads=0)
    with pytest.raises(ValueError, match="needs a reference with labels"):
        scored(None, fake, labels_of(), real_images=fake)
    with pytest.raises(ValueError, match=r"reference is \(1, 8, 4\), samples are \(1, 8, 8\)"):
        scored(labels_of(), fake, labels_of(), real_images=fake[..., :4])
    with pytest.raises(ValueError, match=r"samples of class 2, the reference has 0 \.\. 1"):
        scored(labels_of(2), fake, labels_of())
