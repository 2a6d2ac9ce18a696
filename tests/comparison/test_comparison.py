"""Runs compared: what is one row, what is in it, what is refused, and what is said about it."""

import csv
import io
import json
import math
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, SMALL
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from gan_lab import compare
from gan_lab.comparison import curves, rows, tables
from gan_lab.comparison.curves import spread
from gan_lab.comparison.rows import summary, unlike
from gan_lab.config import register
from gan_lab.evaluation.scores import Scores, append_scores
from gan_lab.runs import reading
from gan_lab.runs.reading import device_count
from gan_lab.runs.records import append_row
from gan_lab.runs.settings import flat, plain
from gan_lab.runs.status import update_status

T2 = 4.302652729749464  # 97.5 % point of Student's t with 2 degrees of freedom, from a printed table
FD, IS = "fd_digitnet2k", "is_digitnet2k"


@cache
def composed(*overrides: str) -> str:
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        return OmegaConf.to_yaml(OmegaConf.create(plain(compose("train", list(overrides)))))


def write_run(
    folder: Path,
    *overrides: str,
    scores: tuple[float, ...] = (3.0, 2.0),
    reached: float | None = 100,
    protocol: str = "aaaa",
    monitored: tuple[str, bool] = (FD, False),
    kid_protocol: str = "kkkk",
    images_per_s: float = 400,
    hours: float = 0.5,
) -> Path:
    """A run of 100 kimg in the format that training writes, evaluated at equal distances."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(composed(*overrides))
    end = {} if reached is None else {"finished_kimg": reached, "reason": "total_kimg=100 is reached", "best": 2.0}
    (folder / "run.json").write_text(json.dumps({"id": "0123abcd"} | end))
    name, higher = monitored
    for i, value in enumerate(scores, 1):
        part = i / len(scores)
        clock = {"clock/hours": hours * part, "clock/images_per_s": images_per_s}
        append_row(folder / "metrics.csv", {"images_seen": round(100_000 * part), "loss/d": 1.0, **clock})
        values = {name: value, f"{name}_std": 0.5, "kid_digitnet2k": value / 10}
        hashes = {name: protocol, f"{name}_std": protocol, "kid_digitnet2k": kid_protocol}
        count = {"aaaa": 2000, "bbbb": 5000}.get(protocol, 1)
        records = {protocol: {"metric": name[:2], "fakes": {"count": count, "seed": 0}}}
        records |= {kid_protocol: {"metric": "kid", "parameters": {"subsets": len(kid_protocol)}}}
        append_scores(folder, round(100_000 * part), Scores(values, hashes, records, name, higher, 1.5))
    return folder


def write_sweep(folder: Path) -> None:
    """Two learning rates of G with three seeds each: 1, 2, 3 at the end, and 5, 5, 8."""
    for rate, ends in (("0.001", (5, 5, 8)), ("0.0005", (1, 2, 3))):
        for seed, end in enumerate(ends):
            overrides = (f"model.optimizers.generator.lr={rate}", f"seed={seed}")
            write_run(folder / rate / f"seed{seed}", *overrides, scores=(30, end - 0.5, end), hours=0.5 + seed)


def table(capsys, *words: Any, code: int = 0) -> tuple[list[dict[str, str]], str]:
    """The rows of the CSV table, and what was said on standard error."""
    assert compare.run(compare.parse([*map(str, words), "--csv", "-"])) == code
    out, err = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(out))), err


# one row ---------------------------------------------------------------------------------------------------------


def test_interval_of_three_seeds():
    assert summary([1.0, 2.0, 3.0]) == (2.0, pytest.approx(T2 / math.sqrt(3), rel=1e-9), 3)


def test_a_single_seed_has_no_interval():
    assert summary([5.0]) == (5.0, None, 1)


def test_a_row_per_configuration_with_the_keys_that_differ(capsys, tmp_path):
    write_sweep(tmp_path)
    rows, said = table(capsys, tmp_path)
    assert said == ""
    key = "model.optimizers.generator.lr"
    assert [(row["rank"], row[key], row["seeds"], row["unfinished"]) for row in rows] == [
        ("1", "0.0005", "3", "0"),
        ("2", "0.001", "3", "0"),
    ]
    assert [float(row[FD]) for row in rows] == [2.0, 6.0]
    half_widths = [float(row[f"{FD}/ci95"]) for row in rows]
    assert half_widths == pytest.approx([T2 / math.sqrt(3), T2], rel=1e-9)  # the deviations are 1 and sqrt(3)
    assert [float(row["kid_digitnet2k"]) for row in rows] == pytest.approx([0.2, 0.6])
    assert [float(row[f"{FD}/best"]) for row in rows] == [0.5, 4.5]
    assert [float(row["images_per_s"]) for row in rows] == [400.0, 400.0]
    assert [float(row["device_hours"]) for row in rows] == [1.5, 1.5]
    known = {"rank", key, "seeds", "unfinished", "at", "kimg", "images_per_s", "device_hours", "runs"}
    assert all(name in known or name.startswith((FD, "kid_digitnet2k")) for name in rows[0])
    assert not any("_std" in name for name in rows[0])


def test_best_takes_all_scores_from_the_best_evaluation(capsys, tmp_path):
    write_run(tmp_path / "a", "seed=0", scores=(9, 4, 6))
    write_run(tmp_path / "b", "seed=1", scores=(2, 8, 8, 8))
    [row], _ = table(capsys, tmp_path, "--at", "best")
    assert (float(row[FD]), float(row["kid_digitnet2k"]), row["at"]) == (3.0, pytest.approx(0.3), "best")
    assert float(row["kimg"]) == pytest.approx((200 / 3 + 25) / 2, abs=1e-3)
    [row], _ = table(capsys, tmp_path)
    assert (float(row[FD]), float(row["kimg"]), float(row[f"{FD}/best"])) == (7.0, 100.0, 2.0)


def test_higher_is_better_turns_the_ranking(capsys, tmp_path):
    for name, scores in (("model=lsgan", (9, 4)), ("model=dcgan", (1, 5))):
        write_run(tmp_path / name, name, scores=scores, monitored=(IS, True))
    rows, _ = table(capsys, tmp_path)
    assert [row["model._target_"] for row in rows] == ["gan_lab.models.dcgan.DCGAN", "gan_lab.models.lsgan.LSGAN"]
    assert [float(row[f"{IS}/best"]) for row in rows] == [5.0, 9.0]


@pytest.mark.parametrize(("name", "first"), [(FD, "dcgan.DCGAN"), (IS, "lsgan.LSGAN")])
def test_scores_written_before_they_had_a_direction(capsys, tmp_path, name, first):
    for model, scores in (("model=lsgan", (9, 4)), ("model=dcgan", (1, 3))):
        path = write_run(tmp_path / model, model, scores=scores, monitored=(name, name == IS)) / "scores.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            del line["higher_is_better"]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows, _ = table(capsys, tmp_path)
    assert rows[0]["model._target_"].endswith(first)


def test_what_changes_no_result_makes_no_row_and_no_column(capsys, tmp_path):
    write_run(tmp_path / "a", "seed=0")
    others = ["threads=2", "logger=tensorboard", "run_dir=elsewhere", "paths.data_dir=there", "wandb.group=mine"]
    others += ["trainer=cpu", "trainer.devices=4", "data.workers=0", "overwrite=true", "callbacks.pictures.rows=2"]
    write_run(tmp_path / "b", "seed=1", *others)
    [row], _ = table(capsys, tmp_path)
    assert row["seeds"] == "2"
    assert list(row)[:3] == ["rank", "seeds", "unfinished"]


def test_another_length_is_another_configuration(capsys, tmp_path):
    write_run(tmp_path / "a", "total_kimg=100")
    write_run(tmp_path / "b", "total_kimg=50", "stop.patience_kimg=20")
    rows, _ = table(capsys, tmp_path)
    assert {(row["total_kimg"], row["stop.patience_kimg"]) for row in rows} == {("100.0", "null"), ("50.0", "20.0")}


def test_keys_with_equal_values_share_a_column(capsys, tmp_path):
    write_run(tmp_path / "a", "data.batch_size=32")
    write_run(tmp_path / "b", "data.batch_size=64")
    rows, _ = table(capsys, tmp_path)
    keys = [name for name in rows[0] if "batch_size" in name]
    assert keys == ["data.batch_size"]
    compare.run(compare.parse([str(tmp_path)]))
    said = " ".join(capsys.readouterr().out.split())
    assert "data.batch_size stands for model.batch_size, model.generator_batch_size too" in said


def test_flat():
    nested = {"a": {"b": 1, "none": {}}, "c": [1, 2], "d": [{"e": 3}, {"e": 4}], "f": [], "g": None}
    assert dict(flat(nested)) == {"a.b": 1, "c": [1, 2], "d.0.e": 3, "d.1.e": 4, "g": None}


def test_a_seed_counts_once(capsys, tmp_path):
    first = write_run(tmp_path / "a", "seed=0", scores=(2,))
    again = write_run(tmp_path / "b", "seed=0", "threads=3", scores=(4,))
    write_run(tmp_path / "seed0.2026-01-31_12-00-00", "seed=3", scores=(4,))
    [row], said = table(capsys, tmp_path)
    assert (row["seeds"], float(row[FD])) == ("1", 2.0)
    assert f"Warning: {again} is left out: {first} has the same settings and seed" in said
    [row], said = table(capsys, tmp_path / "a", tmp_path, tmp_path / "seed0.2026-01-31_12-00-00")
    assert (row["seeds"], float(row[FD])) == ("2", 3.0), "named by itself, a run that was moved aside counts"


@pytest.mark.parametrize(
    ("trainer", "count"),
    [
        ({"devices": 1}, 1),
        ({"devices": 2, "num_nodes": 3}, 6),
        ({"devices": [0, 2]}, 2),
        ({"devices": "4"}, 4),
        ({"devices": "0,3"}, 2),
        ({"devices": "auto"}, None),
        ({"devices": -1}, None),
        ({}, None),
        ({"devices": "auto", "accelerator": "cpu", "num_nodes": 2}, 2),
    ],
)
def test_device_count(trainer, count):
    assert device_count(trainer) == count


def test_hours_times_devices(capsys, tmp_path):
    write_run(tmp_path / "a", "trainer.devices=4", "++trainer.num_nodes=2", hours=0.25)
    [row], _ = table(capsys, tmp_path)
    assert float(row["device_hours"]) == 2.0
    write_run(tmp_path / "b", "trainer.devices=auto", "seed=1", hours=4)
    [row], said = table(capsys, tmp_path)
    assert float(row["device_hours"]) == 3.0
    assert f"{tmp_path / 'b'}: trainer.devices leaves their number to the machine" in said
    assert ">=3 " in tables.markdown(rows.compare([reading.read_run(tmp_path / n) for n in "ab"]))


# unfinished and damaged ------------------------------------------------------------------------------------------


def test_unfinished_runs_are_counted_and_not_averaged(capsys, tmp_path):
    write_run(tmp_path / "0", "seed=0", scores=(2,))
    write_run(tmp_path / "1", "seed=1", scores=(4,))
    write_run(tmp_path / "2", "seed=2", scores=(50,), reached=None)
    write_run(tmp_path / "3", "seed=3", scores=(50,), reached=40)  # pruned, or longer now than it once was
    write_run(tmp_path / "4", "seed=4", scores=(), reached=None)
    (tmp_path / "4" / "run.json").unlink()
    write_run(tmp_path / "other", "model=lsgan", scores=(1,), reached=None)
    rows, said = table(capsys, tmp_path)
    assert said == ""
    assert [(row["rank"], row["seeds"], row["unfinished"], row[FD]) for row in rows] == [
        ("1", "2", "3", "3.0"),
        ("", "0", "1", ""),
    ]


def test_unscored_runs_come_last(capsys, tmp_path):
    write_run(tmp_path / "a", "evaluation=none", scores=())
    write_run(tmp_path / "b", scores=(7,))
    rows, _ = table(capsys, tmp_path)
    assert [(row["rank"], row["seeds"], row[FD]) for row in rows] == [("1", "1", "7.0"), ("", "1", "")]
    [row], _ = table(capsys, tmp_path / "a")
    assert (row["rank"], row["seeds"]) == ("", "1")


def test_a_run_is_not_ranked_by_a_space_of_what_taught_it(capsys, tmp_path):
    """One in Inception's space, of judges on ImageNet's features, beside one of dcgan; in digitnet's it is ranked."""
    projected = ("model=projected_gan", "network=projected_gan", "data.image_size=64")
    write_run(tmp_path / "a", *projected, scores=(1,))
    write_run(tmp_path / "b", scores=(7,))
    rows, _ = table(capsys, tmp_path)
    assert [row["rank"] for row in rows] == ["1", "2"]
    for run in ("a", "b"):
        protocols = json.loads((tmp_path / run / "protocols.json").read_text())
        protocols["aaaa"]["extractor"] = {"extractor": "inception"}
        (tmp_path / run / "protocols.json").write_text(json.dumps(protocols))
    rows, told = table(capsys, tmp_path)
    assert [(row["rank"], row[FD]) for row in rows] == [("1", "7.0"), ("", "")]
    assert "counts as not scored: not ranked by inception, learnt on ImageNet" in told
    assert "EfficientNetLite0 of model.discriminator.features" in told


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("run.json", "{"),
        ("run.json", "[]"),
        ("scores.jsonl", '{"images_seen": 1}\n'),
        ("scores.jsonl", "garbage\n"),
        ("scores.jsonl", "5\n"),
        ("protocols.json", "{"),
        ("metrics.csv", "images_seen,clock/hours,clock/images_per_s\n1,?,2\n"),
        ("metrics.csv", "images_seen,clock/hours\n1,2\n"),
    ],
)
def test_a_damaged_file_is_named_and_its_run_unfinished(capsys, tmp_path, file, text):
    write_run(tmp_path / "0", "seed=0", scores=(2,))
    damaged = write_run(tmp_path / "1", "seed=1", scores=(4,)) / file
    damaged.write_text(text)
    [row], said = table(capsys, tmp_path)
    assert (row["seeds"], row["unfinished"], float(row[FD])) == ("1", "1", 2.0)
    assert said.count("Warning") == 1
    assert f"{damaged} is damaged (" in said


