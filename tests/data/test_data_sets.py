"""The data sets and what they share."""

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from generated_data import (
    write_celeba,
    write_cifar10,
    write_cifar100,
    write_image_folder,
    write_imagenet,
    write_lsun,
    write_mnist,
    write_stl10,
    write_svhn,
)
from omegaconf import OmegaConf

from gan_lab import collectives
from gan_lab.data.base import random_subset
from gan_lab.data.celeba import CelebA
from gan_lab.data.cifar import CIFAR10, CIFAR100
from gan_lab.data.digits import Digits, held_out_fifth
from gan_lab.data.folder import Folder
from gan_lab.data.image_files import Shape, decode
from gan_lab.data.imagenet import ImageNet
from gan_lab.data.lsun import LSUN
from gan_lab.data.mnist import MNIST, FashionMNIST, StackedMNIST
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.stl10 import STL10
from gan_lab.data.svhn import SVHN

CONF = Path(__file__).parents[2] / "conf" / "data"
ELSEWHERE = (
    "crops",
    "grid",
    "ring",
    "huggingface",
    "masked",
    "paired",
    "unpaired",
)  # test_data_gaussians.py, _huggingface.py, ...
CLASSES = {
    "digits": Digits,
    "mnist": MNIST,
    "fashion_mnist": FashionMNIST,
    "stacked_mnist": StackedMNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "svhn": SVHN,
    "stl10": STL10,
    "celeba": CelebA,
    "lsun": LSUN,
    "imagenet": ImageNet,
    "folder": Folder,
}
OWN_ROOT = {"folder": "folder", "lsun": "lsun", "imagenet": "imagenet"}
FEW = {"stacked_mnist": {"count": 40}, "imagenet": {"num_classes": 2}}


def values(name, tmp_path, **overrides):
    """The resolved YAML of a data set, as the command would see it, with `overrides`."""
    config = OmegaConf.create(
        {
            "seed": 0,
            "paths": {"data_dir": str(tmp_path), "cache_dir": str(tmp_path / "cache")},
            "data": OmegaConf.load(CONF / f"{name}.yaml"),
        }
    )
    OmegaConf.update(config, "data", {"root": str(tmp_path / OWN_ROOT[name])} if name in OWN_ROOT else {})
    OmegaConf.update(config, "data", {"workers": 0, **overrides})
    return OmegaConf.to_container(config.data, resolve=True)


def build(name, tmp_path, **overrides):
    arguments = values(name, tmp_path, **overrides)
    arguments.pop("defaults", None)  # what Hydra takes out: other groups that go with the data
    assert arguments.pop("_target_") == f"{CLASSES[name].__module__}.{CLASSES[name].__name__}"
    return CLASSES[name](**arguments)


@pytest.fixture
def digits(tmp_path):
    data = build("digits", tmp_path)
    data.setup()
    return data


@pytest.mark.parametrize("name", CLASSES)
def test_every_set_gives_batches_of_its_shape(name, tmp_path, monkeypatch):
    write_mnist(tmp_path)
    write_mnist(tmp_path, name="FashionMNIST")
    write_cifar10(tmp_path, monkeypatch)
    write_cifar100(tmp_path, monkeypatch)
    write_svhn(tmp_path, monkeypatch)
    write_stl10(tmp_path)
    write_celeba(tmp_path)
    write_lsun(tmp_path / "lsun")
    write_imagenet(tmp_path / "imagenet")
    write_image_folder(tmp_path / "folder", classes=("cat", "dog"))
    data = build(name, tmp_path, image_size=[32, 48], batch_size=4, **FEW.get(name, {}))
    data.prepare_data()
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch["real"].shape == (4, *data.sample_shape) == (4, data.channels, 32, 48)
    if name in ("stl10", "celeba", "lsun"):
        assert "labels" not in batch
        assert data.num_classes is None
    else:
        assert batch["labels"].max() < data.num_classes == len(data.class_names)
    assert data.render(batch["real"]).dtype == torch.uint8


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_yaml_opens_with_a_line_for_the_help(path):
    assert path.read_text().startswith("# ")
    assert path.stem in CLASSES or path.stem in ELSEWHERE


