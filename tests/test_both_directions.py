"""A model that translates either way, from the command line: each way is loaded, scored and exported."""

import pytest
import torch
from conftest import SMALL, _run_command
from PIL import Image

from gan_lab.runs.checkpoint import CheckpointError, load_generator
from gan_lab.runs.records import read_rows, read_scores

RUN = [
    *(option for option in SMALL if not option.startswith(("model.", "data.image_size"))),
    *("model=cyclegan", "network=resnet_translator", "condition=inverted_unpaired", "data.image_size=16"),
    *("model.generator.width=2", "model.generator.blocks=1", "model.discriminator.width=2", "total_kimg=0.064"),
    *("model.discriminator.layers=1", "callbacks.pictures.columns=4", "run_dir=run"),
    *("evaluation.both_directions=true", "evaluation.per_image=2", "+metric@evaluation.metrics.psnr=psnr"),
    *("+metric@evaluation.metrics.cycle=cycle_error", "+metric@evaluation.metrics.cycle_rounded=cycle_error"),
    "evaluation.metrics.cycle_rounded.intermediate=rounded",
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
    """And the run has those of both, to the bit; those of the way back have a name and a protocol of their own."""
    of_run = read_scores(trained / "scores.jsonl")[-1]
    lines = []
    for direction in ("AtoB", "BtoA"):
        done = command("evaluate", f"checkpoint={trained}", f"direction={direction}", "device=cpu", f"out={direction}")
        assert done.code == 0, done.output
        assert f"kimg, {direction})" in done.output
        lines += read_scores(tmp_path / direction / "scores.jsonl")
    there, back = lines
    assert of_run["scores"] == there["scores"] | back["scores"]
    assert of_run["protocols"] == there["protocols"] | back["protocols"]
    assert of_run["monitored"] == there["monitored"]
    assert {"psnr20", "cycle_error20", "cycle_error_rounded20_psnr"} <= there["scores"].keys()
    assert {name.replace("20_BtoA", "20") for name in back["scores"]} == there["scores"].keys()
    assert not any("_BtoA" in name for name in there["scores"])
    assert not set(back["protocols"].values()) & set(there["protocols"].values())
    for name, direction in (("per_image", "AtoB"), ("per_image_BtoA", "BtoA")):
        alone = tmp_path / direction / "per_image.csv"
        assert (trained / f"{name}.csv").read_text() == alone.read_text()


def test_without_a_direction_a_run_is_scored_as_it_has_been(trained, command, tmp_path):
    done = command("evaluate", f"checkpoint={snapshot_of(trained)}", "device=cpu", "out=both")
    assert done.code == 0, done.output
    [again] = read_scores(tmp_path / "both" / "scores.jsonl")
    of_run = read_scores(trained / "scores.jsonl")[-1]
    assert again["scores"] == of_run["scores"]
    assert again["protocols"] == of_run["protocols"]
    done = command("evaluate", f"run={trained}", "device=cpu", "out=all")
    assert done.code == 0, done.output
    assert "is scored already" in done.output


def test_a_model_that_goes_one_way_has_no_way_back(command):
    done = command("train", *RUN, "model=cut", "model.patches=4", "run_dir=one_way")
    assert done.code == 1
    assert "evaluation.both_directions=true scores the way back, too, and this model goes one way" in done.output


def test_health_looks_at_the_cycles(trained):
    row = read_rows(trained / "metrics.csv")[-1]
    assert all(abs(float(row[f"health/{name}"])) < 1 for name in ("cycle_gap", "cycle_gap_back"))


def test_an_exported_generator_goes_one_way(trained, command, tmp_path):
    done = command("export", f"checkpoint={trained}", "direction=BtoA", "out=exported")
    assert done.code == 0, done.output
    exported = tmp_path / "exported" / "generator.safetensors"
    loaded = load_generator(exported)
    assert loaded.direction == "BtoA"
    with pytest.raises(CheckpointError, match="holds generator_back alone, which does not go AtoB"):
        load_generator(exported, direction="AtoB")


def test_grids_show_what_comes_of_an_output_on_the_way_back(trained):
    """Source, output, the source again, and the target: four abreast, and below the same of the other direction."""
    with Image.open(trained / "pictures" / "latest.png") as picture:
        assert picture.width / picture.height == pytest.approx(4 / 8, rel=0.1)
