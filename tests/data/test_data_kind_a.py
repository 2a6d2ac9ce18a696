"""Kind A, wrong data in silence: what is read is what a person means, and whatever is not read is said by name.

The reference in a docstring is a public report of the fault, by repository and number.
"""

import io
import json
import logging
import os
import re
import shutil
import struct
import sys
import zipfile
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from folders import folder, images_of
from generated_data import (
    srgb_profile,
    swapped_profile,
    write_celeba,
    write_image_folder,
    write_image_zip,
    write_imagenet,
    write_png16,
)
from PIL import Image

from gan_lab.data import image_files, sources
from gan_lab.data.celeba import CelebA
from gan_lab.data.folder import Folder
from gan_lab.data.imagenet import ImageNet
from gan_lab.data.stored import stored_images

OLD = (10**18, 10**18)  # ns


@pytest.fixture(autouse=True)
def everything_logged(caplog):
    caplog.set_level(logging.INFO, logger="gan_lab")


@pytest.fixture
def decodes(monkeypatch):
    """One entry for each file decoded so far."""
    counted = []
    decode = image_files.decode
    monkeypatch.setattr(image_files, "decode", lambda *args: counted.append(1) or decode(*args))
    return counted


def write_plain(path, level=0, size=(8, 8), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path, **options)
    return path


def labels_of(data):
    return data.reference("train").labels.tolist()


def centre(path, tmp_path, **overrides):
    """The pixel in the middle of the one image below `path`."""
    return images_of(folder(path, tmp_path, **overrides))[0, :, 4, 4].tolist()


# Folders ------------------------------------------------------------------------------------------------------------


def test_a_link_that_leads_back_is_not_followed(tmp_path, caplog):
    """fastai#2270: 20 pictures became 820."""
    root = tmp_path / "outer" / "pictures"
    write_image_folder(root, classes=("a", "b"), count=10)
    (root / "b" / "self").symlink_to(root, target_is_directory=True)
    (root / "up").symlink_to(tmp_path / "outer", target_is_directory=True)
    data = folder(root, tmp_path)
    assert len(images_of(data)) == 20
    assert data.class_names == ("a", "b")
    assert "not followed: 2 links: b/self, up" in caplog.text


def test_a_linked_folder_is_read_once_under_its_real_name(tmp_path, caplog):
    """fastai#2270."""
    root = tmp_path / "pictures"
    write_image_folder(root, classes=("b", "c"), count=2)
    write_image_folder(tmp_path / "elsewhere", count=3)
    (root / "a").symlink_to(root / "b", target_is_directory=True)
    (root / "d").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "e").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    data = folder(root, tmp_path)
    assert labels_of(data) == [0, 0, 1, 1, 2, 2, 2]
    assert data.class_names == ("b", "c", "d")
    assert "not followed: 2 links: a, e" in caplog.text


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    """As files that cannot be read are; os.walk passes over it."""
    root = tmp_path / "pictures"
    write_image_folder(root, classes=("a", "b"), count=2)
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("gan_lab.data.sources.os.scandir", locked)
    with pytest.raises(ValueError, match=r"cannot be read: 1 file: b/\* \(Permission denied\).*data\.on_bad=skip"):
        folder(root, tmp_path).prepare_data()
    data = folder(root, tmp_path, on_bad="skip")
    assert labels_of(data) == [0, 0]
    assert data.class_names == ("a", "b")


def test_what_the_run_itself_writes_below_the_root_is_no_data(tmp_path, caplog):
    """Of `data.root=.`, the pictures of the first start were data of the second."""
    write_image_folder(tmp_path, count=3)
    write_plain(tmp_path / "venv" / "lib" / "icon.png")
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    write_plain(tmp_path / ".venv" / "icon.png")
    identity = folder(tmp_path, tmp_path / "cache").identity()
    run = tmp_path / "runs" / "dcgan_folder" / "01234567" / "seed0"
    write_plain(run / "pictures" / "latest.png")
    (run / "config.yaml").touch()
    (run / "run.json").touch()
    (run.parent / ".seed0.lock").touch()
    write_plain(tmp_path / "mine" / "pictures" / "latest.png")
    (tmp_path / "mine" / "run.json").touch()
    (tmp_path / "mine" / "train.log").touch()
    for name in ("grid.png", "000000.png", "000001.png"):
        write_plain(tmp_path / "samples" / name)
    data = folder(tmp_path, tmp_path / "cache")
    assert len(images_of(data)) == 3
    assert data.identity() == identity
    assert "run folders of gan_lab, not read: 2 folders: mine, runs/dcgan_folder/01234567/seed0" in caplog.text
    assert "samples of gan_lab beside other images, not read: 1 folder: samples" in caplog.text
    assert "Python environments, not read: 1 folder: venv" in caplog.text
    assert "left out as hidden: 1 entry: .venv" in caplog.text


