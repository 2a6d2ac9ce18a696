"""`python -m gan_lab.walk`: from latent to latent of a trained generator, as a moving picture, a loop or not."""

from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import made_folder, run_command
from gan_lab.distributed.topology import choose_device
from gan_lab.runs.settings import plain
from gan_lab.sample import naming, with_sliders


def main() -> None:
    """The command."""
    run_command("walk", run)


def run(config: DictConfig) -> None:
    """Write the walk that `config` asks for.

    Raises:
        ValueError: a setting that is wrong, or does not suit the generator; before anything is written.
    """
    from rich.progress import track

    from gan_lab.data.pictures import enlarged, save_png
    from gan_lab.evaluation.generation import asked
    from gan_lab.latents.animation import check_formats, save
    from gan_lab.latents.paths import walk
    from gan_lab.latents.space import space_of
    from gan_lab.runs.checkpoint import load_generator
    from gan_lab.sampling import check_seed
    from gan_lab.sharing.marks import mark_of

    settings = plain(config)
    check_formats(settings["formats"], settings["fps"])
    seed, out = check_seed("seed", settings["seed"]), Path(settings["out"])
    targets = {kind: out / ("frames" if kind == "png" else f"walk.{kind}") for kind in settings["formats"]}
    there = [str(path) for path in targets.values() if path.exists()]
    if there and not settings["overwrite"]:
        raise ValueError(f"{', '.join(there)} is there; choose another out=..., or overwrite=true to replace it")
    loaded = load_generator(
        settings["checkpoint"],
        settings["weights"],
        device=choose_device(settings["device"]),
        trust=settings["trust"],
    )
    mark = mark_of(loaded, seed)
    space_of(loaded, seed)  # the wrong kind of generator is told before what is wrong with its truncation
    space = space_of(
        asked(with_sliders(loaded, settings), truncation=settings["truncation"], standing_statistics=None), seed
    )
    points = space.samples(seed, numbers(settings), settings["classes"])
    along = walk(space, points, settings["frames"], settings["loop"])
    pictures = space.pictures(along)
    frames = [as_picture(frame) for frame in track(pictures, total=settings["frames"], transient=True)]
    shown = [enlarged(frame) for frame in frames] if settings["enlarge"] else frames
    made_folder(out)
    kind = "a loop" if settings["loop"] else "a walk"
    print(f"{kind} of {len(frames)} frames through {len(points.positions)} {space.name} of {loaded.path}")
    for name, target in targets.items():
        with naming(target):
            if name == "png":
                write_frames(frames, made_folder(target), partial(save_png, info=mark.info()))
            else:
                save(shown, target, fps=settings["fps"], loop=settings["loop"], mark=mark)
        print(f"{name:<5} {target}")


def numbers(settings: dict[str, Any]) -> list[int]:
    """Of the pictures of `gan_lab.sample` that a walk passes through.

    Raises:
        ValueError: fewer than 2.
    """
    if settings["through"] is not None:
        if len(settings["through"]) < 2:
            raise ValueError(f"through must name 2 pictures or more, got {settings['through']}")
        return settings["through"]
    if settings["points"] < 2:
        raise ValueError(f"points must be 2 or more, got {settings['points']}")
    return list(range(settings["points"]))


def as_picture(frame: Any) -> Any:
    """(1, C, H, W) uint8 as (H, W), or (H, W, C) in colour."""
    pixels = frame[0].permute(1, 2, 0).contiguous().numpy()
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def write_frames(frames: list[Any], folder: Path, save_png: Any) -> None:
    """Numbered PNGs, without any that an earlier, longer walk has left."""
    for earlier in folder.glob("frame[0-9]*.png"):
        earlier.unlink()
    for number, frame in enumerate(frames):
        save_png(frame, folder / f"frame{number:06d}.png")


if __name__ == "__main__":
    main()
