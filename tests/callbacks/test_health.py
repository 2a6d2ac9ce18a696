"""Health: what is recorded and told, by hand on two pixels; nothing of it changes training."""

import logging
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tiny import Same, ScriptedEvaluation, settings
from tiny import fit as fit_tiny
from torch import nn
from translated import Finding, Hiding, Negative

from gan_lab import collectives
from gan_lab.augment.base import Augmentation
from gan_lab.callbacks import health
from gan_lab.callbacks.checkpointing import Checkpointing
from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.callbacks.health import (
    Health,
    Reals,
    about_logits,
    about_sources,
    duplicate_rate,
    held_out_split,
    hidden_share,
    nearest_distances,
    pixel_spread,
)
from gan_lab.callbacks.metrics import MetricsFile
from gan_lab.config import register
from gan_lab.data.images import to_uint8
from gan_lab.data.reference import ReferenceSet
from gan_lab.layers.normalization import spectrally_normalize
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.runs.records import CLOCK, read_rows

DEFAULT = {
    name: value
    for name, value in OmegaConf.load(ROOT / "conf" / "callbacks" / "default.yaml").health.items()
    if name not in ("_target_", "every_kimg")
}


def callback(**changes):
    return Health(**{"every_kimg": 0.004, **DEFAULT, "in_a_row": 1, **changes})


class Judged(HingeGAN):
    """A GAN that says how its D is asked, and where its logits change sides."""

    boundary = 0.0

    def judge(self, images, labels=None):
        return self.discriminator(self.augmented(images))


class Painter(nn.Module):
    """Latents as 1x2 pictures, and noise from the default generator on top."""

    def __init__(self, scale=0.3, noise=0.1):
        super().__init__()
        self.scale, self.noise = nn.Parameter(torch.tensor(scale)), noise
        self.norm = nn.BatchNorm1d(2, affine=False)

    def forward(self, latents):
        return (self.norm(self.scale * latents) + self.noise * torch.randn(len(latents), 2)).view(-1, 1, 1, 2).tanh()


class Critic(nn.Module):
    def __init__(self, inputs=2):
        super().__init__()
        self.layer = nn.Linear(inputs, 1)
        self.drop = nn.Dropout(0.5)

    def forward(self, samples):
        return self.drop(self.layer(samples.flatten(1))).squeeze(1)


class Noisy(Augmentation):
    """An augmentation that counts on `draws`."""

    def forward(self, images, draws):
        return images + 0.1 * draws.normal("noisy", len(images), images.shape[1:])


class TwoPixels(Same):
    """1x2 images with a test split; batches are always the same."""

    splits, limit, num_classes, sample_shape = ("train", "test"), None, None, (1, 1, 2)

    def __init__(self, train, test=None):
        super().__init__(torch.tensor(train, dtype=torch.float32).view(-1, 1, 1, 2)[:2])
        self.sets = {
            name: ReferenceSet(
                name="two", split=name, images=to_uint8(torch.tensor(v).view(-1, 1, 1, 2)).numpy(), labels=None
            )
            for name, v in (("train", train), ("test", test))
            if v is not None
        }
        self.splits = tuple(self.sets)

    @property
    def stream(self):
        return type("Stream", (), {"samples": self.sets["train"]})

    def reference(self, split):
        return self.sets[split]


TRAIN = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
TEST = [[-1.0, -1.0], [-0.5, -0.5]]


def model(kind=Judged, **changes):
    torch.manual_seed(1)
    critic = Critic()
    spectrally_normalize(critic)
    given = {"generator": Painter(), "discriminator": critic, "augment": {"noisy": Noisy()}, "d_lr": 0.1, "g_lr": 0.1}
    return kind(**settings(**given | changes))


def fit(module, monkeypatch, tmp_path, callbacks, images=12, test=TEST):
    monkeypatch.setattr("tiny.Same", lambda real: TwoPixels(TRAIN, test))
    return fit_tiny(module, images=images, callbacks=callbacks, folder=tmp_path)


