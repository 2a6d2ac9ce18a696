"""Checkpoints: written whole or not at all, read without running code, found, loaded alone, and started from."""

import json
import os
import pickle
import resource
import signal
import sys
import warnings
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from tiny import settings
from torch import nn

from gan_lab.models.dcgan import DCGAN
from gan_lab.networks.mlp import MLPDiscriminator, MLPGenerator
from gan_lab.runs.checkpoint import (
    FORMAT,
    CheckpointError,
    CheckpointIO,
    build,
    describe,
    find,
    initialize,
    load_generator,
    newest_sound,
    read,
    target_class,
    write_atomically,
    write_snapshot,
)
from gan_lab.sampling import Draws

SHAPE = [1, 4, 4]
GENERATOR = {
    "_target_": "gan_lab.networks.mlp.MLPGenerator",
    "sample_shape": SHAPE,
    "latent_dim": 3,
    "width": 5,
    "depth": 1,
    "normalization": "batch",
    "initialization": "he",
}
MODEL = {
    "_target_": "gan_lab.models.dcgan.DCGAN",
    "latent_dim": 3,
    "latent_distribution": "uniform",
    "generator": GENERATOR,
    "optimizers": {"generator": {"_target_": "torch.optim.Adam", "_partial_": True}},  # never built from a checkpoint
}


def module_of(seed: int = 0, width: int = 5, **changes) -> DCGAN:
    """A DCGAN of tiny perceptrons whose average differs from its generator."""
    torch.manual_seed(seed)
    common = {"sample_shape": SHAPE, "width": width, "depth": 1, "initialization": "he"}
    generator = MLPGenerator(latent_dim=3, normalization="batch", **common)
    critic = MLPDiscriminator(normalization="none", **common)
    module = DCGAN(real_target=1.0, **settings(generator=generator, discriminator=critic, latent_dim=3, **changes))
    if module.averages:
        for parameter in module.averages["generator"].module.parameters():
            parameter.data += 0.25
    return module


def content_of(module: DCGAN, **changes) -> dict:
    counters = {"counters": {"images_seen": 2000}}
    return {"state_dict": module.state_dict(), **counters, **describe({"model": MODEL})} | changes


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    CheckpointIO().save_checkpoint(content, path)
    return path


def samples_of(network: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return network.eval()(latents=torch.linspace(-1, 1, 12).view(4, 3))


# Writing --------------------------------------------------------------------------------------------------------


def _write_on_a_full_disk(path, kind, answer):
    """In a process of its own: files may hold 20 kB, and what goes beyond fails as on a full disk."""
    from pathlib import Path

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        if kind == "checkpoint":
            CheckpointIO().save_checkpoint({"state_dict": {"w": torch.zeros(100_000)}}, path)
        else:
            write_snapshot(Path(path), nn.Linear(1000, 100), {})
    except CheckpointError as error:
        answer.put(str(error))
    else:
        answer.put("written")


@pytest.mark.parametrize(("kind", "name"), [("checkpoint", "000000000064.ckpt"), ("snapshot", "a.safetensors")])
def test_a_full_disk_leaves_what_was_saved_before(kind, name, forkserver, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"the earlier one")
    answer = forkserver.SimpleQueue()
    process = forkserver.Process(target=_write_on_a_full_disk, args=(str(path), kind, answer))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    message = answer.get()
    assert f"cannot write {path}" in message
    assert "untouched" in message
    assert "paths.runs_dir" in message
    assert path.read_bytes() == b"the earlier one"
    assert not list(tmp_path.glob(".*")), "no temporary file is left"


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    path = tmp_path / "new" / "a.ckpt"

    def fail(temporary):
        temporary.write_bytes(b"half")
        assert temporary.parent == path.parent
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match="No space left on device"):
        write_atomically(path, fail)
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write"):
        write_atomically(tmp_path / "file" / "a.ckpt", lambda temporary: temporary.touch())


