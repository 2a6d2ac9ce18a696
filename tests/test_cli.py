"""The commands as a new user meets them: what they give, and what they say when something is wrong."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, SMALL, Command, _run_command
from filelock import FileLock
from generated_data import write_image_folder
from PIL import Image
from runs.test_checkpoint import Evil
from tiny import LabelPainter, labelled_inputs

from gan_lab.runs.checkpoint import FORMAT, CheckpointError, LoadedGenerator, load_generator
from gan_lab.runs.records import read_scores
from gan_lab.sample import images

UNSCORED = [*(option for option in SMALL if not option.startswith("evaluation.")), "evaluation=none"]
BRIEF = "total_kimg=0.032"


@pytest.fixture(scope="module")
def trained(forkserver, tmp_path_factory) -> Path:
    """The folder of a small finished run, scored twice."""
    folder = tmp_path_factory.mktemp("trained")
    arguments = [*SMALL, "total_kimg=0.064", "callbacks.evaluation.every_kimg=0.032", "run_dir=run"]
    arguments += ["model.ema_warmup=null", "model.optimizers.generator.lr=0.05"]  # so that live and averaged differ
    arguments += ["model.latent_distribution=normal"]  # which can be truncated
    output = folder / "output.txt"
    process = forkserver.Process(target=_run_command, args=("gan_lab.train", arguments, str(folder), str(output)))
    process.start()
    process.join(120)
    assert process.exitcode == 0, output.read_text()
    return folder / "run"


def newest(run: Path) -> Path:
    return max((run / "checkpoints").glob("[0-9]*.ckpt"))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def assert_refused(done: Command, *said: str) -> None:
    """Exit code 1 and one message that says what it must, without a traceback."""
    assert done.code == 1, done.output
    assert "Traceback" not in done.output, done.output
    assert done.output.count("Error:") <= 1, done.output
    for part in said:
        assert part in done.output, done.output


# sample ---------------------------------------------------------------------------------------------------------


def test_sampling_gives_the_same_files_again(command, trained, tmp_path):
    checkpoint = f"checkpoint={newest(trained)}"
    for out in ("first", "again"):
        done = command("sample", checkpoint, "count=70", f"out={out}")
        assert done.code == 0, done.output
        assert "70 images" in done.output
        assert f"{out}/grid.png" in done.output
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == [*(f"{i:06d}.png" for i in range(70)), "grid.png"]
    assert digests(tmp_path / "first") == digests(tmp_path / "again")
    with Image.open(tmp_path / "first" / "000069.png") as picture:
        assert (picture.size, picture.mode) == ((16, 16), "L")
    with Image.open(tmp_path / "first" / "grid.png") as picture:
        assert picture.size == (8 * 18 + 2, 8 * 18 + 2)
    assert len(set(digests(tmp_path / "first").values())) > 60

    assert command("sample", checkpoint, "count=60", "out=fewer").code == 0
    fewer, first = digests(tmp_path / "fewer"), digests(tmp_path / "first")
    assert {name for name in fewer if fewer[name] != first[name]} == {"grid.png"}, "the grid shows 64"

    assert command("sample", checkpoint, "count=60", "out=other", "seed=1").code == 0
    assert not set(digests(tmp_path / "other").values()) & set(fewer.values())


def test_archives_hold_the_same_images(command, trained, tmp_path):
    for kind in ("png", "npz", "zip"):
        done = command("sample", f"checkpoint={newest(trained)}", "count=70", f"out={kind}", f"format={kind}")
        assert done.code == 0, done.output
    files = [np.asarray(Image.open(tmp_path / "png" / f"{i:06d}.png")) for i in range(70)]
    with np.load(tmp_path / "npz" / "samples.npz") as archive:
        assert list(archive) == ["images"]
        assert archive["images"].shape == (70, 16, 16, 1)
        assert archive["images"].dtype == np.uint8
        assert np.array_equal(archive["images"][..., 0], files)
    with zipfile.ZipFile(tmp_path / "zip" / "samples.zip") as archive:
        assert archive.namelist() == [f"{i:06d}.png" for i in range(70)]
        assert np.array_equal([np.asarray(Image.open(archive.open(name))) for name in archive.namelist()], files)
    for kind in ("npz", "zip"):
        assert {path.name for path in (tmp_path / kind).iterdir()} == {f"samples.{kind}", "grid.png"}
        first = (tmp_path / kind / f"samples.{kind}").read_bytes()
        again = command(
            "sample", f"checkpoint={newest(trained)}", "count=70", f"out={kind}", f"format={kind}", "overwrite=true"
        )
        assert again.code == 0, again.output
        assert (tmp_path / kind / f"samples.{kind}").read_bytes() == first


def test_sampling_from_snapshot_and_folder(command, trained, tmp_path):
    snapshot = trained / "snapshots" / f"{newest(trained).stem}.safetensors"
    for out, source in (("a", newest(trained)), ("b", snapshot)):
        assert command("sample", f"checkpoint={source}", "count=5", f"out={out}").code == 0
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert command("sample", f"checkpoint={newest(trained)}", "count=5", "out=live", "weights=live").code == 0
    assert digests(tmp_path / "live") != digests(tmp_path / "a")
    assert command("sample", f"checkpoint={trained}", "count=5", "out=best").code == 0


def test_what_samples_are_asked_for_with_is_part_of_their_protocol(command, trained, tmp_path):
    checkpoint = f"checkpoint={newest(trained)}"
    settings = {"plain": [], "truncated": ["truncation=0.5"]}
    settings["standing"] = ["standing_statistics={batches: 3, batch_size: 10}"]
    lines = {}
    for name, further in settings.items():
        done = command("evaluate", checkpoint, f"out={name}", *further)
        assert done.code == 0, done.output
        lines[name] = read_scores(tmp_path / name / "scores.jsonl")[-1]
    scores = {line["scores"]["fd_digitnet20"] for line in lines.values()}
    protocols = {line["protocols"]["fd_digitnet20"] for line in lines.values()}
    assert len(scores) == len(protocols) == 3
    about = json.loads((tmp_path / "truncated" / "protocols.json").read_text())
    assert about[lines["truncated"]["protocols"]["fd_digitnet20"]]["fakes"]["truncation"] == 0.5
    assert_refused(command("evaluate", f"run={trained}", "truncation=0.5"), "truncation")


def test_further_pictures(command, trained, tmp_path):
    done = command("sample", f"checkpoint={newest(trained)}", "count=3", "pictures=[interpolation]", "truncation=1.5")
    assert done.code == 0, done.output
    picture = Image.open(tmp_path / "samples" / "interpolation.png")
    assert picture.size == (9 * 18 + 2, 8 * 18 + 2), "8 rows of 9 images of 16 pixels, 2 between them"
    again = ["out=again", "overwrite=true"]
    refused = command("sample", f"checkpoint={newest(trained)}", "pictures=[classes]", *again)
    assert_refused(refused, "needs a conditional generator")
    refused = command("sample", f"checkpoint={newest(trained)}", "pictures=[faces]", *again)
    assert_refused(refused, "pictures must be among classes, interpolation, mixing, truncation; got 'faces'")


def test_sample_refuses(command, trained, tmp_path):
    checkpoint = f"checkpoint={newest(trained)}"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.png").write_text("precious")
    assert_refused(command("sample", checkpoint, "out=full"), "full is not empty", "overwrite=true")
    wrong = command("sample", checkpoint, "classes=[3]", "format=zip")
    assert_refused(wrong, "unconditional", "`classes`")
    assert not (tmp_path / "samples").exists(), "the corrected command must not find a folder in its way"
    assert_refused(command("sample", checkpoint, "format=jpg"), "png, npz, zip", "'jpg'")
    assert_refused(command("sample", checkpoint, "count=0"), "count must be 1 or more, got 0")
    assert_refused(command("sample", checkpoint, "seed=-1"), "seed must be 0 or more, got -1")
    assert_refused(command("sample", checkpoint, "device=tpu"), "'tpu'")
    assert_refused(command("sample", checkpoint, "weights=best"), "'best'")
    assert_refused(command("sample"), "checkpoint=...")
    assert_refused(command("sample", "checkpoint=nowhere"), "there is no checkpoint at nowhere")
    assert_refused(command("sample", checkpoint, "+cuont=3"), "unknown key cuont; do you mean count?")


def conditional() -> LoadedGenerator:
    network = LabelPainter().eval().requires_grad_(False)
    return LoadedGenerator(network, labelled_inputs(), {}, 0, "live", Path("x"), "generator")


def levels_of(**given) -> list[int]:
    return torch.cat(list(images(conditional(), **given))).flatten().tolist()


def test_classes_are_made_in_turn():
    levels = levels_of(count=70, seed=0, classes=[1, 0, 2])
    assert [level // 100 for level in levels] == [[1, 0, 2][i % 3] for i in range(70)], "over blocks, too"
    assert len({level % 100 for level in levels}) > 1, "latents differ"
    assert {level // 100 for level in levels_of(count=5, seed=0, classes=[2])} == {2}


def test_without_classes_the_model_draws_them():
    drawn = [level // 100 for level in levels_of(count=70, seed=0)]
    assert set(drawn) == {0, 1, 2}
    assert drawn == [level // 100 for level in levels_of(count=70, seed=0)]


@pytest.mark.parametrize(
    ("classes", "message"),
    [([1, 3], r"classes \[3\] are not among 0 to 2"), ([-1], r"classes \[-1\]"), ([], "empty")],
)
def test_unknown_classes_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        levels_of(count=5, seed=0, classes=classes)


# evaluate -------------------------------------------------------------------------------------------------------


def test_evaluate_gives_the_run_s_scores_to_the_bit(command, trained, tmp_path):
    lines = read_scores(trained / "scores.jsonl")
    assert [line["images_seen"] for line in lines] == [32, 64]
    snapshot = trained / "snapshots" / "000000000032.safetensors"
    for out, source, expected in (("newest", newest(trained), lines[1]), ("snapshot", snapshot, lines[0])):
        done = command("evaluate", f"checkpoint={source}", f"out={out}")
        assert done.code == 0, done.output
        (line,) = read_scores(tmp_path / out / "scores.jsonl")
        assert line["scores"] == expected["scores"]
        assert line["protocols"] == expected["protocols"]
        assert line["images_seen"] == expected["images_seen"]
        for name, value in expected["scores"].items():
            assert name in done.output
            assert f"{value:.10g}" in done.output
    again = command("evaluate", f"checkpoint={newest(trained)}", "out=newest")
    assert again.code == 0
    assert len(read_scores(tmp_path / "newest" / "scores.jsonl")) == 2, "lines are added"
    other = command("evaluate", f"checkpoint={newest(trained)}", "out=other", "seed=1", "num_samples=30")
    assert other.code == 0, other.output
    assert "fd_digitnet30" in other.output
    (line,) = read_scores(tmp_path / "other" / "scores.jsonl")
    assert not set(line["protocols"].values()) & set(lines[1]["protocols"].values())


def test_evaluate_refuses(command, trained, tmp_path):
    assert_refused(command("evaluate", "checkpoint=nowhere"), "there is no checkpoint at nowhere")
    assert_refused(command("evaluate", f"checkpoint={trained}", "num_samples=5"), "num_samples >= 10, got 5")
    content = torch.load(newest(trained), weights_only=True)
    content["config"]["evaluation"] = {}
    torch.save(content, tmp_path / "unscored.ckpt")
    assert_refused(command("evaluate", "checkpoint=unscored.ckpt"), "evaluation=none")
    content["config"]["evaluation"] = {
        "_target_": "gan_lab.evaluation.Evaluation",
        "metrics": {"_target_": "os.system"},
    }
    torch.save(content, tmp_path / "evil.ckpt")
    assert_refused(command("evaluate", "checkpoint=evil.ckpt"), "'os.system'")


# export ---------------------------------------------------------------------------------------------------------


def test_export(command, trained, tmp_path):
    done = command("export", f"checkpoint={newest(trained)}")
    assert done.code == 0, done.output
    assert {path.name for path in (tmp_path / "exports").iterdir()} == {"generator.safetensors", "generator.json"}
    assert "exports/generator.safetensors" in done.output
    about = json.loads((tmp_path / "exports" / "generator.json").read_text())
    assert (about["images_seen"], about["weights"], about["format"]) == (64, "ema", FORMAT)
    assert about["config"]["model"]["generator"]["width"] == 4
    ours, theirs = load_generator(newest(trained)), load_generator(tmp_path / "exports" / "generator.safetensors")
    latents = torch.linspace(-1, 1, 200).view(2, 100)
    assert torch.equal(ours.network(latents=latents), theirs.network(latents=latents))


def test_export_to_onnx(here, trained, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    done = here("export", f"checkpoint={newest(trained)}", "onnx=true", "out=onnx", "weights=live")
    assert done.code == 0, done.output
    assert "differs from the module by at most" in done.output
    network = load_generator(newest(trained), "live").network
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "generator.onnx"))
    for count in (1, 3):
        latents = torch.linspace(-1, 1, 100 * count).view(count, 100)
        (samples,) = session.run(["samples"], {"latents": latents.numpy()})
        torch.testing.assert_close(torch.from_numpy(samples), network(latents=latents), atol=1e-4, rtol=0)
    strict = here("export", f"checkpoint={newest(trained)}", "onnx=true", "out=strict", "tolerance=1e-30")
    assert_refused(strict, "more than tolerance=1e-30")
    assert not (tmp_path / "strict" / "generator.onnx").exists()


def test_export_refuses(command):
    assert_refused(command("export", "checkpoint=nowhere"), "there is no checkpoint at nowhere")
    assert_refused(command("export", "checkpoint=nowhere", "tolerance=0"), "tolerance must be more than 0, got 0")


# Checkpoints from strangers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sample", "evaluate", "export"])
def test_no_command_runs_a_stranger_s_code(name, command, trained, tmp_path):
    content = torch.load(newest(trained), weights_only=True)
    torch.save(content | {"extra": Evil(tmp_path / "mark")}, tmp_path / "pickle.ckpt")
    assert_refused(command(name, "checkpoint=pickle.ckpt"), "pickle.ckpt was refused", "could run code")
    generator = {"_target_": "os.system", "command": f"touch {tmp_path / 'mark'}"}
    content["config"]["model"]["generator"] = generator
    torch.save(content, tmp_path / "config.ckpt")
    assert_refused(command(name, "checkpoint=config.ckpt"), "'os.system'", "trust=[os]")
    assert not (tmp_path / "mark").exists()
    whole = newest(trained).read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    assert_refused(command(name, "checkpoint=cut.ckpt"), "cut.ckpt is damaged")


# train: bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["total_kimgs=1"], ["unknown key total_kimgs; do you mean total_kimg?"]),
        (["+total_kimgs=1"], ["unknown key total_kimgs; do you mean total_kimg?"]),
        (["+paths.run_dir=x"], ["unknown key paths.run_dir; do you mean paths.runs_dir?"]),
        (["model.n_critc=2"], ["unknown key model.n_critc; do you mean model.n_critic?"]),
        (["+model.n_critc=2"], ["unknown key 'n_critc'", "'n_critic'"]),
        (["model.generator.widht=2"], ["model.generator.widht"]),
        (["+model.generator.widht=2"], ["model.generator", "'widht'; misspelt, or meant for another choice?"]),
        (["data.bach_size=2"], ["do you mean data.batch_size?"]),
        (["+data.bach_size=2"], ["data", "'bach_size'; misspelt, or meant for another choice?"]),
        (["evaluation.num_sample=20"], ["do you mean evaluation.num_samples?"]),
        (["+evaluation.num_sample=20"], ["evaluation", "'num_sample'; misspelt, or meant for another choice?"]),
        (["model=vae", "network=vaegan"], ["this model has no discriminator", "choose another"]),
        (["model=dcgna"], ["no model=dcgna", "do you mean model=dcgan", "wgan_gp"]),
        (["data.batch_size=0"], ["data.batch_size", "got 0"]),
        (["data.batch_size=8", "data.micro_batch_size=3"], ["data.micro_batch_size=3", "data.batch_size=8"]),
        (["data.image_size=20"], ["20"]),
        (["trainer.precision=16-mixed"], ["trainer.precision=16-mixed", "bf16-mixed"]),
        (["on_nonfinite=ignore"], ["on_nonfinite", "stop or rollback", "'ignore'"]),
        (["seed=-1"], ["seed must be 0 or more, got -1"]),
        (["seed=first"], ["seed", "first"]),
        (["total_kimg=0"], ["total_kimg must be more than 0, got 0"]),
        (["threads=0"], ["threads must be 1 or more", "got 0"]),
        (["+model.clip_norm.critic=1"], ["model.clip_norm", "'critic'", "discriminator, generator"]),
        (["model=wgan_gp", "model.discriminator.normalization=batch"], ["batch normalization", "normalization=layer"]),
        (["model=sngan", "model.discriminator.normalization=none"], ["model.discriminator.normalization=spectral"]),
        (["init_from=nowhere"], ["there is no checkpoint at nowhere"]),
        (["data=folder"], ["data.root has no value", "data.root=..."]),
        (["data=folder", "data.root=nowhere"], ["nowhere", "does not exist"]),
        (["data=folder", "data.root=empty"], ["no images in", "empty"]),
        (["paths.runs_dir=file"], ["cannot use file", "paths.runs_dir=..."]),
    ],
    ids=lambda given: "-".join(given)[:50],
)
def test_train_refuses(arguments, said, command, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert_refused(command("train", *SMALL, BRIEF, *arguments), *said)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_networks_that_lack_one_are_refused(command):
    done = command("train", "trainer=cpu", "model=dcgan", "network=vae")
    assert_refused(done, "model: lacks 'discriminator', which another choice may bring")


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("model: {n_critc: 2}", ["'n_critc'", "'n_critic'"]),
        ("totl_kimg: 3", ["unknown key totl_kimg; do you mean total_kimg?"]),
        ("model: {n_critic: 2", ["mine.yaml", "line 4"]),
        ("data: {bach_size: 3}", ["data", "'bach_size'"]),
        ("trainer: {precison: 32}", ["trainer", "'precison'"]),
        ("callbacks: {evaluation: {every_kimgs: 3}}", ["callbacks.evaluation", "'every_kimgs'"]),
        ("defaults: [{override /modle: gan}]", ["'modle'"]),
    ],
)
def test_a_misspelt_recipe_is_refused(recipe, said, command, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(f"# @package _global_\n# Mine.\n{recipe}\n")
    assert_refused(command("train", "experiment=mine", *SMALL, BRIEF), *said)


def test_a_truncated_picture_is_named_before_training(command, tmp_path):
    paths = write_image_folder(tmp_path / "pictures")
    Image.open(paths[0]).convert("RGB").resize((64, 64)).save(tmp_path / "pictures" / "whole.jpg")
    whole = (tmp_path / "pictures" / "whole.jpg").read_bytes()
    (tmp_path / "pictures" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    arguments = [*UNSCORED, BRIEF, "data=folder", "data.root=pictures", "data.batch_size=4"]
    assert_refused(command("train", *arguments), "half.jpg", "data.on_bad=skip")
    skipped = command("train", *arguments, "data.on_bad=skip")
    assert skipped.code == 0, skipped.output
    assert "half.jpg" in skipped.output


def test_two_runs_in_one_folder(command, tmp_path):
    with FileLock(tmp_path / ".run.lock"):
        refused = command("train", *UNSCORED, BRIEF, "run_dir=run")
    assert_refused(refused, "another process is training in run", "seed=...")
    assert command("train", *UNSCORED, BRIEF, "run_dir=run").code == 0


def test_two_settings_in_one_folder(command, tmp_path):
    assert command("train", *UNSCORED, BRIEF, "run_dir=run").code == 0
    again = command("train", *UNSCORED, BRIEF, "run_dir=run")
    assert again.code == 0
    assert "is finished" in again.output
    other = command("train", *UNSCORED, BRIEF, "run_dir=run", "model.n_critic=2")
    assert_refused(other, "run holds a run of other settings", "run_dir=", "overwrite=true")
    anew = command("train", *UNSCORED, BRIEF, "run_dir=run", "model.n_critic=2", "overwrite=true")
    assert anew.code == 0, anew.output
    assert "moved the earlier run to run.20" in anew.output
    (aside,) = tmp_path.glob("run.20*")
    assert (aside / "checkpoints").is_dir()
    assert command("train", *UNSCORED, BRIEF, "run_dir=run", "model.n_critic=2").code == 0


# train: what it offers ------------------------------------------------------------------------------------------


MAKING = ["train", "sample", "walk", "directions", "project", "translate"]


@pytest.mark.parametrize("name", [*MAKING, "evaluate", "export", "share", "demo", "import_weights", "look"])
def test_help_lists_every_choice_with_a_line(name, command):
    done = command(name, "--help")
    assert done.code == 0
    lines = done.output.splitlines()
    shown = {line.split()[0]: line.split(maxsplit=1)[1:] for line in lines if line.startswith("    ")}
    if name == "train":
        for group in ("data", "network", "model", "evaluation", "trainer", "callbacks", "logger", "debug", "paths"):
            assert f"{group}=" in lines
            for path in (ROOT / "conf" / group).glob("*.yaml"):
                assert shown.get(path.stem), f"{group}={path.stem} has no line"
        for path in (ROOT / "experiments").glob("*.yaml"):
            assert shown.get(path.stem), path
    text = (ROOT / "conf" / f"{name}.yaml").read_text()
    for key in [line.split(":")[0] for line in text.splitlines() if line[:1].isalpha()]:
        if key not in ("defaults", "hydra"):
            assert f"{key}:" in shown, key
    assert "--cfg job --resolve" in done.output


def test_the_dry_run_prints_the_config(command, tmp_path):
    done = command("train", "model=wgan_gp", "--cfg", "job", "--resolve")
    assert done.code == 0
    assert "gradient_penalty_weight: 10.0" in done.output
    assert "${" not in done.output
    assert {path.name for path in tmp_path.iterdir()} == {"output.txt"}, "and writes nothing"


def test_starting_from_other_weights_says_what_did_not_match(command, trained):
    same = command("train", *UNSCORED, BRIEF, f"init_from={newest(trained)}", "run_dir=same")
    assert same.code == 0, same.output
    assert f"started from {newest(trained)}; all of it matched" in same.output
    wide = command("train", *UNSCORED, BRIEF, f"init_from={newest(trained)}", "run_dir=w", "model.generator.width=6")
    assert wide.code == 0, wide.output
    assert "did not match" in wide.output
    assert "in the file," in wide.output
    assert "discriminator." not in wide.output
    other = command("train", *UNSCORED, BRIEF, f"init_from={newest(trained)}", "run_dir=other", "network=mlp")
    assert_refused(other, "fits the networks discriminator, generator", "network=")


def test_a_sweep_makes_a_folder_for_each(command, tmp_path):
    swept = command("train", "--multirun", *UNSCORED, BRIEF, "model=gan", "seed=0,1", forking=False)
    assert swept.code == 0, swept.output
    runs = sorted(path.parent.relative_to(tmp_path / "runs") for path in (tmp_path / "runs").rglob("run.json"))
    assert [(run.parts[0], run.parts[2]) for run in runs] == [
        ("gan_digits", "seed0"),
        ("gan_digits", "seed1"),
    ]
    for run in runs:
        assert list((tmp_path / "runs" / run / "checkpoints").glob("*.ckpt")), run


def test_a_run_without_room_for_its_checkpoint(command, trained, tmp_path):
    """Where the checkpoints should go lies a file."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"id": "abc", "saved": null}')
    (tmp_path / "run" / "checkpoints").write_text("in the way")
    refused = command("train", *UNSCORED, BRIEF, "run_dir=run")
    assert_refused(refused, "cannot write run/checkpoints", "make room or choose another folder")
    with pytest.raises(CheckpointError):
        load_generator(tmp_path / "run")


def test_settings_are_known_after_a_kill_too(command):
    kill = "+callbacks.kill={_target_: killing.KillAt, images: 64}"
    saved = "callbacks.checkpoint.every_kimg=0.032"
    assert command("train", *UNSCORED, "total_kimg=0.32", "run_dir=run", saved, kill).code == -9
    other = command("train", *UNSCORED, "total_kimg=0.32", "run_dir=run", saved, "model=lsgan")
    assert_refused(other, "run holds a run of other settings")
    moved = command("train", *UNSCORED, "total_kimg=0.128", "run_dir=run", "data.workers=0", "on_nonfinite=rollback")
    assert moved.code == 0, moved.output
    assert "going on from" in moved.output


def test_a_refused_start_leaves_the_folder_to_the_next(command):
    assert_refused(command("train", *UNSCORED, BRIEF, "run_dir=run", "model.optimizers.generator.lr=-1"), "-1")
    assert command("train", *UNSCORED, BRIEF, "run_dir=run").code == 0
