"""The table of all recipes, from their runs: python benchmarks/table.py RUN_OR_SWEEP...

Reads finished runs of recipes (`experiment=<name>`), writes a row for each recipe into `experiments/results.csv` in the
place of its earlier one, and makes the table in `experiments/README.md` anew. Without runs, the table alone is made. A
score is that of the last evaluation, with its mean and 95 % interval over seeds; the last picture grid of the lowest
seed goes beside the record, as `<name>.png`. Of a recipe without a row the table says "not run here" where its record
does, and else that the record has its scores. What a paper has published is the line of a record that begins with
"Published:".
"""

import argparse
import json
import math
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from gan_lab.comparison.rows import Row, compare
from gan_lab.comparison.tables import number_text
from gan_lab.runs.reading import find_runs, read_run

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"
RESULTS = "results.csv"
DIGITS = "%.6g"  # of its numbers
BEGIN, END = "<!-- made by benchmarks/table.py -->", "<!-- to here -->"
HEAD = ("Recipe", "Algorithm", "Network", "Data", "Score", "Published", "kimg", "images/s", "Machine", "Commit")
NONE = "–"


def rows_of(places: Sequence[Path]) -> tuple[list[dict[str, Any]], dict[str, Path]]:
    """A row per recipe whose finished runs lie in `places`, and the last picture grid of each.

    Raises:
        ValueError: runs of no recipe, or of one recipe in several versions.
    """
    folders, _ = find_runs(places)
    rows: dict[str, dict[str, Any]] = {}
    grids: dict[str, Path] = {}
    for row in compare([read_run(folder) for folder in folders]).rows:
        if not row.scored:
            continue
        found = row_of(row)
        if found["recipe"] in rows:
            raise ValueError(f"the runs of {found['recipe']} have several configurations; name those of one")
        rows[found["recipe"]] = found
        grids[found["recipe"]] = min(row.scored, key=lambda run: run.seed).folder / "pictures" / "latest.png"
    return list(rows.values()), grids


def row_of(row: Row) -> dict[str, Any]:
    """What the table keeps of runs that differ in their seed alone."""
    origins = [json.loads((run.folder / "run.json").read_text())["origin"] for run in row.scored]
    choices = origins[0]["choices"]
    if choices.get("experiment") is None:
        raise ValueError(f"{row.scored[0].folder} is no run of a recipe (experiment=<name>)")
    assert row.monitored is not None
    score = row.monitored.score
    value = row.scores("last")[score]
    return {
        "recipe": choices["experiment"],
        "model": choices["model"],
        "network": choices["network"],
        "data": choices["data"],
        "score": score.name,
        "protocol": score.protocol,
        "mean": value.mean,
        "half_width": math.nan if value.half_width is None else value.half_width,
        "seeds": value.seeds,
        "kimg": row.kimg("last"),
        "images_per_s": row.mean_of("images_per_s"),
        "machine": " and ".join(sorted({origin["machine"] for origin in origins})),
        "commit": " and ".join(sorted({origin["commit"] or NONE for origin in origins})),
        "torch": " and ".join(sorted({origin["versions"]["torch"] for origin in origins})),
    }


def merged(kept: pd.DataFrame, new: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows that are kept, but for those of recipes that have new ones; numbers as the file will have them."""
    if not new:
        return kept
    kept = kept[~kept["recipe"].isin([row["recipe"] for row in new])] if len(kept) else kept
    rows = pd.DataFrame(new).map(lambda value: float(DIGITS % value) if isinstance(value, float) else value)
    return pd.concat([kept, rows] if len(kept) else [rows]).sort_values("recipe")


def read_results(folder: Path) -> pd.DataFrame:
    path = folder / RESULTS
    if not path.is_file():
        return pd.DataFrame({"recipe": []})
    results = pd.read_csv(path, dtype={"commit": str})
    return results.fillna({"commit": NONE})


def table(folder: Path, results: pd.DataFrame) -> str:
    """Markdown: a row for every recipe in `folder`."""
    known = {row["recipe"]: row for row in results.to_dict("records")}
    lines = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
    for path in sorted(folder.glob("*.yaml")):
        name = path.stem
        row = known.get(name)
        cells = [f"[{name}]({name}.md)", *(chosen(path) if row is None else measured(row))]
        cells.insert(5, published(path.with_suffix(".md")))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def chosen(recipe: Path) -> list[str]:
    """The cells of a recipe without results, but for what is published."""
    choices = {"/model": "dcgan", "/network": "dcgan_small", "/data": "digits"}  # conf/train.yaml
    for node in OmegaConf.load(recipe).get("defaults", []):
        for key, value in node.items():
            choices[key.removeprefix("override ")] = value
    record = recipe.with_suffix(".md")
    known = record.is_file() and "Not run here" not in record.read_text()
    score = "in its record" if known else "not run here"
    return [choices["/model"], choices["/network"], choices["/data"], score, NONE, NONE, NONE, NONE]


def measured(row: dict[str, Any]) -> list[str]:
    """The cells of a recipe that was run, but for what is published."""
    width = "" if math.isnan(row["half_width"]) else f" ± {row['half_width']:.2g}"
    seeds = f"{row['seeds']} seed" + ("s" if row["seeds"] > 1 else "")
    score = f"`{row['score']}` {number_text(row['mean'])}{width} ({seeds})"
    speed, kimg = f"{row['images_per_s']:.0f}", f"{row['kimg']:g}"
    return [row["model"], row["network"], row["data"], score, kimg, speed, row["machine"], row["commit"]]


def published(record: Path) -> str:
    found = re.search(r"^Published: (.+)$", record.read_text(), re.MULTILINE) if record.is_file() else None
    return found[1].rstrip(".") if found else NONE


def with_table(text: str, new: str) -> str:
    """`text` with what stands between the marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"README.md lacks the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", type=Path, metavar="RUN_OR_SWEEP")
    parser.add_argument("--folder", type=Path, default=EXPERIMENTS, help="of recipes")
    options = parser.parse_args()
    try:
        new, grids = rows_of(options.places) if options.places else ([], {})
        results = merged(read_results(options.folder), new)
        readme = options.folder / "README.md"
        text = with_table(readme.read_text(), table(options.folder, results))
    except (ValueError, OSError, KeyError) as error:
        sys.exit(f"Error: {error}")
    if new:
        results.to_csv(options.folder / RESULTS, index=False, float_format=DIGITS)
    readme.write_text(text)
    for recipe, grid in grids.items():
        if grid.is_file():
            shutil.copyfile(grid, options.folder / f"{recipe}.png")
    print("\n".join(f"{row['recipe']}: {row['score']} {row['mean']:.4g} over {row['seeds']} seeds" for row in new))


if __name__ == "__main__":
    main()
