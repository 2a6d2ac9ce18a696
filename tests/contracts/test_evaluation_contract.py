"""What makes scores trustworthy, item by item, and the tests that hold it. `benchmarks/mutations.py` breaks each.

1. Closed forms: metrics/test_frechet.py::test_a_shift_is_its_squared_length, ::test_diagonal_covariances,
   ::test_hand_worked_rank_one, ::test_a_set_is_at_distance_zero_from_itself, ::test_symmetry_and_rotation;
   metrics/test_kid.py::test_two_point_masses;
   metrics/test_inception_score.py::test_equal_groups_of_sure_predictions_count_the_groups.
2. Other people's code: extractors/test_inception.py::test_features_are_torch_fidelitys,
   ::test_fid_equals_torch_fidelitys_formula_in_float64, ::test_fid_and_kid_equal_torch_fidelity,
   ::test_fid_equals_torchmetrics, ::test_inception_score_equals_torch_fidelity_and_torchmetrics;
   metrics/test_inception_score.py::test_equals_torch_fidelity;
   metrics/test_kid.py::test_equals_torch_fidelity_on_its_own_subsets;
   metrics/test_precision_recall.py::test_equals_prdc;
   metrics/test_density_coverage.py::test_equals_prdc.
3. Any number of ranks: contracts/test_evaluation_contract.py::test_the_same_bits_on_any_number_of_ranks,
   ::test_every_metric_takes_part; distributed/test_evaluation_over_ranks.py::test_every_metric_on_real_ranks.
4. Exactly N: contracts/test_evaluation_contract.py::test_every_sample_is_made_once_and_none_besides;
   evaluation/test_stage.py::test_a_shorter_run_is_a_prefix_and_n_is_exact.
5. Cache: metrics/test_reference_cache.py::test_a_changed_field_is_a_miss,
   ::test_hit_with_equal_bits_also_after_the_folder_moved, ::test_a_bad_file_is_reported_and_made_anew,
   ::test_writers_at_the_same_time_leave_one_whole_file, ::test_a_read_only_folder_still_gives_hits,
   ::test_other_weights_under_the_same_extractor_name_give_a_fresh_value;
   evaluation/test_stage.py::test_a_cached_reference_gives_the_same_bits;
   contracts/test_evaluation_contract.py::test_other_weights_of_an_extractor_make_another_reference.
6. No trace in training: evaluation/test_stage.py::test_training_is_the_same_with_and_without_evaluation,
   ::test_random_states_are_put_back, ::test_modes_and_statistics_are_put_back,
   ::test_scoring_again_gives_the_same_bits;
   contracts/test_evaluation_contract.py::test_an_average_is_scored_with_buffers_of_its_own.
7. Failure on one rank: distributed/test_evaluation_over_ranks.py::test_an_error_on_one_rank_ends_all_of_them.
8. Pixels: data/test_data_images.py::test_all_levels_survive_the_round_trip, ::test_values_are_rounded_and_clamped;
   extractors/test_inception.py::test_channels;
   contracts/test_evaluation_contract.py::test_autocast_around_the_stage_changes_no_bit.
9. Direction: contracts/test_evaluation_contract.py::test_what_moves_which_metric,
   ::test_copies_of_the_training_set; metrics/test_precision_recall.py::test_equal_points_score_one,
   ::test_a_tight_cluster_is_precise_and_recalls_nothing.
10. Modes: metrics/test_modes.py::test_m_of_a_thousand_modes, ::test_stacked_digits_are_judged,
    ::test_kl_from_the_labels_of_the_reference.
11. Protocol: evaluation/test_stage.py::test_a_changed_protocol_has_another_hash, ::test_names;
    comparison/test_comparison.py::test_other_protocols_are_not_ranked_together;
    callbacks/test_scores_file.py::test_scores_of_another_protocol_are_not_compared;
    contracts/test_evaluation_contract.py::test_another_resize_is_another_protocol.
12. Published weights and a GPU, where there are any: contracts/test_evaluation_contract.py::test_fid_of_cifar10,
    ::test_ranks_agree_on_a_gpu.
"""

import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import every_metric
import numpy as np
import pytest
import torch
from conftest import ROOT
from every_metric import CPU, METRICS, Painter, Pictures, Projection, config_of, evaluation_of, of_targets, stages_of
from hydra.utils import instantiate
from tiny import labelled_inputs
from torch.nn import functional as F

from gan_lab import collectives
from gan_lab.data.images import resize
from gan_lab.data.reference import ReferenceSet
from gan_lab.evaluation.stage import Evaluation
from gan_lab.extractors.digitnet import DigitNet
from gan_lab.extractors.inception import Inception
from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.models.averaging import MovingAverage


