"""`python -m gan_lab.sample`: images, or points, from a checkpoint, the same for the same command."""

import io
import os
import zipfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import made_folder, run_command
from gan_lab.distributed.topology import choose_device
from gan_lab.runs.settings import plain

FORMATS = ("png", "npz", "zip")
GRID = 64
BLOCK = 50


def main() -> None:
    """The command."""
    run_command("sample", run)


def run(config: DictConfig) -> None:
    """Write the images that `config` asks for, and a grid of the first ones; or points, and a scatter plot of them."""
    from gan_lab.evaluation.requests import asked
    from gan_lab.runs.checkpoint import load_generator
    from gan_lab.sampling import check_seed

    settings = plain(config)
    if settings["format"] not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {settings['format']!r}")
    if settings["count"] < 1:
        raise ValueError(f"count must be 1 or more, got {settings['count']}")
    check_seed("seed", settings["seed"])
    out = Path(settings["out"])
    if out.is_dir() and any(out.iterdir()) and not settings["overwrite"]:
        raise ValueError(f"{out} is not empty; choose another out=..., or overwrite=true to write into it")
    device = choose_device(settings["device"])
    loaded = load_generator(settings["checkpoint"], settings["weights"], device=device, trust=settings["trust"])
    further = {name: settings[name] for name in ("truncation", "standing_statistics")}
    loaded = asked(loaded, **further)
    rows = {name: rows_of(name, loaded, settings["seed"]) for name in settings["pictures"]}
    batches = images(loaded, count=settings["count"], seed=settings["seed"], classes=settings["classes"])
    first = next(batches)  # a wrong request shows here, before anything is written
    batches, kind = chain([first], batches), "points" if first.ndim == 2 else "images"
    made_folder(out)
    if kind == "points":
        written, picture = write_points(batches, out, loaded, settings["trust"])
    else:
        written, picture = write(batches, out, settings["format"], settings["count"])
    print(f"{settings['count']} {kind} from {loaded.path} ({loaded.weights}, {loaded.images_seen / 1000:.1f} kimg)")
    print(f"{kind}  {written}\n{picture.stem:<7} {picture}")
    for name, arguments in rows.items():
        draw_rows(loaded, arguments, out / f"{name}.png", settings["seed"])
        print(f"{name}  {out / f'{name}.png'}")


def rows_of(name: str, loaded: Any, seed: int) -> list[dict[str, Any]]:
    """The generator's inputs for each row of a further picture.

    Raises:
        ValueError: no such picture, or one that this generator cannot make.
    """
    from gan_lab.evaluation.requests import by_class, interpolations

    makers = {"classes": by_class, "interpolation": interpolations}
    if name not in makers:
        raise ValueError(f"pictures must be among {', '.join(makers)}; got {name!r}")
    if len(getattr(loaded.network, "sample_shape", (1, 1, 1))) != 3:
        raise ValueError(f"pictures=[{name}] is of images, and this generator makes points; leave it out")
    return makers[name](loaded, seed)


def draw_rows(loaded: Any, rows: list[dict[str, Any]], path: Path, seed: int) -> None:
    """Write a picture of what the generator makes of these arguments, row by row."""
    import torch

    from gan_lab.data.images import to_uint8
    from gan_lab.data.pictures import grid, save_png
    from gan_lab.evaluation.isolation import scoring_mode
    from gan_lab.sampling import reseed_default_generators

    device, images = next(loaded.network.parameters()).device, []
    for arguments in rows:
        with scoring_mode(loaded.network, device):
            reseed_default_generators(seed, across_ranks=False)  # the same noise in each row
            samples = loaded.network(**{name: value.to(device) for name, value in arguments.items()})
        images.append(to_uint8(samples).cpu())
    save_png(grid(torch.cat(images), columns=len(images[0])), path)


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
    import torch

    from gan_lab.data.images import to_uint8
    from gan_lab.evaluation.isolation import scoring_mode
    from gan_lab.sampling import Draws, reseed_default_generators

    if classes is not None:
        wrong = [label for label in classes if not 0 <= label < loaded.inputs.num_classes]
        if wrong and loaded.inputs.num_classes:
            raise ValueError(f"classes {wrong} are not among 0 to {loaded.inputs.num_classes - 1}")
        if not classes:
            raise ValueError("classes=[] is empty; name at least one, or leave it out")
    device = next(loaded.network.parameters()).device
    draws = Draws(seed, across_ranks=False)
    for block, first in enumerate(range(0, count, BLOCK)):
        draws.move_to(block)
        labels = None
        if classes is not None:
            labels = torch.tensor([classes[i % len(classes)] for i in range(first, first + BLOCK)])
        arguments = loaded.inputs.draw(draws, BLOCK, labels)
        with scoring_mode(loaded.network, device):
            reseed_default_generators(seed, block, across_ranks=False)
            samples = loaded.network(**{name: value.to(device) for name, value in arguments.items()})
        yield (samples if samples.ndim == 2 else to_uint8(samples))[: count - first].cpu()


def write(batches: Iterator[Any], out: Path, kind: str, count: int) -> tuple[str, Path]:
    """Write all uint8 images in the format `kind`, and grid.png; returns where they are, for a person, and the grid."""
    import numpy as np
    from PIL import Image
    from rich.progress import track
    from torch import cat

    from gan_lab.data.pictures import grid, save_png

    digits = max(6, len(str(count - 1)))
    first, arrays, archive = [], [], None
    target = {"png": out, "npz": out / "samples.npz", "zip": out / "samples.zip"}[kind]
    temporary = target.with_name(f".{target.name}.tmp")
    if kind == "zip":
        archive = zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED)
    for index, batch in enumerate(track(_by_image(batches), total=count, description="sampling", transient=True)):
        if index < GRID:
            first.append(batch)
        array = batch.permute(1, 2, 0).numpy()
        if kind == "npz":
            arrays.append(array)
        else:
            image = Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array))
            name = f"{index:0{digits}d}.png"
            if archive is None:
                image.save(out / name)
            else:
                buffer = io.BytesIO()
                image.save(buffer, format="PNG")
                archive.writestr(zipfile.ZipInfo(name), buffer.getvalue())
    if kind == "npz":
        with open(temporary, "wb") as file:
            np.savez(file, images=np.stack(arrays))
    if archive is not None:
        archive.close()
    if kind != "png":
        os.replace(temporary, target)
    picture = out / "grid.png"
    save_png(grid(cat([image[None] for image in first]), columns=8), picture)
    return f"{target}/*.png" if kind == "png" else str(target), picture


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
    temporary = target.with_name(f".{target.name}.tmp")
    with open(temporary, "wb") as file:
        np.savez(file, points=points.numpy())
    os.replace(temporary, target)
    return str(target), picture


def _by_image(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        yield from batch


if __name__ == "__main__":
    main()