def test_a_last_line_cut_short_is_no_damage(capsys, tmp_path):
    path = write_run(tmp_path / "0", scores=(4, 2)) / "scores.jsonl"
    path.write_text(path.read_text()[:-20])
    [row], said = table(capsys, tmp_path)
    assert (row["seeds"], float(row[FD]), said) == ("1", 4.0, "")


@pytest.mark.parametrize("text", ["a: [", "just text", "a: 1", ""])
def test_a_damaged_config_is_named(capsys, tmp_path, text):
    write_run(tmp_path / "0", "seed=0")
    damaged = write_run(tmp_path / "1", "seed=1") / "config.yaml"
    damaged.write_text(text)
    [row], said = table(capsys, tmp_path)
    assert (row["seeds"], row["unfinished"]) == ("1", "0")
    assert f"{damaged} is damaged, or not of a run (" in said
    assert "this run is failed and in no row" in said


def test_a_sweep_knows_its_runs_by_their_reports(capsys, tmp_path):
    run = write_run(tmp_path / "runs" / "a", scores=(3,))
    sweep = tmp_path / "sweep"
    update_status(sweep / "0" / "report.json", state="finished", run_dir=str(run), error=None)
    update_status(sweep / "1" / "report.json", state="failed", run_dir=str(tmp_path / "no"), error="lr is wrong")
    update_status(sweep / "2.json", state="failed", error="killed by signal 9")
    (sweep / "other.json").write_text("[1]")
    [row], said = table(capsys, sweep)
    assert (row["seeds"], float(row[FD])) == ("1", 3.0)
    assert f"{sweep / '1' / 'report.json'}: this job failed before it trained: lr is wrong" in said
    assert f"{sweep / '2.json'}: this job failed before it trained: killed by signal 9" in said
    (run / "config.yaml").unlink()
    with pytest.raises(ValueError, match=r"there are no runs below .*sweep; .* failed before it trained"):
        reading.find_runs([sweep])


