"""Kind C: records that a crash or a person has left in any state are read, repaired or named; nothing is lost."""

import csv
import json
import logging

import pytest

from gan_lab.evaluation.scores import Scores, append_scores
from gan_lab.runs.records import (
    append_line,
    append_row,
    cut_rows,
    cut_scores,
    damaged_lines,
    read_json,
    read_rows,
    read_scores,
    replace_text,
)

ROWS = [("256", "1.5"), ("512", "0.25"), ("768", "-3e-05")]
SAVED = {
    "with a byte order mark": b"\xef\xbb\xbfimages_seen,loss/d\r\n256,1.5\r\n512,0.25\r\n768,-3e-05\r\n",
    "with decimals": b"images_seen,loss/d\r\n256.0,1.5\r\n512.0,0.25\r\n768.0,-3e-05\r\n",
    "on Linux": b"images_seen,loss/d\n256,1.5\n512,0.25\n768,-3e-05\n",
    "in a Romance country": b"\xef\xbb\xbfimages_seen;loss/d\r\n256;1,5\r\n512;0,25\r\n768;-3e-05\r\n",
    "with tabs": b"images_seen\tloss/d\r\n256\t1.5\r\n512\t0.25\r\n768\t-3e-05\r\n",
    "with columns sorted": b"loss/d,images_seen\r\n1.5,256\r\n0.25,512\r\n-3e-05,768\r\n",
    "with quotes and blank lines": (
        b'"images_seen","loss/d"\r\n\r\n"256","1.5"\r\n,\r\n"512","0.25"\r\n"768","-3e-05"\r\n,\r\n'
    ),
}


def scored(images, value=1.0):
    return {
        "images_seen": images,
        "scores": {"fd9": value},
        "protocols": {"fd9": "p"},
        "monitored": "fd9",
        "higher_is_better": False,
    }


def text_of(*lines):
    return "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)


@pytest.mark.parametrize("content", SAVED.values(), ids=SAVED)
def test_a_metrics_file_that_a_spreadsheet_has_saved(content, tmp_path):
    """It ended the next resume with KeyError: 'images_seen' (yolact#710)."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    assert [(row["images_seen"], row["loss/d"]) for row in read_rows(path)] == ROWS
    cut_rows(path, 512)
    assert [(row["images_seen"], row["loss/d"]) for row in read_rows(path)] == ROWS[:2]
    assert not path.read_bytes().startswith(b"\xef")
    assert list(tmp_path.iterdir()) == [path], "nothing was damaged"


@pytest.mark.parametrize("content", SAVED.values(), ids=SAVED)
def test_rows_are_added_to_a_file_that_was_saved_meanwhile(content, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    append_row(path, {"images_seen": 1024, "loss/d": 7.0})
    assert [(row["images_seen"], row["loss/d"]) for row in read_rows(path)] == [*ROWS, ("1024", "7.0")]
    with path.open(newline="") as file:
        assert len([row["images_seen"] for row in csv.DictReader(file)]) == 4, "for other programs, too"


def test_a_row_that_could_not_be_written_whole_gives_way(tmp_path):
    path = tmp_path / "metrics.csv"
    append_row(path, {"images_seen": 64, "a": 1.0})
    with path.open("ab") as file:
        file.write(b"128,2.")
    append_row(path, {"images_seen": 128, "a": 2.5})
    assert [(row["images_seen"], row["a"]) for row in read_rows(path)] == [("64", "1.0"), ("128", "2.5")]


@pytest.mark.parametrize("row", ["abc,1.0\r\n", "\0\0\0\0,\r\n", ",3.0\r\n"])
def test_of_rows_that_say_nothing_a_copy_is_kept(row, tmp_path, caplog):
    path = tmp_path / "metrics.csv"
    text = f"images_seen,a\r\n64,1.0\r\n{row}128,2.0\r\n"
    path.write_bytes(text.encode())
    cut_rows(path, 128)
    assert [row["images_seen"] for row in read_rows(path)] == ["64", "128"]
    assert (tmp_path / "metrics.csv.damaged").read_bytes() == text.encode()
    assert "metrics.csv is damaged (1 of its rows have no number of images_seen)" in caplog.text


@pytest.mark.parametrize("content", [b"\xff\xfe\x00i\x00m", b"loss/d\r\n1.0\r\n"], ids=["UTF-16", "no column"])
def test_a_file_that_is_no_metrics_is_kept_under_another_name(content, tmp_path, caplog):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"images_seen|utf-8"):
        read_rows(path)
    cut_rows(path, 128)
    assert not path.exists()
    assert (tmp_path / "metrics.csv.damaged").read_bytes() == content
    assert "it is kept as metrics.csv.damaged" in caplog.text


def test_a_blank_line_costs_no_score(tmp_path):
    """All scores after it were dropped at the next resume (yolact#710)."""
    path = tmp_path / "scores.jsonl"
    path.write_text("\ufeff" + text_of(scored(64), "\n", "  \r\n", scored(128), "\n"), encoding="utf-8")
    assert [line["images_seen"] for line in read_scores(path)] == [64, 128]
    assert damaged_lines(path) == []
    cut_scores(path, 1000)
    assert path.read_text() == text_of(scored(64), scored(128))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "line", ['{"images_seen": 96,\n', "[1]\n", "\0\0\0\n", '{"scores": {}}\n', '{"images_seen": 96}\n']
)
def test_a_damaged_line_in_the_middle_is_kept_aside_and_costs_no_other(line, tmp_path, caplog):
    path = tmp_path / "scores.jsonl"
    text = text_of(scored(64), line, scored(128), scored(192))
    path.write_text(text)
    cut_scores(path, 128)
    assert [line["images_seen"] for line in read_scores(path)] == [64, 128]
    assert (tmp_path / "scores.jsonl.damaged").read_text() == text
    assert "scores.jsonl is damaged (line 2)" in caplog.text
    cut_scores(path, 64)
    path.write_text(text)
    cut_scores(path, 192)
    assert (tmp_path / "scores.jsonl.damaged-2").read_text() == text, "no copy replaces another"


