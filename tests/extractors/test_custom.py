"""Networks of one's own: what goes in, what may come out, and who may run them."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from gan_lab.data.images import resize
from gan_lab.extractors.base import DamagedWeights, MissingWeights
from gan_lab.extractors.custom import Custom, exported_program
from gan_lab.runs.checkpoint import CheckpointError, build

CONFIG = Path(__file__).parents[2] / "conf" / "extractor" / "custom.yaml"
INPUT = {"channels": 3, "size": [6, 8], "resize": "bicubic", "mean": [0.5, 0.25, 0.0], "std": [0.5, 1.0, 2.0]}


class Rows(nn.Module):
    """Gives its input back, a row for each image, in the form asked for."""

    def __init__(self, form: str = "tensor") -> None:
        super().__init__()
        self.form = form
        self.scale = nn.Parameter(torch.ones(()))
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        rows = self.dropout(images.flatten(1) * self.scale)
        forms = {
            "tensor": rows,
            "both": {"features": rows[:, :5], "logits": rows[:, :2], "attention": images},
            "logits": {"logits": rows[:, :2]},
            "spatial": images,
            "other": {"embedding": rows},
            "fewer": rows[:1],
            "list": [rows],
        }
        return forms[self.form]


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def custom(module, weights=None, name="mine", **change) -> Custom:
    return Custom(module, weights, name=name, **{**INPUT, **change})


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """Of a network with batch norm in eval mode, exported with a dynamic batch size."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(96, 7)).eval()
    batch = torch.export.Dim("batch")
    exported = torch.export.export(network, (torch.zeros(2, 3, 6, 8),), dynamic_shapes=({0: batch},))
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    torch.export.save(exported, path)
    torch.save(network, path.with_suffix(".whole"))
    return path


def test_input_convention():
    images = noise(2, 3, 6, 8)
    features = custom(Rows())(images)["features"].view(2, 3, 6, 8)
    expected = (images / 255 - torch.tensor([0.5, 0.25, 0.0]).view(3, 1, 1)) / torch.tensor([0.5, 1, 2]).view(3, 1, 1)
    torch.testing.assert_close(features, expected)


def test_resizing():
    images = noise(2, 3, 20, 20)
    plain = {"mean": [0.0] * 3, "std": [1.0] * 3}
    bicubic = custom(Rows(), **plain)(images)["features"]
    torch.testing.assert_close(bicubic, resize(images, (6, 8)).flatten(1) / 255)
    bilinear = custom(Rows(), resize="bilinear", **plain)(images)["features"]
    torch.testing.assert_close(bilinear, F.interpolate(images.float(), (6, 8), mode="bilinear").flatten(1) / 255)


def test_outputs():
    tensor, both, logits = (custom(Rows(form)) for form in ("tensor", "both", "logits"))
    assert (tensor.outputs, tensor.feature_dim) == (("features",), 144)
    assert (both.outputs, both.feature_dim) == (("features", "logits"), 5)
    assert (logits.outputs, logits.feature_dim) == (("logits",), 0)
    found = both(noise(4, 1, 6, 8))
    assert {name: tuple(values.shape) for name, values in found.items()} == {"features": (4, 5), "logits": (4, 2)}
    assert not found["features"].requires_grad
    assert not both.network.dropout.training


