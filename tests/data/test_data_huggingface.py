"""Data sets of the library `datasets`, made here, without the hub."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from generated_data import write_image_folder, write_saved_table
from omegaconf import OmegaConf

from gan_lab.data.huggingface import HuggingFace

datasets = pytest.importorskip("datasets", reason="the extra huggingface is not installed")
CONF = Path(__file__).parents[2] / "conf" / "data"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def build(path, tmp_path, **changes):
    config = OmegaConf.create(
        {
            "seed": 0,
            "paths": {"cache_dir": str(tmp_path / "cache")},
            "data": OmegaConf.load(CONF / "huggingface.yaml"),
        }
    )
    OmegaConf.update(config, "data", {"path": str(path), "image_size": 20, "workers": 0, **changes})
    arguments = OmegaConf.to_container(config.data, resolve=True)
    arguments.pop("defaults")
    assert arguments.pop("_target_") == "gan_lab.data.huggingface.HuggingFace"
    return HuggingFace(**arguments)


def test_a_saved_table_keeps_pixels_order_and_names_of_classes(tmp_path):
    pixels = write_saved_table(tmp_path / "saved")
    data = build(tmp_path / "saved", tmp_path, label_column="kind", batch_size=4)
    data.prepare_data()
    data.setup()
    train = data.reference("train")
    assert np.array_equal(train.images, pixels.transpose(0, 3, 1, 2))
    assert train.labels.tolist() == [number % 3 for number in range(24)]
    assert (data.class_names, data.num_classes) == (("a", "b", "c"), 3)
    assert data.take(4)["real"].shape == (4, 3, 20, 20)


def test_other_columns_and_splits_are_other_decoded_copies(tmp_path):
    write_saved_table(tmp_path / "saved")
    numbered = build(tmp_path / "saved", tmp_path, label_column="number").reference("train")
    assert numbered.class_names == ("0", "1", "2", "3")
    assert numbered.labels.tolist() == [number % 4 for number in range(24)]
    assert build(tmp_path / "saved", tmp_path).reference("train").labels is None
    assert len(build(tmp_path / "saved", tmp_path, split="test").reference("train")) == 4
    assert build(tmp_path / "saved", tmp_path, label_column="kind").reference("train").class_names == ("a", "b", "c")


def test_a_later_start_finds_the_decoded_copy(tmp_path, monkeypatch):
    write_saved_table(tmp_path / "saved")
    first = build(tmp_path / "saved", tmp_path).reference("train").digest
    monkeypatch.setattr("gan_lab.data.decoded.decode_all", None)
    assert build(tmp_path / "saved", tmp_path).reference("train").digest == first


def test_folders_of_parquet_and_of_images(tmp_path):
    pixels = write_saved_table(tmp_path / "saved")
    (tmp_path / "parquet").mkdir()
    datasets.load_from_disk(str(tmp_path / "saved"))["train"].to_parquet(str(tmp_path / "parquet" / "train.parquet"))
    data = build(tmp_path / "parquet", tmp_path, label_column="kind", split="train[:10]")
    assert np.array_equal(data.reference("train").images, pixels[:10].transpose(0, 3, 1, 2))
    assert data.class_names == ("a", "b", "c")
    write_image_folder(tmp_path / "pictures", classes=("cat", "dog"), size=(20, 20))
    pictures = build(tmp_path / "pictures", tmp_path, label_column="label").reference("train")
    assert pictures.class_names == ("cat", "dog")
    assert pictures.labels.tolist() == [0] * 6 + [1] * 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "night"}, "data.split=night cannot be loaded"),
        ({"image_column": "text"}, "'text' is no column of images; there are: image (Image), kind (ClassLabel)"),
        (
            {"label_column": "text"},
            "data.label_column=text must hold whole numbers from 0 on; there are: image (Image)",
        ),
        ({"label_column": "absent"}, "data.label_column=absent must hold whole numbers from 0 on"),
        ({"path": "nobody/nothing"}, "data.path=nobody/nothing data.split=train cannot be loaded"),
    ],
)
def test_what_cannot_be_is_said_with_what_there_is(changes, message, tmp_path):
    write_saved_table(tmp_path / "saved")
    with pytest.raises(ValueError) as raised:
        build(**{"path": tmp_path / "saved", "tmp_path": tmp_path} | changes).reference("train")
    assert message in str(raised.value)


def test_a_table_saved_alone_has_no_other_split(tmp_path):
    write_saved_table(tmp_path / "saved")
    datasets.load_from_disk(str(tmp_path / "saved"))["train"].save_to_disk(str(tmp_path / "alone"))
    assert len(build(tmp_path / "alone", tmp_path).reference("train")) == 24
    with pytest.raises(ValueError, match="saved as one split"):
        build(tmp_path / "alone", tmp_path, split="train[:4]").reference("train")


def test_without_the_extra_its_name_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install .*\[huggingface\]"):
        build(tmp_path, tmp_path).reference("train")


def test_another_file_as_old_and_as_long_is_another_table(tmp_path):
    """Kind A: the library goes by path, size and time, and gave the images of the file that was there before."""
    saved = tmp_path / "saved"
    write_saved_table(saved)
    table = datasets.load_from_disk(str(saved))["train"].select_columns(["image"])
    (tmp_path / "parquet").mkdir()
    file = tmp_path / "parquet" / "train.parquet"
    digests, lengths = set(), set()
    for rows in (range(12), reversed(range(12))):
        table.select(rows).to_parquet(str(file))
        os.utime(file, ns=(10**18, 10**18))
        lengths.add(file.stat().st_size)
        digests.add(build(tmp_path / "parquet", tmp_path).reference("train").digest)
    assert (len(lengths), len(digests)) == (1, 2)
