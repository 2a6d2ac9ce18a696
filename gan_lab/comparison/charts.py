"""Curves as SVG within an HTML page."""

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gan_lab.comparison.curves import LOG_FROM, spread
from gan_lab.comparison.rows import NO_SCORE
from gan_lab.runs.reading import Run

if TYPE_CHECKING:
    from markupsafe import Markup

Point = tuple[float, float]


COLOURS = ("#2f7de1", "#d9730d", "#12966f", "#c93f8c", "#8359e0", "#8a6d3b", "#7a8699")  # on white and on black
INK = "#010203"  # what becomes the page's own colour of text, light or dark
MEASURES = (
    ("Losses", ("loss/",), False),
    ("Logits", ("logits/",), False),
    ("Gradient norms", ("grad_norm/",), True),
    ("Accuracy of D", ("health/d_accuracy_",), False),
    ("Gaps between logits", ("health/logit_gap",), False),
    ("Samples: spread relative to reals, share of duplicates", ("health/spread", "health/duplicates"), False),
    ("Classes found among samples", ("health/modes",), False),
    ("Penalties", ("reg/",), False),
    ("Learning rates", ("lr/",), False),
    ("Images per second", ("clock/images_per_s",), False),
)


class Line(NamedTuple):
    """A curve: points of (kimg, value), and the band around it, if any, as (kimg, low, high)."""

    label: str
    points: list[Point]
    band: list[tuple[float, float, float]] = []


class Chart(NamedTuple):
    """A drawing with the key to its colours, in HTML."""

    title: str
    legend: list[tuple[str, str]]
    svg: "Markup"


def charts_of_rows(rows: Sequence[Any], names: dict[int, str]) -> list[Chart]:
    """The monitored score over images and over device-hours; the best rows, as many as there are colours."""
    scored = [row for row in rows if row.scored][: len(COLOURS)]
    charts = []
    for over, what in (("images", "kimg"), ("hours", "device-hours")):
        lines = []
        for row in scored:
            band = spread([run.curve(over) for run in row.scored]).dropna()
            points = list(zip(band["x"], band["mean"], strict=True))
            lines.append(Line(names[id(row)], points, list(zip(band["x"], band["low"], band["high"], strict=True))))
        if any(line.points for line in lines):
            charts.append(chart(f"{scored[0].monitored.score.name} over {what}", lines, axis=what))
    return charts


def score_charts(run: Run, lines: Sequence[dict[str, Any]]) -> list[Chart]:
    """Each score over images, where it has the protocol of the last evaluation."""
    if not lines:
        return []
    last, charts = lines[-1], []
    for name in sorted(last["scores"], key=lambda name: name != last["monitored"]):
        if name.endswith(NO_SCORE):
            continue
        same = [line for line in lines if line["protocols"].get(name) == last["protocols"][name]]
        points = [(line["images_seen"] / 1000, line["scores"][name]) for line in same]
        ends = [
            (line["images_seen"] / 1000, *line["intervals"][name]) for line in same if name in line.get("intervals", {})
        ]
        charts.append(chart(name, [Line(name, points, ends)]))
    return charts


def measure_charts(rows: Sequence[dict[str, float]]) -> list[Chart]:
    """What metrics.csv holds, by kind."""
    names = sorted({name for row in rows for name in row})
    charts = []
    for heading, prefixes, logarithmic in MEASURES:
        lines = []
        for name in (name for name in names if name.startswith(prefixes)):
            points = [(row["images_seen"] / 1000, row[name]) for row in rows if name in row]
            label = re.sub(r"^(health/(d_accuracy_)?|[a-z_]+/)", "", name).replace("_", " ")
            lines.append(Line(label, points))
        if lines:
            charts.append(chart(heading, lines, logarithmic=logarithmic))
    return charts


def chart(heading: str, lines: Sequence[Line], *, axis: str = "kimg", logarithmic: bool | None = None) -> Chart:
    """Curves as SVG that takes its ink from the page around it.

    Args:
        logarithmic: the axis of values; None where they are positive and span much.
    """
    import matplotlib

    matplotlib.use("Agg")
    from markupsafe import Markup
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    style: Any = {"svg.fonttype": "none", "svg.hashsalt": heading, "font.size": 8.5}
    style |= dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    lines = [line._replace(points=[p for p in line.points if all(map(math.isfinite, p))]) for line in lines]
    values = [value for line in lines for _, value in line.points]
    positive = bool(values) and min(values) > 0
    wide = positive and max(values) > LOG_FROM * min(values)
    with matplotlib.rc_context(style):
        figure, axes = plt.subplots(figsize=(4.1, 2.4), layout="constrained")
        for number, line in enumerate(lines):
            colour = COLOURS[number % len(COLOURS)]
            if line.points:
                marker = "o" if len(line.points) < 15 else ""
                axes.plot(*zip(*line.points, strict=True), color=colour, linewidth=1.4, marker=marker, markersize=2.6)
            if line.band:
                kimg, low, high = zip(*line.band, strict=True)
                axes.fill_between(kimg, low, high, color=colour, alpha=0.2, linewidth=0)
        if positive and (wide if logarithmic is None else logarithmic):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(lambda value, place: f"{value:g}")
            axes.yaxis.set_minor_formatter(ticker.NullFormatter())
        axes.set_xlabel(axis)
        axes.grid(color=INK, alpha=0.12, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r' id="[a-z]+[\w.]*_\d+"', "", svg)  # matplotlib's names of groups: alike in every chart
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = svg.replace("<svg ", '<svg role="img" ', 1)
    legend = [(line.label, COLOURS[number % len(COLOURS)]) for number, line in enumerate(lines)]
    return Chart(heading, legend if len(lines) > 1 else [], Markup(svg))
