"""Sources that are label maps: ids are read as they are, never mixed, given as planes, and named where unknown."""

import io
import logging
from typing import Any

import numpy as np
import pytest
import torch
from data.test_data_paired import folders
from generated_data import write_label_maps
from PIL import Image

from gan_lab.callbacks.pictures import beside_sources
from gan_lab.data import label_maps
from gan_lab.data.images import to_uint8
from gan_lab.data.label_maps import UNLABELLED, Labels, coloured, colours, planes_of
from gan_lab.data.paired import Paired

AS_CITYSCAPES: dict[str, Any] = {
    "source_labels": 5,
    "source_suffix": "_gtFine_labelIds",
    "target_suffix": "_leftImg8bit",
}
IDS = np.array([[0, 1, 2], [3, 1, 0]], dtype=np.uint8)


def started(root, **changes: Any) -> Paired:
    data = folders(root, root, **AS_CITYSCAPES | changes)
    data.prepare_data()
    data.setup()
    return data


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_palette(bits: int) -> bytes:
    image = Image.fromarray(IDS, mode="P")
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    return file_of(image, bits=bits)


# Reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (file_of(Image.fromarray(IDS)), IDS),
        (file_of(Image.fromarray(IDS), "TIFF"), IDS),
        (with_palette(8), IDS),
        (with_palette(2), IDS),
        (file_of(Image.fromarray(IDS.astype(np.uint16))), IDS),
        (file_of(Image.fromarray(IDS > 0)), IDS > 0),
        (file_of(Image.fromarray(np.dstack([IDS] * 3))), IDS),
    ],
    ids=["grey", "tiff", "palette", "palette of 2 bits", "16 bits", "1 bit", "grey as colours"],
)
def test_ids_of_every_kind_of_file(content, ids):
    image, about = label_maps.opened(content, Labels(4))
    assert np.array_equal(image, ids)
    assert about.ids == dict(zip(*map(np.ndarray.tolist, np.unique(ids.astype(int), return_counts=True)), strict=True))


