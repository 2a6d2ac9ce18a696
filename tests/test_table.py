"""The table of recipes: made from runs, and the one in experiments/README.md agrees with what they left."""

import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT, SMALL

from benchmarks import table

EXPERIMENTS = ROOT / "experiments"
RECIPE = "# @package _global_\n# A try.\ndefaults: [{override /model: lsgan}]\ntotal_kimg: 0.032\n"


def make(folder, *places):
    command = [sys.executable, str(ROOT / "benchmarks" / "table.py"), *map(str, places), "--folder", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_from_runs_to_a_row(command, tmp_path, monkeypatch):
    folder = tmp_path / "experiments"
    folder.mkdir()
    lines = {"mine": "Published: FID 12.3, Somebody 2020.\n", "never_run": "Not run here: no GPU.\n", "typed": "0.2\n"}
    for name, line in lines.items():
        (folder / f"{name}.yaml").write_text(RECIPE)
        (folder / f"{name}.md").write_text(f"# {name}\n\n{line}")
    (folder / "README.md").write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    for seed in (0, 1):
        ended = command("train", "experiment=mine", f"seed={seed}", *SMALL)
        assert ended.code == 0, ended.output
    done = make(folder, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    text = (folder / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("| [mine]")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == ["lsgan", "dcgan_small", "digits"]
    assert cells[4].startswith("`fd_digitnet20` ")
    assert cells[4].endswith("(2 seeds)")
    assert cells[5:7] == ["FID 12.3, Somebody 2020", "0.032"]
    assert "never_run](never_run.md) | lsgan | dcgan_small | digits | not run here |" in text
    assert "typed](typed.md) | lsgan | dcgan_small | digits | in its record |" in text
    results = pd.read_csv(folder / table.RESULTS)
    assert results["seeds"].tolist() == [2]
    (grid,) = (tmp_path / "runs").glob("mine/*/seed0/pictures/latest.png")
    assert (folder / "mine.png").read_bytes() == grid.read_bytes()
    monkeypatch.setattr(sys, "argv", ["table.py", "--folder", str(folder)])
    table.main()
    assert (folder / "README.md").read_text() == text, "without runs it is made from results.csv"


def test_runs_of_no_recipe_are_refused(command, tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text(f"{table.BEGIN}\n{table.END}\n")
    assert command("train", *SMALL, "total_kimg=0.032").code == 0
    monkeypatch.setattr(sys, "argv", ["table.py", str(tmp_path / "runs"), "--folder", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^Error: .* is no run of a recipe \(experiment=<name>\)"):
        table.main()


def test_rows_are_replaced_and_others_kept():
    kept = pd.DataFrame([{"recipe": "a", "mean": 1.0}, {"recipe": "b", "mean": 2.0}])
    both = table.merged(kept, [{"recipe": "b", "mean": 3.0}, {"recipe": "c", "mean": 4.0}])
    assert dict(zip(both["recipe"], both["mean"], strict=True)) == {"a": 1.0, "b": 3.0, "c": 4.0}


def test_rows_are_rounded_once():
    """A table is made of what the file keeps, so that it is the same when it is made from the file."""
    rows = table.merged(pd.DataFrame({"recipe": []}), [{"recipe": "a", "mean": 0.22364999, "seeds": 3}])
    assert rows["mean"].tolist() == [0.22365]
    assert rows["seeds"].tolist() == [3]


def test_a_readme_without_the_marks():
    with pytest.raises(ValueError, match=r"README\.md lacks the lines"):
        table.with_table("nothing", "| a |")


def test_the_table_of_this_repository_is_made_from_its_results():
    text = (EXPERIMENTS / "README.md").read_text()
    made = table.with_table(text, table.table(EXPERIMENTS, table.read_results(EXPERIMENTS)))
    assert made == text, "run: python benchmarks/table.py"