def test_a_run_folder_as_root_has_the_pictures_of_the_person_alone(tmp_path):
    """As `data.root=. run_dir=.`"""
    write_image_folder(tmp_path, count=3)
    (tmp_path / "config.yaml").touch()
    (tmp_path / "run.json").touch()
    write_plain(tmp_path / "curves.png")
    write_plain(tmp_path / "pictures" / "latest.png")
    assert len(images_of(folder(tmp_path, tmp_path / "cache"))) == 3


def test_folders_of_samples_alone_are_a_set(tmp_path):
    """Samples of each class in a folder of its own, to be scored."""
    for name in ("cat", "dog"):
        for file in ("grid.png", "000000.png", "000001.png"):
            write_plain(tmp_path / "samples" / name / file)
    data = folder(tmp_path / "samples", tmp_path)
    assert labels_of(data) == [0, 0, 1, 1]


# Files --------------------------------------------------------------------------------------------------------------


def test_formats_that_people_have_are_read_and_the_others_are_named(tmp_path, caplog):
    """unet-stylegan2#5: of 21 pictures 15 GIFs and a JFIF were left out."""
    root = tmp_path / "pictures"
    kinds = ("gif", "jfif", "jpe", "jp2", "tga", "apng", "dib", "pcx", "qoi", "PNG")
    formats = {"jfif": "JPEG", "jpe": "JPEG", "apng": "PNG"}
    for kind in kinds:
        write_plain(root / f"a.{kind}", format=formats.get(kind))
    for name in ("b.heic", "c.HEIC", "d.svg", "e"):
        (root / name).write_bytes(b"of another format")
    (root / "notes.txt").touch()
    assert len(images_of(folder(root, tmp_path))) == len(kinds)
    assert "not read (2 .heic, 1 .svg, 1 without extension): 4 files: b.heic, c.HEIC, d.svg, e; convert" in caplog.text
    assert re.search(
        r"heif-convert IN OUT\.png \(libheif\).*pip install .*\[heic\]\S* reads \.heic as it is", caplog.text
    )
    assert "left out (1 .txt): 1 file: notes.txt" in caplog.text
    levels = {record.getMessage().partition(": ")[2][:8]: record.levelname for record in caplog.records}
    assert (levels["not read"], levels["left out"]) == ("WARNING", "INFO")


def test_a_folder_of_an_unread_format_alone_names_it(tmp_path):
    """unet-stylegan2#5."""
    (tmp_path / "a.heic").touch()
    with pytest.raises(ValueError, match=r"no images in .*; not read \(1 \.heic\): 1 file: a\.heic; convert"):
        folder(tmp_path, tmp_path / "cache").prepare_data()


def test_of_an_animation_the_first_image_is_taken_aloud(tmp_path, caplog):
    """unet-stylegan2#5."""
    frames = [Image.new("RGB", (8, 8), (level, 0, 0)) for level in (200, 100)]
    (tmp_path / "pictures").mkdir()
    frames[0].save(tmp_path / "pictures" / "moving.gif", save_all=True, append_images=frames[1:])
    write_plain(tmp_path / "pictures" / "still.gif")
    assert centre(tmp_path / "pictures", tmp_path) == [200, 0, 0]
    assert "of several images in one file the first is taken: 1 file: moving.gif" in caplog.text


def test_a_name_that_is_twice_in_a_zip_is_one_image(tmp_path, caplog):
    """The last one, as everyone unpacks it."""
    contents = [write_plain(tmp_path / f"{level}.png", level).read_bytes() for level in (10, 20)]
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.png", contents[0])
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", contents[1])
    images = images_of(folder(tmp_path / "set.zip", tmp_path))
    assert images[:, 0, 4, 4].tolist() == [20]
    assert "more than once, of which the last is read: 1 file: a.png" in caplog.text