# protocols -------------------------------------------------------------------------------------------------------


def write_two_protocols(folder: Path) -> None:
    for seed in range(2):
        write_run(folder / f"a{seed}", f"seed={seed}", scores=(2 + seed,))
        write_run(folder / f"b{seed}", "model=lsgan", f"seed={seed}", scores=(1 + seed,), protocol="bbbb")


def test_other_protocols_are_not_ranked_together(capsys, tmp_path):
    write_two_protocols(tmp_path)
    rows, said = table(capsys, tmp_path, code=1)
    assert [row["rank"] for row in rows] == ["", ""]
    assert FD not in rows[0]
    values = {(row[f"{FD}@aaaa"], row[f"{FD}@bbbb"]) for row in rows}
    assert values == {("2.5", ""), ("", "1.5")}
    assert {(row[f"{FD}@aaaa/best"], row[f"{FD}@bbbb/best"]) for row in rows} == {("2.0", ""), ("", "1.0")}
    assert "Error: the monitored scores have 2 protocols and are not ranked against each other" in said
    assert f"{FD}, protocol aaaa: row 1\n" in said
    assert f"{FD}, protocol bbbb: row 2\n" in said
    assert "fakes.count: 2000 | 5000\n" in said
    assert "fakes.seed" not in said
    assert "--protocol aaaa" in said