def test_one_number_is_a_square(tmp_path):
    assert build("digits", tmp_path, image_size=16).sample_shape == (1, 16, 16)


def test_mnist_is_padded_left_alone_or_resized(tmp_path):
    images, labels = write_mnist(tmp_path)["test"]
    padded = build("mnist", tmp_path).reference("test")
    assert np.array_equal(padded.images[:, 0, 2:-2, 2:-2], images)
    assert padded.images[:, :, [0, 1, -2, -1]].max() == 0
    assert np.array_equal(padded.labels, labels)
    assert np.array_equal(build("mnist", tmp_path, image_size=28).reference("test").images[:, 0], images)
    assert build("mnist", tmp_path, image_size=16).reference("test").images.shape == (20, 1, 16, 16)


def test_cifar10_keeps_its_pixels_and_order(tmp_path, monkeypatch):
    written = write_cifar10(tmp_path, monkeypatch)
    data = build("cifar10", tmp_path)
    for split, (images, labels) in written.items():
        reference = data.reference(split)
        assert np.array_equal(reference.images, images)
        assert np.array_equal(reference.labels, labels)
    assert data.class_names[9] == "truck"


def test_cifar100_takes_the_fine_classes(tmp_path, monkeypatch):
    written = write_cifar100(tmp_path, monkeypatch)
    data = build("cifar100", tmp_path)
    for split, (images, labels) in written.items():
        reference = data.reference(split)
        assert np.array_equal(reference.images, images)
        assert np.array_equal(reference.labels, labels)
    assert data.class_names[42] == "fine 42"


def test_svhn_calls_ten_a_zero(tmp_path, monkeypatch):
    written = write_svhn(tmp_path, monkeypatch)
    data = build("svhn", tmp_path)
    for split, (images, labels) in written.items():
        assert np.array_equal(data.reference(split).images, images)
        assert np.array_equal(data.reference(split).labels, labels)


def test_stl10_stands_upright_the_labelled_first(tmp_path):
    written = write_stl10(tmp_path)
    data = build("stl10", tmp_path, image_size=96)
    assert np.array_equal(data.reference("train").images, np.concatenate([written["train"], written["unlabeled"]]))
    assert np.array_equal(data.reference("test").images, written["test"])
    assert build("stl10", tmp_path).reference("train").images.shape == (50, 3, 48, 48)


def test_stacks_are_of_three_digits_and_named_after_them(tmp_path):
    write_mnist(tmp_path)
    grey = build("mnist", tmp_path).reference("train")
    data = build("stacked_mnist", tmp_path, count=200)
    stacks = data.reference("train")
    assert len(stacks) == 200
    numbers = np.array([[int(digit) for digit in data.class_names[label]] for label in stacks.labels])
    pixels = {image.tobytes(): label for image, label in zip(grey.images, grey.labels, strict=True)}
    for channel in range(3):
        found = [pixels[np.ascontiguousarray(image).tobytes()] for image in stacks.images[:, channel : channel + 1]]
        assert np.array_equal(found, numbers[:, channel])
        assert len(set(numbers[:, channel])) == 10
    assert len({tuple(row) for row in numbers}) > 150, "channels are drawn apart"
    assert len(data.reference("test")) == 20


def test_stacks_are_the_same_for_every_seed_of_a_run(tmp_path):
    write_mnist(tmp_path)
    first, other, drawn_anew = (
        build("stacked_mnist", tmp_path, count=30, **given).reference("train").digest
        for given in ({"seed": 1}, {"seed": 2}, {"stack_seed": 1})
    )
    assert first == other != drawn_anew


