"""Kind C: what a person has in a folder is gone on with, moved aside aloud or refused with the way on."""

import json
import logging
import os
import shutil
import threading

import pytest
import yaml
from runs.test_checkpoint import content_of, module_of, save
from tiny import fit, settings

from gan_lab.callbacks.checkpointing import Checkpointing
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.runs.checkpoint import FORMAT, CheckpointError, read
from gan_lab.runs.folder import LOCK, _about, holds_run, owned, refuse_other_settings, resume_point
from gan_lab.runs.reading import MOVED_ASIDE

CONFIG = {
    "seed": 0,
    "total_kimg": 0.064,
    "model": {"_target_": "gan_lab.models.dcgan.DCGAN", "n_critic": 1},
    "data": {"batch_size": 2},
    "evaluation": {},
    "trainer": {"precision": "32-true"},
    "callbacks": {"checkpoint": {"every_kimg": 0.032}},
}


@pytest.fixture(autouse=True)
def heard(caplog):
    caplog.set_level(logging.INFO, logger="gan_lab")


def checkpoint(folder, images, **changes):
    counters = {"images_seen": images, "iteration_ended": True}
    content = content_of(module_of(), config=CONFIG, counters=counters) | changes
    return save(folder / "checkpoints" / f"{images:012d}.ckpt", content)


@pytest.fixture
def trained(tmp_path):
    """A run with two checkpoints, the better one once more as the best, rows and a score."""
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    checkpoint(run, 32)
    shutil.copy(checkpoint(run, 64), run / "checkpoints" / "best.ckpt")
    (run / "run.json").write_text(json.dumps({"id": "abc", "saved": 32}))
    (run / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (run / "metrics.csv").write_bytes(b"images_seen,a\r\n32,1.0\r\n64,2.0\r\n")
    return run


def about_of(run):
    return json.loads((run / "run.json").read_text())


# Checkpoints that are not there, damaged, or of a later version -------------------------------------------------------


def test_the_newest_is_gone_on_from(trained):
    assert resume_point(trained, about_of(trained)).name == "000000000064.ckpt"


def test_a_run_whose_checkpoints_were_deleted_does_not_begin_anew(trained):
    """It began anew in the same folder, and snapshots, scores and metrics were gone (open-instruct#1299)."""
    (trained / "snapshots").mkdir()
    snapshot = trained / "snapshots" / "000000000064.safetensors"
    snapshot.touch()
    shutil.rmtree(trained / "checkpoints")
    with pytest.raises(CheckpointError, match=r"lost its checkpoints \(there is none in") as refused:
        resume_point(trained, about_of(trained))
    assert "overwrite=true moves this run aside" in str(refused.value)
    assert f"init_from={snapshot}" in str(refused.value)


def test_the_best_is_a_way_on(trained):
    for path in (trained / "checkpoints").glob("0*.ckpt"):
        path.unlink()
    best, copy = trained / "checkpoints" / "best.ckpt", trained / "checkpoints" / "000000000064.ckpt"
    with pytest.raises(CheckpointError, match=f"copy {best} to {copy} to go on"):
        resume_point(trained, about_of(trained))
    shutil.copy(best, copy)
    assert resume_point(trained, about_of(trained)) == copy


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_where_all_are_damaged_nothing_begins_anew(trained):
    for path in (trained / "checkpoints").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"none of the 2 in .*checkpoints can be read"):
        resume_point(trained, {"id": "abc", "saved": None})


@pytest.mark.parametrize("images", [32, 64])
@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_a_later_version_s_checkpoints_are_left_alone(images, trained):
    """Going on from an older one beside it would have replaced it (jiant#5)."""
    if images == 32:
        (trained / "checkpoints" / "000000000064.ckpt").write_bytes(b"damaged")
    checkpoint(trained, images, format=FORMAT + 1)
    with pytest.raises(CheckpointError, match=rf"format {FORMAT + 1}.*upgrade it to go on; or overwrite=true"):
        resume_point(trained, about_of(trained))


def test_a_run_that_was_killed_before_its_first_checkpoint_begins(trained):
    shutil.rmtree(trained / "checkpoints")
    assert resume_point(trained, {"id": "abc", "saved": None}) is None


