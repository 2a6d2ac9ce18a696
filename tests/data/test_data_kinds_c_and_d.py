"""Kind C, a start that need not end, and kind D, messages with the place and the remedy: of image files."""

import errno
import logging
import os
import subprocess
import sys

import pytest
from folders import folder, images_of
from generated_data import write_image_folder
from PIL import Image

from gan_lab import collectives
from gan_lab.data import copies
from gan_lab.data.folder import Folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("gan_lab.data.copies.tempfile.gettempdir", lambda: str(folder))
    return folder


@pytest.fixture
def unwritable(tmp_path):
    """A cache folder that nobody can make, not even root, as a file is in its way."""
    (tmp_path / "home").touch()
    return tmp_path / "home" / "cache"


# C ------------------------------------------------------------------------------------------------------------------


def test_without_a_cache_that_can_be_written_a_temporary_one_will_do(tmp_path, temporary, unwritable, caplog):
    write_image_folder(tmp_path / "set", count=3)
    assert len(images_of(folder(tmp_path / "set", tmp_path, cache_dir=str(unwritable)))) == 3
    for part in (
        f"data.cache_dir={unwritable} cannot be written (Not a directory)",
        "paths.cache_dir=",
        "GAN_LAB_CACHE",
    ):
        assert part in caplog.text
    assert str(temporary) in caplog.text


def test_the_temporary_cache_is_gone_at_the_end(tmp_path):
    write_image_folder(tmp_path / "set", count=3)
    (tmp_path / "home").touch()
    (tmp_path / "temporary").mkdir()
    script = (
        "from pathlib import Path; from folders import folder, images_of\n"
        "import sys; root = Path(sys.argv[1])\n"
        "print(len(images_of(folder(root / 'set', root, cache_dir=str(root / 'home' / 'cache')))))\n"
        "print(len(list((root / 'temporary').iterdir())))\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    environment["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), environment["PYTHONPATH"]])
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split()[-2:] == ["3", "1"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_ranks_of_one_machine_share_the_temporary_cache(tmp_path, temporary, unwritable, monkeypatch):
    write_image_folder(tmp_path / "set", count=3)
    monkeypatch.setattr(collectives, "is_distributed", lambda: True)
    monkeypatch.setattr(collectives, "rank", lambda: 0)
    monkeypatch.setenv("MASTER_PORT", "12345")
    images_of(folder(tmp_path / "set", tmp_path, cache_dir=str(unwritable)))
    monkeypatch.setattr(copies.os, "getpid", lambda: 1)  # as another process
    monkeypatch.setattr("gan_lab.data.decoded.decode_all", None)
    assert len(images_of(folder(tmp_path / "set", tmp_path, cache_dir=str(unwritable)))) == 3
    monkeypatch.setenv("MASTER_PORT", "12346")
    with pytest.raises(TypeError):
        images_of(folder(tmp_path / "set", tmp_path, cache_dir=str(unwritable)))


def test_a_cache_that_can_only_be_read_is_read(tmp_path, temporary, monkeypatch, caplog):
    write_image_folder(tmp_path / "set", count=3)
    images_of(folder(tmp_path / "set", tmp_path))

    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("gan_lab.data.copies.tempfile.TemporaryFile", read_only)
    monkeypatch.setattr("gan_lab.data.copies.tempfile.mkdtemp", read_only)
    caplog.set_level(logging.WARNING)
    assert len(images_of(folder(tmp_path / "set", tmp_path))) == 3
    assert "cannot be written" not in caplog.text


def test_a_temporary_folder_of_someone_else_is_refused(tmp_path, temporary, unwritable):
    write_image_folder(tmp_path / "set", count=1)
    (tmp_path / "theirs").mkdir()
    copies.temporary_folder().symlink_to(tmp_path / "theirs")
    with pytest.raises(PermissionError, match="is not yours"):
        images_of(folder(tmp_path / "set", tmp_path, cache_dir=str(unwritable)))


# D ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["c.png", "c"])
def test_a_broken_link_is_named_with_the_remedy(link, tmp_path, caplog):
    """stylegan2-pytorch#7: a raw "No such file"."""
    root = tmp_path / "set"
    write_image_folder(root, classes=("a", "b"), count=2)
    (root / "b" / link).symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"1 file: b/c.* \(a broken link to .*gone\).*data\.on_bad=skip"):
        folder(root, tmp_path).prepare_data()
    data = folder(root, tmp_path, on_bad="skip")
    assert data.reference("train").labels.tolist() == [0, 0, 1, 1]
    assert "skipped, cannot be read: 1 file: b/c" in caplog.text


def test_what_is_no_file_is_named(tmp_path):
    """A pipe would be read for ever."""
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"1 file: a\.png \(not a regular file\)"):
        folder(tmp_path, tmp_path / "cache").prepare_data()


def test_a_stray_picture_beside_class_folders_is_named(tmp_path, caplog):
    """vision#4925: "data.num_classes=2, but folder has no classes"."""
    root = tmp_path / "set"
    write_image_folder(root, classes=("cat", "dog"), count=2)
    Image.new("RGB", (8, 8)).save(root / "stray.png")
    said = r"no classes: 1 file: stray\.png beside the folders cat, dog"
    with pytest.raises(ValueError, match=rf"data\.num_classes=2, but .*set has no classes \({said}\)\. Leave data"):
        folder(root, tmp_path, num_classes=2).prepare_data()
    data: Folder = folder(root, tmp_path)
    assert data.reference("train").labels is None
    assert "no classes: 1 file: stray.png beside the folders cat, dog" in caplog.text