def test_celeba_is_fetched_by_its_extra_and_only_where_it_is_absent(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gdown", None)
    data = build("celeba", tmp_path, download=True)
    with pytest.raises(ImportError, match=r"pip install .*\[celeba\]'"):
        data.prepare_data()
    write_celeba(tmp_path)
    data.prepare_data()


def test_celeba_is_partitioned_and_cut_out_of_the_middle(tmp_path):
    names = write_celeba(tmp_path)
    data = build("celeba", tmp_path, image_size=32)
    for split, listed in names.items():
        images = data.reference(split).images.astype(int)
        assert len(images) == len(listed)
        shades = [5 * (int(name[:-4]) - 1) for name in listed]
        assert np.abs(images[:, 0, 4:-4, 4:-4] - np.array(shades)[:, None, None]).max() < 8
    assert np.abs(images[:, 2]).max() < 40, "nothing of the grey border"
    wider = build("celeba", tmp_path, image_size=32, crop=148).reference("test").images
    assert wider[:, 2, 0].min() > 100, "the grey border"


def test_a_crop_wider_than_the_image_is_refused(tmp_path):
    write_celeba(tmp_path)
    with pytest.raises(ValueError, match=r"32 files: 000003\.jpg \(178x218, too small for data\.crop=179"):
        build("celeba", tmp_path, crop=179).reference("train[:32]")


def test_lsun_by_its_keys(tmp_path):
    written = write_lsun(tmp_path / "lsun")
    shape = Shape((16, 16), 3, center_crop=True)
    for split, contents in written.items():
        images = build("lsun", tmp_path, image_size=16).reference(split).images
        assert np.array_equal(images, [decode(content, shape).pixels for content in contents])
    few = build("lsun", tmp_path, image_size=16, first=5).reference("train").images
    assert np.array_equal(few, build("lsun", tmp_path, image_size=16).reference("train[:5]").images)


def test_imagenet_by_its_folders(tmp_path):
    write_imagenet(tmp_path / "imagenet")
    data = build("imagenet", tmp_path, image_size=16, num_classes=2, workers=1)
    data.setup()
    assert data.stream.resident is False
    assert isinstance(data.stream.samples.images, np.memmap)
    assert data.class_names == ("n01440764", "n01443537")
    assert data.reference("val").labels.tolist() == [0] * 12 + [1] * 12
    write_image_folder(tmp_path / "imagenet" / "train", count=1)
    with pytest.raises(ValueError, match="all images must lie in a folder of their class"):
        build("imagenet", tmp_path).reference("train")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stl10", "stl10_binary/train_X.bin is absent or cut short. Let it be downloaded with data.download=true"),
        ("celeba", "img_align_celeba.zip there, try data.download=true"),
        ("lsun", "bedroom_train_lmdb/data.mdb does not exist. Unpack bedroom_train_lmdb.zip"),
        ("imagenet", "imagenet/train is no folder. Unpack the archives of image-net.org"),
    ],
)
def test_what_is_not_there_is_asked_for_by_its_place(name, said, tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        build(name, tmp_path).reference("train")
    assert said in str(raised.value)
    assert str(tmp_path) in str(raised.value)
    assert "data.root=PATH" in str(raised.value)


def test_the_end_of_training_ends_the_workers(tmp_path):
    others = set(multiprocessing.active_children())
    data = build("digits", tmp_path, resident=False, workers=2)
    data.setup()
    data.take(8)
    assert len(set(multiprocessing.active_children()) - others) == 2
    data.teardown("fit")
    assert data.stream.position == 8
    assert set(multiprocessing.active_children()) <= others


def test_digits_are_all_there_and_bright(digits):
    assert len(digits.stream.samples) == 1797
    assert digits.reference("train").images.max() == 255
    assert digits.reference("train").images.min() == 0


def test_a_fifth_of_each_class_of_the_digits_is_held_out(digits):
    train, held_out = digits.reference("train"), digits.reference("held_out")
    mask = held_out_fifth(train.labels)
    assert np.array_equal(held_out.images, train.images[mask])
    assert abs(mask.mean() - 0.2) < 0.005
    assert np.ptp(np.bincount(held_out.labels)) <= 2


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "MNIST"),
        ("fashion_mnist", "FashionMNIST"),
        ("cifar10", "CIFAR10"),
        ("cifar100", "CIFAR100"),
        ("svhn", "SVHN"),
    ],
)
def test_absent_files_name_the_place_and_the_remedy(name, folder, tmp_path):
    data = build(name, tmp_path / "nowhere")
    data.prepare_data()
    with pytest.raises(FileNotFoundError) as raised:
        data.setup()
    for part in (folder, str(tmp_path / "nowhere"), "data.download=true", "data.root=PATH"):
        assert part in str(raised.value)


