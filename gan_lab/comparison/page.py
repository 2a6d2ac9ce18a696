"""Runs as one HTML page that needs nothing else: scores, protocols, curves, pictures, settings."""

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gan_lab import __version__
from gan_lab.comparison.curves import labels
from gan_lab.comparison.rows import NO_SCORE, Comparison, compare
from gan_lab.comparison.tables import NONE, captions, columns, number_text, parts, plain_text, title
from gan_lab.runs.reading import DAMAGE, Run
from gan_lab.runs.records import read_rows, scores_of
from gan_lab.runs.settings import flat

if TYPE_CHECKING:
    from markupsafe import Markup
from gan_lab.comparison.charts import charts_of_rows, measure_charts, score_charts
from gan_lab.comparison.embedded import neighbours, pictures_over_time

T = TypeVar("T")


TEMPLATE = "page.html.jinja"


TABLE_WIDTH = 110  # characters of a comparison's table, which goes on below; so it fits on paper


WARNINGS = 12  # of a run's log, the last


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
    end = json.loads(file.read_text(encoding="utf-8")).get("finished_kimg") if file.is_file() else None
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
    text = path.read_text(encoding="utf-8", errors="replace")
    pattern = r"^\S+ (\S+?)(?:,\d+)? (?:WARNING|ERROR|CRITICAL) (?:\S+): (.+)$"
    found = dict.fromkeys(message.strip() for _, message in re.findall(pattern, text, re.MULTILINE))
    return list(found)[-WARNINGS:]


def configuration(folder: Path) -> dict[str, Any]:
    """The resolved config."""
    import yaml

    with (folder / "config.yaml").open(encoding="utf-8") as file:
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
