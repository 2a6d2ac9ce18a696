"""Settings held against the signatures of what they configure: the constructor is the schema."""

import inspect
import shlex
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra._internal.utils import _locate

LISTS = (list, tuple, Sequence, Collection, Iterable)
PLAIN: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    Path: ((str,), "a path"),
    type(None): ((type(None),), "null"),
}
OURS = ("gan_lab", "torch")  # whose classes no plain value stands for
DERIVED = ("sample_shape",)  # of other settings, whose own checks know more
NODE = "a node with _target_"


def check_signatures(settings: Mapping[str, Any], *places: str) -> None:
    """Refuse values of these nodes, or of nodes within, that are not of the type which their `_target_` declares.

    Args:
        settings: resolved, as plain dicts, lists and values.
        places: keys of `settings`.
    Raises:
        ValueError: a value of another type, by its dotted key.
    """
    for place in places:
        _check(settings[place], place)


def _check(node: Any, place: str) -> None:
    if isinstance(node, Mapping):
        declared = dict(declarations(node["_target_"])) if isinstance(node.get("_target_"), str) else {}
        for key, value in node.items():
            if key in declared and key not in DERIVED:
                _check_value(f"{place}.{key}", declared[key], value)
            _check(value, f"{place}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _check(value, f"{place}.{index}")


def _check_value(place: str, declared: Any, value: Any) -> None:
    element = get_args(declared)[1:] if get_origin(declared) is Mapping else ()
    if element and isinstance(value, Mapping) and "_target_" not in value:
        for key, each in value.items():
            _check_value(f"{place}.{key}", element[0], each)
    elif not fits(value, declared):
        raise ValueError(_refusal(place, declared, value))


def _refusal(place: str, declared: Any, value: Any) -> str:
    expected = f"{place} must be {described(declared)}, got {value!r}"
    if fits(str(value), declared) and isinstance(value, (int, float)):  # a folder called 2024, say
        text = shlex.quote(f'{place}="{value}"')
        return f"{expected}; as text: {text}"
    return expected


def declarations(target: str) -> Iterator[tuple[str, Any]]:
    """Name and type of each argument of a class or function; of `**settings`, those that its bases pass on.

    Those of what cannot be imported are none: whoever builds it says so.
    """
    try:
        found = _locate(target)
    except Exception:  # whatever a module of others raises
        return
    known: set[str] = set()
    for function in _functions(found):
        try:
            hints, parameters = get_type_hints(function), inspect.signature(function).parameters.values()
        except (NameError, TypeError, ValueError):
            return
        further = False
        for parameter in parameters:
            hint = hints.get(parameter.name, Any)
            if parameter.kind is parameter.VAR_KEYWORD:
                further = True
                if get_origin(hint) is typing.Unpack:
                    own = get_type_hints(get_args(hint)[0])
                    yield from ((name, own[name]) for name in own.keys() - known)
                    known |= own.keys()
            elif parameter.name not in known:
                known.add(parameter.name)
                yield parameter.name, hint
        if not further:
            return


def _functions(found: Any) -> Iterator[Any]:
    if inspect.isclass(found):
        yield from (base.__init__ for base in found.__mro__ if "__init__" in vars(base))  # type: ignore[misc]
    elif callable(found):
        yield found


def fits(value: Any, declared: Any) -> bool:
    """Whether a plain value, or a node that will be built, can be of this type; where that is not known, it can."""
    if isinstance(value, Mapping) and ("_target_" in value or not value):  # where nothing was chosen, others say so
        return True
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in arguments)
    if declared in PLAIN:
        return isinstance(value, PLAIN[declared][0]) and (declared is bool or not isinstance(value, bool))
    kind = origin or declared
    if kind in LISTS:
        return isinstance(value, list) and _elements_fit(value, kind, arguments)
    if kind in (dict, Mapping) or typing.is_typeddict(kind):
        elements = arguments[1:] or (Any,)
        return isinstance(value, Mapping) and all(fits(element, elements[0]) for element in value.values())
    if kind is Callable:  # null stands for "none chosen", which only whoever calls it can judge
        return value is None
    return not (inspect.isclass(kind) and kind.__module__.partition(".")[0] in OURS)


def _elements_fit(values: list[Any], kind: Any, arguments: tuple[Any, ...]) -> bool:
    if kind is tuple and arguments and arguments[-1] is not ...:
        return len(values) == len(arguments) and all(map(fits, values, arguments))
    return not arguments or all(fits(value, arguments[0]) for value in values)


def described(declared: Any) -> str:
    """A type in words: "a whole number or null"."""
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (Union, types.UnionType):
        tensor = [argument for argument in arguments if getattr(argument, "__module__", "") != "torch"]
        words = list(dict.fromkeys(described(argument) for argument in _null_last(tensor or arguments)))
        return " or ".join(words)
    if origin is Literal:
        return " or ".join({True: "true", False: "false"}.get(choice, str(choice)) for choice in arguments)
    if declared in PLAIN:
        return PLAIN[declared][1]
    kind = origin or declared
    if kind in LISTS:
        if kind is tuple and arguments and arguments[-1] is not ...:
            return f"a list of {len(arguments)}, each {described(arguments[0])}"
        return "a list" + (f", each {described(arguments[0])}" if arguments and arguments[0] in PLAIN else "")
    if kind in (dict, Mapping) or typing.is_typeddict(kind):
        return "keys with values"
    return NODE


def _null_last(arguments: Iterable[Any]) -> list[Any]:
    return sorted(arguments, key=lambda argument: argument is type(None))
