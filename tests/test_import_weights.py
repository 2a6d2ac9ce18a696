"""Other people's weights: their pictures are those of an independent reference, and no file runs anything."""

import io
import json
import os
import pickle
import struct
import subprocess
import zipfile

import foreign_weights as foreign
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gan_lab.checkpoint import load_generator
from gan_lab.runs.checkpoint import licence_of

NVIDIA = "NVIDIA Source Code License: non-commercial"


@pytest.fixture
def imported(here, tmp_path):
    """`imported(file, ...)` imports a file, and loads what came of it."""

    def run(file, *words):
        done = here("import_weights", f"file={file}", "licence=nvidia", "overwrite=true", *words)
        assert done.code == 0, done.output
        return load_generator(tmp_path / "imported" / "generator.safetensors")

    return run


# Pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clamp", "classes", "protocol"), [(None, 0, 4), (1.5, 0, 3), (256, 4, 4)], ids=["plain", "clamped", "classes"]
)
def test_stylegan2_makes_the_pictures_of_the_reference(clamp, classes, protocol, imported, tmp_path):
    """With constant noise as it stands in the file, and given noise; a clamp that is felt."""
    shape = {"latent": 5 if classes else 6, "classes": classes}
    tensors = foreign.stylegan2_weights(**shape)
    settings = foreign.stylegan2_settings(**shape, **({} if clamp is None else {"conv_clamp": clamp}))
    file = foreign.stylegan2_file(tmp_path / "x.pkl", tensors, settings, protocol=protocol)
    loaded = imported(file, "noise=constant")
    z = torch.randn(3, shape["latent"], generator=torch.Generator().manual_seed(5))
    labels = torch.tensor([0, 3, 1]) if classes else None
    given = {"clamp": clamp, "labels": labels}
    expected = foreign.stylegan2_pictures(tensors, z, **given)
    torch.testing.assert_close(loaded.network(z, labels).double(), expected, atol=1e-4, rtol=0)
    if clamp == 1.5:
        free = foreign.stylegan2_pictures(tensors, z)
        assert (free - expected).abs().max() > 0.1
    again = imported(file)
    assert not torch.equal(again.network(z, labels), again.network(z, labels))
    noise = torch.randn(3, again.network.noise_size, generator=torch.Generator().manual_seed(6))
    expected = foreign.stylegan2_pictures(tensors, z, noise=noise, **given)
    torch.testing.assert_close(again.network(z, labels, noise=noise).double(), expected, atol=1e-4, rtol=0)
    w = again.network.truncate(again.network.mapping(z, labels), 0.5)
    expected = foreign.stylegan2_pictures(tensors, z, noise=noise, psi=0.5, **given)
    torch.testing.assert_close(again.network.synthesis(w, noise=noise).double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("classes", [0, 4])
def test_r3gan_makes_the_pictures_of_the_reference(classes, imported, tmp_path):
    tensors = foreign.r3gan_weights(classes=classes)
    loaded = imported(foreign.r3gan_file(tmp_path / "x.pkl", tensors))
    z = torch.randn(3, 5, generator=torch.Generator().manual_seed(5))
    labels = torch.tensor([0, 3, 1]) if classes else None
    expected = foreign.r3gan_pictures(tensors, z, labels)
    assert expected.shape == (3, 3, 16, 16)
    torch.testing.assert_close(loaded.network(z, labels).double(), expected, atol=1e-4, rtol=0)


# From the file to a run -----------------------------------------------------------------------------------------


def test_the_licence_goes_on_with_the_weights(here, tmp_path):
    """Import, sample, export, a step of training from it, and a sample of that run."""
    source = f"open({str(tmp_path / 'mark')!r}, 'w')"
    settings = foreign.stylegan2_settings(conv_clamp=256)
    file = foreign.stylegan2_file(tmp_path / "net.pkl", foreign.stylegan2_weights(), settings, source=source)
    done = here("import_weights", f"file={file}")
    assert done.code == 1
    assert "licence=... is needed" in done.output
    assert "licence=nvidia (non-commercial)" in done.output
    done = here("import_weights", f"file={file}", "licence=nvidia", "out=net")
    assert done.code == 0, done.output
    assert f"licence {NVIDIA}" in done.output
    snapshot = tmp_path / "net" / "generator.safetensors"
    about = json.loads(snapshot.with_suffix(".json").read_text())
    assert about["licence"].startswith(NVIDIA)
    assert about["imported"]["format"] == "StyleGAN2-ADA (PyTorch)"
    assert len(about["imported"]["code_sha256"]) == 64
    with safe_open(snapshot, framework="pt") as opened:
        assert opened.metadata()["licence"].startswith(NVIDIA)
    again = here("import_weights", f"file={file}", "licence=nvidia", "out=net")
    assert again.code == 1
    assert "is there already" in again.output

    done_sample = here("sample", f"checkpoint={snapshot}", "count=2")
    assert done_sample.code == 0, done_sample.output
    assert done_sample.output.count(NVIDIA) == 1

    trained = foreign.trained_as_told(here, done, tmp_path)
    assert NVIDIA in trained.output
    log = (tmp_path / "run" / "train.log").read_text()
    assert "generator.synthesis" not in log, "all of the generator matched"
    (left,) = (tmp_path / "run" / "snapshots").glob("*.safetensors")
    newest = max((tmp_path / "run" / "checkpoints").glob("[0-9]*.ckpt"))
    assert licence_of(snapshot) == licence_of(left) == licence_of(newest) == load_generator(newest).licence
    exported = here("export", "checkpoint=run", "out=exported")
    assert exported.output.count(NVIDIA) == 1, exported.output
    assert load_generator(tmp_path / "exported" / "generator.safetensors").licence == about["licence"]
    assert not (tmp_path / "mark").exists()


def test_a_run_of_one_s_own_has_no_licence(tmp_path, imported):
    file = foreign.stylegan2_file(tmp_path / "x.pkl", foreign.stylegan2_weights(), foreign.stylegan2_settings())
    imported(file)
    target = tmp_path / "imported" / "generator.safetensors"
    save_file(load_file(target), tmp_path / "plain.safetensors")
    assert licence_of(tmp_path / "plain.safetensors") is None


# What is refused ------------------------------------------------------------------------------------------------


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def op(name: str) -> bytes:
    return getattr(pickle, name)


def text(value: str) -> bytes:
    return op("BINUNICODE") + struct.pack("<I", len(value)) + value.encode()


HEAD = op("PROTO") + b"\x04"


def hostile(kind: str, mark: str) -> bytes:
    """A file that would run something, or take the machine's memory or time."""
    touch = f"touch {mark}"
    write = f"open({mark!r}, 'w')"
    pickled = {
        "os.system": lambda: Calls(os.system, touch),
        "builtins.eval": lambda: Calls(eval, write),
        "builtins.exec": lambda: {"G_ema": Calls(exec, write)},
        "subprocess.Popen": lambda: Calls(subprocess.Popen, ["touch", mark]),
        "builtins.getattr": lambda: Calls(getattr, "os", "system"),
        "torch.load": lambda: Calls(torch.load, mark),
        "builtins.bytearray": lambda: Calls(bytearray, 10**12),
    }
    if kind in pickled:
        return pickle.dumps(pickled[kind](), protocol=4)
    deep = op("EMPTY_TUPLE") + op("TUPLE1") * 200_000
    laughs = op("EMPTY_LIST") + op("MEMOIZE") + op("POP")
    for i in range(100):  # each holds the one before ten times
        tenfold = op("EMPTY_LIST") + op("MARK") + (op("BINGET") + bytes([i])) * 10 + op("APPENDS")
        laughs += tenfold + op("MEMOIZE") + op("POP")
    laughs += op("BINGET") + bytes([100])
    key = text("G_ema")
    return {
        "nested": HEAD + op("MARK") * 5000 + op("STOP"),
        "deep tuple": HEAD + op("EMPTY_DICT") + key + deep + op("SETITEM") + op("STOP"),
        "deep key": HEAD + op("EMPTY_DICT") + deep + key + op("SETITEM") + op("STOP"),
        "laughs": HEAD + op("EMPTY_DICT") + key + laughs + op("SETITEM") + op("STOP"),
        "laughing key": HEAD + op("EMPTY_DICT") + laughs + op("TUPLE1") + key + op("SETITEM") + op("STOP"),
        "memo": HEAD + op("NONE") + op("LONG_BINPUT") + struct.pack("<I", 2**32 - 1) + op("STOP"),
        "huge bytes": HEAD + op("BINBYTES8") + struct.pack("<Q", 2**60) + b"x" + op("STOP"),
        "negative": HEAD + op("LONG4") + struct.pack("<i", -5) + b"x" + op("STOP"),
        "persistent id": HEAD + text("x") + op("BINPERSID") + op("STOP"),
        "old instance": HEAD + op("MARK") + b"i" + b"os\nsystem\n" + op("STOP"),
        "extension": HEAD + op("EXT1") + b"\x01" + op("STOP"),
        "stack": HEAD + op("REDUCE") + op("STOP"),
        "no end": HEAD + op("NONE"),
        "nothing": b"",
        "words": b"<html>not found</html>",
    }[kind]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("os.system", "system'"),
        ("builtins.eval", "names 'builtins.eval'"),
        ("builtins.exec", "names 'builtins.exec'"),
        ("subprocess.Popen", "names 'subprocess.Popen'"),
        ("builtins.getattr", "names 'builtins.getattr'"),
        ("torch.load", "names 'torch.serialization.load'"),
        ("builtins.bytearray", "names 'builtins.bytearray'"),
        ("nested", "nested more than 1000 deep"),
        ("deep tuple", "no network G_ema"),
        ("deep key", "neither text nor a number"),
        ("laughs", "no network G_ema"),
        ("laughing key", "neither text nor a number"),
        ("memo", "remembers more than"),
        ("huge bytes", "damaged"),
        ("negative", "damaged"),
        ("persistent id", "uses BINPERSID"),
        ("old instance", "uses INST"),
        ("extension", "uses EXT1"),
        ("stack", "damaged"),
        ("no end", "damaged"),
        ("nothing", "no pickle"),
        ("words", "no pickle"),
    ],
)
def test_a_hostile_file_runs_nothing(kind, said, here, tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "x.pkl").write_bytes(hostile(kind, str(mark)))
    refused(here("import_weights", "file=x.pkl", "licence=own"), said, tmp_path)
    assert not mark.exists()


