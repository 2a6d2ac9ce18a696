import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gan_lab.sweeps.search_space import Search, parse


def searched(*lines: str) -> Search:
    return parse(OverridesParser.create().parse_overrides(list(lines)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("choice(1,2,5)", CategoricalDistribution([1, 2, 5])),
        ("1,2,5", CategoricalDistribution([1, 2, 5])),
        ("true,null,0.5,adam", CategoricalDistribution([True, None, 0.5, "adam"])),
        ("choice([0.5,0.9],[0,0.999])", CategoricalDistribution(["[0.5,0.9]", "[0,0.999]"])),
        ("'1','a b'", CategoricalDistribution(["'1'", "'a b'"])),
        ("range(1,6)", IntDistribution(1, 5)),
        ("range(2,11,4)", IntDistribution(2, 10, step=4)),
        ("range(5,1,-2)", IntDistribution(3, 5, step=2)),
        ("shuffle(range(1,6))", IntDistribution(1, 5)),
        ("range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("float(range(1,4))", FloatDistribution(1.0, 3.0, step=1.0)),
        ("interval(0,1)", FloatDistribution(0.0, 1.0)),
        ("tag(log, interval(1e-5,1e-2))", FloatDistribution(1e-5, 1e-2, log=True)),
        ("int(interval(1,64))", IntDistribution(1, 64)),
        ("tag(int, interval(1,64))", IntDistribution(1, 64)),
        ("int(tag(log, interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("tag(int, log, interval(1,64))", IntDistribution(1, 64, log=True)),
        ("float(interval(1,64))", FloatDistribution(1.0, 64.0)),
    ],
)
def test_every_way_of_writing(text, expected):
    assert searched(f"model.x={text}").space == {"model.x": expected}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interval(2,1)", "smaller end first, got 2 and 1"),
        ("interval(1,1)", "got 1 and 1"),
        ("tag(log, interval(0,1))", "above 0, got 0"),
        ("tag(lgo, interval(1,2))", "tag lgo means nothing"),
        ("tag(log, choice(1,2))", "tag log means nothing"),
        ("tag(int, interval(0.5,2))", "whole bounds, got 0.5 and 2"),
        ("range(3,3)", "empty"),
        ("range(1,5,0)", "arg 3 must not be zero"),
        ("range(0,1.5,0)", "Invalid range"),
    ],
)
def test_what_cannot_be_searched_is_named(text, said):
    with pytest.raises(ValueError) as caught:
        searched(f"model.x={text}")
    assert said in str(caught.value)
    assert f"model.x={text}" in str(caught.value)


def test_nothing_to_search():
    with pytest.raises(ValueError, match="nothing to search"):
        searched("model.x=1")


def test_fixed_overrides_pass_and_the_last_of_a_key_counts():
    search = searched("model.x=interval(0,1)", "seed=1", "~wandb", "+a/b@c=d", "model.y=1,2", "model.x=3")
    assert search.fixed == ["seed=1", "~wandb", "+a/b@c=d", "model.x=3"] or set(search.fixed) == {
        "seed=1",
        "~wandb",
        "+a/b@c=d",
        "model.x=3",
    }
    assert list(search.space) == ["model.y"]


@pytest.mark.parametrize(
    "text", ["choice(true,false)", "null,1", "choice(1e-20,2)", "'1','a b'", "choice([0.5,0.9],{a:1})"]
)
def test_values_come_back_as_they_were_written(text):
    parser = OverridesParser.create()
    search = searched(f"x={text}")
    expected = [
        parser.parse_override(f"x={one}").value() for one in parser.parse_override(f"x={text}").sweep_string_iterator()
    ]
    chosen = [search.overrides({"x": choice})[0] for choice in search.space["x"].choices]
    assert [parser.parse_override(line).value() for line in chosen] == expected


def test_keys_keep_their_prefix_and_package():
    search = searched("+data/x@model.y=a,b", "++z=1,2")
    assert search.overrides({"+data/x@model.y": "b", "++z": 2}) == ["+data/x@model.y=b", "++z=2"]


def test_grid():
    search = searched("x=range(1,6,2)", "y=range(0,1,0.25)", "z=a,null")
    assert search.grid() == {"x": [1, 3, 5], "y": [0.0, 0.25, 0.5, 0.75], "z": ["a", None]}
    for interval in ("interval(0,1)", "tag(log, interval(1,2))", "tag(log, int, interval(1,2))"):
        with pytest.raises(ValueError, match=r"cannot enumerate v=interval"):
            searched(f"v={interval}").grid()
    assert searched("v=tag(int, interval(1,3))").grid() == {"v": [1, 2, 3]}


def test_digest_is_of_the_search_and_not_of_the_order():
    one = searched("x=1,2", "y=interval(0,1)", "seed=1", "a=2").digest()
    assert searched("a=2", "seed=1", "y=interval(0,1)", "x=1,2").digest() == one
    assert searched("x=1,2", "y=interval(0,2)", "seed=1", "a=2").digest() != one
    assert searched("x=1,2", "y=interval(0,1)", "seed=2", "a=2").digest() != one
