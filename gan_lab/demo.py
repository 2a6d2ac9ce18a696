"""`python -m gan_lab.demo`: a page on this machine to play with a trained generator or translator.

Not `make demo`, which trains a small generator and writes a report of it.
"""

import os
import signal
import threading
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import message, run_command
from gan_lab.distributed.topology import choose_device
from gan_lab.installing import install_command
from gan_lab.runs.settings import plain

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # of data that came from the hub, what is here is taken


def main() -> None:
    """The command."""
    run_command("demo", run)


def run(config: DictConfig) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        ValueError: a setting that is wrong, or does not suit the generator.
        ImportError: the extra is missing.
    """
    from gan_lab.runs.checkpoint import load_generator

    settings = plain(config)
    os.environ |= OFFLINE
    direction = {} if settings["direction"] is None else {"direction": settings["direction"]}
    loaded = load_generator(
        settings["checkpoint"],
        settings["weights"],
        device=choose_device(settings["device"]),
        trust=settings["trust"],
        **direction,
    )
    build = translations(loaded, settings) if hasattr(loaded.inputs, "condition_shape") else samples(loaded, settings)
    serving = page().serving
    print(f"page of {loaded.path} ({loaded.weights}, {loaded.images_seen / 1000:.1f} kimg)")
    if loaded.licence is not None:
        print(f"licence {loaded.licence}")
    try:
        with serving(build, settings["port"]) as address:
            print(f"open    {address}\nCtrl-C ends it", flush=True)
            wait()
    except KeyboardInterrupt:
        print("ended")


def page() -> Any:
    """The module of pages.

    Raises:
        ImportError: the extra is missing.
    """
    try:
        from gan_lab.demonstration import page
    except ModuleNotFoundError as error:
        raise ImportError(
            f"python -m gan_lab.demo needs: {install_command('demo')} (there is no {error.name})"
        ) from error
    return page


def wait() -> None:
    """Until Ctrl-C, or until the process is asked to end: pictures that were dropped go with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    never = threading.Event()
    while not never.wait(1):  # by the second, since Windows tells of Ctrl-C between waits alone
        pass


def samples(loaded: Any, settings: dict[str, Any]) -> Any:
    """What makes the page of a generator of latents.

    Raises:
        ValueError: a setting that is wrong, or does not suit it.
    """
    from gan_lab.demonstration.samples import Samples

    refuse(settings, "direction", "of a translator, and this generator makes pictures of latents")
    refuse(settings, "fill", "of holes, and this generator is given none")
    sliders, remarks = sliders_of(loaded, settings["sliders_file"])
    session = Samples(loaded, count=settings["count"], sliders=sliders)
    training = None
    if settings["neighbours"]:
        training, more = training_of(loaded, settings["trust"], settings["data_root"])
        remarks += more
    elif settings["data_root"] is not None:
        refuse(settings, "data_root", "of training pictures, and neighbours=false asks for none")
    for remark in remarks:
        print(remark)
    return lambda folder: page().page_of_samples(session, training, remarks, folder)


def translations(loaded: Any, settings: dict[str, Any]) -> Any:
    """What makes the page of a translator.

    Raises:
        ValueError: a setting that is wrong, or does not suit it.
    """
    from gan_lab.demonstration.translations import Parts, Translations

    refuse(settings, "data_root", "of training pictures like a sample, and a translator shows none")
    refuse(settings, "sliders_file", "of a generator with latents, and a translator follows its source")
    parts = Parts(settings["tile_size"], settings["max_megapixels"])
    session = Translations(loaded, fill=settings["fill"], parts=parts)
    return lambda folder: page().page_of_translations(session, [], folder)


def refuse(settings: dict[str, Any], key: str, why: str) -> None:
    """A key that means nothing here must be left out.

    Raises:
        ValueError: it is there.
    """
    if settings[key] is not None:
        raise ValueError(f"{key}={settings[key]} is {why}; leave it out")


def sliders_of(loaded: Any, file: str | None) -> tuple[dict[str, Any], list[str]]:
    """Directions by name, of the file that is asked for or that lies beside the checkpoint, if any; and remarks.

    Raises:
        ValueError: the file that is asked for cannot be used.
    """
    from gan_lab.latents.sliders import place_of, read

    if file is not None:
        return read(Path(file), loaded), []
    place = place_of(loaded)
    if not place.exists():
        return {}, ["No sliders: python -m gan_lab.directions checkpoint=... finds directions for some"]
    try:
        return read(place, loaded), []
    except ValueError as error:  # of other weights, perhaps; all else works without them
        return {}, [f"No sliders: {error}"]


def training_of(loaded: Any, trust: list[str], data_root: str | None) -> tuple[Any, list[str]]:
    """What a run was trained on, or None and why it is not at hand.

    Raises:
        ValueError: it is not where the command says it is.
    """
    from hydra.errors import HydraException

    from gan_lab.demonstration.training import training_pictures

    try:
        return training_pictures(loaded.config, trust, data_root), []
    except (ValueError, OSError, ImportError, RuntimeError, HydraException) as error:
        if data_root is not None:
            raise ValueError(f"data_root={data_root} cannot be had: {message(error)}") from error
        return None, [f"No nearest training pictures: {message(error)}"]


if __name__ == "__main__":
    main()