# measures --------------------------------------------------------------------------------------------------------


def test_nearest_distances():
    pixels = torch.tensor([[0, 0], [3, 4], [3, 4], [255, 255]], dtype=torch.uint8).view(4, 1, 1, 2)
    assert nearest_distances(pixels).tolist() == pytest.approx([5, 0, 0, (252**2 + 251**2) ** 0.5], abs=1e-12)


def test_distances_of_large_images_are_those_of_small_ones():
    small = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    large = small.repeat_interleave(2, -1).repeat_interleave(3, -2)
    assert torch.equal(nearest_distances(large), nearest_distances(small))
    expected = torch.cdist(small.flatten(1).double(), small.flatten(1).double()).fill_diagonal_(9e9).amin(1)
    assert nearest_distances(small).tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_duplicates_are_equal_or_much_nearer_than_reals():
    nearest = torch.tensor([0.0, 2.4, 2.6, 10.0], dtype=torch.float64)
    assert duplicate_rate(nearest, 10.0, near=0.25) == 0.5
    assert duplicate_rate(nearest, 0.0, near=0.25) == 0.25, "equal ones are so whatever the reals"
    assert duplicate_rate(torch.tensor([torch.inf]), 0.0, near=0.25) == 0, "a single image"


def test_spread():
    pixels = torch.tensor([[0, 10], [4, 10]], dtype=torch.uint8).view(2, 1, 1, 2)
    assert pixel_spread(pixels) == 1.0  # of 2 and 0


def test_gaps_and_accuracies():
    logits = {"real": [2.0, 4.0], "held_out": [1.0, -1.0], "fake": [-1.0, -1.0, 0.5, -0.5]}
    logits = {kind: torch.tensor(values) for kind, values in logits.items()}
    found = about_logits(logits, 0.0)
    assert (found["logit_gap"], found["logit_gap_held_out"], found["share"]) == (3.5, 3.0, pytest.approx(6 / 7))
    assert [found[f"d_accuracy_{kind}"] for kind in ("real", "held_out", "fake")] == [1.0, 0.5, 0.75]
    assert found["accuracy"] == 0.5
    assert about_logits(logits, 2.5)["d_accuracy_real"] == 0.5
    assert "accuracy" not in about_logits(logits, None), "a critic's zero means nothing"


def test_samples_beside_sources_and_targets():
    targets = torch.tensor([[0, 40], [80, 120]], dtype=torch.uint8).view(2, 1, 1, 2)
    found = about_sources(200 - targets, targets=targets, sources=targets + 10)
    assert found == pytest.approx({"source_distance": 9.5, "target_correlation": -1.0})  # of 190, 110, 30 and 50
    assert about_sources(targets + 10, targets=targets, sources=targets + 10)["source_distance"] == 0
    wide = about_sources(targets, targets=targets, sources=torch.zeros(2, 1, 1, 4, dtype=torch.uint8))
    assert math.isnan(wide["source_distance"]), "no picture of the target's kind"
    assert math.isnan(about_sources(targets, targets=targets, sources=targets)["source_distance"])
    flat = about_sources(torch.zeros_like(targets), targets=targets, sources=targets + 10)
    assert math.isnan(flat["target_correlation"])


def test_noise_that_undoes_a_cycle():
    sources = torch.tensor([[0, 0], [100, 100]], dtype=torch.uint8).view(2, 1, 1, 2)
    assert hidden_share(sources, sources + 10, sources + 35) == pytest.approx(0.25)
    assert hidden_share(sources, sources, sources.roll(1, 0)) == 1
    assert math.isnan(hidden_share(sources[:1], sources[:1], sources[:1])), "a source alone"


