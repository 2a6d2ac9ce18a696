"""Sources beside the reals: in batches, by number for evaluations, and in grids."""

import numpy as np
import pytest
import torch
from generated_data import write_image_folder
from PIL import Image

from gan_lab.callbacks.pictures import beside_sources, held_out_sources
from gan_lab.data.conditions import Inverted, Masked
from gan_lab.data.digits import Digits
from gan_lab.data.folder import Folder
from gan_lab.data.images import from_uint8, to_uint8
from gan_lab.data.masks import Box, Masks
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.sourced import Sources

COMMON = {
    "image_size": [8, 8],
    "num_classes": None,
    "batch_size": 4,
    "micro_batch_size": None,
    "flip": True,
    "resident": True,
    "resident_limit_mb": 100,
    "workers": 0,
    "limit": None,
    "seed": 0,
}


def holes(*, vary: bool) -> Masked:
    laws = {"box": Box(size=0.5, place="random")}
    return Masked(masks=Masks(laws=laws, least_share=0.1, most_share=0.5, seed=0), fill=0, vary=vary)


def digits(**changes) -> Digits:
    settings = {"name": "digits", "channels": 1, "sample_shape": [1, 8, 8], "num_classes": 10} | changes
    data = Digits(**(COMMON | settings))
    data.setup()
    return data


def inverted(**changes) -> Digits:
    return digits(condition=Inverted(), condition_shape=[1, 8, 8], masked=False, **changes)


@pytest.mark.parametrize("resident", [True, False])
def test_a_batch_holds_the_source_of_each_real_as_it_is_shown(resident):
    """Mirrored with it."""
    batch = inverted(resident=resident).take(64)
    assert batch["condition"].dtype == torch.float32
    assert torch.equal(to_uint8(batch["condition"]), 255 - to_uint8(batch["real"]))


@pytest.mark.parametrize("vary", [True, False])
def test_holes_of_training_change_from_pass_to_pass_where_they_may(vary):
    data = digits(condition=holes(vary=vary), condition_shape=[1, 8, 8], masked=True, limit=6, flip=False)
    first, second = data.take(6), data.take(6)
    orders = [batch["index"].argsort() for batch in (first, second)]
    masks = [batch["mask"][order] for batch, order in zip((first, second), orders, strict=True)]
    assert masks[0].dtype == torch.float32
    assert torch.equal(masks[0], masks[1]) != vary
    assert (first["condition"][first["mask"] == 1] == -1).all(), "filled with level 0"
    kept = first["mask"] == 0
    assert torch.equal(first["condition"][kept], first["real"][kept])


def test_the_same_sources_on_any_number_of_ranks(monkeypatch):
    whole = digits(condition=holes(vary=True), condition_shape=[1, 8, 8], masked=True).take(8)
    monkeypatch.setattr("gan_lab.collectives.rank", lambda: 1)
    monkeypatch.setattr("gan_lab.collectives.world", lambda: 2)
    half = digits(condition=holes(vary=True), condition_shape=[1, 8, 8], masked=True).take(8)
    assert torch.equal(half["mask"], whole["mask"][4:])


@pytest.mark.parametrize(
    ("changes", "given"),
    [
        ({"condition": Inverted()}, r"gives \(1, 8, 8\)"),
        ({"condition": Inverted(), "condition_shape": [3, 8, 8]}, r"gives \(1, 8, 8\)"),
        ({"condition_shape": [1, 8, 8]}, "gives nothing"),
        ({"condition": holes(vary=False), "condition_shape": [1, 8, 8], "masked": False}, "data.masked=False"),
    ],
)
def test_what_the_config_states_must_be_what_the_condition_gives(changes, given):
    with pytest.raises(ValueError, match=given):
        digits(**changes)


# By number ---------------------------------------------------------------------------------------------------------


def three() -> Sources:
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 1, 2, 2), dtype=np.uint8)
    return Sources(ReferenceSet(name="three", split="test", images=images, labels=np.array([5, 6, 7])), Inverted())


