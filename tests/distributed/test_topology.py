"""Who this process is among others, and what is refused before anything starts."""

import json

import pytest

from gan_lab.distributed.topology import (
    Topology,
    check_topology,
    devices_named,
    find_topology,
    note_failure,
    rank_among_others,
)

SRUN = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "1",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
}
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


def settings(**trainer) -> dict:
    return {
        "trainer": {"strategy": "gan_ddp", "devices": 2, "num_nodes": 1, "accelerator": "cpu"} | trainer,
        "data": {"batch_size": 32, "micro_batch_size": None},
    }


def test_alone():
    assert find_topology({}) == Topology()
    assert find_topology({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "1"}) == Topology()
    assert find_topology({"LOCAL_RANK": "1"}) == Topology(), "a variable that an earlier run left behind"


def test_under_srun():
    place = find_topology(SRUN)
    assert (place.rank, place.world, place.local_rank, place.local_world) == (3, 4, 1, 2)
    assert place.starter == "srun"
    host, _, port = place.meeting_point.removeprefix("tcp://").partition(":")
    assert host == "gpu07"
    assert 12000 <= int(port) < 30000
    assert find_topology(SRUN | {"SLURM_STEP_ID": "2"}).meeting_point != place.meeting_point
    assert find_topology(SRUN | {"MASTER_ADDR": "h", "MASTER_PORT": "5"}).meeting_point == "tcp://h:5"


def test_under_torchrun_even_inside_a_step():
    assert find_topology(SRUN | TORCHRUN) == Topology(1, 2, 1, 2, "env://", "torchrun")
    assert find_topology(TORCHRUN | {"GAN_LAB_MEETING_POINT": "file:///m"}).starter == "gan_lab"


def test_plain_python_in_an_allocation_of_several_tasks_is_refused():
    with pytest.raises(ValueError, match=r"SLURM_NTASKS.*srun python -m gan_lab\.train"):
        find_topology({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"})


def test_uneven_nodes_are_refused():
    for uneven in ({"SLURM_STEP_NUM_TASKS": "3"}, {"SLURM_STEP_TASKS_PER_NODE": "3,1"}):
        with pytest.raises(ValueError, match="--ntasks-per-node"):
            find_topology(SRUN | uneven)


@pytest.mark.parametrize(
    ("devices", "count"), [(2, 2), ("2", 2), ([0, 3], 2), ("0,1", 2), ("auto", 1), (1, 1)], ids=str
)
def test_devices_may_be_said_in_several_ways(devices, count):
    assert check_topology(settings(devices=devices), Topology()) == count


@pytest.mark.parametrize(
    ("trainer", "place", "message"),
    [
        ({"devices": 4}, Topology(0, 2, 0, 2, "env://", "torchrun"), r"torchrun started 2 processes.*devices=4.*are 4"),
        ({"devices": 2, "num_nodes": 2}, Topology(), r"num_nodes=2.*slurm/train\.sbatch.*hydra/launcher=slurm"),
        ({"devices": 3}, Topology(), r"data\.batch_size=32 leaves a remainder over 3 processes"),
        ({"devices": 0}, Topology(), r"trainer\.devices.*got 0"),
        ({"devices": "two"}, Topology(), r"trainer\.devices.*got 'two'"),
        ({"strategy": "auto"}, Topology(), r"trainer\.devices=2.*trainer=ddp"),
        ({"strategy": "ddp"}, Topology(), r"trainer\.strategy=ddp does not know GANs.*trainer=ddp"),
    ],
)
def test_refused(trainer, place, message):
    with pytest.raises(ValueError, match=message):
        check_topology(settings(**trainer), place)


def test_devices_may_be_named_where_this_command_starts_the_ranks():
    assert devices_named({"devices": [2, 3]}) == devices_named({"devices": "2,3"}) == [2, 3]
    assert devices_named({"devices": 2}) is devices_named({"devices": "auto"}) is None
    with pytest.raises(ValueError, match=r"names devices, but srun.*CUDA_VISIBLE_DEVICES"):
        check_topology(settings(devices=[2, 3]), Topology(0, 2, 0, 2, "tcp://", "srun"))


def test_rank_among_others():
    assert rank_among_others({}) is rank_among_others({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert rank_among_others(TORCHRUN) == 1
    assert rank_among_others(SRUN) == 3


def test_micro_batches_must_be_shared_out_too():
    asked = settings()
    asked["data"]["micro_batch_size"] = 1
    with pytest.raises(ValueError, match=r"data\.micro_batch_size=1 leaves a remainder over 2 processes"):
        check_topology(asked, Topology())


def test_failures_are_noted_as_torchrun_reads_them(tmp_path):
    file = tmp_path / "error"
    assert not note_failure("alone", {})
    assert note_failure("why", TORCHRUN | {"TORCHELASTIC_ERROR_FILE": str(file)})
    assert json.loads(file.read_text())["message"]["message"] == "why"
