"""Weights of extractors."""

from collections.abc import Iterator
from typing import Any

from gan_lab.diagnosis.findings import Finding, SettingsError
from gan_lab.diagnosis.settings import Settings


def extractors(settings: Settings) -> Iterator[Finding]:
    """Every extractor of `conf/extractor`: its weights, or where they are looked for."""
    from hydra.utils import get_class

    for name, chosen, node in settings.choices("extractor@evaluation.extractor", "evaluation.extractor"):
        if isinstance(node, SettingsError):
            yield Finding(f"extractor {name}", "broken", str(node), f"see conf/extractor/{name}.yaml")
            continue
        arguments = {str(key): node[key] for key in node if not str(key).startswith("_")}
        if "download" in arguments:
            arguments["download"] = False
        kind: Any = get_class(node._target_)
        missing = kind.missing_weights(**arguments)
        if missing is None:
            place = arguments.get("weights") or "where it looks by itself"
            yield Finding(f"extractor {name}", "good", f"weights found: {place}")
        else:
            text, _, remedy = missing.partition(": ")
            text += "; runs of these settings train unscored" if chosen else ""
            yield Finding(f"extractor {name}", "note", text, remedy)