def test_cycles_through_what_undoes_itself_and_what_hides_its_source():
    """White and black in turn, a thousandth of which is hidden: noise of 2 of 127.5 turns it with a chance of 0.475."""
    sources = torch.tensor([0, 255] * 3, dtype=torch.uint8).view(6, 1, 1, 1).expand(-1, 1, 16, 16)
    module = Judged(**settings(batch_size=4))
    looks = callback(noise_levels=2)
    assert looks.cycle_gap(module, sources, Hiding(), Finding()) == pytest.approx(0.475, abs=0.05)
    assert looks.cycle_gap(module, sources, Negative(), Negative()) == pytest.approx(0, abs=0.01)


def test_a_gap_that_drowns_says_nothing_of_overfitting():
    logits = {"real": torch.tensor([5.0, -5.0]), "held_out": torch.tensor([-1.0]), "fake": torch.tensor([-1.0])}
    assert "share" not in about_logits(logits, 0.0)


def test_which_reals_are_held_out():
    data = TwoPixels(TRAIN)
    assert held_out_split(data) is None
    data.limit = 3
    assert held_out_split(data) == "train[3:]"
    data.limit = 4
    assert held_out_split(data) is None
    assert held_out_split(TwoPixels(TRAIN, TEST)) == "test"


# columns ---------------------------------------------------------------------------------------------------------


def columns(folder):
    return {name for name in read_rows(folder / "metrics.csv")[0] if name.startswith("health/")}


def test_values_stand_in_the_row_of_their_moment(monkeypatch, tmp_path):
    fit(model(), monkeypatch, tmp_path, [callback(), MetricsFile(every_kimg=0.002)])
    rows = read_rows(tmp_path / "metrics.csv")
    assert [row["images_seen"] for row in rows if row["health/spread"]] == ["4", "8", "12"]
    assert columns(tmp_path) == {
        *("health/duplicates", "health/spread", "health/logit_gap", "health/logit_gap_held_out"),
        *("health/d_accuracy_real", "health/d_accuracy_held_out", "health/d_accuracy_fake"),
    }


def test_columns_that_do_not_apply_are_left_out(monkeypatch, tmp_path):
    class WithCritic(Judged):
        boundary = None

    fit(model(WithCritic), monkeypatch, tmp_path, [callback(), MetricsFile(every_kimg=0.004)], test=None)
    assert columns(tmp_path) == {"health/duplicates", "health/spread", "health/logit_gap"}


def test_a_model_without_a_judge_has_no_columns_of_d(monkeypatch, tmp_path):
    class Mute(HingeGAN):
        judge = property(lambda self: self.missing)  # hasattr is False

    fit(model(Mute), monkeypatch, tmp_path, [callback(), MetricsFile(every_kimg=0.004)])
    assert columns(tmp_path) == {"health/duplicates", "health/spread"}


class Classifier(nn.Module):
    """Two classes: by whether the first pixel is bright."""

    def forward(self, images):
        bright = (images[:, 0, 0, 0] > 127).float()
        return {"logits": torch.stack([1 - bright, bright], 1)}


@pytest.mark.parametrize(("classes", "found"), [(2, True), (10, False)])
def test_modes_are_counted_by_a_classifier_of_the_data(classes, found, monkeypatch, tmp_path):
    stage = Evaluate(None, None)
    stage.evaluation = ScriptedEvaluation([1.0])
    stage.evaluation.extractor = Classifier()
    monkeypatch.setattr(TwoPixels, "num_classes", classes)
    fit(model(), monkeypatch, tmp_path, [callback(), MetricsFile(every_kimg=0.004), stage])
    values = [row.get("health/modes") for row in read_rows(tmp_path / "metrics.csv")]
    assert values == (["2.0"] * 3 if found else [None] * 3)


def test_an_expensive_classifier_is_not_asked(monkeypatch, tmp_path):
    stage = Evaluate(None, None)
    stage.evaluation = ScriptedEvaluation([1.0])
    stage.evaluation.extractor = Classifier()
    stage.evaluation.extractor.weight = nn.Parameter(torch.zeros(health.CHEAP + 1))
    monkeypatch.setattr(TwoPixels, "num_classes", 2)
    fit(model(), monkeypatch, tmp_path, [callback(), MetricsFile(every_kimg=0.004), stage])
    assert "health/modes" not in columns(tmp_path)


