"""`python -m gan_lab.report`: runs as one HTML file that holds all it shows: scores, curves, pictures, settings."""

import argparse
import base64
import io
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from gan_lab import __version__
from gan_lab.compare import LOG_FROM, NONE, captions, columns, labels, number_text, parts, plain_text, title
from gan_lab.comparison import DAMAGE, NO_SCORE, Comparison, Run, compare, find_runs, flat, read_run, spread
from gan_lab.records import WATCH, read_rows, scores_of

if TYPE_CHECKING:
    from markupsafe import Markup

EXAMPLE = """\
example:
  python -m gan_lab.report runs/dcgan_digits/1a2b3c4d/seed0
  python -m gan_lab.report runs --out all.html

The file needs no network and no other file: send it, print it, keep it.
"""
T = TypeVar("T")
Point = tuple[float, float]
TEMPLATE = "report.html.jinja"
COLOURS = ("#2f7de1", "#d9730d", "#12966f", "#c93f8c", "#8359e0", "#8a6d3b", "#7a8699")  # on white and on black
INK = "#010203"  # what becomes the page's own colour of text, light or dark
MOMENTS = 6  # pictures of samples, from the first to the last
NEIGHBOURS = 4  # pictures of nearest neighbours, the newest
LONGEST_SIDE = 1200  # pixels of a picture
SMALL = 400  # pixels up to which a picture is enlarged with sharp edges
TABLE_WIDTH = 110  # characters of a comparison's table, which goes on below; so it fits on paper
WARNINGS = 12  # of a run's log, the last
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


def main() -> None:
    """The command."""
    try:
        run(parse(sys.argv[1:]))
    except (ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line; argparse's own errors exit with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m gan_lab.report",
        description="One HTML file of runs: scores and their protocols, curves, pictures, settings, and a comparison.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "places", nargs="+", type=Path, metavar="RUN", help="a run's folder, a sweep's, or one with runs below"
    )
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    parser.add_argument(
        "--at",
        choices=("last", "best"),
        default="last",
        help="compare runs at their last evaluation (default), or at the one with the best monitored score",
    )
    return parser.parse_args(words)


