"""`python -m gan_lab.import_weights`: a generator of somebody else's as a snapshot of gan_lab, its licence with it."""

import hashlib
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import made_folder, run_command
from gan_lab.runs.settings import plain

NOISES = ("random", "constant")


def main() -> None:
    """The command."""
    run_command("import_weights", run)


def run(config: DictConfig) -> None:
    """Write generator.safetensors and generator.json into `out`, and say how to go on."""
    from torch import nn

    from gan_lab.importing.licences import terms
    from gan_lab.runs.checkpoint import build, describe, write_snapshot

    settings = plain(config)
    licence = terms(settings["licence"])
    if settings["noise"] not in NOISES:
        raise ValueError(f"noise must be random or constant, got {settings['noise']!r}")
    path, out = Path(settings["file"]).expanduser(), Path(settings["out"])
    target = out / "generator.safetensors"
    if target.exists() and not settings["overwrite"]:
        raise ValueError(f"{target} is there already; choose another out=..., or overwrite=true to replace it")
    imported = imported_generator(path, settings["noise"])
    network = build(imported.model["generator"], base=nn.Module)
    check_shapes(network.state_dict(), imported.state, path)
    network.load_state_dict(imported.state)
    made_folder(out)
    origin = {"format": imported.format, "file": path.name, "sha256": sha256_of(path), **imported.further}
    about = describe({"model": imported.model, "data": {}, "evaluation": {}}) | {
        "images_seen": 0,
        "network": "generator",
        "weights": "ema",
        "inputs": {},
        "licence": licence,
        "imported": origin,
    }
    write_snapshot(target, network, about)
    print(f"{target}\n{target.with_suffix('.json')}")
    print(f"{imported.format}: the averaged generator, {numbers(network):,} numbers; the discriminator is left behind")
    print(f"licence {licence}")
    print(f"pictures: python -m gan_lab.sample checkpoint={target}")
    if "num_classes" not in imported.model:
        print(f"training on: python -m gan_lab.train {' '.join(training_words(imported))} init_from={target}")


def imported_generator(path: Path, noise: str) -> Any:
    """The averaged generator of a file, as `gan_lab.importing.imported.Imported`.

    Args:
        noise: see `gan_lab.importing.stylegan2_ada.generator`.
    Raises:
        RefusedFile: it cannot be read, or is of something else.
    """
    from gan_lab.importing import r3gan, stylegan2_ada
    from gan_lab.importing.pickles import PERSISTENT, Record, RefusedFile, part, read_pickle, shown

    content = read_pickle(path)
    network = content.get("G_ema") if isinstance(content, dict) else None
    if not isinstance(network, Record):
        held = ", ".join(shown(key) for key in list(content)[:8]) if isinstance(content, dict) else shown(content)
        raise RefusedFile(f"{path} was refused: it holds no network G_ema, but {held or 'nothing'}")
    if network.name == "training.networks.Generator":
        if noise != "random":
            raise ValueError("noise=constant is of StyleGAN2, and R3GAN has no noise; leave it out")
        return r3gan.generator(network, path)
    kind = network.name
    if network.name == PERSISTENT:
        kind = network.arguments[0].get("class_name")
        modules = part(network, "_modules", path)
        synthesis = modules.get("synthesis")
        layers = part(synthesis, "_modules", path) if synthesis is not None else {}
        if "input" in layers:
            raise RefusedFile(
                f"{path} was refused: it holds StyleGAN3, whose layers gan_lab has not; its repository's config "
                "stylegan2 trains networks that can be read"
            )
        if kind == "Generator" and "mapping" in modules and "b4" in layers:
            return stylegan2_ada.generator(network, path, noise)
    raise RefusedFile(
        f"{path} was refused: its G_ema is {shown(kind)}, and neither StyleGAN2-ADA's generator nor R3GAN's"
    )


def check_shapes(own: Any, given: Any, path: Path) -> None:
    """Refuse weights that do not fit the network which the file's settings make.

    Raises:
        RefusedFile: a tensor is missing, left over or of another shape.
    """
    from gan_lab.importing.pickles import RefusedFile

    for key in sorted({*own, *given}):
        theirs, ours = (tuple(state[key].shape) if key in state else "none" for state in (given, own))
        if theirs != ours:
            raise RefusedFile(
                f"{path} was refused: its settings and its tensors disagree: {key} is {theirs} in the file, and {ours} "
                "by its settings"
            )


def training_words(imported: Any) -> list[str]:
    """The choices and settings that build this generator in `python -m gan_lab.train`."""
    settings, model = imported.model["generator"], imported.model
    name = model["_target_"].split(".")[-2]
    words = [f"model={name}", f"network={imported.network}", "data=folder", "data.root=FOLDER"]
    words += [f"data.image_size={settings['sample_shape'][1]}", f"model.latent_dim={model['latent_dim']}"]
    shared = ("width", "max_width", "multipliers", "blocks", "expansion", "group_width")
    for key, value in settings.items():
        if key in ("_target_", "sample_shape", "latent_dim"):
            continue
        added = "+" if key in ("conv_clamp", "constant_noise") else ""
        words.append(f"{added}model.generator.{key}={word(value)}")
        if key in shared:
            words.append(f"model.discriminator.{key}={word(value[::-1] if key == 'multipliers' else value)}")
    return words


def word(value: Any) -> str:
    """A value on a command line, without spaces."""
    return str(value).replace(" ", "").replace("True", "true")


def numbers(network: Any) -> int:
    """How many parameters a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


def sha256_of(path: Path) -> str:
    """The digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
