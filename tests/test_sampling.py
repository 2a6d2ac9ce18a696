"""Draws are functions of seed, purpose, moment, count and detour; ranks draw slices of one global draw."""

import numpy as np
import pytest
import torch

from gan_lab import collectives
from gan_lab.sampling import (
    Draws,
    LabelledInputs,
    LatentInputs,
    legacy_seed,
    numpy_generator,
    reseed_default_generators,
    seed_sequence,
    send,
    torch_generator,
)

GOLDEN_STATE = [3073443789, 3345667521]
GOLDEN_INTEGERS = [10, 89, 477, 103]
GOLDEN_NUMPY = [862, 858, 959, 565]
GOLDEN_NORMAL = [-0.7063841, 1.4601295, 0.516747]

KINDS = {
    "normal": lambda draws, count: draws.normal("latents", count, (3,)),
    "uniform": lambda draws, count: draws.uniform("latents", count, (3,)),
    "integers": lambda draws, count: draws.integers("latents", count, 1000),
    "normal_by_blocks": lambda draws, count: draws.normal_by_blocks("latents", count, (3,)),
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def at(seed: int = 0, images_seen: int = 64, detour: int = 0, **options) -> Draws:
    draws = Draws(seed, **options)
    draws.move_to(images_seen)
    draws.detour = detour
    return draws


def be_rank(monkeypatch, rank: int, world: int) -> None:
    monkeypatch.setattr(collectives, "rank", lambda: rank)
    monkeypatch.setattr(collectives, "world", lambda: world)


@kinds
def test_the_same_question_has_the_same_answer(kind):
    assert torch.equal(kind(at(), 5), kind(at(), 5))


@kinds
def test_every_part_of_the_key_changes_the_numbers(kind):
    second = at()
    kind(second, 5)
    drawn = [kind(at(), 5), kind(at(seed=1), 5), kind(at(images_seen=128), 5), kind(at(detour=1), 5), kind(second, 5)]
    drawn.append(kind(at(detour=2), 5))
    for i, left in enumerate(drawn):
        for right in drawn[i + 1 :]:
            assert not torch.equal(left, right)


def test_purposes_are_apart():
    assert not torch.equal(at().normal("latents", 5, (3,)), at().normal("mix", 5, (3,)))
    draws = at()
    draws.normal("mix", 5, (3,))  # another purpose's draw does not count
    assert torch.equal(draws.normal("latents", 5, (3,)), at().normal("latents", 5, (3,)))


@kinds
@pytest.mark.parametrize(("world", "count"), [(1, 20), (2, 10), (4, 5), (2, 24), (4, 12)])
def test_ranks_draw_the_slices_of_one_global_draw(kind, world, count, monkeypatch):
    whole = kind(at(), world * count)
    parts = []
    for rank in range(world):
        be_rank(monkeypatch, rank, world)
        parts.append(kind(at(), count))
    assert torch.equal(torch.cat(parts), whole)
    for i, left in enumerate(parts):
        for right in parts[i + 1 :]:
            assert not torch.equal(left, right)


def test_blocks_have_streams_of_their_own(monkeypatch):
    """Nothing before a block has to be drawn to have it."""
    few, many = at().normal_by_blocks("noise", 40, (2, 2)), at().normal_by_blocks("noise", 400, (2, 2))
    assert torch.equal(few, many[:40])
    assert not torch.equal(many[:16], many[16:32])
    be_rank(monkeypatch, 1, 2)  # samples 7 .. 13: the first block alone
    made = []
    original = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *size, **options: made.append(size[0]) or original(*size, **options))
    at().normal_by_blocks("noise", 7, (2, 2))
    assert made == [16], "a rank draws only the blocks that it touches"


@kinds
def test_draws_of_one_rank_alone_are_not_sliced(kind, monkeypatch):
    alone = kind(at(across_ranks=False), 6)
    be_rank(monkeypatch, 1, 2)
    assert torch.equal(kind(at(across_ranks=False), 6), alone)
    assert not torch.equal(kind(at(), 6), alone)


def test_decisions_are_the_same_on_every_rank_and_plain_integers(monkeypatch):
    draws = at()
    first, second = draws.decisions("coin", 20, 2), draws.decisions("coin", 20, 2)
    assert set(first) == {0, 1}
    assert all(type(number) is int for number in first)
    assert first != second, "another draw of the moment"
    assert first != at().decisions("pool", 20, 2)
    assert max(at().decisions("pool", 200, 7)) == 6
    be_rank(monkeypatch, 1, 2)
    assert at().decisions("coin", 20, 2) == first
    assert at(across_ranks=False).decisions("coin", 20, 2) == first