def test_other_protocols_get_tables_without_ranks(capsys, tmp_path):
    write_two_protocols(tmp_path)
    assert compare.run(compare.parse([str(tmp_path)])) == 1
    out, _ = capsys.readouterr()
    assert "rank" not in out
    first, second = out.split(f"{FD}, protocol bbbb\n", 1)
    assert ("2.5" in first, "2.5" in second.split("Scores at")[0]) == (True, False)
    assert ("1.5" in first, "1.5" in second) == (False, True)


def test_a_chosen_protocol_is_ranked(capsys, tmp_path):
    write_two_protocols(tmp_path)
    [row], said = table(capsys, tmp_path, "--protocol", "bb")
    assert (row["rank"], float(row[FD]), said) == ("1", 1.5, "")


def test_seeds_of_one_configuration_with_other_protocols_are_two_rows(capsys, tmp_path):
    write_run(tmp_path / "0", "seed=0", scores=(2,))
    write_run(tmp_path / "1", "seed=1", scores=(4,), protocol="bbbb")
    write_run(tmp_path / "2", "seed=2", scores=(4,), protocol="bbbb", reached=None)
    rows, _ = table(capsys, tmp_path, code=1)
    assert [(row["seeds"], row["unfinished"]) for row in rows] == [("1", "0"), ("1", "1")]


