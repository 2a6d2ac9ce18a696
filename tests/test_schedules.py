"""Factors and ticks against numbers worked by hand."""

import math

import pytest

from gan_lab.schedules import Constant, Cosine, Linear, Ramp, Steps, Ticks, as_schedule


def test_constant():
    assert [Constant()(n) for n in (0, 1, 10**9)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("images", "factor"), [(0, 1.0), (1000, 1.0), (1500, 0.8), (2000, 0.6), (3000, 0.2), (9000, 0.2)]
)
def test_linear(images, factor):
    assert Linear(start_kimg=1, end_kimg=3, end_factor=0.2)(images) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(
    ("images", "factor"),
    [
        (0, 1.0),
        (1000, 1.0),
        (1500, 0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2),
        (2000, 0.6),
        (2500, 0.2 + 0.8 * (1 - math.sqrt(0.5)) / 2),
        (3000, 0.2),
        (9000, 0.2),
    ],
)
def test_cosine(images, factor):
    assert Cosine(start_kimg=1, end_kimg=3, end_factor=0.2)(images) == pytest.approx(factor, abs=1e-12)


def test_steps():
    steps = Steps(at_kimg=[1, 2.5], factor=0.5)
    assert [steps(n) for n in (0, 999, 1000, 2499, 2500, 9000)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    for moments in ([], [2, 1], [1, 1], [-1]):
        with pytest.raises(ValueError, match="at_kimg must be rising numbers of 0 or more"):
            Steps(at_kimg=moments, factor=0.5)
    with pytest.raises(ValueError, match="factor must be 0 or more, got -1"):
        Steps(at_kimg=[1], factor=-1)


def test_a_factor_may_grow():
    assert Linear(start_kimg=0, end_kimg=1, end_factor=3)(500) == pytest.approx(2)


@pytest.mark.parametrize("schedule", [Linear, Cosine])
@pytest.mark.parametrize(
    ("span", "named"),
    [
        ((-1, 3, 0.1), "start_kimg=-1"),
        ((3, 3, 0.1), "end_kimg=3"),
        ((4, 3, 0.1), "start_kimg=4"),
        ((0, 3, -0.1), "-0.1"),
    ],
)
def test_bad_spans(schedule, span, named):
    with pytest.raises(ValueError, match=named):
        schedule(*span)


@pytest.mark.parametrize(
    ("shape", "quarter"), [("linear", 0.9 + 0.25 * 0.09), ("cosine", 0.9 + 0.09 * (1 - 0.5**0.5) / 2)]
)
def test_a_ramp_of_a_value(shape, quarter):
    ramp = Ramp(0.9, 0.99, 1, 5, shape)
    assert [ramp(0), ramp(1000)] == [0.9, 0.9]
    assert ramp(2000) == pytest.approx(quarter)
    assert ramp(3000) == pytest.approx(0.945)
    assert [ramp(5000), ramp(9000)] == pytest.approx([0.99, 0.99])


def test_bad_ramps():
    with pytest.raises(ValueError, match="got 'round'"):
        Ramp(0, 1, 0, 1, "round")
    with pytest.raises(ValueError, match="start_kimg < end_kimg"):
        Ramp(0, 1, 2, 2, "linear")


def test_a_number_is_a_schedule():
    assert as_schedule(3.0)(12345) == 3.0
    ramp = Ramp(0, 1, 0, 1, "linear")
    assert as_schedule(ramp) is ramp


def test_ticks_are_due_when_a_step_crosses_one():
    ticks = Ticks(0.1)
    assert not ticks.due(0, 99)
    assert ticks.due(0, 100), "the end of a step belongs to it"
    assert ticks.due(99, 101)
    assert not ticks.due(100, 199), "its beginning does not"
    assert ticks.due(64, 512), "several at once are one"
    assert not ticks.due(0, 0)


def test_ticks_of_a_step_larger_than_the_interval():
    assert all(Ticks(0.01).due(n, n + 64) for n in range(0, 640, 64))


@pytest.mark.parametrize("images", [2007, 2011, 128448])
def test_ticks_fall_on_whole_images(images):
    """1000 * 2.007 is 2007.0000000000002 in floating point."""
    assert 1000 * (images / 1000) > images
    assert Ticks(images / 1000).due(images - 1, images)
    assert Ticks(images / 1000).due(3 * images - 1, 3 * images)


def test_no_ticks():
    assert not Ticks(None).due(0, 10**9)


@pytest.mark.parametrize("every", [0, -1.5])
def test_bad_intervals(every):
    with pytest.raises(ValueError, match=f"got {every}"):
        Ticks(every)
