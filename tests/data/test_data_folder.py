import os
import shutil

import numpy as np
import pytest
from folders import folder, images_of
from generated_data import write_image_folder, write_image_zip
from PIL import Image

from gan_lab.data import image_files


@pytest.fixture
def decodes(monkeypatch):
    """The names of all files decoded so far, in no order."""
    counted = []
    decode = image_files.decode
    monkeypatch.setattr(image_files, "decode", lambda *args: counted.append(1) or decode(*args))
    return counted


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)


def test_images_come_in_the_order_of_their_names(tmp_path):
    paths = write_image_folder(tmp_path / "pictures", size=(8, 8))
    data = folder(tmp_path / "pictures", tmp_path)
    assert np.array_equal(images_of(data), [pixels(path) for path in paths])
    data.setup()
    assert data.num_classes is None
    assert "labels" not in data.take(4)


def test_a_zip_equals_its_folder(tmp_path):
    write_image_folder(tmp_path / "pictures", classes=("b", "a"))
    packed = write_image_zip(tmp_path / "pictures.zip", tmp_path / "pictures")
    unpacked = folder(tmp_path / "pictures", tmp_path).reference("train")
    zipped = folder(packed, tmp_path).reference("train")
    assert zipped.digest == unpacked.digest
    assert np.array_equal(zipped.labels, [0] * 6 + [1] * 6)


def test_the_digest_of_the_cache_is_the_digest_of_the_content(tmp_path):
    write_image_folder(tmp_path / "pictures", classes=("a", "b"))
    reference = folder(tmp_path / "pictures", tmp_path).reference("train")
    assert reference.digest == reference.part(None, None).digest


def test_subfolders_are_classes_where_all_images_lie_in_one(tmp_path):
    root = tmp_path / "pictures"
    write_image_folder(root, classes=("dog", "cat"), count=2)
    data = folder(root, tmp_path)
    data.setup()
    assert (data.class_names, data.num_classes) == (("cat", "dog"), 2)
    assert data.reference("train").labels.tolist() == [0, 0, 1, 1]
    write_image_folder(root, count=1)
    assert folder(root, tmp_path).reference("train").labels is None


def test_a_folder_around_everything_is_looked_through(tmp_path):
    write_image_folder(tmp_path / "pictures" / "wrapped", classes=("dog", "cat"), count=2)
    data = folder(tmp_path / "pictures", tmp_path)
    data.setup()
    assert data.class_names == ("cat", "dog")
    write_image_folder(tmp_path / "others" / "wrapped", count=2)
    assert folder(tmp_path / "others", tmp_path).reference("train").labels is None


