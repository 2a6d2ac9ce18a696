"""`python -m gan_lab.directions`: directions in which pictures change, stored as sliders, with a sheet of pictures."""

import math
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import made_folder, run_command
from gan_lab.distributed.topology import choose_device
from gan_lab.runs.settings import plain
from gan_lab.sample import naming

METHODS = ("sefa", "pca", "difference")
DECISIVE = ("method", "samples", "seed", "classes", "plus", "minus")  # settings that a direction follows from


def main() -> None:
    """The command."""
    run_command("directions", run)


def run(config: DictConfig) -> None:
    """Find directions, store them as sliders beside the generator, and draw a row of pictures of each.

    Raises:
        ValueError: a setting that is wrong, or does not suit the generator; before anything is written.
    """
    import torch

    from gan_lab.data.pictures import save_png, sheet
    from gan_lab.evaluation.generation import asked
    from gan_lab.latents.directions import checked_layers
    from gan_lab.latents.sliders import Slider, place_of, shifted, write
    from gan_lab.latents.space import space_of
    from gan_lab.runs.checkpoint import load_generator
    from gan_lab.sampling import check_seed
    from gan_lab.sharing.marks import mark_of

    settings = plain(config)
    check(settings)
    seed, drawing = check_seed("seed", settings["seed"]), Path(settings["out"]) / f"{settings['method']}.png"
    if drawing.exists() and not settings["overwrite"]:
        raise ValueError(f"{drawing} is there; choose another out=..., or overwrite=true to replace it")
    loaded = load_generator(
        settings["checkpoint"],
        settings["weights"],
        device=choose_device(settings["device"]),
        trust=settings["trust"],
    )
    space = space_of(loaded, seed)
    layers = checked_layers(settings["layers"], space)
    steps = found(space, settings, layers)
    made_by = {key: settings[key] for key in DECISIVE}
    sliders = {
        name: Slider(step.float(), layers, made_by | {"number": number})
        for number, (name, step) in enumerate(zip(named(settings, len(steps)), steps, strict=True))
    }
    truncated = {"truncation": settings["truncation"], "standing_statistics": None}
    point = space.samples(seed, [settings["at"]], settings["classes"])
    rows = [
        next(space_of(asked(shifted(loaded, [(slider, strength)]), **truncated), seed).pictures(point))
        for slider in sliders.values()
        for strength in settings["strengths"]
    ]
    place = place_of(loaded) if settings["file"] is None else Path(settings["file"])
    made_folder(place.parent, "file")
    with naming(place):
        write(place, loaded, sliders, replacing=settings["overwrite"])
    made_folder(drawing.parent)
    columns = [f"{value:g}" for value in settings["strengths"]]
    with naming(drawing):
        save_png(sheet(torch.cat(rows), list(sliders), columns), drawing, mark_of(loaded, seed).info())
    print(f"{len(sliders)} directions in {space.name} of {loaded.path} ({loaded.weights})")
    print(f"rows     {', '.join(sliders)}\ncolumns  {', '.join(columns)}")
    print(f"sheet    {drawing}\nsliders  {place}")


def check(settings: dict[str, Any]) -> None:
    """What can be said of the settings without a generator.

    Raises:
        ValueError: one is wrong.
    """
    method, plus, minus = settings["method"], settings["plus"], settings["minus"]
    if method not in METHODS:
        raise ValueError(f"method must be {', '.join(METHODS[:-1])} or {METHODS[-1]}, got {method!r}")
    if not settings["strengths"]:
        raise ValueError("strengths=[] is empty; name at least one, or leave it out")
    if not all(math.isfinite(strength) for strength in settings["strengths"]):
        raise ValueError(f"strengths must be finite, got {settings['strengths']}")
    if settings["samples"] < 2:
        raise ValueError(f"samples must be 2 or more, got {settings['samples']}")
    if method == "difference":
        if not plus or not minus:
            raise ValueError(
                "method=difference goes from one set of pictures to another: name their numbers among those of "
                "gan_lab.sample, plus=[3,17,40] minus=[5,8,9] for example"
            )
        if both := sorted(set(plus) & set(minus)):
            raise ValueError(f"pictures {both} are in plus and in minus; leave each in one of them")
    elif plus or minus:
        raise ValueError(f"plus and minus are of method=difference, and method is {method}; leave them out")


def found(space: Any, settings: dict[str, Any], layers: tuple[int, int] | None) -> Any:
    """(N, dim) float64: a direction in each row, as long as a strength of 1."""
    from gan_lab.latents.directions import difference, principal, sefa

    seed, classes = settings["seed"], settings["classes"]
    if settings["method"] == "difference":
        plus, minus = (space.samples(seed, settings[key], classes).positions for key in ("plus", "minus"))
        return difference(plus=plus, minus=minus)
    samples = space.samples(seed, range(settings["samples"]), classes).positions
    if settings["method"] == "sefa":
        return sefa(space, count=settings["count"], samples=samples, layers=layers)
    return principal(space, count=settings["count"], samples=samples)


def named(settings: dict[str, Any], count: int) -> list[str]:
    """A name for each direction: the method and its number, unless `names` gives another.

    Raises:
        ValueError: `names` has a number without a direction, or a name twice.
    """
    names = settings["names"]
    if names is not None and not isinstance(names, dict):
        raise ValueError(f"names must be numbers with names, names={{0: stroke}} for example, got {names!r}")
    given = {str(number): str(name) for number, name in (names or {}).items()}
    names = [given.pop(str(number), f"{settings['method']}{number}") for number in range(count)]
    if given:
        raise ValueError(f"names has {', '.join(given)}, and directions are numbered from 0 to {count - 1}")
    if len(set(names)) < count:
        raise ValueError(f"names gives one name to several directions: {', '.join(names)}")
    return names


if __name__ == "__main__":
    main()
