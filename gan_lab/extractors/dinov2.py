"""DINOv2 (Oquab et al. 2023), a vision transformer trained without labels: the space of FDD."""

from pathlib import Path
from typing import Any

from torch import Tensor

from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights
from gan_lab.extractors.files import load_model, missing_model
from gan_lab.extractors.pixels import IMAGENET_MEAN, IMAGENET_STD, pillow_bicubic_uint8, standardized, to_channels

SIZE = 224
NAMES = {(384, 12): "dinov2_vits", (768, 12): "dinov2_vitb", (1024, 24): "dinov2", (1536, 40): "dinov2_vitg"}


class DINOv2(Extractor):
    """The class token after the last normalization, as Stein et al. 2023 compare generative models (dgm-eval).

    Input as dgm-eval makes it by default: Pillow's bicubic to 224x224 with antialiasing, rounded to 256 levels, and
    ImageNet's mean and deviation. The network is that of the transformers library, which fits the position embeddings
    to 224 pixels by size; Meta's own code does so by a factor that is 0.1 patches larger, so the features agree closely
    and not to the last digit.

    Args:
        weights: a folder with config.json and model.safetensors, as on huggingface.co.
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
        self.network, self.weights_sha256 = load_model("Dinov2Model", Path(weights), "DINOv2")
        config = self.network.config
        if config.model_type != "dinov2" or SIZE % config.patch_size:
            raise DamagedWeights(
                f"{weights} does not hold DINOv2 with patches that divide {SIZE} pixels: its config.json says "
                f"{config.model_type!r}, patches of {config.patch_size}"
            )
        self.feature_dim = config.hidden_size
        self.name = "dinov2_other"
        if config.patch_size == 14:
            self.name = NAMES.get((config.hidden_size, config.num_hidden_layers), self.name)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def missing_weights(cls, *, weights: str | Path, model: str, download: bool) -> str | None:  # type: ignore[override]
        """None, or what is absent and where it comes from; with `download`, it is fetched first."""
        return missing_model(what="DINOv2", repository=model, folder=Path(weights), download=download)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "layer": "class token after the last normalization",
            "resize": "224x224 bicubic of Pillow (antialiased), rounded",
            "input": "uint8 RGB, grey repeated, RGBA over white, ImageNet's mean and deviation",
            "dtype": "float32",
        }

    def label(self, stem: str) -> str:
        """FDD is the Frechet distance in the space of ViT-L/14 alone."""
        return "fdd" if (stem, self.name) == ("fd", "dinov2") else super().label(stem)

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """See `Extractor`."""
        resized = pillow_bicubic_uint8(to_channels(images, 3), SIZE).float() / 255
        return {"features": self.network(standardized(resized, IMAGENET_MEAN, IMAGENET_STD)).pooler_output}