def test_other_and_hidden_files_are_passed_over(tmp_path):
    root = tmp_path / "pictures"
    paths = write_image_folder(root, count=3)
    (root / "notes.txt").write_text("not an image")
    for name in (".hidden.png", "__MACOSX/000.png", ".thumbs/000.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("not an image")
    shutil.copy(paths[0], root / "LAST.PNG")
    assert len(images_of(folder(root, tmp_path))) == 4


def test_a_folder_without_images_names_itself_and_the_extensions(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match=r"no images in .*pictures.*\.jpg, .*\.webp"):
        folder(tmp_path / "pictures", tmp_path).prepare_data()


def test_a_missing_root_names_itself(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.root=.*nowhere does not exist"):
        folder(tmp_path / "nowhere", tmp_path).prepare_data()


def test_a_file_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "pictures.zip").write_text("no zip")
    with pytest.raises(ValueError, match=r"pictures\.zip is not a readable zip"):
        folder(tmp_path / "pictures.zip", tmp_path).prepare_data()


@pytest.fixture
def damaged(tmp_path):
    """Two classes of 15 images, of which 11 JPEGs are cut in half and one is text."""
    root = tmp_path / "damaged"
    for number, path in enumerate(write_image_folder(root, classes=("a", "b"), count=15)):
        if number >= 19:
            whole = path.with_suffix(".jpg")
            Image.open(path).save(whole)
            path.unlink()
            whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (root / "a" / "000.png").write_text("not an image")
    return root


def test_unreadable_files_stop_before_training_with_their_names(damaged, tmp_path):
    with pytest.raises(ValueError) as raised:
        folder(damaged, tmp_path).prepare_data()
    message = str(raised.value)
    for part in (
        "12 files",
        "a/000.png (not an image)",
        "b/004.jpg",
        "truncated",
        "b/012.jpg",
        "and 2 more",
        "on_bad=skip",
    ):
        assert part in message
    assert "b/013.jpg" not in message
    assert list((tmp_path / "cache").iterdir()) == []


def test_unreadable_files_are_skipped_on_request_and_named_at_every_start(damaged, tmp_path, caplog):
    for _ in range(2):
        caplog.clear()
        reference = folder(damaged, tmp_path, on_bad="skip").reference("train")
        assert reference.labels.tolist() == [0] * 14 + [1] * 4
        assert np.array_equal(reference.images[0], images_of(folder(damaged / "a", tmp_path, on_bad="skip"))[0])
        assert "skipped, cannot be read: 12 files: a/000.png (not an image), b/004.jpg" in caplog.text


def test_nothing_readable_is_an_error_even_when_skipping(tmp_path):
    (tmp_path / "a.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"cannot be read: 1 file: a\.png"):
        folder(tmp_path, tmp_path / "elsewhere", on_bad="skip").prepare_data()


def test_a_damaged_entry_of_a_zip_is_named(tmp_path):
    write_image_folder(tmp_path / "pictures", count=3)
    packed = write_image_zip(tmp_path / "pictures.zip", tmp_path / "pictures")
    content = bytearray(packed.read_bytes())
    content[content.index(b"IDAT") + 50] ^= 255
    packed.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read: 1 file: 000\.png \(Bad CRC"):
        folder(packed, tmp_path).prepare_data()


def test_modes_are_converted_and_reported(tmp_path, caplog):
    root = tmp_path / "pictures"
    root.mkdir()
    clear_red = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    grey16 = Image.fromarray(np.full((8, 8), 257 * 100, dtype=np.uint16))
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    clear_palette = palette.copy()
    images = {
        "a_rgb": Image.new("RGB", (8, 8), (1, 2, 3)),
        "b_rgba": clear_red,
        "c_grey16": grey16,
        "d_palette": palette,
        "e_grey": Image.new("L", (8, 8), 40),
        "f_bits": Image.new("1", (8, 8), 1),
        "g_clear_palette": clear_palette,
        "h_grey_alpha": Image.new("LA", (8, 8), (60, 255)),
    }
    for name, image in images.items():
        image.save(root / f"{name}.png", **({"transparency": 1} if name == "g_clear_palette" else {}))
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(root / "i_cmyk.jpg")
    colours = images_of(folder(root, tmp_path))[:, :, 4, 4].tolist()
    white = [255] * 3
    expected = [[1, 2, 3], white, [100] * 3, [10, 20, 30], [40] * 3, white, white, [60] * 3, [0] * 3]
    assert colours == expected
    assert "converted to RGB: 8 files: b_rgba.png (RGBA), c_grey16.png (I;16), d_palette.png (P)" in caplog.text
    with_alpha = images_of(folder(root, tmp_path, channels=4))[:, :, 4, 4].tolist()
    assert with_alpha[:2] == [[1, 2, 3, 255], [255, 0, 0, 0]]
    assert images_of(folder(root, tmp_path, channels=1))[:, 0, 4, 4].tolist()[1:3] == [255, 100]


@pytest.mark.parametrize(("side", "image_size", "told"), [(64, 32, True), (63, 32, False), (64, [48, 48], False)])
def test_pictures_much_larger_than_what_is_taken_without_a_word_are_told_of(side, image_size, told, tmp_path, caplog):
    write_image_folder(tmp_path / "pictures", count=3, size=(side, side + 8))
    folder(tmp_path / "pictures", tmp_path, image_size=image_size).reference("train")
    assert ("data.image_size=64 shows more" in caplog.text) is told
    assert (f"gan-lab-look data.root={tmp_path / 'pictures'}" in caplog.text) is told


def test_odd_sizes_are_brought_to_one_and_reported(tmp_path, caplog):
    root = tmp_path / "pictures"
    write_image_folder(root, count=3)
    wide = np.zeros((16, 48, 3), dtype=np.uint8)
    wide[:, 16:32] = 200  # the square in the middle
    Image.fromarray(wide).save(root / "wide.png")
    cropped = images_of(folder(root, tmp_path))[-1]
    assert "of another size than most (32x32), all are brought to one: 1 file: wide.png (48x16)" in caplog.text
    assert cropped.min() > 180
    squeezed = images_of(folder(root, tmp_path, center_crop=False))[-1]
    assert squeezed[:, :, 0].max() < 30
    assert images_of(folder(root, tmp_path, image_size=[4, 12])).shape == (4, 3, 4, 12)


def test_shrinking_averages_instead_of_picking(tmp_path):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    shrunk = images_of(folder(tmp_path, tmp_path / "elsewhere"))[0, :, 2:-2, 2:-2]
    assert (abs(shrunk.astype(int) - 127) <= 3).all()


def test_exif_orientation_is_honoured(tmp_path):
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[:4] = 255  # bright above; orientation 3 says: turned by 180 degrees
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(image).save(tmp_path / "turned.png", exif=exif)
    read = images_of(folder(tmp_path, tmp_path / "elsewhere"))[0]
    assert read[:, 0].max() == 0
    assert read[:, 7].min() == 255


def test_a_second_start_reads_the_cache_and_any_change_renews_it(tmp_path, decodes):
    root = tmp_path / "pictures"
    paths = write_image_folder(root, count=5)
    images = images_of(folder(root, tmp_path))
    assert len(decodes) == 5
    again = images_of(folder(root, tmp_path))
    assert len(decodes) == 5
    assert isinstance(again, np.memmap)
    assert np.array_equal(again, images)
    os.utime(paths[2], ns=(1, 1))
    assert np.array_equal(images_of(folder(root, tmp_path)), images)
    assert len(decodes) == 5, "the content is the same"
    Image.new("RGB", (8, 8)).save(paths[2])
    assert images_of(folder(root, tmp_path))[2].max() == 0
    assert len(decodes) == 10
    images_of(folder(root, tmp_path, channels=1))
    assert len(decodes) == 15
    paths[0].unlink()
    assert len(images_of(folder(root, tmp_path))) == 4
    assert len(decodes) == 19


def test_a_full_disk_names_the_cache_and_leaves_nothing(tmp_path, monkeypatch):
    write_image_folder(tmp_path / "pictures", count=2)

    def full(self, pixels):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gan_lab.data.decoded.ArrayWriter.add", full)
    with pytest.raises(OSError, match=r"data\.cache_dir=.*cache.*No space left on device"):
        folder(tmp_path / "pictures", tmp_path).prepare_data()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_large_set_streams_from_the_map(tmp_path):
    write_image_folder(tmp_path / "pictures", count=9)
    resident = folder(tmp_path / "pictures", tmp_path, flip=True)
    streamed = folder(tmp_path / "pictures", tmp_path, flip=True, resident=False, workers=2)
    resident.setup()
    streamed.setup()
    for _ in range(4):
        assert (resident.take(4)["real"] == streamed.take(4)["real"]).all()


def test_an_unknown_way_with_bad_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"data\.on_bad must be stop or skip, got 'ignore'"):
        folder(tmp_path, tmp_path, on_bad="ignore")