def test_names_that_differ_by_case_are_named(tmp_path, caplog):
    for name in ("a.png", "A.PNG", "b.png"):
        write_plain(tmp_path / "pictures" / name)
    assert len(images_of(folder(tmp_path / "pictures", tmp_path))) == 3
    assert "names that differ by case alone: 2 files: A.PNG, a.png" in caplog.text


def test_a_zip_says_what_it_leaves_out(tmp_path, caplog):
    contents = {"./a.png": True, "__MACOSX/._a.png": False, ".b.png": False, "c.heic": False, "d.csv": False}
    image = write_plain(tmp_path / "a.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in contents:
            archive.writestr(name, image)
    assert len(images_of(folder(tmp_path / "set.zip", tmp_path))) == 1
    for said in ("left out as hidden: 1 file: .b.png", "not read (1 .heic): 1 file: c.heic", "(1 .csv): 1 file: d.csv"):
        assert said in caplog.text
    assert "MACOSX" not in caplog.text


def test_a_start_says_what_there_is(tmp_path, caplog):
    """neural-enhance#3."""
    write_image_folder(tmp_path / "pictures", classes=("cat", "dog"), count=3)
    write_plain(tmp_path / "pictures" / "dog" / "wide.png", size=(16, 8))
    Image.new("L", (8, 8)).save(tmp_path / "pictures" / "dog" / "grey.png")
    for _ in range(2):
        caplog.clear()
        folder(tmp_path / "pictures", tmp_path, limit=5).setup()
        assert "8 images of 32x32 (6), 8x8 (1), 16x8 (1) pixels (width x height), RGB (7), L (1)" in caplog.text
        assert "2 classes by the folders cat, dog" in caplog.text
        assert "training on 5 of 8 images of folder, in 2 classes" in caplog.text


# Classes ------------------------------------------------------------------------------------------------------------


def write_stylegan(root, count=1003, labels=None):
    """StyleGAN's layout: folders of 1,000, which it numbers through; of 4x4 pixels."""
    names = [f"{number // 1000:05}/img{number:08}.png" for number in range(count)]
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, format="PNG")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.getvalue())
    if labels is not None:
        table = labels and [[name, labels(number)] for number, name in enumerate(names)]
        (root / "dataset.json").write_text(json.dumps({"labels": table or None}))
    return root


def test_labels_of_stylegan_are_read(tmp_path, caplog):
    """NVlabs/stylegan2-ada-pytorch#111, #126: shards of 1,000 became classes, and the labels were ignored."""
    root = write_stylegan(tmp_path / "set", labels=lambda number: number % 7)
    packed = write_image_zip(tmp_path / "set.zip", root)
    for place in (root, packed):
        data = folder(place, tmp_path)
        assert labels_of(data) == [number % 7 for number in range(1003)]
        assert data.class_names == tuple("0123456")
    assert "7 classes by dataset.json" in caplog.text


@pytest.mark.parametrize("labels", [None, False])
def test_shards_of_stylegan_are_no_classes(labels, tmp_path, caplog):
    """eps696/stylegan2ada#18; `"labels": null` is what its tool writes for none."""
    root = write_stylegan(tmp_path / "set", labels=labels)
    assert folder(root, tmp_path).reference("train").labels is None
    assert "no classes: the folders 00000, 00001 number the images through" in caplog.text
    assert np.bincount(labels_of(folder(root, tmp_path, num_classes=2))).tolist() == [1000, 3]


def test_shards_of_ffhq_are_no_classes(tmp_path):
    """The folders 00000, 01000, ... of the set that StyleGAN came with."""
    for number in (0, 999, 1000, 69999):
        write_plain(tmp_path / "ffhq" / f"{number // 1000 * 1000:05}" / f"{number:05}.png")
    assert folder(tmp_path / "ffhq", tmp_path).reference("train").labels is None


