"""Kind D: settings are held against the types that the constructors declare."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import pytest
from torch import Tensor, nn

from gan_lab.runs.signatures import check_signatures, described, fits


class Further(TypedDict):
    """What `Base` passes on."""

    rate: float


class Base:
    def __init__(self, *, depth: int, **further: Unpack[Further]) -> None: ...


class Network(Base):
    def __init__(self, *, width: int | None, parts: Mapping[str, nn.Module | None], **settings: Any) -> None: ...


NODE = {"_target_": f"{__name__}.Network", "width": 1, "depth": 2, "rate": 1, "parts": {}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": "x"}, r"model.width must be a whole number or null, got 'x'"),
        ({"width": True}, r"model.width must be a whole number or null, got True"),
        ({"depth": None}, r"model.depth must be a whole number, got None"),
        ({"rate": [1]}, r"model.rate must be a number, got \[1\]"),
        ({"parts": {"a": 3}}, r"model.parts.a must be a node with _target_ or null, got 3"),
        ({"parts": {"a": NODE | {"depth": 0.5}}}, r"model.parts.a.depth must be a whole number, got 0.5"),
        ({"parts": {"a": [NODE | {"depth": 0.5}]}}, r"model.parts.a must be a node"),
    ],
)
def test_a_wrong_value_is_named_by_its_key(changes, said):
    with pytest.raises(ValueError, match=said):
        check_signatures({"model": NODE | changes}, "model")


@pytest.mark.parametrize(
    "changes", [{}, {"width": None}, {"rate": 0.5}, {"parts": {"a": None, "b": NODE}}, {"unknown": "x"}]
)
def test_a_right_value_passes(changes):
    check_signatures({"model": NODE | changes}, "model")


def test_a_target_that_is_not_there_is_left_to_whoever_builds_it():
    check_signatures({"model": {"_target_": "gan_lab.nowhere.Model", "width": "x"}}, "model")


@pytest.mark.parametrize(
    ("declared", "right", "wrong"),
    [
        (bool, [True, False], [1, "true", None]),
        (int, [0, -1], [True, 1.0, "1", None]),
        (float, [0, 0.5], [True, "x", None]),
        (str, ["", "x"], [1, None, ["x"]]),
        (Path | None, ["x", None], [1]),
        (bool | Literal["auto"], [True, "auto"], [1, "x"]),
        (Sequence[int], [[], [1]], [1, "12", [1.5]]),
        (tuple[float, float], [[0.5, 1]], [[0.5], [1, 2, 3], 0.5]),
        (tuple[int, ...], [[], [1, 2, 3]], [["x"]]),
        (Mapping[str, float], [{}, {"a": 1}], ["a", 3, {"a": "x"}]),
        (Callable[[int], float], [{"_target_": "x"}, {}, None], ["x", 3, [1]]),
        (float | Tensor, [0.5], ["x"]),
        (Any, ["x", 3, None, [1]], []),
    ],
)
def test_what_fits(declared, right, wrong):
    assert [value for value in right if not fits(value, declared)] == []
    assert [value for value in wrong if fits(value, declared)] == []


def test_types_in_words():
    assert described(int | None) == "a whole number or null"
    assert described(None | float | Callable[[int], float]) == "a number or a node with _target_ or null"
    assert described(bool | Literal["auto"]) == "true or false or auto"
    assert described(tuple[float | Tensor, float | Tensor]) == "a list of 2, each a number"
    assert described(Sequence[str]) == "a list, each text"
