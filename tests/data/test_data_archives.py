"""Tars are read as zips are; what cannot be read in them is named, and nothing is unpacked."""

import io
import tarfile

import numpy as np
import pytest
from folders import folder, images_of
from generated_data import write_image_folder
from PIL import Image

from gan_lab.data.archives import open_source


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (level, 0, 0)).save(file, "PNG")
    return file.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.type = len(content), kind
    archive.addfile(member, io.BytesIO(content))
    return member


def test_a_tar_is_the_folder_that_was_packed(tmp_path):
    write_image_folder(tmp_path / "set", classes=("cat", "dog"), count=3)
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", ".")
    whole, packed = folder(tmp_path / "set", tmp_path), folder(tmp_path / "set.tar", tmp_path)
    assert np.array_equal(images_of(whole), images_of(packed))
    assert packed.class_names == whole.class_names == ("cat", "dog")
    assert whole.reference("train").digest == packed.reference("train").digest
    assert len(open_source(tmp_path / "set.tar" / "dog").names()) == 3


def test_nothing_leads_out_of_a_tar(tmp_path):
    """Names that would overwrite files, were it unpacked, and what is no file."""
    (tmp_path / "secret.png").write_bytes(png(1))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "../../above.png", png(2))
        add(archive, "/absolute.png", png(3))
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(tmp_path / "secret.png")
            archive.addfile(member)
    source = open_source(tmp_path / "a.tar")
    assert source.names() == ["/absolute.png"]
    assert source.read("/absolute.png") == png(3)
    assert any("hidden" in line and "above.png" in line for line in source.notes())
    [said] = [line for line in source.findings() if "links" in line]
    assert all(name in said for name in ("link.png", "hard.png", "pipe.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "secret.png"]


def test_a_tar_that_ends_too_soon_gives_no_more_than_there_is(tmp_path):
    """Its last entry says that it has a terabyte."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "a.png", png(1))
    member = tarfile.TarInfo("b.png")
    member.size = 2**40
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:1024] + member.tobuf(tarfile.GNU_FORMAT) + png(2))
    with pytest.raises(ValueError, match=r"data\.root=\S+a\.tar is not a readable tar: unexpected end of data"):
        open_source(tmp_path / "a.tar").names()


def test_a_tar_that_was_cut_after_it_was_looked_at(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "a.png", png(1))
    source = open_source(tmp_path / "a.tar")
    assert source.names() == ["a.png"]
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:520])
    with pytest.raises(OSError, match=f"the tar ends {len(png(1)) - 8} bytes before it"):
        source.read("a.png")


def test_of_a_name_that_is_there_twice_the_last_is_read(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "a.png", png(1))
        add(archive, "a.png", png(2))
    source = open_source(tmp_path / "a.tar")
    assert source.names() == ["a.png"]
    assert source.read("a.png") == png(2)
    assert any("more than once" in line for line in source.findings())


def test_what_is_no_archive_of_pictures_is_refused_by_what_it_is(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        add(archive, "a.png", png(1))
    (tmp_path / "one.png").write_bytes(png(1))
    with pytest.raises(ValueError, match=r"compressed tar, .*unpack it \(tar -xf a\.tar\.gz\), and give the folder"):
        open_source(tmp_path / "a.tar.gz")
    with pytest.raises(ValueError, match=r"data\.root=\S+one\.png is one picture: give the folder that it is in"):
        open_source(tmp_path / "one.png")
