"""A translator from the command line: trained, scored again, refused where it has no pictures to make pictures of."""

import re

import pytest
import torch
from conftest import SMALL, _run_command
from PIL import Image

from gan_lab.runs.checkpoint import load_generator
from gan_lab.runs.records import read_rows, read_scores

RUN = [
    *(option for option in SMALL if not option.startswith(("model.", "data.image_size"))),
    *("model=pix2pix", "network=unet_translator", "condition=outline", "data.image_size=16", "run_dir=run"),
    *("model.generator.width=4", "model.generator.depth=3", "model.discriminator.width=4", "total_kimg=0.064"),
    *("+metric@evaluation.metrics.psnr=psnr", "callbacks.curves=null", "callbacks.pictures.columns=2"),
    *("+metric@evaluation.metrics.copy=copy_distance", "evaluation.per_image=3"),
]


@pytest.fixture(scope="module")
def trained(forkserver, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    process = forkserver.Process(target=_run_command, args=("gan_lab.train", RUN, str(folder), str(folder / "o.txt")))
    process.start()
    process.join(200)
    assert process.exitcode == 0, (folder / "o.txt").read_text()
    return folder / "run"


def test_evaluate_gives_the_run_s_scores_to_the_bit(trained, command, tmp_path):
    done = command("evaluate", f"checkpoint={trained}", "device=cpu", "out=scores")
    assert done.code == 0, done.output
    [again], of_run = read_scores(tmp_path / "scores" / "scores.jsonl"), read_scores(trained / "scores.jsonl")[-1]
    assert again["scores"] == of_run["scores"]
    assert again["protocols"] == of_run["protocols"]
    assert {"psnr20", "psnr20_worst", "copy_distance20_of_targets"} <= again["scores"].keys()
    table = (trained / "per_image.csv").read_text()
    assert (tmp_path / "scores" / "per_image.csv").read_text() == table
    assert table.splitlines()[0] == "images_seen,index,labels,psnr20,copy_distance20"
    assert [row.split(",")[:2] for row in table.splitlines()[1:]] == [["64", str(index)] for index in range(20)]
    with Image.open(trained / "pictures" / "worst_psnr_000000000064.png") as picture:
        assert picture.size == (3 * 18, 3 * 18), "source, output and target of the three worst"


def test_health_holds_samples_beside_sources_and_targets(trained):
    row = read_rows(trained / "metrics.csv")[-1]
    assert float(row["health/source_distance"]) > 0
    assert -1 <= float(row["health/target_correlation"]) <= 1


def test_a_grid_has_whole_rows_however_narrow_it_is_asked_for(trained):
    with Image.open(trained / "pictures" / "latest.png") as picture:
        assert picture.height / picture.width == pytest.approx(8 / 3, rel=0.05)


def test_a_generator_is_loaded_without_its_data(trained):
    network = load_generator(trained).network
    pictures = 2 * torch.rand(3, 1, 24, 32) - 1
    together = network(condition=pictures)
    assert together.shape == (3, 1, 24, 32), "any multiple of 8"
    alone = torch.cat([network(condition=picture) for picture in pictures.split(1)])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


def test_sample_says_that_it_has_no_pictures(trained, command):
    done = command("sample", f"checkpoint={trained}", "out=samples", "device=cpu")
    assert done.code == 1
    assert "UNetTranslator makes pictures from pictures, and sample has none to give it" in done.output


def test_export_to_onnx(trained, here, tmp_path):
    done = here("export", f"checkpoint={trained}", "out=exported", "onnx=true")
    assert done.code == 0, done.output
    assert "differs from the module by at most" in done.output
    assert (tmp_path / "exported" / "generator.onnx").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=pix2pix"], "this network makes pictures from latents, which this model has not; choose network=unet"),
        (["model=pix2pix", "network=unet_translator"], "the data has none to give it; choose .* condition=grey"),
        (["condition=outline"], "that of dcgan is given none; leave condition out, or choose model=pix2pix"),
        (["condition=grey", "model=pix2pix", "network=unet_translator"], "images of 3 channels, and data.sample_shape"),
    ],
)
def test_what_does_not_go_together_is_said(words, said, here):
    done = here("train", *words, "evaluation=none", "total_kimg=0.1")
    assert done.code == 1
    assert re.search(said, " ".join(done.output.split())), done.output
