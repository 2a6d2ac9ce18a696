"""The evaluation stage: the same bits on any number of ranks, no trace in training, a name and a protocol."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from conftest import SMALL
from torch import nn

from gan_lab import collectives
from gan_lab.data.images import to_uint8
from gan_lab.data.reference import ReferenceSet
from gan_lab.evaluation.isolation import scoring_mode
from gan_lab.evaluation.sources import Generated
from gan_lab.evaluation.stage import Evaluation, EvaluationError
from gan_lab.extractors.base import Extractor, MissingWeights
from gan_lab.metrics.blocks import BlockStore
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.inception_score import InceptionScore
from gan_lab.metrics.kid import KernelDistance
from gan_lab.sampling import LatentInputs

CPU = torch.device("cpu")


class Projection(Extractor):
    """Six features and four logits, linear in the pixels."""

    name = "projection"
    feature_dim = 6

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("matrix", torch.randn(16, 10, generator=generator))
        self.batches: list[int] = []

    @classmethod
    def missing_weights(cls, **arguments):
        return None

    def protocol(self):
        return {"extractor": self.name, "weights": self.seed}

    def extract(self, images):
        self.batches.append(len(images))
        values = (images.flatten(1).float() / 127.5 - 1) @ self.matrix
        return {"features": values[:, :6], "logits": values[:, 6:]}


class Pictures:
    """A data set of 40 random 4x4 images."""

    name = "pictures"

    def __init__(self, seed: int = 0) -> None:
        self.images = np.random.default_rng(seed).integers(256, size=(40, 1, 4, 4), dtype=np.uint8)

    def reference(self, split):
        whole = ReferenceSet(name=self.name, split="train", images=self.images, labels=None)
        return whole if split == "train" else whole.part(0, 30)

    def check_metrics(self, metrics):
        """All metrics suit images."""

    def render(self, samples):
        return to_uint8(samples)


class NoisyGenerator(nn.Module):
    """Draws from the global generators as well, as layer noise and dropout do, and holds batch norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.Dropout(0.5))

    def forward(self, latents):
        noise = 0.1 * torch.randn(len(latents), 16) + float(np.random.random()) + random.random()
        return torch.tanh(self.body(latents) + noise).view(-1, 1, 4, 4)


def metrics_of(subsets):
    return {
        "frechet": FrechetDistance(),
        "kid": KernelDistance(subsets, 10, 0, 100),
        "is": InceptionScore(5, 0),
    }


def evaluation_of(**changes):
    extractor = changes.pop("extractor", Projection())
    given = {
        "extractor": lambda: extractor,
        "metrics": {
            "frechet": FrechetDistance(),
            "kid": KernelDistance(5, 10, 0, 100),
            "is": InceptionScore(5, 0),
        },
        "num_samples": 45,
        "block_size": 10,
        "seed": 0,
        "reference": "train",
        "monitor": "frechet",
        "cache_dir": None,
    }
    return Evaluation(**given | changes)


def score(evaluation, network=None, weights="ema", data=None):
    return evaluation.score(
        network or NoisyGenerator(),
        LatentInputs(3, "normal"),
        data or Pictures(),
        weights=weights,
        device=CPU,
    )