def test_what_is_worked_out_on_the_cpu_counts():
    expected, draws = at(), at()
    pairs = [(expected.normal("latents", 2, (3,)), draws.on_cpu().normal("latents", 2, (3,)))]
    pairs.append((expected.normal("latents", 2, (3,)), draws.normal("latents", 2, (3,))))
    for left, right in pairs:
        assert torch.equal(left, right)
    assert draws.state_dict() == expected.state_dict()


def test_what_is_where_it_is_wanted_is_not_copied():
    tensor = torch.zeros(3)
    assert send(tensor, torch.device("cpu")) is tensor


def test_state_goes_on_where_it_was_saved():
    draws = at()
    draws.normal("latents", 4, (2,))
    state = draws.state_dict()
    expected = [draws.normal("latents", 4, (2,)), draws.normal("mix", 4, (2,))]
    resumed = Draws(0)
    resumed.load_state_dict(state)
    assert torch.equal(resumed.normal("latents", 4, (2,)), expected[0])
    assert torch.equal(resumed.normal("mix", 4, (2,)), expected[1])
    assert state["counts"] == {"latents": 1}, "what was saved does not move on"


def test_moving_on_counts_anew():
    draws = at(images_seen=0)
    draws.normal("latents", 4, (2,))
    draws.move_to(64)
    assert torch.equal(draws.normal("latents", 4, (2,)), at().normal("latents", 4, (2,)))


def test_the_scheme_has_not_moved():
    """Golden numbers: who changes the scheme changes every run's results, and says so in CHANGELOG under Numbers."""
    assert seed_sequence(1, "latents", 64, 0).generate_state(2).tolist() == GOLDEN_STATE
    assert at(seed=1).integers("latents", 4, 1000).tolist() == GOLDEN_INTEGERS
    assert numpy_generator(1, "reals", 0).integers(1000, size=4).tolist() == GOLDEN_NUMPY
    torch.testing.assert_close(at(seed=1).normal("latents", 3, ()), torch.tensor(GOLDEN_NORMAL), rtol=0, atol=1e-6)


def test_a_purpose_enters_by_its_crc():
    """Not by hash(), which differs from process to process (PYTHONHASHSEED)."""
    expected = np.random.SeedSequence([3, 0xCBF43926, 7]).generate_state(4)  # the CRC-32 of "123456789" by definition
    assert np.array_equal(seed_sequence(3, "123456789", 7).generate_state(4), expected)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**32, 2**64 - 1])
def test_numbers_are_cut_into_words_as_numpy_cuts_them(seed):
    for counters in [(), (0,), (2**32,), (5, 2**40 + 3)]:
        expected = np.random.SeedSequence([seed, 0xCBF43926, *counters]).generate_state(4)
        assert np.array_equal(seed_sequence(seed, "123456789", *counters).generate_state(4), expected)


def test_default_generators_follow_seed_rank_and_counters(monkeypatch):
    import random

    def drawn(*key):
        reseed_default_generators(*key)
        return torch.rand(3).tolist(), np.random.random(3).tolist(), [random.random() for _ in range(3)]

    first = drawn(0, 64)
    assert drawn(0, 64) == first
    others = [drawn(1, 64), drawn(0, 65)]
    be_rank(monkeypatch, 1, 2)
    others.append(drawn(0, 64))
    reseed_default_generators(0, 64, across_ranks=False)
    assert torch.rand(3).tolist() == first[0]
    for other in others:
        assert all(a != b for a, b in zip(first, other, strict=True))


