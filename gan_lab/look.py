"""`python -m gan_lab.look`: pictures of your own before training: what is odd, what a network sees, what fits."""

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import run_command
from gan_lab.runs.settings import plain


def main() -> None:
    """The command."""
    run_command("look", run)


def run(config: DictConfig) -> None:
    """Read all pictures once, say what there is, and write the page.

    Raises:
        ValueError, OSError: a setting is wrong, or there are no pictures; oddities of pictures are no errors.
    """
    from gan_lab.data.archives import open_source
    from gan_lab.data.image_files import MODES, Shape
    from gan_lab.data.sources import names_in
    from gan_lab.inspection.choosing import has_gpu
    from gan_lab.inspection.findings import findings_of
    from gan_lab.inspection.page import render
    from gan_lab.inspection.plan import SIZES, plan_for, size_for, sizes_of
    from gan_lab.inspection.survey import look_at

    settings = plain(config)
    data = settings["data"]
    if data["channels"] not in MODES:
        raise ValueError(f"data.channels must be one of {', '.join(map(str, MODES))}, got {data['channels']}")
    if data["image_size"] is not None and data["image_size"] < 1:
        raise ValueError(f"data.image_size must be 1 or more, or null for a choice, got {data['image_size']}")
    check_outputs(settings)
    source = open_source(Path(data["root"]).expanduser().absolute())
    names = names_in(source)
    looked = look_at(source, names, data["channels"])
    gpu = has_gpu(None)
    sides = [one.shorter for one in looked.readable]
    size = data["image_size"] or (size_for(sides, gpu=gpu) if sides else SIZES[0])
    shape = Shape((size, size), data["channels"], data["center_crop"])
    findings = findings_of(looked, size, data["center_crop"])
    plan = None
    if looked.readable:
        plan = plan_for(
            data["root"],
            count=looked.once,
            image_size=size,
            channels=data["channels"],
            center_crop=data["center_crop"],
            skipping=bool(looked.unreadable),
            gpu=gpu,
            size_was_given=data["image_size"] is not None,
        )
    none_fits = "there is no picture to train on"
    if looked.readable:
        sizes = ", ".join(map(str, sizes_of()))
        none_fits = f"no network is proposed for {size}x{size}; data.image_size may be {sizes}"
    facts = facts_of(looked, size)
    if settings["classes"]:
        facts.append(("classes", classes(source, names)))
    say(source.place, facts, findings, plan, none_fits)
    taken = ""
    if settings["time"] and plan is not None:
        from gan_lab.inspection.speed import duration, measure

        measured = measure(plan, [f"paths.cache_dir={settings['paths']['cache_dir']}"])
        taken = duration(plan, measured)
        print(f"time      {taken}")
    if settings["page"] is not None:
        page = render(looked, shape, facts=facts, findings=findings, plan=plan, none_fits=none_fits, duration=taken)
        write(Path(settings["page"]), page)
        print(f"page      {settings['page']}")
    if settings["json"] is not None:
        about: dict[str, Any] = {
            "place": source.place,
            "facts": dict(facts),
            "image_size": size,
            "command": None if plan is None else plan.short_command,
            "command_in_full": None if plan is None else plan.command,
            "findings": [finding._asdict() for finding in findings],
            "doubles": [[one.name for one in group] for group in looked.groups],
            "files": [one.as_json() for one in [*looked.readable, *looked.unreadable]],
        }
        write(Path(settings["json"]), json.dumps(about, indent=1))
        print(f"json      {settings['json']}")


def check_outputs(settings: dict[str, Any]) -> None:
    """Before pictures are read, which may take long.

    Raises:
        ValueError: the page or the file of JSON has no place.
    """
    for key in ("page", "json"):
        if settings[key] is None:
            continue
        path = Path(settings[key])
        if path.is_dir():
            raise ValueError(f"{key}={path} is a folder; give a file, such as {key}={path / 'look.html'}")
        if not path.parent.is_dir():
            raise ValueError(f"{key}={path}: there is no folder {path.parent}; make it, or give another place")


def facts_of(looked: Any, size: int) -> list[tuple[str, str]]:
    """What there is, in a few lines: what and value."""
    from gan_lab.data.decoded import most_of

    readable, survey = looked.readable, looked.survey
    facts = [("pictures", f"{len(readable)}" + (f" of {len(survey.checksums)} files" if looked.unreadable else ""))]
    if not readable:
        return facts
    depths = {f"{bits} bits": count for bits, count in looked.counts("bits").items()}
    facts += [
        ("sizes (width x height)", most_of(survey.sizes)),
        ("shorter sides", spread_of([one.shorter for one in readable])),
        ("formats", most_of(looked.counts("format"))),
        ("modes", most_of(survey.modes)),
        ("depth of a channel", most_of(depths)),
        ("doubles", str(sum(len(group) - 1 for group in looked.groups))),
        ("proposed size", f"{size}x{size}"),
    ]
    return facts


def spread_of(numbers: list[int]) -> str:
    """Least, greatest and median of some, for people."""
    ordered = sorted(numbers)
    if ordered[0] == ordered[-1]:
        return f"{ordered[0]}, all of them"
    return f"{ordered[0]} to {ordered[-1]}, half of them {ordered[len(ordered) // 2]} or more"


def classes(source: Any, names: list[str]) -> str:
    """Which classes training would find, with data.num_classes=null."""
    from gan_lab.data.labelling import classes_of

    try:
        found = classes_of(source, names, None)
    except ValueError as error:
        return str(error)
    return found.reason


def say(place: str, facts: list[tuple[str, str]], findings: list[Any], plan: Any, none_fits: str) -> None:
    """The look on a terminal."""
    from gan_lab.terminal import wide_console

    console = wide_console()
    console.print(f"{place}\n")
    for what, value in facts:
        console.print(f"  {what:<24}{value}")
    for title, grave in (("\nto look at", True), ("\nalso", False)):
        lines = [finding.line for finding in findings if finding.grave is grave]
        if lines:
            console.print(title)
        for line in lines:
            console.print(f"  - {line}")
    if plan is None:
        console.print(f"\nno training fits: {none_fits}")
        return
    console.print(f"\ntraining that fits ({plan.way.model}: {plan.way.why})\n  {plan.short_command}", soft_wrap=True)
    console.print(f"the same with every choice spelt out, and without scores\n  {plan.command}", soft_wrap=True)
    for remark in plan.remarks:
        console.print(f"  - {remark}")
    console.print()


def write(path: Path, text: str) -> None:
    """A file that is there as a whole or not at all.

    Raises:
        ValueError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
        temporary.replace(path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from error


if __name__ == "__main__":
    main()