def test_grey_of_four_bits_is_not_spread():
    """Which Pillow reads, but does not write: made by hand of a header, one row of 1, 2, 15, 0, and no filter."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 1, 4, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\x00\x12\xf0")), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    assert np.asarray(label_maps.opened(content, Labels(16))[0]).tolist() == [[1, 2, 15, 0]]


def test_a_camera_s_turn_and_what_is_not_labelled():
    turned = Image.Exif()
    turned[0x0112] = 3  # by 180 degrees
    ids = np.where(IDS == 3, 255, IDS)
    image, about = label_maps.opened(file_of(Image.fromarray(ids), exif=turned), Labels(2, (2, 255)))
    assert np.asarray(image).tolist() == [[0, 1, UNLABELLED], [UNLABELLED, 1, 0]]
    assert about.ids == {0: 2, 1: 2, 2: 1, 255: 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            file_of(Image.fromarray(IDS)),
            "ids 2,3 are not among 0 to 1 of data.source_labels=2",
        ),
        (file_of(Image.fromarray(IDS), "JPEG"), "JPEG mixes ids where they meet"),
        (file_of(Image.fromarray(np.dstack([IDS, IDS, 0 * IDS]))), "it has colours, and no palette"),
        (file_of(Image.fromarray(np.dstack([IDS, IDS]), mode="LA")), "it has transparency"),
        (file_of(Image.fromarray(IDS.astype(np.int32) - 1), "TIFF"), "levels from -1 to 2 are no ids"),
    ],
    ids=["unknown ids", "jpeg", "colours", "transparency", "below 0"],
)
def test_what_is_no_such_label_map_is_refused_with_the_remedy(content, said):
    with pytest.raises(ValueError, match=said):
        label_maps.opened(content, Labels(2))


# As data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resident", [True, False])
def test_planes_of_the_very_ids_however_they_are_resized_cut_and_mirrored(resident, tmp_path):
    write_label_maps(tmp_path)
    for path in (tmp_path / "A" / "train" / "town").glob("*labelIds.png"):
        Image.fromarray(np.indices((32, 32)).sum(axis=0).astype(np.uint8) // 8 % 2 * 4).save(path)
    given = {"load_size": 12, "flip": True, "resident": resident, "unlabelled_ids": [255]}
    batch = started(tmp_path, **given).take(12)
    planes = batch["condition"]
    assert planes.shape == (12, 5, 8, 8)
    assert set(planes.unique().tolist()) == {-1.0, 1.0}
    assert ((planes == 1).sum(dim=1) == 1).all(), "each pixel is of one class"
    assert set(planes.argmax(dim=1).unique().tolist()) == {0, 4}, "and none lies between two"


def test_evaluation_is_given_planes_of_the_nearest_pixels(tmp_path):
    maps, photographs = write_label_maps(tmp_path)["val"]
    data = started(tmp_path)
    block = data.sources("val").block(0, 6)
    nearest = maps[:, 2::4, 2::4]  # of 4 pixels the one beyond the middle
    assert np.array_equal(block["condition"].argmax(dim=1), nearest)
    assert data.sources("val").inputs(0, 6)["condition"].unique().tolist() == [-1.0, 1.0]
    wanted = np.asarray(Image.fromarray(photographs[2]).resize((8, 8), Image.Resampling.LANCZOS))
    assert np.array_equal(block["targets"][2], wanted.transpose(2, 0, 1))
    assert data.sources("val").protocol()["condition"] == {
        "condition": "file",
        "channels": 5,
        "direction": None,
        "shown": "squeezed to 8x8, not cropped further",
        "resize": "nearest",
        "unlabelled": [],
    }


def test_a_start_says_which_ids_there_are_and_names_those_that_are_unknown(tmp_path, caplog):
    write_label_maps(tmp_path, size=(8, 8), ids=2)
    odd = tmp_path / "A" / "train" / "town" / "003_gtFine_labelIds.png"
    ids = np.zeros((8, 8), dtype=np.uint8)
    ids[0, :4] = 9
    Image.fromarray(ids).save(odd)
    with pytest.raises(
        ValueError, match=r"town/003 \(source: ids 9 are not among 0 to 4 .* data.unlabelled_ids=\[9\]\)"
    ):
        started(tmp_path)
    assert len(started(tmp_path, on_bad="skip").reference("train")) == 5
    with caplog.at_level(logging.INFO):
        data = started(tmp_path, unlabelled_ids=[9])
    share = 4 / (6 * 64)
    assert f", 9 unlabelled ({share:.2%}, 1)" in caplog.text
    assert (
        "sources: no id is above 1, so that some of data.source_labels=5 planes stay empty; 2 would do" in caplog.text
    )
    assert "sources not read, as they do not end in _gtFine_labelIds: 6 files" in caplog.text
    block = data.sources("train").block(3, 1)["condition"][0]
    assert block[:, 0].sum(dim=0).tolist() == [0, 0, 0, 0, 255, 255, 255, 255], "no plane where nothing is known"


def test_a_palette_that_would_be_smoothed_is_warned_of(tmp_path, caplog):
    write_label_maps(tmp_path)
    path = tmp_path / "A" / "train" / "town" / "002_gtFine_labelIds.png"
    Image.open(path).convert("P").save(path)
    for changes in ({"source_resize": "nearest"}, {"source_labels": 256 - 1}, {}):
        assert "smoothed" not in caplog.text
        started(tmp_path, **{"source_labels": None} | changes)
    assert "sources with a palette, smoothed where they are resized; give data.source_labels=N" in caplog.text
    assert ": 1 file: town/002" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source_labels": 256}, "data.source_labels must be a whole number from 1 to 255"),
        ({"source_labels": None, "unlabelled_ids": [255]}, "are of label maps; give data.source_labels=N, too"),
        ({"unlabelled_ids": 255}, r"data.unlabelled_ids must be a list of ids from 0 to 65535"),
        ({"unlabelled_ids": [-1]}, r"data.unlabelled_ids must be a list of ids from 0 to 65535, \[255\] for example"),
    ],
)
def test_settings_out_of_range_are_refused(changes, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        folders(tmp_path, tmp_path, **AS_CITYSCAPES | changes)


# For people --------------------------------------------------------------------------------------------------------


def test_each_id_has_a_colour_of_its_own_whatever_there_is_beside_it():
    table = colours(255)
    assert len(np.unique(table, axis=0)) == 256
    assert table[0].tolist() == [255, 0, 0]
    assert np.array_equal(colours(5)[:5], table[:5])
    apart = np.abs(table[:20, None].astype(int) - table[None, :20]).sum(axis=2) + 999 * np.eye(20)
    assert apart.min() > 40
    ids = torch.tensor([[[[0, 4, UNLABELLED]]]], dtype=torch.uint8)
    assert coloured(planes_of(ids, 5))[0, :, 0].T.tolist() == [table[0].tolist(), table[4].tolist(), [0, 0, 0]]


def test_grids_show_label_maps_in_colours(tmp_path):
    write_label_maps(tmp_path, size=(8, 8))
    sources = started(tmp_path).sources("val")
    block = sources.block(0, 2)
    shown = beside_sources([torch.zeros(2, 3, 8, 8)], block, render=sources.render)
    assert shown.shape == (6, 3, 8, 8)
    wanted = colours(5)[block["condition"].argmax(dim=1)]
    assert np.array_equal(to_uint8(shown[::3]), wanted.transpose(0, 3, 1, 2))
