"""Sources of other images than the reals beside them: batches, evaluations, and folders of a person's own."""

import numpy as np
import pytest
import torch
from generated_data import write_image_zip
from PIL import Image

from gan_lab.data.conditions import Inverted
from gan_lab.data.digits import Digits
from gan_lab.data.images import to_uint8
from gan_lab.data.unpaired import UnpairedFolders
from gan_lab.sampling import numpy_generator

COMMON = {
    "name": "digits",
    "image_size": [8, 8],
    "channels": 1,
    "sample_shape": [1, 8, 8],
    "num_classes": 10,
    "batch_size": 4,
    "micro_batch_size": None,
    "flip": False,
    "resident": True,
    "resident_limit_mb": 100,
    "workers": 0,
    "limit": None,
    "seed": 0,
}


def digits(**changes) -> Digits:
    return Digits(**(COMMON | changes))


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def inverted(**changes) -> Digits:
    settings = {"condition": Inverted(), "condition_shape": [1, 8, 8], "paired": False} | changes
    return ready(digits(**settings))


def of_others(**changes) -> Digits:
    """12 digits, and the sources are 1,797 digits of 8 levels less."""
    return ready(digits(source_data=digits(name="others"), condition_shape=[1, 8, 8], limit=12, **changes))


@pytest.mark.parametrize("resident", [True, False])
def test_sources_are_of_other_images(resident):
    """The same order of reals as without sources, and each source comes once in a pass of its own order."""
    data = inverted(resident=resident, limit=32)
    batch, alone = data.take(32), ready(digits(limit=32)).take(32)
    assert torch.equal(batch["real"], alone["real"])
    sources = {tuple(image.flatten().tolist()) for image in 255 - to_uint8(batch["condition"])}
    reals = {tuple(image.flatten().tolist()) for image in to_uint8(batch["real"])}
    assert sources == reals, "the 32 negatives of the 32 reals"
    assert not torch.equal(255 - to_uint8(batch["condition"]), to_uint8(batch["real"])), "in another order"


@pytest.mark.parametrize("made", [inverted, of_others])
def test_it_goes_on_where_it_stood(made):
    """In the second pass of the reals and the first of the sources."""
    first = made()
    first.take(20)
    second = made()
    second.load_state_dict(first.state_dict())
    ours, theirs = first.take(8), second.take(8)
    assert ours.keys() == theirs.keys() == {"real", "condition", "index", "labels"}
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_going_on_with_other_sources_is_refused():
    state = of_others().state_dict()
    other = ready(
        digits(source_data=digits(name="others", image_size=[8, 8], flip=True), condition_shape=[1, 8, 8], limit=12)
    )
    other.load_state_dict(state)  # flips are not part of the content
    state["sources"]["digest"] = "0" * 64
    with pytest.raises(ValueError, match="the checkpoint was trained on other data"):
        of_others().load_state_dict(state)


def test_the_same_sources_on_any_number_of_ranks(monkeypatch):
    whole = of_others().take(8)
    monkeypatch.setattr("gan_lab.collectives.rank", lambda: 1)
    monkeypatch.setattr("gan_lab.collectives.world", lambda: 2)
    half = of_others().take(8)
    assert torch.equal(half["condition"], whole["condition"][4:])


def test_sources_of_an_evaluation_belong_to_no_targets():
    """Of images that are not trained on, though the targets' split has another name."""
    sources = of_others().sources("train[:10]")
    assert list(sources.block(0, 2)) == ["condition", "labels"]
    held_out = of_others().sources("held_out")
    assert held_out.protocol()["split"] == "held_out"
    assert of_others().source_data.split_like("test") == "held_out"
    assert torch.equal(held_out.inputs(len(held_out), 1)["condition"], held_out.inputs(0, 1)["condition"])


def test_the_other_way_sources_are_targets():
    """Of a map that is known its inverse is, too; of two sets each is the other's source."""
    turned = inverted().turned()
    there, back = inverted().sources("held_out").block(3, 2), turned.sources("held_out").block(3, 2)
    assert torch.equal(there["condition"], back["targets"])
    assert torch.equal(there["targets"], back["condition"])
    reference = turned.reference("held_out")
    assert np.array_equal(reference.images, 255 - inverted().reference("held_out").images)
    assert turned.sources("held_out").protocol() != inverted().sources("held_out").protocol()
    both = of_others().turned()
    assert both.name == "others"
    assert both.sources("held_out").images.name == "digits"
    with pytest.raises(ValueError, match="leave direction out"):
        ready(digits()).turned()