def test_generators_are_apart():
    first, again, other = (torch.rand(4, generator=torch_generator(0, "a", n)) for n in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_latents():
    draws = at()
    normal = LatentInputs(16, "normal").latents(at(), 500)
    uniform = LatentInputs(16, "uniform").latents(at(), 500)
    assert normal.shape == uniform.shape == (500, 16)
    assert normal.dtype == uniform.dtype == torch.float32
    assert abs(normal.mean()) < 0.05
    assert abs(normal.std() - 1) < 0.05
    assert uniform.min() >= -1
    assert uniform.max() < 1
    assert abs(uniform.mean()) < 0.05
    assert abs(uniform.std() - 1 / 3**0.5) < 0.02
    inputs = LatentInputs(16, "normal")
    assert torch.equal(inputs.draw(draws, 500)["latents"], normal)


def test_refusals():
    with pytest.raises(ValueError, match="got -1"):
        Draws(-1)
    with pytest.raises(ValueError, match="latent_dim must be 1 or more, got 0"):
        LatentInputs(0, "normal")
    with pytest.raises(ValueError, match="got 'gauss'"):
        LatentInputs(8, "gauss")
    with pytest.raises(ValueError, match="unconditional"):
        LatentInputs(8, "normal").draw(Draws(0), 2, torch.tensor([1, 2]))


# Labels -------------------------------------------------------------------------------------------------------------


def labelled(law="uniform", classes=3):
    return LabelledInputs(2, "normal", classes, law)


def test_uniform_labels():
    draws, inputs = Draws(0), labelled()
    drawn = inputs.labels(draws, 6000)
    assert drawn.dtype == torch.int64
    assert (drawn.bincount(minlength=3) / 6000).tolist() == pytest.approx([1 / 3] * 3, abs=0.03)
    assert not torch.equal(drawn, inputs.labels(draws, 6000)), "each draw is another"


def test_labels_as_in_the_data():
    inputs = labelled("data")
    with pytest.raises(RuntimeError, match="once learn"):
        inputs.labels(Draws(0), 4)
    inputs.learn([0, 2, 2, 2])
    shares = inputs.labels(Draws(0), 8000).bincount(minlength=3) / 8000
    assert shares.tolist() == pytest.approx([0.25, 0.0, 0.75], abs=0.03)
    again = labelled("data")
    again.load_state_dict(inputs.state_dict())
    assert torch.equal(again.labels(Draws(1), 50), inputs.labels(Draws(1), 50))
    with pytest.raises(ValueError, match="num_classes is 3, but the data has a label 4"):
        inputs.learn([4])


def test_labels_that_are_asked_for():
    given = torch.tensor([2, 2, 1])
    assert torch.equal(labelled().draw(Draws(0), 3, given)["labels"], given)
    assert labelled().draw(Draws(0), 5)["labels"].shape == (5,)
    assert torch.equal(labelled().draw(Draws(0), 3)["latents"], LatentInputs(2, "normal").draw(Draws(0), 3)["latents"])


@pytest.mark.parametrize("law", ["uniform", "data"])
def test_ranks_together_draw_the_labels_of_one_process(law, monkeypatch):
    inputs = labelled(law)
    inputs.learn([0, 1, 1, 2])
    whole, parts = inputs.labels(Draws(0), 12), []
    monkeypatch.setattr(collectives, "world", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        parts.append(inputs.labels(Draws(0), 4))
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    ("classes", "law", "message"), [(None, "uniform", "got None"), (1, "uniform", "got 1"), (3, "x", "got 'x'")]
)
def test_bad_labels(classes, law, message):
    with pytest.raises(ValueError, match=message):
        labelled(law, classes)


def test_a_wide_bound_leaves_latents_finite():
    """The error function of it is 1 in double precision, and -1 among uniform numbers has no finite inverse."""

    class Zeros(Draws):
        def uniform(self, purpose, count, shape):
            return torch.zeros(count, *shape)

    inputs = LatentInputs(1, "normal").truncated(9.0)
    assert inputs.latents(Zeros(0), 2).flatten().tolist() == [-9.0, -9.0]


def test_seeds_of_64_bits():
    """Kind D, Lightning#21028: any such seed; below 2**32 the numbers are those that numpy's generators always gave."""
    assert [legacy_seed(seed) for seed in (0, 7, 2**32 - 1)] == [0, 7, 2**32 - 1]
    large = [legacy_seed(seed) for seed in (2**32, 2**32 + 1, 2**64 - 1)]
    assert len(set(large)) == 3
    assert all(0 <= seed < 2**32 for seed in large)
    first, second = (Draws(seed).normal("latents", 2, (3,)) for seed in (2**64 - 1, 2**64 - 2))
    assert not torch.equal(first, second)
    for seed, said in (
        (-1, "seed must be 0 or more, got -1"),
        (2**64, "seed must be at most 18446744073709551615"),
    ):
        with pytest.raises(ValueError, match=said):
            Draws(seed)