def test_a_failed_download_names_the_place_and_the_remedy(tmp_path, monkeypatch):
    from torchvision.datasets import MNIST as Stored

    def unreachable(self):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz: Network is unreachable")

    monkeypatch.setattr(Stored, "download", unreachable)
    with pytest.raises(ConnectionError, match=r"(?s)MNIST could not be downloaded.*unreachable.*data\.root=PATH"):
        build("mnist", tmp_path, download=True).prepare_data()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "data.batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 6.5}, "data.batch_size must be a whole number of at least 1, got 6.5"),
        ({"micro_batch_size": 0}, "data.micro_batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 64, "micro_batch_size": 48}, "data.micro_batch_size=48 does not divide data.batch_size=64"),
        ({"limit": 0}, "data.limit must be a whole number of at least 1, got 0"),
        ({"subset": 0}, "data.subset must be a whole number of at least 1, got 0"),
        ({"subset_seed": -1}, "data.subset_seed must be a whole number of at least 0, got -1"),
        ({"workers": -1}, "data.workers must be a whole number of at least 0, got -1"),
        ({"seed": -1}, "data.seed must be a whole number of at least 0, got -1"),
        ({"flip": "sometimes"}, "data.flip must be true or false, got 'sometimes'"),
        ({"resident": "maybe"}, "data.resident must be true or false or auto, got 'maybe'"),
        ({"resident_limit_mb": -1}, "data.resident_limit_mb must be 0 or more, got -1"),
        ({"channels": 3}, "data.channels of digits must be one of (1,), got 3"),
        ({"image_size": [32, 0]}, "data.image_size must be a whole number of at least 1, got 0"),
        ({"sample_shape": [1, 8, 8]}, "data.sample_shape=[1, 8, 8] contradicts data.channels=1"),
    ],
)
def test_values_out_of_range_are_refused_and_quoted(wrong, message, tmp_path):
    with pytest.raises(ValueError) as raised:
        build("digits", tmp_path, **wrong)
    assert message in str(raised.value)


def test_a_wrong_number_of_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"data\.num_classes=11, but digits has 10 classes"):
        build("digits", tmp_path, num_classes=11).setup()


@pytest.mark.parametrize(
    ("sizes", "key"), [({"batch_size": 10}, "batch_size=10"), ({"micro_batch_size": 2}, "micro_batch_size=2")]
)
def test_a_batch_that_leaves_a_remainder_over_ranks_is_refused(sizes, key, tmp_path, monkeypatch):
    monkeypatch.setattr(collectives, "world", lambda: 4)
    with pytest.raises(ValueError, match=rf"data\.{key} leaves a remainder over 4 processes"):
        build("digits", tmp_path, **sizes).setup()


