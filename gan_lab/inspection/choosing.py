"""What `experiment=own_pictures` chooses by a look at the pictures, as words of the command line."""

import shlex
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from gan_lab.config import register, shipped
from gan_lab.inspection.plan import RECIPE, plan_for, size_for, sizes_of, too_few, ways_for
from gan_lab.overrides import is_sweep, key_of, values_of
from gan_lab.runs.records import read_json

ENOUGH_TO_HOLD_OUT = 200  # pictures, from which on some are kept for scores
HELD_OUT = 0.1  # share of them
MOST_HELD_OUT = 1000
SUBSET = "evaluation.metrics.kid.subset_size"
LARGEST_SUBSET = 1000  # of KID, as in its paper
# A person's own split, or scores.
SPLITTING = ("data.held_out", "data.limit", "data.subset", "evaluation.reference", "evaluation")
ELSEWHERE = ("--config-dir", "-cd", "hydra.searchpath=")
OF_PLAN = ("data.image_size", "data.batch_size", "model", "network", "total_kimg")
WHY = {
    "data.image_size": "pixels a side; no more than a quarter of the pictures is enlarged",
    "data.on_bad": "some files cannot be read, and are left out: gan-lab-look names them",
    "data.held_out": "so many are not trained on, chosen by their content; copies are on one side",
    "data.batch_size": "pictures of a step; data.micro_batch_size=N needs less memory, and gives nearly the same",
    "model": "the algorithm, by the number of pictures and by whether there is a GPU",
    "network": "what has this size",
    "total_kimg": "the length in thousands of pictures that D sees; it ends before, see stop.patience_kimg",
    "evaluation.reference": "which pictures samples are compared with; their KID decides which generator is the best",
    SUBSET: "no more than there are to compare with",
}


class Chosen(NamedTuple):
    """The command line with what was chosen.

    Attributes:
        words: of it, overrides before options.
        text: what was chosen and why, for people; empty where nothing was.
    """

    words: list[str]
    text: str


class Proposal(NamedTuple):
    """What suits the pictures.

    Attributes:
        about: what there is, and why this suits it, in a line.
        words: of the command line.
        warning: what a person should know before it starts; "" for nothing.
    """

    about: str
    words: list[str]
    warning: str = ""


def chosen_for(words: Sequence[str]) -> Chosen:
    """The words of a training command, with those that suit the pictures of `data.root` before a person's own.

    Nothing is looked at unless `experiment=own_pictures` is among them, nor where all of size, batch, model, network,
    length and split are, as in the words of the ranks and jobs that another process starts. What a person gives is not
    chosen. A run in `run_dir` goes on with what was chosen for it.

    Raises:
        ValueError, OSError: there are no pictures to choose by, or nothing fits.
        HydraException: the command line does not compose.
    """
    overrides = list(takewhile(lambda word: not word.startswith("-"), words))
    options = list(words[len(overrides) :])
    given = values_of(overrides)
    if given.get("experiment") != RECIPE or (all(key in given for key in OF_PLAN) and is_split(given)):
        return Chosen(list(words), "")
    stored = stored_words(given)
    proposal = Proposal("as when this run began", stored) if stored else look_and_choose(given, words)
    kept = [word for word in proposal.words if key_of(word) not in given]
    return Chosen([*kept, *overrides, *options], as_text(proposal._replace(words=kept)) if kept else "")


def is_split(given: Mapping[str, Any]) -> bool:
    """Whether the command line says which pictures are kept for scores."""
    return any(key in given for key in (*SPLITTING, "data.test_root", SUBSET))


def stored_words(given: Mapping[str, Any]) -> list[str]:
    """What was chosen for the run that lies in `run_dir`; none where none does, or it is to begin anew."""
    place = given.get("run_dir")
    if not isinstance(place, str) or given.get("overwrite") is True:
        return []
    return list((read_json(Path(place).expanduser() / "run.json") or {}).get("chosen", []))


def look_and_choose(given: Mapping[str, Any], words: Sequence[str]) -> Proposal:
    """All words that suit the pictures.

    Args:
        given: key -> value of the command line.
        words: the command line.
    """
    from gan_lab.data.archives import open_source
    from gan_lab.data.image_files import MODES
    from gan_lab.data.sources import names_in
    from gan_lab.inspection.survey import look_at

    config = composed(words)
    for key in ("data.root", "data.image_size", "data.channels", "data.center_crop", "model"):
        if is_sweep(given.get(key)):
            raise ValueError(
                f"experiment={RECIPE} chooses by one value of {key}, and this sweep has several; one command each, "
                "or sweep over other keys"
            )
    root = given.get("data.root")
    if root is None:
        raise ValueError(f"experiment={RECIPE} needs your pictures: data.root=PATH of a folder or zip")
    if not isinstance(root, str):
        raise ValueError(f"experiment={RECIPE} chooses by one folder or zip, data.root=PATH, got {root}")
    channels, center_crop = given.get("data.channels", 3), given.get("data.center_crop", True)
    if channels not in MODES:
        raise ValueError(f"data.channels must be one of {', '.join(map(str, MODES))}, got {channels}")
    source = open_source(Path(root).expanduser().absolute())
    looked = look_at(source, names_in(source), channels)
    if not looked.readable:
        raise ValueError(f"{source.place} has no picture that can be read: gan-lab-look data.root=... says why")
    gpu = has_gpu(config)
    size = size_given(given) or size_for([one.shorter for one in looked.readable], gpu=gpu)
    split = split_words(len(looked.readable), given, scored=is_scored(config))
    reading = [f"data.image_size={size}", *(["data.on_bad=skip"] if looked.unreadable else []), *split]
    plan = plan_for(
        root,
        count=looked.once,
        image_size=size,
        channels=channels,
        center_crop=center_crop is True,
        skipping=bool(looked.unreadable),
        gpu=gpu,
        model=given.get("model"),
    )
    seen = f"{looked.once} picture{'s' * (looked.once != 1)}" + (
        f", and {len(looked.unreadable)} unreadable" if looked.unreadable else ""
    )
    if plan is None:
        networks = sorted(path.stem for path in (shipped("conf") / "network").glob("*.yaml"))
        refuse_unsettled(given, size, networks)
        about, chosen = f"{seen}; nothing but their size is known for model={given['model']}", reading
    else:
        about, chosen = f"{seen}: {plan.way.why}", [*reading, *plan.choices]
    return Proposal(about, chosen, too_few(looked.once))


