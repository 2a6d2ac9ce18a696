"""The evaluation stage: samples and a reference set in, scores with their protocols out; in training and alone.

`Evaluation` and what else is imported from here, configurations do by this name, lies in the modules of this package
and is loaded when it is asked for.
"""

from importlib import import_module
from typing import Any

HOMES = {
    "Evaluation": "stage",
    "EvaluationError": "stage",
    "Generated": "sources",
    "Scores": "scores",
    "Stored": "sources",
    "digest_of": "scores",
    "scoring_mode": "isolation",
}


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