def test_classes_with_numbers_for_names_remain_classes(tmp_path):
    """Traffic signs have 00000 to 00042, digits 0 to 9; numbers of images start anew, or go through at 6,000 each."""
    for sign in range(3):
        write_plain(tmp_path / "signs" / f"{sign:05}" / "00000_00007.png")
        write_plain(tmp_path / "digits" / f"{sign}" / f"{6000 * sign}.png")
    for name in ("signs", "digits"):
        assert labels_of(folder(tmp_path / name, tmp_path)) == [0, 1, 2]


@pytest.mark.parametrize("parts", [("train", "val"), ("Train", "Test"), ("train", "validation", "test")])
def test_parts_of_a_set_are_no_classes(parts, tmp_path, caplog):
    root = tmp_path / "set"
    for part in parts:
        write_image_folder(root / part / "images", classes=("cat", "dog"), count=1)
    data = folder(root, tmp_path)
    assert labels_of(data) == [0, 1] * len(parts)
    assert data.class_names == ("cat", "dog")
    assert f"{', '.join(sorted(parts))} are parts of a set and all are read" in caplog.text
    write_plain(root / parts[0] / "images" / "stray.png")
    assert folder(root, tmp_path).reference("train").labels is None


def test_parts_of_a_set_without_classes_have_none(tmp_path):
    write_image_folder(tmp_path / "set", classes=("train", "val"), count=1)
    assert folder(tmp_path / "set", tmp_path).reference("train").labels is None
    assert labels_of(folder(tmp_path / "set", tmp_path, num_classes=2)) == [0, 1]


def test_a_person_decides_by_the_number_of_classes(tmp_path):
    root = tmp_path / "set"
    write_image_folder(root, classes=("a", "b"), count=3)
    table = [[f"{name}/{number:03}.png", number] for name in "ab" for number in range(3)]
    (root / "dataset.json").write_text(json.dumps({"labels": table}))
    assert labels_of(folder(root, tmp_path)) == [0, 1, 2, 0, 1, 2]
    assert labels_of(folder(root, tmp_path, num_classes=3)) == [0, 1, 2, 0, 1, 2]
    assert labels_of(folder(root, tmp_path, num_classes=2)) == [0, 0, 0, 1, 1, 1]
    none = folder(root, tmp_path, num_classes=0)
    none.setup()
    assert none.num_classes is None
    assert none.training_labels is None
    with pytest.raises(ValueError, match=r"data\.num_classes=4, but .*set has 3 classes \(3 classes by dataset.json\)"):
        folder(root, tmp_path, num_classes=4).prepare_data()


def test_other_labels_are_another_copy(tmp_path):
    root = tmp_path / "set"
    write_image_folder(root, count=2)
    for labels in ([0, 1], [1, 0]):
        table = [[f"{number:03}.png", label] for number, label in enumerate(labels)]
        (root / "dataset.json").write_text(json.dumps({"labels": table}))
        os.utime(root / "dataset.json", ns=OLD)
        assert labels_of(folder(root, tmp_path)) == labels


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no JSON", "dataset.json holds no labels of images (JSONDecodeError"),
        ('{"name": "mine"}', "dataset.json holds no labels of images (KeyError"),
        ('{"labels": [["000.png", [0.5]], ["001.png", [0.25]]]}', "labels of dataset.json are not all whole numbers"),
        (
            '{"labels": [["000.png", 0], ["001.png", 1], ["x.png", 1]]}',
            "dataset.json, which has 1 labels of other files",
        ),
    ],
)
def test_labels_that_are_none_are_passed_over_aloud(content, said, tmp_path, caplog):
    write_image_folder(tmp_path / "set", count=2)
    (tmp_path / "set" / "dataset.json").write_text(content)
    folder(tmp_path / "set", tmp_path).reference("train")
    assert said in caplog.text


def test_images_without_a_label_are_named(tmp_path):
    write_image_folder(tmp_path / "set", count=2)
    (tmp_path / "set" / "dataset.json").write_text('{"labels": [["000.png", 0]]}')
    with pytest.raises(ValueError, match=r"dataset\.json has no label for 1 file: 001\.png.*data\.num_classes=0"):
        folder(tmp_path / "set", tmp_path).prepare_data()
    with pytest.raises(ValueError, match=r"has no label for 1 file: 001\.png. Repair or remove it$"):
        stored_images(tmp_path / "set", None, tmp_path / "cache")