def test_a_block_goes_on_from_the_beginning():
    block = three().block(2, 3)
    assert block["targets"][:, 0, 0, 0].tolist() == [2, 0, 1]
    assert block["condition"][:, 0, 0, 0].tolist() == [253, 255, 254]
    assert block["labels"].tolist() == [7, 5, 6]
    assert "mask" not in block


def test_a_block_is_made_once_for_inputs_and_targets(monkeypatch):
    made, make = [], Inverted.make
    monkeypatch.setattr(Inverted, "make", lambda self, *given: made.append(1) or make(self, *given))
    sources = three()
    sources.inputs(0, 2)
    sources.block(0, 2)
    assert len(made) == 1
    assert sources.block(1, 2)["targets"][:, 0, 0, 0].tolist() == [1, 2]
    assert len(made) == 2


def test_inputs_are_what_a_generator_takes():
    inputs = three().inputs(0, 1)
    assert list(inputs) == ["condition"]
    assert torch.equal(inputs["condition"], torch.ones(1, 1, 2, 2))


def test_the_protocol_says_which_sources_they_are():
    about = three().protocol()
    assert about["split"] == "test"
    assert about["condition"] == {"condition": "inverted"}
    assert about["content"] == three().targets.digest


def test_a_grid_shows_source_mask_output_and_target_in_a_row():
    block = three().block(0, 2) | {"mask": torch.tensor([True, False]).view(2, 1, 1, 1).expand(2, 1, 2, 2)}
    outputs = torch.full((2, 3, 4, 4), 0.5)
    block["targets"] = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    shown = beside_sources([outputs], block)
    assert shown.shape == (8, 3, 4, 4)
    rows = shown.view(2, 4, 3, 4, 4)[..., 0, 0, 0]
    assert rows[0].tolist() == pytest.approx([1.0, 1.0, 0.5, -1.0])
    assert rows[1].tolist() == pytest.approx([from_uint8(torch.tensor(254, dtype=torch.uint8)).item(), -1.0, 0.5, -1.0])


def test_grids_are_of_pictures_that_are_not_trained_on():
    assert held_out_sources(digits()) is None
    assert held_out_sources(inverted()).targets.split == "held_out"


# A folder with another one to test on ------------------------------------------------------------------------------


def folder(root, **changes) -> Folder:
    settings = {"name": "folder", "channels": 3, "sample_shape": [3, 8, 8], "root": str(root), "center_crop": True}
    settings |= {"on_bad": "stop", "cache_dir": str(root.parent / "cache")}
    data = Folder(**(COMMON | settings | changes))
    data.prepare_data()
    return data


def test_a_folder_may_have_another_one_to_test_on(tmp_path):
    write_image_folder(tmp_path / "train")
    write_image_folder(tmp_path / "test")
    for path in (tmp_path / "test").rglob("*.png"):
        Image.new("RGB", (8, 8), (9, 9, 9)).save(path)
    data = folder(tmp_path / "train", test_root=str(tmp_path / "test"))
    assert (data.reference("test").images == 9).any()
    assert data.reference("train").digest == folder(tmp_path / "train").reference("train").digest
    assert data.identity() != folder(tmp_path / "train").identity()
    with pytest.raises(ValueError, match="no split 'test'"):
        folder(tmp_path / "train").reference("test")


def test_other_classes_to_test_on_are_refused(tmp_path):
    write_image_folder(tmp_path / "train")
    (tmp_path / "test" / "another").mkdir(parents=True)
    (tmp_path / "test" / "one_more").mkdir(parents=True)
    for name in ("another", "one_more"):
        Image.new("RGB", (8, 8)).save(tmp_path / "test" / name / "0.png")
    data = folder(tmp_path / "train", test_root=str(tmp_path / "test"))
    with pytest.raises(ValueError, match=r"data.test_root=.* has the classes another, one_more"):
        data.reference("test")
