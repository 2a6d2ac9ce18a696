"""All checks in their order, and how one is run."""

from collections.abc import Callable, Iterator
from threading import Thread

from gan_lab.diagnosis.cluster import communication, slurm, trainer, world
from gan_lab.diagnosis.data import data_sets, folders
from gan_lab.diagnosis.findings import Finding, SettingsError, one_line
from gan_lab.diagnosis.libraries import extras, libraries, python
from gan_lab.diagnosis.loggers import wandb
from gan_lab.diagnosis.machine import cpu, devices, memory
from gan_lab.diagnosis.settings import Settings, composition
from gan_lab.diagnosis.weights import extractors

CHECK_S = 60.0  # for a check: a library on a slow file system takes its time to load


Check = Callable[[Settings], Iterator[Finding]]


CHECKS: tuple[Check, ...] = (
    python,
    libraries,
    extras,
    cpu,
    memory,
    devices,
    communication,
    world,
    trainer,
    slurm,
    composition,
    folders,
    data_sets,
    extractors,
    wandb,
)


def examine(check: Check, settings: Settings) -> list[Finding]:
    """The findings of one check; one that fails, or does not come to an end, is a finding, too."""
    found: list[Finding] = []
    name = check.__name__.replace("_", " ")

    def look() -> None:
        try:
            for finding in check(settings):
                found.append(finding)
        except SettingsError as error:
            if check is composition:
                found.append(Finding("settings", "broken", str(error), "mend the command line, or conf/"))
            else:
                found.append(Finding(name, "note", "not looked at further: the settings do not compose"))
        except BaseException as error:
            text = one_line(f"could not be looked at: {type(error).__name__}: {error}")
            found.append(Finding(name, "broken", text, "mend what it names"))

    thread = Thread(target=look, daemon=True)
    thread.start()
    thread.join(CHECK_S)
    if thread.is_alive():
        text = f"no answer within {CHECK_S:g} s"
        return [*found, Finding(name, "broken", text, "look for a file system or a name server that does not answer")]
    return found
