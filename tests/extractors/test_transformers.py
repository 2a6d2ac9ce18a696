"""DINOv2 and CLIP from folders as on huggingface.co, tiny and random: the library's own pipeline is the oracle."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from torch.nn import functional as F

from gan_lab.extractors.base import DamagedWeights, MissingWeights
from gan_lab.extractors.clip import CLIP
from gan_lab.extractors.dinov2 import DINOv2
from gan_lab.installing import install_command

transformers = pytest.importorskip("transformers", reason="the extra `transformers` is not installed")

CONF = Path(__file__).parents[2] / "conf" / "extractor"
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 14}


def saved(model, folder: Path) -> Path:
    """A folder with config.json and model.safetensors, with weights that are not close to zero."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape) * (0.3 if weight.dim() > 1 else 0.5) + (weight.dim() == 1))
    logging.disable(logging.INFO)
    model.save_pretrained(folder)
    logging.disable(logging.NOTSET)
    return folder


@pytest.fixture(scope="module")
def dinov2_folder(tmp_path_factory) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.Dinov2Model(transformers.Dinov2Config(**TINY, image_size=98, mlp_ratio=2))
        return saved(model, tmp_path_factory.mktemp("dinov2"))


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory) -> Path:
    """Of the whole model, with its text encoder, as published."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.CLIPConfig(
            text_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1},
            vision_config={**TINY, "intermediate_size": 48, "image_size": 28, "projection_dim": 8},
            projection_dim=8,
        )
        return saved(transformers.CLIPModel(config), tmp_path_factory.mktemp("clip"))


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_dinov2_equals_the_librarys_pipeline(dinov2_folder):
    images = noise(3, 3, 40, 60)
    before = torch.get_rng_state()
    extractor = DINOv2(weights=dinov2_folder, model="facebook/dinov2-large", download=False)
    features = extractor(images)["features"]
    assert torch.equal(torch.get_rng_state(), before)
    # dgm-eval: torchvision's Resize on a Pillow image, ToTensor, Normalize.
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()).resize((224, 224), 3) for image in images]
    pixels = np.stack([np.asarray(picture) for picture in pictures]).transpose(0, 3, 1, 2) / 255
    pixels = (pixels - np.reshape([0.485, 0.456, 0.406], (3, 1, 1))) / np.reshape([0.229, 0.224, 0.225], (3, 1, 1))
    model = transformers.Dinov2Model.from_pretrained(dinov2_folder).eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels).float()).last_hidden_state[:, 0]
    assert expected.std(dim=0).mean() > 1e-2
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)
    assert features.shape == (3, extractor.feature_dim) == (3, 32)


def test_clip_equals_the_librarys_pipeline(clip_folder):
    images = noise(3, 3, 40, 60)
    extractor = CLIP(weights=clip_folder, model="openai/clip-vit-large-patch14-336", download=False)
    features = extractor(images)["features"]
    # cmmd-pytorch: torch's bicubic, then the library's processor for the mean and deviation, which are its defaults.
    resized = F.interpolate(images.float() / 255, (28, 28), mode="bicubic")
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    pixels = (resized - torch.tensor(OPENAI_CLIP_MEAN).view(3, 1, 1)) / torch.tensor(OPENAI_CLIP_STD).view(3, 1, 1)
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    with torch.no_grad():
        found = model.get_image_features(pixels)
        expected = getattr(found, "pooler_output", found)
    torch.testing.assert_close(features, expected / expected.norm(dim=1, keepdim=True), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    assert features.shape == (3, extractor.feature_dim) == (3, 8)


@pytest.mark.parametrize("kind", [DINOv2, CLIP])
def test_batch_surroundings_and_channels_are_moot(kind, dinov2_folder, clip_folder):
    extractor = kind(weights=dinov2_folder if kind is DINOv2 else clip_folder, model="a/b", download=False)
    grey = noise(3, 1, 28, 28)
    features = extractor(grey)["features"]
    single = torch.cat([extractor(image[None].expand(-1, 3, -1, -1))["features"] for image in grey])
    torch.testing.assert_close(features, single, rtol=1e-4, atol=1e-5)
    parent = torch.nn.Sequential(extractor).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(parent(grey)["features"], features)
    assert not features.requires_grad
    assert extractor.outputs == ("features",)
    assert json.loads(json.dumps(extractor.protocol())) == extractor.protocol()


def test_only_the_published_models_have_the_fields_names(dinov2_folder, clip_folder):
    dinov2 = DINOv2(weights=dinov2_folder, model="facebook/dinov2-large", download=False)
    clip = CLIP(weights=clip_folder, model="openai/clip-vit-large-patch14-336", download=False)
    assert (dinov2.label("fd"), clip.label("cmmd")) == ("fd_dinov2_other", "cmmd_clip_other")
    dinov2.name, clip.name = "dinov2", "clip"  # as for the large ones, too large for a test
    assert (dinov2.label("fd"), dinov2.label("kid"), dinov2.label("cmmd")) == ("fdd", "kid_dinov2", "cmmd_dinov2")
    assert (clip.label("cmmd"), clip.label("fd")) == ("cmmd", "fd_clip")


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ({"hidden_size": 1024, "num_hidden_layers": 24}, "dinov2"),
        ({"hidden_size": 768, "num_hidden_layers": 12}, "dinov2_vitb"),
        ({"hidden_size": 1024, "num_hidden_layers": 12}, "dinov2_other"),
    ],
)
def test_the_name_follows_from_the_architecture(sizes, name, dinov2_folder, monkeypatch):
    model = transformers.Dinov2Model.from_pretrained(dinov2_folder)
    for key, value in sizes.items():
        setattr(model.config, key, value)
    monkeypatch.setattr("gan_lab.extractors.dinov2.load_model", lambda *_: (model, "digest"))
    assert DINOv2(weights=dinov2_folder, model="a/b", download=False).name == name


@pytest.mark.parametrize("kind", [DINOv2, CLIP])
def test_absent_weights(kind, tmp_path, monkeypatch):
    message = kind.missing_weights(weights=tmp_path / "none", model="owner/name", download=False)
    assert all(part in message for part in ("none", "https://huggingface.co/owner/name", "download=true"))
    with pytest.raises(MissingWeights, match=r"lacks config\.json"):
        kind(weights=tmp_path / "none", model="owner/name", download=False)
    asked = []

    def refuse(repository, name, local_dir):
        asked.append((repository, name, local_dir))
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    message = kind.missing_weights(weights=tmp_path / "none", model="owner/name", download=True)
    assert "could not be fetched (no route to host)" in message
    assert asked == [("owner/name", "config.json", tmp_path / "none")]
    monkeypatch.setattr("gan_lab.extractors.files.find_spec", lambda name: None)
    message = kind.missing_weights(weights=tmp_path / "none", model="owner/name", download=True)
    assert install_command("transformers") in message


def test_download_takes_the_other_format_where_the_first_is_not_there(tmp_path, monkeypatch):
    from huggingface_hub.errors import EntryNotFoundError

    def fetch(repository, name, local_dir):
        if name == "model.safetensors":
            raise EntryNotFoundError.__new__(EntryNotFoundError)
        local_dir.mkdir(exist_ok=True)
        (local_dir / name).touch()

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    folder = tmp_path / "clip"
    assert CLIP.missing_weights(weights=folder, model="owner/name", download=True) is None
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "pytorch_model.bin"]


def test_damaged_weights(dinov2_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((dinov2_folder / "config.json").read_bytes())
    state = load_file(dinov2_folder / "model.safetensors")
    del state["layernorm.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DamagedWeights, match=r"no fitting layernorm\.weight"):  # the library would draw it
        DINOv2(weights=tmp_path, model="a/b", download=False)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(DamagedWeights, match="does not hold DINOv2"):
        DINOv2(weights=tmp_path, model="a/b", download=False)


@pytest.mark.parametrize(("name", "kind"), [("dinov2", DINOv2), ("clip", CLIP)])
def test_the_config_builds(name, kind, dinov2_folder, clip_folder):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    config.weights = str(dinov2_folder if kind is DINOv2 else clip_folder)
    assert isinstance(instantiate(config)(), kind)