def test_two_ways_to_sources_are_refused():
    with pytest.raises(ValueError, match=r"data.condition and data.source_data both make sources"):
        digits(condition=Inverted(), source_data=digits(), condition_shape=[1, 8, 8])
    with pytest.raises(ValueError, match=r"contradict data.source_data, which gives \(1, 8, 8\)"):
        digits(source_data=digits(), condition_shape=[3, 8, 8])


# Folders --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def four(tmp_path):
    """trainA: 5 dark pictures, trainB: 3 bright ones, testA and testB: 2 and 1."""
    for name, count, level in (("trainA", 5, 10), ("trainB", 3, 200), ("testA", 2, 20), ("testB", 1, 210)):
        folder = tmp_path / "both" / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (9, 8), (level + number,) * 3).save(folder / f"{number}.png")
    return tmp_path / "both"


def folders(cache, **changes) -> UnpairedFolders:
    of_folders = {"channels": 3, "sample_shape": [3, 8, 8], "name": "unpaired", "num_classes": 0, "on_bad": "stop"}
    roots = dict.fromkeys(("folder", "root", "source_root", "test_root", "source_test_root"))
    own = {
        "load_size": None,
        "direction": "AtoB",
        "source_channels": 1,
        "condition_shape": [1, 8, 8],
        "cache_dir": str(cache),
    }
    return UnpairedFolders(**(COMMON | of_folders | roots | own | {"center_crop": True} | changes))


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_four_folders_of_two_domains(four, tmp_path, direction):
    data = ready(folders(tmp_path / "cache", folder=str(four), direction=direction))
    dark, bright = ("condition", "real") if direction == "AtoB" else ("real", "condition")
    batch = data.take(15)
    assert batch["condition"].shape == (15, 1, 8, 8)
    assert batch["real"].shape == (15, 3, 8, 8)
    levels = {key: to_uint8(batch[key])[:, 0, 0, 0] for key in (dark, bright)}
    assert sorted(levels[dark].tolist()) == sorted(3 * [10, 11, 12, 13, 14])
    assert sorted(levels[bright].tolist()) == sorted(5 * [200, 201, 202])
    test = data.sources("test").block(0, 1)["condition"]
    assert test[0, 0, 0, 0] == (20 if direction == "AtoB" else 210)
    assert len(data.turned().reference("test")) == (2 if direction == "AtoB" else 1)


@pytest.mark.parametrize("around", [False, True])
def test_four_folders_in_a_zip(around, four, tmp_path):
    archive = write_image_zip(tmp_path / "both.zip", four.parent if around else four)
    data, zipped = (ready(folders(tmp_path / "cache", folder=str(root))) for root in (four, archive))
    assert zipped.identity() == data.identity()
    assert zipped.sources("test").protocol() == data.sources("test").protocol()
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match=r"data.folder=.*empty.zip holds no folder trainA"):
        folders(tmp_path / "cache", folder=str(write_image_zip(tmp_path / "empty.zip", tmp_path / "other")))


def test_folders_without_test_pictures_and_any_two_roots(four, tmp_path):
    roots = {"root": str(four / "trainB"), "source_root": str(four / "trainA")}
    data = ready(folders(tmp_path / "cache", **roots))
    assert data.splits == ("train",)
    with_folder = ready(folders(tmp_path / "cache", folder=str(four)))
    assert torch.equal(data.take(6)["condition"], with_folder.take(6)["condition"])
    before = data.identity()
    (four / "trainA" / "9.png").write_bytes((four / "trainA" / "0.png").read_bytes())
    assert folders(tmp_path / "cache", **roots).identity() != before


@pytest.mark.parametrize("key", ["root", "source_root", "test_root", "source_test_root"])
def test_each_root_that_is_not_there_is_named_by_its_key(key, four, tmp_path):
    roots = {"root": four / "trainB", "source_root": four / "trainA"}
    roots |= {"test_root": four / "testB", "source_test_root": four / "testA", key: four / "gone"}
    with pytest.raises(FileNotFoundError, match=f"^data.{key}={four / 'gone'} does not exist"):
        folders(tmp_path / "cache", **{name: str(path) for name, path in roots.items()}).prepare_data()


def test_the_same_picture_to_train_and_to_test_on_is_warned_of(four, tmp_path, caplog):
    ready(folders(tmp_path / "cache", folder=str(four)))
    assert "trained on, too" not in caplog.text
    (four / "testA" / "again.png").write_bytes((four / "trainA" / "3.png").read_bytes())
    ready(folders(tmp_path / "cache", folder=str(four)))
    [said] = [record.message for record in caplog.records if "trained on, too" in record.message]
    assert said.startswith("unpaired_sources: pictures of test that are trained on, too")
    assert "1 file: again.png" in said


