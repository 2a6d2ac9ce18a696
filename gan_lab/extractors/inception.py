"""InceptionV3 as torch-fidelity ports it from the original TensorFlow graph: the network of FID, IS and KID."""

import pickle
import tempfile
import urllib.error
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights, file_sha256, without_alpha

FEATURE_DIMS = {"64": 64, "192": 192, "768": 768, "2048": 2048}


class Inception(Extractor):
    """Pooled features of one layer, and the logits without bias.

    Args:
        weights: a file in torch-fidelity's format; None for where torch-fidelity would look: its published file's name
            in torch.hub's checkpoint folder.
        layer: "64", "192", "768" or "2048", by its number of features; FID is "2048" and nothing else.
        download: fetch torch-fidelity's published file to that place when it is absent.
    Raises:
        ValueError: another layer.
        MissingWeights, DamagedWeights: see there.
    """

    name = "inception"

    def __init__(self, weights: str | Path | None, layer: str, download: bool) -> None:
        super().__init__()
        if layer not in FEATURE_DIMS:
            raise ValueError(f"layer must be one of {', '.join(FEATURE_DIMS)}, got {layer!r}")
        if message := self.missing_weights(weights=weights, download=download):
            raise MissingWeights(message)
        self.layer = layer
        self.feature_dim = FEATURE_DIMS[layer]
        path = self._path(weights)
        self.weights_sha256 = file_sha256(path)
        self.network = _load(path, layer)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def missing_weights(  # type: ignore[override]
        cls, *, weights: str | Path | None, download: bool, layer: str | None = None
    ) -> str | None:
        """None, or which file is absent and where it comes from; with `download`, it is fetched first."""
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

        path = cls._path(weights)
        if path.is_file():
            return None
        if not download:
            return (
                f"Inception's weights file {path} is absent: fetch {URL_INCEPTION_V3} to that place, give the file's "
                "place as the extractor's weights=PATH, or let the extractor fetch it with download=true"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The published name ends in the first 8 digits of the file's sha256.
            digest = URL_INCEPTION_V3.rsplit("-", 1)[1].removesuffix(".pth")
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=digest)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            return (
                f"Inception's weights file {path} is absent and could not be fetched ({error}): fetch "
                f"{URL_INCEPTION_V3} on a machine with internet and copy it to that place"
            )
        return None

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "layer": self.layer,
            "logits": "without bias",
            "resize": "299x299 bilinear of TensorFlow 1 (corners aligned, no antialias)",
            "input": "uint8 RGB, grey repeated, RGBA over white, (x - 128) / 128",
            "dtype": "float32",
        }

    def label(self, stem: str) -> str:
        """FID is "2048" alone, without a word for its space."""
        return {"fd": "fid"}.get(stem, stem)

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """See `Extractor`."""
        features, logits = self.network(without_alpha(images).expand(-1, 3, -1, -1))
        return {"features": features, "logits": logits}

    @staticmethod
    def _path(weights: str | Path | None) -> Path:
        if weights is not None:
            return Path(weights)
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

        return Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rsplit("/", 1)[1]


def _load(path: Path, layer: str) -> torch.nn.Module:
    """torch-fidelity's network with the weights of `path`, which it would unpickle without a check."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # Its constructor reads a file it trusts, and draws initial weights: give it a file of the tensors alone, and
        # leave the default generators as they were.
        with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
            plain = Path(folder) / "weights.pth"
            torch.save(state, plain)
            return FeatureExtractorInceptionV3("inception", [layer, "logits_unbiased"], str(plain))
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, AttributeError) as error:
        raise DamagedWeights(
            f"{path} does not hold InceptionV3's weights in torch-fidelity's format: {error}"
        ) from error