def refused(done, said, folder):
    """One message that names the file, no traceback, nothing written."""
    assert done.code == 1, done.output
    assert done.output.count("Error:") == 1, done.output
    assert "Traceback" not in done.output
    assert "x.pkl" in done.output
    assert said in done.output, done.output
    assert len(done.output) < 1000, done.output
    assert not (folder / "imported").exists()


def storage_of(values: torch.Tensor) -> bytes:
    content = io.BytesIO()
    torch.save(values._typed_storage(), content, _use_new_zipfile_serialization=False)
    return content.getvalue()


def broken(kind, tmp_path, mark):
    """A StyleGAN2-ADA file with one thing wrong with it."""
    tensors, settings = foreign.stylegan2_weights(), foreign.stylegan2_settings()
    first = next(key for key in tensors if key.endswith("const"))
    changes = {
        "architecture": {"architecture": "resnet"},
        "noise": {"use_noise": False},
        "unknown setting": {"style_gan_4": True},
        "clamp": {"conv_clamp": "os.system"},
    }
    if kind in changes:
        settings["synthesis_kwargs"] |= changes[kind]
    elif kind == "stylegan3":
        tensors = {"synthesis.input.weight": torch.ones(2), "mapping.w_avg": torch.ones(2)}
    elif kind == "classes":
        settings["c_dim"] = 4
    elif kind == "size":
        settings["img_resolution"] = 2**70
    elif kind == "shape":
        settings["synthesis_kwargs"]["channel_max"] = 4
    elif kind == "not finite":
        tensors[first] = tensors[first] * float("nan")
    elif kind == "filter":
        tensors["synthesis.b8.resample_filter"] = torch.ones(4, 4) / 16
    elif kind == "left over":
        tensors["synthesis.b8.extra"] = torch.ones(2)
    elif kind == "lacking":
        del tensors["synthesis.b8.conv0.noise_strength"]
    file = foreign.stylegan2_file(tmp_path / "x.pkl", tensors, settings)
    content = file.read_bytes()
    if kind == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif kind == "tensorflow":
        file.write_bytes(HEAD + text("dnnlib.tflib.network") + text("Network") + op("STACK_GLOBAL") + op("STOP"))
    elif kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a", "b")
    elif kind == "storage":  # whose own pickle calls something
        evil = pickle.dumps(Calls(os.system, f"touch {mark}"))
        _with_storage(file, tensors, settings, evil)
    elif kind == "size of a tensor":
        _with_storage(file, tensors, settings, None)