def test_one_class_of_imagenet_is_a_class(tmp_path):
    write_imagenet(tmp_path / "imagenet", classes=("n01440764",), count=2)
    arguments = {"image_size": 8, "channels": 3, "sample_shape": [3, 8, 8], "num_classes": None}
    data = of_files(ImageNet, tmp_path, root=str(tmp_path / "imagenet"), **arguments)
    assert labels_of(data) == [0, 0]
    write_plain(tmp_path / "imagenet" / "train" / "stray.png")
    with pytest.raises(ValueError, match=r"must lie in a folder of their class, but not 1 file: stray\.png"):
        of_files(ImageNet, tmp_path, root=str(tmp_path / "imagenet"), **arguments).prepare_data()


def of_files(kind, tmp_path, **settings):
    common = {"name": "set", "center_crop": True, "on_bad": "stop", "cache_dir": str(tmp_path / "cache")}
    rest = {"batch_size": 1, "micro_batch_size": None, "flip": False, "resident": True, "resident_limit_mb": 1}
    return kind(**common, **rest, workers=0, limit=None, seed=0, **settings)


def test_faces_that_are_not_unpacked_are_named(tmp_path):
    names = write_celeba(tmp_path)
    (tmp_path / "celeba" / "img_align_celeba" / names["train"][3]).unlink()
    arguments = {"image_size": 8, "channels": 3, "sample_shape": [3, 8, 8], "num_classes": None}
    with pytest.raises(ValueError, match=rf"1 file: {names['train'][3]} \(not there\)"):
        of_files(CelebA, tmp_path, root=str(tmp_path), download=False, **arguments).prepare_data()


def test_further_arrays_of_an_npz_are_named(tmp_path):
    np.savez(tmp_path / "set.npz", images=np.zeros((2, 8, 8, 3), np.uint8), y=np.arange(2))
    with pytest.warns(UserWarning, match=r"set\.npz holds y too, which is not read"):
        stored_images(tmp_path / "set.npz", None, tmp_path / "cache")


# Pixels -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "depth"), [(0, 1), (2, 3)])
def test_what_is_transparent_in_16_bits_is_white(kind, depth, tmp_path):
    """Pillow#9281: it became 156."""
    levels = np.full((8, 8, depth), 40000)
    levels[0] = 20000
    write_png16(tmp_path / "set" / "a.png", levels, kind=kind, transparent=(40000,) * depth)
    images = images_of(folder(tmp_path / "set", tmp_path))[0]
    assert images[:, 4, 4].tolist() == [255] * 3
    assert images[:, 0, 4].tolist() == [78] * 3
    with_alpha = images_of(folder(tmp_path / "set", tmp_path, channels=4))[0]
    assert with_alpha[3, [0, 4], 4].tolist() == [255, 0]


def test_grey_with_alpha_in_16_bits_is_white_where_it_is_clear(tmp_path):
    """Pillow#9281."""
    levels = np.full((8, 8, 2), 40000)
    levels[..., 1] = 0
    write_png16(tmp_path / "set" / "a.png", levels, kind=4)
    assert centre(tmp_path / "set", tmp_path) == [255] * 3


def test_8_bits_in_files_of_32_are_as_they_are(tmp_path, caplog):
    """Pillow#2574, vision#4657: they became black."""
    (tmp_path / "set").mkdir()
    for name, level in (("a", 200), ("b", 255)):
        Image.fromarray(np.full((8, 8), level, np.int32)).save(tmp_path / "set" / f"{name}.tif")
    assert centre(tmp_path / "set", tmp_path) == [200] * 3
    assert "8 bits in files of 32: no level is above 255, so 255 is white: 2 files: a.tif, b.tif" in caplog.text


def test_12_bits_in_files_of_16_are_brought_to_8(tmp_path, caplog):
    """vision#4657: they became nearly black. One file decides for the set, so that levels stay comparable."""
    for name, level in (("a", 2048), ("b", 4095)):
        write_png16(tmp_path / "set" / f"{name}.png", np.full((8, 8), level), kind=0)
    images = images_of(folder(tmp_path / "set", tmp_path))
    assert images[:, 0, 4, 4].tolist() == [128, 255]
    assert "12 bits in files of 16: no level is above 4095, so 4095 is white: 2 files: a.png, b.png" in caplog.text
    write_png16(tmp_path / "set" / "c.png", np.full((8, 8), 4096), kind=0)
    assert images_of(folder(tmp_path / "set", tmp_path))[:, 0, 4, 4].tolist() == [8, 16, 16]


