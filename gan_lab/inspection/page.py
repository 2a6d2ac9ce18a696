"""A look at pictures as one HTML page that needs nothing else."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_lab import __version__
from gan_lab.data.image_files import Shape
from gan_lab.inspection.findings import Finding, remedy_of_error
from gan_lab.inspection.plan import Plan
from gan_lab.inspection.shown import contact_sheet, cropped, side_by_side
from gan_lab.inspection.survey import Looked

TEMPLATE = "page.html.jinja"
FIRST = 12  # groups of doubles that the page shows at once
NAMED = 500  # files of a kind of finding that the page names; the file of `json=` has all


def render(
    looked: Looked,
    shape: Shape,
    *,
    facts: Sequence[tuple[str, str]],
    findings: Sequence[Finding],
    plan: Plan | None,
    none_fits: str,
    duration: str,
) -> str:
    """The page. Whatever comes from files is escaped, and a policy in the page forbids all scripts.

    Args:
        looked: what there is.
        shape: as training wants pictures.
        facts: what and value.
        findings: see `gan_lab.inspection.findings`.
        plan: what training is proposed; None where nothing suits.
        none_fits: why nothing does.
        duration: how long that takes, where it was measured.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE).render(
        place=looked.source.place,
        written=time.strftime("%Y-%m-%d %H:%M"),
        version=__version__,
        image_size="x".join(map(str, shape.image_size)),
        smooth=min(shape.image_size) >= 128,
        center_crop=shape.center_crop,
        facts=facts,
        findings=findings,
        named=NAMED,
        first=FIRST,
        plan=plan,
        none_fits=none_fits,
        duration=duration,
        unreadable=unreadable(looked),
        sheet=contact_sheet(looked, shape),
        crops=cropped(looked, shape),
        groups=side_by_side(looked, shape.channels),
        group_count=len(looked.groups),
    )


def unreadable(looked: Looked) -> list[dict[str, Any]]:
    """A row for each file that cannot be read."""
    return [
        {"name": one.name, "error": one.decoded.error, "remedy": remedy_of_error(one.decoded.error)}
        for one in looked.unreadable
    ]
