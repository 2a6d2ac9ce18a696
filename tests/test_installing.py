"""The command that adds an extra, by where this copy of gan_lab came from."""

import json

import pytest

from gan_lab import installing
from gan_lab.installing import install_command


def test_from_a_checkout(tmp_path, monkeypatch):
    (place := tmp_path / "a checkout").mkdir()
    (place / "pyproject.toml").write_text('[project]\nname = "gan-lab-platform"\n')
    monkeypatch.setattr(installing, "PACKAGE", place / "gan_lab")
    assert install_command("demo") == f"pip install -e '{place}[demo]'"


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        (None, "pip install 'gan-lab-platform[demo]'"),
        ({"url": "file:///home/me/my%20gans", "dir_info": {}}, "pip install '/home/me/my gans[demo]'"),
        (
            {"url": "https://host/gan_lab.git", "vcs_info": {"vcs": "git", "commit_id": "1234567"}},
            "pip install 'gan-lab-platform[demo] @ git+https://host/gan_lab.git'",
        ),
        (
            {"url": "file:///tmp/gan_lab_platform-1.0-py3-none-any.whl", "archive_info": {}},
            "pip install 'gan-lab-platform[demo] @ file:///tmp/gan_lab_platform-1.0-py3-none-any.whl'",
        ),
    ],
)
def test_installed(origin, wanted, tmp_path, monkeypatch):
    (folder := tmp_path / "gan_lab_platform-1.0.dist-info").mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.4\nName: gan-lab-platform\nVersion: 1.0\n")
    if origin is not None:
        (folder / "direct_url.json").write_text(json.dumps(origin))
        (folder / "RECORD").write_text(f"{folder.name}/direct_url.json,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(installing, "PACKAGE", tmp_path / "gan_lab")  # no pyproject.toml beside it
    assert install_command("demo") == wanted