@pytest.mark.parametrize(
    ("left", "begins"),
    [
        ({}, True),
        ({"metrics.csv": "images_seen\r\n32\r\n"}, True),  # the first checkpoint may not have been reached
        ({"metrics.csv": "images_seen\r\n32\r\n64\r\n"}, False),
        ({"scores.jsonl": '{"images_seen": 16}\n'}, False),
        ({"snapshots/000000000016.safetensors": ""}, False),
    ],
)
def test_what_runs_of_before_have_left_says_whether_they_had_checkpoints(left, begins, tmp_path):
    """Their run.json does not say it."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    for name, text in left.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    if begins:
        assert resume_point(tmp_path, {"id": "abc"}) is None
    else:
        with pytest.raises(CheckpointError, match="lost its checkpoints"):
            resume_point(tmp_path, {"id": "abc"})
    with pytest.raises(CheckpointError, match="lost its checkpoints"):
        resume_point(tmp_path, {"id": "abc", "finished_kimg": 1.0})


# Which checkpoints are kept -------------------------------------------------------------------------------------------


def train(folder, images, resume=None, keep=2):
    checkpointing = Checkpointing(every_kimg=0.002, keep=keep, keep_snapshots=None)
    checkpointing.config = {"name": "mine"}
    checkpointing.about = {"id": "abc", "saved": None}
    fit(HingeGAN(**settings()), images=images, callbacks=[checkpointing], folder=folder, resume=resume)
    return sorted(int(path.stem) for path in (folder / "checkpoints").glob("0*.ckpt"))


def test_with_damaged_ones_beside_it_the_newest_written_stays(tmp_path):
    """Resumed at 4 with damaged ones at 20 and 22: that of 6 was deleted at once as the oldest of three."""
    train(tmp_path, 4)
    for images in (20, 22):
        (tmp_path / "checkpoints" / f"{images:012d}.ckpt").write_bytes(b"x")
    assert train(tmp_path, 6, tmp_path / "checkpoints" / "000000000004.ckpt") == [4, 6, 20, 22]


def test_the_newest_written_stays_whatever_lies_past_it(tmp_path):
    train(tmp_path, 4)
    folder = tmp_path / "checkpoints"
    shutil.copy(folder / "000000000004.ckpt", folder / "000000000022.ckpt")
    assert train(tmp_path, 6, folder / "000000000004.ckpt", keep=1) == [6, 22]


def test_damaged_ones_do_not_count(tmp_path):
    """Of 2, 3 (damaged), 4 and 6 the newest three sound ones are 2, 4 and 6."""
    train(tmp_path, 4, keep=3)
    (tmp_path / "checkpoints" / "000000000003.ckpt").write_bytes(b"x")
    assert train(tmp_path, 6, tmp_path / "checkpoints" / "000000000004.ckpt", keep=3) == [2, 3, 4, 6]
    assert train(tmp_path, 8, tmp_path / "checkpoints" / "000000000006.ckpt", keep=3) == [4, 6, 8]


def test_the_first_checkpoint_is_noted_and_each_holds_what_run_json_says(tmp_path):
    train(tmp_path, 4)
    assert about_of(tmp_path) == {"id": "abc", "saved": 2}
    assert read(tmp_path / "checkpoints" / "000000000004.ckpt")["run"] == {"id": "abc"}


# Files of a run that a crash has emptied ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "\0\0\0", "[]", '{"id'], ids=["empty", "zeros", "list", "cut"])
def test_run_json_is_written_anew_from_the_newest_checkpoint(content, trained, caplog):
    """An empty one ended every further start with a line of JSON's (iblrig#325)."""
    checkpoint(trained, 64, run={"id": "old", "rollbacks": 1})
    (trained / "run.json").write_text(content)
    about = _about(trained)
    assert (about["id"], about["rollbacks"], about["finished_kimg"]) == ("old", 1, 0.064)
    assert "run.json is written anew" in caplog.text
    kept = list(trained.glob("run.json.damaged"))
    assert [path.read_text() for path in kept] == ([] if not content.strip("\0") else [content])


def test_a_run_that_has_not_ended_is_not_called_finished(trained):
    (trained / "checkpoints" / "000000000064.ckpt").unlink()
    (trained / "run.json").unlink()
    about = _about(trained)
    assert about["saved"] == 32
    assert "finished_kimg" not in about


def test_of_a_lost_config_the_checkpoint_s_decides_whose_folder_it_is(trained):
    refuse_other_settings(trained, CONFIG)
    (trained / "config.yaml").write_text("")
    refuse_other_settings(trained, CONFIG)
    other = CONFIG | {"model": CONFIG["model"] | {"n_critic": 2}}
    with pytest.raises(ValueError, match="holds a run of other settings"):
        refuse_other_settings(trained, other)


def test_a_damaged_config_is_kept_before_it_is_written_anew(trained, caplog):
    (trained / "config.yaml").write_text("model: [")
    with owned(trained, overwrite=False):
        pass
    assert (trained / "config.yaml.damaged").read_text() == "model: ["
    assert "config.yaml is damaged" in caplog.text


