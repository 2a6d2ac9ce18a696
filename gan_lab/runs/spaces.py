"""Which feature spaces were learnt on ImageNet, and which runs learn in such: these are not ranked by those.

Kynkäänniemi et al. 2023: a discriminator on ImageNet's features lowers the FID of a generator whose pictures are no
better to people's eyes, since FID's space is near to what it was trained in.
"""

from collections.abc import Mapping
from typing import Any

FROM_IMAGENET = ("efficientnet_lite0", "inception", "lpips", "vgg")  # modules of extractors, and begins of their names
EXTRACTORS = "gan_lab.extractors."
TARGET = "._target_"
REASON = (
    "such scores fall also where pictures become no better to people's eyes (Kynkäänniemi et al. 2023), and say "
    "nothing beside those of other runs"
)
REMEDY = (
    "KID on held-out pictures in a foreign space: evaluation.monitor=kid evaluation.reference=test "
    "extractor@evaluation.extractor=dinov2 (or classifier, of your own: python -m gan_lab.fit_extractor)"
)


def learnt_on_imagenet(extractor: str) -> bool:
    """Whether an extractor was, by its dotted `_target_`, or its name as protocols have it."""
    return extractor.removeprefix(EXTRACTORS).startswith(FROM_IMAGENET)


def taught_by_imagenet(settings: Mapping[str, Any]) -> str | None:
    """The key of an ImageNet-trained extractor that a generator of latents learns by; None where there is none.

    Translators are left out: they are scored against the target of each source.

    Args:
        settings: of a run, dotted key -> value, see `gan_lab.runs.settings.flat`.
    """
    if settings.get("model.masked") is not None or any(key.startswith("model.condition_shape") for key in settings):
        return None
    for key, value in settings.items():
        known = key.startswith("model.") and key.endswith(TARGET) and str(value).startswith(EXTRACTORS)
        if known and learnt_on_imagenet(value):
            return key.removesuffix(TARGET)
    return None


def refuse_familiar_space(settings: Mapping[str, Any], key: str, extractor: str | None) -> None:
    """Refuse to rank a run by an ImageNet space, where it learns in one.

    Args:
        settings: see `taught_by_imagenet`.
        key: that chooses the extractor of the monitored score.
        extractor: its `_target_`; None where no extractor has a part in that score.
    Raises:
        ValueError: with the reason and the remedy.
    """
    taught = taught_by_imagenet(settings)
    if taught is None or extractor is None or not extractor.startswith(EXTRACTORS) or not learnt_on_imagenet(extractor):
        return
    raise ValueError(
        f"{key} is {_name(extractor)}, learnt on ImageNet, and so is {_name(settings[taught + TARGET])} of {taught}, "
        f"by which this run learns: {REASON}. Rank it by {REMEDY}; or leave it unscored: evaluation=none"
    )


def familiar_protocol(settings: Mapping[str, Any], protocol: Mapping[str, Any]) -> str | None:
    """Why a run is not ranked by a score of this protocol; None where it is.

    Args:
        settings: see `taught_by_imagenet`.
        protocol: as `protocols.json` has it.
    """
    taught, extractor = taught_by_imagenet(settings), protocol.get("extractor")
    name = extractor.get("extractor") if isinstance(extractor, Mapping) else None
    if taught is None or not isinstance(name, str) or not learnt_on_imagenet(name):
        return None
    learnt = _name(settings[taught + TARGET])
    return f"not ranked by {name}, learnt on ImageNet, as {learnt} of {taught} is, by which it learns: {REASON}"


def _name(target: str) -> str:
    return target.rpartition(".")[2]
