"""The runtime of a page: where it comes from, and that nothing else passes for it."""

import hashlib
import io
import stat
import tarfile
from pathlib import Path

import pytest

from gan_lab.exporting import web_runtime

CONTENT = {name: f"the content of {name}".encode() for name in web_runtime.FILES}


@pytest.fixture(autouse=True)
def published(monkeypatch):
    """As if these were the files that were published; and no npm."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(web_runtime, "FILES", digests)
    monkeypatch.setenv("PATH", "")


def package(path: Path, content: dict[str, bytes] = CONTENT) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, held in {"README.md": b"", **dict(sorted(content.items()))}.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(held)
            archive.addfile(member, io.BytesIO(held))
    return path


def test_a_package_that_is_named(tmp_path):
    archive = package(tmp_path / "a.tgz")
    assert web_runtime.web_runtime(str(archive), tmp_path / "cache") == CONTENT
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    for folder in (tmp_path, tmp_path / "package", tmp_path / "package" / "dist"):
        assert web_runtime.web_runtime(str(folder), tmp_path / "cache") == CONTENT
    assert not (tmp_path / "cache").exists()


def test_another_version_is_refused(tmp_path):
    name = "ort.wasm.min.mjs"
    other = package(tmp_path / "a.tgz", CONTENT | {name: b"other"})
    with pytest.raises(ValueError, match=rf"{name} of runtime=.*a.tgz has the SHA-256 .* npm pack onnxruntime-web@"):
        web_runtime.web_runtime(str(other), tmp_path)
    short = package(tmp_path / "b.tgz", {name: CONTENT[name]})
    with pytest.raises(ValueError, match=r"b.tgz lacks ort-wasm-simd-threaded.mjs of onnxruntime-web"):
        web_runtime.web_runtime(str(short), tmp_path)


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_what_is_no_package(content, tmp_path):
    if content is not None:
        (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(ValueError, match=r"runtime=.*x.tgz cannot be read as a .tgz or a folder .*npm pack"):
        web_runtime.web_runtime(str(tmp_path / "x.tgz"), tmp_path)


def test_npm_fetches_it_once(tmp_path, monkeypatch):
    package(tmp_path / f"onnxruntime-web-{web_runtime.VERSION}.tgz")
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    asked = f'[ "$2" = onnxruntime-web@{web_runtime.VERSION} ]'
    npm.write_text(f'#!/bin/sh\n{asked} && /bin/cp {tmp_path}/*.tgz "$5/"\n')
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(npm.parent))
    assert web_runtime.web_runtime(None, tmp_path / "cache") == CONTENT
    npm.write_text("#!/bin/sh\necho 'npm error no network' >&2; exit 1\n")
    assert web_runtime.web_runtime(None, tmp_path / "cache") == CONTENT, "from the cache"
    with pytest.raises(RuntimeError, match=r"npm could not fetch .*no network.*runtime=onnxruntime-web-.*tgz"):
        web_runtime.web_runtime(None, tmp_path / "other")
    kept = tmp_path / "cache" / f"onnxruntime-web-{web_runtime.VERSION}"
    (kept / "ort.wasm.min.mjs").write_text("spoilt")
    with pytest.raises(ValueError, match="damaged; remove it"):
        web_runtime.web_runtime(None, tmp_path / "cache")


def test_without_npm_the_remedy_is_told(tmp_path):
    with pytest.raises(RuntimeError, match=r"there is no npm to fetch it; on a machine that has npm: npm pack"):
        web_runtime.web_runtime(None, tmp_path)
