"""The data sets and what they share."""

from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from generated_data import write_cifar10, write_image_folder, write_mnist
from omegaconf import OmegaConf

from gan_lab import collectives
from gan_lab.data.cifar import CIFAR10
from gan_lab.data.digits import Digits, held_out_fifth
from gan_lab.data.folder import Folder
from gan_lab.data.mnist import MNIST, FashionMNIST

CONF = Path(__file__).parents[2] / "conf" / "data"
POINTS = ("grid", "ring")  # see test_data_gaussians.py
CLASSES = {"digits": Digits, "mnist": MNIST, "fashion_mnist": FashionMNIST, "cifar10": CIFAR10, "folder": Folder}


def values(name, tmp_path, **overrides):
    """The resolved YAML of a data set, as the command would see it, with `overrides`."""
    config = OmegaConf.create(
        {
            "seed": 0,
            "paths": {"data_dir": str(tmp_path), "cache_dir": str(tmp_path / "cache")},
            "data": OmegaConf.load(CONF / f"{name}.yaml"),
        }
    )
    OmegaConf.update(config, "data", {"root": str(tmp_path / "folder")} if name == "folder" else {})
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
    write_image_folder(tmp_path / "folder", classes=("cat", "dog"))
    data = build(name, tmp_path, image_size=[32, 48], batch_size=4)
    data.prepare_data()
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch["real"].shape == (4, *data.sample_shape) == (4, data.channels, 32, 48)
    assert batch["labels"].max() < data.num_classes == len(data.class_names)
    assert data.render(batch["real"]).dtype == torch.uint8


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_yaml_opens_with_a_line_for_the_help(path):
    assert path.read_text().startswith("# ")
    assert path.stem in CLASSES or path.stem in POINTS


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
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("cifar10", "CIFAR10")]
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
