"""Pairs whose targets are larger than their sources: they stay together, pixel by pixel, cut and mirrored."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from data.test_data_paired import BACKENDS, assert_equal, folders, paired
from generated_data import write_pairs, write_pairs_of_two_sizes
from PIL import Image

from gan_lab.data.images import to_uint8
from gan_lab.data.pair_files import folded, unfolded
from gan_lab.data.paired import Paired

AS_DIV2K: dict[str, Any] = {"factor": 2, "source_suffix": "x2", "image_size": 16}


@pytest.fixture
def two_sizes(tmp_path):
    """Sources of 21x22 pixels, targets of 42x44, whose pixels say where they are."""
    return tmp_path, write_pairs_of_two_sizes(tmp_path)


def started(root, **changes: Any) -> Paired:
    data = folders(root, root, **AS_DIV2K | changes)
    data.prepare_data()
    data.setup()
    return data


def enlarged(sources: torch.Tensor) -> torch.Tensor:
    return sources.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_cut_and_mirrored_of_both_is_the_same_part(backend, two_sizes):
    data = started(two_sizes[0], load_size=24, flip=True, **BACKENDS[backend])
    batch = data.take(40)
    data.teardown()
    real, condition = (to_uint8(batch[name]).int() for name in ("real", "condition"))
    assert real.shape[1:] == (3, 16, 16)
    assert condition.shape[1:] == (3, 8, 8)
    assert torch.equal(real[:, :2] // 2, enlarged(condition[:, :2])), "each 2x2 pixels lie on their source's"
    assert torch.equal(real[:, 2, 0, 0].long(), batch["index"])
    steps = real[:, 0, :, 1:] - real[:, 0, :, :-1]
    assert (steps == steps[:, :1, :1]).all(), "columns follow one another, also within the pixels of a source's"
    assert set(steps.flatten().tolist()) == {-1, 1}
    corners = condition[:, :2].amin(dim=(2, 3))
    # Of 21x22 the middle 12x12 begins in column 4 and row 5, and 5 x 5 corners are in it.
    assert corners.amin(dim=0).tolist() == [4, 5]
    assert corners.amax(dim=0).tolist() == [8, 9]


def test_quarter_turns_are_those_of_both(two_sizes):
    data = started(two_sizes[0], load_size=24, flip=True, quarter_turns=True)
    batch = data.take(40)
    real, condition = (to_uint8(batch[name]).int() for name in ("real", "condition"))
    assert torch.equal(real[:, :2] // 2, enlarged(condition[:, :2])), "each 2x2 pixels lie on their source's"
    seen = set()
    for target in real:
        seen.add(tuple(int(target[0, row, column] - target[0, 0, 0]) for row, column in ((1, 0), (0, 1))))
        for axis in (0, 1):
            steps = target[0].diff(dim=axis)
            assert (steps == steps[0, 0]).all(), "columns follow one another, also within the pixels of a source's"
    assert seen == {(0, 1), (0, -1), (1, 0), (-1, 0)}


def test_evaluation_sees_the_middle_as_it_is(two_sizes):
    root, targets = two_sizes
    data = started(root, load_size=24)
    block, reference = data.sources("train").block(1, 2), data.reference("train")
    assert np.array_equal(block["targets"], targets[1:3, 14:30, 12:28].transpose(0, 3, 1, 2))
    assert torch.equal(enlarged(block["condition"])[:, :2], block["targets"][:, :2] // 2)
    assert data.sources("train").protocol()["condition"] == {
        "condition": "file",
        "channels": 3,
        "direction": None,
        "shown": "the middle 16x16, not resized",
        "resize": "lanczos",
        "factor": 2,
    }
    assert np.array_equal(next(reference.blocks(6))[1:3], block["targets"])
    assert np.array_equal(reference.images[2], block["targets"][1])
    part = reference.part(1, 3)
    assert np.array_equal(part.images[:], block["targets"])


def test_a_resumed_stream_goes_on(two_sizes):
    unbroken = started(two_sizes[0], load_size=24, flip=True)
    unbroken.take(8)  # of passes of 6
    resumed = started(two_sizes[0], load_size=24, flip=True, resident=False)
    resumed.load_state_dict(unbroken.state_dict())
    assert_equal(resumed.take(8), unbroken.take(8))


def test_folding_keeps_every_pixel():
    pixels = np.arange(2 * 6 * 9).reshape(2, 6, 9)
    there = folded(pixels, 3)
    assert there.shape == (18, 2, 3)
    assert there[:9, 0, 1].tolist() == pixels[0, :3, 3:6].flatten().tolist()
    assert np.array_equal(unfolded(torch.from_numpy(there), 3), pixels)


@pytest.mark.parametrize(
    ("size", "changes", "said"),
    [
        ((42, 43), {}, r"0002 \(source 21x22 and target 42x43: data.factor=2 wants a target of 42x44; cut the"),
        ((42, 44), {"image_size": 48}, r"less than 48x48, which is cut out of targets; give a smaller data.image_size"),
    ],
)
def test_files_that_do_not_fit_are_named(size, changes, said, two_sizes):
    Image.new("RGB", size).save(two_sizes[0] / "B" / "0002.png")
    with pytest.raises(ValueError, match=said):
        started(two_sizes[0], **changes)


def test_resizing_each_by_itself_is_said_aloud(two_sizes, caplog):
    data = started(two_sizes[0], resize=True)
    assert "data.resize=true resizes sources and targets each by itself" in caplog.text
    assert data.reference("train").images.shape == (6, 3, 16, 16)
    assert data.sources("train").protocol()["condition"]["shown"] == "squeezed to 16x16, not cropped further"


def test_nothing_needs_to_be_resized_where_sizes_agree(tmp_path, caplog):
    written = write_pairs(tmp_path, splits=("train",), side_by_side=False)["train"]
    data = folders(tmp_path, tmp_path, resize=False)
    block = data.sources("train").block(0, 6)
    for found, files in zip((block["condition"], block["targets"]), written, strict=True):
        assert np.array_equal(found, files[:, 12:20, 12:20].transpose(0, 3, 1, 2))
    assert "targets of which the middle 8x8 alone is seen (see data.load_size): 6 files: 000 (32x32)" in caplog.text


def test_names_that_end_otherwise_are_matched_by_the_suffix(two_sizes, caplog):
    root = two_sizes[0]
    with pytest.raises(ValueError, match=r"Give data\.source_suffix=x2, in which all of these end, or rename"):
        started(root, source_suffix="")
    Image.new("RGB", (3, 3)).save(root / "A" / "0001x3.png")
    with caplog.at_level(logging.INFO):
        data = started(root)
    assert "sources not read, as they do not end in x2: 1 file: 0001x3.png" in caplog.text
    assert len(data.reference("train")) == 6
    for number in range(6):
        Image.new("RGB", (21, 22)).save(root / "A" / f"{number:04}black.png")
    same, other = (started(root, source_suffix=suffix) for suffix in ("x2", "black"))
    assert torch.equal(same.sources("train").block(0, 6)["condition"], data.sources("train").block(0, 6)["condition"])
    assert not other.sources("train").block(0, 6)["condition"].any(), "of one folder, another decoded copy"
    assert other.source("train").outline() != same.source("train").outline()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"factor": 0}, "data.factor must be a whole number of at least 1"),
        ({"factor": 3}, r"data.factor=3 does not divide data.image_size=\[8, 8\]; give multiples"),
        ({"factor": 4, "load_size": 10}, r"data.factor=4 does not divide data.load_size=\[10, 10\]"),
        ({"resize": "yes"}, "data.resize must be true or false or auto"),
        ({"source_root": None, "factor": 2}, "data.factor=2 is of sources that are files: give data.source_root"),
        ({"source_root": None, "source_labels": 3}, "data.source_labels=3 is of sources that are files"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(changes, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        paired(tmp_path, tmp_path, **{"source_root": str(tmp_path)} | changes)
