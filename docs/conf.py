"""Settings of Sphinx; `make docs` builds the site into build/site.

The source folder is the repository, so that a link from one Markdown file to another means on the site what it means in
a checkout. Built with warnings as errors, and refused if a page would load anything from another host.
"""

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import reference  # noqa: E402

from gan_lab import __version__  # noqa: E402

project = "gan_lab"
author = "the authors of gan_lab"
release = version = __version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
toc_object_entries = False  # thousands of them, copied for each page: half of the time of a build
include_patterns = ["docs/**", "slurm/README.md", "experiments/*.md", "CONTRIBUTING.md", "CHANGELOG.md"]
# Whatever else lies in a checkout (.venv, runs, data) is not even walked through.
exclude_patterns = [
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("docs", "slurm", "experiments")
]

myst_heading_anchors = 4

# Each thing once, where it is defined.
autodoc_mock_imports = ["gradio"]  # the extra demo, which the documentation does not need
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
autodoc_inherit_docstrings = False  # those of other libraries are written for other tools
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"gan_lab {release}"
html_extra_path = ["root"]  # index.html, which leads to docs/index.html
html_show_search_summary = False  # it would fetch each page, which a browser refuses of files
html_copy_source = False
html_show_copyright = False


def setup(app: Sphinx) -> None:
    """Make the generated pages, read docstrings as what they are, and look at what was built."""
    app.connect("builder-inited", lambda app: reference.write(Path(app.srcdir) / "docs" / "reference"))
    app.connect("autodoc-process-docstring", read_as_plain_text, priority=400)  # before napoleon's sections
    app.connect("build-finished", refuse_other_hosts)


def read_as_plain_text(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """See `reference.as_rest`."""
    lines[:] = reference.as_rest("\n".join(lines)).split("\n")


LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=\"(?:https?:)?//[^\"]*\""
    r"|<link\b(?=[^>]*\brel=\"(?:stylesheet|preload|icon|preconnect|dns-prefetch)\")[^>]*\bhref=\"(?:https?:)?//[^\"]*\""
    r"|@import[^;]*//|url\(\s*['\"]?(?:https?:)?//[^)]*\)"
)


def refuse_other_hosts(app: Sphinx, error: Exception | None) -> None:
    """The site works without a network.

    Raises:
        ExtensionError: a page or stylesheet loads something from another host.
    """
    if error is not None:
        return
    for path in sorted(Path(app.outdir).rglob("*")):
        if path.suffix in (".html", ".css") and (found := LOADED.search(path.read_text(encoding="utf-8"))):
            raise ExtensionError(f"{path.relative_to(app.outdir)} loads from another host: {found[0]}")
