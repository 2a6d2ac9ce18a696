"""CLIP's image encoder (Radford et al. 2021): the space of CMMD."""

from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from gan_lab.extractors.base import Extractor, MissingWeights
from gan_lab.extractors.files import load_model, missing_model
from gan_lab.extractors.pixels import standardized, to_channels

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
LARGE_336 = {"hidden_size": 1024, "num_hidden_layers": 24, "patch_size": 14, "image_size": 336}


class CLIP(Extractor):
    """Image embeddings of length 1 (Jayasumana et al. 2024, section 4, take those of ViT-L/14 at 336 pixels).

    Input as cmmd-pytorch makes it: bicubic of PyTorch without antialiasing to the network's own size, not clamped, then
    CLIP's mean and deviation. (The paper's own JAX code antialiases, so downsized images give it other values.)

    Args:
        weights: a folder with config.json and model.safetensors or pytorch_model.bin, as on huggingface.co: of the
            whole model or of its image encoder.
        model: owner/name there, for the download and the message; the folder alone decides what is loaded.
        download: fetch the two files to that folder when they are absent.
    Raises:
        MissingWeights, DamagedWeights: see there.
    """

    outputs = ("features",)

    def __init__(self, weights: str | Path, model: str, download: bool) -> None:
        super().__init__()
        if message := self.missing_weights(weights=weights, model=model, download=download):
            raise MissingWeights(message)
        self.network, self.weights_sha256 = load_model("CLIPVisionModelWithProjection", Path(weights), "CLIP")
        config = self.network.config
        self.image_size, self.feature_dim = config.image_size, config.projection_dim
        is_published = all(getattr(config, key) == value for key, value in LARGE_336.items())
        self.name = "clip" if is_published else "clip_other"
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def missing_weights(cls, *, weights: str | Path, model: str, download: bool) -> str | None:  # type: ignore[override]
        """None, or what is absent and where it comes from; with `download`, it is fetched first."""
        return missing_model(what="CLIP", repository=model, folder=Path(weights), download=download)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "layer": "projected image embedding, length 1",
            "resize": f"{self.image_size}x{self.image_size} bicubic of PyTorch, no antialias",
            "input": "uint8 RGB, grey repeated, RGBA over white, CLIP's mean and deviation",
            "dtype": "float32",
        }

    def label(self, stem: str) -> str:
        """CMMD is the MMD in the space of ViT-L/14 at 336 pixels alone."""
        return stem if (stem, self.name) == ("cmmd", "clip") else super().label(stem)

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """See `Extractor`."""
        size = (self.image_size, self.image_size)
        resized = F.interpolate(to_channels(images, 3).float() / 255, size, mode="bicubic")
        embeddings = self.network(standardized(resized, MEAN, DEVIATION)).image_embeds
        return {"features": embeddings / embeddings.norm(dim=1, keepdim=True)}
