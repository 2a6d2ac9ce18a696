"""`python -m gan_lab.doctor`: what this machine, shell or allocation offers a run; a line each, or its remedy.

A check is a function from the settings to findings; `CHECKS` names all in order. "Broken" is what would stop a run of
these settings, or a part of the machine that is there and does not work; a "note" is worth knowing and stops nothing.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict

from gan_lab.diagnosis.checks import CHECKS, examine
from gan_lab.diagnosis.findings import Finding
from gan_lab.diagnosis.settings import Settings
from gan_lab.terminal import prepare_process


def main() -> None:
    """The command."""
    prepare_process()
    lines = "\n".join(f"  {check.__name__:<15} {(check.__doc__ or '-').splitlines()[0]}" for check in CHECKS)
    parser = argparse.ArgumentParser(
        prog="python -m gan_lab.doctor",
        description="Look at all that a run needs, and print a line each: ✓ good, ! worth knowing, ✗ broken.",
        epilog=f"{lines}\n\nexit code: 0, or 1 if anything is broken",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    parser.add_argument("settings", nargs="*", help="as for gan_lab.train: paths.data_dir=/x data=cifar10 ...")
    arguments = parser.parse_intermixed_args()
    settings = Settings(chosen(arguments.settings))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what gloo would warn of has a line of its own
    found: list[Finding] = []
    for check in CHECKS:
        for finding in examine(check, settings):
            found.append(finding)
            if not arguments.json:
                print(finding, flush=True)
    broken = sum(finding.state == "broken" for finding in found)
    notes = sum(finding.state == "note" for finding in found)
    if arguments.json:
        print(
            json.dumps({"broken": broken, "notes": notes, "findings": [asdict(finding) for finding in found]}, indent=1)
        )
    else:
        print(f"\n{len(found)} looked at: {broken} broken, {notes} worth knowing")
    sys.exit(1 if broken else 0)


def chosen(words: list[str]) -> list[str]:
    """The settings, with those that experiment=own_pictures chooses; as they are where it cannot, which checks say."""
    from gan_lab.inspection.choosing import chosen_for

    try:
        return chosen_for(words).words
    except Exception:  # settings that do not compose, pictures that are not there: findings name them
        return words


if __name__ == "__main__":
    main()
