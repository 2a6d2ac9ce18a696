"""Classes by a table that a person names: data.labels and data.class_column."""

import numpy as np
import pytest
from folders import folder
from generated_data import write_image_folder, write_image_zip

from gan_lab.data.labelling import by_table

NAMES = ["a/1.png", "a/2.png", "b/3.png"]


def table(*lines: str) -> bytes:
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    "content",
    [
        table("file,kind", "a/1.png,cat", "a/2.png,dog", "b/3.png,cat"),
        table("file,kind", "3.png,cat", "2.png,dog", "1.png,cat", "4.png,dog"),
        table("kind;file", "cat;1", "dog;2", "cat;3"),
        table("\ufefffile\tkind", "1\tcat", "2\tdog", "3\tcat", ""),
    ],
)
def test_files_by_path_name_or_stem(content):
    found = by_table(content, NAMES, None, "t.csv")
    assert found.names == ["cat", "dog"]
    assert found.labels == [0, 1, 0]
    assert found.reason == "2 classes by kind of t.csv"


def test_a_class_without_pictures_here_keeps_its_number():
    """So that test images by the same table have the classes of those trained on."""
    content = table("split,stem,kind", "train,1,bird", "train,2,dog", "train,3,bird", "test,9,cat")
    found = by_table(content, NAMES, "kind", "t.csv")
    assert (found.names, found.labels) == (["bird", "cat", "dog"], [0, 2, 0])


@pytest.mark.parametrize(
    ("content", "column", "said"),
    [
        (table("f,k", "1,a", "2,a"), None, r"t\.csv has no row for 1 file: b/3\.png"),
        (table("f,k,m", "1,a,b", "2,a,b", "3,a,b"), None, r"class_column=None is none of the columns of t\.csv: k, m"),
        (table("f,k", "1,a", "2,a", "3,a"), "kind", r"class_column=kind is none of the columns of t\.csv: k"),
        (table("f,k", "x,a"), None, r"no column of t\.csv \(f, k\) names the files, such as a/1\.png"),
        (table("f,k", "1,a", "2", "3,a"), None, r"t\.csv, line 3: 1 columns, where the header has 2"),
        (b"", None, "no table of files and classes"),
        (b"\xff\xfe\x00", None, "no table of files and classes"),
    ],
)
def test_tables_that_do_not_do(content, column, said):
    with pytest.raises(ValueError, match=said):
        by_table(content, NAMES, column, "t.csv")


def test_a_name_that_is_there_twice_needs_its_folder():
    with pytest.raises(ValueError, match=r"without their folders, and there are several called 1\.png"):
        by_table(table("f,k", "1.png,a"), ["a/1.png", "b/1.png"], None, "t.csv")


def test_training_takes_it_from_a_zip_and_notices_another(tmp_path):
    write_image_folder(tmp_path / "set", count=3)
    (tmp_path / "set" / "labels.csv").write_text("file,kind\n000.png,cat\n001.png,dog\n002.png,cat\n")
    packed = write_image_zip(tmp_path / "set.zip", tmp_path / "set")
    for place in (tmp_path / "set", packed):
        data = folder(place, tmp_path, labels=str(place / "labels.csv"))
        assert np.array_equal(data.reference("train").labels, [0, 1, 0])
        assert data.class_names == ("cat", "dog")
    first, trusted_by = data.identity(), data.labelling()
    (tmp_path / "set" / "labels.csv").write_text("file,kind\n000.png,dog\n001.png,dog\n002.png,cat\n")
    data = folder(tmp_path / "set", tmp_path, labels=str(tmp_path / "set" / "labels.csv"))
    assert np.array_equal(data.reference("train").labels, [1, 1, 0])
    assert data.identity() != first
    assert data.labelling() != trusted_by, "a decoded copy at a known place is not taken with other classes"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"class_column": "kind"}, "data.class_column=kind is of a table"),
        ({"labels": "t.csv", "num_classes": 0}, "give one"),
        ({"labels": "nowhere.csv"}, r"data\.labels=\S+nowhere\.csv does not exist: give a file"),
    ],
)
def test_what_contradicts_is_refused(settings, said, tmp_path):
    write_image_folder(tmp_path / "set", count=2)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        folder(tmp_path / "set", tmp_path, **settings).prepare_data()