def test_micro_batches_are_cut_before_ranks(tmp_path, monkeypatch):
    whole = build("digits", tmp_path, batch_size=8)
    whole.setup()
    expected = whole.take(8)["index"].view(2, 4)
    monkeypatch.setattr(collectives, "world", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        data = build("digits", tmp_path, batch_size=8, micro_batch_size=4)
        data.setup()
        assert torch.equal(data.take(8)["index"], expected[:, 2 * rank : 2 * rank + 2].flatten())
        assert data.stream.position == 8


def test_ranges_of_a_split(digits):
    train = digits.reference("train")
    part = digits.reference("train[:100]")
    assert (part.split, len(part)) == ("train[:100]", 100)
    assert np.array_equal(digits.reference("train[-7:]").images, train.images[-7:])
    assert np.array_equal(torch.cat(list(part.blocks(30))).numpy(), train.images[:100])
    assert [len(block) for block in part.blocks(30)] == [30, 30, 30, 10]


@pytest.mark.parametrize("split", ["test", "train[5]", "train[9:3]", "train[", ""])
def test_what_is_no_split_is_refused(split, digits):
    with pytest.raises(ValueError, match=r"no split|is empty"):
        digits.reference(split)


def test_one_pixel_or_one_label_changes_the_digest(digits):
    train = digits.reference("train")
    original = digits.reference("train[:50]").digest
    assert digits.reference("train[0:50]").digest == original
    train.images[3, 0, 5, 5] ^= 1
    assert digits.reference("train[:50]").digest != original
    train.images[3, 0, 5, 5] ^= 1
    train.labels[3] += 1
    assert digits.reference("train[:50]").digest != original


@pytest.mark.parametrize(("limit", "resident"), [(2, True), (1, False)])  # the digits take 1.75 MiB
def test_auto_keeps_small_sets_on_the_device(limit, resident, tmp_path):
    data = build("digits", tmp_path, resident_limit_mb=limit)
    data.setup()
    assert data.stream.resident is resident


def test_a_limit_trains_on_the_first_images_and_evaluates_on_all(tmp_path):
    data = build("digits", tmp_path, limit=5)
    data.setup()
    assert set(data.take(20)["index"].tolist()) == set(range(5))
    assert len(data.reference("train")) == 1797


def test_a_subset_is_the_same_for_every_seed_and_balanced(tmp_path):
    def trained_on(**given):
        data = build("digits", tmp_path, **given)
        data.setup()
        assert len(data.reference("train")) == 1797, "evaluation sees all"
        return data.stream.samples

    few = trained_on(subset=105)
    counts = np.bincount(few.labels)
    assert set(counts) == {10, 11}, "105 over 10 classes"
    assert few.digest == trained_on(subset=105, seed=7).digest != trained_on(subset=105, subset_seed=1).digest
    whole, more = trained_on(), trained_on(subset=300)
    everything = [image.tobytes() for image in whole.images]
    places = [everything.index(image.tobytes()) for image in few.images]
    assert places == sorted(places), "in the set's order"
    assert [whole.labels[place] for place in places] == few.labels.tolist()
    assert {image.tobytes() for image in few.images} <= {image.tobytes() for image in more.images}
    assert places != list(range(105))
    assert trained_on(subset=1797).digest == whole.digest


def test_a_subset_takes_all_of_a_rare_class():
    labels = np.array([0] * 30 + [1] * 3 + [2] * 30)
    images = np.arange(63, dtype=np.uint8).reshape(63, 1, 1, 1)
    whole = ReferenceSet(name="rare", split="train", images=images, labels=labels)
    assert np.bincount(random_subset(whole, 23, 0).labels).tolist() == [10, 3, 10]
    unlabelled = ReferenceSet(name="rare", split="train", images=images, labels=None)
    drawn = [set(random_subset(unlabelled, 20, seed).images.ravel().tolist()) for seed in range(20)]
    assert all(len(one) == 20 for one in drawn)
    assert set.union(*drawn) == set(range(63))


def test_subsets_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match=r"data\.subset=1798, but digits has 1797 images"):
        build("digits", tmp_path, subset=1798).setup()
    with pytest.raises(ValueError, match=r"data\.limit=5 and data\.subset=6 both choose"):
        build("digits", tmp_path, limit=5, subset=6)


def test_before_setup_there_is_no_stream(tmp_path):
    with pytest.raises(RuntimeError, match="after setup"):
        build("digits", tmp_path).take(4)


class Recorder(pl.LightningModule):
    """Takes extra reals within a step, as an algorithm may."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.positions = [], []

    def training_step(self, batch, batch_idx):
        self.seen += [batch["index"], self.trainer.datamodule.take(6)["index"]]
        self.positions.append(self.trainer.datamodule.stream.position)
        self.optimizers().step()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_fetches_no_batch_ahead_and_saves_the_position(tmp_path):
    module, data = Recorder(), build("digits", tmp_path, batch_size=10)
    trainer = pl.Trainer(
        max_steps=5,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    alone = build("digits", tmp_path)
    alone.setup()
    assert module.positions == [16, 32, 48, 64, 80]
    assert torch.equal(torch.cat(module.seen), alone.take(80)["index"])
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    saved = torch.load(tmp_path / "one.ckpt", weights_only=True)["Digits"]
    alone.load_state_dict(saved)
    assert alone.stream.position == 80


def test_digits_are_those_of_scikit_learn(monkeypatch):
    from sklearn.datasets import load_digits

    from gan_lab.data import digits

    theirs = load_digits()
    from_file = digits.levels_and_labels()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    for levels, labels in (from_file, digits.levels_and_labels()):
        assert np.array_equal(levels, theirs.images)
        assert np.array_equal(labels, theirs.target)
        assert labels.dtype == np.int64
