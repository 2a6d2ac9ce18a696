"""`python -m gan_lab.sample`: images, or points, from a checkpoint, the same for the same command."""

import io
import os
import re
import zipfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain, count, takewhile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import made_folder, run_command
from gan_lab.distributed.topology import choose_device
from gan_lab.runs.settings import plain

FORMATS = ("png", "npz", "zip")
GRID = 64
PADDING = 2  # pixels between the pictures of a grid
PICTURES = ("grid.png", "scatter.png", "classes.png", "interpolation.png", "mixing.png", "truncation.png")
OWN = (*PICTURES, "samples.npz", "samples.zip")  # what the command writes, beside numbered pictures
UNFINISHED = {f".{name}" for name in PICTURES} | {".samples.npz.tmp", ".samples.zip.tmp"}


def main() -> None:
    """The command."""
    run_command("sample", run)


def run(config: DictConfig) -> None:
    """Write the images that `config` asks for, and a grid of the first ones; or points, and a scatter plot of them."""
    from gan_lab.evaluation.generation import asked
    from gan_lab.runs.checkpoint import load_generator
    from gan_lab.sampling import check_seed
    from gan_lab.sharing.marks import mark_of

    settings = plain(config)
    if settings["format"] not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {settings['format']!r}")
    if settings["count"] < 1:
        raise ValueError(f"count must be 1 or more, got {settings['count']}")
    check_seed("seed", settings["seed"])
    out = Path(settings["out"])
    earlier, others = found_in(out)
    if (earlier or others) and not settings["overwrite"]:
        raise ValueError(f"{out} is not empty; choose another out=..., or overwrite=true to write into it")
    if settings["format"] == "png":
        refuse_to_replace(others, out, settings["count"])
    device = choose_device(settings["device"])
    loaded = load_generator(settings["checkpoint"], settings["weights"], device=device, trust=settings["trust"])
    mark = mark_of(loaded, settings["seed"])
    loaded = with_sliders(loaded, settings)
    further = {name: settings[name] for name in ("truncation", "standing_statistics")}
    loaded = asked(loaded, **further)
    batches = images(loaded, count=settings["count"], seed=settings["seed"], classes=settings["classes"])
    first = next(batches)  # a wrong request shows here, before anything is written
    rows = {name: rows_of(name, loaded, settings["seed"]) for name in settings["pictures"]}
    batches, kind = chain([first], batches), "points" if first.ndim == 2 else "images"
    made_folder(out)
    clear(out, earlier, others)
    if kind == "points":
        written, picture = write_points(batches, out, loaded, settings["trust"])
    else:
        written, picture = write(batches, out, settings["format"], settings["count"], mark)
    print(f"{settings['count']} {kind} from {loaded.path} ({loaded.weights}, {loaded.images_seen / 1000:.1f} kimg)")
    print(f"{kind}  {written}\n{picture.stem:<7} {picture}")
    if loaded.licence is not None:
        print(f"licence {loaded.licence}")
    for name, arguments in rows.items():
        draw_rows(loaded, arguments, out / f"{name}.png", mark)
        print(f"{name}  {out / f'{name}.png'}")


def with_sliders(loaded: Any, settings: dict[str, Any]) -> Any:
    """The generator with the sliders that are set.

    Raises:
        ValueError: no numbers, or there are none of these names, of these weights, or for such a generator.
    """
    from gan_lab.latents.sliders import moved
    from gan_lab.latents.space import space_of

    strengths = settings["sliders"]
    if strengths is None:
        return loaded
    if not isinstance(strengths, dict) or not all(type(value) in (int, float) for value in strengths.values()):
        raise ValueError(f"sliders must be names with numbers, sliders={{sefa0: 1.5}} for example, got {strengths!r}")
    space_of(loaded)  # tells what has no latents to move
    place = settings["sliders_file"]
    return moved(loaded, strengths, None if place is None else Path(place))


def rows_of(name: str, loaded: Any, seed: int) -> list[dict[str, Any]]:
    """The generator's inputs for each row of a further picture, or its synthesis's where they have `w`.

    Raises:
        ValueError: no such picture, or one that this generator cannot make.
    """
    from gan_lab.evaluation.generation import by_class, interpolations, mixtures, truncations

    makers = {
        "classes": by_class,
        "interpolation": interpolations,
        "mixing": mixtures,
        "truncation": truncations,
    }
    if name not in makers:
        raise ValueError(f"pictures must be among {', '.join(makers)}; got {name!r}")
    if len(getattr(loaded.network, "sample_shape", (1, 1, 1))) != 3:
        raise ValueError(f"pictures=[{name}] is of images, and this generator makes points; leave it out")
    return makers[name](loaded, seed)