def test_a_mean_over_ranks_is_what_the_first_one_found(monkeypatch, tmp_path):
    looks, recorded = callback(), {}
    module = model()
    fit(module, monkeypatch, tmp_path, [looks])
    trainer = type("Trainer", (), {"datamodule": TwoPixels(TRAIN, TEST), "should_stop": False})
    found = {name: float(number) for number, name in enumerate(looks.columns, 1)}
    monkeypatch.setattr(looks, "look", lambda data, module: found)
    monkeypatch.setattr(looks, "tell", lambda found, images_seen: None)
    monkeypatch.setattr(collectives, "world", lambda: 4)
    monkeypatch.setattr(module, "record", lambda name, value: recorded.setdefault(name, []).append(value.item()))
    for rank in range(4):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        looks.tick(trainer, module)
    assert list(recorded) == [f"health/{name}" for name in looks.columns]
    assert all(sum(recorded[f"health/{name}"]) / 4 == value for name, value in found.items())


class NormalizingCritic(nn.Module):
    """The sum of two pixels, each normalized over the batch: at running statistics far off, always more than 0."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.norm.running_mean.fill_(-10.0)

    def forward(self, samples):
        return self.norm(samples.flatten(1)).sum(1)


def test_d_is_the_one_that_trains(tmp_path):
    """Of two reals that lie apart batch norm makes 1 and -1 in each pixel: D is right on one. By running statistics it
    is right on both, and on no fake."""
    module = Judged(**settings(generator=Painter(noise=0.0), discriminator=NormalizingCritic()))
    data = TwoPixels([[1.0, 1.0], [-1.0, -1.0]])
    data.stream.samples.images[:] = [[[[255, 255]]], [[[0, 0]]]]
    looks = callback()
    with health.undisturbed(module):
        found = looks.look(data, module)
    assert found["d_accuracy_real"] == 0.5
    assert found["logit_gap"] == pytest.approx(0.0, abs=1e-6)
    module.eval()
    with health.undisturbed(module):
        assert looks.look(data, module)["d_accuracy_real"] == 1.0, "the other mode says something else"


def test_g_is_the_one_that_trains():
    """Normalized over its batch it is spread, by running statistics far off it paints one colour."""
    module = Judged(**settings(generator=Painter(noise=0.0), discriminator=Critic(), batch_size=4))
    module.generator.norm.running_mean.fill_(50.0)
    looks, data = callback(), TwoPixels(TRAIN)
    with health.undisturbed(module):
        assert looks.look(data, module)["spread"] > 0.5
    module.eval()
    with health.undisturbed(module):
        assert looks.look(data, module)["spread"] < 0.01, "the other mode says something else"


def test_a_patch_discriminator_counts_once_per_sample():
    class Patches(nn.Module):
        def forward(self, samples):
            return samples.view(-1, 1, 1, 2)

    module = Judged(**settings(discriminator=Patches()))
    assert health.judged(module, torch.tensor([[1.0, 3.0], [5.0, -1.0]]), {}).tolist() == [2.0, 2.0]


def test_shares_are_those_of_training(monkeypatch):
    """Whole batches, filled up from the beginning, each cut among the ranks as training cuts its own."""
    module = type("Module", (), {"batch_size": 4, "micro_batch_size": None})
    assert health.shares_of(6, module).tolist() == [[0, 1, 2, 3], [4, 5, 0, 1]]
    assert health.shares_of(3, module).tolist() == [[0, 1, 2, 0]]
    module.micro_batch_size = 2
    assert health.shares_of(4, module).tolist() == [[0, 1], [2, 3]]
    monkeypatch.setattr(collectives, "world", lambda: 2)
    monkeypatch.setattr(collectives, "rank", lambda: 1)
    assert health.shares_of(4, module).tolist() == [[1], [3]]


# no trace --------------------------------------------------------------------------------------------------------


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_training_is_the_same_bits_with_and_without(monkeypatch, tmp_path):
    with_it, without = model(), model()
    fit(with_it, monkeypatch, tmp_path, [callback(every_kimg=0.002)])
    after = states()
    fit(without, monkeypatch, tmp_path, [])
    assert states() == after
    assert with_it.draws.state_dict() == without.draws.state_dict()
    ours, theirs = with_it.state_dict(), without.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert any("_u" in name for name in ours), "spectral norm's vectors are among them"


def test_a_look_moves_nothing(monkeypatch, tmp_path):
    looks, module = callback(), model()
    fit(module, monkeypatch, tmp_path, [looks])
    module.train()
    module.generator.norm.eval()
    module.augmented(torch.zeros(2, 1, 1, 2))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    moment, counts = states(), module.draws.state_dict()
    looks.tick(type("Trainer", (), {"datamodule": TwoPixels(TRAIN, TEST)}), module)
    assert states() == moment
    assert module.draws.state_dict() == counts
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_what_training_mode_moves_is_put_back(monkeypatch, tmp_path):
    """Running statistics, spectral norm's vectors and counts do move during a look, and afterwards have their bits."""
    torch.manual_seed(3)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 4), Critic(4))
    spectrally_normalize(critic)
    module, data = Judged(**settings(generator=Painter(), discriminator=critic)), TwoPixels(TRAIN, TEST)
    module.generator.norm.running_var.fill_(float("nan"))
    buffers = dict(module.named_buffers())
    before = {name: value.clone() for name, value in buffers.items()}
    with health.undisturbed(module):
        callback().look(data, module)
        moved = {name for name, value in buffers.items() if not torch.equal(value, before[name])}
    kinds = ("norm.running_mean", "norm.num_batches_tracked", "4.parametrizations.weight.0._u", "2.running_var")
    assert [kind for kind in kinds if not any(name.endswith(kind) for name in moved)] == []
    after = dict(module.named_buffers())
    assert all(after[name] is value for name, value in buffers.items())
    assert all(torch.equal(after[name].nan_to_num(7), value.nan_to_num(7)) for name, value in before.items())


