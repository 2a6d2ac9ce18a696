"""Processes that stay: a few ranks with one process group, which run functions of the tests by name."""

import importlib
import io
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

TIME_LIMIT = 120.0


def _serve(rank: int, world: int, folder: str, pipe: Any) -> None:
    multiprocessing.set_start_method(None, force=True)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    os.environ.update({key: str(value) for key, value in place.items()})
    os.environ["GAN_LAB_MEETING_POINT"] = f"file://{folder}/meeting"
    log = os.open(f"{folder}/{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    from gan_lab.distributed.environment import joined
    from gan_lab.distributed.topology import find_topology

    with joined(find_topology(), "cpu"):
        while (task := pipe.recv()) is not None:
            module, name, arguments = task
            try:
                answer = (getattr(importlib.import_module(module), name)(*arguments), None)
            except BaseException:
                answer = (None, traceback.format_exc())
            packed = io.BytesIO()
            torch.save(answer, packed)
            pipe.send_bytes(packed.getvalue())


class Ranks:
    """`ranks(function, *arguments)`: what `function` returns on each rank, in rank order."""

    def __init__(self, world: int, folder: Path, context: Any) -> None:
        self.world = world
        self._pipes, self._processes = [], []
        for rank in range(world):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, world, str(folder), theirs), daemon=False)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        for pipe in self._pipes:
            pipe.send((function.__module__, function.__name__, arguments))
        answers = []
        for rank, pipe in enumerate(self._pipes):
            if not pipe.poll(TIME_LIMIT):
                self.close(kill=True)
                raise AssertionError(f"rank {rank} gave no answer within {TIME_LIMIT:.0f} s")
            value, problem = torch.load(io.BytesIO(pipe.recv_bytes()), weights_only=False)
            answers.append((value, problem))
        problems = [f"rank {rank}:\n{problem}" for rank, (_, problem) in enumerate(answers) if problem]
        assert not problems, "\n".join(problems)
        return [value for value, _ in answers]

    def close(self, kill: bool = False) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            if kill or not process.is_alive():
                process.kill()
            else:
                pipe.send(None)
            process.join(10)


@contextmanager
def started(world: int, folder: Path, context: Any) -> Iterator[Ranks]:
    """Ranks for one test."""
    ranks = Ranks(world, folder, context)
    try:
        yield ranks
    finally:
        ranks.close()


@contextmanager
def process_apart(folder: Path, context: Any) -> Iterator[Callable[..., Any]]:
    """Runs functions of the tests in one process of its own: for what changes the process that does it."""
    with started(1, folder, context) as process:
        yield lambda function, *arguments: process(function, *arguments)[0]


@pytest.fixture(scope="session")
def pair(forkserver, tmp_path_factory):
    """Two ranks for the whole session."""
    with started(2, tmp_path_factory.mktemp("pair"), forkserver) as ranks:
        yield ranks