def test_the_tests_named_above_are_there():
    named = re.findall(r"(?:([\w/]+\.py))?::(test_\w+)", __doc__)
    assert len(named) > 40
    path = ""
    for given, function in named:
        path = given or path
        text = (ROOT / "tests" / path).read_text()
        assert re.search(rf"^def {function}\(", text, re.MULTILINE), f"{path}::{function}"


# 3, 4: any number of ranks, exactly N -------------------------------------------------------------------------------


class OtherRank(Exception):
    """Ends a simulated rank once it has sent its part."""


def on_ranks(world: int, work, monkeypatch):
    """What `work` gives on rank 0 of `world`, and what each other one sent to it; one after another in this process."""
    sent = [[] for _ in range(1, world)]

    def end(value):
        raise OtherRank

    with monkeypatch.context() as patch:
        patch.setattr(collectives, "world", lambda: world)
        patch.setattr(collectives, "broadcast_object", end)
        for rank in range(1, world):
            patch.setattr(collectives, "rank", lambda rank=rank: rank)
            patch.setattr(collectives, "gather_objects", sent[rank - 1].append)
            with pytest.raises(OtherRank):
                work()
        patch.setattr(collectives, "rank", lambda: 0)
        messages = [iter(of_rank) for of_rank in sent]
        patch.setattr(collectives, "gather_objects", lambda value: [value, *map(next, messages)])
        patch.setattr(collectives, "broadcast_object", lambda value: value)
        return work(), sent