def test_a_look_depends_on_the_moment_alone(monkeypatch, tmp_path):
    """What was drawn before it does not matter: a resumed run looks at the same."""
    module, data = model(), TwoPixels(TRAIN, TEST)
    fit(module, monkeypatch, tmp_path, [callback()])
    found = []
    for _ in range(2):
        looks = callback()
        looks.held_out = "test"
        with health.undisturbed(module):
            found.append(looks.look(data, module))
        torch.rand(3), module.augmented(torch.zeros(2, 1, 1, 2))
    assert found[0] == found[1]
    module.images_seen += 2
    with health.undisturbed(module):
        assert looks.look(data, module) != found[0], "other latents"


def test_samples_are_others_at_each_look(monkeypatch, tmp_path):
    module = model(generator=Painter(noise=0.0))
    fit(module, monkeypatch, tmp_path, [])
    first, _ = callback().sample(TwoPixels(TRAIN), module, 4)
    again, _ = callback().sample(TwoPixels(TRAIN), module, 4)
    module.images_seen += 2
    later, _ = callback().sample(TwoPixels(TRAIN), module, 4)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_spread_is_relative_to_that_of_reals(monkeypatch, tmp_path):
    looks, module, data = callback(), model(), TwoPixels(TRAIN)
    fit(module, monkeypatch, tmp_path, [])
    with health.undisturbed(module):
        found = looks.look(data, module)
    looks.reals = replace(looks.reals, spread=2 * looks.reals.spread)
    with health.undisturbed(module):
        assert looks.look(data, module)["spread"] == found["spread"] / 2
    looks.reals = replace(looks.reals, spread=0.0)
    with health.undisturbed(module):
        assert math.isnan(looks.look(data, module)["spread"])


