"""A folder of what people have beside good pictures: what training cannot read, reads otherwise, or should not."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from generated_data import swapped_profile, write_png16
from PIL import Image

GOOD = 12  # pictures of 96x64 that nothing is wrong with


def blots(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture like no other."""
    small = np.random.default_rng(seed).integers(256, size=(5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG that says it has 20,000 x 20,000 pixels."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def with_flipped_byte(content: bytes) -> bytes:
    place = content.index(b"IDAT") + 50
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


def write_hostile(root: Path) -> dict[str, str]:
    """Write good pictures `good*.png`, and hostile files beside them.

    Returns:
        of each hostile file its name, and what a look must say in the line or lines that name it.
    """
    root.mkdir(parents=True)
    for seed in range(GOOD):
        blots(seed).save(root / f"good{seed:02}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [blots(seed) for seed in (60, 61, 62)]
    clear = blots(50).convert("RGBA")
    clear.putalpha(100)
    jpeg, png = saved(blots(51), "JPEG"), saved(blots(52), "PNG")
    animated = {"save_all": True, "append_images": frames[1:]}
    contents = {
        # What cannot be read.
        "empty.png": (b"", "save it anew as .png"),
        "text.jpg": (b"<html>404 Not Found</html>", "not an image"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "copy it anew"),
        "truncated.png": (png[: len(png) // 2], "copy it anew"),
        "flipped.png": (with_flipped_byte(png), "copy it anew"),
        "bomb.png": (bomb(), "shrink it"),
        "header.tif": (b"II*\0\x08\0\0\0", "cannot be read"),
        "float.tif": (saved(Image.fromarray(np.full((64, 64), 0.5, np.float32)), "TIFF"), "convert it to 8 or 16"),
        "large.tif": (saved(Image.fromarray(np.full((64, 64), 70000, np.int32)), "TIFF"), "convert it to 8 or 16"),
        # What is no picture that is read.
        "phone.HEIC": (b"ftypheic", "heif-convert"),
        "new.jxl": (b"\xff\x0a", "djxl"),
        "drawing.svg": (b"<svg/>", "rsvg-convert"),
        "raw.NEF": (b"MM", "darktable-cli"),
        "film.mp4": (b"ftyp", "ffmpeg"),
        "layers.psd": (b"8BPS", "export it"),
        "paper.pdf": (b"%PDF", "pdftoppm"),
        "more.tar.gz": (b"\x1f\x8b", "unpack it"),
        "nameless": (jpeg, "give it the extension"),
        "odd.xyz": (b"?", "convert to .png what is an image"),
        "notes.txt": (b"cats", "left out"),
        ".hidden.png": (png, "left out as hidden"),
        # What is read otherwise than one might think.
        "grey.png": (saved(blots(53).convert("L"), "PNG"), "converted to RGB"),
        "palette.png": (saved(blots(54).quantize(32), "PNG"), "converted to RGB"),
        "black_and_white.png": (saved(blots(55).convert("1"), "PNG"), "converted to RGB"),
        "ink.jpg": (saved(blots(56).convert("CMYK"), "JPEG"), "converted to RGB"),
        "clear.png": (saved(clear, "PNG"), "data.channels=4 to keep"),
        "turned.jpg": (saved(blots(57), "JPEG", exif=exif), "turned upright"),
        "profile.png": (saved(blots(58), "PNG", icc_profile=swapped_profile()), "brought to sRGB"),
        "no_profile.png": (saved(blots(59), "PNG", icc_profile=b"no profile"), "save it anew in sRGB"),
        "moving.gif": (saved(frames[0], "GIF", **animated), "the first is taken"),
        "moving.webp": (saved(frames[1], "WEBP", **animated), "the first is taken"),
        "pages.tif": (saved(frames[2], "TIFF", **animated), "the first is taken"),
        "misnamed.png": (saved(blots(63), "JPEG"), "of another format"),
        "GOOD00.png": (saved(blots(64), "PNG"), "give one of them another name"),
        "<b>bold & 'new' ä 日.png": (saved(blots(65).convert("L"), "PNG"), "converted to RGB"),
        # What should not be trained on.
        "point.png": (saved(Image.new("RGB", (1, 1), "red"), "PNG"), "remove them"),
        "line.png": (saved(blots(66, (400, 2)), "PNG"), "remove them"),
        "small.png": (saved(blots(67, (40, 30)), "PNG"), "enlarged to 64 pixels"),
        "copy.png": ((root / "good01.png").read_bytes(), "keep the first of each group"),
        "resized.png": (saved(blots(2).resize((144, 96), Image.Resampling.LANCZOS), "PNG"), ""),
        "compressed.jpg": (saved(blots(3), "JPEG", quality=50), "look at them side by side"),
    }
    for name, (content, _) in contents.items():
        (root / name).write_bytes(content)
    said = {name: text for name, (_, text) in contents.items()}
    levels = np.asarray(blots(68).convert("L")).astype(int) * 16
    write_png16(root / "twelve.png", levels, kind=0)
    write_png16(root / "dark.png", np.stack([levels] * 3, axis=-1), kind=2)
    (root / "gone.png").symlink_to(root / "nowhere.png")
    (root / "loop").symlink_to(root, target_is_directory=True)
    os.mkfifo(root / "pipe.png")
    said |= {"twelve.png": "12 bits in files of 16", "dark.png": "nearly black", "gone.png": "mend the link"}
    said |= {"loop": "not followed", "pipe.png": "not a regular file"}
    del said["resized.png"]  # the larger one comes first: good02.png is like it
    return said | {"good02.png": "as resized.png"}
