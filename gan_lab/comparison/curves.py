"""The monitored score of rows over images and device-hours."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gan_lab.comparison.rows import Comparison, differing
from gan_lab.comparison.tables import plain_text


def spread(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """`x`, `mean`, `low` and `high` of several curves, linear between their points, where all of them are known.

    Curves that share no stretch give one point: the means of their ends.
    """
    start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    grid = grid[(grid >= start) & (grid <= end)]
    values = np.stack([np.interp(grid, x, y) for x, y in curves])
    if not len(grid):
        grid = np.array([np.mean([x[-1] for x, _ in curves])])
        values = np.array([[y[-1]] for _, y in curves])
    return pd.DataFrame({"x": grid, "mean": values.mean(0), "low": values.min(0), "high": values.max(0)})


COLOURED = 7  # rows of a plot, the best ones; the others are grey
LABEL_WIDTH = 45
LOG_FROM = 20  # the ratio of the highest score to the lowest from which the axis of scores is logarithmic


def draw(comparison: Comparison, path: Path) -> None:
    """The monitored score over images and over device-hours, a line per row with the range of its seeds.

    Raises:
        ValueError: no finished run has scores, or matplotlib cannot write such a file.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    tables = [[row for row in rows if row.scored] for rows in comparison.tables]
    tables = [rows for rows in tables if rows]
    if not tables:
        raise ValueError("no finished run has scores")
    names = labels(comparison)
    figure, grid = plt.subplots(
        len(tables), 2, figsize=(15, 4.5 * len(tables)), layout="constrained", squeeze=False, sharey="row"
    )
    for axes, rows in zip(grid, tables, strict=True):
        assert rows[0].monitored is not None
        score = rows[0].monitored.score
        for axis, over, what in zip(axes, ("images", "hours"), ("kimg", "device-hours"), strict=True):
            for place, row in reversed(list(enumerate(rows))):  # the best ones on top
                line = spread([run.curve(over) for run in row.scored])
                if place >= COLOURED:
                    axis.plot(line["x"], line["mean"], color="0.8", linewidth=0.8)
                    continue
                marker = "o" if over == "images" or len(line) == 1 else ""
                axis.plot(line["x"], line["mean"], f"C{place}", marker=marker, markersize=3, label=names[id(row)])
                axis.fill_between(line["x"], line["low"], line["high"], color=f"C{place}", alpha=0.2, linewidth=0)
            axis.set_xlabel(what)
            axis.grid(alpha=0.3)
        values = [value for row in rows for run in row.scored for value in run.curve("images")[1]]
        if min(values) > 0 and max(values) > LOG_FROM * min(values):
            axes[0].set_yscale("log")
        axes[0].set_ylabel(f"{score.name} (protocol {score.protocol})")
        if len(comparison.rows) > 1:
            more = f"grey: {len(rows) - COLOURED} of lower rank" if len(rows) > COLOURED else None
            beside = {"loc": "upper left", "bbox_to_anchor": (1, 1), "fontsize": "small", "frameon": False}
            axes[1].legend(handles=axes[0].get_legend_handles_labels()[0][::-1], title=more, **beside)
    figure.suptitle(
        "mean over the seeds of finished runs; band: from the lowest to the highest seed", fontsize="medium"
    )
    try:
        figure.savefig(path, dpi=120)
    finally:
        plt.close(figure)


def labels(comparison: Comparison) -> dict[int, str]:
    """id of a row -> its number in the table, its settings that differ (their keys in short), and its seeds."""
    keys = list(differing(comparison.rows))
    short = {}
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        short[key] = next(end for end in ends if sum(f".{other}".endswith(f".{end}") for other in keys) == 1)
    made = {}
    for number, row in enumerate(comparison.rows, 1):
        settings = {short[key]: plain_text(row.settings[key]) for key in keys if key in row.settings}
        text = ", ".join(value if key == "_target_" else f"{key}={value}" for key, value in settings.items())
        seeds = f"{len(row.scored)} seed{'s' * (len(row.scored) > 1)}"
        made[id(row)] = textwrap.fill(f"{number} ({seeds}): {text}", LABEL_WIDTH, max_lines=3, placeholder=" …")
    return made