@pytest.fixture
def coordinates(tmp_path):
    """5 pictures of A and 4 of B of 12x12, whose pixels say where they stand: red the row, green the column."""
    rows, columns = np.mgrid[0:12, 0:12].astype(np.uint8)
    for name, count in (("trainA", 5), ("trainB", 4), ("testA", 1)):
        (tmp_path / "grids" / name).mkdir(parents=True)
        for number in range(count):
            grid = np.stack([rows, columns, np.full_like(rows, number)], axis=2)
            Image.fromarray(grid).save(tmp_path / "grids" / name / f"{number}.png")
    return tmp_path / "grids"


def cropped(coordinates, cache, **changes) -> UnpairedFolders:
    colours = {"source_channels": 3, "condition_shape": [3, 8, 8], "folder": str(coordinates)}
    return ready(folders(cache, **(colours | {"load_size": 12, "flip": True} | changes)))


def test_each_domain_is_cut_out_by_draws_of_its_own(coordinates, tmp_path):
    """At each place of a pass, of pictures that are mirrored before."""
    batch = cropped(coordinates, tmp_path / "cache").take(20)
    for name, size, purpose in (("real", 4, "crops"), ("condition", 5, "source crops")):
        top, left = to_uint8(batch[name])[:, :2, 0, 0].long().T
        bottom, right = to_uint8(batch[name])[:, :2, -1, -1].long().T
        assert (bottom - top == 7).all()
        assert ((right - left).abs() == 7).all()
        assert 0 < (right < left).sum() < 20, "some are mirrored"
        left = torch.where(right < left, 11 - left, left)
        drawn = [numpy_generator(0, purpose, number).integers(0, 5, size=(size, 2)) for number in range(20 // size)]
        assert torch.stack([top, left], dim=1).tolist() == np.concatenate(drawn).tolist(), name


def test_an_evaluation_sees_all_of_what_is_cropped_in_training(coordinates, tmp_path):
    larger, plain = (cropped(coordinates, tmp_path / "cache", load_size=size) for size in (12, None))
    for split in ("train", "test"):
        assert torch.equal(
            larger.sources(split).block(0, 1)["condition"], plain.sources(split).block(0, 1)["condition"]
        )
        assert larger.sources(split).protocol() == plain.sources(split).protocol()
    assert larger.sources("test").protocol()["shown"] == "cut to the shape and resized to 8x8, not cropped further"
    assert np.array_equal(larger.reference("train").images, plain.reference("train").images)
    assert larger.stream.samples.images.shape == (4, 3, 8, 8), "the middle, for a look at training"
    assert larger.stream.samples.images[0, :, 0, 0].tolist() == [2, 2, 0]


@pytest.mark.parametrize("backend", [{"resident": True}, {"resident": False}, {"resident": False, "workers": 1}])
def test_crops_go_on_within_a_pass_wherever_the_pictures_are(backend, coordinates, tmp_path):
    unbroken = cropped(coordinates, tmp_path / "cache", limit=3)
    unbroken.take(8)  # the third pass of the reals, the second of the sources
    saved = unbroken.state_dict()
    resumed = cropped(coordinates, tmp_path / "cache", limit=3, **backend)
    resumed.load_state_dict(saved)
    for _ in range(2):
        ours, theirs = resumed.take(4), unbroken.take(4)
        assert ours.keys() == theirs.keys()
        assert ours["real"].shape == ours["condition"].shape == (4, 3, 8, 8)
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    resumed.teardown()
    with pytest.raises(ValueError, match="trained on other data"):
        cropped(coordinates, tmp_path / "cache", limit=3, load_size=None).load_state_dict(saved)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, r"data.root is missing: give data.folder=PATH"),
        ({"root": "here"}, r"data.source_root is missing"),
        ({"folder": "here", "root": "there"}, r"data.folder and data.root both say where pictures lie"),
        ({"folder": "nowhere"}, r"data.folder=nowhere holds no folder trainA"),
        ({"folder": "here", "direction": "AB"}, r"data.direction must be AtoB or BtoA, got 'AB'"),
        ({"root": "here", "source_root": "there", "load_size": 7}, r"data.load_size=7 is less than data.image_size="),
    ],
)
def test_what_folders_refuse(tmp_path, changes, said):
    with pytest.raises(ValueError, match=said):
        folders(tmp_path, **changes)
