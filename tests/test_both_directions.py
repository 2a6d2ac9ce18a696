"""A model that translates either way, from the command line: each way is loaded, scored and exported."""

import pytest
import torch
from conftest import SMALL, _run_command
from PIL import Image

from gan_lab.runs.checkpoint import CheckpointError, load_generator
from gan_lab.runs.records import read_scores

RUN = [
    *(option for option in SMALL if not option.startswith(("model.", "data.image_size"))),
    *("model=cyclegan", "network=resnet_translator", "condition=inverted_unpaired", "data.image_size=16"),
    *("model.generator.width=2", "model.generator.blocks=1", "model.discriminator.width=2", "total_kimg=0.064"),
    *("model.discriminator.layers=1", "callbacks.curves=null", "callbacks.pictures.columns=4", "run_dir=run"),
]


@pytest.fixture(scope="module")
def trained(forkserver, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    process = forkserver.Process(target=_run_command, args=("gan_lab.train", RUN, str(folder), str(folder / "o.txt")))
    process.start()
    process.join(200)
    assert process.exitcode == 0, (folder / "o.txt").read_text()
    return folder / "run"


def snapshot_of(run):
    return max((run / "snapshots").glob("*.safetensors"))


def test_checkpoints_and_snapshots_hold_both_generators(trained):
    picture = 2 * torch.rand(1, 1, 16, 16) - 1
    made = {}
    for direction in ("AtoB", "BtoA"):
        of = [load_generator(path, direction=direction) for path in (trained, snapshot_of(trained))]
        outputs = [loaded.network(condition=picture) for loaded in of]
        assert torch.equal(*outputs)
        assert {loaded.direction for loaded in of} == {direction}
        made[direction] = outputs[0]
    assert not torch.equal(made["AtoB"], made["BtoA"])
    assert torch.equal(load_generator(trained).network(condition=picture), made["AtoB"])
    with pytest.raises(CheckpointError, match="direction=BtoC is none of cyclegan: it goes AtoB and BtoA"):
        load_generator(trained, direction="BtoC")


def test_each_direction_has_scores_of_its_own(trained, command, tmp_path):
    """Those of the way there are the run's, to the bit; those of the way back have another protocol."""
    of_run = read_scores(trained / "scores.jsonl")[-1]
    lines = []
    for direction in ("AtoB", "BtoA"):
        done = command("evaluate", f"checkpoint={trained}", f"direction={direction}", "device=cpu", f"out={direction}")
        assert done.code == 0, done.output
        assert f"kimg, {direction})" in done.output
        lines += read_scores(tmp_path / direction / "scores.jsonl")
    there, back = lines
    assert there["scores"] == of_run["scores"]
    assert there["protocols"] == of_run["protocols"]
    assert back["scores"].keys() == there["scores"].keys()
    assert not set(back["protocols"].values()) & set(there["protocols"].values())


def test_an_exported_generator_goes_one_way(trained, command, tmp_path):
    done = command("export", f"checkpoint={trained}", "direction=BtoA", "out=exported")
    assert done.code == 0, done.output
    exported = tmp_path / "exported" / "generator.safetensors"
    loaded = load_generator(exported)
    assert loaded.direction == "BtoA"
    with pytest.raises(CheckpointError, match="holds generator_back alone, which does not go AtoB"):
        load_generator(exported, direction="AtoB")


def test_grids_show_what_comes_of_an_output_on_the_way_back(trained):
    """Source, output, the source again, and the target: four abreast."""
    with Image.open(trained / "pictures" / "latest.png") as picture:
        assert picture.width / picture.height == pytest.approx(4 / 8, rel=0.1)
