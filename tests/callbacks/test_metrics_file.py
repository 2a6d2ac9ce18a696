"""metrics.csv: grows by columns, is cut at a checkpoint, and holds the means of what was recorded."""

import pytest
from tiny import fit, fix_latents, settings

from gan_lab.callbacks.metrics import MetricsFile
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.runs.records import CLOCK, append_row, cut_rows, read_rows


def test_rows_are_appended(tmp_path):
    path = tmp_path / "metrics.csv"
    append_row(path, {"images_seen": 64, "b": 1.5, "a": 2.0})
    append_row(path, {"a": 4.0, "b": 3.0, "images_seen": 128})
    assert path.read_text().splitlines() == ["images_seen,a,b", "64,2.0,1.5", "128,4.0,3.0"]


def test_a_new_column_is_empty_in_the_rows_before(tmp_path):
    path = tmp_path / "metrics.csv"
    append_row(path, {"images_seen": 64, "b": 1.5})
    append_row(path, {"images_seen": 128, "a": 2.0, "c": 9.0})
    append_row(path, {"images_seen": 192, "b": 0.5})
    assert path.read_text().splitlines() == ["images_seen,b,a,c", "64,1.5,,", "128,,2.0,9.0", "192,0.5,,"]
    assert read_rows(path)[0] == {"images_seen": "64", "b": "1.5", "a": "", "c": ""}


def test_rows_past_the_checkpoint_are_cut(tmp_path):
    path = tmp_path / "metrics.csv"
    for images in (64, 128, 192):
        append_row(path, {"images_seen": images, "a": images / 2})
    whole = path.read_text()
    cut_rows(path, 192)
    assert path.read_text() == whole
    cut_rows(path, 130)
    assert [row["images_seen"] for row in read_rows(path)] == ["64", "128"]
    append_row(path, {"images_seen": 192, "a": 96.0})
    assert path.read_text() == whole
    cut_rows(path, 0)
    assert not path.exists()
    cut_rows(path, 0)


def test_a_column_that_only_cut_rows_had_goes_with_them(tmp_path):
    """Else the file would differ from the unbroken run's."""
    path = tmp_path / "metrics.csv"
    append_row(path, {"images_seen": 64, "a": 1.0})
    before = path.read_text()
    append_row(path, {"images_seen": 128, "late": 2.0})
    cut_rows(path, 64)
    assert path.read_text() == before


@pytest.mark.parametrize("rest", ["1", "12", "128", "128,", "128,3."])
def test_a_last_row_cut_short_is_dropped(rest, tmp_path):
    """By a crash in the middle of writing: without an end of the line nobody knows how it would have gone on."""
    path = tmp_path / "metrics.csv"
    append_row(path, {"images_seen": 64, "a": 1.0})
    before = path.read_text()
    path.write_text(before + rest)
    assert [row["images_seen"] for row in read_rows(path)] == ["64"]
    cut_rows(path, 1000)
    assert path.read_text() == before


def test_rows_are_means_and_clocks(tmp_path):
    module = HingeGAN(**settings(d_lr=0.0, g_lr=0.5))
    fix_latents(module)
    fit(module, images=8, callbacks=[MetricsFile(every_kimg=0.004)], folder=tmp_path)
    rows = read_rows(tmp_path / "metrics.csv")
    assert [row["images_seen"] for row in rows] == ["4", "8"]
    assert float(rows[0]["loss/d"]) == pytest.approx((4 + 6) / 2), "fakes move to D = 7 + 4 in the second step"
    assert float(rows[0]["lr/generator"]) == 0.5
    assert float(rows[0]["logits/real"]) == 3.5
    for name in (f"{CLOCK}images_per_s", f"{CLOCK}hours"):
        assert float(rows[1][name]) > 0
    assert float(rows[1][f"{CLOCK}hours"]) > float(rows[0][f"{CLOCK}hours"])


def test_the_end_gives_a_row_of_its_own(tmp_path):
    fit(HingeGAN(**settings()), images=10, callbacks=[MetricsFile(every_kimg=0.004)], folder=tmp_path)
    assert [row["images_seen"] for row in read_rows(tmp_path / "metrics.csv")] == ["4", "8", "10"]