def test_the_number_of_a_damaged_line(tmp_path):
    path = tmp_path / "scores.jsonl"
    path.write_text(text_of(scored(64), "\n", "{broken\n", scored(128), "{cut sho"))
    assert damaged_lines(path) == [3]


def test_a_last_line_without_an_end_is_whole_where_it_can_be_read(tmp_path):
    """An editor that ends no last line."""
    path = tmp_path / "scores.jsonl"
    path.write_text(text_of(scored(64), scored(128))[:-1])
    append_line(path, scored(192))
    assert [line["images_seen"] for line in read_scores(path)] == [64, 128, 192]


@pytest.mark.parametrize("content", ["", "\0\0\0\0", "[]", "{"], ids=["empty", "zeros", "list", "cut"])
def test_protocols_that_a_crash_has_damaged_do_not_end_an_evaluation(content, tmp_path, caplog):
    """An empty file after a crash was not named (iblrig#325)."""
    (tmp_path / "protocols.json").write_text(content)
    append_scores(tmp_path, 64, Scores({"fd9": 1.0}, {"fd9": "p"}, {"p": {"seed": 0}}, "fd9", False, 1.5))
    assert json.loads((tmp_path / "protocols.json").read_text()) == {"p": {"seed": 0}}
    assert (tmp_path / "protocols.json.damaged").read_text() == content
    assert "protocols.json is damaged" in caplog.text
    assert len(read_scores(tmp_path / "scores.jsonl")) == 1


def test_files_are_utf8_whatever_the_locale(tmp_path, monkeypatch):
    """'ascii' codec can't encode character (gphotos-sync#189)."""
    monkeypatch.setattr("locale.getencoding", lambda: "ascii", raising=False)
    replace_text(tmp_path / "run.json", json.dumps({"name": "Größe"}, ensure_ascii=False))
    assert (tmp_path / "run.json").read_bytes() == '{"name": "Größe"}'.encode()
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf" + '{"name": "Größe"}'.encode())
    assert read_json(tmp_path / "bom.json") == {"name": "Größe"}


def test_a_file_that_cannot_be_replaced_is_untouched(tmp_path, monkeypatch):
    (tmp_path / "run.json").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_text(tmp_path / "run.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert (tmp_path / "run.json").read_text() == "old"


@pytest.fixture(autouse=True)
def heard(caplog):
    caplog.set_level(logging.INFO, logger="gan_lab")