@pytest.mark.parametrize("form", ["spatial", "other", "fewer", "list"])
def test_refuses_other_outputs(form):
    with pytest.raises(ValueError, match=r"mine must give \(B, d\) features"):
        custom(Rows(form))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "net2"}, "a letter at either end"),
        ({"resize": "lanczos"}, "resize must be bicubic or bilinear, got 'lanczos'"),
        ({"channels": 2}, "channels must be 1, 3 or 4"),
        ({"mean": [0.5]}, "as many values of mean and std"),
        ({"std": [1.0, 0.0, 1.0]}, "none of std zero"),
        ({"size": [8]}, r"size must be \[height, width\]"),
    ],
)
def test_refuses_other_values(change, message):
    with pytest.raises(ValueError, match=message):
        custom(Rows(), **change)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_are_loaded(suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save({"scale": torch.tensor(3.0)}, path)
    plain, tripled = custom(Rows()), custom(Rows(), weights=path)
    images = noise(2, 3, 6, 8)
    torch.testing.assert_close(tripled(images)["features"], 3 * plain(images)["features"])
    assert tripled.protocol()["weights_sha256"] != plain.protocol()["weights_sha256"]
    save({"other": torch.tensor(3.0)}, path)
    with pytest.raises(DamagedWeights, match="does not hold the weights of Rows"):
        custom(Rows(), weights=path)
    path.write_bytes(b"cut")
    with pytest.raises(DamagedWeights, match="does not hold the weights of Rows"):
        custom(Rows(), weights=path)


def test_protocol_follows_the_weights():
    network = Rows()
    first = custom(network).protocol()
    assert json.loads(json.dumps(first)) == first == custom(Rows()).protocol()
    assert first["module"].endswith("test_custom.Rows")
    with torch.no_grad():
        network.scale.fill_(2)
    second = custom(network).protocol()
    assert [key for key in first if first[key] != second[key]] == ["probe", "weights_sha256"]


class Power(nn.Module):
    """Without any tensor: all is in the arguments."""

    def __init__(self, power, layers=(0,), activation=None):
        super().__init__()
        self.power = power

    def forward(self, images):
        return (images.flatten(1)[:, :20].abs() + 1) ** self.power


def test_protocol_follows_the_arguments():
    first = custom(partial(Power, power=2.0, layers=[1, 2], activation=nn.ReLU())).protocol()
    assert json.loads(json.dumps(first)) == first
    assert first["module"].endswith("test_custom.Power")
    named = {"_target_": "torch.nn.modules.activation.ReLU"}
    assert first["arguments"] == {"power": 2.0, "layers": [1, 2], "activation": named}
    other = custom(partial(Power, power=2.0, layers=[1, 3], activation=partial(nn.ReLU, inplace=True))).protocol()
    assert other["arguments"]["activation"] == named | {"inplace": True}
    assert [key for key in first if first[key] != other[key]] == ["arguments"]
    assert custom(partial(Power, 2.0)).protocol()["arguments"] == {"_args_": [2.0]}


def test_protocol_notices_changed_code(monkeypatch):
    def protocol():
        return custom(partial(Power, power=2.0)).protocol()

    first, whole = protocol(), Power.forward
    changes = {
        "rounding": (lambda *given: whole(*given) * (1 + 1e-6), []),
        "a factor": (lambda *given: whole(*given) * 1.05, ["probe"]),
        "order": (lambda *given: whole(*given).flip(1), ["probe"]),
    }
    for what, (forward, expected) in changes.items():
        monkeypatch.setattr(Power, "forward", forward)
        second = protocol()
        assert [key for key in first if first[key] != second[key]] == expected, what


def test_weights_are_loaded_into_a_class_with_arguments(tmp_path):
    save_file({"scale": torch.tensor(3.0)}, tmp_path / "net.safetensors")
    extractor = custom(partial(Rows, form="both"), weights=tmp_path / "net.safetensors")
    assert extractor.network.scale == 3
    assert extractor.outputs == ("features", "logits")


def test_exported_program(program):
    extractor = custom(exported_program, weights=program, name="exported")
    images = noise(5, 3, 6, 8)
    network = torch.load(program.with_suffix(".whole"), weights_only=False)  # this test's own file
    mean, std = (torch.tensor(INPUT[key]).view(3, 1, 1) for key in ("mean", "std"))
    expected = network((images / 255 - mean) / std)
    torch.testing.assert_close(extractor(images)["features"], expected, rtol=1e-4, atol=1e-5)
    assert (extractor.feature_dim, extractor.label("fd")) == (7, "fd_exported")
    torch.testing.assert_close(nn.Sequential(extractor).train()(images)["features"], expected, rtol=1e-4, atol=1e-5)


def test_absent_and_damaged_files(tmp_path):
    path = tmp_path / "net.pt2"
    assert f"{path} of mine is absent" in Custom.missing_weights(weights=path, name="mine", **INPUT)
    with pytest.raises(MissingWeights, match="is absent"):
        custom(exported_program, weights=path)
    with pytest.raises(ValueError, match="needs the weights' path, got None"):
        custom(exported_program)
    path.write_bytes(b"cut")
    with pytest.raises(DamagedWeights, match="no program that torch"):
        custom(exported_program, weights=path)


def test_the_config_builds(program):
    config = OmegaConf.load(CONFIG)
    config.merge_with({"weights": str(program), "size": [6, 8]})
    assert instantiate(config)().feature_dim == 7


def test_a_stored_config_runs_no_code_of_others_unless_trusted(program):
    # The file is a program, so its reader may not be named by a config that came with a checkpoint.
    config = OmegaConf.load(CONFIG)
    config.merge_with({"weights": str(program), "size": [6, 8]})
    node = OmegaConf.to_container(config)
    with pytest.raises(CheckpointError, match=r"trust=\[gan_lab\.extractors\.custom\]"):
        build(node)
    assert build(node, trust=["gan_lab.extractors.custom"])().feature_dim == 7
    node |= {"module": {"_target_": "torch.nn.Flatten", "_partial_": True}, "weights": None}
    with pytest.raises(CheckpointError, match=r"trust=\[torch\.nn\]"):
        build(node)
    assert build(node, trust=["torch.nn"])().feature_dim == 144