def _with_storage(file, tensors, settings, content):
    """The constant's storage replaced, or its size made larger than that."""
    import torch._utils
    import torch.storage

    class Wrong(torch.nn.Parameter):
        def __reduce_ex__(self, protocol):
            size = (8, 4, 4) if content is not None else (2**30, 2**30)
            storage = Calls(torch.storage._load_from_bytes, content or storage_of(torch.ones(4)))
            return torch._utils._rebuild_tensor_v2, (storage, 0, size, (0,) * len(size), False, {})

    foreign.Persistent.source = "SOURCE"
    network = foreign.Persistent(
        tensors, ("w_avg", "noise_const", "resample_filter"), _init_args=(), _init_kwargs=settings
    )
    network.synthesis.b4._parameters["const"] = Wrong(torch.ones(1))
    foreign.save(file, {"G_ema": network})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("architecture", "architecture='resnet'; gan_lab has 'skip' alone"),
        ("noise", "use_noise=False"),
        ("unknown setting", "the setting 'style_gan_4', which gan_lab has not"),
        ("clamp", "conv_clamp must be a number above 0, not 'os.system'"),
        ("stylegan3", "it holds StyleGAN3"),
        ("classes", "embedded to 5 numbers and its latents have 6"),
        ("size", "img_resolution must be a whole number"),
        ("shape", "settings and its tensors disagree"),
        ("not finite", "values that are not finite"),
        ("filter", "another filter than [1, 3, 3, 1]"),
        ("left over", "'synthesis.b8.extra', which gan_lab's has not"),
        ("lacking", "no synthesis.b8.conv0.noise_strength"),
        ("cut", "damaged (cut short, perhaps)"),
        ("tensorflow", "legacy pickle of StyleGAN's TensorFlow code"),
        ("zip", "is a zip file, but none that torch.save writes"),
        ("storage", "the tensor synthesis.b4.const cannot be read"),
        ("size of a tensor", "does not fit a storage of 4 numbers"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(kind, said, here, tmp_path):
    broken(kind, tmp_path, tmp_path / "mark")
    refused(here("import_weights", "file=x.pkl", "licence=own"), said, tmp_path)
    assert not (tmp_path / "mark").exists()


def test_noise_is_of_stylegan2_alone(here, tmp_path):
    foreign.r3gan_file(tmp_path / "x.pkl", foreign.r3gan_weights())
    done = here("import_weights", "file=x.pkl", "licence=own", "noise=constant")
    assert done.code == 1
    assert "noise=constant is of StyleGAN2" in done.output
    assert "noise must be random or constant" in here("import_weights", "file=x", "licence=own", "noise=x").output