def test_writing_replaces_the_file_at_once(tmp_path):
    path = tmp_path / "a.ckpt"
    path.write_text("old")
    during = []
    write_atomically(path, lambda temporary: during.append((temporary.write_text("new"), path.read_text())))
    assert during == [(3, "old")]
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


# Reading --------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path):
    content = content_of(module_of())
    loaded = read(save(tmp_path / "a.ckpt", content))
    assert loaded["format"] == FORMAT
    assert loaded["config"] == {"model": MODEL}
    assert set(loaded["versions"]) == {"gan_lab", "torch"}
    assert all(torch.equal(value, content["state_dict"][key]) for key, value in loaded["state_dict"].items())


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99])
def test_a_cut_file(part, tmp_path):
    path = save(tmp_path / "a.ckpt", content_of(module_of()))
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=f"{path} is damaged"):
        read(path)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.7])
def test_a_damaged_middle(place, tmp_path):
    path = save(tmp_path / "a.ckpt", content_of(module_of()))
    content = bytearray(path.read_bytes())
    middle = int(place * len(content))
    content[middle : middle + 400] = bytes(b ^ 0xFF for b in content[middle : middle + 400])
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a.ckpt"):
        read(path)


def test_files_that_are_no_checkpoint(tmp_path):
    path = tmp_path / "a.ckpt"
    with pytest.raises(CheckpointError, match=f"there is no checkpoint at {path}"):
        read(path)
    path.write_text("not a zip")
    with pytest.raises(CheckpointError, match="no checkpoint at all"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no torch file")
    with pytest.raises(CheckpointError, match="is damaged"):
        read(path)
    for content in ([1, 2], {"weights": 1}, {"state_dict": {}}):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match="not a checkpoint of gan_lab"):
            read(path)


def test_a_later_format(tmp_path):
    path = save(tmp_path / "a.ckpt", content_of(module_of(), format=FORMAT + 1))
    with pytest.raises(CheckpointError, match=f"has format {FORMAT + 1}.*upgrade"):
        read(path)


class Evil:
    """Unpickled, it runs a command."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("place", ["state_dict", "config", "anything"])
def test_a_malicious_pickle_runs_nothing(place, tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "a.ckpt"
    torch.save(content_of(module_of()) | {place: Evil(mark)}, path)
    for reading in (read, load_generator, lambda path: initialize(module_of(), path), CheckpointIO().load_checkpoint):
        with pytest.raises(CheckpointError, match=r"refused.*could run code"):
            reading(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the attack is real"


def test_a_malicious_pickle_without_a_zip(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "a.ckpt"
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(CheckpointError):
        read(path)
    assert not mark.exists()


# What a stored config may name ----------------------------------------------------------------------------------


class Trusted(nn.Linear):
    """A network of somebody's own."""


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "os.system", "_args_": ["touch mark"]},
        {"_target_": "gan_lab.train.os.system", "_args_": ["touch mark"]},
        {"_target_": "gan_lab.runs.checkpoint.os.system", "_args_": ["touch mark"]},
        {"_target_": "gan_lab.runs.checkpoint.pickle.loads", "_args_": ["x"]},
        {"_target_": "gan_lab.runs.checkpoint.importlib.import_module", "_args_": ["antigravity"]},
        {"_target_": "gan_lab.runs.checkpoint.instantiate", "_args_": [{}]},
        {"_target_": "gan_lab.deferred.deferred_attribute", "module": "antigravity", "name": "x"},
        {"_target_": "gan_lab.deferred.stand_in", "name": "antigravity"},
        {"_target_": "gan_lab.runs.checkpoint.load_generator", "path": "x"},
        {"_target_": "gan_lab.callbacks.stop.Callback"},
        {"_target_": "gan_lab.runs.checkpoint.Path"},
        GENERATOR | {"width": {"_target_": "gan_lab.runs.checkpoint.Path"}},
        {"_target_": "gan_lab"},
        {"_target_": "gan_labs.evil.Network"},
        {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1},
        GENERATOR | {"width": {"_target_": "os.system", "_args_": ["touch mark"]}},
        GENERATOR | {"sample_shape": [1, [{"deeper": {"_target_": "os.system"}}]]},
        GENERATOR | {"width": "${oc.env:HOME}"},
        GENERATOR | {"sample_shape": ["a ${oc.create:{_target_: os.system}}"]},
        GENERATOR | {"_target_": "${evil}"},
    ],
    ids=lambda node: str(node.get("_target_", ""))[-30:],
)
def test_a_stored_config_runs_nothing_but_classes_of_ours(node, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="the stored config"):
        build(node)
    content = content_of(module_of(), config={"model": MODEL | {"generator": node}})
    with pytest.raises(CheckpointError, match="the stored config"):
        load_generator(save(tmp_path / "a.ckpt", content))
    assert not (tmp_path / "mark").exists()


