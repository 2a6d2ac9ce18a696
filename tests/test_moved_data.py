"""A run on two folders, which then move: `evaluate` names the keys of both, and finds them by these."""

from conftest import SMALL, _run_command
from generated_data import write_pairs
from test_cli import assert_refused

from gan_lab.runs.records import read_scores

RUN = [
    *(option for option in SMALL if not option.startswith(("model.", "data.image_size"))),
    *("data=paired", "data.root=before/B", "data.source_root=before/A", "data.image_size=16", "run_dir=run"),
    *("extractor@evaluation.extractor=digitnet", "model=pix2pix", "network=unet_translator", "total_kimg=0.016"),
    *("model.generator.width=4", "model.generator.depth=3", "model.discriminator.width=4"),
    *("callbacks.curves=null", "callbacks.pictures=null", "+metric@evaluation.metrics.psnr=psnr"),
]


def test_both_folders_of_pairs_may_move(forkserver, command, tmp_path):
    start = tmp_path / "start"
    write_pairs(start / "before", splits=("train",), count=20, size=(16, 16), side_by_side=False)
    process = forkserver.Process(target=_run_command, args=("gan_lab.train", RUN, str(start), str(start / "o.txt")))
    process.start()
    process.join(200)
    assert process.exitcode == 0, (start / "o.txt").read_text()
    (start / "before" / "A").rename(tmp_path / "drawings")
    (start / "before" / "B").rename(tmp_path / "photographs")

    checkpoint = [f"checkpoint={start / 'run'}", "device=cpu"]
    assert_refused(
        command("evaluate", *checkpoint, "data_root=photographs"),
        "The run was trained on data.source_root=before/A, a relative path",
        "where the data lies elsewhere now, say +data.source_root=PATH",
    )
    moved = ["data_root=photographs", "+data.source_root=drawings"]
    done = command("evaluate", *checkpoint, *moved, "out=scores")
    assert done.code == 0, done.output
    [again], of_run = read_scores(tmp_path / "scores" / "scores.jsonl"), read_scores(start / "run" / "scores.jsonl")[-1]
    assert again["scores"] == of_run["scores"]
    assert again["protocols"] == of_run["protocols"]