# Strangers' folders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "pictures"])
def test_what_no_run_has_written_is_not_written_over(name, tmp_path):
    """`run_dir=.` beside a config.yaml of another program."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / name).mkdir() if name == "pictures" else (folder / name).write_text("mine: 1")
    with pytest.raises(ValueError, match=f"holds {name}, which no run has written"), owned(folder, overwrite=False):
        pass
    assert [path.name for path in folder.iterdir()] == [name], "not even a lock is left there"


def test_a_folder_with_files_of_other_names_takes_a_run(tmp_path):
    """The output of the command, say."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "slurm-1.out").write_text("begins")
    with owned(tmp_path / "run", overwrite=False):
        pass
    assert holds_run(tmp_path / "run")


@pytest.mark.parametrize("name", ["notes.txt", "config.yaml", "run.json"])
def test_a_folder_that_holds_no_run_is_not_moved_aside(name, tmp_path):
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / name).write_text('{"mine": 1}')
    with pytest.raises(ValueError, match=f"holiday holds none: {name} would be moved"), owned(folder, overwrite=True):
        pass
    assert (folder / name).read_text() == '{"mine": 1}'


def test_the_folder_that_one_is_in_is_not_moved_aside(trained, monkeypatch):
    monkeypatch.chdir(trained)
    with pytest.raises(ValueError, match="the folder that this command runs in"), owned(trained, overwrite=True):
        pass


def test_an_empty_folder_may_be_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    with owned(tmp_path / "run", overwrite=True) as about:
        assert about["saved"] is None
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["run"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run").write_text("")
    said = r"run is a file; give the folder of a run: run_dir="
    with pytest.raises(ValueError, match=said), owned(tmp_path / "run", overwrite=True):
        pass


def test_runs_moved_aside_in_the_same_second_have_names_of_their_own(trained, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda *_: "2026-11-30_11-00-00")
    for _ in range(3):
        with owned(trained, overwrite=True):
            pass
    names = sorted(path.name for path in trained.parent.glob("run.*"))
    assert names == [f"run.2026-11-30_11-00-00{number}" for number in ("", "-2", "-3")]
    assert all(MOVED_ASIDE.search(name) for name in names), "compare leaves them out"
    assert (trained.parent / names[0] / "checkpoints" / "best.ckpt").is_file()


# Two names of one folder ----------------------------------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path):
    """A run on a scratch disk, by its own name and by a link."""
    (tmp_path / "scratch").mkdir()
    os.symlink(tmp_path / "scratch" / "real", tmp_path / "run")
    return tmp_path / "run", tmp_path / "scratch" / "real"


@pytest.mark.parametrize("first", [0, 1])
def test_one_folder_by_two_names_has_one_writer(first, linked):
    with (
        owned(linked[first], overwrite=False),
        pytest.raises(RuntimeError, match="another process is training in"),
        owned(linked[1 - first], overwrite=False),
    ):
        pass
    with owned(linked[1 - first], overwrite=False):
        pass


def test_the_lock_is_the_folder_s_own(trained, tmp_path):
    """A copy of the folder's name elsewhere, as by a mount, that no path tells."""
    with owned(trained, overwrite=False):
        moved = trained.rename(tmp_path / "elsewhere")
        with pytest.raises(RuntimeError), owned(moved, overwrite=False):
            pass
        moved.rename(trained)


def test_of_a_linked_run_the_real_folder_is_moved_aside(linked):
    link, real = linked
    with owned(link, overwrite=False):
        (real / "checkpoints").mkdir()
    with owned(link, overwrite=True):
        assert link.is_symlink()
        assert link.resolve() == real
        assert (real / LOCK).is_file()
        with pytest.raises(RuntimeError), owned(real, overwrite=False):
            pass
    (aside,) = real.parent.glob("real.2*")
    assert (aside / "checkpoints").is_dir()


def test_a_folder_in_a_linked_one_is_locked_once(tmp_path):
    (tmp_path / "scratch").mkdir()
    os.symlink(tmp_path / "scratch", tmp_path / "runs")
    with owned(tmp_path / "runs" / "a" / "seed0", overwrite=False):
        assert (tmp_path / "scratch" / "a" / "seed0" / "run.json").is_file()


def test_another_thread_waits_for_nothing(trained):
    """A lock is refused at once."""
    refused = []

    def start():
        try:
            with owned(trained, overwrite=False):
                pass
        except RuntimeError as error:
            refused.append(str(error))

    with owned(trained, overwrite=False):
        thread = threading.Thread(target=start)
        thread.start()
        thread.join(10)
    assert len(refused) == 1