def features_of(evaluation, data=None):
    """(N, 6) of all blocks, as the metrics get them."""
    evaluation.prepare(data or Pictures(), CPU)
    with scoring_mode(network := NoisyGenerator(), CPU):
        source = Generated(
            network, LatentInputs(3, "normal"), to_uint8, weights="ema", seed=evaluation.seed, device=CPU
        )
        evaluation._make_blocks(source, None, blocks := BlockStore(-(-evaluation.num_samples // evaluation.block_size)))
    return torch.cat([blocks[block]["None/features"] for block in sorted(blocks)])


# The same everywhere --------------------------------------------------------------------------------------------


class OtherRank(Exception):
    """Ends a simulated rank once it has sent its part."""


@pytest.mark.parametrize("world", [2, 3, 4, 8])
def test_any_number_of_ranks_gives_the_same_bits(world, monkeypatch):
    alone = score(evaluation_of())
    sent = {rank: [] for rank in range(1, world)}

    def end(value):
        raise OtherRank

    monkeypatch.setattr(collectives, "world", lambda: world)
    monkeypatch.setattr(collectives, "broadcast_object", end)
    for rank in range(1, world):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(collectives, "gather_objects", sent[rank].append)
        with pytest.raises(OtherRank):
            score(evaluation_of())
    messages = [iter(of_rank) for of_rank in sent.values()]
    monkeypatch.setattr(collectives, "rank", lambda: 0)
    monkeypatch.setattr(collectives, "gather_objects", lambda value: [value, *map(next, messages)])
    monkeypatch.setattr(collectives, "broadcast_object", lambda value: value)
    together = score(evaluation_of())
    assert together.values == alone.values
    assert together.protocols == alone.protocols
    made = sorted(
        turn * world + rank
        for rank, (problem, *blocks) in sent.items()
        for turn, values in enumerate(blocks)
        if values is not None
    )
    assert made == [block for block in range(5) if block % world], "each block is made once"


def test_an_error_on_another_rank_is_named(monkeypatch):
    monkeypatch.setattr(collectives, "gather_objects", lambda value: [value, "rank 1: ValueError: cold"])
    with pytest.raises(EvaluationError, match="failed on rank 1: ValueError: cold"):
        score(evaluation_of())


def test_scoring_again_gives_the_same_bits():
    evaluation, network = evaluation_of(), NoisyGenerator()
    first = score(evaluation, network)
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    assert score(evaluation, network).values == first.values
    assert score(evaluation_of(), network).values == first.values
    assert all(np.isfinite(value) for value in first.values.values())


def test_a_shorter_run_is_a_prefix_and_n_is_exact():
    few, many = features_of(evaluation_of(num_samples=20)), features_of(evaluation_of(num_samples=50))
    assert few.shape == (20, 6)
    assert many.shape == (50, 6)
    assert torch.equal(few, many[:20])
    assert features_of(evaluation_of(num_samples=45)).shape == (45, 6)
    assert len({tuple(row) for row in many.tolist()}) == 50, "no sample twice"


def test_the_extractor_sees_whole_blocks():
    """The last block is filled up and cut afterwards: results must not depend on the size of a call."""
    extractor = Projection()
    features_of(evaluation_of(num_samples=45, extractor=extractor))
    assert extractor.batches[-5:] == [10] * 5


# No trace -------------------------------------------------------------------------------------------------------


def states():
    return torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


def test_random_states_are_put_back():
    evaluation, network, broken = evaluation_of(), NoisyGenerator(), Broken()
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = states()
    score(evaluation, network)
    assert states() == before
    with pytest.raises(EvaluationError):
        score(evaluation, broken)
    assert states() == before


def test_modes_and_statistics_are_put_back():
    network = NoisyGenerator()
    network.body[1].eval()
    modes = [module.training for module in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    score(evaluation_of(), network)
    assert [module.training for module in network.modules()] == modes
    assert modes.count(False) == 1
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert torch.is_grad_enabled()


def test_samples_are_made_in_eval_mode_without_autocast_or_gradients():
    seen = []

    class Watching(NoisyGenerator):
        def forward(self, latents):
            samples = super().forward(latents)
            seen.append((self.training, self.body[2].training, samples.requires_grad, samples.dtype))
            return samples

    with torch.autocast("cpu", dtype=torch.bfloat16):
        score(evaluation_of(), Watching())
    assert set(seen) == {(False, False, False, torch.float32)}


def test_training_is_the_same_with_and_without_evaluation(command, tmp_path):
    scored = ["total_kimg=0.16", "callbacks.evaluation.every_kimg=0.032", "callbacks.pictures.every_kimg=0.032"]
    unscored = [option for option in SMALL if not option.startswith("evaluation.")] + ["evaluation=none"]
    assert command("train", *SMALL, *scored, "run_dir=scored").code == 0
    done = command("train", *unscored, "total_kimg=0.16", "callbacks.pictures.every_kimg=null", "run_dir=unscored")
    assert done.code == 0, done.output
    left, right = (
        torch.load(tmp_path / name / "checkpoints" / "000000000160.ckpt", weights_only=True)
        for name in ("scored", "unscored")
    )
    assert left["state_dict"].keys() == right["state_dict"].keys()
    for name, value in left["state_dict"].items():
        assert torch.equal(value, right["state_dict"][name]), name
    assert len((tmp_path / "scored" / "scores.jsonl").read_text().splitlines()) == 5
    assert not (tmp_path / "unscored" / "scores.jsonl").exists()


# Names and protocols --------------------------------------------------------------------------------------------

CHANGES = {
    "seed": {"seed": 1},
    "num_samples": {"num_samples": 50},
    "block_size": {"block_size": 9},
    "reference": {"reference": "train[:30]"},
    "extractor": {"extractor": Projection(seed=1)},
}


def protocol_of(score_name, **changes):
    weights, data = changes.pop("weights", "ema"), changes.pop("data", None)
    scores = score(evaluation_of(**changes), weights=weights, data=data)
    stem = next(name for name in scores.values if name.startswith(score_name))
    return scores.protocols[stem], scores.records[scores.protocols[stem]]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_protocol_has_another_hash(change):
    assert protocol_of("fd_", **change)[0] != protocol_of("fd_")[0]
    assert protocol_of("kid_", **change)[0] != protocol_of("kid_")[0]


def test_weights_data_and_a_metric_s_parameters_are_part_of_it():
    first = protocol_of("fd_")[0]
    assert protocol_of("fd_")[0] == first
    assert protocol_of("fd_", weights="live")[0] != first
    assert protocol_of("fd_", data=Pictures(seed=1))[0] != first
    kernel = protocol_of("kid_")[0]
    metrics = {
        "frechet": FrechetDistance(),
        "kid": KernelDistance(6, 10, 0, 100),
        "is": InceptionScore(5, 0),
    }
    assert protocol_of("kid_", metrics=metrics)[0] != kernel
    assert protocol_of("fd_", metrics=metrics)[0] == first, "another metric's parameters are not"
    assert len({first, kernel, protocol_of("is_")[0]}) == 3


def test_the_inception_score_does_not_know_the_reference():
    assert protocol_of("is_")[0] == protocol_of("is_", reference="train[:30]")[0]


def test_what_does_not_decide_a_score_is_no_part_of_it(tmp_path):
    assert protocol_of("fd_", cache_dir=tmp_path)[0] == protocol_of("fd_", monitor="kid")[0] == protocol_of("fd_")[0]


def test_a_cached_reference_gives_the_same_bits(tmp_path):
    fresh = score(evaluation_of()).values
    assert score(evaluation_of(cache_dir=tmp_path)).values == fresh
    extractor = Projection()
    assert score(evaluation_of(cache_dir=tmp_path, extractor=extractor)).values == fresh
    assert len(extractor.batches) == 5, "the reference was not extracted again"
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("extractor", "metric", "count", "name"),
    [
        ("digitnet", "frechet", 2000, "fd_digitnet2k"),
        ("digitnet", "frechet", 50000, "fd_digitnet50k"),
        ("projection", "is", 20, "is_projection20"),
    ],
)
def test_names(extractor, metric, count, name):
    evaluation = evaluation_of(num_samples=count)
    evaluation.prepare(Pictures(), CPU)
    evaluation._extractors[None].name = extractor
    assert evaluation.name_of(evaluation.metrics[metric]) == name


def test_the_monitored_score():
    scores = score(evaluation_of())
    assert (scores.monitored, scores.higher_is_better) == ("fd_projection45", False)
    assert scores.monitored_value == scores.values["fd_projection45"]
    scores = score(evaluation_of(monitor="is"))
    assert (scores.monitored, scores.higher_is_better) == ("is_projection45", True)


def test_a_metric_is_left_out_by_null():
    chosen = metrics_of(5)
    values = score(evaluation_of(metrics=chosen | {"frechet": None, "is": None}, monitor="kid")).values
    assert {name.partition("_")[0] for name in values} == {"kid"}
    with pytest.raises(ValueError, match=r"evaluation\.monitor='kid' is none of the metrics: frechet, is"):
        evaluation_of(metrics=chosen | {"kid": None}, monitor="kid")


# Refusals and failures ------------------------------------------------------------------------------------------


class Broken(NoisyGenerator):
    """Its weights have become NaN."""

    def forward(self, latents):
        return super().forward(latents) * float("nan")


def test_nan_samples_are_no_score():
    evaluation = evaluation_of()
    with pytest.raises(EvaluationError, match=r"rank 0: ValueError: 160 of 160 pixel values are NaN.*diverged"):
        score(evaluation, Broken())
    assert score(evaluation).values == score(evaluation_of()).values, "and it leaves nothing behind"


def test_a_failing_metric_is_named():
    class Failing(FrechetDistance):
        def compute(self):
            raise RuntimeError("no roots today")

    evaluation = evaluation_of(metrics={"mine": Failing()}, monitor="mine")
    with pytest.raises(EvaluationError, match="rank 0, metric mine: RuntimeError: no roots today"):
        score(evaluation)


def test_refusals():
    with pytest.raises(ValueError, match="block_size must be 1 or more, got 0"):
        evaluation_of(block_size=0)
    with pytest.raises(ValueError, match=r"monitor='fid' is none of the metrics: frechet, kid, is"):
        evaluation_of(monitor="fid")
    with pytest.raises(ValueError, match=r"frechet needs num_samples >= 2, got 1"):
        evaluation_of(num_samples=1)


class ByClass(FrechetDistance):
    needs = ("features", "labels")


class Impossible(FrechetDistance):
    needs = ("probe",)

    def probe(self, block):
        raise ValueError("this network has no mapping")


def test_what_cannot_be_scored_is_said_before_training():
    def rehearse(**changes):
        evaluation = evaluation_of(monitor="mine", **changes)
        evaluation.prepare(Pictures(), CPU)
        evaluation.rehearse(NoisyGenerator(), LatentInputs(3, "normal"), Pictures(), device=CPU)

    rehearse(metrics={"mine": FrechetDistance()})
    with pytest.raises(ValueError, match="metric mine goes by classes, but pictures has no labels"):
        rehearse(metrics={"mine": ByClass()})
    with pytest.raises(ValueError, match="metric mine: this network has no mapping"):
        rehearse(metrics={"mine": Impossible()})


def test_a_rehearsal_leaves_no_trace():
    evaluation, network = evaluation_of(), NoisyGenerator()
    evaluation.prepare(Pictures(), CPU)
    before = torch.get_rng_state()
    evaluation.rehearse(network, LatentInputs(3, "normal"), Pictures(), device=CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert network.training


# Several spaces, files and intervals ------------------------------------------------------------------------------


class Elsewhere(Projection):
    name = "elsewhere"


def test_metrics_in_two_spaces_share_one_pass():
    first, second = Projection(), Elsewhere(seed=1)
    metrics = {"here": FrechetDistance(), "there": FrechetDistance(extractor="other")}
    both = evaluation_of(extractor=first, extractors={"other": lambda: second}, metrics=metrics, monitor="here")
    values = score(both).values
    alone = evaluation_of(extractor=Elsewhere(seed=1), metrics={"there": FrechetDistance()}, monitor="there")
    assert values["fd_projection45"] == score(evaluation_of()).values["fd_projection45"]
    assert values["fd_elsewhere45"] == score(alone).values["fd_elsewhere45"]
    assert first.batches == second.batches


def test_a_metric_without_its_extractor_is_left_out():
    def missing():
        raise MissingWeights("fetch it there")

    metrics = {"here": FrechetDistance(), "there": FrechetDistance(extractor="other")}
    evaluation = evaluation_of(extractors={"other": missing}, metrics=metrics, monitor="here")
    assert "fd_projection45" in score(evaluation).values
    assert evaluation.left_out == {"there": "fetch it there"}
    with pytest.raises(MissingWeights, match="fetch it there"):
        score(evaluation_of(extractors={"other": missing}, metrics=metrics, monitor="there"))
    with pytest.raises(ValueError, match=r"there.extractor='other' is none of evaluation.extractors: third"):
        evaluation_of(extractors={"third": missing}, metrics=metrics, monitor="here")


def test_images_of_files_score_as_the_generator_that_made_them():
    generated = evaluation_of()
    generated.prepare(Pictures(), CPU)
    with scoring_mode(network := NoisyGenerator(), CPU):
        source = Generated(network, LatentInputs(3, "normal"), to_uint8, weights="ema", seed=0, device=CPU)
        made = [source.make(block, 10).images for block in range(5)]
    images = ReferenceSet(name="files", split="all", images=torch.cat(made).numpy()[:47], labels=None)
    stored = evaluation_of().score_images(images, Pictures(), device=CPU)
    fresh = score(generated)
    assert stored.values == pytest.approx(fresh.values, rel=1e-12)
    assert set(stored.protocols.values()).isdisjoint(fresh.protocols.values())
    with pytest.raises(ValueError, match="num_samples=48, but files has 47 images"):
        evaluation_of(num_samples=48).score_images(images, Pictures(), device=CPU)


def test_intervals_hold_the_score_and_change_nothing_else():
    plain, with_intervals = (
        evaluation_of(num_samples=120),
        evaluation_of(num_samples=120, intervals={"resamples": 200, "level": 0.95}),
    )
    scores = score(with_intervals)
    assert scores.values == score(plain).values
    assert scores.protocols == score(plain).protocols
    low, high = scores.intervals["fd_projection120"]
    assert low < scores.values["fd_projection120"] < high
    assert score(with_intervals).intervals == scores.intervals
    assert scores.intervals_about == {"resamples": 200, "level": 0.95}


class Whole(FrechetDistance):
    def compute(self):
        if len(self.values("features")) < 120:
            raise ValueError("parts have no score")
        return super().compute()


def test_a_score_whose_parts_have_none_goes_without_an_interval_aloud():
    evaluation = evaluation_of(
        num_samples=120, metrics={"whole": Whole()}, monitor="whole", intervals={"resamples": 200, "level": 0.95}
    )
    with pytest.warns(UserWarning, match="metric whole has no interval: parts have no score"):
        scores = score(evaluation)
    assert scores.intervals == {}
    assert "fd_projection120" in scores.values


class Demanding(FrechetDistance):
    def minimum_in(self, columns):
        return 100 * columns


def test_too_few_samples_for_so_many_features():
    with pytest.raises(ValueError, match=r"num_samples >= 600 for the 6 features of projection, got 45"):
        evaluation_of(metrics={"mine": Demanding()}, monitor="mine").prepare(Pictures(), CPU)


class FeaturesAlone(Projection):
    outputs = ("features",)


def test_a_space_without_what_a_metric_needs():
    with pytest.raises(ValueError, match="metric is needs logits; projection gives features"):
        evaluation_of(extractor=FeaturesAlone()).prepare(Pictures(), CPU)


def test_two_scores_of_one_name_are_refused():
    metrics = {"one": FrechetDistance(), "other": FrechetDistance()}
    with pytest.raises(ValueError, match="metrics one and other are both called fd_projection45; leave one out"):
        evaluation_of(metrics=metrics, monitor="one").prepare(Pictures(), CPU)


def test_references_and_intervals_are_checked_before_anything_is_computed():
    class Choosy(FrechetDistance):
        def check_reference(self, count, labels):
            raise ValueError(f"{count} images are too few")

    with pytest.raises(ValueError, match="metric mine: 40 images are too few"):
        evaluation_of(metrics={"mine": Choosy()}, monitor="mine").prepare(Pictures(), CPU)
    with pytest.raises(ValueError, match="has the keys resamples and level, got resamples, levle"):
        evaluation_of(num_samples=120, intervals={"resamples": 200, "levle": 0.95})
    with pytest.raises(ValueError, match=r"level in \(0, 1\), got 200 and 95"):
        evaluation_of(num_samples=120, intervals={"resamples": 200, "level": 95})


class Picturing(FrechetDistance):
    def pictures(self):
        return {"page": torch.zeros(3, 4, 4, dtype=torch.uint8)}


def test_pictures_of_two_spaces_have_two_names():
    metrics = {"here": Picturing(), "there": Picturing(extractor="other")}
    evaluation = evaluation_of(extractors={"other": lambda: Elsewhere(seed=1)}, metrics=metrics, monitor="here")
    assert set(score(evaluation).pictures) == {"page_projection", "page_elsewhere"}


class Walking(FrechetDistance):
    name, needs, needs_network = "walk", ("probe",), True


class Comparing(FrechetDistance):
    name, needs = "compare", ("features", "images")


def test_metrics_that_files_cannot_have_are_left_out_aloud():
    others = {"walk": Walking(), "by_class": ByClass(), "compare": Comparing()}
    images = ReferenceSet(name="files", split="all", images=np.zeros((20, 1, 8, 2), np.uint8), labels=None)
    evaluation = evaluation_of(metrics={"fd": FrechetDistance()} | others, monitor="fd", num_samples=20)
    evaluation.metrics["by_class"].uses_reference = False
    with pytest.warns(UserWarning, match="is left out") as said:
        scores = evaluation.score_images(images, Pictures(), device=CPU)
    assert set(evaluation.left_out) == set(others)
    assert "fd_projection20" in scores.values
    assert len(said) == 3
    alone = evaluation_of(metrics={"walk": Walking()}, monitor="walk", num_samples=20)
    with pytest.raises(ValueError, match="monitored metric walk has no score here: it needs the generator"):
        alone.score_images(images, Pictures(), device=CPU)


def test_a_run_that_learns_on_imagenet_is_not_ranked_in_inception_s_space():
    """Refused without weights at hand, with the key; another space is not."""
    from gan_lab.extractors.inception import Inception

    lite0 = {"_target_": "gan_lab.extractors.efficientnet_lite0.EfficientNetLite0", "_partial_": True}
    model = {"discriminator": {"features": lite0}}
    evaluation = evaluation_of()
    evaluation._makers[None] = partial(Inception, None, "2048", "legacy", False)
    message = r"evaluation\.extractor is Inception, .* and so is EfficientNetLite0 of model\.discriminator\.features"
    with pytest.raises(ValueError, match=message):
        evaluation.check_space(model)
    evaluation.check_space({"discriminator": {"width": 4}})
    evaluation_of().check_space(model)