def test_a_stored_model_runs_nothing_either(tmp_path):
    content = content_of(module_of(), config={"model": MODEL | {"_target_": "os.system"}})
    with pytest.raises(CheckpointError, match=r"'os.system'.*trust=\[os\]"):
        load_generator(save(tmp_path / "a.ckpt", content))


def test_the_outermost_must_be_of_the_kind_asked_for():
    stop = {"_target_": "gan_lab.callbacks.stop.Stop", "total_kimg": 1}
    assert build(stop)
    with pytest.raises(CheckpointError, match=r"Stop' where a Module is expected"):
        build(stop, base=nn.Module)


def test_trust_lets_a_named_module_through():
    node = {"_target_": "test_checkpoint.Trusted", "in_features": 2, "out_features": 3}
    with pytest.raises(CheckpointError, match=r"trust=\[test_checkpoint\]"):
        build(node)
    assert isinstance(build(node, ["test_checkpoint"], base=nn.Module), Trusted)
    assert build(node, ["test_checkpoint.Trusted"])
    for other in (["test_check"], ["test_checkpoint.Trust"], ["checkpoint"], [""]):
        with pytest.raises(CheckpointError):
            build(node, other)
    assert target_class(node, ["test_checkpoint"]) is Trusted


@pytest.mark.parametrize("target", ["os.system", "os.nothing_of_the_kind", "no_such_module.Network"])
def test_trusted_or_not_a_network_must_be_a_class(target):
    with pytest.raises(CheckpointError, match="the stored config"):
        build({"_target_": target}, [target], base=nn.Module)


@pytest.mark.parametrize(
    "config", [{}, {"model": {}}, {"model": "x"}, {"model": {"_target_": "gan_lab.sampling.Draws"}}]
)
def test_a_config_that_is_not_ours(config, tmp_path):
    path = save(tmp_path / "a.ckpt", content_of(module_of(), config=config))
    with pytest.raises(CheckpointError, match="the stored config"):
        load_generator(path)


# Finding --------------------------------------------------------------------------------------------------------


