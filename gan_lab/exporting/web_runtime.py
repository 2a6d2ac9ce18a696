"""ONNX Runtime Web, which runs a network in a browser: found, checked by SHA-256, kept in the cache."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from gan_lab.runs.checkpoint import write_atomically

PACKAGE, VERSION = "onnxruntime-web", "1.20.1"
# SHA-256 of the files of that version that a page takes, all in its folder dist/: the library, what starts its
# WebAssembly, and that. It is the smallest build: one provider, and one thread where no more are asked for.
FILES = {
    "ort.wasm.min.mjs": "f53ed4792e758e7232f779d479eb8931b97ff3ab2e3b9a33ee00d1251ffdaad6",
    "ort-wasm-simd-threaded.mjs": "745eb7c0ce6f18a6aa521971b2877babc7ffb27eecb58ab3bc6e5ef4692672e8",
    "ort-wasm-simd-threaded.wasm": "207d02be4591c156b0a98f024f3d58005b5b04c92274d759fb390338c63559ea",
}
NPM_SECONDS = 300


def web_runtime(place: str | None, cache: Path) -> dict[str, bytes]:
    """The content of `FILES`, by name.

    Args:
        place: the package as a .tgz or as a folder, as a person has named it; None for the cache, or else npm.
        cache: folder in which they are kept.
    Raises:
        ValueError: `place` holds no such files, or files of another version.
        RuntimeError: None is named, none is kept, and npm is missing or cannot fetch it.
    """
    if place is not None:
        return checked(taken(Path(place)), f"runtime={place}")
    kept = cache / f"{PACKAGE}-{VERSION}"
    if all((kept / name).is_file() for name in FILES):
        return checked(taken(kept), str(kept))
    found = checked(fetched(), "what npm has fetched")
    for name, content in found.items():
        write_atomically(kept / name, lambda file, content=content: file.write_bytes(content))  # type: ignore[misc]
    return found


def fetched() -> dict[str, bytes]:
    """`FILES` from the registry that the user's npm asks.

    Raises:
        RuntimeError: npm is missing, or it failed.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(f"page=true needs {PACKAGE} {VERSION}, and there is no npm to fetch it; {remedy()}")
    with tempfile.TemporaryDirectory() as folder:
        asked = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--pack-destination", folder]
        try:
            subprocess.run(
                asked,
                check=True,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=NPM_SECONDS,
                cwd=folder,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            raise RuntimeError(
                f"npm could not fetch {PACKAGE} {VERSION} ({said[0] if said else 'without a word'}); {remedy()}"
            ) from error
        return taken(Path(folder) / f"{PACKAGE}-{VERSION}.tgz")


def remedy() -> str:
    """What a person can do who has no such package here."""
    return (
        f"on a machine that has npm: npm pack {PACKAGE}@{VERSION}; then here: runtime={PACKAGE}-{VERSION}.tgz "
        "(or the folder that it unpacks to)"
    )


def taken(place: Path) -> dict[str, bytes]:
    """Those of `FILES` that a .tgz of the package, or its folder, or one that holds them, has."""
    if place.is_dir():
        folders = (place, place / "dist", place / "package" / "dist")
        there = {name: folder / name for folder in folders for name in FILES if (folder / name).is_file()}
        return {name: path.read_bytes() for name, path in there.items()}
    found = {}
    try:
        with tarfile.open(place) as archive:  # nothing is unpacked
            for member in archive:
                name = member.name.removeprefix("package/dist/")
                if name in FILES and member.isfile():
                    found[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    except (OSError, tarfile.TarError, EOFError) as error:
        why = str(error).partition(":")[0]
        raise ValueError(f"runtime={place} cannot be read as a .tgz or a folder ({why}); {remedy()}") from error
    return found


def checked(found: dict[str, bytes], place: str) -> dict[str, bytes]:
    """`found`, if it is all of `FILES`, as they were published.

    Raises:
        ValueError: one is missing, or is another.
    """
    for name, sha256 in FILES.items():
        if name not in found:
            raise ValueError(f"{place} lacks {name} of {PACKAGE} {VERSION}; {remedy()}")
        other = hashlib.sha256(found[name]).hexdigest()
        if other != sha256:
            raise ValueError(
                f"{name} of {place} has the SHA-256 {other[:12]}..., not {sha256[:12]}... of {PACKAGE} {VERSION}: "
                f"another version, or damaged; remove it, then {remedy()}"
            )
    return found