def test_another_score_with_two_protocols_has_two_columns(capsys, tmp_path):
    write_run(tmp_path / "a", scores=(2,))
    write_run(tmp_path / "b", "model=lsgan", scores=(1,), kid_protocol="kk2")
    rows, _ = table(capsys, tmp_path)
    kids = [(row["rank"], row["kid_digitnet2k@kk2"], row["kid_digitnet2k@kkkk"]) for row in rows]
    assert kids == [("1", "0.1", ""), ("2", "", "0.2")]


def test_only_the_lines_of_the_last_protocol_count(capsys, tmp_path):
    folder = write_run(tmp_path / "a", scores=(1,), protocol="bbbb")
    append_scores(folder, 200_000, Scores({FD: 9.0}, {FD: "aaaa"}, {"aaaa": {"metric": "fd"}}, FD, False, 1.0))
    [row], _ = table(capsys, tmp_path)
    assert (float(row[FD]), float(row[f"{FD}/best"])) == (9.0, 9.0)


def test_unlike():
    protocols = [{"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 4}}]
    assert unlike(protocols) == {"b.c": [2, 4], "b.d": [3, None]}


# text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_shows_every_column_whole(capsys, tmp_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for model in ("dcgan", "wgan", "wgan_gp"):
        for seed in range(2):
            write_run(tmp_path / model / str(seed), f"model={model}", f"seed={seed}", scores=(3 + seed + len(model),))
    assert compare.run(compare.parse([str(tmp_path)])) == 0
    out, _ = capsys.readouterr()
    tables = out.split("Scores at")[0]
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    for part in ("DCGAN", "WGAN", "WGANGP", "8.5 ± 6.4", "0.85 ± 0.64", "5e-05", "[0.0, 0.9]", "400", "0.5"):
        assert part in tables
    heads = [line for line in tables.splitlines() if line.strip().startswith("rank")]
    assert len(heads) == sum(line.lstrip().startswith("1 ") for line in tables.splitlines()) > 1
    together = " ".join(out.split())
    assert "last evaluation" in together
    assert f"{FD}: lower is better, protocol aaaa" in together


def test_a_setting_in_brackets_is_no_markup(capsys, tmp_path):
    write_run(tmp_path / "a", "data=folder", "data.root='[bold]'")
    write_run(tmp_path / "b", "data=folder", "data.root='[red]'")
    compare.run(compare.parse([str(tmp_path)]))
    assert "[bold]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((1.23456, 0.04321, 3), "1.235 ± 0.043"),
        ((68.88, 123.4, 3), "69 ± 123"),
        ((0.000123, 0.0000045, 3), "0.0001230 ± 0.0000045"),
        ((5.0, None, 1), "5 ± – (n=1)"),
        ((5.0, 0.0, 3), "5 ± 0"),
        ((math.nan, math.nan, 3), "– ± –"),
    ],
)
def test_interval_text(values, text):
    assert tables.interval_text(rows.Summary(*values), 3) == text


