"""What a search chooses from: sweeps of the command line as Optuna's distributions, and values as overrides."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

TAGS = {"log", "int"}


@dataclass(frozen=True)
class Search:
    """A search space, and what every trial has in common.

    Attributes:
        space: Optuna's distribution of each key that is searched. A choice that is no number, bool or null is kept as
            the text of its override.
        fixed: the other overrides, as they were given.
    """

    space: dict[str, Any]
    fixed: list[str]

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """`key=value` for each value of a trial, in the order of the space."""
        return [f"{key}={written(params[key])}" for key in self.space]

    def example(self) -> dict[str, Any]:
        """Values from the edge of the space."""
        return {
            key: distribution.choices[0] if hasattr(distribution, "choices") else distribution.low
            for key, distribution in self.space.items()
        }

    def grid(self) -> dict[str, list[Any]]:
        """All values of each key.

        Raises:
            ValueError: an interval has no end of them.
        """
        values: dict[str, list[Any]] = {}
        for key, distribution in self.space.items():
            if hasattr(distribution, "choices"):
                values[key] = list(distribution.choices)
            elif distribution.step is None or distribution.log:
                raise ValueError(
                    f"hydra/sweeper/sampler=grid cannot enumerate {key}=interval(...): give choice(...) or range(...)"
                )
            else:
                count = round((distribution.high - distribution.low) / distribution.step) + 1
                values[key] = [type(distribution.low)(distribution.low + i * distribution.step) for i in range(count)]
        return values

    def record(self) -> dict[str, Any]:
        """Plain JSON values that are equal for equal searches."""
        from optuna.distributions import distribution_to_json

        space = {key: json.loads(distribution_to_json(value)) for key, value in sorted(self.space.items())}
        return {"space": space, "fixed": sorted(self.fixed)}

    def digest(self) -> str:
        """Eight hexadecimal digits of `record`."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()[:8]


def parse(overrides: Sequence[Override]) -> Search:
    """Split overrides into those to search and fixed ones; of several for one key the last counts.

    Raises:
        ValueError: a sweep that cannot be searched, or none at all.
    """
    last = {(override.key_or_group, override.package): override for override in overrides}
    space, fixed = {}, []
    for override in last.values():
        if override.is_sweep_override():
            space[override.get_key_element()] = distribution_of(override)
        else:
            fixed.append(str(override.input_line))
    if not space:
        raise ValueError(
            "nothing to search: give a key several values on the command line or in hydra.sweeper.params, such as "
            "'model.n_critic=choice(1,2,5)', 'model.optimizers.generator.lr=tag(log, interval(1e-5,1e-2))'"
        )
    return Search(space, fixed)


def distribution_of(override: Override) -> Any:
    """Optuna's distribution for one sweep: choice, range or interval.

    Both ends of an interval belong to it; a range ends before its stop, as everywhere in Hydra.

    Raises:
        ValueError: no values, bounds out of order, or a tag without meaning; names the override.
    """
    sweep = override._value
    tags = sweep.tags if isinstance(sweep, (ChoiceSweep, RangeSweep, IntervalSweep)) else set()
    unknown = tags - TAGS if isinstance(sweep, IntervalSweep) else tags
    if unknown:
        raise ValueError(
            f"{override.input_line}: tag {', '.join(sorted(unknown))} means nothing here; "
            "there are log and int, for interval(...)"
        )
    if isinstance(sweep, IntervalSweep):
        return interval(sweep, str(override.input_line))
    if isinstance(sweep, RangeSweep):
        return steps(sweep, str(override.input_line))
    return choice(override)


def choice(override: Override) -> Any:
    """A categorical distribution; the files of a group for `glob(...)`."""
    from optuna.distributions import CategoricalDistribution

    plain = (bool, int, float, type(None))
    values = zip(override.sweep_iterator(), override.sweep_string_iterator(), strict=True)
    choices = [value if isinstance(value, plain) else text for value, text in values]
    if not choices:
        raise ValueError(f"{override.input_line}: nothing to choose from")
    return CategoricalDistribution(choices)


def steps(sweep: RangeSweep, line: str) -> Any:
    """Evenly spaced numbers."""
    from optuna.distributions import FloatDistribution, IntDistribution

    try:
        values = list(sweep.range())
    except (ValueError, HydraException) as error:
        raise ValueError(f"{line}: {error}") from error
    if not values:
        raise ValueError(f"{line}: the range is empty")
    kind = IntDistribution if isinstance(values[0], int) else FloatDistribution
    return kind(min(values), max(values), step=abs(sweep.step))  # type: ignore[arg-type]


def interval(sweep: IntervalSweep, line: str) -> Any:
    """All numbers between two, or all whole ones with the tag or cast `int`, evenly or on a log scale."""
    from optuna.distributions import FloatDistribution, IntDistribution

    start, end = sweep.start, sweep.end
    assert start is not None
    assert end is not None
    log = "log" in sweep.tags
    if not start < end:
        raise ValueError(f"{line}: an interval needs its smaller end first, got {start:g} and {end:g}")
    if log and not start > 0:
        raise ValueError(f"{line}: a log scale needs bounds above 0, got {start:g}")
    if "int" not in sweep.tags and not isinstance(start, int):
        return FloatDistribution(start, end, log=log)
    if start != int(start) or end != int(end):
        raise ValueError(f"{line}: whole numbers need whole bounds, got {start:g} and {end:g}")
    return IntDistribution(int(start), int(end), log=log)


def written(value: Any) -> str:
    """A value of a trial as the right side of an override."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)