# warnings --------------------------------------------------------------------------------------------------------

WELL = {"duplicates": 0.05, "spread": 0.9, "modes": 9, "real_modes": 10, "share": 0.1, "accuracy": 0.8}


def told(caplog, *looks, **changes):
    watcher = callback(**changes)
    watcher.reals = Reals({}, 1.0, 0.04, 1.0, 10)
    caplog.clear()
    with caplog.at_level(logging.INFO, "gan_lab"):
        for images, found in enumerate(looks, 1):
            watcher.tell(WELL | found, 1000 * images)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize(
    ("found", "begins", "advises"),
    [
        ({"duplicates": 0.15}, "samples repeat: 15%", "larger batch"),
        ({"spread": 0.1}, "samples are alike: they vary 0.10 times", "larger batch"),
        ({"modes": 5}, "modes are missing: samples show 5 classes, as many reals 10", "larger batch"),
        ({"share": 0.6}, "D over-fits: reals that it is not trained on lie 60% of the way", "model.augment"),
        ({"accuracy": 0.995}, "D wins: it is right on 99.5%", "model.optimizers.discriminator.lr"),
        ({"source_distance": 0.04}, "samples are their sources: they differ from them by 4%", "generator.lr"),
        ({"target_correlation": -0.5}, "samples are inverted: they are light where", "another seed"),
        ({"leak_mirrored": 0.2}, "samples look mirrored: as if 20% of them", "model.augment.ada.groups.blit=0"),
        ({"leak_turned": 0.2}, "samples look turned: as if 20% of them", "model.augment.ada.p_max"),
        ({"leak_tinted": 0.2, "p": 0.3}, "samples look tinted: as if 20%", "model.augment.ada.groups.color=0"),
        (
            {"p": 0.8, "p_max": 1.0, "p_name": "mine"},
            "the augmentation is strong: p of model.augment.mine is 0.80, at most 1",
            "lower model.augment.mine.p_max",
        ),
        (
            {"cycle_gap": 0.11, "cycle_gap_back": float("nan"), "noise_levels": 2.0},
            "samples hide their sources: with noise of 2 levels",
            "model.cycle_weight",
        ),
    ],
)
def test_each_condition_is_told(found, begins, advises, caplog):
    [(level, message)] = told(caplog, {}, found)
    assert level == "WARNING"
    assert message.startswith(f"health at 2.0 kimg: {begins}")
    assert advises in message
    just_not = {"duplicates": 0.13, "spread": 0.21, "modes": 6, "share": 0.49, "accuracy": 0.98}
    just_not |= {"source_distance": 0.11, "target_correlation": -0.29, "cycle_gap": 0.09}
    just_not |= {"leak_mirrored": 0.14, "leak_turned": 0.14, "leak_tinted": 0.14, "p": 0.79}
    name = next(iter(found))
    assert told(caplog, {name: just_not[name]}) == []


def test_what_an_augmentation_cannot_have_left_is_not_told(caplog):
    assert told(caplog, {"leak_mirrored": 0.5, "p": 0.1, "p_max": 1.0}) == [], "it hardly augments"
    [(_, message)] = told(caplog, {"p": 0.4, "p_max": 0.4, "p_name": "ada"})
    assert "p of model.augment.ada is 0.40, at most 0.4" in message, "at its cap"


class Flipping(Noisy):
    def may_leave(self):
        return {"mirrored"}


def test_leaks_of_what_augments_and_data_does_not(monkeypatch, tmp_path):
    looks = callback()
    module = model(augment={"flips": Flipping()})
    monkeypatch.setattr(health, "ENOUGH", 4)
    fit(module, monkeypatch, tmp_path, [looks, MetricsFile(every_kimg=0.004)])
    assert "health/leak_mirrored" in columns(tmp_path)
    data = TwoPixels(TRAIN, TEST)
    data.flip = True
    assert health.leaks_of(module, data) == []