def composed(words: Sequence[str]) -> DictConfig | None:
    """The training config of the command line before anything is chosen, so that its mistakes are named first.

    None where a person has config files in other folders, which Hydra alone finds.

    Raises:
        HydraException: it does not compose.
    """
    from hydra import compose, initialize_config_dir

    if any(word.startswith(ELSEWHERE) for word in words):
        return None
    overrides = takewhile(lambda word: not word.startswith("-"), words)
    with initialize_config_dir(register(), version_base="1.3"):
        return compose("train", [word for word in overrides if not is_sweep(values_of([word])[key_of(word)])])


def has_gpu(config: DictConfig | None) -> bool:
    """Whether the run will be on one; of None, whether one is there."""
    import torch

    accelerator = "auto" if config is None else config.trainer.accelerator
    if accelerator == "auto":
        return torch.cuda.is_available() or torch.backends.mps.is_available()
    return bool(accelerator != "cpu")


def is_scored(config: DictConfig | None) -> bool:
    """Whether the weights that scores need are here, or are to be fetched; where that is not known, they may be."""
    from hydra.utils import get_class

    if config is None:
        return True
    node = OmegaConf.select(config, "evaluation.extractor")
    if not node:
        return False
    kind: Any = get_class(node._target_)
    return kind.missing_weights(**{str(key): node[key] for key in node if not str(key).startswith("_")}) is None


def size_given(given: Mapping[str, Any]) -> int | None:
    """`data.image_size` of the command line; None to choose one."""
    size = given.get("data.image_size")
    if isinstance(size, list) and len(size) == 2 and size[0] == size[1]:
        size = size[0]
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ValueError(f"experiment={RECIPE} is for square pictures: data.image_size=64, say, got {size}")
    return size


def refuse_unsettled(given: Mapping[str, Any], size: int, networks: Sequence[str]) -> None:
    """Where no plan fits, a person has to choose.

    Args:
        given: key -> value of the command line.
        size: of the pictures.
        networks: those that there are, of which some are named like the model that they are for.
    Raises:
        ValueError: model and network are not both given.
    """
    if "model" in given and "network" in given:
        return
    sizes = sizes_of(given.get("model"))
    known = f"; known are data.image_size={', '.join(map(str, sizes))}" if sizes else ""
    another = "give another size, or " if sizes else ""
    if "model" in given:
        model = given["model"]
        for_it = [f"network={name}" for name in networks if name.startswith(str(model))]
        what, say = f"model={model}", f"its {' or '.join(for_it) or 'network=...'}"
    else:
        what, say = "an algorithm", "model=... and network=..."
    raise ValueError(
        f"experiment={RECIPE} knows no settings of {what} for data.image_size={size}{known}; {another}say {say}, too "
        "(and data.batch_size, total_kimg)"
    )


def split_words(count: int, given: Mapping[str, Any], *, scored: bool) -> list[str]:
    """Which pictures are kept for scores, unless a person splits them: a tenth, where there are enough and scores."""
    if (
        isinstance(held := given.get("data.held_out"), int)
        and not {"evaluation", "evaluation.reference"} & given.keys()
    ):
        return ["evaluation.reference=held_out", f"{SUBSET}={min(held, LARGEST_SUBSET)}"]
    if any(key in given for key in SPLITTING):
        return []
    if given.get("data.test_root") is not None:
        return ["evaluation.reference=test"]
    held = min(round(HELD_OUT * count), MOST_HELD_OUT) if scored and count >= ENOUGH_TO_HOLD_OUT else 0
    if not held:
        return [f"{SUBSET}={min(count, LARGEST_SUBSET)}"]
    return [f"data.held_out={held}", "evaluation.reference=held_out", f"{SUBSET}={held}"]


def chosen_among(words: Sequence[str]) -> list[str]:
    """Of the words of a run of the recipe, those of keys that it chooses; none of other runs."""
    if values_of(words).get("experiment") != RECIPE:
        return []
    plans = [
        word
        for way in ways_for(gpu=False)
        for setting in way.settings.values()
        for word in (*setting.words, *way.words)
    ]
    keys = {*OF_PLAN, *WHY, *map(key_of, plans)}
    return [word for word in words if key_of(word) in keys]


def as_text(proposal: Proposal) -> str:
    """For people: what was chosen, why, and how it is changed."""
    lines = [f"experiment={RECIPE} has chosen ({proposal.about}):"]
    for word in proposal.words:
        why = WHY.get(key_of(word), "goes with the model")
        typed = word if shlex.quote(word) == word else f'"{word}"'
        lines.append(f"  {typed:<46} {why}")
    lines.append("  To change one, give it another value on the command line; the run's config.yaml has them all.")
    if proposal.warning:
        lines.append(f"Warning: {proposal.warning}")
    return "\n".join(lines)
