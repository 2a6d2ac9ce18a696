"""`python -m gan_lab.import_weights`: a generator of somebody else's as a snapshot of gan_lab, its licence with it."""

import hashlib
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig

from gan_lab.cli import made_folder, run_command
from gan_lab.runs.settings import plain

MADE_AT_ONCE = 2**30  # bytes of a network, without a look at its sizes before
NOISES = ("random", "constant")


def main() -> None:
    """The command."""
    run_command("import_weights", run)


def run(config: DictConfig) -> None:
    """Write generator.safetensors and generator.json into `out`, and say how to go on.

    Where there is a discriminator, networks.safetensors holds both, for `init_from`.
    """
    import torch
    from safetensors.torch import save_file
    from torch import nn

    from gan_lab.importing.licences import terms
    from gan_lab.runs.checkpoint import describe, write_atomically, write_snapshot

    settings = plain(config)
    licence = terms(settings["licence"])
    if settings["noise"] not in NOISES:
        raise ValueError(f"noise must be random or constant, got {settings['noise']!r}")
    path, out = Path(settings["file"]).expanduser(), Path(settings["out"])
    beside = None if settings["discriminator"] is None else Path(settings["discriminator"]).expanduser()
    target, both = out / "generator.safetensors", out / "networks.safetensors"
    if there := [file for file in (target, both) if file.exists() and not settings["overwrite"]]:
        raise ValueError(f"{there[0]} is there already; choose another out=..., or overwrite=true to replace it")
    imported = imported_networks(path, beside, settings["noise"])
    network = loaded(imported.model["generator"], imported.state, path)
    if imported.averaged_styles:
        latents = torch.randn(imported.averaged_styles, network.latent_dim, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            network.w_mean.running_mean.copy_(network.mapping(latents).mean(0))
    discriminator = None
    if imported.discriminator_state is not None:
        discriminator = loaded(imported.discriminator, imported.discriminator_state, beside or path)
    made_folder(out)
    origin = {"format": imported.format, "file": path.name, "sha256": sha256_of(path), **imported.further}
    if beside is not None:
        origin |= {"discriminator": beside.name, "discriminator_sha256": sha256_of(beside)}
    about = describe({"model": imported.model, "data": {}, "evaluation": {}}) | {
        "images_seen": 0,
        "network": "generator",
        "weights": "ema" if imported.averaged else "live",
        "inputs": {},
        "licence": licence,
        "imported": origin,
    }
    write_snapshot(target, network, about)
    print(f"{target}\n{target.with_suffix('.json')}")
    both.unlink(missing_ok=True)  # of an import before
    if discriminator is not None:
        tensors = nn.ModuleDict({"generator": network, "discriminator": discriminator}).state_dict()
        write_atomically(both, lambda file: save_file(tensors, file, {"licence": licence}))
        print(both)
    kind = "the averaged generator" if imported.averaged else "the generator"
    further = f"the discriminator, {numbers(discriminator):,}" if discriminator else "the discriminator is left behind"
    print(f"{imported.format}: {kind}, {numbers(network):,} numbers; {further}")
    for line in imported.left_behind:
        print(f"left behind: {line}")
    print(f"licence {licence}")
    print(f"pictures: python -m gan_lab.sample checkpoint={target}")
    if "num_classes" not in imported.model:
        start = both if discriminator is not None else target
        print(f"training on: python -m gan_lab.train {' '.join(training_words(imported))} init_from={start}")


def loaded(settings: Any, state: Any, path: Path) -> Any:
    """A network with the weights of a file.

    Raises:
        RefusedFile: they do not fit the network which the file's settings make.
    """
    import torch
    from torch import nn

    from gan_lab.importing.pickles import RefusedFile
    from gan_lab.runs.checkpoint import build

    try:
        if most_bytes(state) > MADE_AT_ONCE:  # by the widths of some layers, others may be far larger than the file
            with torch.device("meta"):
                sizes = build(settings, base=nn.Module).state_dict()
            check_shapes(sizes, state, path)
        network = build(settings, base=nn.Module)
    except InstantiationException as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise RefusedFile(f"{path} was refused: gan_lab has no network of its sizes: {reason}") from error
    check_shapes(network.state_dict(), state, path)
    network.load_state_dict(state)
    return network


def most_bytes(state: Any) -> int:
    """What a network of so many tensors has at most, if all are as wide as the widest, with 4x4 pixels between."""
    widest = max((side for tensor in state.values() for side in tensor.shape), default=1)
    return len(state) * 16 * widest**2 * 4


def imported_networks(path: Path, beside: Path | None, noise: str) -> Any:
    """The networks of a file, as `gan_lab.importing.imported.Imported`.

    Args:
        beside: the discriminator's file, of libraries that have one for each.
        noise: see `gan_lab.importing.stylegan2_ada.generator`.
    Raises:
        RefusedFile: it cannot be read, or is of something else.
        ValueError: a setting that such files have no use for.
    """
    from gan_lab.importing import families, saved

    if saved.is_saved(path):
        return families.networks(path, beside, noise)
    if beside is not None:
        raise ValueError(
            f"discriminator={beside} is of StudioGAN's and Mimicry's files, and {path} is none; leave it out"
        )
    return pickled_generator(path, noise)


def pickled_generator(path: Path, noise: str) -> Any:
    """The averaged generator of a pickle of NVlabs or of R3GAN; see `imported_networks`."""
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
    """The choices and settings that build these networks in `python -m gan_lab.train`."""
    settings, model = imported.model["generator"], imported.model
    name = model["_target_"].split(".")[-2]
    words = [f"model={name}", f"network={imported.network}", "data=folder", "data.root=FOLDER"]
    words += [f"data.image_size={settings['sample_shape'][1]}", f"model.latent_dim={model['latent_dim']}"]
    shared = ("width", "max_width", "multipliers", "blocks", "expansion", "group_width")
    for key, value in settings.items():
        if key in ("_target_", "sample_shape", "latent_dim"):
            continue
        words.append(setting("generator", key, value))
        if key in shared and imported.discriminator is None:
            words.append(setting("discriminator", key, value[::-1] if key == "multipliers" else value))
    for key, value in (imported.discriminator or {}).items():
        if key not in ("_target_", "sample_shape"):
            words.append(setting("discriminator", key, value))
    replaced = [key_of(each) for each in imported.further_words]
    return [each for each in words if key_of(each) not in replaced] + imported.further_words


def key_of(override: str) -> str:
    """The key that a word of a command line sets."""
    return override.lstrip("+~").split("=")[0]


def setting(network: str, key: str, value: Any) -> str:
    """A setting on a command line; those that no file of conf/network/ has are added."""
    added = "+" if key in ("conv_clamp", "constant_noise", "bias", "doubling", "gain", "shortcut") else ""
    return f"{added}model.{network}.{key}={word(value)}"


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
