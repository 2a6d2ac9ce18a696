"""The site's pages that are made from the sources: all commands, settings and modules are in them."""

import re

from conftest import ROOT

from docs import reference
from gan_lab.config import ROOTS


def test_every_command_has_its_help(monkeypatch):
    monkeypatch.setattr(reference, "help_of", lambda name: f"help of {name}")
    page = reference.commands_page()
    names = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert {*ROOTS, "compare", "report", "doctor"} <= set(names)
    assert [name for name in names if f"```text\nhelp of {name}\n```" not in page] == []


def test_help_is_what_the_command_prints():
    assert "\nmodel=\n    acgan " in reference.help_of("train")
    assert reference.help_of("report").startswith("usage: python -m gan_lab.report")


def test_every_setting_is_shown_with_its_comments():
    roots, groups = reference.settings_files()
    files = [path for group in groups.values() for path in group]
    assert sorted([*roots, *files]) == sorted((ROOT / "conf").rglob("*.yaml"))
    page = reference.group_page("augment", groups["augment"])
    assert [path.stem for path in groups["augment"] if path.read_text().rstrip() not in page] == []
    assert all(f"settings/{reference.page_name(group)}.md" in reference.settings_page([], groups) for group in groups)


def test_keys_are_explained_by_the_class_that_takes_them(tmp_path):
    path = tmp_path / "choice.yaml"
    path.write_text("inner: {_target_: gan_lab.schedules.Linear, end_factor: 0}\n_target_: torch.optim.Adam\nlr: 1\n")
    page = reference.described(path)
    assert page.startswith("`inner` makes {py:obj}`gan_lab.schedules.Linear`.\n\n```yaml\n" + path.read_text())
    assert re.findall(r"^- `([\w.]+)`: \w", page, re.MULTILINE) == ["inner.end_factor"]


def test_arguments_are_read_from_a_docstring():
    text = "A title.\n\nArgs:\n    a, b: both: of\n        them.\n    **c: rest.\nReturns:\n    d: none.\n"
    assert reference.arguments_in(text) == {"a": "both: of them.", "b": "both: of them.", "**c": "rest."}


def test_every_module_has_a_place():
    packages = reference.modules()
    found = {*packages, *(module for modules in packages.values() for module in modules)}
    files = {path.relative_to(ROOT).with_suffix("") for path in (ROOT / "gan_lab").rglob("*.py")}
    assert found == {".".join(file.parts).removesuffix(".__init__") for file in files}
    page = reference.package_page("gan_lab.losses", packages["gan_lab.losses"])
    assert ".. automodule:: gan_lab.losses.hinge\n" in page


def test_a_docstring_shows_what_its_reader_sees():
    written = "|grad D|^2 with a * b, x_ and a\\b: `draw`s of `gan_lab.sampling`, `a *\n    b_`."
    assert reference.as_rest(written) == (
        r"\|grad D\|^2 with a \* b, x\_ and a\\b: ``draw``\ s of :py:obj:`gan_lab.sampling`, ``a * b_``."
    )


def test_pages_that_are_no_longer_due_go(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "all_pages", lambda: [("a/new.md", "text\n")])
    (tmp_path / "old.md").write_text("old")
    reference.write(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.rglob("*.md")} == {"new.md": "text\n"}