def test_12_bits_of_colour_in_16_are_said_to_be_dark(tmp_path, caplog):
    """vision#4657: Pillow keeps the upper 8 bits of colours of 16."""
    write_png16(tmp_path / "set" / "a.png", np.full((8, 8, 3), 4095), kind=2)
    assert centre(tmp_path / "set", tmp_path) == [15] * 3
    assert "nearly black, colours of 12 bits in files of 16" in caplog.text
    write_png16(tmp_path / "full" / "a.png", np.full((8, 8, 3), 65535), kind=2)
    caplog.clear()
    assert centre(tmp_path / "full", tmp_path) == [255] * 3
    assert "nearly black" not in caplog.text


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        (np.full((8, 8), 70000, np.int32), "levels from 70000 to 70000 have no known white: convert it to 8 or 16"),
        (np.full((8, 8), -1, np.int32), "levels from -1 to -1 have no known white"),
        (np.full((8, 8), 0.5, np.float32), "floating-point pixels have no known black and white: convert it to 8"),
    ],
)
def test_levels_without_a_known_white_are_refused(levels, said, tmp_path):
    """Pillow#2574."""
    Image.fromarray(levels).save(tmp_path / "a.tif")
    with pytest.raises(ValueError) as raised:
        folder(tmp_path, tmp_path / "cache").prepare_data()
    assert said in str(raised.value)
    assert "data.on_bad=skip" in str(raised.value)


def linear_grey_profile():
    """Grey whose levels are proportional to light."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    body = struct.pack(">I", 2)
    for name, offset, size in ((b"wtpt", 156, len(white)), (b"kTRC", 156 + len(white), len(curve))):
        body += name + struct.pack(">2I", offset, size)
    body += white + curve
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + body


def test_colours_are_brought_to_srgb_by_their_profile(tmp_path, caplog):
    """Pillow#9281, #2574, vision#4657: profiles were ignored."""
    (tmp_path / "set").mkdir()
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    palette = red.quantize(2)
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    for name, image in (("a", red), ("b", palette), ("c", clear)):
        image.save(tmp_path / "set" / f"{name}.png", icc_profile=swapped_profile())
    images = images_of(folder(tmp_path / "set", tmp_path, channels=4))[:, :, 4, 4].astype(int)
    assert abs(images - [[0, 255, 0, 255], [0, 255, 0, 255], [0, 255, 0, 0]]).max() <= 1
    assert "brought to sRGB by their ICC profiles: 3 files: a.png, b.png, c.png" in caplog.text


def test_an_srgb_profile_changes_no_pixel(tmp_path, caplog):
    levels = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    (tmp_path / "set").mkdir()
    Image.fromarray(levels).save(tmp_path / "set" / "a.png", icc_profile=srgb_profile())
    Image.fromarray(levels[..., 0]).save(tmp_path / "set" / "b.png", icc_profile=srgb_profile())
    images = images_of(folder(tmp_path / "set", tmp_path))
    assert np.array_equal(images[0], levels.transpose(2, 0, 1))
    assert np.array_equal(images[1, 2], levels[..., 0])
    assert "ICC" not in caplog.text


def test_grey_is_brought_to_srgb_too(tmp_path, caplog):
    """Half of the light, 128 of 255, is 1.055 * 0.502^(1/2.4) - 0.055 = 0.737 of sRGB, 188."""
    (tmp_path / "set").mkdir()
    grey = Image.new("L", (8, 8), 128)
    grey.save(tmp_path / "set" / "a.png", icc_profile=linear_grey_profile())
    grey.convert("RGB").save(tmp_path / "set" / "b.png", icc_profile=linear_grey_profile())
    grey.convert("RGB").save(tmp_path / "set" / "c.png", icc_profile=b"no profile")
    images = images_of(folder(tmp_path / "set", tmp_path, channels=1))[:, 0, 4, 4].tolist()
    assert images == [188, 128, 128]
    assert "of mode RGB with an ICC profile for L, taken as sRGB: 1 file: b.png" in caplog.text
    assert "with an ICC profile that cannot be read, taken as sRGB: 1 file: c.png" in caplog.text


