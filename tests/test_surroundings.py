"""Kind E: what a command is started in: a notebook's shell, an ASCII locale, a pipe instead of a terminal."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SMALL
from rich.table import Table

from gan_lab import terminal
from gan_lab.cli import message
from gan_lab.evaluation.display import print_scores
from gan_lab.evaluation.scores import Scores
from gan_lab.runs.records import append_line
from gan_lab.runs.summary import closing_lines

UNSCORED = [*(option for option in SMALL if not option.startswith("evaluation.")), "evaluation=none"]


def ascii_output(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    """Standard output as an ASCII locale has it; what is printed lies in its buffer."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("MPLBACKEND", "module://nowhere")
    terminal.prepare_process()
    return stream


def printed(stream: io.TextIOWrapper) -> bytes:
    return stream.buffer.getvalue()  # type: ignore[attr-defined]


def test_an_ascii_terminal_gets_what_it_can_show(monkeypatch):
    """gphotos-sync#189: "'ascii' codec can't encode character"."""
    stream = ascii_output(monkeypatch)
    print("✓ 1 – 2 … é 写 x")
    assert printed(stream) == b"+ 1 - 2 ... \\xe9 \\u5199 x\n"


def test_a_file_s_name_comes_out_as_it_went_in(monkeypatch):
    """Bytes that the locale cannot read are kept as lone surrogates; a shell can use what was printed."""
    stream = ascii_output(monkeypatch)
    print("b\udcc3\udcbccher", "é")
    assert printed(stream) == b"b\xc3\xbccher \\xe9\n"


def test_figures_need_no_backend_of_a_notebook(monkeypatch):
    """colabtools#5148, kohya_ss#2521; also in processes started from here."""
    ascii_output(monkeypatch)
    assert os.environ["MPLBACKEND"] == "Agg"


def test_a_command_in_a_notebook_s_shell_with_an_ascii_locale(tmp_path):
    """All at once, from the start of the interpreter: an accent in a path, a backend that is not installed."""
    (tmp_path / "été").mkdir()
    surroundings = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "LC_ALL": "C", "PYTHONUTF8": "0"}
    surroundings |= {"PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    words = [*UNSCORED, "total_kimg=0.032", 'run_dir="été/run=1"', "callbacks.health=null"]
    done = subprocess.run(
        [sys.executable, "-m", "gan_lab.train", *words],
        cwd=tmp_path,
        env=os.environ | surroundings | {"PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "curves        été/run=1/curves.png\n".encode() in done.stdout
    for name in ("curves.png", "pictures/latest.png", "config.yaml", "train.log"):
        assert (tmp_path / "été" / "run=1" / name).is_file(), name
    assert b"UnicodeEncodeError" not in done.stderr


def test_a_name_that_the_locale_does_not_have():
    """Of a recipe, say: what was typed is kept as it was."""
    said = message(UnicodeEncodeError("ascii", "été", 0, 1, "ordinal not in range(128)"))
    assert said == "this locale has no characters for 'été'; set PYTHONUTF8=1, or LC_ALL=C.UTF-8"


def a_run(folder: Path, *, pictures: bool = True, curves: bool = True, best: bool = False) -> Path:
    """A run's folder as it stands when it has ended."""
    files = ["metrics.csv", "checkpoints/000000000032.ckpt", "checkpoints/000000000064.ckpt"]
    files += ["pictures/latest.png"] * pictures + ["curves.png"] * curves + ["checkpoints/best.ckpt"] * best
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def lines_of(folder: Path) -> list[str]:
    return closing_lines(folder, images_seen=64, seconds=3.4, reason="total_kimg reached")


def test_closing_lines_name_what_is_there(tmp_path):
    run = a_run(tmp_path / "run")
    expected = ["", "0.1 kimg in 3 s (total_kimg reached)"]
    expected += [f"picture grid  {run}/pictures/latest.png", f"curves        {run}/curves.png"]
    expected += [f"metrics       {run}/metrics.csv", f"checkpoint    {run}/checkpoints/000000000064.ckpt"]
    assert lines_of(run) == expected
    without = lines_of(a_run(tmp_path / "other", pictures=False, curves=False, best=True))
    assert without[2:] == [
        f"metrics     {tmp_path}/other/metrics.csv",
        f"checkpoint  {tmp_path}/other/checkpoints/best.ckpt",
    ]


def test_closing_lines_have_the_scores_without_their_parts(tmp_path):
    run = a_run(tmp_path / "run")
    scores = {"fd": 0.123456, "fd_std": 0.1, "fd_part": 0.2}
    append_line(run / "scores.jsonl", {"images_seen": 64, "scores": scores, "protocols": {"fd": "abc"}})
    assert [line for line in lines_of(run) if "fd" in line] == ["score         fd = 0.1235  (protocol abc)"]


def test_closing_lines_are_whole_however_long(tmp_path, here):
    """rich#3270: where stdout is no terminal, rich cut what is beyond 80 columns with an ellipsis."""
    long = "/".join(["a_folder_with_a_long_name"] * 5)
    done = here(
        "train", *UNSCORED, "total_kimg=0.032", f"run_dir={long}", "callbacks.health=null", "callbacks.curves=null"
    )
    assert done.code == 0, done.output
    assert f"metrics       {long}/metrics.csv\n" in done.output
    assert "…" not in done.output
    assert "curves.png" not in done.output


def test_tables_are_whole_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table("path", "value", box=None)
    table.add_row("x" * 200, "[not markup]")
    terminal.wide_console().print(table)
    assert "x" * 200 + "  [not markup]" in capsys.readouterr().out.replace(" " * 3, "  ")


def test_the_title_of_scores_is_one_line(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    path = "runs/" + "long_name/" * 20
    print_scores(path, Scores({"fd": 1.5}, {"fd": "abc"}, {}, "fd", False, 1.0))
    assert path in capsys.readouterr().out.splitlines()
