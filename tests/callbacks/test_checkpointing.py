"""Which checkpoints are written, which are kept, and which is the best."""

import pytest
import torch
from tiny import ScriptedEvaluation, fit, settings

from gan_lab.callbacks.checkpointing import Checkpointing
from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.models.base import NonFiniteError
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.runs.checkpoint import FORMAT, CheckpointError, find, read


def run(folder, *, images=12, every=0.002, keep=2, values=None, module=None, score_every=0.002, resume=None):
    evaluate = Evaluate(every_kimg=score_every, patience_kimg=None)
    evaluate.evaluation = None if values is None else ScriptedEvaluation(values)
    checkpointing = Checkpointing(every_kimg=every, keep=keep, keep_snapshots=None)
    checkpointing.config = evaluate.config = {"name": "mine"}
    module = module or HingeGAN(**settings(d_lr=0.1, g_lr=0.1))
    fit(module, images=images, callbacks=[evaluate, checkpointing], folder=folder, resume=resume)
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def images_in(path):
    return read(path)["counters"]["images_seen"]


def test_the_newest_two_are_kept(tmp_path):
    assert run(tmp_path) == ["000000000010.ckpt", "000000000012.ckpt"]
    assert images_in(tmp_path / "checkpoints" / "000000000010.ckpt") == 10


@pytest.mark.parametrize(("every", "keep", "kept"), [(None, 2, [12]), (0.005, 9, [6, 10, 12]), (0.002, 1, [12])])
def test_intervals_and_the_end(every, keep, kept, tmp_path):
    assert run(tmp_path, every=every, keep=keep) == [f"{images:012d}.ckpt" for images in kept]


def test_the_best_is_kept_as_well(tmp_path):
    names = run(tmp_path, values=[5.0, 2.0, 3.0, 4.0, 2.5, 9.0])
    assert names == ["000000000010.ckpt", "000000000012.ckpt", "best.ckpt"]
    assert images_in(tmp_path / "checkpoints" / "best.ckpt") == 4
    assert images_in(find(tmp_path)) == 4


def test_a_better_one_takes_its_place(tmp_path):
    run(tmp_path, values=[5.0, 2.0, 3.0, 4.0, 2.5, 1.0])
    assert images_in(tmp_path / "checkpoints" / "best.ckpt") == 12


def test_an_improvement_is_saved_between_ticks(tmp_path):
    """Scored every 2 images, saved every 12: the best of 6 images is no tick of the checkpoints."""
    names = run(tmp_path, values=[5.0, 4.0, 1.0, 3.0, 3.0, 3.0], every=0.012, keep=1)
    assert names == ["000000000012.ckpt", "best.ckpt"]
    assert images_in(tmp_path / "checkpoints" / "best.ckpt") == 6


def test_the_best_survives_a_resume(tmp_path):
    run(tmp_path, images=4, values=[3.0, 2.0])
    newest = tmp_path / "checkpoints" / "000000000004.ckpt"
    run(tmp_path, images=8, values=[2.5, 2.2], resume=newest)
    assert images_in(tmp_path / "checkpoints" / "best.ckpt") == 4
    run(tmp_path, images=12, values=[2.1, 1.9], resume=tmp_path / "checkpoints" / "000000000008.ckpt")
    assert images_in(tmp_path / "checkpoints" / "best.ckpt") == 12


def test_without_hard_links(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    run(tmp_path, values=[5.0, 2.0, 3.0, 4.0, 2.5, 9.0])
    assert images_in(tmp_path / "checkpoints" / "best.ckpt") == 4
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_what_a_checkpoint_says_of_itself(tmp_path):
    run(tmp_path)
    content = read(tmp_path / "checkpoints" / "000000000012.ckpt")
    assert content["config"] == {"name": "mine"}
    assert content["format"] == FORMAT
    assert {"gan_lab", "torch"} <= set(content["versions"])
    assert len(content["optimizer_states"]) == 2
    names = set(content["state_dict"])
    assert {"generator.scale", "discriminator.weight", "averages.generator.module.scale"} <= names


def test_what_is_not_finite_is_not_saved(tmp_path):
    module = HingeGAN(**settings(d_lr=0.1))
    module.discriminator.weight.data.fill_(float("nan"))
    with pytest.raises(NonFiniteError):
        run(tmp_path, module=module, score_every=None)
    assert not (tmp_path / "checkpoints").exists()


def test_a_failed_write_leaves_the_earlier_ones(tmp_path, monkeypatch):
    run(tmp_path, images=4)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    newest = tmp_path / "checkpoints" / "000000000004.ckpt"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(CheckpointError, match="No space left"):
            run(tmp_path, images=8, resume=newest)
    assert images_in(newest) == 4
    assert run(tmp_path, images=8, resume=newest) == ["000000000006.ckpt", "000000000008.ckpt"]


def test_bad_values():
    with pytest.raises(ValueError, match=r"checkpoint.keep must be 1 or more, got 0"):
        Checkpointing(every_kimg=1, keep=0, keep_snapshots=None)
    with pytest.raises(ValueError, match=r"keep_snapshots must be 1 or more, or null, got 0"):
        Checkpointing(every_kimg=1, keep=1, keep_snapshots=0)
