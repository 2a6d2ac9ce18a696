"""Every combination, once."""

from typing import Any

from optuna.samplers import GridSampler


class Grid(GridSampler):
    """Optuna's, for trials that are asked for one by one.

    Args:
        search_space: the values of each key.
        seed: of their order; workers with equal ones keep apart.
    """

    def after_trial(self, *trial: Any) -> None:
        """Optuna's own ends the loop of `Study.optimize`, which is not used here."""