def test_told_once_until_it_has_passed(caplog):
    bad = {"spread": 0.1}
    messages = told(caplog, bad, bad, {}, bad, {}, {})
    assert [level for level, _ in messages] == ["WARNING", "INFO", "WARNING", "INFO"]
    assert messages[1][1] == "health at 3.0 kimg: it has passed that samples are alike."


def test_only_what_is_found_in_a_row_is_told(caplog):
    bad = {"spread": 0.1}
    assert told(caplog, bad, {}, bad, {}, in_a_row=2) == []
    assert [message[:19] for _, message in told(caplog, bad, {}, bad, bad, bad, in_a_row=2)] == ["health at 4.0 kimg:"]


def test_what_is_not_known_is_not_told(caplog):
    watcher = callback()
    watcher.reals = Reals({}, 0.0, 0.0, 0.0, 0)
    watcher.tell({"duplicates": 0.0, "spread": float("nan"), "modes": 0, "real_modes": 0}, 1000)
    assert caplog.records == []


def test_what_was_told_before_a_resume_is_not_told_again(caplog):
    watcher = callback()
    watcher.reals = Reals({}, 1.0, 0.0, 1.0, 10)
    watcher.tell(WELL | {"spread": 0.1}, 1000)
    resumed = callback()
    resumed.load_state_dict(watcher.state_dict())
    resumed.reals = watcher.reals
    caplog.clear()
    resumed.tell(WELL | {"spread": 0.1}, 2000)
    assert caplog.records == []


def test_a_collapsed_generator_is_found(monkeypatch, tmp_path, caplog):
    collapsed = Painter(scale=0.0, noise=0.0)
    fit(model(generator=collapsed, d_lr=0.0, g_lr=0.0), monkeypatch, tmp_path, [callback()], images=4)
    messages = " ".join(record.getMessage() for record in caplog.records)
    assert "samples repeat: 100%" in messages
    assert "samples are alike: they vary 0.00 times" in messages


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 1}, "got 1 and 1"),
        ({"in_a_row": 0}, "got 256 and 0"),
        ({"near": 0.0}, r"health.near must be in \(0, 1\], got 0.0"),
        ({"spread": -0.1}, "health.spread must be .* got -0.1"),
        ({"perfect": 1.5}, "health.perfect must be .* got 1.5"),
        ({"noise_levels": 0}, "health.noise_levels are of 255, more than 0 and at most 255, got 0"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        callback(**changes)


# the command -----------------------------------------------------------------------------------------------------


def test_it_is_on_by_default_before_the_rows_are_written():
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        nodes = list(compose("train").callbacks)
    assert nodes.index("health") < nodes.index("metrics")


def rows_of(folder):
    return [
        {name: value for name, value in row.items() if not name.startswith(CLOCK)}
        for row in read_rows(folder / "metrics.csv")
    ]


def test_rows_of_a_resumed_run_equal_unbroken_ones(monkeypatch, tmp_path):
    """A checkpoint between a look and the row that it is to stand in; the run went on past the next row."""

    def train(folder, images, resume=None):
        callbacks = [callback(), MetricsFile(every_kimg=0.006), Checkpointing(0.004, keep=9, keep_snapshots=None)]
        folder.mkdir(exist_ok=True)
        monkeypatch.setattr("tiny.Same", lambda real: TwoPixels(TRAIN, TEST))
        module = model(generator=Painter(noise=0.0))
        module.discriminator.drop = nn.Identity()
        fit_tiny(module, images=images, callbacks=callbacks, folder=folder, resume=resume)

    train(tmp_path / "unbroken", 18)
    train(tmp_path / "broken", 14)
    assert rows_of(tmp_path / "broken") != rows_of(tmp_path / "unbroken")
    train(tmp_path / "broken", 18, tmp_path / "broken" / "checkpoints" / "000000000008.ckpt")
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "unbroken")
    assert [row["images_seen"] for row in rows_of(tmp_path / "broken") if row["health/spread"]] == ["6", "12", "18"]
