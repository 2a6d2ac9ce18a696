"""InceptionV3 as torch-fidelity ports it from the original TensorFlow graph: the network of FID, IS and KID."""

import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights, file_sha256
from gan_lab.extractors.files import hub_path, missing_file
from gan_lab.extractors.pixels import continuous, pillow_bicubic_float, tensorflow1_bilinear, to_channels

FEATURE_DIMS = {"64": 64, "192": 192, "768": 768, "2048": 2048}
LAYER_AFTER = {"MaxPool_1": "64", "MaxPool_2": "192", "Mixed_6e": "768", "AvgPool": "2048"}
SIZE = 299
LEVELS = (("MaxPool_1", 64, 73), ("MaxPool_2", 192, 35), ("Mixed_6e", 768, 17), ("Mixed_7c", 2048, 8))
RESIZES = {
    "legacy": "299x299 bilinear of TensorFlow 1 (corners aligned, no antialias)",
    "clean": "299x299 bicubic of Pillow (antialiased), each channel as floats, clamped, not rounded",
}
KNOWN = {"fd": "fid", "fd_infinity": "fid_infinity", "is": "is", "kid": "kid"}


class Inception(Extractor):
    """Pooled features of one layer, and the logits without bias.

    Args:
        weights: a file in torch-fidelity's format; None for where torch-fidelity would look: its published file's name
            in torch.hub's checkpoint folder.
        layer: "64", "192", "768" or "2048", by its number of features; FID is "2048" and nothing else.
        resize: "legacy", as FID was first published (Heusel et al. 2017) and as torch-fidelity does; or "clean", as
            clean-fid 0.1.35 does (Parmar et al. 2022), whose scores are called `fid_clean`, `kid_clean`.
        download: fetch torch-fidelity's published file to that place when it is absent.
    Raises:
        ValueError: another layer or resize.
        MissingWeights, DamagedWeights: see there.
    """

    def __init__(self, weights: str | Path | None, layer: str, resize: str, download: bool) -> None:
        super().__init__()
        if layer not in FEATURE_DIMS:
            raise ValueError(f"layer must be one of {', '.join(FEATURE_DIMS)}, got {layer!r}")
        if resize not in RESIZES:
            raise ValueError(f"resize must be one of {', '.join(RESIZES)}, got {resize!r}")
        if message := self.missing_weights(weights=weights, download=download):
            raise MissingWeights(message)
        self.layer, self.resize = layer, resize
        self.name = "inception" if layer == "2048" else f"inception{layer}d"
        if resize == "clean":
            self.name += "_clean"
        self.feature_dim = FEATURE_DIMS[layer]
        path = self._path(weights)
        self.weights_sha256 = file_sha256(path)
        self.network = _load(path, layer)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def missing_weights(  # type: ignore[override]
        cls, *, weights: str | Path | None, download: bool, layer: str | None = None, resize: str | None = None
    ) -> str | None:
        """None, or which file is absent and where it comes from; with `download`, it is fetched first."""
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

        return missing_file(what="Inception", url=URL_INCEPTION_V3, path=cls._path(weights), download=download)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "layer": self.layer,
            "logits": "without bias",
            "resize": RESIZES[self.resize],
            "input": "uint8 RGB, grey repeated, RGBA over white, (x - 128) / 128",
            "dtype": "float32",
        }

    def label(self, stem: str) -> str:
        """FID, IS and KID are those of layer "2048" with the legacy resize; with the clean one they say so."""
        if self.layer != "2048" or stem not in KNOWN:
            return super().label(stem)
        return KNOWN[stem] + ("_clean" if self.resize == "clean" else "")

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """See `Extractor`."""
        images = to_channels(images, 3)
        if self.resize == "legacy":  # the network's own
            features, logits = self.network(images)
        else:
            features, logits = self._from_prepared((pillow_bicubic_float(images, SIZE) - 128) / 128)
        return {"features": features, "logits": logits}

    @classmethod
    def level_shapes(cls, height: int, width: int) -> tuple[tuple[int, int, int], ...]:
        """See `Extractor`: the ends of its four sides, of pictures resized to 299x299."""
        return tuple((channels, side, side) for _, channels, side in LEVELS)

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `Extractor`; the resize "clean" neither clamps here."""
        values = 127.5 * (continuous(images, 3, None) + 1)
        if self.resize == "legacy":
            values = tensorflow1_bilinear(values, SIZE)
        else:
            values = interpolate(values, size=(SIZE, SIZE), mode="bicubic", antialias=True)
        values, ends, found = (values - 128) / 128, [name for name, _, _ in LEVELS], []
        for name, block in self.network.named_children():  # in the order of its forward
            values = block(values)
            if name in ends:
                found.append(values)
            if name == ends[-1]:
                break
        return tuple(found)

    def _from_prepared(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """What the network gives for (B, 3, 299, 299) float32: its own entry takes nothing but uint8."""
        features = values
        for name, block in self.network.named_children():  # in the order of its forward
            if name == "fc":
                break
            values = block(values)
            if LAYER_AFTER.get(name) == self.layer:
                features = values.mean(dim=(2, 3))
        return features, values.flatten(1).mm(self.network.fc.weight.T)

    @staticmethod
    def _path(weights: str | Path | None) -> Path:
        if weights is not None:
            return Path(weights)
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

        return hub_path(URL_INCEPTION_V3)


def _load(path: Path, layer: str) -> Any:
    """torch-fidelity's network with the weights of `path`, which it would unpickle without a check."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # Its constructor reads a file it trusts, and draws initial weights: give it a file of the tensors alone, and
        # leave the default generators as they were.
        with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
            plain = Path(folder) / "weights.pth"
            torch.save(state, plain)
            network = FeatureExtractorInceptionV3("inception", [layer, "logits_unbiased"], str(plain))
        return network.to(memory_format=torch.channels_last)  # a third less time on CPUs; rounds otherwise
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, AttributeError) as error:
        raise DamagedWeights(
            f"{path} does not hold InceptionV3's weights in torch-fidelity's format: {error}"
        ) from error