def test_markdown(capsys, tmp_path):
    write_sweep(tmp_path / "runs")
    file = tmp_path / "table.md"
    assert compare.run(compare.parse([str(tmp_path / "runs"), "--markdown", str(file)])) == 0
    assert "2.0 ± 2.5" in capsys.readouterr().out, "the terminal's table is there as well"
    head, rule, first, second, empty, *rest = file.read_text().splitlines()
    assert head.startswith(f"| rank | {FD} | best | model.optimizers.generator.lr | seeds | unfinished | kimg |")
    assert rule.startswith("| ---: | ---: | ---: | --- | ---: |")
    assert first.startswith("| 1 | 2.0 ± 2.5 | 0.5 | 0.0005 | 3 | 0 | 100 | 0.20 ± 0.25 | 400 | 1.5 |")
    assert second.startswith("| 2 | 6.0 ± 4.3 | 4.5 | 0.001 | 3 | 0 | 100 |")
    assert empty == ""
    assert any("95 % interval over seeds" in line for line in rest)


# plot ------------------------------------------------------------------------------------------------------------


def test_spread():
    first = (np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]))
    second = (np.array([2.0, 4.0]), np.array([40.0, 80.0]))
    band = spread([first, second])
    assert band["x"].tolist() == [2.0, 3.0]
    assert band["mean"].tolist() == [30.0, 45.0]
    assert (band["low"].tolist(), band["high"].tolist()) == ([20.0, 30.0], [40.0, 60.0])


def test_spread_of_single_points():
    band = spread([(np.array([1.0]), np.array([10.0])), (np.array([2.0]), np.array([30.0]))])
    assert band.iloc[0].tolist() == [1.5, 20.0, 10.0, 30.0]


def test_curves_over_images_and_hours(tmp_path):
    run = reading.read_run(write_run(tmp_path / "a", "trainer.devices=2", scores=(8, 4), hours=3))
    images, hours = run.curve("images"), run.curve("hours")
    assert (images[0].tolist(), images[1].tolist()) == ([50.0, 100.0], [8.0, 4.0])
    assert (hours[0].tolist(), hours[1].tolist()) == ([3.0, 6.0], [8.0, 4.0])


def test_a_run_without_a_clock(capsys, tmp_path):
    folder = write_run(tmp_path / "a")
    (folder / "metrics.csv").unlink()
    assert np.isnan(reading.read_run(folder).curve("hours")[0]).all()
    [row], _ = table(capsys, folder, "--plot", tmp_path / "curves.png")
    assert (row["seeds"], row["images_per_s"], row["device_hours"]) == ("1", "", "")


def test_the_plot_is_a_picture(capsys, tmp_path):
    write_sweep(tmp_path / "runs")
    file = tmp_path / "curves.png"
    table(capsys, tmp_path / "runs", "--plot", file)
    with Image.open(file) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("PNG", (1800, 540))
        colours = {colour[:3] for _, colour in picture.convert("RGB").getcolors(1 << 24)}
        assert {(31, 119, 180), (255, 127, 14)} <= colours, "a line per row"
    write_two_protocols(tmp_path / "unlike")
    table(capsys, tmp_path / "unlike", "--plot", file, code=1)
    with Image.open(file) as picture:
        assert picture.size == (1800, 1080), "two panels per protocol"


