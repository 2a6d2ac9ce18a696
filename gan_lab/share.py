"""`python -m gan_lab.share`: a folder to give to others: the averaged generator, a model card, samples, a manifest."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import made_folder, run_command
from gan_lab.distributed.topology import choose_device
from gan_lab.runs.settings import plain
from gan_lab.sample import GRID, images, sheet_of, shortened

MANIFEST = "manifest.json"
OWN = ("README.md", "generator.safetensors", "generator.json", "generator.html", "grid.png", "neighbours.png", MANIFEST)


def main() -> None:
    """The command."""
    run_command("share", run)


def run(config: DictConfig) -> None:
    """Write the folder, and upload it where that is asked for.

    Raises:
        ValueError: a setting that is wrong, before anything is written.
        OSError: the upload failed; the folder is whole.
    """
    from gan_lab.data.pictures import save_png
    from gan_lab.runs.checkpoint import describe, load_generator, write_snapshot
    from gan_lab.runs.records import read_json
    from gan_lab.sampling import check_seed
    from gan_lab.sharing import hub
    from gan_lab.sharing.card import card, evaluated, known_from, licence_for
    from gan_lab.sharing.config import shareable
    from gan_lab.sharing.marks import mark_of

    settings = plain(config)
    check_seed("seed", settings["seed"])
    out = Path(settings["out"])
    api = None if settings["hub"] is None else hub.hub_for(settings["hub"])
    earlier = found_in(out, overwrite=settings["overwrite"])
    direction = {} if settings["direction"] is None else {"direction": settings["direction"]}
    device = choose_device(settings["device"])
    loaded = load_generator(settings["checkpoint"], device=device, trust=settings["trust"], **direction)
    licence = licence_for(settings["licence"], loaded.licence)
    earlier_card = read_json(loaded.path.with_suffix(".json")) or {}
    shared_before = "scores" in earlier_card
    found = (
        known_from(earlier_card)
        if shared_before
        else evaluated(run_of(loaded, settings["trust"]), loaded.images_seen, loaded.weights)
    )
    if settings["neighbours"] and found.neighbours is None:
        raise ValueError(
            f"neighbours=true: the run of {loaded.path} has drawn no nearest training pictures of these weights; "
            "callbacks.neighbours of experiment=own_pictures draws them in training; leave it out here"
        )
    page = page_for(replace(loaded, licence=licence), settings) if settings["page"] else None
    kept, kind = shareable(loaded.config), kind_of(loaded)
    mark = replace(mark_of(loaded, settings["seed"]), licence=licence)
    about = describe(kept) | {
        "images_seen": loaded.images_seen,
        "network": loaded.name,
        "weights": loaded.weights,
        "weights_sha256": mark.generator_sha256,
        "inputs": loaded.inputs.state_dict(),
        "licence": licence,
        "scores": found.scores,
        "score_protocols": found.hashes,
        "protocols": found.protocols,
        "started_from_others": earlier_card.get("started_from_others", loaded.config.get("init_from") is not None),
    }
    with_grid = kind in ("latents", "labels")
    sheet = (
        sheet_of([image for block in images(loaded, count=GRID, seed=mark.seed) for image in block])
        if with_grid
        else None
    )
    text = card(
        title=settings["title"] or title_of(kept),
        licence=licence,
        config=kept,
        about=about,
        found=found,
        kind=kind,
        grid=with_grid,
        neighbours=settings["neighbours"],
        page=page is not None,
    )
    made_folder(out)
    for path in earlier:
        path.unlink()
    write_snapshot(out / "generator.safetensors", loaded.network, about)
    (out / "README.md").write_text(text, encoding="utf-8")
    if sheet is not None:
        save_png(sheet, out / "grid.png", mark.info())
    if page is not None:
        (out / "generator.html").write_text(page, encoding="utf-8")
    if settings["neighbours"]:
        shutil.copyfile(found.neighbours, out / "neighbours.png")  # type: ignore[arg-type]
    digests = {name: sha256_of(out / name) for name in OWN if (out / name).is_file()}
    (out / MANIFEST).write_text(json.dumps({"made_by": "gan_lab.share", "sha256": digests}, indent=1), encoding="utf-8")
    print(f"{loaded.path} ({loaded.weights}, {loaded.images_seen / 1000:.1f} kimg)\nlicence {licence}")
    print(f"card    {out / 'README.md'}\nfiles   {', '.join([*digests, MANIFEST])} in {out}")
    if api is not None:
        where = hub.push(api, out, [*digests, MANIFEST], settings["hub"], private=settings["hub_private"], earlier=OWN)
        print(f"hub     {where}")


def page_for(loaded: Any, settings: dict[str, Any]) -> str:
    """The page that `python -m gan_lab.export page=true` makes of the same checkpoint.

    Raises:
        ValueError: the generator does not suit one, or the page's network differs from the module.
    """
    from gan_lab.exporting.page import check_suits_a_page, page_of
    from gan_lab.exporting.web_runtime import web_runtime

    if not settings["tolerance"] > 0:
        raise ValueError(f"tolerance must be more than 0, got {settings['tolerance']}")
    check_suits_a_page(loaded)
    runtime = web_runtime(settings["runtime"], Path(settings["paths"]["cache_dir"]))
    return page_of(loaded, runtime=runtime, tolerance=settings["tolerance"])


def found_in(out: Path, *, overwrite: bool) -> list[Path]:
    """The files that an earlier command wrote into a folder, which new ones replace.

    Raises:
        ValueError: the folder is not empty, or holds files of these names that are not as an earlier command left them.
    """
    from gan_lab.runs.records import read_json

    there = sorted(out.iterdir()) if out.is_dir() else []
    if there and not overwrite:
        raise ValueError(f"{out} is not empty; choose another out=..., or overwrite=true to write into it")
    manifest = read_json(out / MANIFEST) or {}
    digests = manifest.get("sha256") if manifest.get("made_by") == "gan_lab.share" else None
    known = digests if isinstance(digests, dict) else {}
    earlier = [path for path in there if path.name in OWN and path.is_file()]
    others = [
        path.name
        for path in there
        if path.name in OWN
        and (path not in earlier or (known.get(path.name) != sha256_of(path) and not (path.name == MANIFEST and known)))
    ]
    if others:
        raise ValueError(
            f"{out} holds {shortened(others)}, not as an earlier share left them; choose another out=..., or move them "
            "away"
        )
    return earlier


def run_of(loaded: Any, trust: list[str]) -> Path | None:
    """The folder of the run whose records are of this generator; None where there is none.

    A model that goes either way has scores of its first way.
    """
    from gan_lab.runs.checkpoint import target_class

    folder = loaded.path.parent.parent
    is_scored = target_class(loaded.config["model"], trust).sampled_network == loaded.name  # type: ignore[attr-defined]
    return folder if is_scored and (folder / "run.json").is_file() else None


def kind_of(loaded: Any) -> str:
    """What a generator makes its pictures of, in the words of `gan_lab.sharing.card.card`."""
    if hasattr(loaded.inputs, "condition_shape"):
        return "pictures"
    if len(getattr(loaded.network, "sample_shape", (1, 1, 1))) != 3:
        return "points"
    return "labels" if getattr(loaded.inputs, "num_classes", None) else "latents"


def title_of(config: dict[str, Any]) -> str:
    """A line for a card that has none."""
    from gan_lab.sharing.config import data_title

    model, data = config["model"]["_target_"].rsplit(".", 1)[-1], data_title(config)
    return f"{model} of {data}" if data else model


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
