"""Images from anywhere as a set: folders, zips and npz give the same; what is odd is refused by name."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from gan_lab.data.stored import AS_STORED, Against, check_classes, check_first, stored_images

IMAGES = np.random.default_rng(0).integers(256, size=(6, 8, 10, 3), dtype=np.uint8)


def write_folder(root, images=IMAGES, classes=1):
    for number, image in enumerate(images):
        folder = root / (f"class{number % classes}" if classes > 1 else "")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return root


def read(path, tmp_path, image_size=None):
    return stored_images(path, image_size, tmp_path / "cache")


def test_folder_zip_and_npz_are_the_same_set(tmp_path):
    folder = write_folder(tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    with zipfile.ZipFile(tmp_path / "sets.zip", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"part/{file.name}")
        archive.write(file, "other/one.png")
    np.savez(tmp_path / "last.npz", images=IMAGES)
    np.savez(tmp_path / "first.npz", IMAGES.transpose(0, 3, 1, 2))
    found = [read(tmp_path / name, tmp_path) for name in ("set", "set.zip", "sets.zip/part", "last.npz", "first.npz")]
    for images in found:
        assert np.array_equal(images.images, IMAGES.transpose(0, 3, 1, 2))
        assert images.labels is None
        assert images.split == AS_STORED
    assert len({images.digest for images in found}) == 1
    assert [images.name for images in found] == ["set", "set", "part", "last", "first"]
    assert Against(found[0]).reference("train[:3]") is found[0]


def test_grey_and_alpha_keep_their_channels(tmp_path):
    grey = write_folder(tmp_path / "grey", IMAGES[..., 0])
    assert np.array_equal(read(grey, tmp_path).images, IMAGES[:, None, :, :, 0])
    np.savez(tmp_path / "grey.npz", images=IMAGES[..., 0])
    assert np.array_equal(read(tmp_path / "grey.npz", tmp_path).images, IMAGES[:, None, :, :, 0])
    Image.fromarray(IMAGES[0]).save(grey / "zz.png")
    assert read(grey, tmp_path).images.shape == (7, 3, 8, 10), "one in colour makes all of them so"
    alpha = np.concatenate([IMAGES, IMAGES[..., :1]], axis=-1)
    assert np.array_equal(read(write_folder(tmp_path / "alpha", alpha), tmp_path).images, alpha.transpose(0, 3, 1, 2))


def test_labels(tmp_path):
    folder = read(write_folder(tmp_path / "set", classes=2), tmp_path)
    assert folder.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(folder.images[3], IMAGES[1].transpose(2, 0, 1))
    np.savez(tmp_path / "set.npz", images=IMAGES, labels=np.array([0, 1, 2, 0, 1, 2], np.int32))
    labels = read(tmp_path / "set.npz", tmp_path).labels
    assert (labels.tolist(), labels.dtype) == ([0, 1, 2, 0, 1, 2], np.int64)


def test_a_turned_photograph_has_the_size_that_it_is_seen_in(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "set").mkdir()
    Image.fromarray(IMAGES[0]).save(tmp_path / "set" / "a.png", exif=exif)
    assert read(tmp_path / "set", tmp_path).images.shape == (1, 3, 10, 8)


def test_several_sizes_are_refused_or_resized_aloud(tmp_path):
    folder = write_folder(tmp_path / "set")
    Image.fromarray(IMAGES[0, :5]).save(folder / "odd.png")
    with pytest.raises(ValueError, match=r"most images are 8x10.*not 1 file: odd.png \(5x10\).*image_size="):
        read(folder, tmp_path)
    resized = read(folder, tmp_path, [4, 5])
    assert resized.images.shape == (7, 3, 4, 5)
    assert resized.split == "cropped, Lanczos to 4x5"
    square = Image.fromarray(IMAGES[0]).resize((5, 4), Image.Resampling.LANCZOS)
    assert np.array_equal(resized.images[0].transpose(1, 2, 0), np.asarray(square))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": IMAGES.astype(np.float32)}, "must be uint8.*float32"),
        ({"images": IMAGES[..., :2]}, r"these are \(6, 8, 10, 2\)"),
        ({"images": IMAGES[:, :3]}, r"in one way only; these are \(6, 3, 10, 3\)"),
        ({"images": IMAGES[:0]}, "holds no images"),
        ({"a": IMAGES, "b": IMAGES}, "holds a, b; wanted: images"),
        ({"labels": np.arange(6)}, "holds no arrays; wanted: images"),
        ({"images": IMAGES, "labels": np.arange(5)}, r"labels must be 6 whole numbers.*\(5,\)"),
        ({"images": IMAGES, "labels": np.arange(6.0)}, "whole numbers.*float64"),
        ({"images": np.array([{}], dtype=object)}, "cannot be read as an npz of plain arrays"),
        # Kind F: each says what to do instead.
        ({"images": np.array([IMAGES[0], IMAGES[1, :4]], dtype=object)}, r"pictures of several sizes.*image_size=\["),
        ({"images": IMAGES / 255}, "these are float64; bring them to that range, round them"),
        ({"images": IMAGES[:, :0]}, r"holds no images: their array is \(6, 3, 0, 10\)"),
        ({"images": IMAGES, "labels": np.arange(6) - 1}, "counted from 0; these are -1 to 4"),
        ({"images": IMAGES, "labels": np.full(6, 2**63, np.uint64)}, "these are 9223372036854775808 to"),
        ({"arr_0": IMAGES, "arr_1": np.arange(6)}, r"holds arr_0, arr_1; .*numpy.savez\(file, images=array\), or with"),
    ],
)
def test_other_archives_are_refused(arrays, said, tmp_path):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(ValueError, match=said):
        read(tmp_path / "set.npz", tmp_path)


@pytest.mark.parametrize("content", ["pickled", "empty", "cut", "npy", "flipped"])
def test_a_file_of_another_kind_is_no_npz(content, tmp_path):
    """Kind F: NumPy advises to load it unsafely, or an array alone ends in an AttributeError."""
    path = tmp_path / "set.npz"
    np.savez(path, images=IMAGES)
    whole = bytearray(path.read_bytes())
    if content == "npy":
        with path.open("wb") as file:
            np.save(file, IMAGES)
    elif content == "flipped":
        whole[len(whole) // 2] ^= 255
        path.write_bytes(bytes(whole))
    else:
        path.write_bytes({"pickled": b"\x80\x04N.", "empty": b"", "cut": bytes(whole[: len(whole) // 2])}[content])
    said = "cannot be read as an npz .*CRC" if content == "flipped" else "set.npz is no npz, whatever its name: damaged"
    with pytest.raises(ValueError, match=said + r".*numpy.savez\(file, images=array\)") as caught:
        read(path, tmp_path)
    assert "pickle" not in str(caught.value)


def test_the_size_is_named_by_its_key(tmp_path):
    (tmp_path / "set").mkdir()
    Image.fromarray(IMAGES[0]).save(tmp_path / "set" / "a.png")
    with pytest.raises(ValueError, match=r"^image_size must be one number or \[height, width\], got 'x'"):
        read(tmp_path / "set", tmp_path, "x")


def test_what_is_no_set_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("set/faces/0.png", b"")
    with pytest.raises(
        FileNotFoundError, match=r"^\S+a\.zip/nowhere leads into a.zip, .* they lie in 1 folder: set/faces"
    ):
        read(tmp_path / "a.zip" / "nowhere", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nothing at .*nowhere"):
        read(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no images in .*empty"):
        read(tmp_path / "empty", tmp_path)
    for name, said in (("text.txt", "neither a folder, nor a zip"), ("cut.npz", "is no npz, whatever its name")):
        (tmp_path / name).write_bytes(b"PK\x03\x04 and no more")
        with pytest.raises(ValueError, match=said):
            read(tmp_path / name, tmp_path)
    np.savez(tmp_path / "set.npz", images=IMAGES)
    with pytest.raises(ValueError, match=r"image_size=4 is for folders and zips"):
        read(tmp_path / "set.npz", tmp_path, 4)


def test_a_damaged_file_is_named(tmp_path):
    folder = write_folder(tmp_path / "set")
    whole = (folder / "003.png").read_bytes()
    (folder / "003.png").write_bytes(whole[:10])
    with pytest.raises(ValueError, match=r"cannot be read: 1 file: 003.png .*Repair or remove"):
        read(folder, tmp_path)
    (folder / "003.png").write_bytes(whole[:-40])
    with pytest.raises(ValueError, match=r"cannot be read: 1 file: 003.png .*Repair or remove them$"):
        read(folder, tmp_path)


# Classes ------------------------------------------------------------------------------------------------------------


def pets(root, *names):
    for name in names:
        write_folder(root / name, IMAGES[:2])
    return root


def test_classes_have_their_names(tmp_path):
    two, three = pets(tmp_path / "two", "cat", "dog"), pets(tmp_path / "three", "ant", "cat", "dog")
    images, other = read(two, tmp_path), read(three, tmp_path)
    assert images.class_names == images.part(0, 1).class_names == ("cat", "dog")
    assert Against(other).class_names == ("ant", "cat", "dog")
    assert read(write_folder(tmp_path / "flat"), tmp_path).class_names is None
    with pytest.raises(ValueError, match=r"class 0 is 'cat' in two and 'ant' in three.*\(ant, cat, dog\).*npz"):
        check_classes(images, other.class_names, "three")
    with pytest.raises(ValueError, match="class 1 is 'dog' in two and absent in cats"):
        check_classes(images, ["cat"], "cats")
    check_classes(images, ["cat", "dog"], "the same names, as a list")
    check_classes(images, None, "numbers")
    np.savez(tmp_path / "numbers.npz", images=IMAGES, labels=np.arange(6))
    check_classes(read(tmp_path / "numbers.npz", tmp_path), other.class_names, "three")


def test_the_first_images_must_be_of_all_classes(tmp_path):
    images = read(pets(tmp_path / "two", "cat", "dog"), tmp_path)
    with pytest.raises(
        ValueError, match="first 2 of 4 images of two in their order, which leaves out all of class dog:"
    ):
        check_first(images, 2)
    with pytest.warns(UserWarning, match="first 3 of 4 images of two in their order: 2 of cat, 1 of dog"):
        check_first(images, 3)
    check_first(images, 4)
    check_first(images, 9)  # the stage's to refuse
    np.savez(tmp_path / "set.npz", images=IMAGES, labels=np.array([7, 5, 7, 5, 9, 9]))
    with pytest.raises(ValueError, match="class 5, 9:"):
        check_first(read(tmp_path / "set.npz", tmp_path), 1)
    check_first(read(write_folder(tmp_path / "flat"), tmp_path), 1)


def test_the_pictures_that_sample_leaves_are_no_samples(tmp_path):
    summaries = [("grid.png", 20), ("classes.png", 30), ("interpolation.png", 40)]
    for name, side in (("0000000.png", 8), ("0000001.png", 8), *summaries):
        Image.new("L", (side, side)).save(tmp_path / name)
    assert len(stored_images(tmp_path, None, tmp_path / "cache")) == 2
    (tmp_path / "0000000.png").rename(tmp_path / "first.png")
    with pytest.raises(ValueError, match=r"grid\.png"):
        stored_images(tmp_path, None, tmp_path / "cache")
