"""`python -m gan_lab.project`: the latents with which a trained generator comes nearest to pictures of yours."""

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from omegaconf import DictConfig

from gan_lab import __version__
from gan_lab.cli import made_folder, run_command
from gan_lab.distributed.topology import choose_device
from gan_lab.runs.settings import plain
from gan_lab.sample import naming, shortened

MANIFEST = "projections.json"


def main() -> None:
    """The command."""
    run_command("project", run)


def run(config: DictConfig) -> None:
    """Project each source, and write its latents, the picture beside it, and how it came about.

    Raises:
        ValueError: a setting that is wrong, or does not suit the generator, before anything is written; or, after all
            others are made, the sources that could not be read.
    """
    from gan_lab.evaluation.generation import block_inputs
    from gan_lab.latents.projection import FRAMINGS, Distance, Projector, Search, checked_space
    from gan_lab.latents.space import space_of
    from gan_lab.runs.checkpoint import load_generator
    from gan_lab.sampling import check_seed
    from gan_lab.sharing.marks import mark_of
    from gan_lab.translation.reading import pictures_at

    settings = plain(config)
    seed, out = check_seed("seed", settings["seed"]), Path(settings["out"])
    if settings["framing"] not in FRAMINGS:
        raise ValueError(f"framing must be {' or '.join(FRAMINGS)}, got {settings['framing']!r}")
    search = Search(**{key: settings[key] for key in ("steps", "rate", "noise")})
    if (out / MANIFEST).exists() and not settings["overwrite"]:
        raise ValueError(f"{out} holds {MANIFEST}; choose another out=..., or overwrite=true to replace what is there")
    sources = pictures_at("sources", settings["sources"])
    for line in [*sources.findings(), *sources.notes()]:
        print(f"sources: {line}")
    names = targets(sources.names())
    loaded = load_generator(
        settings["checkpoint"],
        settings["weights"],
        device=choose_device(settings["device"]),
        trust=settings["trust"],
    )
    space = space_of(loaded, seed)
    kind = checked_space(settings["space"], space)
    block_inputs(loaded, seed=seed, block=0, classes=settings["classes"])  # wrong classes show here
    distance = Distance(extractor_of(config, space), settings["perceptual_weight"])
    projector = Projector(space, kind=kind, distance=distance, search=search, classes=settings["classes"])
    info = mark_of(loaded, seed, of_picture=True).info()
    made_folder(out)
    entries, failed = [], []
    for stem, name in names.items():
        try:
            content = sources.read(name)
            entry = projected(projector, content, out / stem, settings["framing"], info)
        except (ValueError, OSError) as error:
            failed.append(name)
            print(f"{name}: {error}")
            continue
        entries.append({"source": name} | entry)
        print(f"{name}: {entry['framing']}; distance {entry['first']:.4f} -> {entry['last']:.4f}", flush=True)
        print(f"    levels off by {entry['rms_levels']:.1f} of 255 (root of the mean square)")
    about = {
        "gan_lab": __version__,
        "checkpoint": str(loaded.path),
        "weights": loaded.weights,
        "space": kind,
        "settings": {key: settings[key] for key in ("steps", "rate", "noise", "seed", "classes", "framing")},
        "perceptual": None if distance.extractor is None else distance.extractor.protocol(),
        "perceptual_weight": distance.weight,
        "pictures": entries,
    }
    with naming(out / MANIFEST):
        temporary = out / f".{MANIFEST}.tmp"
        temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")
        os.replace(temporary, out / MANIFEST)
    print(f"{len(entries)} pictures projected into {kind} of {loaded.path} ({loaded.weights})\nlatents  {out}")
    if failed:
        raise ValueError(f"{len(failed)} of {len(names)} pictures could not be projected: {shortened(failed)}")


def targets(names: list[str]) -> dict[str, str]:
    """The stem of what is written of each source, with its name; folders become parts of the stem.

    Raises:
        ValueError: two sources would be written to one name.
    """
    found: dict[str, str] = {}
    for name in names:
        stem = "_".join(PurePosixPath(name).with_suffix("").parts)
        if stem in found:
            raise ValueError(f"sources {found[stem]} and {name} would both be written as {stem}.png; rename one")
        found[stem] = name
    return found


def extractor_of(config: DictConfig, space: Any) -> Any:
    """The extractor of the perceptual term on the generator's device, tried on a picture of it; None without one.

    Raises:
        ValueError: its weights are missing or damaged, or it has no maps of such pictures; with the remedy.
    """
    from hydra.utils import instantiate
    from torch import zeros

    if config.perceptual is None:
        return None
    remedy = "Another extractor: extractor@perceptual=classifier, say; pixels alone: leave it out"
    make = instantiate(config.perceptual) if isinstance(config.perceptual, DictConfig) else None
    if not callable(make):
        raise ValueError(f"perceptual must be chosen as extractor@perceptual=NAME, got {config.perceptual}. {remedy}")
    try:
        extractor = make().to(space.device)
        extractor.differentiable(zeros(1, *space.loaded.network.sample_shape, device=space.device))
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"perceptual cannot be computed: {error}. {remedy}") from error
    return extractor


def projected(projector: Any, content: bytes, place: Path, framing: str, info: Any) -> dict[str, Any]:
    """Project one source and write what belongs to it.

    Args:
        place: of what is written, without the ends of the names.
        info: metadata of the pictures, see `gan_lab.sharing.marks.Mark`.

    Returns:
        Its entry in the manifest.
    Raises:
        ValueError: the source cannot be read.
        OSError: something cannot be written.
    """
    import torch
    from safetensors.torch import save_file

    from gan_lab.data.pictures import grid, save_png
    from gan_lab.latents.projection import framed
    from gan_lab.translation.reading import read_picture

    channels, *size = projector.space.loaded.network.sample_shape
    picture = read_picture(content, channels)
    pixels, said = framed(picture.pixels, (size[0], size[1]), framing)
    source = torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()
    found = projector(source)
    files = {kind: place.with_name(f"{place.name}{kind}") for kind in (".safetensors", ".png", ".progress.png")}
    tensors = {projector.space.name: found.points.positions.float().contiguous()}
    if found.points.labels is not None:
        tensors["labels"] = found.points.labels
    temporary = place.with_name(f".{place.name}.safetensors.tmp")
    with naming(files[".safetensors"]):
        save_file(tensors, temporary)
        os.replace(temporary, files[".safetensors"])
    beside = torch.cat([source[None], found.picture])
    save_png(grid(beside, columns=2), files[".png"], info)
    steps = torch.cat([found.progress, source[None]])
    save_png(grid(steps, columns=len(steps)), files[".progress.png"], info)
    off = (beside[0].double() - beside[1].double()).square().mean().sqrt().item()
    remarks = {"remarks": picture.remarks} if picture.remarks else {}
    return {"framing": said, "first": found.first, "last": found.last, "rms_levels": off} | remarks


if __name__ == "__main__":
    main()