def run(options: argparse.Namespace) -> None:
    """Read, draw and write."""
    folders, problems = find_runs(options.places)
    runs = []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except ValueError as error:
            problems.append(str(error))
    if not runs:
        raise ValueError(f"none of the runs can be read; {problems[-1]}")
    page = render(runs, problems, at=options.at)
    temporary = options.out.with_name(f".{options.out.name}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(options.out)
    except OSError as error:
        raise ValueError(f"cannot write {options.out}: {error.strerror}") from error
    print(f"{options.out}: {len(runs)} run{'s' * (len(runs) > 1)}, {len(page.encode()) / 1e6:.1f} MB")


def render(runs: Sequence[Run], problems: Sequence[str], *, at: str) -> str:
    """The page. Whatever comes from folders of runs is escaped, and a policy in the page forbids all scripts."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["breakable"] = breakable
    names = short_names([run.folder for run in runs])
    return environment.get_template(TEMPLATE).render(
        title=names[0] if len(runs) == 1 else f"{len(runs)} runs",
        written=time.strftime("%Y-%m-%d %H:%M"),
        version=__version__,
        problems=problems,
        comparison=compared(compare(runs, at=at)) if len(runs) > 1 else None,
        runs=[described(run, name) for run, name in zip(runs, names, strict=True)],
    )


def breakable(text: str) -> "Markup":
    """Text, escaped, that may go on below after dots, underscores and @."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.findall(r"[^._@]*[._@]+|[^._@]+", text))


def short_names(folders: Sequence[Path]) -> list[str]:
    """The folders without what all of them begin with; a single one by its last three parts."""
    parts = [folder.resolve().parts for folder in folders]
    shared = 0
    while len(parts) > 1 and len({part[shared : shared + 1] for part in parts}) == 1:
        shared += 1
    return ["/".join(part[shared:] if len(parts) > 1 else part[-3:]) for part in parts]


# Runs side by side -----------------------------------------------------------------------------------------------


def compared(comparison: Comparison) -> dict[str, Any]:
    """Tables as `gan_lab.compare` has them, what their numbers are, and the monitored scores over training."""
    tables: list[dict[str, Any]] = []
    number, several = 1, len(comparison.monitored) > 1
    for rows in comparison.tables:
        first, *rest = columns(rows, comparison, number)
        heading = title(rows[0].monitored) if several else None
        for made in parts(first, rest, TABLE_WIDTH):
            cells = list(zip(*(column.cells for column in made), strict=True))
            best = rows[0].scored and not several
            tables.append({"title": heading, "columns": made, "rows": cells, "best": best})
            heading = None
        number += len(rows)
    notes = list(comparison.notes)
    if several:
        notes.append("The monitored scores have several protocols, so rows are not ranked across the tables.")
    return {
        "tables": tables,
        "captions": captions(comparison),
        "notes": notes,
        "charts": [chart for rows in comparison.tables for chart in charts_of_rows(rows, labels(comparison))],
    }


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


# One run ---------------------------------------------------------------------------------------------------------


def described(run: Run, name: str) -> dict[str, Any]:
    """What the template says of a run; what cannot be read is named in `problems`."""
    problems = [run.problem] if run.problem else []

    def part(file: str, read: Callable[[], T], otherwise: Any) -> T:
        try:
            return read()
        except DAMAGE as error:
            text = str(error).partition("\n")[0]
            problem = f"{run.folder / file} is damaged ({text})"
            if not any(known.startswith(str(run.folder / file)) for known in problems):
                problems.append(problem)
            return otherwise

    rows, bad = part("metrics.csv", lambda: readable_rows(run.folder / "metrics.csv"), ([], 0))
    if bad:
        problems.append(f"{bad} cells of {run.folder / 'metrics.csv'} are no numbers, and are left out of the curves")
    lines = part("scores.jsonl", lambda: sound_lines(scores_of(run.folder)), [])
    kimg, total = part("run.json", lambda: length(run.folder, rows, lines), (math.nan, math.nan))
    scores = part("scores.jsonl", lambda: score_rows(lines), [])
    about = part("config.yaml", lambda: configuration(run.folder), {})
    level = lines[-1].get("intervals_about", {}).get("level") if lines else None
    moments, left_out = part("pictures", lambda: pictures_over_time(run.folder, problems), ([], 0))
    return {
        "name": name,
        "folder": str(run.folder),
        "facts": facts(run, kimg, total),
        "problems": problems,
        "warnings": part("train.log", lambda: warnings(run.folder / "train.log"), []),
        "scores": scores,
        "interval_head": f"{100 * level:g}% interval" if isinstance(level, float) else "interval",
        "scores_caption": scores_caption(run, lines),
        "protocols": protocols(run, scores),
        "charts": score_charts(run, lines) + measure_charts(rows),
        "pictures": moments,
        "pictures_note": f"; {left_out} more lie{'s' * (left_out == 1)} between these" if left_out else "",
        "neighbours": part("pictures", lambda: neighbours(run.folder, problems), []),
        "settings": grouped(about),
    }


def facts(run: Run, kimg: float, total: float) -> list[dict[str, str]]:
    """The run in a few numbers."""
    end = "finished" if run.finished else "unfinished"
    found = [
        {"what": "state", "value": end, "tone": "good" if run.finished else "warn"},
        {"what": "length", "value": f"{number_text(kimg)} of {number_text(total)} kimg", "tone": ""},
        {"what": "seed", "value": str(run.seed), "tone": ""},
        {"what": "images/s (median)", "value": number_text(run.images_per_s, 3), "tone": ""},
        {"what": "device-hours", "value": number_text(run.device_hours, 3), "tone": ""},
    ]
    if run.monitored is not None and run.lines:
        name = run.monitored.score.name
        line = run.best_line()
        best = f"{number_text(line['scores'][name])} at {number_text(line['images_seen'] / 1000)} kimg"
        found.insert(1, {"what": f"best {name}", "value": best, "tone": ""})
    return found


def length(folder: Path, rows: Sequence[dict[str, float]], lines: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Thousands of images seen, by whatever tells most, and asked for."""
    file = folder / "run.json"
    end = json.loads(file.read_text()).get("finished_kimg") if file.is_file() else None
    seen = [float(end or 0), *(row["images_seen"] / 1000 for row in rows[-1:])]
    seen += [line["images_seen"] / 1000 for line in lines[-1:]]
    return max(seen), float(configuration(folder)["total_kimg"])


def readable_rows(path: Path) -> tuple[list[dict[str, float]], int]:
    """The rows of a metrics file as numbers, without what is empty; and how many cells are none."""
    rows, bad = [], 0
    for row in read_rows(path):
        numbers = {}
        for name, text in row.items():
            try:
                if text:
                    numbers[str(name)] = float(text)
            except (TypeError, ValueError):
                bad += 1
        if "images_seen" in numbers:
            rows.append(numbers)
    return rows, bad


def sound_lines(lines: Iterable[Any]) -> list[dict[str, Any]]:
    """Lines of scores that have what they should.

    Raises:
        ValueError, KeyError, TypeError: one has not.
    """
    found = list(lines)
    for line in found:
        line["images_seen"] / 1, line["monitored"]
        for name, value in line["scores"].items():
            if not isinstance(value, (int, float)) or name not in line["protocols"]:
                raise ValueError(f"the score {name} at {line['images_seen']} images")
    return found


def score_rows(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each score of the last evaluation."""
    if not lines:
        return []
    last, rows = lines[-1], []
    for name, value in last["scores"].items():
        if name.endswith(NO_SCORE):
            continue
        ends, inside = last.get("intervals", {}).get(name), last["scores"].get(f"{name}_std")
        row = {"name": name, "value": number_text(value), "protocol": last["protocols"][name]}
        row["interval"] = NONE if ends is None else f"{number_text(ends[0])} to {number_text(ends[1])}"
        row["spread"] = NONE if inside is None else f"± {number_text(inside, 2)}"
        row["monitored"] = name == last["monitored"]
        rows.append(row)
    return rows


def scores_caption(run: Run, lines: Sequence[dict[str, Any]]) -> str:
    """Which evaluation the scores are of, and which is which."""
    if not lines:
        return ""
    text = f"Of the last evaluation, at {number_text(lines[-1]['images_seen'] / 1000)} kimg. "
    if run.monitored is not None:
        better = "higher" if run.monitored.higher_is_better else "lower"
        text += f"The green one is monitored ({better} is better). "
    return text + (
        "Interval: by bootstrap over blocks of samples, where evaluation.intervals asked for it. Spread inside: "
        "standard deviation over splits or subsets of the same samples. Scores compare only where protocols are equal."
    )


def protocols(run: Run, scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each protocol of the scores, in full, and the scores that it made."""
    found: dict[str, list[str]] = {}
    for row in scores:
        found.setdefault(row["protocol"], []).append(row["name"])
    return [
        {
            "digest": digest,
            "names": ", ".join(names),
            "settings": [(key, plain_text(value)) for key, value in flat(run.protocols.get(digest, {}))],
        }
        for digest, names in found.items()
    ]


def warnings(path: Path) -> list[str]:
    """The last warnings and errors of a log, each once."""
    if not path.is_file():
        return []
    text = path.read_text(errors="replace")
    pattern = r"^\S+ (\S+?)(?:,\d+)? (?:WARNING|ERROR|CRITICAL) (?:\S+): (.+)$"
    found = dict.fromkeys(message.strip() for _, message in re.findall(pattern, text, re.MULTILINE))
    return list(found)[-WARNINGS:]


def configuration(folder: Path) -> dict[str, Any]:
    """The resolved config."""
    import yaml

    with (folder / "config.yaml").open() as file:
        return dict(yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def grouped(config: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Settings by their first key, those without a group first."""
    groups: dict[str, list[tuple[str, str]]] = {"general": []}
    for key, value in config.items():
        if isinstance(value, dict):
            groups[str(key)] = [(inner, shown(leaf)) for inner, leaf in flat(value)]
        else:
            groups["general"].append((str(key), shown(value)))
    return [(name, settings) for name, settings in groups.items() if settings]


def shown(value: Any) -> str:
    """A setting as YAML on one line would have it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


# Pictures --------------------------------------------------------------------------------------------------------


def pictures_over_time(folder: Path, problems: list[str]) -> tuple[list[dict[str, Any]], int]:
    """Grids of samples from the first to the last, and how many are left out between them."""
    found = sorted((folder / "pictures").glob("[0-9]*.png"))
    chosen = sorted({round(i * (len(found) - 1) / (MOMENTS - 1)) for i in range(MOMENTS)}) if found else []
    made = [embedded(found[i], f"{kimg_of(found[i])} kimg", f"samples at {kimg_of(found[i])} kimg") for i in chosen]
    return sound_pictures(made, problems), len(found) - len(chosen)


def neighbours(folder: Path, problems: list[str]) -> list[dict[str, Any]]:
    """The newest pictures of samples beside the training images nearest to them, of the run or of its watcher."""
    pictures = {
        path.name: path
        for place in (folder / WATCH / "pictures", folder / "pictures")
        for path in place.glob("neighbours_*.png")
    }
    found = sorted(pictures.values(), key=lambda path: (images_of(path), path.name))
    made = []
    for path in found[-NEIGHBOURS:][::-1]:
        space = re.sub(r"_?\d*$", "", path.stem.removeprefix("neighbours_"))
        caption = " in the space of ".join(["Samples and the reals nearest to them", *([space] if space else [])])
        made.append(embedded(path, f"{caption}, at {kimg_of(path)} kimg ({path.name})", caption))
    return sound_pictures(made, problems)


def images_of(path: Path) -> int:
    """Images seen from a picture's name; -1 if it does not say."""
    digits = re.search(r"(\d+)$", path.stem)
    return int(digits[1]) if digits else -1


def kimg_of(path: Path) -> str:
    """Thousands of images from a picture's name."""
    images = images_of(path)
    return "?" if images < 0 else f"{images / 1000:g}"


def sound_pictures(made: Iterable[dict[str, Any] | str], problems: list[str]) -> list[dict[str, Any]]:
    """Without those that could not be read, which are named in `problems`."""
    pictures = []
    for picture in made:
        if isinstance(picture, str):
            problems.append(picture)
        else:
            pictures.append(picture)
    return pictures


def embedded(path: Path, caption: str, alt: str) -> dict[str, Any] | str:
    """A picture as data within the page, shrunk if it is large; a line that says so where it is damaged."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            picture = opened.copy()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"{path} is damaged ({str(error).partition(chr(10))[0]})"
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    width, height = picture.size
    small = max(width, height) <= SMALL
    return {"source": source, "width": width, "height": height, "caption": caption, "alt": alt, "small": small}


# Curves ----------------------------------------------------------------------------------------------------------


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


if __name__ == "__main__":
    main()
