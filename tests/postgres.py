"""A PostgreSQL of the tests' own, from Debian's packages."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "hush-hush"


def missing() -> str | None:
    """Why no server can be started here; None if one can."""
    if binaries() is None:
        return "needs PostgreSQL's server: apt install postgresql"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "needs setpriv (apt install util-linux): PostgreSQL does not run as root"
    return None


def binaries() -> Path | None:
    """The folder of the newest server's programs; Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database, on a free port of this machine, for as long as the context lasts."""
    programs = binaries()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # short: the path of a socket has at most 107 characters
    prefix = []
    if os.geteuid() == 0:
        prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=INT"]
        shutil.chown(folder, "nobody", "nogroup")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = None
    try:
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        make = ["initdb", "-D", str(folder / "data"), "-U", "lab", "-A", "scram-sha-256", "-N", "-E", "UTF8"]
        make += ["--locale=C", f"--pwfile={folder / 'password'}"]
        subprocess.run([*prefix, str(programs / make[0]), *make[1:]], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log.txt").open("w") as log:
            process = subprocess.Popen(
                [*prefix, str(programs / "postgres"), "-D", str(folder / "data"), *options],
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        _wait(port, process, folder / "log.txt")
        yield f"postgresql://lab:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        if process is not None:
            process.send_signal(2)  # ends open sessions, too
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int, process: subprocess.Popen, log: Path) -> None:
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(f"postgresql://lab:{PASSWORD}@127.0.0.1:{port}/postgres").close()
        except psycopg.OperationalError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")