# Decoded copies -----------------------------------------------------------------------------------------------------


def test_folders_alike_in_names_sizes_and_times_are_two(tmp_path):
    """aws-cdk#38500: two different folders shared one copy, and were at distance 0."""
    for name, level in (("one/set", 10), ("two/set", 20)):
        path = write_plain(tmp_path / name / "a.bmp", level)
        os.utime(path, ns=OLD)
    found = [images_of(folder(tmp_path / name / "set", tmp_path))[0, 0, 4, 4] for name in ("one", "two")]
    assert found == [10, 20]


@pytest.mark.parametrize("zipped", [False, True])
def test_other_content_at_the_same_place_as_old_and_as_long(zipped, tmp_path, decodes):
    """aws-cdk#38500."""
    found = []
    for level in (10, 20):
        root = tmp_path / "set"
        shutil.rmtree(root, ignore_errors=True)
        os.utime(write_plain(root / "a.bmp", level), ns=OLD)
        if zipped:
            with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
                archive.writestr(zipfile.ZipInfo("a.bmp"), (root / "a.bmp").read_bytes())
            root = tmp_path / "set.zip"
            os.utime(root, ns=OLD)
        for _ in range(2):
            found.append(images_of(folder(root, tmp_path))[0, 0, 4, 4])
    assert found == [10, 10, 20, 20]
    assert len(decodes) == 2