def test_find(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        find(tmp_path)
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        find(tmp_path / "a.ckpt")
    for images in (64, 128, 1000000000000):
        save(checkpoints / f"{images:012d}.ckpt", content_of(module_of()))
    newest = checkpoints / "1000000000000.ckpt"
    assert find(tmp_path) == newest
    assert find(newest) == newest
    save(checkpoints / "best.ckpt", content_of(module_of()))
    assert find(str(tmp_path)) == checkpoints / "best.ckpt"


def test_damaged_ones_are_passed_over_loudly(tmp_path):
    assert newest_sound(tmp_path) is None
    for images in (64, 128, 192):
        save(tmp_path / f"{images:012d}.ckpt", content_of(module_of()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert newest_sound(tmp_path).name == "000000000192.ckpt"
    (tmp_path / "000000000192.ckpt").write_bytes(b"")
    with pytest.warns(UserWarning, match="192.ckpt is damaged.*falling back"):
        assert newest_sound(tmp_path).name == "000000000128.ckpt"
    for path in tmp_path.iterdir():
        path.write_bytes(b"x")
    with pytest.warns(UserWarning, match="is damaged") as caught:
        assert newest_sound(tmp_path) is None
    assert len(caught) == 3


def test_an_earlier_format_is_not_gone_on_with(tmp_path):
    path = save(tmp_path / "000000000064.ckpt", content_of(module_of(), format=FORMAT - 1))
    with pytest.raises(CheckpointError, match=rf"has format {FORMAT - 1}.*init_from={path}"):
        CheckpointIO().load_checkpoint(path)
    assert find(path) == path


# A generator alone ----------------------------------------------------------------------------------------------


def run_folder(tmp_path, **changes):
    """A run's folder with a checkpoint and a snapshot of one module."""
    module = module_of(**changes)
    save(tmp_path / "checkpoints" / "000000002000.ckpt", content_of(module))
    about = describe({"model": MODEL}) | {
        "images_seen": 2000,
        "network": "generator",
        "weights": module.weights_for_samples,
    }
    write_snapshot(tmp_path / "snapshots" / "000000002000.safetensors", module.network_for_samples(), about)
    return module


def test_checkpoint_snapshot_and_folder_hold_the_same_generator(tmp_path):
    module = run_folder(tmp_path)
    expected = samples_of(module.averages["generator"].module)
    sources = [
        tmp_path,
        tmp_path / "checkpoints" / "000000002000.ckpt",
        tmp_path / "snapshots" / "000000002000.safetensors",
    ]
    for source in sources:
        loaded = load_generator(source)
        assert torch.equal(samples_of(loaded.network), expected), source
        assert (loaded.weights, loaded.images_seen, loaded.name) == ("ema", 2000, "generator")
        assert loaded.config == {"model": MODEL}
        assert not loaded.network.training
        assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
        assert loaded.inputs.draw(Draws(0), 2)["latents"].abs().max() <= 1, "uniform, as the config says"


def test_live_weights(tmp_path):
    module = run_folder(tmp_path)
    loaded = load_generator(tmp_path, "live")
    assert loaded.weights == "live"
    assert torch.equal(samples_of(loaded.network), samples_of(module.generator))
    assert not torch.equal(samples_of(loaded.network), samples_of(module.averages["generator"].module))
    with pytest.raises(CheckpointError, match="averaged weights alone; take the checkpoint for weights=live"):
        load_generator(tmp_path / "snapshots" / "000000002000.safetensors", "live")
    with pytest.raises(CheckpointError, match="got 'best'"):
        load_generator(tmp_path, "best")


def test_a_run_without_average_gives_its_live_weights(tmp_path):
    module = run_folder(tmp_path, ema_half_life_kimg=None)
    for source in (tmp_path, tmp_path / "snapshots" / "000000002000.safetensors"):
        for weights in ("ema", "live"):
            loaded = load_generator(source, weights)
            assert loaded.weights == "live"
            assert torch.equal(samples_of(loaded.network), samples_of(module.generator))


def test_loading_needs_no_data_set_or_logger(tmp_path, monkeypatch):
    run_folder(tmp_path)
    for name in ["sklearn", "wandb", "tensorboard", "torchvision", *[m for m in sys.modules if "gan_lab.data" in m]]:
        monkeypatch.setitem(sys.modules, name, None)  # an import raises ImportError
    assert load_generator(tmp_path).network


def test_a_snapshot_without_its_description(tmp_path):
    run_folder(tmp_path)
    path = tmp_path / "snapshots" / "000000002000.safetensors"
    beside = path.with_suffix(".json")
    text = beside.read_text()
    beside.write_text(text[: len(text) // 2])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_generator(path)
    beside.write_text(json.dumps(json.loads(text) | {"format": FORMAT + 1}))
    with pytest.raises(CheckpointError, match=f"has format {FORMAT + 1}"):
        load_generator(path)
    beside.write_text("{}")
    with pytest.raises(CheckpointError, match="description"):
        load_generator(path)
    for config in ({}, [], {"model": None}):
        beside.write_text(json.dumps(json.loads(text) | {"config": config}))
        with pytest.raises(CheckpointError, match=r"000000002000\.safetensors .* the stored config names no model"):
            load_generator(path)
    beside.unlink()
    with pytest.raises(CheckpointError, match=r"needs its description 000000002000\.json .* copy both"):
        load_generator(path)
    beside.write_text(text)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_generator(path)


def test_a_snapshot_is_for_whom_the_umask_says(tmp_path):
    """By itself safetensors lets nobody else read, a server of shared files neither."""
    earlier = os.umask(0o027)
    try:
        write_snapshot(tmp_path / "g.safetensors", nn.Linear(2, 2), {"licence": None})
    finally:
        os.umask(earlier)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "g.json": 0o640,
        "g.safetensors": 0o640,
    }


def test_weights_that_do_not_fit_their_config(tmp_path):
    content = content_of(module_of(), config={"model": MODEL | {"generator": GENERATOR | {"width": 6}}})
    with pytest.raises(CheckpointError, match="do not fit the network in its config"):
        load_generator(save(tmp_path / "a.ckpt", content))


# Starting from other weights ------------------------------------------------------------------------------------


def test_all_of_it_matches(tmp_path):
    source, target = module_of(seed=1), module_of(seed=2)
    assert initialize(target, save(tmp_path / "a.ckpt", content_of(source))) == []
    expected = samples_of(source.averages["generator"].module)
    assert torch.equal(samples_of(target.generator), expected), "the average is the better generator"
    assert torch.equal(samples_of(target.averages["generator"].module), expected), "and the average begins with it"
    assert torch.equal(target.discriminator.layers[2].weight, source.discriminator.layers[2].weight)


def test_what_does_not_match_is_listed(tmp_path):
    state = module_of(seed=1, ema_half_life_kimg=None).state_dict()
    del state["discriminator.layers.2.bias"]
    state["discriminator.extra"] = torch.zeros(1)
    state["generator.layers.1.weight"] = torch.zeros(16, 9)
    target = module_of(seed=2)
    before = target.generator.layers[1].weight.clone()
    lines = initialize(target, save(tmp_path / "a.ckpt", content_of(module_of(), state_dict=state)))
    assert sorted(lines) == [
        "discriminator: 1 of 4 tensors are not in the file, and begin anew: layers.2.bias",
        "discriminator: 1 tensors are in the file alone: extra",
        "generator.layers.1.weight: (16, 9) in the file, (16, 5) here",
    ]
    assert torch.equal(target.generator.layers[1].weight, before)
    assert torch.equal(target.generator.layers[0][0].weight, state["generator.layers.0.0.weight"])
    for key, value in target.generator.state_dict().items():
        assert torch.equal(target.averages["generator"].module.state_dict()[key], value)


def test_starting_from_a_snapshot_or_plain_tensors(tmp_path):
    source = run_folder(tmp_path)
    target = module_of(seed=2)
    lines = initialize(target, tmp_path / "snapshots" / "000000002000.safetensors")
    assert lines == ["discriminator: nothing in the file, keeps its own initialization"]
    assert torch.equal(samples_of(target.generator), samples_of(source.averages["generator"].module))
    named = {f"discriminator.{key}": value for key, value in source.discriminator.state_dict().items()}
    save_file(named, tmp_path / "d.safetensors")
    assert initialize(target, tmp_path / "d.safetensors") == [
        "generator: nothing in the file, keeps its own initialization"
    ]
    assert torch.equal(target.discriminator.layers[2].weight, source.discriminator.layers[2].weight)


def test_nothing_fits(tmp_path):
    save_file({"something": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(
        CheckpointError, match=r"nothing in .*other.safetensors fits the networks discriminator, generator"
    ):
        initialize(module_of(), tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"abc")
    with pytest.raises(CheckpointError, match=r"cut.safetensors is damaged"):
        initialize(module_of(), tmp_path / "cut.safetensors")