@pytest.mark.parametrize("block", [8, 50])
@pytest.mark.parametrize("samples", [1, 7, 101, 1000])
def test_the_same_bits_on_any_number_of_ranks(samples, block, monkeypatch):
    """Of latents, labels, samples, pictures, features, logits, draws of probes, and of every metric's results, in all
    and of each image."""
    for stage in stages_of(samples) or [{}]:
        worst = 2 if any(metric.of_each for metric in stage.values()) else None
        evaluation = evaluation_of(stage, samples, block, per_image=worst)
        alone = every_metric.outcome(evaluation)
        assert len(alone["bits"]) == (9 if of_targets(stage) else 6)
        for world in (2, 3, 4):
            together, sent = on_ranks(world, lambda: every_metric.outcome(evaluation), monkeypatch)  # noqa: B023
            assert together == alone
            blocks = [values for of_rank in sent for values in of_rank if values is not None]
            assert len(blocks) == sum(b % world > 0 for b in range(-(-samples // block)))


def test_every_metric_takes_part():
    assert sorted(stem for stage in stages_of(1000) for stem in stage) == METRICS
    alone = {stem for stage in stages_of(1) for stem in stage}
    of_one = {"copy_distance", "cycle_error", "l1", "label_kept", "lpips_target", "psnr", "ssim"}
    assert alone == of_one, "one picture has a distance to its target"


class Seen(BlockMetric):
    """Keeps the images it is given."""

    name = "seen"
    higher_is_better = True
    needs = ("images",)
    in_space = False
    uses_reference = False
    minimum = 1

    def protocol(self):
        return {"metric": self.name}

    def compute(self):
        self.numbers = Counter(self.values("images").flatten(1).long().matmul(torch.tensor([256, 1])).tolist())
        return {"": float(len(self.values("images")))}


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize(("samples", "block"), [(1, 8), (3, 1), (7, 50), (10, 1), (10, 3), (10, 8), (101, 8)])
def test_every_sample_is_made_once_and_none_besides(samples, block, world, monkeypatch):
    """A data set of 10 images on 4 ranks: a padding sampler would score two of them twice."""
    pixels = np.stack([np.arange(110) // 256, np.arange(110) % 256], axis=1).astype(np.uint8).reshape(110, 1, 1, 2)
    images = ReferenceSet(name="numbered", split="train", images=pixels[: max(samples, 10)], labels=None)
    metric = Seen()
    evaluation = evaluation_of({}, samples, block, metrics={"seen": metric}, monitor="seen")
    scores, _ = on_ranks(world, lambda: evaluation.score_images(images, Pictures(), device=CPU), monkeypatch)
    assert metric.numbers == Counter(range(samples))
    assert scores.values == {f"seen{samples}": samples}


# 5, 6, 8, 11: cache, isolation, pixels, protocol ----------------------------------------------------------------------


def test_other_weights_of_an_extractor_make_another_reference(tmp_path):
    """A cache by name mixes the statistics of one network with features of the other."""

    class Reweighted(Projection):
        factor = 1.0

        def protocol(self):
            return super().protocol() | {"weights_sha256": str(self.factor)}

        def extract(self, images):
            return {name: values * self.factor for name, values in super().extract(images).items()}

    class Doubled(Reweighted):
        factor = 2.0

    def distance(extractor, cache):
        evaluation = evaluation_of({"fd": FrechetDistance()}, 20, 10, extractor=extractor, cache_dir=cache)
        return every_metric.score(evaluation).values["fd_projection20"]

    assert distance(Doubled, None) == pytest.approx(4 * distance(Reweighted, None), rel=1e-9)
    for extractor in (Reweighted, Doubled, Reweighted):
        assert distance(extractor, tmp_path) == distance(extractor, None)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_average_is_scored_with_buffers_of_its_own():
    """Batch norm of the average normalizes by averaged statistics, and scoring leaves them and the live ones alone."""
    live = Painter()
    average = MovingAverage(live, half_life_kimg=1e-6, warmup=None)
    live.train()
    for number in range(3):
        live(3 + torch.randn(8, 2), torch.zeros(8, dtype=torch.int64))
        average.follow(live, images=1000, images_seen=1000 * (number + 1))
    before = {name: value.clone() for name, value in average.module.state_dict().items()}
    norm = average.module.body[1]
    assert not torch.equal(norm.running_mean, Painter().body[1].running_mean), "buffers follow, too"

    def score():
        evaluation = evaluation_of({}, 20, 10)
        evaluation.score(average.module, labelled_inputs(), Pictures(), weights="ema", device=CPU)
        return evaluation.metrics["everything"].bits["samples"]

    first = score()
    assert all(torch.equal(value, before[name]) for name, value in average.module.state_dict().items())
    live.body[1].running_mean += 7
    assert score() == first
    norm.running_mean += 7
    assert score() != first


def test_autocast_around_the_stage_changes_no_bit():
    stage = {"frechet": FrechetDistance()}
    plain = every_metric.outcome(evaluation_of(stage, 30, 10))
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        assert every_metric.outcome(evaluation_of(stage, 30, 10)) == plain


def test_another_resize_is_another_protocol():
    class Resized(Projection):
        def protocol(self):
            return super().protocol() | {"resize": "antialiased"}

    hashes = [
        every_metric.score(evaluation_of({"fd": FrechetDistance()}, 20, 10, extractor=extractor)).protocols
        for extractor in (Projection, Resized)
    ]
    assert hashes[0].keys() == hashes[1].keys()
    assert not set(hashes[0].values()) & set(hashes[1].values())


# 9: direction ---------------------------------------------------------------------------------------------------------

COUNT = 440
STEMS = ("frechet", "kid", "precision_recall", "density_coverage", "memorization", "modes_classes")


class SplitDigits:
    """scikit-learn's digits, halved at random: a training set, and as many others of the same distribution."""

    name = "digits"

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
        order = np.random.RandomState(0).permutation(len(pixels))
        images, labels = resize(pixels, (32, 32))[order], digits.target.astype(np.int64)[order]
        half = len(images) // 2
        self.train, self.train_labels = images[:half], labels[:half]
        self.fresh, self.fresh_labels = images[half:], labels[half:]

    def reference(self, split):
        return ReferenceSet(name=self.name, split="train", images=self.train.numpy(), labels=self.train_labels)


@pytest.fixture(scope="module")
def digits():
    return SplitDigits()


@pytest.fixture(scope="module")
def measure(digits, tmp_path_factory):
    """Scores of images, short names, on digitnet's features."""
    settings = {"kid": {"subsets": 10, "subset_size": 200, "full_limit": 0}}
    evaluation = Evaluation(
        extractor=lambda: DigitNet(None),
        metrics={stem: instantiate(config_of(stem), **settings.get(stem, {})) for stem in STEMS},
        num_samples=COUNT,
        block_size=55,
        seed=0,
        reference="train",
        monitor="frechet",
        cache_dir=None,
    )

    def scores_of(images):
        whole = ReferenceSet(name="changed", split="all", images=images.numpy(), labels=None)
        values = evaluation.score_images(whole, digits, device=CPU).values
        return {name.replace(f"_digitnet{COUNT}", ""): value for name, value in values.items()}

    return scores_of


@pytest.fixture(scope="module")
def fresh(digits, measure):
    return measure(digits.fresh)


def noisy(digits, strength):
    grain = torch.randn(digits.fresh.shape, generator=torch.Generator().manual_seed(0))
    return (digits.fresh + strength * grain).round().clamp(0, 255).to(torch.uint8)


def blurred(digits, side):
    blur = F.avg_pool2d(digits.fresh.float(), side, stride=1, padding=side // 2, count_include_pad=False)
    return blur.round().to(torch.uint8)


def half_of_the_classes(digits):
    return digits.fresh[torch.from_numpy(digits.fresh_labels < 5)]


def collapsed(digits):
    return digits.fresh[:1].repeat(COUNT, 1, 1, 1)


UP, DOWN, SAME = 1, -1, 0
QUALITY = {"fd": UP, "kid": UP, "pr_k3_precision": DOWN, "dc_k5_density": DOWN, "dc_k5_coverage": DOWN, "authpct": UP}
VARIETY = {"fd": UP, "kid": UP, "pr_k3_recall": DOWN, "dc_k5_coverage": DOWN, "modes": DOWN, "modes_kl": UP}
CHANGES = {
    "noise": (noisy, (25, 50, 80), QUALITY | {"pr_k3_recall": DOWN}),
    "blur": (blurred, (5, 9), QUALITY | {"pr_k3_recall": DOWN}),
    "lost_classes": (half_of_the_classes, (), VARIETY | {"pr_k3_precision": SAME, "dc_k5_density": SAME}),
    "collapse": (collapsed, (), VARIETY),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_moves_which_metric(change, digits, measure, fresh):
    """Each step of a rising strength moves every metric on, and by more than chance does."""
    make, strengths, directions = CHANGES[change]
    steps = [make(digits, strength) for strength in strengths] or [make(digits)]
    seen = [fresh, *map(measure, steps)]
    for name, direction in directions.items():
        values = [scores[name] for scores in seen]
        if direction == SAME:
            assert values[-1] == pytest.approx(values[0], rel=0.1), name
            continue
        pairs = list(pairwise(values))
        assert all(direction * (after - before) > 0 for before, after in pairs), (name, values)
        assert abs(values[-1] - values[0]) > 0.1 * abs(values[0]), (name, values)
    if change == "lost_classes":
        assert (seen[0]["modes"], seen[-1]["modes"]) == (10, 5)
    if change == "collapse":
        assert seen[-1]["modes"] == 1
        assert seen[-1]["pr_k3_recall"] == 0


def test_copies_of_the_training_set(digits, measure, fresh):
    """They look best to every distance; memorization alone tells."""
    copies, half = measure(digits.train), measure(torch.cat([digits.train[: COUNT // 2], digits.fresh]))
    assert copies["fd"] < half["fd"] < fresh["fd"]
    assert (copies["pr_k3_precision"], copies["authpct"], copies["authpct_identical"]) == (1, 0, 100)
    assert half["authpct_identical"] == 50
    assert 0 < half["authpct"] < fresh["authpct"] < 75
    assert fresh["authpct_identical"] == 0


# 12: what needs weights, data or a device -----------------------------------------------------------------------------


@pytest.mark.slow
def test_fid_of_cifar10():
    """torch-fidelity's published value of its own test: the first 5,000 training images against 5,000 of the test's."""
    from torchvision.datasets import CIFAR10

    if message := Inception.missing_weights(weights=None, download=False):
        pytest.skip(message)
    root = Path(os.environ.get("GAN_LAB_DATA", ROOT / "data"))
    try:
        sets = [CIFAR10(root, train=train).data[:5000].transpose(0, 3, 1, 2).copy() for train in (True, False)]
    except RuntimeError as error:
        pytest.skip(f"{error}: set GAN_LAB_DATA to the folder of cifar-10-batches-py (now {root})")
    fake, real = (ReferenceSet(name="cifar10", split=str(i), images=s, labels=None) for i, s in enumerate(sets))

    class Test:
        name = "cifar10"

        def reference(self, split):
            return real

    evaluation = Evaluation(
        extractor=lambda: Inception(weights=None, layer="2048", resize="legacy", download=False),
        metrics={"frechet": FrechetDistance()},
        num_samples=5000,
        block_size=50,
        seed=0,
        reference="test",
        monitor="frechet",
        cache_dir=None,
    )
    scores = evaluation.score_images(fake, Test(), device=CPU)
    assert scores.values["fid5k"] == pytest.approx(10.3233274, abs=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_ranks_agree_on_a_gpu(monkeypatch):
    """With TF32 on around it, which the stage turns off."""
    device = torch.device("cuda")
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    network, inputs = Painter().to(device), labelled_inputs()
    evaluation = evaluation_of({"frechet": FrechetDistance()}, 101, 8)

    def scores():
        return evaluation.score(network, inputs, Pictures(), weights="ema", device=device).values

    alone = scores()
    together, _ = on_ranks(2, scores, monkeypatch)
    assert together == pytest.approx(alone, rel=1e-6)