def test_a_plot_of_many_rows_colours_the_best(capsys, tmp_path):
    for i in range(9):
        write_run(tmp_path / str(i), f"model.ema_half_life_kimg={i + 1}", scores=(9, i + 1))
    runs = [reading.read_run(tmp_path / str(i)) for i in range(9)]
    file = tmp_path / "curves.png"
    curves.draw(rows.compare(runs), file)
    with Image.open(file) as picture:
        colours = {colour[:3] for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert (227, 119, 194) in colours, "the seventh"
    assert (188, 189, 34) not in colours, "the ninth colour"


# the command -----------------------------------------------------------------------------------------------------


def failure(monkeypatch, capsys, *words: Any) -> str:
    """What the command says when it fails, in one line."""
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        compare.main()
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (1, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    return err


def test_errors_are_one_line(monkeypatch, capsys, tmp_path):
    run = write_run(tmp_path / "run")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"no such folder: {tmp_path / 'none'}" in failure(monkeypatch, capsys, tmp_path / "none")
    assert f"no runs below {empty}" in failure(monkeypatch, capsys, run, empty)
    assert "this is a file" in failure(monkeypatch, capsys, run / "run.json")
    assert "no run is ranked by protocol zz; there are: aaaa" in failure(monkeypatch, capsys, run, "--protocol", "zz")
    missing = tmp_path / "missing"
    assert f"cannot write {missing}/a.csv" in failure(monkeypatch, capsys, run, "--csv", missing / "a.csv")
    assert f"cannot plot to {missing}/a.png" in failure(monkeypatch, capsys, run, "--plot", missing / "a.png")
    assert "cannot plot to" in failure(monkeypatch, capsys, run, "--plot", tmp_path / "a.gan")
    unscored = write_run(tmp_path / "unscored", scores=())
    assert "no finished run has scores" in failure(monkeypatch, capsys, unscored, "--plot", tmp_path / "a.png")
    (run / "config.yaml").write_text("a: [")
    assert f"none of the runs can be read; {run}/config.yaml is damaged" in failure(monkeypatch, capsys, run)


@pytest.mark.parametrize(
    "words", [["--at", "worst", "."], ["--colour", "."], [], [".", "--csv", "-", "--markdown", "-"]]
)
def test_a_wrong_command_line(capsys, words):
    with pytest.raises(SystemExit) as stop:
        compare.parse(words)
    assert stop.value.code == 2


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        compare.parse(["--help"])
    assert stop.value.code == 0
    assert "python -m gan_lab.compare runs --csv table.csv --plot curves.png" in capsys.readouterr().out


def test_it_starts_without_heavy_libraries():
    code = "import sys, gan_lab.compare; print(sorted({'torch', 'matplotlib', 'pytorch_lightning'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_real_runs(command, tmp_path):
    small = [*SMALL, "total_kimg=0.032", "callbacks.metrics.every_kimg=0.016", "callbacks.curves=null"]
    for seed in range(2):
        done = command("train", *small, f"seed={seed}")
        assert done.code == 0, done.output
    done = command("compare", "runs", "--csv", "table.csv", "--plot", "curves.png")
    assert done.code == 0, done.output
    [row] = csv.DictReader((tmp_path / "table.csv").open())
    lines = [json.loads(path.read_text().splitlines()[-1]) for path in tmp_path.glob("runs/*/*/*/scores.jsonl")]
    ends = [line["scores"]["fd_digitnet20"] for line in lines]
    assert float(row["fd_digitnet20"]) == pytest.approx(sum(ends) / 2, rel=1e-12)
    assert float(row["fd_digitnet20/ci95"]) == pytest.approx(12.706204736 * abs(ends[0] - ends[1]) / 2, rel=1e-9)
    assert (row["rank"], row["seeds"], row["unfinished"], float(row["kimg"])) == ("1", "2", "0", 0.032)
    assert float(row["images_per_s"]) > 0
    assert 0 < float(row["device_hours"]) < 0.1
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_the_documented_commands_parse():
    found = re.findall(r"^gan-lab-compare ([^#\n]*)", (ROOT / "docs" / "comparing.md").read_text(), re.MULTILINE)
    assert len(found) >= 3
    for words in found:
        compare.parse(words.split())
