"""What `sample` writes into a folder, over what earlier commands left there, and when it is interrupted.

Kind A (wrong data in silence): pictures of an earlier command among those of the present one. Kind C (work is lost):
what an interrupted command leaves.
"""

import io
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_lab import sample
from gan_lab.data.stored import stored_images
from gan_lab.sample import clear, encoded, found_in, refuse_to_replace, write


def batches(count: int, channels: int = 3, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    yield from torch.randint(256, (count, channels, 5, 4), dtype=torch.uint8, generator=generator).split(50)


def sampled(out: Path, count: int, kind: str = "png", **others) -> None:
    """As the command with overwrite=true does, from the folder on."""
    earlier, strange = found_in(out)
    if kind == "png":
        refuse_to_replace(strange, out, count)
    out.mkdir(exist_ok=True)
    clear(out, earlier, strange)
    write(batches(count, **others), out, kind, count)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_are_those_that_pillow_writes(channels, tmp_path):
    """Byte for byte, in files and in an archive, whoever compresses them."""
    sampled(tmp_path / "png", 150, channels=channels)
    sampled(tmp_path / "zip", 150, "zip", channels=channels)
    archive = zipfile.ZipFile(tmp_path / "zip" / "samples.zip")
    wanted = torch.cat(list(batches(150, channels)))
    for index, image in enumerate(wanted):
        name, buffer = f"{index:06d}.png", io.BytesIO()
        array = image.permute(1, 2, 0).numpy()
        Image.fromarray(np.ascontiguousarray(array[..., 0] if channels == 1 else array)).save(buffer, format="PNG")
        assert (tmp_path / "png" / name).read_bytes() == buffer.getvalue()
        assert archive.read(name) == buffer.getvalue()
    assert archive.namelist() == [f"{index:06d}.png" for index in range(150)]
    assert names(tmp_path / "png") == [*archive.namelist(), "grid.png"]
    assert names(tmp_path / "zip") == ["grid.png", "samples.zip"]
    assert (tmp_path / "png" / "grid.png").read_bytes() == (tmp_path / "zip" / "grid.png").read_bytes()


def test_several_pictures_are_compressed_at_a_time(monkeypatch):
    """Two threads meet in the encoder, or time out; images are drawn a few ahead, not all of them."""
    monkeypatch.setattr(sample.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    both, drawn = threading.Barrier(2), []

    def meet(image, info):
        both.wait(timeout=20)
        return bytes(image)

    def images():
        for number in range(500):
            drawn.append(number)
            yield [number % 256]

    monkeypatch.setattr(sample, "png_of", meet)
    found = encoded(images(), (str(number) for number in range(500)))
    assert next(found) == ("0", b"\x00")
    assert len(drawn) <= 80
    assert [name for name, _ in found] == [str(number) for number in range(1, 500)]


@pytest.mark.parametrize("kind", ["png", "zip", "npz"])
def test_what_cannot_be_written_is_named(kind, tmp_path, monkeypatch):
    full = OSError(28, "No space left on device")

    def refuse(*_, **__):
        raise full

    if kind == "png":
        real = Path.write_bytes
        monkeypatch.setattr(
            Path, "write_bytes", lambda self, content: refuse() if "07" in self.name else real(self, content)
        )
    monkeypatch.setattr(zipfile.ZipFile, "writestr", refuse)
    monkeypatch.setattr(np, "savez", refuse)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write(batches(20), tmp_path, kind, 20)
    expected = tmp_path / {"png": "000007.png", "zip": "samples.zip", "npz": "samples.npz"}[kind]
    assert str(caught.value).startswith(f"{expected} cannot be written: [Errno 28]")
    assert names(tmp_path) == ([f"00000{i}.png" for i in range(7)] + ["grid.png"] if kind == "png" else [])


def test_a_picture_that_cannot_be_compressed_is_named(tmp_path, monkeypatch):
    real, done = sample.png_of, []

    def png_of(image, info):
        done.append(image)
        if len(done) == 3:
            raise MemoryError("no room")
        return real(image)

    monkeypatch.setattr(sample.os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(sample, "png_of", png_of)
    with pytest.raises(OSError, match=r"000002.png cannot be written: no room"):
        write(batches(20), tmp_path, "png", 20)


# kind A: pictures of an earlier command ---------------------------------------------------------------------------


def test_fewer_samples_leave_none_of_more(tmp_path, capsys):
    """Kind A: 20 over 60 were scored as 60 by `evaluate images=`, 40 of them of another generator."""
    out = tmp_path / "out"
    sampled(out, 60)
    for name in ("classes.png", "interpolation.png"):
        (out / name).write_bytes((out / "grid.png").read_bytes())
    capsys.readouterr()
    sampled(out, 20, seed=1)
    assert names(out) == [*(f"{index:06d}.png" for index in range(20)), "grid.png"]
    assert capsys.readouterr().out.strip() == f"removed 63 files that an earlier command wrote into {out}"
    assert len(stored_images(out, None, tmp_path / "cache")) == 20


@pytest.mark.parametrize("count", [1, 2, 65])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_number_is_known_again(count, channels, tmp_path):
    sampled(tmp_path, count, channels=channels)
    earlier, others = found_in(tmp_path)
    assert (len(earlier), others) == (count + 1, [])


def test_another_format_takes_the_place_of_the_one_before(tmp_path):
    for kind, expected in (("png", 4), ("zip", 2), ("npz", 2), ("png", 4)):
        sampled(tmp_path, 3, kind)
        assert len(names(tmp_path)) == expected


def test_what_others_put_there_stays_and_is_named(tmp_path, capsys):
    """000062.png lies beyond a gap; no command wrote it."""
    sampled(tmp_path, 60)
    strange = {"cat.jpg": b"a", "notes.txt": b"b", "000062.png": b"c", "00000.png": b"d", "0000000.png": b"e"}
    for name, content in strange.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "000000.png").write_bytes(b"f")
    sampled(tmp_path, 20)
    assert names(tmp_path) == sorted([*(f"{index:06d}.png" for index in range(20)), "grid.png", "more", *strange])
    assert {name: (tmp_path / name).read_bytes() for name in strange} == strange
    assert (tmp_path / "more" / "000000.png").read_bytes() == b"f"
    said = capsys.readouterr().out
    assert "kept    6 that no such command wrote there: 00000.png, 0000000.png, 000062.png, cat.jpg, more, not" in said
    assert f"evaluate images={tmp_path}" in said


@pytest.mark.parametrize("grid", [None, "strange", "damaged"])
def test_a_data_set_with_numbered_pictures_is_not_replaced(grid, tmp_path):
    """Only a grid.png that shows the first picture tells that a command wrote them."""
    for index, image in enumerate(torch.cat(list(batches(60, seed=3)))):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{index:06d}.png")
    if grid == "strange":
        Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(tmp_path / "grid.png")
    elif grid == "damaged":
        (tmp_path / "grid.png").write_bytes(b"no picture")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"holds 000000.png, 000001.png, .* and 10 more, which these samples would"):
        sampled(tmp_path, 20)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    sampled(tmp_path, 20, "npz")
    assert before.items() - {("grid.png", before.get("grid.png"))} <= {
        (path.name, path.read_bytes()) for path in tmp_path.iterdir()
    }


# kind C: what an interrupted command leaves -------------------------------------------------------------------------


class Interrupted(BaseException):
    """As KeyboardInterrupt."""


def interrupted(count: int):
    yield next(batches(count))
    raise Interrupted


@pytest.mark.parametrize("kind", ["zip", "npz"])
def test_an_interrupted_archive_leaves_nothing(kind, tmp_path):
    with pytest.raises(Interrupted):
        write(interrupted(100), tmp_path, kind, 100)
    assert names(tmp_path) == []


def test_what_a_killed_command_left_is_no_obstacle(tmp_path):
    """Kind C: the temporary file of an archive made the next start refuse the folder."""
    for name in (".samples.zip.tmp", ".samples.npz.tmp", ".grid.png"):
        (tmp_path / name).write_bytes(b"half")
    assert found_in(tmp_path) == ([], [])
    sampled(tmp_path, 3, "zip")
    assert names(tmp_path) == ["grid.png", "samples.zip"]


def test_pictures_of_an_interrupted_command_are_known_again(tmp_path):
    """Its grid comes before them, and there is no gap among them, however many threads wrote."""
    with pytest.raises(Interrupted):
        write(interrupted(60), tmp_path, "png", 60)
    assert names(tmp_path) == [], "fewer than fill the grid"
    with pytest.raises(Interrupted):
        write(iter_and_fail(400), tmp_path, "png", 500)
    earlier, others = found_in(tmp_path)
    assert (len(earlier), others) == (len(names(tmp_path)), [])
    assert len(earlier) > 100


def iter_and_fail(count: int):
    yield from batches(count)
    raise Interrupted