def test_a_place_is_trusted_by_stamps_and_by_a_sample_of_the_content(tmp_path, monkeypatch):
    """aws-cdk#38500: of disk images of equal times even inode numbers are alike."""
    paths = [write_plain(tmp_path / "set" / f"{number}.bmp", 10) for number in range(3)]
    monkeypatch.setattr(sources, "YOUNG_NS", 0)
    monkeypatch.setattr(sources, "marks_of", lambda found: (found.st_size, 1, 1, 1))
    images_of(folder(tmp_path / "set", tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr("gan_lab.data.decoded.checksums_of", None)
        assert images_of(folder(tmp_path / "set", tmp_path))[1, 0, 4, 4] == 10
    write_plain(paths[1], 20)
    assert images_of(folder(tmp_path / "set", tmp_path))[1, 0, 4, 4] == 20


def test_young_files_are_not_trusted(tmp_path, monkeypatch):
    """A change within the clock's resolution leaves the stamps; as git's index has it."""
    path = write_plain(tmp_path / "set" / "a.bmp")
    first, again = (folder(tmp_path / "set", tmp_path).source("train").stamps() for _ in range(2))
    assert first != again
    monkeypatch.setattr("gan_lab.data.sources.YOUNG_NS", 0)
    first, again = (folder(tmp_path / "set", tmp_path).source("train").stamps() for _ in range(2))
    assert first == again
    write_plain(path, 10)
    assert folder(tmp_path / "set", tmp_path).source("train").stamps() != first


def test_the_same_images_elsewhere_find_the_copy(tmp_path, decodes):
    """raster-vision#756: a job's scratch, another name, a zip."""
    root = tmp_path / "pictures"
    write_image_folder(root, classes=("a", "b"), count=3)
    shutil.copytree(root, tmp_path / "scratch" / "other")
    packed = write_image_zip(tmp_path / "packed.zip", root)
    found = [folder(place, tmp_path) for place in (root, tmp_path / "scratch" / "other", packed)]
    assert len({data.reference("train").digest for data in found}) == 1
    assert len(decodes) == 6
    assert len({data.identity() for data in found}) == 1


def test_an_identity_is_of_content_and_needs_no_decoding(tmp_path, decodes):
    """Kind B, raster-vision#756: what a run is must follow from the content of the data, not from its path."""
    root = tmp_path / "pictures"
    paths = write_image_folder(root, classes=("a", "b"), count=3)
    identity = folder(root, tmp_path).identity()
    assert folder(f"{root}/", tmp_path).identity() == identity
    (root / "notes.txt").touch()
    os.utime(paths[0], ns=OLD)
    assert folder(root, tmp_path, image_size=4).identity() == identity
    content = paths[0].read_bytes()
    paths[0].write_bytes(paths[1].read_bytes())
    paths[1].write_bytes(content)
    assert folder(root, tmp_path).identity() != identity
    paths[1].write_bytes(paths[0].read_bytes())
    paths[0].write_bytes(content)
    (root / "dataset.json").write_text(json.dumps({"labels": [[f"{n}/00{i}.png", i] for n in "ab" for i in range(3)]}))
    assert folder(root, tmp_path).identity() != identity
    assert not decodes
    assert not (tmp_path / "cache").exists()


def test_of_a_damaged_zip_the_skipped_image_is_missed_by_no_other(tmp_path):
    """A zip's own checksums are of what was packed, which may be damaged."""
    write_image_folder(tmp_path / "set", count=3)
    sound = write_image_zip(tmp_path / "sound.zip", tmp_path / "set")
    content = bytearray(sound.read_bytes())
    content[content.index(b"IDAT") + 50] ^= 255
    (tmp_path / "damaged.zip").write_bytes(content)
    for name, count in (("damaged.zip", 2), ("sound.zip", 3)):
        assert len(images_of(folder(tmp_path / name, tmp_path, on_bad="skip"))) == count


# What a killed start leaves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["short", "absent", "facts", "checksums"])
def test_a_damaged_copy_is_named_and_made_anew(harm, tmp_path, caplog, decodes):
    """It ended in `mmap length is greater than file size`."""
    write_image_folder(tmp_path / "set", classes=("a", "b"), count=3)
    sound = folder(tmp_path / "set", tmp_path).reference("train").digest
    (copy,) = (tmp_path / "cache").iterdir()
    if harm == "short":
        os.truncate(copy / "images.npy", 300)
    elif harm == "absent":
        (copy / "labels.npy").unlink()
    elif harm == "facts":
        (copy / "facts.json").write_text("")
    else:
        np.save(copy / "checksums.npy", np.zeros(2, np.int64))
    found = folder(tmp_path / "set", tmp_path).reference("train")
    assert found.digest == sound == found.part(None, None).digest
    assert f"the decoded copy {copy} is damaged" in caplog.text
    assert len(decodes) == 12


def test_what_a_killed_start_has_left_is_removed(tmp_path, caplog):
    """It stayed for ever."""
    write_image_folder(tmp_path / "set", count=2)
    cache = tmp_path / "cache"
    data = folder(tmp_path / "set", tmp_path)
    with data._copies.unfinished() as at_work:
        (at_work / "images.npy").touch()
        killed, elsewhere, long_ago = (
            at_work.with_name(f"{name}x") for name in (at_work.name, "unfinished-1-", "unfinished-0-")
        )
        for left in (killed, elsewhere, long_ago):
            shutil.copytree(at_work, left)
        for path in (*long_ago.iterdir(), long_ago):
            os.utime(path, ns=OLD)
        images_of(data)
        left = {path.name for path in cache.glob("unfinished-*")}
        assert left == {at_work.name, elsewhere.name}, "at work here, and perhaps on another machine"
    assert "part of a decoded copy that a killed start has left" in caplog.text
    assert [path.name for path in cache.glob("unfinished-*")] == [elsewhere.name]


def test_a_class_of_ones_own_may_return_names_and_labels_alone(tmp_path):
    class Mine(Folder):
        def classes(self, source, names):
            return ["only"], [0] * len(names)

    write_image_folder(tmp_path / "set", count=2)
    arguments = {"image_size": 8, "channels": 3, "sample_shape": [3, 8, 8], "num_classes": None}
    assert labels_of(of_files(Mine, tmp_path, root=str(tmp_path / "set"), **arguments)) == [0, 0]


def test_pictures_of_telephones_are_read_where_the_extra_is(tmp_path, monkeypatch):
    """A stand-in for pillow-heif, which makes Pillow know the extension."""
    plugin = SimpleNamespace(register_heif_opener=lambda: Image.register_extension("PNG", ".heic"))
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    monkeypatch.setattr(Image, "EXTENSION", dict(Image.registered_extensions()))
    monkeypatch.setattr(sources, "extensions", cache(sources.extensions.__wrapped__))
    Image.new("RGB", (8, 8), (9, 0, 0)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.heic")
    assert images_of(folder(tmp_path, tmp_path / "cache"))[0, 0].max() == 9
