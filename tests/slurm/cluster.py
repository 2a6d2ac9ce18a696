"""A SLURM cluster of this test run alone, from slurmlab.sh, and what the tests do with it."""

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LAB = Path(__file__).with_name("slurmlab.sh")
ROOT = Path(__file__).resolve().parents[2]
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}


class Cluster:
    """A running cluster.

    Args:
        nodes: how many nodes, named node1, node2, ...
        plain: several slurmd on this host under one name, instead of a network namespace for each node.
    Attributes:
        environment: what a client needs, and every job inherits.
    Raises:
        RuntimeError: it does not start; with what slurmlab.sh and the daemons said.
    """

    def __init__(self, nodes: int = 3, *, plain: bool) -> None:
        self.plain, self.nodes = plain, nodes
        self._folder = Path(tempfile.mkdtemp(prefix="sl", dir="/tmp"))  # munge's socket wants a short path, open to all
        self._folder.chmod(0o755)
        number = random.SystemRandom().randrange(200)  # two clusters on one host have networks and names of their own
        settings = {
            "DIR": self._folder / "run",
            "MODE": "plain" if plain else "ns",
            "NODES": nodes,
            "CPUS": 32,
            "GPUS": 4,
            "PORT": free_ports(nodes + 4) + 2,
            "NET": f"10.198.{number}",
            "IF": f"sl{number}n",
            "DOWN": 15,
            "OWNER": os.getpid(),
        }
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))},
            **{f"SLURMLAB_{name}": str(value) for name, value in settings.items()},
            "SLURM_CONF": str(self._folder / "run" / "slurm.conf"),
            "GAN_LAB_PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join([str(LAB.parents[1]), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
        }
        if plain:
            self.environment["MASTER_ADDR"] = "127.0.0.1"  # the nodes' names are known to SLURM alone
        started = self._lab("start", check=False)
        if started.returncode != 0:
            logs = sorted((self._folder / "run.last" / "log").glob("*"))
            tails = [f"--- {log.name}\n{log.read_text(errors='replace')[-600:]}" for log in logs]
            shutil.rmtree(self._folder, ignore_errors=True)
            raise RuntimeError("\n".join([started.stdout + started.stderr, *tails]))

    def stop(self) -> None:
        self._lab("stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def crash(self, node: str) -> None:
        """The node loses its power."""
        self._lab("crash", node)

    def revive(self, node: str) -> None:
        """Power on again; waits until the node takes jobs."""
        self._lab("revive", node)
        wait_until(lambda: self.run("sinfo", "-h", "-N", "-n", node, "-p", "main", "-o", "%T").strip() == "idle", 60)

    def _lab(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        # To a file: the daemons that it leaves behind would keep a pipe open.
        with tempfile.TemporaryFile("w+") as output:
            command = ["bash", str(LAB), *words]
            done = subprocess.run(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
            )
            output.seek(0)
            done.stdout, done.stderr = output.read(), ""
        assert not check or done.returncode == 0, done.stdout
        return done

    def run(self, *command: str, check: bool = True, **changes: str) -> str:
        """What a client's command says on both its outputs; `changes` are added to its environment."""
        done = subprocess.run(
            command,
            env=self.environment | changes,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
        return done.stdout

    def submit(
        self, script: str, *arguments: str, output: Path, options: tuple[str, ...] = (), **changes: str
    ) -> "Job":
        """sbatch one of slurm/*.sbatch from the checkout's folder; `output` may hold %a, `changes` as for `run`."""
        command = ["sbatch", "--parsable", f"--output={output}", "--cpus-per-task=1", *options, f"slurm/{script}"]
        said = self.run(*command, *arguments, **changes)
        return Job(self, said.strip(), output)

    def processes_with(self, mark: str) -> list[str]:
        """The command lines on all nodes that name `mark`, a path of the test's own."""
        found = []
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has ended
                line = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if mark in line and process.parent.name != str(os.getpid()):
                    found.append(line)
        return found


class Job:
    """A submitted job (or one of an array, by "4_1")."""

    def __init__(self, cluster: Cluster, number: str, output: Path) -> None:
        self.cluster, self.number, self.output = cluster, number, output

    def _show(self, key: str) -> str:
        shown = self.cluster.run("scontrol", "show", "job", "-o", self.number)
        found = re.search(rf"(?:^|\s){key}=(\S*)", shown)
        assert found is not None, shown
        return found[1]

    @property
    def state(self) -> str:
        return self._show("JobState")

    @property
    def restarts(self) -> int:
        return int(self._show("Restarts"))

    @property
    def nodes(self) -> list[str]:
        """The names of its nodes, the one with the batch script and rank 0 first."""
        return self.cluster.run("scontrol", "show", "hostnames", self._show("NodeList")).split()

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def wait(self, timeout: float = 300) -> str:
        """The state in which it has ended. Fails, with what it said, if it has not after `timeout` seconds."""
        self.wait_for(lambda: self.state in ENDED, timeout)
        return self.state

    def wait_for(self, condition: Callable[[], object], timeout: float = 300) -> None:
        try:
            wait_until(condition, timeout)
        except TimeoutError:
            queue = self.cluster.run("squeue", "--states=all")
            raise AssertionError(f"after {timeout} s:\n{queue}\n{self.said[-3000:]}") from None

    def signal(self, name: str, *, check: bool = True) -> None:
        """Send SIGUSR1 ("USR1") or another to all tasks; `check` refuses a job that has ended."""
        self.cluster.run("scancel", f"--signal={name}", self.number, check=check)

    def cancel(self) -> None:
        self.cluster.run("scancel", self.number)


def wait_until(condition: Callable[[], object], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.25)


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on now, below those that the kernel gives to clients."""
    for _ in range(100):
        first = random.SystemRandom().randrange(16000, 30000)
        with_sockets = []
        try:
            for port in range(first, first + count):
                with_sockets.append(socket.create_server(("", port)))
        except OSError:
            continue
        else:
            return first
        finally:
            for one in with_sockets:
                one.close()
    raise RuntimeError(f"no {count} free ports in a row")
