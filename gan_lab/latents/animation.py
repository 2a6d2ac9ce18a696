"""Moving pictures: WebP and GIF by Pillow, MP4 by an ffmpeg on the PATH or of the extra, single frames as PNG."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from gan_lab.installing import install_command
from gan_lab.sharing.marks import Mark

FORMATS = ("webp", "gif", "mp4", "png")
UNIT = {"webp": 1, "gif": 10}  # milliseconds in which a format counts
FASTEST = 50  # frames a second: of a GIF they last 20 ms each, and shorter ones are shown for 100 by browsers
QUALITY = 90  # of WebP, up to 100


def check_formats(formats: Sequence[str], fps: float) -> None:
    """What cannot be written is refused before anything is made.

    Raises:
        ValueError: no format, an unknown one, MP4 without ffmpeg, or a speed out of range.
    """
    wrong = [kind for kind in formats if kind not in FORMATS]
    if wrong or not formats:
        raise ValueError(f"formats must be among {', '.join(FORMATS)}; got {list(formats)}")
    if "mp4" in formats and _ffmpeg() is None:
        raise ValueError(
            f"formats=[mp4] needs an ffmpeg, and PATH has none; {install_command('mp4')} brings one, or take webp"
        )
    if not 1 <= fps <= FASTEST:
        raise ValueError(f"fps must be from 1 to {FASTEST}, got {fps}")


def _ffmpeg() -> str | None:
    """Where one is: on the PATH, or in the package imageio-ffmpeg; None where there is none."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # it is not installed, or its wheel is of a platform without a binary
        return None


def durations(count: int, fps: float, unit: int) -> list[int]:
    """Milliseconds of each frame, in multiples of `unit`, so that no frame begins half a unit early or late."""
    starts = [unit * round(number * 1000 / fps / unit) for number in range(count + 1)]
    return [later - earlier for earlier, later in pairwise(starts)]


def save(frames: Sequence[np.ndarray], path: Path, *, fps: float, loop: bool, mark: Mark | None = None) -> None:
    """Write frames as the format that the name ends in, as a whole or not at all.

    Args:
        frames: (H, W) or (H, W, 3 or 4) uint8 each.
        path: ends in .webp, .gif or .mp4.
        fps: frames a second, 1 to 50.
        loop: whether it is shown without end; an MP4 leaves that to its player.
        mark: what the file says of its making; None for nothing.
    Raises:
        OSError: it cannot be written, or ffmpeg fails, and what it says.
    """
    kind = path.suffix[1:]
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        if kind == "mp4":
            _encode(frames, temporary, fps, mark)
        else:
            first, *others = [Image.fromarray(frame) for frame in frames]
            first.save(
                temporary,
                format=kind.upper(),
                save_all=True,
                append_images=others,
                duration=durations(len(frames), fps, UNIT[kind]),
                **({"quality": QUALITY} if kind == "webp" else {}),
                # Of GIF, no number at all means once; of WebP, 1 does, and 0 is without end in both.
                **({"loop": 0} if loop else {"loop": 1} if kind == "webp" else {}),
                **({} if mark is None else mark.saved(kind)),
            )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _encode(frames: Sequence[np.ndarray], path: Path, fps: float, mark: Mark | None) -> None:
    """Through ffmpeg, in colours that every player knows; a side of an odd number of pixels repeats its last one."""
    height, width = frames[0].shape[:2]
    odd = ((0, height % 2), (0, width % 2), (0, 0))
    pixels = [np.pad(_colours(frame), odd, mode="edge").tobytes() for frame in frames]
    size = f"{width + width % 2}x{height + height % 2}"
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size, "-framerate", str(fps), "-i", "-"]
    told = [] if mark is None else ["-metadata", f"comment={mark.comment()}"]
    made = [*told, "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4", str(path)]
    done = subprocess.run(
        [_ffmpeg() or "ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *given, *made],
        input=b"".join(pixels),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"ffmpeg could not make {path}: {done.stderr.decode(errors='replace').strip()}")


def _colours(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8; what is transparent lies on white."""
    picture = Image.fromarray(frame)
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.asarray(picture.convert("RGB"))
