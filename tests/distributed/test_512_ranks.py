"""One rank of 512, as on 64 machines of 8: it starts, shares, sends and refuses as it should.

The others are not there: torch's `fake` process group answers for them, and says nothing true of values. What it is
given shows who would have been sent what.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from ranks import process_apart

from gan_lab import train
from gan_lab.config import register
from gan_lab.sampling import Draws

WORLD, MACHINE, SHARE, STEPS = 512, 8, 2, 2
RUN = [
    "model=wgan_gp",
    "model.n_critic=1",
    "model.latent_dim=8",
    f"model.generator_batch_size={WORLD * SHARE}",
    "model.generator.width=4",
    "model.discriminator.width=4",
    "data.image_size=16",
    f"data.batch_size={WORLD * SHARE}",
    "trainer=ddp",
    "trainer.accelerator=cpu",
    f"trainer.devices={MACHINE}",
    f"trainer.num_nodes={WORLD // MACHINE}",
    "threads=1",
    "evaluation=none",
    "callbacks.pictures=null",
    "callbacks.curves=null",
    "callbacks.health=null",
    f"total_kimg={STEPS * WORLD * SHARE / 1000}",
    "logger={}",
]


def join(rank: int, stack: ExitStack) -> None:
    """Be this rank until `stack` is closed; objects that ranks exchange are this one's."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    place = {"RANK": rank, "WORLD_SIZE": WORLD, "LOCAL_RANK": rank % MACHINE, "LOCAL_WORLD_SIZE": MACHINE}
    stack.enter_context(patch.dict(os.environ, {key: str(value) for key, value in place.items()}))

    said: list[Any] = []

    def gathered(value: Any, into: list[Any] | None = None, **_: Any) -> None:
        said[:] = [[value] * WORLD]
        if into is not None:
            into[:] = said[0]

    def broadcast(box: list[Any], *_: Any, **__: Any) -> None:
        if box[0] is None and said:  # rank 0 tells all what it has gathered
            box[0] = said.pop()

    stack.enter_context(patch.object(dist, "gather_object", gathered))
    stack.enter_context(patch.object(dist, "broadcast_object_list", broadcast))
    dist.init_process_group("fake", rank=rank, world_size=WORLD, store=FakeStore())
    stack.callback(dist.destroy_process_group)


def trained(rank: int, place: str, further: list[str]) -> dict[str, Any]:
    """Train as this rank: messages in their order, and how many samples each network saw at once."""
    folder, messages = Path(place), []
    folder.mkdir(exist_ok=True)
    all_reduce = dist.all_reduce

    def noted(tensor: torch.Tensor, *given: Any, **named: Any) -> Any:
        messages.append(tensor.nbytes)
        return all_reduce(tensor, *given, **named)

    witness = f"+callbacks.witness={{_target_: witness.Witness, folder: '{folder}'}}"
    with initialize_config_dir(version_base="1.3", config_dir=register()):
        config = compose("train", [*RUN, *further, witness, f"run_dir={folder}"])
    settings: Any = OmegaConf.to_container(config, resolve=True)
    with ExitStack() as stack:
        join(rank, stack)
        stack.enter_context(patch.object(dist, "all_reduce", noted))
        train.check(settings)
        train.fit(settings, folder, {"id": "test"})
    left = torch.load(folder / f"witness{rank}.pt")
    sizes = dict.fromkeys(("generator", "discriminator"), 0)
    for name, value in left["parameters"].items():
        sizes[name.partition(".")[0]] += value
    return {"messages": messages, "seen": {name: len(seen) for name, seen in left["seen"].items()}, "bytes": sizes}


def drawn(rank: int) -> dict[str, Any]:
    """A rank's share of a draw, and of a large one."""
    with ExitStack() as stack:
        join(rank, stack)
        return {"small": Draws(0).normal("a", SHARE, (3,)), "large": Draws(0).normal_by_blocks("a", SHARE, (3,))}


@pytest.fixture(scope="module")
def apart(forkserver, tmp_path_factory):
    with process_apart(tmp_path_factory.mktemp("many"), forkserver) as run:
        yield run


@pytest.mark.parametrize("rank", [0, WORLD - 1])
def test_a_rank_takes_its_share_and_sends_each_gradient_once(rank, apart, tmp_path):
    found = apart(trained, rank, str(tmp_path / "run"), [])
    of_d, of_g = found["bytes"]["discriminator"], found["bytes"]["generator"]
    # D sees reals, fakes and points between them in its step, and fakes in G's; G makes fakes in both.
    assert found["seen"] == {"discriminator": STEPS * 4 * SHARE, "generator": STEPS * 2 * SHARE}
    large = [size for size in found["messages"] if size in (of_d, of_g)]
    assert large == STEPS * [of_d, of_g]
    small = [size for size in found["messages"] if size not in (of_d, of_g)]
    channels = 4 * 4  # of the widest batch normalization of G: a mean and a variance of each, from every rank
    assert max(small) <= 4 * WORLD * 2 * channels


@pytest.mark.parametrize("rank", [0, 100, WORLD - 1])
def test_a_rank_draws_its_slice_of_one_global_draw(rank, apart):
    found = apart(drawn, rank)
    mine = slice(rank * SHARE, (rank + 1) * SHARE)
    assert torch.equal(found["small"], Draws(0).normal("a", WORLD * SHARE, (3,))[mine])
    assert torch.equal(found["large"], Draws(0).normal_by_blocks("a", WORLD * SHARE, (3,))[mine])


@pytest.mark.parametrize(
    ("further", "message"),
    [
        (["data.batch_size=500"], r"data\.batch_size=500 leaves a remainder over 512 processes.*multiple of 512"),
        (["data.micro_batch_size=256"], r"data\.micro_batch_size=256 leaves a remainder over 512 processes"),
        (["model.generator_batch_size=500"], "generator_batch_size=500 cannot be cut into 1 equal.*on 512 ranks"),
    ],
)
def test_a_remainder_is_refused(further, message, apart, tmp_path):
    with pytest.raises(AssertionError, match=message):
        apart(trained, 0, str(tmp_path / "run"), further)