def draw_rows(loaded: Any, rows: list[dict[str, Any]], path: Path, mark: Any) -> None:
    """Write a picture of what the generator makes of these arguments, row by row.

    Args:
        mark: see `gan_lab.sharing.marks.Mark`.
    """
    import torch

    from gan_lab.data.images import to_uint8
    from gan_lab.data.pictures import grid, save_png
    from gan_lab.evaluation.isolation import scoring_mode
    from gan_lab.sampling import reseed_default_generators

    device, images = next(loaded.network.parameters()).device, []
    with scoring_mode(loaded.network, device):
        for arguments in rows:
            given = {name: value.to(device) for name, value in arguments.items()}
            make = loaded.network.synthesis if "w" in given else loaded.network
            for column in range(len(next(iter(given.values())))):
                # One noise in the whole picture, whether or not the generator can be given it: only what a row or a
                # column stands for changes.
                reseed_default_generators(mark.seed, across_ranks=False)
                sample = make(**{name: value[column : column + 1] for name, value in given.items()})
                images.append(to_uint8(sample).cpu())
    save_png(grid(torch.cat(images), columns=len(images) // len(rows)), path, mark.info())


def images(loaded: Any, *, count: int, seed: int, classes: list[int] | None = None) -> Iterator[Any]:
    """Blocks of up to 50 uint8 images in order, (n, C, H, W) on the CPU; image i depends on (seed, i) alone.

    Of a generator of points: (n, D) float32 points likewise.

    Args:
        loaded: see `gan_lab.checkpoint.load_generator`.
        count: images in all.
        seed: 0 or more.
        classes: labels to make in turn; None leaves them to the model.
    Raises:
        ValueError: classes for an unconditional model, or one that it does not have.
    """
    from gan_lab.data.images import to_uint8
    from gan_lab.evaluation.generation import BLOCK, block_inputs
    from gan_lab.evaluation.isolation import scoring_mode
    from gan_lab.sampling import reseed_default_generators

    if hasattr(loaded.inputs, "condition_shape"):
        raise ValueError(
            f"{type(loaded.network).__name__} makes pictures from pictures, and sample has none to give it; "
            "python -m gan_lab.translate checkpoint=... sources=FOLDER makes pictures of yours"
        )
    device = next(loaded.network.parameters()).device
    for block, first in enumerate(range(0, count, BLOCK)):
        arguments = block_inputs(loaded, seed=seed, block=block, classes=classes)
        with scoring_mode(loaded.network, device):
            reseed_default_generators(seed, block, across_ranks=False)
            samples = loaded.network(**{name: value.to(device) for name, value in arguments.items()})
        yield (samples if samples.ndim == 2 else to_uint8(samples))[: count - first].cpu()


def found_in(out: Path) -> tuple[list[Path], list[Path]]:
    """What lies in a folder: what earlier commands wrote, and everything else; what they left unfinished is neither.

    Earlier ones wrote the files of `OWN`, and numbered pictures from the first one on without a gap. Data sets have
    such names, too: pictures are earlier ones only where grid.png beside them shows the first of them.
    """
    there = sorted(out.iterdir()) if out.is_dir() else []
    earlier = [path for path in there if path.name in OWN and path.is_file()]
    for first in [path for path in there if re.fullmatch(r"0{6,}\.png", path.name)]:
        if shows(out / "grid.png", first):
            names = (out / f"{index:0{len(first.stem)}d}.png" for index in count())
            earlier += takewhile(Path.is_file, names)
    mine = {path.name for path in earlier} | UNFINISHED
    return earlier, [path for path in there if path.name not in mine]


def shows(grid: Path, first: Path) -> bool:
    """Whether the first picture of a grid is this one."""
    from PIL import Image

    try:
        with Image.open(grid) as page, Image.open(first) as picture:
            at = 0 if page.size == picture.size else PADDING  # a picture alone has no border
            box = (at, at, at + picture.width, at + picture.height)
            return page.mode == picture.mode and page.crop(box).tobytes() == picture.tobytes()
    except OSError:  # none, or no picture
        return False


def refuse_to_replace(others: list[Path], out: Path, number: int) -> None:
    """Numbered pictures that no earlier command wrote are not written over.

    Raises:
        ValueError: there are such.
    """
    wanted = set(numbered(number))
    if lost := [path.name for path in others if path.name in wanted]:
        raise ValueError(
            f"{out} holds {shortened(lost)}, which these samples would replace, and no grid.png tells that an earlier "
            "command wrote them; choose another out=..., or move them away"
        )


def clear(out: Path, earlier: list[Path], others: list[Path]) -> None:
    """Remove what earlier commands wrote, or left unfinished, and name what stays."""
    for path in [*earlier, *(out / name for name in UNFINISHED)]:
        path.unlink(missing_ok=True)
    if earlier:
        print(f"removed {len(earlier)} files that an earlier command wrote into {out}")
    if others:
        print(
            f"kept    {len(others)} that no such command wrote there: {shortened([path.name for path in others])}. "
            f"Pictures among them count as samples to evaluate images={out}"
        )


def numbered(number: int) -> Iterator[str]:
    """Names of so many pictures."""
    digits = max(6, len(str(number - 1)))
    return (f"{index:0{digits}d}.png" for index in range(number))


def shortened(names: list[str]) -> str:
    """The first few."""
    return ", ".join([*names[:10], *([f"and {len(names) - 10} more"] if len(names) > 10 else [])])


def write(batches: Iterator[Any], out: Path, kind: str, number: int, mark: Any = None) -> tuple[str, Path]:
    """Write all uint8 images in the format `kind`, and grid.png; returns where they are, for a person, and the grid.

    Args:
        mark: see `gan_lab.sharing.marks.Mark`, in all PNGs; None leaves them without.
    Raises:
        OSError: a file cannot be written; it is named.
    """
    import numpy as np
    from rich.progress import track

    from gan_lab.data.pictures import save_png

    first: list[Any] = []
    picture = out / "grid.png"

    def drawn() -> Iterator[Any]:
        for image in _by_image(batches):
            if len(first) < GRID:
                first.append(image)
                # Before any numbered picture, since it tells whose they are: see `found_in`.
                if kind == "png" and len(first) == min(GRID, number):
                    draw_grid()
            yield image

    def draw_grid() -> None:
        save_png(sheet_of(first), picture, None if mark is None else mark.info())

    shown = partial(track, total=number, description="sampling", transient=True)
    if kind == "png":
        for name, content in shown(encoded(drawn(), numbered(number), mark)):
            with naming(out / name):
                (out / name).write_bytes(content)
        return f"{out}/*.png", picture
    target = out / f"samples.{kind}"
    with naming(target), replacing(target) as temporary:
        if kind == "npz":
            arrays = [image.permute(1, 2, 0).numpy() for image in shown(drawn())]
            with open(temporary, "wb") as file:
                np.savez(file, images=np.stack(arrays))
        else:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
                for name, content in shown(encoded(drawn(), numbered(number), mark)):
                    archive.writestr(zipfile.ZipInfo(name), content)
    draw_grid()
    return str(target), picture


def sheet_of(images: list[Any]) -> Any:
    """One picture of (C, H, W) uint8 images, eight in a row."""
    from torch import stack

    from gan_lab.data.pictures import grid

    return grid(stack(images), columns=8, padding=PADDING)


def encoded(images: Iterator[Any], names: Iterator[str], mark: Any = None) -> Iterator[tuple[str, bytes]]:
    """The name and PNG file of each (C, H, W) uint8 image, in order; compressed on all cores, a few ahead.

    Args:
        mark: see `write`.
    """
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[tuple[str, Future[bytes]]] = deque()
    pool = ThreadPoolExecutor(threads)

    def finished() -> tuple[str, bytes]:
        name, future = waiting.popleft()
        with naming(Path(name)):
            return name, future.result()

    try:
        for index, (image, name) in enumerate(zip(images, names, strict=True)):
            info = None if mark is None else mark.info(index)
            waiting.append((name, pool.submit(png_of, image, info)))
            if len(waiting) > max(GRID, 4 * threads):
                yield finished()
        while waiting:
            yield finished()
    finally:
        pool.shutdown(cancel_futures=True)


def png_of(image: Any, info: Any = None) -> bytes:
    """The PNG file of a (C, H, W) uint8 image, with metadata if any; compression leaves the interpreter's lock."""
    import numpy as np
    from PIL import Image

    array, buffer = image.permute(1, 2, 0).numpy(), io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array))
    picture.save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What cannot be written inside is reported with its file."""
    try:
        yield
    except (OSError, MemoryError) as error:
        raise OSError(f"{path} cannot be written: {error}") from error


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary file that becomes `target` at the end, and is removed where it does not come to that."""
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_points(batches: Iterator[Any], out: Path, loaded: Any, trust: list[str]) -> tuple[str, Path]:
    """Write (N, D) float32 "points" as samples.npz, whatever the format, and scatter.png over reals of their data."""
    import numpy as np
    from torch import cat

    from gan_lab.data.base import Data
    from gan_lab.data.pictures import save_png
    from gan_lab.runs.checkpoint import build

    points = cat(list(batches))
    picture, target = out / "scatter.png", out / "samples.npz"
    save_png(build(loaded.config["data"], trust, base=Data).picture(points, columns=8), picture)
    with naming(target), replacing(target) as temporary, open(temporary, "wb") as file:
        np.savez(file, points=points.numpy())
    return str(target), picture


def _by_image(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        yield from batch


if __name__ == "__main__":
    main()
