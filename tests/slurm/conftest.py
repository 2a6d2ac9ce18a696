"""The cluster that all tests marked `slurm` share, started with the first of them."""

import os
import shutil
from collections.abc import Iterator

import pytest

from slurm.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes with accounting: in network namespaces of their own for root, else side by side on this host."""
    if shutil.which("slurmctld") is None:
        pytest.skip("slurmctld is not installed; CONTRIBUTING.md has the packages")
    problems = []
    for plain in (False, True) if os.geteuid() == 0 else (True,):  # root in a container may not make namespaces
        try:
            started = Cluster(plain=plain)
        except RuntimeError as error:
            problems.append(f"{'side by side' if plain else 'in namespaces'}: {error}")
            continue
        yield started
        started.stop()
        return
    pytest.skip("the cluster does not start " + "; ".join(problems))
